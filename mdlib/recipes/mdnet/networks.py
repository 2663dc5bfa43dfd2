"""The networks of the rows of Table 2 and of Table 1, built from settings, and their weights."""

import pandas as pd
import torch
from torch import nn

from mdlib.errors import SettingsError
from mdlib.models.backbones import count
from mdlib.models.ecnet import ecnet, preact_resnet, wide_resnet
from mdlib.models.googlenet import googlenet
from mdlib.models.mdnet import MDNet
from mdlib.models.report_lstm import ReportLSTM
from mdlib.recipes.mdnet.rows import EVERY
from mdlib.recipes.mdnet.settings import Settings

Colour = tuple[float, float, float]
# Table 1: how each is built for a number of classes; and a small one of its kind (ours), one block per group, of 55,962
# to 126,746 weights with ten classes
TABLE_1 = {"ecnet_110_4": lambda classes, **of: ecnet(110, 4, classes, **of),
           "ecnet_56_12": lambda classes, **of: ecnet(56, 12, classes, **of),
           "wrn_40_4": lambda classes, **of: wide_resnet(40, 4, classes, **of),
           "resnet_164": lambda classes, **of: preact_resnet(164, classes, **of)}
SMALL = {"ecnet_110_4": lambda classes, **of: ecnet(11, 3, classes, **of),
         "ecnet_56_12": lambda classes, **of: ecnet(11, 4, classes, **of),
         "wrn_40_4": lambda classes, **of: wide_resnet(10, 1, classes, **of),
         "resnet_164": lambda classes, **of: preact_resnet(11, classes, **of)}
# the authors' logs for EcNet-56-12, the sums that the text of the paper gives for the others (their names tell classes)
WEIGHTS = {"ecnet_56_12_c10": 7918362, "ecnet_56_12_c100": 7987572, "ecnet_110_4_c10": 1841818,
           "ecnet_110_4_c100": 1864948, "ecnet_38_8_c4": 2265428, "wrn_40_4_c10": 8949210, "wrn_40_4_c100": 8972340,
           "resnet_164_c10": 1703258, "resnet_164_c100": 1726388}


def image_model(settings: Settings, name: str, classes: int, mean: Colour, std: Colour) -> nn.Module:
    """EcNet or GoogLeNet with the sizes of the settings and fresh weights; no ImageNet (section 5.2)."""
    if name == "ecnet":
        return ecnet(settings.depth, settings.width, classes, stem=settings.stem, mean=mean, std=std)
    return googlenet(classes, width=settings.googlenet_width, mean=mean, std=std)


def network(settings: Settings, row: str, vocabulary: int, parts: int, classes: int, mean: Colour,
            std: Colour) -> MDNet:
    """The network of a row of Table 2, with fresh weights; `parts` is 1 for a baseline, which writes one sentence.

    Raises SettingsError for another name.
    """
    if row not in EVERY:
        raise SettingsError("it is not known", f"row {row!r}", f"Known: {', '.join(EVERY)}.")
    of = EVERY[row]
    image = image_model(settings, of.image, classes, mean, std)
    language = ReportLSTM(vocabulary, parts if of.split else 1, image.channels, positions(image, settings.side),
                          embedding=settings.embedding, hidden=settings.hidden, attention=of.attention,
                          dropout=settings.dropout)
    return MDNet(image, language)


def positions(image: nn.Module, side: int) -> int:
    """Places in the last map of an image model, h x w, for square images of `side` pixels."""
    with torch.no_grad():
        return image.eval().features(torch.zeros(1, 3, side, side)).shape[2:].numel()


def recognition_network(settings: Settings, name: str, classes: int, mean: Colour, std: Colour) -> nn.Module:
    """A network of Table 1, or the small one of its kind."""
    return (SMALL if settings.recognition_small else TABLE_1)[name](classes, mean=mean, std=std)


def weights() -> pd.DataFrame:
    """One row per network: chapter, network, weights, paper, source. Built without memory for the weights."""
    with torch.device("meta"):
        counts = {name: count(_named(name)) for name in WEIGHTS}
    return pd.DataFrame([{"chapter": "mdnet", "network": name, "weights": counts[name], "paper": paper, "source":
                          "authors' log" if name.startswith("ecnet_56") else "counted from the text"}
                         for name, paper in WEIGHTS.items()])


def _named(name: str) -> nn.Module:
    network, _, classes = name.rpartition("_c")
    return ecnet(38, 8, int(classes)) if network == "ecnet_38_8" else TABLE_1[network](int(classes))
