"""How much higher the mean of one network's numbers is than that of another's, on the same images (ours)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mdlib.errors import DataError, SettingsError
from mdlib.evaluate import resampling
from mdlib.evaluate.tables import interval

LEVEL = 0.95


@dataclass(frozen=True)
class Difference:
    """A difference of means with its interval, of so many seeds, images and patients."""

    mean: float
    low: float
    high: float
    seeds: int
    images: int
    patients: int

    @property
    def decided(self) -> bool:
        """Whether the interval leaves 0 out."""
        return self.low > 0 or self.high < 0

    def sentence(self, measure: str, a: str, b: str) -> str:
        """The difference in plain English; it says so when the interval includes 0 or the seeds are too few."""
        side, plural = "above" if self.mean >= 0 else "below", "" if self.seeds == 1 else "s"
        found = (f"{measure} of {a} is {abs(self.mean):.3f} {side} that of {b} ({LEVEL:.0%} interval of the difference "
                 f"{interval(self.low, self.high, digits=3)}; {self.images:,} images of {self.patients:,} patients, "
                 f"{self.seeds} seed{plural})")
        return found + doubts(self.decided, self.seeds)


def doubts(decided: bool, seeds: int) -> str:
    """The end of a sentence on a difference: that its interval includes 0, or that the seeds are too few."""
    verdict = "" if decided else ". The interval includes 0: these data do not show which of the two is better"
    few = {1: ". One seed only: how much the training itself varies is not known",
           2: ". Two seeds only: how much the training itself varies is hardly known"}
    return f"{verdict}{few.get(seeds, '')}."


def difference(a: np.ndarray, b: np.ndarray, groups: Sequence, *, n_bootstrap: int = 1000, seed: int = 0) -> Difference:
    """The mean of `a` less that of `b` over all images and seeds, with its interval.

    a, b (S, N): a finite number an image from S trainings each, the i-th of both of the same seed; (1, N) for what has
    no seed, such as a baseline. groups (N,): the patient of each image.
    Every draw has two levels, as `classification.paired_difference`: patients with replacement, the same for both and
    all seeds; and seeds with replacement, in pairs. From few seeds the interval is too narrow.
    """
    a, b = np.asarray(a, float), np.asarray(b, float)
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or (len(a) != len(b) and 1 not in (len(a), len(b))):
        raise SettingsError(f"shapes {a.shape} and {b.shape}", "numbers a and b",
                            "Give both as (seeds, images), of as many seeds each.")
    resampling.check_groups(groups, a.shape[1])
    apart = a - b                                                                          # (S, N)
    if not np.isfinite(apart).all():
        raise DataError("there is a number that is not finite", "numbers a and b", "Give finite numbers.")
    chance, drawn = np.random.default_rng([seed, 1]), []
    for weights in resampling.weights(groups, n_bootstrap, seed):
        exact = weights.astype(float)
        each = apart @ exact / exact.sum(axis=0)                                           # (S, draws)
        chosen = chance.integers(0, len(apart), each.shape)
        drawn.append(np.take_along_axis(each, chosen, axis=0).mean(axis=0))
    low, high = resampling.interval(np.concatenate(drawn)[:, None], LEVEL)
    return Difference(float(apart.mean()), float(low[0]), float(high[0]), len(apart), apart.shape[1],
                      len(set(np.asarray(groups).tolist())))
