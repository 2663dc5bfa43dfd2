"""What is timed, and of what size. All numbers are ours: no paper is repeated here."""

from dataclasses import dataclass, replace
from typing import Any

from mdlib import runs
from mdlib.errors import SettingsError


@dataclass(frozen=True)
class Performance:
    """Sizes of a DenseNet-121 as the chest chapter trains it on NIH's files, and of pictures as in Fan et al."""

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
    cut: tuple[tuple[int, ...], ...] = ((16, 384, 512, 64, 2), (8, 1536, 2048, 336, 1))
    #                               # pictures, height, width, side of a crop, rounds of cutting for each of `runs`
    cut_boxes: int = 4              # crops of a picture
    fused: tuple[tuple[str, int], ...] = (("embedded", 16), ("paper", 16))
    #                               # sizes of the network that cuts, `embedded` or `paper`, and pictures of a batch


PROFILES = {"paper": Performance(),
            # the whole page in a minute on two cores
            "embedded": replace(Performance(), images=16, resize=112, crop=96, explained=1, batch=8, steps=2, runs=2,
                                fused=(("embedded", 16), ("paper", 1)))}

ALLOWED = {"batch": ("2 or more: a batch of one image cannot be normalised", lambda value: value >= 2),
           **{name: ("above 0", lambda value: value > 0)
              for name in ("images", "pixels", "resize", "crop", "growth", "stem", "classes", "explained", "steps",
                           "runs", "cut_boxes")},
           "cut": ("pictures, height, width, side of a crop and rounds, above 0, with 5 <= height <= width",
                   lambda value: all(min(each) > 0 and 5 <= each[1] <= each[2] for each in value)),
           "fused": ("a size, embedded or paper, and a number of pictures above 0",
                     lambda value: all(size in ("embedded", "paper") and count > 0 for size, count in value))}


def choose(profile: str, overrides: dict[str, Any]) -> Performance:
    """The settings of a profile with some replaced. Raises SettingsError naming what makes no sense."""
    settings = runs.choose(PROFILES, ALLOWED, profile, overrides)
    for small, large in (("crop", "resize"), ("resize", "pixels"), ("batch", "images")):
        if getattr(settings, small) > getattr(settings, large):
            raise SettingsError(f"{getattr(settings, small)} is more than {large} = {getattr(settings, large)}",
                                f"setting {small}")
    return settings
