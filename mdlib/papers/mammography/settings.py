"""The settings of Wu et al., and the profiles that replace some of them."""

import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from mdlib import runs

NETWORKS = ("alexnet", "vgg16", "inception_v3", "resnet152")
EXHIBITS = ("table1", "pool", "folds")      # those that need trained networks


@dataclass(frozen=True)
class Mammography:
    """Wu et al., section 2. An unmarked field is the paper's number or its code's; (ours) marks ours."""

    networks: tuple[str, ...] = NETWORKS
    exhibits: tuple[str, ...] = EXHIBITS    # whose networks are trained
    validation: float = 0.1                 # share of the patients
    test: float = 0.1
    n_folds: int = 0                        # (ours) above 0: so many folds of patients in place of the three parts
    size: int = 227                         # pixels of a patch as the networks see it
    inception_size: int = 299
    lesion_share: float = 0.3               # of a malignant lesion in a patch that makes it positive
    covered_share: float = 0.3              # of a patch, covered by malignant lesions
    breast_share: float = 0.5               # (ours) of a patch that is kept
    small: bool = False                     # (ours) small networks of the same kinds
    width: tuple[int, ...] = (8, 4, 4, 4)   # (ours) of the small networks, in the order of NETWORKS
    pretrained: bool = True                 # on ImageNet
    turn: bool = False                      # (ours) reflect patches and turn them by right angles at random
    optimizer: str = "sgd"                  # or "adamw" (ours)
    learning_rate: float = 0.0001
    momentum: float = 0.9                   # of SGD
    weight_decay: float = 0.0001
    epochs: tuple[int, ...] = (45, 12, 7, 5)        # in the order of NETWORKS
    demo_epochs: int = 1                    # (ours) of the training that the training page runs
    schedule: str = "paper"                 # a tenth of the rate in the last epoch of ResNet-152; or "cosine" (ours)
    batch_size: int = 32
    n_seeds: int = 1
    n_bootstrap: int = 1000                 # (ours) bootstrap resamples of patients
    precision: str = "32-true"              # or "bf16-mixed" (ours)
    channels_last: bool = False             # (ours)
    num_workers: int = 0                    # (ours) processes that prepare batches

    # fields that do not affect training: a network can be reused in a run that differs in these only
    NOT_TRAINING: ClassVar[tuple[str, ...]] = ("networks", "exhibits", "n_seeds", "n_bootstrap", "num_workers",
                                               "demo_epochs")


SMALL = {"exhibits": (), "size": 64, "inception_size": 64, "small": True, "pretrained": False, "turn": True,
         "validation": 0.2, "test": 0.2, "optimizer": "adamw", "learning_rate": 0.003, "weight_decay": 0.01,
         "epochs": (12, 12, 12, 12), "demo_epochs": 4, "schedule": "cosine", "n_bootstrap": 500, "channels_last": True}
PROFILES = {
    "paper": Mammography(),
    # phantoms, or any collection, on two cores. A page trains what it asks for and mdlib does not ship
    "embedded": replace(Mammography(), **SMALL),
}
GRID = {"exhibits": ("table1", "pool"), "n_seeds": 3}       # of `mdlib publish mammography` (ours)

SHARES = ("lesion_share", "covered_share", "breast_share")
# setting: what is allowed, in words, and the test of it
ALLOWED = {
    "networks": (f"some of {', '.join(NETWORKS)}", lambda value: value != () and set(value) <= set(NETWORKS)),
    "exhibits": (f"some of {', '.join(EXHIBITS)}", lambda value: set(value) <= set(EXHIBITS)),
    **{name: ("above 0, at most 0.4", lambda value: 0 < value <= 0.4) for name in ("validation", "test")},
    **{name: ("above 0, at most 1", lambda value: 0 < value <= 1) for name in SHARES},
    "n_folds": ("0, or 2 and more", lambda value: value == 0 or value >= 2),
    **{name: ("a whole number above 0 for each of the four networks",
              lambda value: len(value) == len(NETWORKS) and all(type(each) is int and each > 0 for each in value))
       for name in ("width", "epochs")},
    **{name: ("32 pixels or more", lambda value: value >= 32) for name in ("size", "inception_size")},
    "optimizer": ("sgd or adamw", lambda value: value in ("sgd", "adamw")),
    "schedule": ("paper or cosine", lambda value: value in ("paper", "cosine")),
    "precision": ("32-true or bf16-mixed", lambda value: value in ("32-true", "bf16-mixed")),
    "momentum": ("0 or more, below 1", lambda value: 0 <= value < 1),
    **{name: ("0 or more", lambda value: 0 <= value < math.inf) for name in ("weight_decay", "num_workers")},
    **{name: ("above 0", lambda value: 0 < value < math.inf)
       for name in ("learning_rate", "demo_epochs", "batch_size", "n_seeds", "n_bootstrap")},
}


def choose(profile: str, overrides: dict[str, Any]) -> Mammography:
    """The settings of a profile with some replaced. Raises SettingsError naming what makes no sense."""
    return runs.choose(PROFILES, ALLOWED, profile, overrides)
