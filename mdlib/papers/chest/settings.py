"""The settings of Tan et al., and the profiles that replace some of them."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from mdlib import runs
from mdlib.errors import SettingsError
from mdlib.models.backbones import OUTPUT_STRIDES

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
    weight_decay: float = 0.0       # (ours, where it is not 0)
    epochs: int = 8
    few_epochs: int = 3             # Fig. 6, at the low rate; 0: of the networks of the other figures (ours)
    leak_epochs: int = 40           # (ours) long enough to know a patient by heart
    demo_epochs: int = 3            # (ours) of the training that the training page runs
    schedule: str = "constant"      # of the learning rate, or "cosine" (ours)
    batch_size: int = 16            # the authors' code
    n_seeds: int = 1
    one_seed: tuple[str, ...] = ()  # (ours) exhibits that are trained with the first seed only
    growth: int = 32                # DenseNet-121
    blocks: tuple[int, ...] = (6, 12, 24, 16)
    stem: int = 64
    resnet_layers: tuple[int, ...] = (3, 4, 6, 3)
    resnet_width: int = 64
    output_stride: int = 32         # pixels per cell of the last map, or 16, 8 (ours)
    n_bootstrap: int = 1000         # (ours) bootstrap resamples of patients
    precision: str = "32-true"      # or "bf16-mixed" (ours)
    channels_last: bool = False     # (ours)
    num_workers: int = 0            # (ours) processes that prepare batches
    missing: str = "error"          # or "skip": go on without images that are not there (ours)
    invalid_ages: str = "error"     # or "unknown" (ours)

    # fields that decide no trained network: it fits a run whose other settings are the same
    NOT_TRAINING: ClassVar[tuple[str, ...]] = (
        "networks", "exhibits", "n_seeds", "one_seed", "n_splits", "n_bootstrap", "num_workers", "demo_epochs")
    RENAMED: ClassVar[dict[str, str]] = {   # old name: new name; both are accepted
        "splits": "n_splits", "slow_rate": "low_learning_rate", "batch": "batch_size", "seeds": "n_seeds",
        "draws": "n_bootstrap", "workers": "num_workers", "absurd_ages": "invalid_ages"}


SMALL = {"subset": False, "n_splits": 1, "pretrained": False, "stem": 16, "channels_last": True}
PROFILES = {
    "paper": Chest(),
    # phantoms, or any collection, on two cores: maps of 7 x 7 cells at norm5, as the paper's. A page trains what it
    # asks for and mdlib does not ship (`mdlib publish chest`)
    "embedded": replace(Chest(), **SMALL, exhibits=(), resize=128, crop=112, output_stride=16,
                        growth=12, blocks=(2, 4, 4, 2), resnet_layers=(2, 2, 2, 2), resnet_width=12,
                        epochs=30, few_epochs=0, leak_epochs=60, learning_rate=0.1, low_learning_rate=0.05,
                        weight_decay=5e-4, schedule="cosine", n_bootstrap=500),
    # real images from scratch on two cores
    "laptop": replace(Chest(), **SMALL, exhibits=("fig8", "fig9"), resize=108, crop=96,
                      growth=8, resnet_layers=(1, 1, 1, 1), resnet_width=8, epochs=16, leak_epochs=80, n_seeds=3),
}
GRID = {"exhibits": EXHIBITS, "n_seeds": 3, "one_seed": ("fig6",)}      # of `mdlib publish chest` (ours)


# setting: what is allowed, in words, and the test of it
ALLOWED = {
    "networks": ("a list of networks that contains densenet121, with which others are compared",
                 lambda value: "densenet121" in value),
    "exhibits": (f"some of {', '.join(EXHIBITS)}", lambda value: set(value) <= set(EXHIBITS)),
    "one_seed": (f"some of {', '.join(EXHIBITS)}", lambda value: set(value) <= set(EXHIBITS)),
    "split": ("official or patient", lambda value: value in ("official", "patient")),
    "validation": ("above 0, at most 0.5", lambda value: 0 < value <= 0.5),
    "test": ("above 0, at most 0.5", lambda value: 0 < value <= 0.5),
    "held_out": ("above 0, at most 0.5", lambda value: 0 < value <= 0.5),
    "schedule": ("constant or cosine", lambda value: value in ("constant", "cosine")),
    "output_stride": ("32, 16 or 8", lambda value: value in OUTPUT_STRIDES),
    "precision": ("32-true or bf16-mixed", lambda value: value in ("32-true", "bf16-mixed")),
    "missing": ("error or skip", lambda value: value in ("error", "skip")),
    "invalid_ages": ("error or unknown", lambda value: value in ("error", "unknown")),
    **{name: ("0 or more", lambda value: value >= 0) for name in ("few_epochs", "num_workers")},
    "momentum": ("0 or more, below 1", lambda value: 0 <= value < 1),
    "weight_decay": ("0 or more", lambda value: value >= 0),
    **{name: ("above 0", lambda value: value > 0)
       for name in ("resize", "crop", "n_splits", "learning_rate", "low_learning_rate", "epochs", "leak_epochs",
                     "demo_epochs", "batch_size", "n_seeds", "growth", "stem", "resnet_width",
                    "n_bootstrap")},
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
