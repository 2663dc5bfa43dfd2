"""Decision thresholds, one per class: chosen on one part of the data, evaluated on another.

An image is called positive where its probability is at or above the threshold.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from mdlib.errors import SettingsError
from mdlib.evaluate import resampling
from mdlib.evaluate.classification import checked
from mdlib.evaluate.resampling import ratio

RATES = ("sensitivity", "specificity", "ppv", "npv")


def choose(target: np.ndarray, probability: np.ndarray, names: Sequence[str]) -> pd.DataFrame:
    """The threshold of each class with the highest Youden's J = sensitivity + specificity - 1 (ours).

    One row per class: threshold, sensitivity, specificity, positives, negatives. Give the validation part: on the
    images on which a threshold was chosen, sensitivity and specificity are optimistic. target (N, K): 0, 1, or NaN
    where unknown, which is left out; probability (N, K). The candidates are the probabilities themselves; of several
    with the same J the highest is taken, which calls the fewest images positive. NaN for a class without both outcomes.
    Raises DataError and SettingsError as `classification.auroc`.
    Source: Youden, Index for rating diagnostic tests, Cancer 3, 1950.
    """
    target, probability = checked(target, probability, names)
    rows = [_best(truth, values) for truth, values in zip(target.T, probability.T, strict=True)]
    table = pd.DataFrame(rows, index=pd.Index(list(names), name="class"),
                         columns=["threshold", "sensitivity", "specificity"])
    return table.assign(positives=(target == 1).sum(axis=0), negatives=(target == 0).sum(axis=0))


def at(target: np.ndarray, probability: np.ndarray, thresholds: Sequence[float], groups: Sequence, *,
       names: Sequence[str], n_bootstrap: int = 1000, seed: int = 0, level: float = 0.95) -> pd.DataFrame:
    """The rates at given thresholds, with percentile intervals over patients (ours).

    One row per class: threshold; sensitivity, specificity, ppv and npv (positive and negative predictive value: the
    share of the images called positive, or negative, that are), each followed by its _low and _high; positives,
    negatives, called (positive). target, probability (N, K); thresholds (K,): from other images, NaN where there is
    none, then the rates are NaN; groups (N,): the patient of each image. A rate is NaN where its denominator is 0; such
    bootstrap samples are left out. The predictive values hold at this prevalence only. Where a rate is 1 in every
    sample its interval has no width, which does not mean certainty. Raises as `classification.auroc`; SettingsError for
    other shapes.
    """
    target, probability = checked(target, probability, names)
    resampling.check_groups(groups, len(target))
    statistic = Rates(target, probability, thresholds)
    low, high = resampling.interval(resampling.resample(statistic, groups, n_bootstrap, seed), level)
    values = np.stack([resampling.once(statistic, groups), low, high]).reshape(3, len(RATES), -1)
    columns = {rate + end: values[e, r] for r, rate in enumerate(RATES) for e, end in enumerate(("", "_low", "_high"))}
    counts = {"positives": (target == 1).sum(axis=0), "negatives": (target == 0).sum(axis=0),
              "called": statistic.called.sum(axis=0).astype(int)}
    return pd.DataFrame({"threshold": np.asarray(thresholds, float), **columns, **counts},
                        index=pd.Index(list(names), name="class"))


class Rates:
    """The rates of every class as a function of the weights of the images: (N, d) -> (d, 4 K), in the order of RATES.

    called (N, K): 1 where an image whose target is known is called positive.
    """

    def __init__(self, target: np.ndarray, probability: np.ndarray, thresholds: Sequence[float]):
        thresholds = np.asarray(thresholds, float)
        if thresholds.shape != target.shape[1:]:
            raise SettingsError(f"thresholds {thresholds.shape} for {target.shape[1]} classes", "parameter thresholds",
                                "Give one per class.")
        usable = ~np.isnan(target) & ~np.isnan(thresholds)
        called = probability >= thresholds
        self.called = (usable & called).astype(np.float32)
        cells = [usable & (target == truth) & (called == call) for truth in (1, 0) for call in (True, False)]
        self.cells = np.concatenate(cells, axis=1).astype(np.float32)  # (N, 4 K); sums are whole: exact to 16 M images

    def __call__(self, weights: np.ndarray) -> np.ndarray:
        hit, missed, false_alarm, rest = np.split((weights.T @ self.cells).astype(float), 4, axis=1)
        pairs = ((hit, missed), (rest, false_alarm), (hit, false_alarm), (rest, missed))
        return np.concatenate([ratio(right, right + wrong) for right, wrong in pairs], axis=1)


def _best(truth: np.ndarray, values: np.ndarray) -> tuple[float, float, float]:
    known = ~np.isnan(truth)
    truth, values = truth[known], values[known]
    order = np.argsort(-values, kind="stable")
    last = np.append(np.diff(values[order]) != 0, True)[:len(order)]  # the last of equal values: all of them are called
    hits, false_alarms = (np.cumsum(truth[order] == outcome)[last] for outcome in (1, 0))
    if not len(hits) or hits[-1] == 0 or false_alarms[-1] == 0:
        return (np.nan,) * 3
    positives, negatives = int(hits[-1]), int(false_alarms[-1])
    best = np.argmax(hits * negatives - false_alarms * positives)  # whole numbers: equal J are equal
    return values[order][last][best], hits[best] / positives, 1 - false_alarms[best] / negatives
