"""Average precision of each class, beside the prevalence, which is what chance reaches."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from mdlib.evaluate import resampling
from mdlib.evaluate.classification import checked
from mdlib.evaluate.resampling import ratio


def average_precision(target: np.ndarray, probability: np.ndarray, groups: Sequence, *, names: Sequence[str],
                      n_bootstrap: int = 1000, seed: int = 0, level: float = 0.95) -> pd.DataFrame:
    """The average precision of each class with a percentile interval over patients (ours).

    One row per class: average_precision, low, high; prevalence, the share of positives, which a random order reaches;
    positives, negatives, draws (the bootstrap samples in which the class had both outcomes; others are left out). It is
    the mean over the positives of the precision at the score of each, without interpolation, as in scikit-learn. It
    depends on the prevalence: compare it only at equal prevalence. target (N, K): 0, 1, or NaN where unknown, which is
    left out; probability (N, K), or any increasing function of it; groups (N,): the patient of each image. NaN for a
    class without both outcomes. Raises DataError and SettingsError as `classification.auroc`.
    """
    target, probability = checked(target, probability, names)
    resampling.check_groups(groups, len(target))
    curves = [PrecisionRecall(truth, values) for truth, values in zip(target.T, probability.T, strict=True)]

    def all_classes(weights: np.ndarray) -> np.ndarray:
        return np.stack([curve.average_precision(weights) for curve in curves], axis=1)
    drawn = resampling.resample(all_classes, groups, n_bootstrap, seed)
    low, high = resampling.interval(drawn, level)
    positives, negatives = (target == 1).sum(axis=0), (target == 0).sum(axis=0)
    return pd.DataFrame({"average_precision": resampling.once(all_classes, groups), "low": low, "high": high,
                         "prevalence": ratio(positives, positives + negatives), "positives": positives,
                         "negatives": negatives, "draws": (~np.isnan(drawn)).sum(axis=0)},
                        index=pd.Index(list(names), name="class"))


class PrecisionRecall:
    """One class, sorted once: then the average precision under any weights of the images is a cumulative sum.

    Average precision = sum over positives of weight x (weight of the positives at or above its score / weight of all
    images there), over the weight of the positives.
    """

    def __init__(self, truth: np.ndarray, score: np.ndarray):
        self.known, self.positive = (rows[np.argsort(-score[rows], kind="stable")]
                                     for rows in (np.flatnonzero(~np.isnan(truth)), np.flatnonzero(truth == 1)))
        of_known, of_positive = -score[self.known], -score[self.positive]
        self.images_above = np.searchsorted(of_known, of_positive, "right")
        self.positives_above = np.searchsorted(of_positive, of_positive, "right")

    def average_precision(self, weights: np.ndarray) -> np.ndarray:
        """(d,), from weights (N, d); NaN without both outcomes."""
        images, positives = (_cumulative(weights[rows]) for rows in (self.known, self.positive))
        precision = ratio(positives[self.positives_above].astype(float), images[self.images_above])
        terms = np.where(np.isnan(precision), 0, precision) * weights[self.positive]  # NaN only where the weight is 0
        both = (positives[-1] > 0) & (positives[-1] < images[-1])
        return ratio(terms.sum(axis=0, dtype=float), np.where(both, positives[-1], 0).astype(float))


def _cumulative(weights: np.ndarray) -> np.ndarray:
    """Sums of the first 0, 1, 2, ... rows, float32: the weights are whole numbers, exact to 16 million."""
    sums = np.zeros((len(weights) + 1, weights.shape[1]), np.float32)
    np.cumsum(weights, axis=0, out=sums[1:])
    return sums
