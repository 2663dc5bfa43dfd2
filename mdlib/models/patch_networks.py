"""Networks that classify patches of mammograms: AlexNet, VGG-16, Inception-v3, ResNet-152, and small relatives.

    image (B, 1 or 3, H, W) in [0, 1] -> ImageNetInput -> features -> pool -> classifier -> logits (B, classes)

The first four are those of Wu et al., section 2.2: torchvision's, started from ImageNet weights, with a new last layer.
Names below `features` are torchvision's. LAYERS names the layers whose units the paper looks at (section 2.3); the
section says "final convolutional layer", the authors' code says which output. The small ones (ours) have the same kinds
of layers, for patches of 64 pixels, and maps of 8 x 8 at the layers in LAYERS. All of them have batch normalisation:
without it AlexNet's and VGG's learned little from random weights in a few epochs. Theirs are dissected behind the
normalisation of the last convolution, which in evaluation mode is part of it, and before its ReLU.
"""

from collections import OrderedDict
from collections.abc import Callable
from functools import partial

from torch import Tensor, nn
from torchvision import models
from torchvision.models.googlenet import BasicConv2d, Inception

from mdlib.errors import SettingsError
from mdlib.models.backbones import ImageNetInput, imagenet, resnet_features

LAYERS = {                                  # units x map: at 227 pixels, Inception-v3 at 299; small ones at 64
    "alexnet": ("features.10",),            # 256 x 13 x 13, conv5 before its ReLU
    "vgg16": ("features.28",),              # 512 x 14 x 14, conv5_3 before its ReLU
    "inception_v3": ("features.Mixed_7c",),                     # 2048 x 8 x 8
    "resnet152": ("features.layer4", "features.layer3"),        # 2048 x 8 x 8 and 1024 x 15 x 15
    "small_alexnet": ("features.15",), "small_vgg": ("features.19",), "small_inception": ("features.Mixed_7c",),
    "small_resnet": ("features.layer4", "features.layer3")}
POOLS = {"all": partial(nn.AdaptiveAvgPool2d, 1), "first7": partial(nn.AvgPool2d, 7)}


class PatchNetwork(nn.Module):
    """A network in its parts; `classifier` is given the pooled maps in one row per image.

    Where `pool` is the mean over all positions and `classifier` linear (Inception and ResNet), the logit of a class in
    evaluation mode is b + sum over units k of w_k mean(A_k), with A_k the maps that `features` puts out.
    """

    def __init__(self, features: nn.Module, pool: nn.Module, classifier: nn.Module):
        super().__init__()
        self.input = ImageNetInput()
        self.features = features
        self.pool = pool
        self.classifier = classifier

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """image (B, 1 or 3, H, W) in [0, 1] -> {"logits": (B, classes)}."""
        pooled = self.pool(self.features(self.input(image)))
        return {"logits": self.classifier(pooled.flatten(1))}


class TransformInput(nn.Module):
    """torchvision's `transform_input`: from ImageNet's mean and spread to 0.5 and 0.5 in each channel.

    Behind ImageNetInput this makes 2 image - 1, which is what the weights of Inception-v3 were trained with.
    """

    def __init__(self):
        super().__init__()
        to = ImageNetInput()
        self.register_buffer("scale", to.std / 0.5, persistent=False)
        self.register_buffer("shift", (to.mean - 0.5) / 0.5, persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        return image * self.scale + self.shift


def alexnet(classes: int = 2, *, pretrained: bool = False) -> PatchNetwork:
    """AlexNet: 57,012,034 weights with 2 classes. The ReLU behind conv5 does not overwrite its output."""
    return _fully_connected(models.alexnet, models.AlexNet_Weights.IMAGENET1K_V1, classes, pretrained)


def vgg16(classes: int = 2, *, pretrained: bool = False) -> PatchNetwork:
    """VGG-16 without batch normalisation: 134,268,738 weights with 2 classes. Its last ReLU as in `alexnet`."""
    return _fully_connected(models.vgg16, models.VGG16_Weights.IMAGENET1K_V1, classes, pretrained)


def inception_v3(classes: int = 2, *, pretrained: bool = False) -> PatchNetwork:
    """Inception-v3 without auxiliary classifier: 21,789,666 weights with 2 classes; for images of 299 pixels.

    As coded by the authors it has 25,116,362: they set `aux_logits = False` on a loaded network, whose auxiliary
    classifier of 1,000 classes stays in the optimiser and the checkpoints, but is never called. Its 3,326,696 weights
    are dead, and left out here. With an auxiliary classifier of 2 classes that is trained there would be 24,348,900.
    Like the authors, `ImageNetInput` is followed by torchvision's `transform_input` (see TransformInput).
    """
    stored = (imagenet(models.inception_v3, models.Inception_V3_Weights.IMAGENET1K_V1) if pretrained
              else models.inception_v3(aux_logits=False, init_weights=True))
    parts = OrderedDict(transform_input=TransformInput(), **_children(stored, "AuxLogits", "avgpool", "dropout", "fc"))
    return PatchNetwork(nn.Sequential(parts), POOLS["all"](),
                        nn.Sequential(stored.dropout, nn.Linear(stored.fc.in_features, classes)))


def resnet152(classes: int = 2, *, pretrained: bool = False, pool: str = "all") -> PatchNetwork:
    """ResNet-152: 58,147,906 weights with 2 classes.

    pool: "all", the mean over all positions, or "first7", the authors' AvgPool2d(7). At 227 pixels the last map has
    8 x 8 positions, of which "first7" ignores the last row and column: 15 of 64. Dissection looks at all 64.
    """
    stored = imagenet(models.resnet152, models.ResNet152_Weights.IMAGENET1K_V1) if pretrained else models.resnet152()
    return PatchNetwork(nn.Sequential(_children(stored, "avgpool", "fc")), _pool(pool),
                        nn.Linear(stored.fc.in_features, classes))


def small_alexnet(classes: int = 2, *, width: int = 8) -> PatchNetwork:
    """AlexNet's five convolutions for 64 pixels: a first kernel of 7 pixels, 8 width units in conv5 (features.15)."""
    plan = ((2 * width, 7, 2, True), (3 * width, 5, 1, True), (4 * width, 3, 1, False), (4 * width, 3, 1, False),
            (8 * width, 3, 1, True))
    parts: list[nn.Module] = []
    channels = 3
    for out, kernel, stride, pooled in plan:
        parts += [nn.Conv2d(channels, out, kernel, stride, padding=kernel // 2), nn.BatchNorm2d(out), nn.ReLU()]
        parts += [nn.MaxPool2d(3, stride=2, padding=1)] * pooled
        channels = out
    return _small_fully_connected(nn.Sequential(*parts), channels, classes)


def small_vgg(classes: int = 2, *, width: int = 4) -> PatchNetwork:
    """VGG's groups of 3x3 convolutions for 64 pixels: 1, 1, 2 and 2 of them, 16 width units at last (features.19)."""
    plan = [width, "M", 2 * width, "M", 4 * width, 4 * width, "M", 16 * width, 16 * width, "M"]
    return _small_fully_connected(models.vgg.make_layers(plan, batch_norm=True), 16 * width, classes)


def small_inception(classes: int = 2, *, width: int = 4) -> PatchNetwork:
    """Three blocks of parallel branches, of GoogLeNet's kind, for 64 pixels: 24 width units in the last (Mixed_7c)."""
    features = nn.Sequential(OrderedDict(
        transform_input=TransformInput(), Conv2d_1a_3x3=BasicConv2d(3, width, kernel_size=3, stride=2, padding=1),
        Conv2d_2b_3x3=BasicConv2d(width, 2 * width, kernel_size=3, padding=1),
        maxpool1=nn.MaxPool2d(3, stride=2, padding=1), Mixed_5b=_branches(2, (1, 1, 2, 1, 1, 1), width),
        maxpool2=nn.MaxPool2d(3, stride=2, padding=1), Mixed_7b=_branches(5, (4, 4, 8, 1, 2, 2), width),
        Mixed_7c=_branches(16, (8, 4, 12, 2, 2, 2), width)))
    return PatchNetwork(_kaiming_normal(features), POOLS["all"](), nn.Linear(24 * width, classes))


def small_resnet(classes: int = 2, *, width: int = 4, pool: str = "all") -> PatchNetwork:
    """Four layers of one bottleneck each, for 64 pixels: 32 width units in layer4, 16 width in layer3.

    pool: as in `resnet152`; with maps of 8 x 8 at 64 pixels "first7" ignores as much.
    """
    features = resnet_features(False, (1, 1, 1, 1), width, strides=(2, 2, 1, 2, 1, 1))
    return PatchNetwork(features, _pool(pool), nn.Linear(32 * width, classes))


NETWORKS: dict[str, Callable[..., PatchNetwork]] = {
    "alexnet": alexnet, "vgg16": vgg16, "inception_v3": inception_v3, "resnet152": resnet152,
    "small_alexnet": small_alexnet, "small_vgg": small_vgg, "small_inception": small_inception,
    "small_resnet": small_resnet}


def _fully_connected(build: Callable[..., nn.Module], weights: models.WeightsEnum, classes: int, pretrained: bool
                     ) -> PatchNetwork:
    """torchvision's AlexNet or VGG with a new last layer; the last ReLU of `features` gives out a tensor of its own."""
    stored = imagenet(build, weights) if pretrained else build()
    stored.features[-2].inplace = False
    stored.classifier[6] = nn.Linear(4096, classes)
    return PatchNetwork(stored.features, stored.avgpool, stored.classifier)


def _small_fully_connected(features: nn.Sequential, units: int, classes: int) -> PatchNetwork:
    """Two linear layers behind maps of 4 x 4, without dropout: trainings are short."""
    features[-2].inplace = False
    classifier = nn.Sequential(nn.Linear(16 * units, units // 4), nn.ReLU(), nn.Linear(units // 4, classes))
    return _kaiming_normal(PatchNetwork(features, nn.AdaptiveAvgPool2d(4), classifier))


def _children(network: nn.Module, *left_out: str) -> OrderedDict[str, nn.Module]:
    """The layers of a torchvision network in the order of its forward pass, by name."""
    return OrderedDict((name, layer) for name, layer in network.named_children() if name not in left_out)


def _branches(channels: int, plan: tuple[int, ...], width: int) -> Inception:
    """A block: channels in; 1x1; 3x3, reduced to and out; 3x3 in place of 5x5, likewise; pooled: each times `width`."""
    return Inception(channels * width, *(width * count for count in plan))


def _kaiming_normal(network: nn.Module) -> nn.Module:
    """Kaiming-normal weights and biases of zero, in place."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return network


def _pool(name: str) -> nn.Module:
    if name not in POOLS:
        raise SettingsError(f"unknown value {name!r}", "parameter pool", f"Use one of {', '.join(POOLS)}.")
    return POOLS[name]()
