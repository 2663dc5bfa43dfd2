"""The compared networks of Tan et al. by name, their trainings, and Table 2."""

from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from mdlib.errors import SettingsError
from mdlib.models.attention_densenet import att_a, att_b
from mdlib.models.backbones import count, densenet121, resnet50
from mdlib.papers.chest.settings import PROFILES, Chest
from mdlib.study.spec import RunSpec

BUILD = {"resnet50": resnet50, "densenet121": densenet121, "att_a": att_a, "att_b": att_b}
# layers below `features` whose maps are shown by default; the first is shown first
DEFAULT_LAYERS = {"densenet121": ("norm5", "transition3", "transition2", "transition1"),
                  "att_a": ("transition3", "norm5"), "att_b": ("transition3", "norm5"),
                  "resnet50": ("layer4", "layer3")}
NONIMAGE = "_nonimage"      # behind the name of a network that also sees view, sex and age (section 2.3)
# Table 2; the non-image rows are printed by the authors' notebooks
PAPER_WEIGHTS = {"resnet50": 23538767, "densenet121": 6969231, "att_a": 7920527, "att_b": 6971279,
                 "densenet121_nonimage": 6969288, "att_a_nonimage": 7920584}


@dataclass(frozen=True)
class Run(RunSpec):
    """One training of the chapter. `rate` and `epochs` name the setting that holds the number."""

    part: str = "train"             # what it is fitted to: train, train_val, leaky or grouped
    n_classes: int = 15             # 14 leaves No Finding out
    rate: str = "learning_rate"     # or "low_learning_rate"
    epochs: str = "epochs"          # or "few_epochs", "leak_epochs", "demo_epochs"
    normalise: str = "softmax"      # eq. 4, or "sigmoid": the repair (ours)

    @property
    def body(self) -> str:
        """The network without its non-image branch."""
        return self.network.removesuffix(NONIMAGE)

    def value_label(self, field: str) -> str:
        """The value of one field, for people."""
        return {"n_classes": f"{self.n_classes} classes", "rate": self.rate.replace("_", " "),
                "epochs": self.epochs.replace("_", " ")}.get(field, str(getattr(self, field)))


def network(name: str, settings: Chest, n_classes: int = 15, normalise: str = "softmax") -> nn.Module:
    """One of the compared networks (section 2), named as in BUILD or with NONIMAGE. Raises SettingsError."""
    body = name.removesuffix(NONIMAGE)
    if body not in BUILD:
        raise SettingsError("no such network", f"networks: {name!r}", f"Known: {', '.join(BUILD)}.")
    size = {"layers": settings.resnet_layers, "width": settings.resnet_width} if body == "resnet50" else {
        "growth": settings.growth, "blocks": settings.blocks, "stem": settings.stem}
    attention = {"normalise": normalise} if body.startswith("att") else {}
    return BUILD[body](n_classes, nonimage=body != name, pretrained=settings.pretrained,
                       output_stride=settings.output_stride, **size, **attention)


def build(run: Run, settings: Chest, _facts: dict[str, Any]) -> nn.Module:
    """The network of a training, to be filled with its trained weights."""
    return network(run.network, replace(settings, pretrained=False), run.n_classes, run.normalise)


def inputs(batch: dict[str, Tensor], name: str = "densenet121") -> dict[str, Tensor]:
    """What the network of this name is called with, from a batch of samples."""
    keys = ("image", "nonimage") if name.endswith(NONIMAGE) else ("image",)
    return {key: batch[key] for key in keys}


def weights(settings: Chest = PROFILES["paper"]) -> pd.DataFrame:
    """Table 2, one row per network: chapter, network, weights, paper, source. Built without memory for the weights."""
    settings = replace(settings, pretrained=False)
    with torch.device("meta"):
        counts = {name: count(network(name, settings)) for name in dict.fromkeys([*PAPER_WEIGHTS, *BUILD])}
    return pd.DataFrame([
        {"chapter": "chest", "network": name, "weights": weights, "paper": PAPER_WEIGHTS.get(name, 0),
         "source": "not in the paper" if name not in PAPER_WEIGHTS else
         "authors' notebook" if name.endswith(NONIMAGE) else "Table 2"}
        for name, weights in counts.items()])
