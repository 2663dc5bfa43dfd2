"""The multi-scale convolution of Li et al. (section 2.1, eq. 1), and what stands in its place in other methods.

Both take primary maps, a list with one (S, C, h, w) for every scale of the input image (one, but in an image pyramid),
and give secondary maps: a list of groups of channels, each a list with one (S, n, h', w') a pathway. Maps of one group
mean the same and are pooled together. Positions are known back from `spans`: the value at (y, x) of pathway i of
group g saw spans[g][i] cells in each direction, of a map larger than its own by spans[g][i] - 1.
"""

import math
from collections.abc import Sequence
from itertools import product

import torch
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

    F_j and Resize are linear, and Resize treats all channels alike, so they change places: the C maps are first summed
    with the weights of each cell of each kernel, these few sums are resized (122 in place of 2048 maps), and shifted
    by their cell and added they are eq. 1 up to rounding, in less time.

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
        self.kernels = nn.ParameterList(nn.Conv2d(channels, n, size).weight for size, n in kernels.items())
        self.magnitude = nn.ModuleList(
            nn.ModuleList(Magnitude(n) if normalise else nn.Identity() for _ in range(pathways))
            for n in kernels.values())

    def forward(self, maps: list[Tensor]) -> list[list[Tensor]]:
        """Primary maps, one (S, C, h, w) a scale of the image -> for each kernel size, one (S, n, h', w') a pathway."""
        cells = [kernel.permute(2, 3, 0, 1).flatten(0, 2) for kernel in self.kernels]      # (size * size * n, C)
        weight, groups = torch.cat(cells)[..., None, None], [[] for _ in cells]
        for x in maps:
            sums = F.conv2d(x, weight)
            for scale in self.scales:
                parts = resize(sums, scale).split([len(cell) for cell in cells], dim=1)
                for group, kernel, part in zip(groups, self.kernels, parts, strict=True):
                    group += [self._add_cells(part, kernel.shape, dilation, scale) for dilation in self.dilations]
        return [[norm(y) for norm, y in zip(norms, group, strict=True)]
                for norms, group in zip(self.magnitude, groups, strict=True)]

    def _add_cells(self, sums: Tensor, kernel: torch.Size, dilation: int, scale: float) -> Tensor:
        """F_j of eq. 1: (S, size * size * n, h, w), the kernel's cells row by row -> (S, n, h', w')."""
        n, _, size, _ = kernel
        sums, span = F.pad(sums, [self.padding] * 4), (size - 1) * dilation + 1
        height, width = (length - span + 1 for length in sums.shape[2:])
        if min(height, width) < 1:
            found = " x ".join(str(length - 2 * self.padding) for length in sums.shape[2:])
            raise SettingsError(f"maps of {found} (at scale {scale:g}) are smaller than a kernel that spans "
                                f"{span} x {span}", "MSConv",
                                "Use smaller kernels or dilations, larger scales, larger images, or smaller strides.")
        steps = product(range(0, span, dilation), repeat=2)
        cells = zip(sums.unflatten(1, (size * size, n)).unbind(dim=1), steps, strict=True)
        return sum(cell[:, :, y:y + height, x:x + width] for cell, (y, x) in cells)


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
