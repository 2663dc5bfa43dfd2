"""Pearson's and Spearman's correlation, of many pairs of maps at once or under the weights of bootstrap samples."""

import numpy as np
from scipy.stats import rankdata


def pearson(a: np.ndarray, b: np.ndarray, axes: int = 1, min_spread: float = 0.0) -> np.ndarray:
    """Pearson's correlation over the last `axes` axes, float64; maps (..., h, w) with axes=2 give (...).

    NaN where a or b is constant, or where the product of their root sums of squared deviations from the mean is at most
    `min_spread`, so that what varies by rounding alone can be left out.
    """
    a, b = (_flat(values, axes) for values in (a, b))
    constant = (np.ptp(a, axis=-1) == 0) | (np.ptp(b, axis=-1) == 0)
    a, b = (values - values.mean(axis=-1, keepdims=True) for values in (a, b))
    spread = np.sqrt((a * a).sum(axis=-1) * (b * b).sum(axis=-1))
    return np.divide((a * b).sum(axis=-1), spread, out=np.full(spread.shape, np.nan),
                     where=(spread > min_spread) & ~constant)


def spearman(a: np.ndarray, b: np.ndarray, axes: int = 1) -> np.ndarray:
    """Spearman's rank correlation over the last `axes` axes: 1 is the same order. NaN where a or b is constant.

    Adebayo et al. (2018) compare maps of a trained network with those of random weights by it.
    """
    return pearson(*(rankdata(_flat(values, axes), axis=-1) for values in (a, b)))


def weighted_spearman(x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Spearman's rank correlation of x (n,) and y (n,) under each column of weights (n, d), (d,).

    weights: how often each pair is in each bootstrap sample (`resampling.weights`); the result is that of the pairs
    repeated so often. Pairs in which y is NaN are left out. NaN where x or y is constant.
    """
    known = ~np.isnan(y)
    w = weights[known].astype(float)
    total = np.maximum(w.sum(axis=0), 1)
    a, b = (ranks - (w * ranks).sum(axis=0) / total for ranks in (_ranks(x[known], w), _ranks(y[known], w)))
    spread = (w * a * a).sum(axis=0) * (w * b * b).sum(axis=0)
    tiny = 1e-9 * total**2      # ranks differ by 1/2 at least: less than this is rounding
    return np.divide((w * a * b).sum(axis=0), np.sqrt(spread), out=np.full(len(total), np.nan), where=spread > tiny)


def _flat(values: np.ndarray, axes: int) -> np.ndarray:
    values = np.asarray(values, np.float64)
    return values.reshape(*values.shape[:-axes], -1)


def _ranks(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The mid-rank of each value under each column of weights, (n, d), up to a constant."""
    distinct, place = np.unique(values, return_inverse=True)
    level = np.zeros((len(distinct), weights.shape[1]))
    np.add.at(level, place, weights)
    return (level.cumsum(axis=0) - level / 2)[place]
