"""The gated attention module of Fan et al. (section 2.1, eq. 1 and 2), and what their text leaves open, as options."""

from collections.abc import Collection

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mdlib.errors import SettingsError

NORMALISE = ("standard", "sum", "mean")
BEFORE = ("relu", "prerelu", "centred")
READINGS = ("gated", "written", "semantic", "weighted")


class GatedAttention(nn.Module):
    r"""Keep the channels that agree with one map of the whole image (Fan et al., section 2.1).

    M     = sum over channels of the outputs of dilated blocks, W^T X      (B, H, W)
    S     = softmax of M over all pixels, sums to 1                        (B, H, W)       eq. 1
    g_k   = relu(tanh(<X_k, S>)), the gate of channel k, in [0, 1)         (B, C)
    X'_k  = g_k X_k                                                        (B, C, H, W)
    Omega = (1 / C) sum_k g_k X_k, the attention map                       (B, H, W)       eq. 2

    channels: C. Everything else is ours, because the text does not say it:

    dilations: of parallel 3 x 3 convolutions without bias. On 7 x 7 cells a rate of 4 or more leaves less than half of
    the taps inside the map.
    full: blocks C -> C (4,718,592 weights at C = 512) in place of C -> 1 (9,216). Summed over their channels, linear
    blocks C -> C compute the same functions as blocks C -> 1, whose kernels are the sums, unless block_relu is set.
    block_relu: a ReLU behind each block, before the sum.
    normalise: of M before the softmax. `sum` is the text's and saturates, `mean` divides by C and is all but uniform,
    `standard` standardises M over the pixels. learned_scale: M times a learned
    number, one more weight, which starts at 1.
    before: what S is compared with. `relu`: X as given; behind a ReLU no gate can be negative, and the ReLU of the
    gates does nothing. `prerelu`: X is given as it is before the last ReLU of the features, which is applied here
    everywhere else. `centred`: X_k less its mean over the pixels; a gate is open if the mean of X_k weighted by S is
    larger.
    """

    def __init__(self, channels: int, *, dilations: tuple[int, ...] = (2, 3), full: bool = False,
                 block_relu: bool = False, normalise: str = "standard", learned_scale: bool = False,
                 before: str = "relu"):
        super().__init__()
        refuse_unknown("normalise", normalise, NORMALISE)
        refuse_unknown("before", before, BEFORE)
        if learned_scale and normalise != "standard":
            raise SettingsError(f"needs normalise='standard', not {normalise!r}", "parameter learned_scale",
                                "The scale of a sum or mean is that of its kernels, which is learned.")
        self.blocks = nn.ModuleList(nn.Conv2d(channels, channels if full else 1, 3, padding=d, dilation=d, bias=False)
                                    for d in dilations)
        self.block_relu, self.normalise, self.before = block_relu, normalise, before
        self.scale = nn.Parameter(torch.ones(())) if learned_scale else None

    def forward(self, features: Tensor) -> dict[str, Tensor]:
        """features X (B, C, H, W) -> a dict of the gated features, the attention map and what they are made of:

        `features` X' (B, C, H, W), `attention` Omega (B, H, W), `semantic` S (B, H, W), `gates` (B, C) in [0, 1].
        """
        x = features.relu() if self.before == "prerelu" else features                      # X
        compared = x - x.mean(dim=(2, 3), keepdim=True) if self.before == "centred" else features
        semantic = self.semantic(x)
        gates = torch.einsum("bchw,bhw->bc", compared, semantic).tanh().relu()
        refined = gates[:, :, None, None] * x                                              # X'
        return {"features": refined, "attention": refined.mean(dim=1),                     # eq. 2
                "semantic": semantic, "gates": gates}

    def semantic(self, x: Tensor) -> Tensor:
        """X (B, C, H, W) -> the semantic map S (B, H, W), which sums to 1."""
        total = self.summed(x).flatten(1)                                                  # M, (B, H W)
        if self.normalise == "mean":
            total = total / x.shape[1]
        elif self.normalise == "standard":
            total = F.layer_norm(total, total.shape[1:], eps=1e-8)
        if self.scale is not None:
            total = self.scale * total
        return total.softmax(dim=1).view(-1, *x.shape[2:])                                 # eq. 1

    def summed(self, x: Tensor) -> Tensor:
        """X (B, C, H, W) -> M (B, H, W), the blocks' outputs summed over their channels, before it is normalised."""
        outputs = [block(x).relu() if self.block_relu else block(x) for block in self.blocks]
        return sum(output.sum(dim=1) for output in outputs)


def pooled(reading: str, features: Tensor, refined: dict[str, Tensor]) -> Tensor:
    """The vector (B, C) that the global logits Y_g are read from (the reading is ours: the text names none).

    features X (B, C, H, W), refined: what a mechanism of `channel_attention` makes of them.

    written    mean of X over the pixels: the attention is used for cropping only, and gets no gradient
    gated      mean of X' over the pixels, so that the attention loss L_G of eq. 3 trains the attention
    semantic   sum of X under S, of mechanisms that have one
    weighted   sum of X under the softmax of Omega
    """
    refuse_unknown("reading", reading, READINGS)
    if reading == "written":
        return features.mean(dim=(2, 3))
    if reading == "gated":
        return refined["features"].mean(dim=(2, 3))
    if reading == "semantic":
        if "semantic" not in refined:
            raise SettingsError("this mechanism has no semantic map", "parameter reading", "Use another reading.")
        return torch.einsum("bchw,bhw->bc", features, refined["semantic"])
    weights = refined["attention"].flatten(1).softmax(dim=1)
    return torch.einsum("bcp,bp->bc", features.flatten(2), weights)


def refuse_unknown(parameter: str, value: str, known: Collection[str]) -> None:
    """Raises SettingsError unless the value of a parameter is one of those known."""
    if value not in known:
        raise SettingsError(f"unknown value {value!r}", f"parameter {parameter}", f"Use one of {', '.join(known)}.")
