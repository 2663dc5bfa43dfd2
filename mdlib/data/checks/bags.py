"""Whether a bag of images is like those of a training (ours). Three measures of a bag, means over its slices:

    brightness  = mean of the pixels, [0, 1]
    contrast    = standard deviation of the pixels of a slice, [0, 1]
    agreement   = correlation of a slice's thumbnail with the mean thumbnail of the training: low where it is upside
                  down, inverted, of another device or another part of the body

At most 2.5 % of the bags that the network was not trained on are beyond the limits of a measure. Besides, a bag may
have fewer slices than any in training.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from torch import Tensor

from mdlib.data.bags import BagSamples
from mdlib.data.checks import files, limits
from mdlib.data.checks.thumbnails import SIDE, agreement, thumbnails
from mdlib.progress import track

OTHERS = "at least {share} of {n} bags that the network was not trained on have"
MESSAGES = {
    "brightness": f"The mean of the pixels is {{value:.2f}} of their range; {OTHERS} {{low:.2f}} to {{high:.2f}}.",
    "contrast": f"The standard deviation of the pixels is {{value:.3f}} of their range; {OTHERS} {{low:.3f}} to "
                "{high:.3f}. A common cause of low values: 10 or 12 bits saved in a 16-bit file.",
    "agreement": "Bright and dark regions lie elsewhere than in the training images (correlation with their mean "
                 f"{{value:.2f}}; {OTHERS} more than {{low:.2f}}): perhaps upside down, inverted, another device, or "
                 "another part of the body.",
}


@dataclass(frozen=True, eq=False)
class Reference(limits.Reference):
    """Statistics of training bags, and the limits (3, 2) of the measures; agreement has no upper limit."""

    mean: np.ndarray            # (1024,), the mean thumbnail of the training images
    aspect_ratios: np.ndarray   # (2,), lowest and highest width / height of the training files
    min_slices: int             # of a bag in training

    shapes: ClassVar[dict[str, tuple[int, ...]]] = {"limits": (len(MESSAGES), 2), "mean": (SIDE**2,),
                                                    "aspect_ratios": (2,)}


def reference(train: BagSamples, held_out: BagSamples, train_files: Iterable[Path], min_slices: int) -> Reference:
    """Statistics of the bags of `train`, with limits from those of `held_out`; train_files: one image per bag.

    min_slices: how many slices are drawn from a bag in training, at least. Holds one bag at a time.
    """
    total, count = np.zeros(SIDE**2), 0
    for bag in _some(train, "statistics of training bags"):
        total, count = total + thumbnails(_grey(bag)).mean(axis=0), count + 1
    mean = total / count
    values = np.array([list(measure(bag, mean).values()) for bag in _some(held_out, "statistics of held-out bags")])
    usual = limits.limits(values)
    usual[-1] = np.quantile(values[:, -1], limits.RARE, method="lower"), np.inf
    return Reference(usual, count, len(values), mean, files.aspect_ratios(train_files),
                     min(min_slices, int(train.count[train.rows].min())))


def _some(samples: BagSamples, what: str) -> Iterator[Tensor]:
    rows = limits.evenly_spaced(len(samples))
    for i in track(rows, what, len(rows)):
        yield samples[i]["bag"]


def _grey(bag: Tensor) -> np.ndarray:
    """(S, 1 or 3, H, W) in [0, 1] -> uint8 (S, H, W)."""
    return (bag.mean(dim=1) * 255).round().byte().numpy()


def measure(bag: Tensor, mean: np.ndarray) -> dict[str, float]:
    """The three measures of a bag (S, 1 or 3, H, W) in [0, 1]; mean: the mean thumbnail of the training."""
    grey = _grey(bag)
    return {"brightness": float(grey.mean() / 255), "contrast": float(grey.std(axis=(1, 2)).mean() / 255),
            "agreement": float(agreement(thumbnails(grey), mean).mean())}


def warnings_of(bag: Tensor, known: Reference) -> dict[str, str]:
    """Warnings about a bag (S, 1 or 3, H, W) in [0, 1], by the name of the measure, or `few_slices`."""
    few = {"few_slices": (len(bag) < known.min_slices,
                          f"{len(bag)} slices: the network was never trained on fewer than {known.min_slices}. Its "
                          "test does not cover such bags.")}
    return files.where_true(few) | limits.warnings_beyond(measure(bag, known.mean), known, MESSAGES)
