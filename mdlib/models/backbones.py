"""ResNet and DenseNet, and the parts that networks of several chapters share.

    image (B, 1, H, W) in [0, 1] -> ImageNetInput -> features -> the chapter's own layers -> logits (B, classes)

`densenet121` and `resnet50` are the baselines of chapter "chest" (Tan et al., sections 2.1-2.6); `resnet_features`
also gives chapter "mims" its ResNet-101 and ResNet-34 (Li et al., section 3.2). Layer names are torchvision's below
`features` (`features.transition1`, `features.norm5`, `features.layer4`), so ImageNet weights fit, and an explainer
finds them. The ReLU after norm5 is `features.relu5` and writes into a tensor of its own: torchvision's overwrites the
output of norm5, which is the map A that Tan et al., section 2.5, explain.
"""

import pickle
from collections import OrderedDict
from collections.abc import Callable, Collection
from pathlib import Path

import torch
from torch import Tensor, nn
from torchvision import models
from torchvision.models.resnet import BasicBlock, Bottleneck

from mdlib.errors import SettingsError

STRIDES = (2, 2, 1, 2, 2, 2)    # of a ResNet: conv1, max pooling, layer1 .. layer4
OUTPUT_STRIDES = (32, 16, 8)    # pixels of the image per cell of the last layer's map
IMAGENET_RESNETS = {
    (BasicBlock, (3, 4, 6, 3), 64, STRIDES): (models.resnet34, models.ResNet34_Weights.IMAGENET1K_V1),
    (Bottleneck, (3, 4, 6, 3), 64, STRIDES): (models.resnet50, models.ResNet50_Weights.IMAGENET1K_V1),
    (Bottleneck, (3, 4, 23, 3), 64, STRIDES): (models.resnet101, models.ResNet101_Weights.IMAGENET1K_V1),
}


class ImageNetInput(nn.Module):
    """Three channels with the mean and spread of ImageNet's images (Tan et al., section 2.4).

    image (B, 1, H, W) grey or (B, 3, H, W), [0, 1] -> (B, 3, H, W). Part of the network, so that an explanation
    reaches back to pixels in [0, 1]. Has no weights and leaves nothing in a checkpoint.
    """

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1), persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        if image.ndim != 4 or image.shape[1] not in (1, 3):
            raise SettingsError(f"has shape {tuple(image.shape)}", "image", "Pass (B, 1, H, W) or (B, 3, H, W).")
        return (image - self.mean) / self.std    # grey meets three means: broadcasting makes it RGB


class Classifier(nn.Module):
    """One logit per class, from image features and, where built with it, the non-image branch (section 2.3, Fig. 4).

    features (B, C), nonimage (B, 3): age (z-scored), sex, view -> Linear(3, 3) -> ReLU -> beside the features.
    No sigmoid: the loss takes logits. Raises SettingsError when `nonimage` is missing, or given but not wanted.
    """

    def __init__(self, features: int, classes: int, nonimage: bool = False):
        super().__init__()
        self.branch = nn.Linear(3, 3) if nonimage else None
        self.linear = nn.Linear(features + (3 if nonimage else 0), classes)
        xavier_normal(self)

    def forward(self, features: Tensor, nonimage: Tensor | None = None) -> Tensor:
        if self.branch is None:
            if nonimage is not None:
                raise SettingsError("given to a network without the non-image branch", "nonimage",
                                    "Leave it out, or build the network with nonimage=True.")
            return self.linear(features)
        if nonimage is None or nonimage.shape != (len(features), 3):
            found = "missing" if nonimage is None else f"of shape {tuple(nonimage.shape)}"
            raise SettingsError(f"{found}, but the network has the non-image branch", "nonimage",
                                f"Pass ({len(features)}, 3): age, sex, view; or build it with nonimage=False.")
        return self.linear(torch.cat([features, self.branch(nonimage).relu()], dim=1))


class Backbone(nn.Module):
    """A baseline of section 2.1: `features`, their mean over pixels, and the classifier."""

    def __init__(self, features: nn.Sequential, channels: int, classes: int, nonimage: bool):
        super().__init__()
        self.input = ImageNetInput()
        self.features = features
        self.classifier = Classifier(channels, classes, nonimage)

    def forward(self, image: Tensor, nonimage: Tensor | None = None) -> dict[str, Tensor]:
        """image (B, 1 or 3, H, W) in [0, 1], nonimage (B, 3) -> {"logits": (B, classes)}."""
        features = self.features(self.input(image))                            # (B, C, h, w)
        return {"logits": self.classifier(features.mean(dim=(2, 3)), nonimage)}


def densenet121(classes: int = 15, *, nonimage: bool = False, pretrained: bool = False, growth: int = 32,
                blocks: tuple[int, ...] = (6, 12, 24, 16), stem: int = 64, output_stride: int = 32) -> Backbone:
    """DenseNet-121: 6,969,231 weights (Tan et al., Table 2); smaller with other `growth`, `blocks`, `stem` (ours).

    output_stride as in `densenet_features`.
    """
    features = densenet_features(pretrained, growth, blocks, stem, output_stride)
    return Backbone(features, features.norm5.num_features, classes, nonimage)


def resnet50(classes: int = 15, *, nonimage: bool = False, pretrained: bool = False,
             layers: tuple[int, int, int, int] = (3, 4, 6, 3), width: int = 64, output_stride: int = 32) -> Backbone:
    """ResNet-50: 23,538,767 weights (Tan et al., Table 2); smaller with other `layers`, `width` (ours).

    output_stride: 32, or 16 and 8: the last one or two layers keep the size of their map (ours).
    """
    kept = _kept_sizes(output_stride)
    features = resnet_features(pretrained, layers, width, strides=STRIDES[:6 - kept] + (1,) * kept)
    return Backbone(features, 8 * width * Bottleneck.expansion, classes, nonimage)


def densenet_features(pretrained: bool, growth: int, blocks: tuple[int, ...], stem: int, output_stride: int = 32
                      ) -> nn.Sequential:
    """torchvision's DenseNet up to norm5, and the ReLU behind it, not in place: (B, 3, H, W) -> (B, C, H/32, W/32).

    Without ImageNet weights the convolutions keep torchvision's Kaiming-normal start (ours: the paper has them
    pre-trained). output_stride: 32, or 16 and 8: the last one or two transitions do not pool, so that small images
    have larger maps (ours).
    """
    features = models.DenseNet(growth, tuple(blocks), stem, num_classes=1).features
    transitions = [layer for name, layer in features.named_children() if name.startswith("transition")]
    for transition in transitions[len(transitions) - _kept_sizes(output_stride):]:
        transition.pool = nn.Identity()
    features.add_module("relu5", nn.ReLU())
    if pretrained:
        _refuse_other_sizes((growth, tuple(blocks), stem), [(32, (6, 12, 24, 16), 64)], "growth, blocks, stem")
        stored = imagenet(models.densenet121, models.DenseNet121_Weights.IMAGENET1K_V1)
        features.load_state_dict(stored.features.state_dict())
    return features


def resnet_features(pretrained: bool, layers: tuple[int, int, int, int], width: int,
                    block: type[BasicBlock] | type[Bottleneck] = Bottleneck,
                    strides: tuple[int, ...] = STRIDES) -> nn.Sequential:
    """ResNet up to layer4: (B, 3, H, W) -> (B, C, H/32, W/32), rounded up; C = 8 width, with Bottleneck 32 width.

    ResNet-34 is BasicBlock with layers (3, 4, 6, 3), ResNet-50 Bottleneck with the same, ResNet-101 Bottleneck with
    (3, 4, 23, 3); width 64. layer3 and layer4 are conv4_x and conv5_x of He et al. torchvision's own class has a
    fixed width of 64; names and initial weights (Kaiming normal, fan out) are its. Smaller `strides` keep larger
    maps of small images (ours); a max pooling of stride 1 is left out.
    """
    parts = OrderedDict(conv1=nn.Conv2d(3, width, 7, stride=strides[0], padding=3, bias=False),
                        bn1=nn.BatchNorm2d(width), relu=nn.ReLU(inplace=True))
    if strides[1] > 1:
        parts["maxpool"] = nn.MaxPool2d(3, stride=strides[1], padding=1)
    channels = width
    for i, (blocks, stride) in enumerate(zip(layers, strides[2:], strict=True)):
        parts[f"layer{i + 1}"] = _resnet_layer(block, channels, width * 2**i, blocks, stride)
        channels = width * 2**i * block.expansion
    features = nn.Sequential(parts)
    for module in features.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    if pretrained:
        size = (block, tuple(layers), width, tuple(strides))
        _refuse_other_sizes(size, IMAGENET_RESNETS, "block, layers, width, strides")
        stored = imagenet(*IMAGENET_RESNETS[size]).state_dict()
        features.load_state_dict({name: value for name, value in stored.items() if not name.startswith("fc.")})
    return features


def _kept_sizes(output_stride: int) -> int:
    """How many of the last layers keep the size of their map. Raises SettingsError for another output stride."""
    if output_stride not in OUTPUT_STRIDES:
        raise SettingsError(f"{output_stride} pixels per cell", "parameter output_stride",
                            f"Use one of {', '.join(map(str, OUTPUT_STRIDES))}.")
    return OUTPUT_STRIDES.index(output_stride)


def _resnet_layer(block: type[BasicBlock] | type[Bottleneck], channels: int, width: int, blocks: int,
                  stride: int) -> nn.Sequential:
    out, shortcut = width * block.expansion, None
    if stride != 1 or channels != out:
        shortcut = nn.Sequential(nn.Conv2d(channels, out, 1, stride=stride, bias=False), nn.BatchNorm2d(out))
    rest = [block(out, width) for _ in range(blocks - 1)]
    return nn.Sequential(block(channels, width, stride, shortcut), *rest)


def layer_channels(layer: nn.Module) -> int:
    """Channels that a layer of a ResNet or DenseNet gives out: those of its last batch normalisation."""
    return [module.num_features for module in layer.modules() if isinstance(module, nn.BatchNorm2d)][-1]


def count(module: nn.Module) -> int:
    """Number of weights."""
    return sum(weight.numel() for weight in module.parameters())


def xavier_normal(module: nn.Module) -> None:
    """Xavier-normal weights for new layers, in place (Tan et al., section 2.6); biases start at zero (ours).

    The text gives this start to all new weights, and so do we; the authors' code gives it to the classifier only.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            nn.init.xavier_normal_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def imagenet(build: Callable[..., nn.Module], weights: models.WeightsEnum) -> nn.Module:
    """torchvision's network with its ImageNet weights, downloaded once. Raises SettingsError when it cannot be had."""
    path = Path(torch.hub.get_dir()) / "checkpoints" / Path(weights.url).name
    try:
        return build(weights=weights)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        what = "the file of ImageNet weights is damaged" if path.exists() else "ImageNet weights cannot be downloaded"
        why = (str(error).splitlines() or [type(error).__name__])[0]
        raise SettingsError(f"{what} ({why})", "parameter pretrained",
                            f"Fetch {weights.url} on a machine with network and put it at {path}, "
                            "or start from random weights with pretrained=False (--set pretrained=false; in chapter "
                            "mims --set pretrained=none).") from error


def _refuse_other_sizes(found: tuple, published: Collection[tuple], names: str) -> None:
    if found not in published:
        known = " or ".join(map(_readable, published))
        raise SettingsError(f"ImageNet weights exist for {names} = {known} only, not for {_readable(found)}",
                            "parameter pretrained", "Use these sizes, or pretrained=False.")


def _readable(size: tuple) -> str:
    return f"({', '.join(value.__name__ if isinstance(value, type) else str(value) for value in size)})"
