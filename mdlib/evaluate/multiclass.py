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
    of the means over classes. Values are means over trainings. The 95 % intervals are over patients, and over trainings
    where there are several, as in `classification.bootstrap`.
    """
    right = correct(scores, targets)                                                       # (S, N)

    def both(weights: np.ndarray) -> np.ndarray:
        """Accuracy and balanced accuracy of each training, one after the other, (draws, 2 S)."""
        exact = weights.T.astype(float)
        recalls = [resampling.mean_of_known(resampling.ratio(exact @ (hit[:, None] * targets), exact @ targets), axis=1)
                   for hit in right]
        return np.concatenate([exact @ right.T / exact.sum(axis=1, keepdims=True), np.stack(recalls, axis=1)], axis=1)
    drawn = resampling.resample(both, patients, n_bootstrap, seed).reshape(n_bootstrap, 2, len(right))
    chosen = np.random.default_rng([seed, 1]).integers(0, len(right), (n_bootstrap, 1, len(right)))
    value = resampling.once(both, patients).reshape(2, -1).mean(axis=1)
    low, high = resampling.interval(np.take_along_axis(drawn, chosen, axis=2).mean(axis=2), paired.LEVEL)
    names = [str(k) for k in range(targets.shape[1])]
    auroc = classification.bootstrap(targets, scores, patients, names=names, n_bootstrap=n_bootstrap, seed=seed)
    auroc = auroc.loc[classification.PLAIN, ["auroc", "low", "high"]]
    return pd.DataFrame([*zip(MEASURES[:2], value, low, high, strict=True), (MEASURES[2], *auroc)],
                        columns=["measure", "value", "low", "high"])
