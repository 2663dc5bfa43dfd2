"""The compared networks of Tan et al. by name, and Table 2."""

from dataclasses import replace

import pandas as pd
import torch
from torch import nn

from mdlib.errors import SettingsError
from mdlib.models.attention_densenet import att_a, att_b
from mdlib.models.backbones import count, densenet121, resnet50
from mdlib.recipes.chest.settings import PAPER_WEIGHTS, PROFILES, Chest

BUILD = {"resnet50": resnet50, "densenet121": densenet121, "att_a": att_a, "att_b": att_b}


def network(name: str, settings: Chest, classes: int = 15, normalise: str = "softmax") -> nn.Module:
    """One of the compared networks (section 2), named as in PAPER_WEIGHTS. Raises SettingsError for another name."""
    if name not in PAPER_WEIGHTS:
        raise SettingsError("no such network", f"networks: {name!r}", f"Known: {', '.join(PAPER_WEIGHTS)}.")
    body = name.removesuffix("_nonimage")
    size = {"layers": settings.resnet_layers, "width": settings.resnet_width} if body == "resnet50" else {
        "growth": settings.growth, "blocks": settings.blocks, "stem": settings.stem}
    attention = {"normalise": normalise} if body.startswith("att") else {}
    return BUILD[body](classes, nonimage=body != name, pretrained=settings.pretrained, **size, **attention)


def weights(settings: Chest | None = None) -> pd.DataFrame:
    """Table 2, a row a network: chapter, network, weights, paper, source. Built without memory for the weights."""
    settings = replace(settings or PROFILES["paper"], pretrained=False)
    with torch.device("meta"):
        counts = {name: count(network(name, settings)) for name in PAPER_WEIGHTS}
    return pd.DataFrame([
        {"chapter": "chest", "network": name, "weights": counts[name], "paper": paper,
         "source": "authors' notebook" if name.endswith("_nonimage") else "Table 2"}
        for name, paper in PAPER_WEIGHTS.items()])
