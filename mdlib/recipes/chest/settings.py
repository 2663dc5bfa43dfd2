"""With which numbers: the settings of Tan et al., and the profiles that replace some of them."""

from dataclasses import dataclass, replace
from typing import Any

from mdlib import runs
from mdlib.errors import SettingsError
from mdlib.recipes.chest.plan import ATTENTION, BASELINES, EXHIBITS

# Table 2; the non-image rows are printed by the authors' notebooks
PAPER_WEIGHTS = {"resnet50": 23538767, "densenet121": 6969231, "att_a": 7920527, "att_b": 6971279,
                 "densenet121_nonimage": 6969288, "att_a_nonimage": 7920584}


@dataclass(frozen=True)
class Chest:
    """Tan et al., sections 1.2 and 2. An unmarked field is the paper's number; (ours) marks ours."""

    networks: tuple[str, ...] = BASELINES + ATTENTION
    exhibits: tuple[str, ...] = tuple(EXHIBITS)     # whose trainings are run
    subset: bool = True             # the selection of section 1.2
    split: str = "official"         # or "patient": grouped by patient, lists not needed without subset (ours)
    test: float = 0.2               # (ours) of all images, with split = "patient" and without subset
    validation: float = 0.1         # of train_val
    splits: int = 3                 # of train_val into train and val, section 2.7
    held_out: float = 0.2           # (ours) at most, of train_val, to measure what a leak does
    resize: int = 256               # pixels, section 2.4
    crop: int = 224
    pretrained: bool = True         # section 2.6
    learning_rate: float = 0.01     # section 2.6
    slow_rate: float = 0.001        # Figs. 6 and 7
    momentum: float = 0.9
    epochs: int = 8
    few_epochs: int = 3             # Fig. 6
    leak_epochs: int = 40           # (ours) long enough to know a patient by heart
    batch: int = 16                 # the authors' code
    seeds: int = 1
    growth: int = 32                # DenseNet-121
    blocks: tuple[int, ...] = (6, 12, 24, 16)
    stem: int = 64
    resnet_layers: tuple[int, ...] = (3, 4, 6, 3)
    resnet_width: int = 64
    draws: int = 1000               # (ours) bootstrap resamples of patients
    precision: str = "32-true"      # or "bf16-mixed" (ours)
    channels_last: bool = False     # (ours)
    workers: int = 0                # (ours) processes that prepare batches
    missing: str = "error"          # or "skip": go on without images that are not there (ours)
    absurd_ages: str = "error"      # or "unknown" (ours)


SMALL = {"subset": False, "splits": 1, "pretrained": False, "growth": 8, "blocks": (2, 2, 2, 2), "stem": 8,
         "resnet_layers": (1, 1, 1, 1), "resnet_width": 8}
PROFILES = {
    "paper": Chest(),
    # phantoms, or any collection, in minutes on two cores
    "embedded": replace(Chest(), **SMALL, resize=72, crop=64, epochs=6, few_epochs=2, leak_epochs=30,
                        learning_rate=0.1, slow_rate=0.01, channels_last=True, draws=500),
    # real images from scratch on two cores
    "laptop": replace(Chest(), **SMALL | {"blocks": (6, 12, 24, 16), "stem": 16}, resize=108, crop=96, epochs=16,
                      leak_epochs=80, channels_last=True, seeds=3, exhibits=("fig8", "fig9")),
}


# setting: what is allowed, in words, and the test of it
ALLOWED = {
    "networks": (f"some of {', '.join(BASELINES + ATTENTION)}, densenet121 among them",
                 lambda value: "densenet121" in value and set(value) <= set(BASELINES + ATTENTION)),
    "exhibits": (f"some of {', '.join(EXHIBITS)}", lambda value: value and set(value) <= set(EXHIBITS)),
    "split": ("official or patient", lambda value: value in ("official", "patient")),
    "validation": ("above 0, at most 0.5", lambda value: 0 < value <= 0.5),
    "test": ("above 0, at most 0.5", lambda value: 0 < value <= 0.5),
    "held_out": ("above 0, at most 0.5", lambda value: 0 < value <= 0.5),
    "precision": ("32-true or bf16-mixed", lambda value: value in ("32-true", "bf16-mixed")),
    "missing": ("error or skip", lambda value: value in ("error", "skip")),
    "absurd_ages": ("error or unknown", lambda value: value in ("error", "unknown")),
    "workers": ("0 or more", lambda value: value >= 0),
    "momentum": ("0 or more, below 1", lambda value: 0 <= value < 1),
    **{name: ("above 0", lambda value: value > 0)
       for name in ("resize", "crop", "splits", "learning_rate", "slow_rate", "epochs", "few_epochs", "leak_epochs",
                    "batch", "seeds", "growth", "stem", "resnet_width", "draws")},
}


def choose(profile: str, overrides: dict[str, Any]) -> Chest:
    """The settings of a profile with some replaced. Raises SettingsError naming what makes no sense."""
    settings = runs.choose(PROFILES, ALLOWED, profile, overrides)
    if settings.slow_rate == settings.learning_rate:
        raise SettingsError("it equals learning_rate, so that Fig. 7 would compare nothing", "setting slow_rate")
    if settings.crop > settings.resize:
        raise SettingsError(f"{settings.crop} is more than resize = {settings.resize}", "setting crop")
    return settings
