"""Intervals by resampling patients with all their images: bootstrap and jackknife; and Wilson's for a share.

Patients are drawn with replacement. Nothing is copied: an image of a patient drawn n times has the weight n, so every
statistic that is a function of such weights has an interval. (Ours; the papers give no intervals.)
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pandas as pd
from scipy.special import ndtri

from mdlib.errors import DataError, SettingsError

CHUNK = 100  # samples at once: for 112,120 images their weights take 45 MB


def weights(groups: Sequence, n_bootstrap: int, seed: int) -> Iterator[np.ndarray]:
    """How often each image is in each bootstrap sample, float32 (N, d) for up to CHUNK samples d at a time.

    groups (N,): the patient of each image. The same groups, n_bootstrap and seed give the same weights, so statistics
    from two calls can be compared sample by sample.
    """
    patients, patient = np.unique(np.asarray(groups), return_inverse=True)
    chance = np.random.default_rng(seed)
    for begin in range(0, n_bootstrap, CHUNK):
        many = min(CHUNK, n_bootstrap - begin)
        chosen = chance.integers(0, len(patients), (many, len(patients)))
        times = np.stack([np.bincount(row, minlength=len(patients)) for row in chosen], axis=1).astype(np.float32)
        yield times[patient]


def resample(statistic: Callable[[np.ndarray], np.ndarray], groups: Sequence, n_bootstrap: int, seed: int
             ) -> np.ndarray:
    """`statistic` in each bootstrap sample, (n_bootstrap, C). statistic: weights of the images (N, d) -> (d, C)."""
    return np.concatenate([statistic(chunk) for chunk in weights(groups, n_bootstrap, seed)])


def once(statistic: Callable[[np.ndarray], np.ndarray], groups: Sequence) -> np.ndarray:
    """`statistic` of the images as they are, each with weight 1, (C,)."""
    return statistic(np.ones((len(groups), 1), np.float32))[0]


def ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Elementwise, NaN where the denominator is 0."""
    return np.divide(numerator, denominator, out=np.full(np.shape(numerator), np.nan), where=denominator > 0)


def mean_of_known(values: np.ndarray, axis: int | tuple[int, ...]) -> np.ndarray:
    """The mean along an axis, NaN left out; NaN, without a warning, where nothing is left."""
    known = ~np.isnan(values)
    return ratio(np.where(known, values, 0).sum(axis=axis), known.sum(axis=axis))


def interval(values: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    """The central percentile interval of each column of values (n_bootstrap, C): low (C,), high (C,).

    NaN is left out; NaN for a column of NaN.
    """
    ends = np.full((2, values.shape[1]), np.nan)
    for column, drawn in enumerate(values.T):
        usable = drawn[~np.isnan(drawn)]
        if len(usable):
            ends[:, column] = np.quantile(usable, [(1 - level) / 2, (1 + level) / 2])
    return ends[0], ends[1]


def mean_interval(values: np.ndarray, groups: Sequence, *, n_bootstrap: int = 1000, seed: int = 0,
                  level: float = 0.95) -> pd.DataFrame:
    """Means over images with percentile intervals, one row per column of values: mean, low, high, images, draws.

    values (N,) or (N, K): one number per image, NaN where there is none, which is left out. groups (N,): the patient of
    each image. Column `draws`: how many bootstrap samples had any image. Raises DataError for infinite values,
    SettingsError where there are not as many groups as values.
    """
    values = np.asarray(values, float).reshape(len(values), -1)
    check_groups(groups, len(values))
    if np.isinf(values).any():
        row, column = np.argwhere(np.isinf(values))[0]
        raise DataError(f"the value is {values[row, column]}", f"row {row}, column {column}",
                        "Values are finite numbers, or NaN where there is none.")
    known = ~np.isnan(values)
    filled = np.where(known, values, 0)

    def mean(weights: np.ndarray) -> np.ndarray:
        exact = weights.T.astype(float)
        return ratio(exact @ filled, exact @ known)
    drawn = resample(mean, groups, n_bootstrap, seed)
    low, high = interval(drawn, level)
    return pd.DataFrame({"mean": once(mean, groups), "low": low, "high": high, "images": known.sum(axis=0),
                         "draws": (~np.isnan(drawn)).sum(axis=0)})


def jackknife(statistic: Callable[[np.ndarray], np.ndarray], groups: Sequence) -> np.ndarray:
    """The standard error of `statistic` by leaving out one patient at a time, (C,); statistic as in `resample`.

    For statistics that repeated patients would bias, such as how much images differ from one another. With n patients:
    the root of (n - 1) / n times the sum of squared deviations of the n values from their mean.
    Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, eq. 11.5.
    """
    patients, patient = np.unique(np.asarray(groups), return_inverse=True)
    without = statistic((patient[:, None] != np.arange(len(patients))).astype(np.float32))  # (patients, C)
    return np.sqrt((len(patients) - 1) * ((without - without.mean(axis=0)) ** 2).mean(axis=0))


def wilson_interval(successes: np.ndarray, trials: np.ndarray, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Wilson's score interval of a share of independent trials, elementwise: low, high; NaN without trials.

    Source: Wilson, Probable inference, the law of succession, and statistical inference, JASA 22, 1927.
    Raises DataError for fewer than 0 or more successes than trials.
    """
    successes, trials = np.asarray(successes, float), np.asarray(trials, float)
    if ((successes < 0) | (successes > trials)).any():
        raise DataError(f"{successes} successes of {trials} trials", "parameters successes, trials",
                        "Give as many successes as trials at most.")
    z, share = ndtri((1 + level) / 2), ratio(successes, trials)
    middle = (2 * trials * share + z**2) / (2 * (trials + z**2))
    half = z * np.sqrt(4 * trials * share * (1 - share) + z**2) / (2 * (trials + z**2))
    # at the ends the formula gives 0 and 1 up to rounding
    return np.where(share == 0, 0.0, middle - half), np.where(share == 1, 1.0, middle + half)


def check_groups(groups: Sequence, images: int) -> None:
    """Raises SettingsError unless each image has its patient."""
    if len(groups) != images:
        raise SettingsError(f"{len(groups)} groups for {images} images", "parameter groups",
                            "Give the patient of each image.")
