"""Drawing patients with replacement, each with all their images: where every interval of the evaluation comes from.

Nothing is copied: an image of a patient drawn n times weighs n. Whoever writes a figure as a function of such weights
has its interval. (Ours; the paper gives no intervals.)
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pandas as pd

from mdlib.errors import DataError, SettingsError

CHUNK = 100  # draws at once: for 112,120 images their weights take 45 MB


def weights(groups: Sequence, draws: int, seed: int) -> Iterator[np.ndarray]:
    """How often each image is in each draw, (N, up to CHUNK draws) float32 at a time. groups (N,): its patient.

    The same groups, draws and seed give the same weights, so figures from two calls can be compared draw by draw.
    """
    patients, patient = np.unique(np.asarray(groups), return_inverse=True)
    chance = np.random.default_rng(seed)
    for begin in range(0, draws, CHUNK):
        many = min(CHUNK, draws - begin)
        chosen = chance.integers(0, len(patients), (many, len(patients)))
        times = np.stack([np.bincount(row, minlength=len(patients)) for row in chosen], axis=1).astype(np.float32)
        yield times[patient]


def resample(statistic: Callable[[np.ndarray], np.ndarray], groups: Sequence, draws: int, seed: int) -> np.ndarray:
    """What `statistic` is in every draw, (draws, C). statistic: weights of the images (N, d) -> (d, C)."""
    return np.concatenate([statistic(chunk) for chunk in weights(groups, draws, seed)])


def once(statistic: Callable[[np.ndarray], np.ndarray], groups: Sequence) -> np.ndarray:
    """What `statistic` is of the images as they are, each weighing 1, (C,)."""
    return statistic(np.ones((len(groups), 1), np.float32))[0]


def ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Elementwise, NaN where the denominator is 0: what is not defined is not a number, and never 0."""
    return np.divide(numerator, denominator, out=np.full(np.shape(numerator), np.nan), where=denominator > 0)


def interval(values: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    """The middle `level` of each column of values (draws, C), NaN left out; NaN where all are: low (C,), high (C,)."""
    ends = np.full((2, values.shape[1]), np.nan)
    for column, drawn in enumerate(values.T):
        usable = drawn[~np.isnan(drawn)]
        if len(usable):
            ends[:, column] = np.quantile(usable, [(1 - level) / 2, (1 + level) / 2])
    return ends[0], ends[1]


def mean_interval(values: np.ndarray, groups: Sequence, *, draws: int = 1000, seed: int = 0,
                  level: float = 0.95) -> pd.DataFrame:
    """Means over images with percentile intervals, a row a column of values: mean, low, high, images, draws.

    values (N,) or (N, K): a number an image, NaN where there is none, which is left out. groups (N,): the patient of
    each image. Column `draws`: how many draws had any image. Raises DataError for infinite values, SettingsError where
    groups are not as many as the values.
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
    drawn = resample(mean, groups, draws, seed)
    low, high = interval(drawn, level)
    return pd.DataFrame({"mean": once(mean, groups), "low": low, "high": high, "images": known.sum(axis=0),
                         "draws": (~np.isnan(drawn)).sum(axis=0)})


def check_groups(groups: Sequence, images: int) -> None:
    """Raises SettingsError unless each image has its patient."""
    if len(groups) != images:
        raise SettingsError(f"{len(groups)} groups for {images} images", "parameter groups",
                            "Give the patient of each image.")
