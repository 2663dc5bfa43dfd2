"""Measures of networks that choose one of several classes, with intervals over patients (ours)."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from mdlib.evaluate import classification, paired, resampling

MEASURES = ("accuracy", "balanced accuracy", "macro AUROC")


def correct(scores: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Whether the class with the highest score is the true one: (S, N, K) and (N, K) -> 0 or 1, (S, N)."""
    return (scores.argmax(axis=2) == targets.argmax(axis=1)).astype(float)


def measures(scores: np.ndarray, targets: np.ndarray, patients: Sequence, *, n_bootstrap: int = 1000, seed: int = 0
             ) -> pd.DataFrame:
    """Accuracy, balanced accuracy (mean recall over classes) and macro AUROC of S trainings: measure, value, low, high.

    scores (S, N, K), targets (N, K) 0 or 1 with a single 1 per row, patients (N,). A class without pictures is left out
    of the means over classes. Values are means over trainings. The 95 % intervals are over patients; that of the AUROC
    is over trainings too (`classification.bootstrap`).
    """
    right = correct(scores, targets).mean(axis=0)

    def both(weights: np.ndarray) -> np.ndarray:
        exact = weights.T.astype(float)
        recall = resampling.ratio(exact @ (right[:, None] * targets), exact @ targets)
        return np.stack([exact @ right / exact.sum(axis=1), resampling.mean_of_known(recall, axis=1)], axis=1)
    value = resampling.once(both, patients)
    low, high = resampling.interval(resampling.resample(both, patients, n_bootstrap, seed), paired.LEVEL)
    names = [str(k) for k in range(targets.shape[1])]
    auroc = classification.bootstrap(targets, scores, patients, names=names, n_bootstrap=n_bootstrap, seed=seed)
    auroc = auroc.loc[classification.PLAIN, ["auroc", "low", "high"]]
    return pd.DataFrame([*zip(MEASURES[:2], value, low, high, strict=True), (MEASURES[2], *auroc)],
                        columns=["measure", "value", "low", "high"])
