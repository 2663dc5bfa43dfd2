"""The image model of Zhang et al. (section 3): EcNet, and the two residual networks that it is compared with.

    image (B, 3, H, W) in [0, 1] -> features -> mean over pixels -> classifier -> logits (B, classes)

All three are one chain of pre-activation blocks: `features` has input, stem, group1, group2, group3, norm and relu.
They differ in what a block is made of and in how it joins its input: by addition (eq. 1), or, in the block that opens a
group of EcNet, by standing beside it (eq. 6). The plan of channels is that of the authors' code, which gives the
numbers of weights in their logs to the unit; the paper leaves it to an appendix.
"""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mdlib.errors import SettingsError

STEMS = {"cifar": (3, 1, 1), "bcidr": (7, 4, 3)}     # kernel, stride and padding of the first convolution
BOTTLENECK, BASIC = (1, 3, 1), (3, 3)                # kernels of the convolutions of a block
NO_MEAN, NO_STD = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)   # with these the image stays as it is


class ImageModel(nn.Module):
    """A classifier by global average pooling (eq. 3): what the language model and AAS ask of any image model.

    features: image (B, 3, H, W) in [0, 1] -> the last map C(I) (B, channels, h, w), not negative; classifier: its
    weight (classes, channels) holds w^c of eq. 9 in row c. Its bias starts at zero. dropout acts on the pooled map.
    """

    def __init__(self, features: nn.Sequential, channels: int, classes: int, dropout: float = 0.0):
        super().__init__()
        self.features, self.channels = features, channels
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(channels, classes)
        nn.init.zeros_(self.classifier.bias)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """image (B, 3, H, W) in [0, 1] -> {"logits": (B, classes), "features": (B, channels, h, w)}."""
        features = self.features(image)
        return {"logits": self.classifier(self.dropout(features.mean(dim=(2, 3)))), "features": features}


class ColourInput(nn.Module):
    """(image - mean) / std, channel by channel: (B, 3, H, W) -> the same. Raises SettingsError for another shape.

    The numbers are those of the training images, so they stand in the checkpoint.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float]):
        super().__init__()
        if len(mean) != 3 or len(std) != 3 or min(std) <= 0:
            raise SettingsError(f"mean {tuple(mean)} and std {tuple(std)} cannot be used", "parameters mean, std",
                                "Give three numbers each, red, green and blue; std above 0.")
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).view(1, 3, 1, 1))

    def forward(self, image: Tensor) -> Tensor:
        if image.ndim != 4 or image.shape[1] != 3:
            raise SettingsError(f"has shape {tuple(image.shape)}", "image", "Pass (B, 3, H, W).")
        return (image - self.mean) / self.std


class Block(nn.Module):
    r"""One residual block: F(y), and y joined to it.

    y + F(y)       (B, out, h, w)    eq. 1, where the shape does not change
    P a + F(y)     (B, out, h, w)    where it does, a = relu(BN(y)): the residual networks, as in the code of WRN
    [F(y), P y]    (B, out, h, w)    eq. 6, half of the channels each, with concat: EcNet, where a group opens

    F is a batch normalisation, a ReLU and a convolution for each of `kernels`, the first with the stride; between them
    are a quarter as many channels as F gives out, or as many with BASIC. P is a 1x1 convolution with the same stride:
    nothing but a linear map stands between y and all that follows. No convolution has a bias. dropout: before the
    convolutions behind the first.
    """

    def __init__(self, channels: int, out: int, kernels: tuple[int, ...], stride: int = 1, concat: bool = False,
                 dropout: float = 0.0):
        super().__init__()
        own = out // 2 if concat else out                                                  # channels of F(y)
        inner = own if kernels == BASIC else own // 4
        self.concat = concat
        self.norm, self.relu = nn.BatchNorm2d(channels), nn.ReLU(inplace=True)
        body = OrderedDict(conv1=_convolution(channels, inner, kernels[0], stride))
        for i, kernel in enumerate(kernels[1:], 2):
            body[f"norm{i}"], body[f"relu{i}"] = nn.BatchNorm2d(inner), nn.ReLU(inplace=True)
            if dropout > 0:
                body[f"dropout{i}"] = nn.Dropout(dropout)
            body[f"conv{i}"] = _convolution(inner, own if i == len(kernels) else inner, kernel)
        self.body = nn.Sequential(body)
        changes = concat or stride > 1 or channels != out
        self.skip = _convolution(channels, out - own if concat else out, 1, stride) if changes else None

    def forward(self, y: Tensor) -> Tensor:
        active = self.relu(self.norm(y))
        own = self.body(active)                                                            # F(y)
        if self.concat:
            return torch.cat([own, self.skip(y)], dim=1)
        return own + (y if self.skip is None else self.skip(active))


def ecnet(depth: int, width: int, classes: int, **options: Any) -> ImageModel:
    """EcNet with depth 9 n + 2 and width k; options: stem, mean, std as in `residual_features`.

    Groups of n blocks that end in 32 k, 64 k and 64 k channels: the last opens with half of what the rule of doubling
    gives. 56-12 has 7,918,362 weights with 10 classes and 7,987,572 with 100, 110-4 has 1,841,818 and 1,864,948
    (Table 1: 8.0M and 1.8M). 38-8 with 4 classes, the image model of MDNet (section 5.2: 2.3M), has 2,265,428 with the
    cifar stem and 2,267,348 with the bcidr stem, whose kernel is larger; 224 x 224 pixels become 512 x 14 x 14.
    """
    return _network(depth, 9, 2, (32, 64, 64), BOTTLENECK, width, classes, concat=True, **options)


def preact_resnet(depth: int, classes: int, width: int = 1, **options: Any) -> ImageModel:
    """Pre-activation ResNet with depth 9 n + 2 (He et al. 2016, "Identity mappings"); options as in `ecnet`.

    ResNet-164: 1,703,258 weights with 10 classes, 1,726,388 with 100. `width` other than 1 is ours.
    """
    return _network(depth, 9, 2, (64, 128, 256), BOTTLENECK, width, classes, **options)


def wide_resnet(depth: int, width: int, classes: int, dropout: float = 0.0, **options: Any) -> ImageModel:
    """Wide residual network with depth 6 n + 4 (Zagoruyko and Komodakis 2016); options as in `ecnet`.

    WRN-40-4: 8,949,210 weights with 10 classes, 8,972,340 with 100. Two convolutions a block, dropout between them.
    """
    return _network(depth, 6, 4, (16, 32, 64), BASIC, width, classes, dropout=dropout, **options)


def residual_features(blocks: int, channels: Sequence[int], kernels: tuple[int, ...], *, concat: bool = False,
                      dropout: float = 0.0, stem: str = "cifar", mean: Sequence[float] = NO_MEAN,
                      std: Sequence[float] = NO_STD) -> nn.Sequential:
    """(B, 3, H, W) in [0, 1] -> (B, channels[-1], h, w): three groups of `blocks` blocks, which give out `channels`.

    The first block of the second and third group halves height and width. stem: `cifar`, a 3x3 convolution, or
    `bcidr`, 7x7 with stride 4 (the authors' later code on these images; the paper does not tell it), so that H and W
    are divided by 4 or by 16, rounded up. mean and std: of the red, green and blue of the training images. The last
    ReLU writes into a tensor of its own, for those who look at norm. Weights start as `msr` has them.
    """
    if stem not in STEMS:
        raise SettingsError(f"unknown stem {stem!r}", "parameter stem", f"Use {' or '.join(STEMS)}.")
    kernel, stride, padding = STEMS[stem]
    parts = OrderedDict(input=ColourInput(mean, std),
                        stem=nn.Conv2d(3, 16, kernel, stride, padding, bias=False))
    before = 16
    for i, (out, stride) in enumerate(zip(channels, (1, 2, 2), strict=True), 1):
        first = Block(before, out, kernels, stride, concat, dropout)
        rest = [Block(out, out, kernels, dropout=dropout) for _ in range(blocks - 1)]
        parts[f"group{i}"] = nn.Sequential(first, *rest)
        before = out
    parts["norm"], parts["relu"] = nn.BatchNorm2d(before), nn.ReLU()
    features = nn.Sequential(parts)
    msr(features)
    return features


def msr(module: nn.Module) -> None:
    """MSR (He) weights for the convolutions, in place: normal, variance 2 / (outputs a cell), as in the code of WRN."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")


def _network(depth: int, layers: int, fixed: int, channels: tuple[int, ...], kernels: tuple[int, ...], width: int,
             classes: int, **options: Any) -> ImageModel:
    """depth = layers n + fixed: three groups of n blocks, and channels times width."""
    blocks, rest = divmod(depth - fixed, layers)
    if rest or blocks < 1:
        near = max(1, blocks) * layers + fixed
        raise SettingsError(f"depth {depth} is not {layers} n + {fixed}", "parameter depth",
                            f"Use {near} or {near + layers}.")
    if width < 1 or width != int(width):
        raise SettingsError(f"{width} is no width", "parameter width", "Use 1, 2, 3 …")
    out = [width * count for count in channels]
    return ImageModel(residual_features(blocks, out, kernels, **options), out[-1], classes)


def _convolution(channels: int, out: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(channels, out, kernel, stride, kernel // 2, bias=False)
