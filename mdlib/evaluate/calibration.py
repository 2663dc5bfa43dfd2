"""Calibration of probabilities: are about 30 % of the images positive that a network gives a probability of 30 %?"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.sparse import csr_array

from mdlib.errors import DataError, SettingsError
from mdlib.evaluate import resampling
from mdlib.evaluate.classification import checked
from mdlib.evaluate.resampling import ratio


def reliability(target: np.ndarray, probability: np.ndarray, groups: Sequence, *, names: Sequence[str],
                n_bins: int = 10, n_bootstrap: int = 1000, seed: int = 0, level: float = 0.95) -> pd.DataFrame:
    """The reliability curve of each class, one row per class and bin: share of positives against mean probability.

    Columns class, bin, images, positives, probability (the mean of the bin), share, low, high. A network is calibrated
    where share and probability are equal. The bins of a class hold equally many images, as far as ties allow; their
    edges are the quantiles, as in scikit-learn's calibration_curve(strategy="quantile"), and empty bins are left out.
    The interval is that of the share over patients, with fixed edges (ours); without positives in the bin it has no
    width, which does not mean certainty. target (N, K): 0, 1, or NaN where unknown, which is left out; probability
    (N, K) in [0, 1]. Raises DataError for other values, SettingsError for other shapes and fewer than 2 bins.
    """
    target, probability = _checked(target, probability, names, groups, n_bins)
    member = _bins(target, probability, n_bins)
    images, positives, total = (_adder(member, n_bins, values) for values in
                                (np.ones_like(target), target, probability))

    def share(weights: np.ndarray) -> np.ndarray:
        return ratio(positives @ weights, images @ weights).T
    low, high = resampling.interval(resampling.resample(share, groups, n_bootstrap, seed), level)
    count = images.sum(axis=1).astype(int)
    table = pd.DataFrame({
        "class": np.repeat(np.array([*names], object), n_bins), "bin": np.tile(np.arange(n_bins), len(names)),
        "images": count, "positives": positives.sum(axis=1).astype(int), "probability": ratio(total.sum(axis=1), count),
        "share": resampling.once(share, groups), "low": low, "high": high})
    return table[count > 0].reset_index(drop=True)


def errors(target: np.ndarray, probability: np.ndarray, groups: Sequence, *, names: Sequence[str], n_bins: int = 10,
           n_bootstrap: int = 1000, seed: int = 0, level: float = 0.95) -> pd.DataFrame:
    """Brier score and expected calibration error of each class, with intervals over patients (ours).

    One row per class, columns
    gap, gap_low, gap_high: mean probability minus prevalence; above 0 the network overestimates;
    brier, brier_low, brier_high: the mean of (probability - target) squared, 0 is perfect (Brier, Monthly Weather
    Review 78, 1950);
    brier_prevalence: the score of predicting the prevalence for every image;
    ece, ece_low, ece_high: the mean over the bins of `reliability` of |mean probability - share|, weighted by their
    images (Naeini et al., AAAI 2015; bins of equal count are ours);
    ece_chance: the ece that a calibrated network stays below with probability `level`; prevalence, images.
    Resampling itself increases the ece, because noise moves every bin away from 0. Its interval is therefore not one of
    percentiles but max(0, ece - ece_chance) to ece + ece_chance, where ece_chance is a quantile, over the bootstrap
    samples, of the weighted sum of |error of a bin in the sample - error of the bin in the data|. By the triangle
    inequality the ece never deviates by more, so the interval is conservative (ours). Arguments and errors as
    `reliability`; NaN where no target is known.
    """
    target, probability = _checked(target, probability, names, groups, n_bins)
    known = (~np.isnan(target)).astype(np.float32)
    gaps = _adder(_bins(target, probability, n_bins), n_bins, probability - target)

    def gap_of_each_bin(weights: np.ndarray) -> np.ndarray:
        return ratio((gaps @ weights).T, np.repeat(weights.T @ known, n_bins, axis=1))
    once = resampling.once(gap_of_each_bin, groups)
    moved = resampling.resample(gap_of_each_bin, groups, n_bootstrap, seed) - once
    ece, off = (np.abs(values).reshape(-1, len(names), n_bins).sum(axis=2) for values in (once, moved))
    chance = resampling.interval(off, 2 * level - 1)[1]  # its upper end is the quantile `level`
    options = {"n_bootstrap": n_bootstrap, "seed": seed, "level": level}
    means = [resampling.mean_interval(values, groups, **options)[["mean", "low", "high"]]
             .set_axis([name, f"{name}_low", f"{name}_high"], axis=1)
             for name, values in (("gap", probability - target), ("brier", (probability - target) ** 2))]
    images = known.sum(axis=0)
    prevalence = ratio(np.nansum(target, axis=0), images)
    table = pd.concat(means, axis=1).assign(
        brier_prevalence=prevalence * (1 - prevalence), ece=ece[0], ece_low=np.maximum(ece[0] - chance, 0),
        ece_high=ece[0] + chance, ece_chance=chance, prevalence=prevalence, images=images.astype(int))
    return table.set_axis(pd.Index(list(names), name="class"))


def _bins(target: np.ndarray, probability: np.ndarray, n_bins: int) -> np.ndarray:
    """The bin of each image and class, (N, K); -1 where the target is unknown."""
    member = np.full(target.shape, -1)
    for k, known in enumerate(~np.isnan(target.T)):
        if known.any():
            edges = np.percentile(probability[known, k], np.linspace(0, 1, n_bins + 1) * 100)
            member[known, k] = np.searchsorted(edges[1:-1], probability[known, k])
    return member


def _adder(member: np.ndarray, n_bins: int, values: np.ndarray) -> csr_array:
    """The matrix (K x n_bins, N) that turns weights (N, d) into the weighted sums of values (N, K), one row per bin."""
    image, column = np.nonzero(member >= 0)
    row = column * n_bins + member[image, column]
    return csr_array((values[image, column], (row, image)), shape=(n_bins * member.shape[1], len(member)))


def _checked(target: np.ndarray, probability: np.ndarray, names: Sequence[str], groups: Sequence, n_bins: int
             ) -> tuple[np.ndarray, np.ndarray]:
    target, probability = checked(target, probability, names)
    resampling.check_groups(groups, len(target))
    if n_bins < 2:
        raise SettingsError(f"{n_bins} bins", "parameter n_bins", "Use 2 or more.")
    if (outside := (probability < 0) | (probability > 1)).any():
        row, column = np.argwhere(outside)[0]
        raise DataError(f"the probability is {probability[row, column]}", f"row {row}, class {names[column]}",
                        "Probabilities lie in [0, 1]; give no logits.")
    return target, probability
