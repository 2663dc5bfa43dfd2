"""The compared networks of Tan et al. by name, and Table 2."""

from dataclasses import replace

import pandas as pd
import torch
from torch import nn

from mdlib.errors import SettingsError
from mdlib.models.attention_densenet import AttentionDenseNet
from mdlib.models.backbones import densenet121, resnet50
from mdlib.recipes.chest.settings import PROFILES, Chest

# Table 2; the non-image rows are printed by the authors' notebooks
PAPER_WEIGHTS = {"resnet50": 23538767, "densenet121": 6969231, "att_a": 7920527, "att_b": 6971279,
                 "densenet121_nonimage": 6969288, "att_a_nonimage": 7920584}


def network(name: str, settings: Chest) -> nn.Module:
    """One of the compared networks (section 2), named as in PAPER_WEIGHTS. Raises SettingsError for another name."""
    if name not in PAPER_WEIGHTS:
        raise SettingsError("no such network", f"networks: {name!r}", f"Known: {', '.join(PAPER_WEIGHTS)}.")
    body, nonimage = name.removesuffix("_nonimage"), name.endswith("_nonimage")
    common = {"classes": settings.classes, "nonimage": nonimage, "pretrained": settings.pretrained}
    if body == "resnet50":
        return resnet50(**common, layers=settings.resnet_layers, width=settings.resnet_width)
    dense = {"growth": settings.growth, "blocks": settings.blocks, "stem": settings.stem}
    if body == "densenet121":
        return densenet121(**common, **dense)
    variant = {"att_a": "attA", "att_b": "attB"}[body]
    return AttentionDenseNet(variant, normalise=settings.normalise, **common, **dense)


def count(model: nn.Module) -> int:
    """Number of weights."""
    return sum(weight.numel() for weight in model.parameters())


def weights(settings: Chest | None = None) -> pd.DataFrame:
    """Table 2, a row a network: chapter, network, weights, paper, source. Built without memory for the weights."""
    settings = replace(settings or PROFILES["paper"], pretrained=False)
    with torch.device("meta"):
        counts = {name: count(network(name, settings)) for name in PAPER_WEIGHTS}
    return pd.DataFrame([
        {"chapter": "chest", "network": name, "weights": counts[name], "paper": paper,
         "source": "authors' notebook" if name.endswith("_nonimage") else "Table 2"}
        for name, paper in PAPER_WEIGHTS.items()])
