"""The settings of Tan et al., and the profiles that replace some of them."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from mdlib import runs
from mdlib.errors import SettingsError

BASELINES, ATTENTION = ("resnet50", "densenet121"), ("att_a", "att_b")
EXHIBITS = ("fig6", "fig7", "fig8", "fig9", "fig11", "repair", "leak")     # those that need trained networks


@dataclass(frozen=True)
class Chest:
    """Tan et al., sections 1.2 and 2. An unmarked field is the paper's number; (ours) marks ours."""

    networks: tuple[str, ...] = BASELINES + ATTENTION
    exhibits: tuple[str, ...] = EXHIBITS            # whose networks are trained
    subset: bool = True             # the selection of section 1.2
    split: str = "official"         # or "patient": grouped by patient, lists not needed without subset (ours)
    test: float = 0.2               # (ours) of all images, with split = "patient" and without subset
    validation: float = 0.1         # of train_val
    n_splits: int = 3               # of train_val into train and val, section 2.7
    held_out: float = 0.2           # (ours) at most, of train_val, to measure what a leak does
    resize: int = 256               # pixels, section 2.4
    crop: int = 224
    pretrained: bool = True         # section 2.6
    learning_rate: float = 0.01     # section 2.6
    low_learning_rate: float = 0.001                # Figs. 6 and 7
    momentum: float = 0.9
    epochs: int = 8
    few_epochs: int = 3             # Fig. 6
    leak_epochs: int = 40           # (ours) long enough to know a patient by heart
    batch_size: int = 16            # the authors' code
    n_seeds: int = 1
    growth: int = 32                # DenseNet-121
    blocks: tuple[int, ...] = (6, 12, 24, 16)
    stem: int = 64
    resnet_layers: tuple[int, ...] = (3, 4, 6, 3)
    resnet_width: int = 64
    n_bootstrap: int = 1000         # (ours) bootstrap resamples of patients
    precision: str = "32-true"      # or "bf16-mixed" (ours)
    channels_last: bool = False     # (ours)
    num_workers: int = 0            # (ours) processes that prepare batches
    missing: str = "error"          # or "skip": go on without images that are not there (ours)
    invalid_ages: str = "error"     # or "unknown" (ours)

    RENAMED: ClassVar[dict[str, str]] = {   # old name: new name; both are accepted
        "splits": "n_splits", "slow_rate": "low_learning_rate", "batch": "batch_size", "seeds": "n_seeds",
        "draws": "n_bootstrap", "workers": "num_workers", "absurd_ages": "invalid_ages"}


SMALL = {"subset": False, "n_splits": 1, "pretrained": False, "growth": 8, "blocks": (2, 2, 2, 2), "stem": 8,
         "resnet_layers": (1, 1, 1, 1), "resnet_width": 8}
PROFILES = {
    "paper": Chest(),
    # phantoms, or any collection, in minutes on two cores
    "embedded": replace(Chest(), **SMALL, resize=72, crop=64, epochs=6, few_epochs=2, leak_epochs=30,
                        learning_rate=0.1, low_learning_rate=0.01, channels_last=True, n_bootstrap=500),
    # real images from scratch on two cores
    "laptop": replace(Chest(), **SMALL | {"blocks": (6, 12, 24, 16), "stem": 16}, resize=108, crop=96, epochs=16,
                      leak_epochs=80, channels_last=True, n_seeds=3, exhibits=("fig8", "fig9")),
}
GRID = {"n_splits": 3, "n_seeds": 3}    # of `mdlib run chest --grid`: the paper's three splits; three seeds (ours)


# setting: what is allowed, in words, and the test of it
ALLOWED = {
    "networks": ("a list of networks that contains densenet121, with which others are compared",
                 lambda value: "densenet121" in value),
    "exhibits": (f"some of {', '.join(EXHIBITS)}", lambda value: value and set(value) <= set(EXHIBITS)),
    "split": ("official or patient", lambda value: value in ("official", "patient")),
    "validation": ("above 0, at most 0.5", lambda value: 0 < value <= 0.5),
    "test": ("above 0, at most 0.5", lambda value: 0 < value <= 0.5),
    "held_out": ("above 0, at most 0.5", lambda value: 0 < value <= 0.5),
    "precision": ("32-true or bf16-mixed", lambda value: value in ("32-true", "bf16-mixed")),
    "missing": ("error or skip", lambda value: value in ("error", "skip")),
    "invalid_ages": ("error or unknown", lambda value: value in ("error", "unknown")),
    "num_workers": ("0 or more", lambda value: value >= 0),
    "momentum": ("0 or more, below 1", lambda value: 0 <= value < 1),
    **{name: ("above 0", lambda value: value > 0)
       for name in ("resize", "crop", "n_splits", "learning_rate", "low_learning_rate", "epochs", "few_epochs",
                    "leak_epochs", "batch_size", "n_seeds", "growth", "stem", "resnet_width", "n_bootstrap")},
}


def choose(known: Collection[str], profile: str, overrides: dict[str, Any]) -> Chest:
    """The settings of a profile with some replaced. Raises SettingsError naming what makes no sense.

    known: the names of all networks.
    """
    settings = runs.choose(PROFILES, ALLOWED, profile, overrides)
    if unknown := sorted(set(settings.networks) - set(known)):
        raise SettingsError(f"no such network: {', '.join(unknown)}", "setting networks", f"Known: {', '.join(known)}.")
    if settings.low_learning_rate == settings.learning_rate:
        raise SettingsError("it equals learning_rate, so that Fig. 7 would compare nothing",
                            "setting low_learning_rate")
    if settings.crop > settings.resize:
        raise SettingsError(f"{settings.crop} is more than resize = {settings.resize}", "setting crop")
    return settings
