"""The networks of Fan et al. by name, their trainings, and their weights (the paper prints none)."""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn
from torchvision import models
from torchvision.models.resnet import BasicBlock, Bottleneck

from mdlib.errors import SettingsError
from mdlib.models.backbones import STRIDES, Backbone, ImageNetInput, count, imagenet, layer_channels, resnet_features
from mdlib.models.channel_attention import MECHANISMS
from mdlib.models.gated import refuse_unknown
from mdlib.models.instance_fusion import instance_fusion, resnet18_features
from mdlib.papers.gated.settings import PROFILES, Gated
from mdlib.study.spec import RunSpec

BLOCKS = {"bottleneck": Bottleneck, "basic": BasicBlock}
# Inception-v3 scales its input anew where torchvision gives it ImageNet's weights: so it must when it is built again
inception_v3 = partial(models.inception_v3, transform_input=True, init_weights=False)
# networks of the whole picture: ResNet-50 of Table 1, and those of Table 3 that torchvision has
TORCHVISION = {
    "vgg19": (models.vgg19, models.VGG19_Weights.IMAGENET1K_V1),
    "inception_v3": (inception_v3, models.Inception_V3_Weights.IMAGENET1K_V1),
    "densenet161": (models.densenet161, models.DenseNet161_Weights.IMAGENET1K_V1),
    "alexnet": (models.alexnet, models.AlexNet_Weights.IMAGENET1K_V1),
    "resnet152": (models.resnet152, models.ResNet152_Weights.IMAGENET1K_V1),
}
WHOLE = ("resnet50", *TORCHVISION)
WORDS = {"n": "{} instances", "sampler": "sampler: {}", "threshold": "threshold: {}", "reading": "global logits: {}",
         "normalise": "M: {}", "before": "compared: {}", "source": "crops of the {}", "fusion": "fusion: {}",
         "weight": "lambda: {}", "rate": "rate: {}", "split": "split by {}"}

CHOICES = {"weight": ("constant", "paper", "reversed"), "rate": ("cosine", "paper"), "split": ("patient", "picture"),
           "epochs": ("epochs", "demo_epochs")}     # of a run; `models.instance_fusion` checks the other fields


@dataclass(frozen=True)
class Run(RunSpec):
    """One training of the chapter. `network`: a mechanism of Table 2, or one of WHOLE, which see the thumbnail only.

    The other fields are what the text leaves open, or what an ablation replaces; see `models.instance_fusion`. Raises
    SettingsError for an unknown one of CHOICES.
    """

    collection: str = "fungi"       # or breast, bccd
    weight: str = "constant"        # lambda of eq. 3: 1/2 (ours), "paper" from 1 to 0, or "reversed" from 0 to 1 (ours)
    rate: str = "cosine"            # learning rate: half a cosine (ours), or "paper", x 0.1 at each quarter
    split: str = "patient"          # no patient in both parts (ours), or "picture", the paper's
    colour: bool = False            # whether a collection that the settings read in grey is read in colour
    sampler: str = "components"     # or "anchors" (NTS-Net), or "truth": the known boxes (ours)
    n: int = 4                      # instances per picture
    pool: bool = False              # the mean of the instances in place of all of them, one beside the other (ours)
    source: str = "picture"         # or "thumbnail"
    fusion: str = "both"            # or "global" (the thumbnail alone), "local"
    reading: str = "gated"          # or written, semantic, weighted
    normalise: str = "standard"     # or sum, mean
    before: str = "relu"            # or prerelu, centred
    threshold: str = "quantile"     # of Omega: 6 % of the picture is lit (ours); or mean, otsu
    epochs: str = "epochs"          # the setting that holds the number, or "demo_epochs"

    def __post_init__(self):
        for field, known in CHOICES.items():
            refuse_unknown(field, getattr(self, field), known)

    def value_label(self, field: str) -> str:
        """The value of one field, for people."""
        value = getattr(self, field)
        if field in ("pool", "colour"):
            return {"pool": ("concatenated", "mean of the instances"), "colour": ("grey", "colour")}[field][value]
        return WORDS[field].format(value) if field in WORDS else str(value).replace("_", " ")


class WholePicture(nn.Module):
    """A network of torchvision that sees the whole picture as its thumbnail."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.input, self.network = ImageNetInput(), network

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """image (B, 1 or 3, h, w) in [0, 1] -> {"logits": (B, classes)}."""
        return {"logits": self.network(self.input(image))}


def network(run: Run, settings: Gated, classes: int) -> nn.Module:
    """The network of a training, with the weights it starts from (section 3). Raises SettingsError for another name."""
    if run.network == "resnet50":
        features = resnet_features(settings.pretrained, settings.instance_layers, settings.instance_width,
                                   BLOCKS[settings.instance_block], settings.strides)
        return Backbone(features, layer_channels(features), classes, nonimage=False)
    if run.network in TORCHVISION:
        return WholePicture(_torchvision(run.network, classes, settings.pretrained))
    if run.network not in MECHANISMS:
        raise SettingsError("no such network", f"networks: {run.network!r}",
                            f"Known: {', '.join((*MECHANISMS, *WHOLE))}.")
    options = {"dilations": settings.dilations, "normalise": run.normalise, "before": run.before}
    known_boxes = run.sampler == "truth"
    return instance_fusion(
        classes, run.network, sampler="components" if known_boxes else run.sampler, fusion=run.fusion,
        pretrained=settings.pretrained, layers=settings.layers, width=settings.width, strides=settings.strides,
        instance_layers=settings.instance_layers, instance_width=settings.instance_width,
        instance_strides=settings.instance_strides, instance_block=BLOCKS[settings.instance_block],
        mechanism_options=options if run.network == "gated" else {},
        sampler_options={"threshold": run.threshold} if run.sampler == "components" else {},
        n=run.n, crop=settings.crop, reading=run.reading, pool=run.pool, source=run.source)


def _torchvision(name: str, classes: int, pretrained: bool) -> nn.Module:
    build, weights = TORCHVISION[name]
    net = imagenet(build, weights) if pretrained else build()
    if name == "inception_v3":      # without its auxiliary head, which needs pictures of 299 pixels (ours)
        net.aux_logits, net.AuxLogits = False, None
    path = [path for path, module in net.named_modules() if isinstance(module, nn.Linear)][-1]
    parent, _, child = path.rpartition(".")
    setattr(net.get_submodule(parent), child, nn.Linear(net.get_submodule(path).in_features, classes))
    return net


def build(run: Run, settings: Gated, facts: dict[str, Any]) -> nn.Module:
    """The network of a training, to be filled with its trained weights."""
    return network(run, replace(settings, pretrained=False), len(facts["classes"]))


def inputs(batch: dict[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """What a network is called with, from a batch of samples."""
    keys = ("image", "picture", "extent", "boxes") if getattr(model, "instance_features", None) else ("image",)
    return {key: batch[key] for key in keys if key in batch}


def weights(settings: Gated = PROFILES["paper"]) -> pd.DataFrame:
    """One row per network or part: chapter, network, weights, paper, source. Built without memory for the weights.

    The paper prints no number of weights.
    """
    settings = replace(settings, pretrained=False)
    with torch.device("meta"):
        features = resnet18_features(layers=settings.layers, width=settings.width, strides=settings.strides)
        bodies = {"resnet18_body": features, "resnet50_body": resnet_features(
            False, settings.instance_layers, settings.instance_width, BLOCKS[settings.instance_block], STRIDES)}
        channels = layer_channels(features)
        mechanisms = {name: mechanism(channels) for name, mechanism in MECHANISMS.items()}
        made = {(classes, n): network(Run("gated", n=max(n, 1), pool=n == 0), settings, classes)
                for classes in (5, 4) for n in (4, 1, 2, 6, 0)}
        heads = {f"fusion_{n or 'pooled'}_{classes}_classes": net.head for (classes, n), net in made.items()}
        whole = {name: network(Run(name), settings, 4) for name in WHOLE}
        whole["inception_v3_with_aux"] = inception_v3(num_classes=4)
        default = {f"default_{classes}_classes": made[classes, 4] for classes in (5, 4)}
        counts = {name: count(module) for name, module in {**bodies, **mechanisms, **heads, **default, **whole}.items()}
    return pd.DataFrame([{"chapter": "gated", "network": name, "weights": weights, "paper": 0,
                          "source": "the paper prints none"} for name, weights in counts.items()])
