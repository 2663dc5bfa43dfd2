"""Means and correlations of (image, finding) pairs, averaged over findings; with intervals over patients."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from mdlib.evaluate import resampling
from mdlib.evaluate.correlation import weighted_spearman

MEAN = "mean over findings"


def class_means(values: pd.DataFrame, findings: Sequence[str], groups: Sequence, *, n_bootstrap: int = 1000,
                seed: int = 0, level: float = 0.95) -> pd.DataFrame:
    """The mean of each column by finding and the mean of those means: measure, finding, mean, low, high, pairs.

    values: one row per pair, one column per measure; NaN where undefined, which is left out. findings (P,) and groups
    (P,): the finding and the patient of each pair. Patients are drawn with replacement, each with all their pairs; a
    finding without any pair in a bootstrap sample is left out of that sample's mean over findings (ours).
    """
    names = list(dict.fromkeys(findings))
    resampling.check_groups(groups, len(values))
    member = np.asarray(findings)[:, None] == np.array(names)                              # (P, F)
    known = values.notna().to_numpy()[:, :, None] & member[:, None]                        # (P, M, F)
    filled = np.where(known, values.to_numpy(float)[:, :, None], 0)
    shape = (values.shape[1], len(names))

    def means(weights: np.ndarray) -> np.ndarray:
        exact = weights.T.astype(float)
        each = resampling.ratio(*(exact @ part.reshape(len(values), -1) for part in (filled, known)))
        each = each.reshape(-1, *shape)
        over_findings = resampling.mean_of_known(each, axis=-1)[..., None]
        return np.concatenate([each, over_findings], axis=-1).reshape(len(each), -1)

    low, high = resampling.interval(resampling.resample(means, groups, n_bootstrap, seed), level)
    index = pd.MultiIndex.from_product([values.columns, [*names, MEAN]], names=["measure", "finding"])
    pairs = np.concatenate([known.sum(axis=0), known.sum(axis=(0, 2))[:, None]], axis=1)
    return pd.DataFrame({"mean": resampling.once(means, groups), "low": low, "high": high, "pairs": pairs.ravel()},
                        index=index).reset_index()


def rank_agreement(effect: np.ndarray, amounts: pd.DataFrame, findings: Sequence[str], groups: Sequence, *,
                   n_bootstrap: int = 1000, seed: int = 0, level: float = 0.95) -> pd.DataFrame:
    """Spearman's correlation of `effect` (P,) with each column of `amounts`: correlation, low, high, pairs.

    One row per column. It is computed within each finding and averaged over findings, so that one finding having both a
    larger effect and larger maps than another does not contribute (ours). NaN in amounts is left out; findings and
    groups as in `class_means`.
    """
    resampling.check_groups(groups, len(amounts))
    rows = [np.flatnonzero(np.asarray(findings) == name) for name in dict.fromkeys(findings)]

    def correlations(weights: np.ndarray) -> np.ndarray:
        columns = [np.stack([weighted_spearman(effect[of], values[of], weights[of]) for of in rows])
                   for values in amounts.to_numpy(float).T]                                # each (F, d)
        return resampling.mean_of_known(np.stack(columns), axis=1).T                       # (d, M)

    low, high = resampling.interval(resampling.resample(correlations, groups, n_bootstrap, seed), level)
    return pd.DataFrame({"correlation": resampling.once(correlations, groups), "low": low, "high": high,
                         "pairs": amounts.notna().sum().to_numpy()}, index=amounts.columns)
