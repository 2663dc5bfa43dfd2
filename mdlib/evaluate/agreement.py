"""How far two readers agree who labelled the same units: for each term, and for sets of terms; with intervals.

(Ours; the paper reports no agreement of its readers.)
"""

from collections.abc import Collection, Sequence

import numpy as np
import pandas as pd

from mdlib.errors import DataError, SettingsError
from mdlib.evaluate import resampling

MEASURES = ("agreement", "prevalence", "PABAK", "kappa")


def binary_agreement(first: pd.DataFrame, second: pd.DataFrame, *, n_bootstrap: int = 1000, seed: int = 0,
                     level: float = 0.95) -> pd.DataFrame:
    """Agreement of two readers on whether each term applies: term, measure, value, low, high, units, draws.

    first, second: one row per unit, the same units in the same order, and one column per term, 0 or 1 (or bool).
    For each term MEASURES in [0, 1], PABAK and kappa in [-1, 1]:
    agreement   share of units on which the readers agree, p
    prevalence  mean over readers of the share of units to which the term applies
    PABAK       2 p - 1, prevalence- and bias-adjusted kappa (Byrt et al. 1993)
    kappa       (p - e) / (1 - e), e = agreement by chance from each reader's own shares (Cohen 1960); NaN where both
                readers say the same of all units, so that e is 1
    Percentile intervals by drawing units with replacement; kappa's from the samples in which it is defined, of which
    `draws` is the number. It is `sklearn.metrics.cohen_kappa_score` in all samples at once. Raises SettingsError for
    tables of other shapes or without units, DataError for other values.
    """
    if first.shape != second.shape or list(first.columns) != list(second.columns) or not len(first):
        raise SettingsError(f"tables {first.shape} and {second.shape}", "parameters first, second",
                            "Give both readers' answers for the same units (one at least) and terms.")
    answers = np.stack([first.to_numpy(float), second.to_numpy(float)])                    # (2, N, T)
    if not np.isin(answers, (0, 1)).all():
        reader, row, column = np.argwhere(~np.isin(answers, (0, 1)))[0]
        raise DataError(f"the answer is {answers[reader, row, column]}",
                        f"{('first', 'second')[reader]}, row {row}, column {first.columns[column]!r}", "Use 0 and 1.")

    def measures(weights: np.ndarray) -> np.ndarray:
        exact = weights.T.astype(float)                                                    # (d, N)
        one, two, both = (exact @ part / exact.sum(axis=1, keepdims=True)
                          for part in (answers[0], answers[1], answers.prod(axis=0)))      # shares (d, T)
        agreed = 1 - one - two + 2 * both
        disagreed_by_chance = one * (1 - two) + two * (1 - one)
        kappa = 1 - resampling.ratio(1 - agreed, disagreed_by_chance)
        return np.stack([agreed, (one + two) / 2, 2 * agreed - 1, kappa], axis=2).reshape(len(exact), -1)

    units = np.arange(len(first))
    drawn = resampling.resample(measures, units, n_bootstrap, seed)
    low, high = resampling.interval(drawn, level)
    index = pd.MultiIndex.from_product([first.columns, MEASURES], names=["term", "measure"])
    return pd.DataFrame({"value": resampling.once(measures, units), "low": low, "high": high, "units": len(units),
                         "draws": (~np.isnan(drawn)).sum(axis=0)}, index=index).reset_index()


def jaccard(first: Sequence[Collection], second: Sequence[Collection]) -> np.ndarray:
    """What two readers' sets of terms for each unit have in common, as a share of what either has, (N,), in [0, 1].

    NaN where both are empty. `resampling.mean_interval` gives their mean. Raises SettingsError for other numbers of
    units.
    """
    if len(first) != len(second):
        raise SettingsError(f"{len(first)} and {len(second)} units", "parameters first, second",
                            "Give both readers' answers for the same units.")
    common = np.array([len(set(a) & set(b)) for a, b in zip(first, second, strict=True)], float)
    return resampling.ratio(common, np.array([len(set(a) | set(b)) for a, b in zip(first, second, strict=True)]))
