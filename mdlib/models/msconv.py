"""The multi-scale convolution of Li et al. (section 2.1, eq. 1), and what stands in its place in other methods.

Both take primary maps, a list with one (S, C, h, w) for every scale of the input image (one, but in an image pyramid),
and give secondary maps: a list of groups of channels, each a list with one (S, n, h', w') a pathway. Maps of one group
mean the same and are pooled together. Positions are known back from `spans`: the value at (y, x) of pathway i of
group g saw spans[g][i] cells in each direction, of a map larger than its own by spans[g][i] - 1.
"""

import math
from collections.abc import Sequence
from itertools import product

from torch import Tensor, nn
from torch.nn import functional as F

from mdlib.errors import SettingsError


class Primary(nn.Module):
    """The primary maps unchanged, as one group (MI-Pre, section 3.2). channels: C; inputs: scales of the image."""

    def __init__(self, channels: int, inputs: int = 1):
        super().__init__()
        self.out, self.padding = channels, 0
        self.spans = [[1] * inputs]

    def forward(self, maps: list[Tensor]) -> list[list[Tensor]]:
        return [maps]


class MSConv(nn.Module):
    r"""Secondary maps from kernels shared by all scales (Li et al., section 2.1).

    y_ij = sw_ij BN_ij(F_j(Resize_i(x)))                                             eq. 1, and the text below it

    channels: C of the primary maps; kernels: output channels of each kernel size, {2: 8, 3: 10}; scales: of the
    resizing; dilations: of the shared kernels, (1, 2, 3) makes the Trident layer; normalise: with BN_ij and sw_ij,
    without them SI-CNN; inputs: number of scales of the input image. A pathway i is a scale of the image, a scale of
    the maps and a dilation, in this order (the last runs fastest), with BN and sw of its own.

    Resizing is bilinear between pixel centres to floor(h s) x floor(w s), sw starts at one, the convolution has no
    bias: BN takes it away. The text names neither padding nor a ReLU behind the convolution: there are none (ours).
    Raises SettingsError where a resized map is smaller than a kernel.
    """

    def __init__(self, channels: int, kernels: dict[int, int], scales: Sequence[float] = (1 / 2, 3 / 4, 1),
                 dilations: Sequence[int] = (1,), normalise: bool = True, padding: int = 0, inputs: int = 1):
        super().__init__()
        self.scales, self.dilations, self.padding = tuple(scales), tuple(dilations), padding
        pathways = inputs * len(self.scales) * len(self.dilations)
        self.out = sum(kernels.values())
        self.spans = [[(size - 1) * dilation + 1 for dilation in self.dilations] * (inputs * len(self.scales))
                      for size in kernels]
        self.kernels = nn.ModuleList(nn.Conv2d(channels, n, size, bias=False) for size, n in kernels.items())
        self.magnitude = nn.ModuleList(
            nn.ModuleList(Magnitude(n) if normalise else nn.Identity() for _ in range(pathways))
            for n in kernels.values())

    def forward(self, maps: list[Tensor]) -> list[list[Tensor]]:
        """Primary maps, one (S, C, h, w) a scale of the image -> for each kernel size, one (S, n, h', w') a pathway."""
        resized = [(scale, resize(x, scale)) for x, scale in product(maps, self.scales)]
        groups = []
        for kernel, magnitude in zip(self.kernels, self.magnitude, strict=True):
            pathways = zip(product(resized, self.dilations), magnitude, strict=True)
            groups.append([norm(self._convolve(x, kernel, dilation, scale))
                           for ((scale, x), dilation), norm in pathways])
        return groups

    def _convolve(self, x: Tensor, kernel: nn.Conv2d, dilation: int, scale: float) -> Tensor:
        span = (kernel.kernel_size[0] - 1) * dilation + 1
        if min(x.shape[2:]) + 2 * self.padding < span:
            raise SettingsError(f"maps of {x.shape[2]} x {x.shape[3]} (at scale {scale:g}) are smaller than a kernel "
                                f"that spans {span} x {span}", "MSConv",
                                "Use smaller kernels or dilations, larger scales, larger images, or smaller strides.")
        return F.conv2d(x, kernel.weight, padding=self.padding, dilation=dilation)         # F_j of eq. 1


class Magnitude(nn.Module):
    """sw BN(x): the magnitude normalisation of one pathway (Li et al., section 2.1). (S, n, h, w) -> the same."""

    def __init__(self, channels: int):
        super().__init__()
        self.norm = nn.BatchNorm2d(channels)
        self.sw = nn.Parameter(self.norm.weight.new_ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        return self.sw.view(-1, 1, 1) * self.norm(x)


def resize(x: Tensor, scale: float) -> Tensor:
    """Images or maps (S, C, h, w) at floor(h scale) x floor(w scale), bilinear between pixel centres, never empty."""
    size = [max(1, math.floor(length * scale)) for length in x.shape[2:]]
    if size == list(x.shape[2:]):
        return x
    return F.interpolate(x, size=size, mode="bilinear", align_corners=False)               # Resize_i of eq. 1
