"""The settings of Fan et al., and the profiles that replace some of them."""

import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from mdlib import runs

COLLECTIONS = ("fungi", "breast", "bccd")
EXHIBITS = ("table1", "table2", "table3", "breast", "bccd", "instances", "attention", "schedule", "leak")


@dataclass(frozen=True)
class Gated:
    """Fan et al., sections 2 and 3. An unmarked field is the paper's number; (ours) marks ours."""

    exhibits: tuple[str, ...] = EXHIBITS    # whose networks are trained
    test: float = 0.25                      # share of the pictures of each class that is tested on
    thumbnail: tuple[int, ...] = (224, 224)     # height and width in pixels
    crop: int = 336                         # side of an instance in pixels
    grey: tuple[str, ...] = ()              # (ours) collections that are read without colour
    upside_down: tuple[str, ...] = ()       # (ours) collections whose pictures have no top, for augmentation
    tone: float = 0.0                       # (ours) of the augmentation, see `data.pictures.Augmentation`
    pretrained: bool = True                 # both networks start from ImageNet
    dilations: tuple[int, ...] = (2, 3)     # (ours) of the semantic map
    layers: tuple[int, ...] = (2, 2, 2, 2)  # ResNet-18, of the thumbnail
    width: int = 64
    strides: tuple[int, ...] = (2, 2, 1, 2, 2, 2)
    instance_block: str = "bottleneck"      # ResNet-50, of the instances; or "basic" (ours)
    instance_layers: tuple[int, ...] = (3, 4, 6, 3)
    instance_width: int = 64
    instance_strides: tuple[int, ...] = (2, 2, 1, 2, 2, 2)
    learning_rate: float = 0.05             # multiplied by 0.1 at each quarter of the training
    momentum: float = 0.9                   # (ours)
    weight_decay: float = 1e-4              # (ours)
    epochs: int = 200                       # (ours) the paper names the steps of lambda, which reach 0 after 200
    demo_epochs: int = 6                    # (ours) of the training that the training page runs
    batch_size: int = 16
    n_seeds: int = 1
    one_seed: tuple[str, ...] = ()          # (ours) exhibits that are trained with the first seed only
    n_bootstrap: int = 1000                 # (ours) bootstrap resamples of patients
    precision: str = "32-true"              # or "bf16-mixed" (ours)
    channels_last: bool = False             # (ours)
    num_workers: int = 0                    # (ours) processes that prepare batches

    # fields that do not affect training: a network can be reused in a run that differs in these only
    NOT_TRAINING: ClassVar[tuple[str, ...]] = ("exhibits", "n_seeds", "one_seed", "n_bootstrap", "num_workers",
                                               "demo_epochs")


SMALL = {"exhibits": (), "thumbnail": (84, 112), "crop": 96, "tone": 0.4, "pretrained": False, "dilations": (1, 2),
         "layers": (1, 1, 1, 1), "width": 8, "strides": (2, 2, 1, 2, 1, 1), "instance_block": "basic",
         "instance_layers": (1, 1, 1, 1), "instance_width": 8, "instance_strides": (2, 2, 1, 2, 2, 2),
         "weight_decay": 5e-4, "channels_last": True, "n_bootstrap": 500, "epochs": 30}
PROFILES = {
    "paper": Gated(),
    # phantoms, or any collection, on two cores. A page trains what it asks for and mdlib does not ship
    "embedded": replace(Gated(), **SMALL, grey=("fungi", "breast"), upside_down=("breast", "bccd")),
}
GRID = {"exhibits": ("table1", "table2", "breast", "schedule", "leak", "instances", "attention"),
        "n_seeds": 3}       # of `mdlib publish gated` (ours)

# setting: what is allowed, in words, and the test of it
ALLOWED = {
    **{setting: (f"some of {', '.join(EXHIBITS)}", lambda value: all(name in EXHIBITS for name in value))
       for setting in ("exhibits", "one_seed")},
    **{setting: (f"some of {', '.join(COLLECTIONS)}", lambda value: all(name in COLLECTIONS for name in value))
       for setting in ("grey", "upside_down")},
    "test": ("above 0, at most 0.5", lambda value: 0 < value <= 0.5),
    "thumbnail": ("a height and a width of at least 32 pixels", lambda value: _sizes(value, 2, 32)),
    "dilations": ("one or more whole numbers above 0", lambda value: value != () and _sizes(value, len(value), 1)),
    **{name: ("four whole numbers above 0", lambda value: _sizes(value, 4, 1))
       for name in ("layers", "instance_layers")},
    **{name: ("six of 1 and 2", lambda value: _sizes(value, 6, 1) and max(value) <= 2)
       for name in ("strides", "instance_strides")},
    "instance_block": ("bottleneck or basic", lambda value: value in ("bottleneck", "basic")),
    "precision": ("32-true or bf16-mixed", lambda value: value in ("32-true", "bf16-mixed")),
    "momentum": ("0 or more, below 1", lambda value: 0 <= value < 1),
    **{name: ("0 or more", lambda value: 0 <= value < math.inf) for name in ("tone", "weight_decay", "num_workers")},
    **{name: ("above 0", lambda value: 0 < value < math.inf) for name in (
        "crop", "width", "instance_width", "learning_rate", "epochs", "demo_epochs", "batch_size", "n_seeds",
        "n_bootstrap")},
}


def _sizes(value: tuple, count: int, least: int) -> bool:
    return len(value) == count and all(type(each) is int and each >= least for each in value)


def choose(profile: str, overrides: dict[str, Any]) -> Gated:
    """The settings of a profile with some replaced. Raises SettingsError naming what makes no sense."""
    return runs.choose(PROFILES, ALLOWED, profile, overrides)
