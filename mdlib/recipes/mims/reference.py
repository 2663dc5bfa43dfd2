"""What the pictures look like that a network of chapter 2 has learned from, and what is strange about others (ours).

Three numbers a bag, each the mean over its central slices as the network sees them, and two of its files:

    brightness  = mean of the pixels, [0, 1]
    contrast    = standard deviation of the pixels of a slice, [0, 1]
    agreement   = correlation of a slice's thumbnail (`checks.thumbnails`) with the mean one: low where it is upside
                  down, inverted, of another device or another part of the body
    shape       = width over height of the file, and whether it has fewer pixels than the network sees
    few slices  = fewer than the network has ever learned from

The limits are quantiles of bags that the network has not learned from: of each measure at most 2.5 % are beyond them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from mdlib.data import checks
from mdlib.data.bags import BagSamples
from mdlib.progress import track
from mdlib.recipes import unlike

CHECKS = {
    "brightness": "The mean grey is {value:.2f} of its range; {share} of {n} bags that the network has not learned "
                  "from have {low:.2f} to {high:.2f}.",
    "contrast": "The grey values spread by {value:.3f} of their range; {share} of {n} bags that the network has not "
                "learned from have {low:.3f} to {high:.3f}. A common cause of low values: 10 or 12 bits saved in a "
                "16-bit file.",
    "agreement": "Bright and dark lie otherwise than in the training pictures (correlation with their mean "
                 "{value:.2f}; {share} of {n} bags that the network has not learned from have more than {low:.2f}): "
                 "perhaps upside down, inverted, another device, or another part of the body.",
}


@dataclass(frozen=True, eq=False)
class Reference:
    """What the training pictures look like, and the limits of each measure."""

    mean: np.ndarray        # (1024,), the mean thumbnail of the training pictures
    limits: np.ndarray      # (3, 2), lowest and highest usual value of CHECKS; no highest agreement
    stretch: np.ndarray     # (2,), lowest and highest width / height of the training files
    fewest: int             # slices of a bag in training, at least
    trained: int            # training bags looked at
    held_out: int           # bags that the limits are quantiles of

    def arrays(self) -> dict[str, np.ndarray]:
        """As it is kept in a file of arrays."""
        return {name: np.asarray(value) for name, value in asdict(self).items()}


def opened(kept: dict[str, np.ndarray]) -> Reference:
    """The reference that `arrays` has been kept of. Raises KeyError or ValueError for other arrays."""
    shapes = {"mean": (checks.SIDE**2,), "limits": (len(CHECKS), 2), "stretch": (2,)}
    for name, shape in shapes.items():
        if kept[name].shape != shape:
            raise ValueError(f"{name} of shape {kept[name].shape}")
    return Reference(*(kept[name] for name in shapes), *(int(kept[name]) for name in ("fewest", "trained", "held_out")))


def reference(train: BagSamples, held_out: BagSamples, files: Sequence[Path], fewest: int) -> Reference:
    """The reference of a network fitted to `train`, with limits from `held_out`; files: a picture of training bags.

    fewest: slices drawn from a bag in training, at least. Holds one bag at a time.
    """
    total, count = np.zeros(checks.SIDE**2), 0
    for bag in _spread(train, "looking at the training bags"):
        total, count = total + checks.thumbnails(_grey(bag)).mean(axis=0), count + 1
    mean = total / count
    numbers = np.array([list(measure(bag, mean).values()) for bag in _spread(held_out, "looking at the held-out bags")])
    limits = unlike.limits(numbers)
    limits[-1] = np.quantile(numbers[:, -1], unlike.RARE, method="lower"), np.inf
    return Reference(mean, limits, unlike.stretch(files), min(fewest, int(train.count[train.rows].min())), count,
                     len(numbers))


def _spread(samples: BagSamples, what: str) -> Iterator[Tensor]:
    rows = unlike.spread(len(samples))
    for i in track(rows, what, len(rows)):
        yield samples[i]["bag"]


def _grey(bag: Tensor) -> np.ndarray:
    """(S, 1 or 3, H, W) in [0, 1] -> uint8 (S, H, W)."""
    return (bag.mean(dim=1) * 255).round().byte().numpy()


def measure(bag: Tensor, mean: np.ndarray) -> dict[str, float]:
    """The three numbers of a bag (S, 1 or 3, H, W) in [0, 1]; mean: the mean thumbnail."""
    grey = _grey(bag)
    along = checks.thumbnails(grey) @ (mean - mean.mean()) / len(mean)
    return {"brightness": float(grey.mean() / 255), "contrast": float(grey.std(axis=(1, 2)).mean() / 255),
            "agreement": float(along.mean() / max(mean.std(), 1e-6))}


def warnings_of(bag: Tensor, known: Reference) -> dict[str, str]:
    """What is strange about the pictures of a bag: a sentence by the name of the check."""
    return unlike.beyond(measure(bag, known.mean), known.limits, CHECKS, known.held_out)


def warnings_of_size(size: tuple[int, int], seen: tuple[int, int], slices: int, known: Reference) -> dict[str, str]:
    """What the size of the pictures, (H, W), and the number of slices used say against them; seen: by the network."""
    few = {"few_slices": f"{slices} slices: the network has never learned from fewer than {known.fewest}. What it says "
                         "of them is not covered by its test."}
    return unlike.of_size(size, seen, known.stretch) | (few if slices < known.fewest else {})
