"""Paired differences: how much higher the mean of one network is than that of another, on the same images (ours)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from mdlib.errors import DataError, SettingsError
from mdlib.evaluate import resampling
from mdlib.evaluate.tables import interval

LEVEL = 0.95
Verdict = Literal["higher", "lower", "undecided"]


def verdict(low: float, high: float) -> Verdict:
    """Whether the first is higher or lower than the second, by the interval of the difference first minus second.

    `undecided` where the interval includes 0 or is NaN.
    """
    return "higher" if 0 < low <= high else "lower" if low <= high < 0 else "undecided"


@dataclass(frozen=True)
class Difference:
    """A difference of means with its interval, and the number of seeds, images and patients it rests on."""

    mean: float
    low: float
    high: float
    seeds: int
    images: int
    patients: int

    @property
    def verdict(self) -> Verdict:
        """`verdict` of the interval."""
        return verdict(self.low, self.high)

    @property
    def decided(self) -> bool:
        """Whether the interval excludes 0."""
        return self.verdict != "undecided"

    def sentence(self, measure: str, a: str, b: str, unit: str = "images") -> str:
        """The difference, with an interval of LEVEL, in words; it says when 0 is included or the seeds are too few."""
        side, plural = "above" if self.mean >= 0 else "below", "" if self.seeds == 1 else "s"
        found = (f"{measure} of {a} is {abs(self.mean):.3f} {side} that of {b} ({LEVEL:.0%} interval of the difference "
                 f"{interval(self.low, self.high, digits=3)}; {self.images:,} {unit} of {self.patients:,} patients, "
                 f"{self.seeds} seed{plural})")
        undecided = "" if self.decided else (". The interval includes 0: these data do not show which of the two is "
                                             "better")
        few = {1: ". One seed only: how much the training itself varies is not known",
               2: ". Two seeds only: how much the training itself varies is hardly known"}
        return f"{found}{undecided}{few.get(self.seeds, '')}."


def difference(a: np.ndarray, b: np.ndarray, groups: Sequence, *, n_bootstrap: int = 1000, seed: int = 0,
               level: float = LEVEL) -> Difference:
    """The mean of `a` minus that of `b` over all images and seeds, with its interval.

    a, b (S, N): one finite number per image from S trainings each, the i-th of both of the same seed; (1, N) for what
    has no seed, such as a baseline. groups (N,): the patient of each image.
    Resampling has two levels, as in `classification.paired_difference`: patients with replacement, the same for both
    and all seeds; and seeds with replacement, in pairs. From few seeds the interval is too narrow.
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
    low, high = resampling.interval(np.concatenate(drawn)[:, None], level)
    return Difference(float(apart.mean()), float(low[0]), float(high[0]), len(apart), apart.shape[1],
                      len(set(np.asarray(groups).tolist())))
