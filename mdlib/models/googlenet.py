"""GoogLeNet, the image model of Zhang et al.'s baseline (section 5.2), from torchvision's parts."""

from collections import OrderedDict
from collections.abc import Sequence

from torch import nn
from torchvision.models.googlenet import BasicConv2d, Inception

from mdlib.errors import SettingsError
from mdlib.models.ecnet import NO_MEAN, NO_STD, ColourInput, ImageModel, msr

STEM = (64, 64, 192)    # channels of conv1, conv2, conv3
INCEPTION = {           # channels of a block: 1x1; 3x3, reduced to and out; 5x5, reduced to and out; pooled
    "inception3a": (64, 96, 128, 16, 32, 32), "inception3b": (128, 128, 192, 32, 96, 64),
    "inception4a": (192, 96, 208, 16, 48, 64), "inception4b": (160, 112, 224, 24, 64, 64),
    "inception4c": (128, 128, 256, 24, 64, 64), "inception4d": (112, 144, 288, 32, 64, 64),
    "inception4e": (256, 160, 320, 32, 128, 128), "inception5a": (256, 160, 320, 32, 128, 128),
    "inception5b": (384, 192, 384, 48, 128, 128)}
POOLED = {"inception3b": ("maxpool3", 3), "inception4e": ("maxpool4", 2)}    # what follows a block, and its kernel


def googlenet(classes: int, *, width: float = 1.0, mean: Sequence[float] = NO_MEAN, std: Sequence[float] = NO_STD,
              dropout: float = 0.2) -> ImageModel:
    """GoogLeNet without auxiliary classifiers: image (B, 3, 224, 224) in [0, 1] -> maps (B, 1024, 7, 7).

    Layers have torchvision's names below `features`, so its weights fit; at full width there are as many: 5,599,904 +
    1,025 a class. width: share of the channels of every layer, rounded (ours, for small images and short trainings).
    mean and std: of the red, green and blue of the training images. Its 5x5 convolutions are 3x3, as in torchvision.
    Convolutions start as those of EcNet (ours: torchvision's normal of 0.01 is for training on ImageNet).
    """
    if not width > 0:
        raise SettingsError(f"{width} is no share of the channels", "parameter width", "Use 1 for all, 0.25 for less.")
    one, two, three = (_share(width, count) for count in STEM)
    parts = OrderedDict(input=ColourInput(mean, std),
                        conv1=BasicConv2d(3, one, kernel_size=7, stride=2, padding=3), maxpool1=_halved(3),
                        conv2=BasicConv2d(one, two, kernel_size=1),
                        conv3=BasicConv2d(two, three, kernel_size=3, padding=1), maxpool2=_halved(3))
    channels = three
    for name, plan in INCEPTION.items():
        plan = [_share(width, count) for count in plan]
        parts[name] = Inception(channels, *plan)
        channels = plan[0] + plan[2] + plan[4] + plan[5]
        if name in POOLED:
            after, kernel = POOLED[name]
            parts[after] = _halved(kernel)
    features = nn.Sequential(parts)
    msr(features)
    return ImageModel(features, channels, classes, dropout)


def _share(width: float, count: int) -> int:
    return max(1, round(width * count))


def _halved(kernel: int) -> nn.MaxPool2d:
    return nn.MaxPool2d(kernel, stride=2, ceil_mode=True)
