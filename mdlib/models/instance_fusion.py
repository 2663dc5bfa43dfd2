"""The network of Fan et al. (Fig. 2): attention over a thumbnail, instances at full resolution, and both fused.

    thumbnail -> features X -> mechanism -> X', Omega -> global logits Y_g
    Omega -> boxes -> crops of the picture -> instance features, one network for all -> with the global ones -> Y_f

Crops take about 95 % of the arithmetic of the published sizes. The boxes carry no gradient: a mechanism learns through
the vector of the thumbnail only, which both logits read, and only if `gated.pooled` makes this vector of its features.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torchvision import models
from torchvision.models.resnet import BasicBlock, Bottleneck

from mdlib.errors import DataError, SettingsError
from mdlib.models.anchors import anchor_boxes
from mdlib.models.backbones import STRIDES, ImageNetInput, imagenet, layer_channels, resnet_features
from mdlib.models.channel_attention import MECHANISMS
from mdlib.models.crops import crops
from mdlib.models.gated import READINGS, pooled, refuse_unknown
from mdlib.models.instances import Instances, component_boxes

SAMPLERS = {"components": component_boxes, "anchors": anchor_boxes}
FUSIONS = ("both", "local", "global")
SOURCES = ("picture", "thumbnail")
RESNET18 = (2, 2, 2, 2)


class InstanceFusion(nn.Module):
    """Class of a picture from all of it and from its instances (Fan et al., Fig. 2).

    features: of the thumbnail; mechanism: of `channel_attention`, built for their channels; instance_features: of the
    crops, None for a network without the local branch (fusion `global`). n: boxes per picture. crop: side of a crop in
    pixels (336 in the paper). sampler: (maps, extent, n=) -> Instances. pool: the instances' features are averaged over
    those found, in place of one behind the other, so that the head takes any n. reading: see `gated.pooled`. source:
    what crops are cut from; `thumbnail` enlarges them instead, which is what the paper argues against.
    """

    def __init__(self, features: nn.Sequential, mechanism: nn.Module, instance_features: nn.Sequential | None,
                 classes: int, *, n: int = 4, crop: int = 336,
                 sampler: Callable[..., Instances] = component_boxes, reading: str = "gated", fusion: str = "both",
                 pool: bool = False, source: str = "picture"):
        super().__init__()
        refuse_unknown("reading", reading, READINGS)
        refuse_unknown("fusion", fusion, FUSIONS)
        refuse_unknown("source", source, SOURCES)
        if (instance_features is None) != (fusion == "global"):
            raise SettingsError(f"is {fusion!r} for a network with{'out' * (instance_features is None)} instance "
                                "features", "parameter fusion", "Fusion `global` has none; the others need them.")
        if n < 1:
            raise SettingsError(f"is {n}", "parameter n", "Use 1 or more instances, or fusion='global' for none.")
        self.input = ImageNetInput()
        self.features, self.mechanism, self.instance_features = features, mechanism, instance_features
        self.n, self.crop, self.sampler, self.source = n, crop, sampler, source
        self.reading, self.fusion, self.pool = reading, fusion, pool
        channels = layer_channels(features)
        self.classifier = nn.Linear(channels, classes)
        self.head = None
        if instance_features is not None:
            local = layer_channels(instance_features) * (1 if pool else n)
            self.head = nn.Linear(local + (channels if fusion == "both" else 0), classes)

    def forward(self, image: Tensor, picture: Tensor | None = None, extent: Tensor | None = None,
                boxes: Tensor | None = None, *, local: bool = True) -> dict[str, Tensor]:
        """Classify pictures by their thumbnails and the crops of their instances.

        image: thumbnails (B, 1 or 3, h, w) in [0, 1]; picture: the originals (B, 1 or 3, H, W) uint8, each padded at
        the bottom and right to the largest; extent: int (B, 2), their own heights and widths. Returns a dict of

        `logits` (B, classes): Y_f; Y_g of a network without the local branch, or where it is left out (local=False)
        `global_logits` (B, classes): Y_g
        `attention` (B, h', w'): Omega, raw, and where the mechanism has them `semantic` S (B, h', w'), which sums to 1,
        and `gates` (B, C)
        `boxes` (B, n, 4): top, left, bottom, right in fractions of the picture, the best first; `found` (B, n) bool:
        False for a box that repeats the first, or is the whole picture; True for boxes that are given. Neither is there
        where the local branch is left out.

        boxes: (B, n, 4), known ones in place of the sampler's, to see what perfect boxes would give (ours).
        local: leave it out while its loss has the weight 0 (eq. 3, lambda = 1); picture and extent are then not used.
        Raises SettingsError for arguments that do not fit one another, DataError for a picture smaller than a crop, a
        box or extent that does not fit it, or maps that are NaN.
        """
        x = self.features(self.input(image))                                               # X, (B, C, h', w')
        refined = self.mechanism(x)
        vector = pooled(self.reading, x.relu(), refined)                                   # (B, C)
        shown = {name: refined[name] for name in ("attention", "semantic", "gates") if name in refined}
        out = {"logits": self.classifier(vector), **shown}
        out["global_logits"] = out["logits"]
        if self.instance_features is None or not local:
            return out
        if picture is None or extent is None:
            raise SettingsError("missing", "picture or extent", "Pass both, or local=False for the thumbnail alone.")
        self._check(image, picture, extent, boxes)
        boxes, found = self.sampler(refined["attention"], extent, n=self.n) if boxes is None else Instances(
            boxes, torch.ones(boxes.shape[:2], dtype=torch.bool, device=boxes.device))
        instances = self.instances(image, picture, extent, boxes)                          # (B, n, D)
        return {**out, "logits": self._fuse(vector, instances, found), "boxes": boxes, "found": found}

    def instances(self, image: Tensor, picture: Tensor, extent: Tensor, boxes: Tensor) -> Tensor:
        """The features of the crops at boxes (B, m, 4), any m, (B, m, D): one batch for the network of the crops."""
        if self.source == "thumbnail":
            cut = crops(image, extent.new_tensor(image.shape[2:]).expand(len(image), -1), boxes, self.crop)
        else:
            _refuse_small(extent, self.crop)
            cut = crops(picture, extent, boxes, self.crop)
        features = self.instance_features(self.input(cut.flatten(0, 1))).mean(dim=(2, 3))
        return features.unflatten(0, boxes.shape[:2])

    def _check(self, image: Tensor, picture: Tensor, extent: Tensor, boxes: Tensor | None) -> None:
        lengths = {"image": len(image), "picture": len(picture), "extent": len(extent)}
        if len(set(lengths.values())) > 1:
            raise SettingsError(f"{lengths} are not of one length", "parameters image, picture, extent",
                                "Give one row per picture.")
        if boxes is not None and (boxes.ndim != 3 or (boxes.shape[1] != self.n and not self.pool)):
            raise SettingsError(f"has shape {tuple(boxes.shape)}", "parameter boxes",
                                f"This network fuses {self.n} instances: give (B, {self.n}, 4).")

    def _fuse(self, vector: Tensor, instances: Tensor, found: Tensor) -> Tensor:
        """Y_f from the global vector (B, C) and the instances (B, n, D)."""
        if self.pool:
            counted = (found | ~found.any(dim=1, keepdim=True)).to(instances.dtype)[..., None]
            parts = [(counted * instances).sum(dim=1) / counted.sum(dim=1)]
        else:
            parts = [instances.flatten(1)]
        return self.head(torch.cat([vector, *parts] if self.fusion == "both" else parts, dim=1))


def instance_fusion(classes: int = 5, mechanism: str = "gated", *, sampler: str = "components", fusion: str = "both",
                    pretrained: bool = False, layers: tuple[int, int, int, int] = RESNET18, width: int = 64,
                    strides: tuple[int, ...] = STRIDES, instance_layers: tuple[int, int, int, int] = (3, 4, 6, 3),
                    instance_width: int = 64, instance_strides: tuple[int, ...] = STRIDES,
                    instance_block: type[BasicBlock] | type[Bottleneck] = Bottleneck,
                    mechanism_options: dict[str, Any] | None = None, sampler_options: dict[str, Any] | None = None,
                    **options: Any) -> InstanceFusion:
    """The network of Fan et al., section 3: ResNet-18 for the thumbnail, ResNet-50 for the crops.

    34,739,850 weights with the gated mechanism, 4 instances and 5 classes, 34,730,632 with 4 (ours: the paper prints no
    number). mechanism: a name of MECHANISMS, sampler: of SAMPLERS, with options of their own: the networks that mdlib
    ships have sampler_options={"threshold": "quantile"}. Other options as in `InstanceFusion`. Smaller bodies with
    `layers`, `width` and `strides`, as in `resnet_features`, and the same for the crops (ours). pretrained: both bodies
    start from ImageNet's weights.
    """
    refuse_unknown("mechanism", mechanism, MECHANISMS)
    refuse_unknown("sampler", sampler, SAMPLERS)
    chosen = mechanism_options or {}
    features = resnet18_features(pretrained, layers, width, strides, last_relu=chosen.get("before") != "prerelu")
    local = None if fusion == "global" else resnet_features(pretrained, instance_layers, instance_width,
                                                            instance_block, instance_strides)
    return InstanceFusion(features, MECHANISMS[mechanism](layer_channels(features), **chosen), local, classes,
                          sampler=partial(SAMPLERS[sampler], **(sampler_options or {})), fusion=fusion, **options)


class WithoutLastReLU(BasicBlock):
    """A block of ResNet-18 whose output is given before its last ReLU: the sum of shortcut and convolutions."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C', H', W')."""
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        return y + (x if self.downsample is None else self.downsample(x))


def resnet18_features(pretrained: bool = False, layers: tuple[int, int, int, int] = RESNET18, width: int = 64,
                      strides: tuple[int, ...] = STRIDES, last_relu: bool = True) -> nn.Sequential:
    """ResNet-18 up to layer4, 11,176,512 weights: (B, 3, H, W) -> (B, 8 width, H/32, W/32), rounded up.

    last_relu: False gives out the values before the ReLU at the end of layer4.
    """
    features = resnet_features(False, layers, width, BasicBlock, strides)
    if not last_relu:
        last = features.layer4[-1]
        block = WithoutLastReLU(last.conv1.in_channels, last.conv1.out_channels, last.stride, last.downsample)
        block.load_state_dict(last.state_dict())
        features.layer4[-1] = block
    if pretrained:
        if (tuple(layers), width, tuple(strides)) != (RESNET18, 64, STRIDES):
            raise SettingsError(f"ImageNet weights exist for layers {RESNET18}, width 64, strides {STRIDES} only",
                                "parameter pretrained", "Use these sizes, or pretrained=False.")
        stored = imagenet(models.resnet18, models.ResNet18_Weights.IMAGENET1K_V1).state_dict()
        features.load_state_dict({name: value for name, value in stored.items() if not name.startswith("fc.")})
    return features


def _refuse_small(extent: Tensor, crop: int) -> None:
    small = (extent < crop).any(dim=1)
    if small.any():
        row = int(small.long().argmax())
        raise DataError(f"the picture of {' x '.join(map(str, extent[row].tolist()))} pixels is smaller than a crop of "
                        f"{crop}", f"picture {row} of the batch", "Leave it out, or use a smaller crop.")
