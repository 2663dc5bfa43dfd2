"""The networks of Wu et al. by name, their trainings, and their weights (the paper prints none)."""

from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from mdlib.errors import SettingsError
from mdlib.models import patch_networks
from mdlib.models.backbones import count
from mdlib.papers.mammography.settings import NETWORKS, PROFILES, Mammography
from mdlib.study.spec import RunSpec

SMALL = dict(zip(NETWORKS, ("small_alexnet", "small_vgg", "small_inception", "small_resnet"), strict=True))
WITH_POOL = "resnet152"                 # the network whose pooling the authors' code leaves open


@dataclass(frozen=True)
class Run(RunSpec):
    """One training of the chapter. Raises SettingsError for an unknown network or pooling."""

    pool: str = "all"                   # of ResNet-152; or "first7", the authors'
    epochs: str = "epochs"              # the setting that holds the number, or "demo_epochs"

    def __post_init__(self):
        if self.network not in NETWORKS:
            raise SettingsError("no such network", f"networks: {self.network!r}", f"Known: {', '.join(NETWORKS)}.")
        if self.pool not in patch_networks.POOLS or (self.pool != "all" and self.network != WITH_POOL):
            raise SettingsError(f"{self.network} has no pooling {self.pool!r}", "field pool",
                                f"Use {', '.join(patch_networks.POOLS)}, the last with {WITH_POOL} only.")


def network(run: Run, settings: Mammography) -> nn.Module:
    """The network of a training, with the weights it starts from and two classes (section 2.2)."""
    options: dict[str, Any] = {"pool": run.pool} if run.network == WITH_POOL else {}
    if not settings.small:
        return patch_networks.NETWORKS[run.network](pretrained=settings.pretrained, **options)
    width = settings.width[NETWORKS.index(run.network)]
    return patch_networks.NETWORKS[SMALL[run.network]](width=width, **options)


def build(run: Run, settings: Mammography, _facts: dict[str, Any]) -> nn.Module:
    """The network of a training, to be filled with its trained weights."""
    return network(run, replace(settings, pretrained=False))


def layers(run: Run, settings: Mammography) -> tuple[str, ...]:
    """The layers whose units are looked at; the first is that of the exhibits (section 2.3)."""
    return patch_networks.LAYERS[SMALL[run.network] if settings.small else run.network]


def size(run: Run, settings: Mammography) -> int:
    """The side in pixels of a patch as the network sees it."""
    return settings.inception_size if run.network == "inception_v3" else settings.size


def epochs(run: Run, settings: Mammography) -> int:
    """Of a training."""
    value = getattr(settings, run.epochs)
    return value[NETWORKS.index(run.network)] if isinstance(value, tuple) else value


def inputs(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """What a network is called with, from a batch of samples."""
    return {"image": batch["image"]}


def weights(settings: Mammography = PROFILES["paper"]) -> pd.DataFrame:
    """One row per network: chapter, network, weights, paper, source. Built without memory for the weights."""
    with torch.device("meta"):
        counts = {name: count(network(Run(name), replace(settings, pretrained=False))) for name in NETWORKS}
    return pd.DataFrame([{"chapter": "mammography", "network": name, "weights": weights, "paper": 0,
                          "source": "the paper prints none"} for name, weights in counts.items()])
