"""What is timed, and of what size. All numbers are ours: no paper is repeated here."""

from dataclasses import dataclass, replace
from typing import Any

from mdlib import runs
from mdlib.errors import SettingsError


@dataclass(frozen=True)
class Performance:
    """Sizes of a DenseNet-121 as the chest chapter trains it on NIH's files."""

    images: int = 64                # files, at least one batch
    pixels: int = 1024              # side of the drawn files, as NIH's
    resize: int = 256
    crop: int = 224
    growth: int = 32
    blocks: tuple[int, ...] = (6, 12, 24, 16)
    stem: int = 64
    classes: int = 15
    layers: tuple[str, ...] = ("norm5", "transition3")    # where Grad-CAM is taken
    explained: int = 8              # images per batch that is explained
    batch: int = 16                 # images a step of training, and of prediction
    steps: int = 4                  # of training that are timed, in each round
    runs: int = 5                   # rounds


PROFILES = {"paper": Performance(),
            # the whole page in a minute on two cores
            "embedded": replace(Performance(), images=16, resize=112, crop=96, explained=1, batch=8, steps=2, runs=2)}

ALLOWED = {"batch": ("2 or more: a batch of one image cannot be normalised", lambda value: value >= 2),
           **{name: ("above 0", lambda value: value > 0)
              for name in ("images", "pixels", "resize", "crop", "growth", "stem", "classes", "explained", "steps",
                           "runs")}}


def choose(profile: str, overrides: dict[str, Any]) -> Performance:
    """The settings of a profile with some replaced. Raises SettingsError naming what makes no sense."""
    settings = runs.choose(PROFILES, ALLOWED, profile, overrides)
    for small, large in (("crop", "resize"), ("resize", "pixels"), ("batch", "images")):
        if getattr(settings, small) > getattr(settings, large):
            raise SettingsError(f"{getattr(settings, small)} is more than {large} = {getattr(settings, large)}",
                                f"setting {small}")
    return settings
