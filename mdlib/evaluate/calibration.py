"""Calibration: whether of the images that are given 30 % about 30 % are positive."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.sparse import csr_array

from mdlib.errors import DataError, SettingsError
from mdlib.evaluate import resampling
from mdlib.evaluate.classification import checked
from mdlib.evaluate.resampling import ratio


def reliability(target: np.ndarray, probability: np.ndarray, groups: Sequence, *, names: Sequence[str], bins: int = 10,
                draws: int = 1000, seed: int = 0, level: float = 0.95) -> pd.DataFrame:
    """The share of positives against the mean probability, a row a class and bin; calibrated where both are equal.

    Columns class, bin, images, positives, probability (the mean of the bin), share, low, high. The bins of a class hold
    as many images each, as far as equal probabilities, which stay together, allow it; their edges are the quantiles, as
    scikit-learn's calibration_curve(strategy="quantile"); a bin that stays empty is left out. The interval is of the
    share, over patients, the edges kept (ours); without positives in the bin it has no width, which does not mean
    certainty. target (N, K): 0, 1, or NaN where unknown, which is left out; probability (N, K) in [0, 1]. Raises
    DataError for other values, SettingsError for other shapes and fewer than 2 bins.
    """
    target, probability = _checked(target, probability, names, groups, bins)
    member = _bins(target, probability, bins)
    images, positives, total = (_adder(member, bins, values) for values in
                                (np.ones_like(target), target, probability))

    def share(weights: np.ndarray) -> np.ndarray:
        return ratio(positives @ weights, images @ weights).T
    low, high = resampling.interval(resampling.resample(share, groups, draws, seed), level)
    count = images.sum(axis=1).astype(int)
    table = pd.DataFrame({
        "class": np.repeat(np.array([*names], object), bins), "bin": np.tile(np.arange(bins), len(names)),
        "images": count, "positives": positives.sum(axis=1).astype(int), "probability": ratio(total.sum(axis=1), count),
        "share": resampling.once(share, groups), "low": low, "high": high})
    return table[count > 0].reset_index(drop=True)


def errors(target: np.ndarray, probability: np.ndarray, groups: Sequence, *, names: Sequence[str], bins: int = 10,
           draws: int = 1000, seed: int = 0, level: float = 0.95) -> pd.DataFrame:
    """Brier score and expected calibration error of each class, with intervals over patients (ours).

    A row a class, columns
    gap, gap_low, gap_high: mean probability minus prevalence; above 0 the network says too much;
    brier, brier_low, brier_high: the mean of (probability - target) squared, 0 is perfect (Brier, Monthly Weather
    Review 78, 1950);
    brier_prevalence: the score of giving every image the prevalence, which knows nothing of the image;
    ece, ece_low, ece_high: the mean over the bins of `reliability` of |mean probability - share|, weighted by their
    images (Naeini et al., AAAI 2015; bins of equal count are ours);
    ece_chance: what a calibrated network stays below in `level` of the draws, by chance; prevalence, images.
    Resampling makes the ece itself larger, for noise moves every bin away from 0. So its interval is not of percentiles
    but ece - ece_chance, at least 0, to ece + ece_chance, where ece_chance is the quantile of the sum of the sizes of
    all bins' errors, each bin drawn minus as it is: by the triangle inequality the ece is never further off, and the
    interval rather too wide (ours). Arguments and errors as `reliability`; NaN where no target is known.
    """
    target, probability = _checked(target, probability, names, groups, bins)
    known = (~np.isnan(target)).astype(np.float32)
    gaps = _adder(_bins(target, probability, bins), bins, probability - target)

    def gap_of_each_bin(weights: np.ndarray) -> np.ndarray:
        return ratio((gaps @ weights).T, np.repeat(weights.T @ known, bins, axis=1))
    once = resampling.once(gap_of_each_bin, groups)
    moved = resampling.resample(gap_of_each_bin, groups, draws, seed) - once
    ece, off = (np.abs(values).reshape(-1, len(names), bins).sum(axis=2) for values in (once, moved))
    chance = resampling.interval(off, 2 * level - 1)[1]  # its upper end is the quantile `level`
    means = [resampling.mean_interval(values, groups, draws=draws, seed=seed, level=level)[["mean", "low", "high"]]
             .set_axis([name, f"{name}_low", f"{name}_high"], axis=1)
             for name, values in (("gap", probability - target), ("brier", (probability - target) ** 2))]
    images = known.sum(axis=0)
    prevalence = ratio(np.nansum(target, axis=0), images)
    table = pd.concat(means, axis=1).assign(
        brier_prevalence=prevalence * (1 - prevalence), ece=ece[0], ece_low=np.maximum(ece[0] - chance, 0),
        ece_high=ece[0] + chance, ece_chance=chance, prevalence=prevalence, images=images.astype(int))
    return table.set_axis(pd.Index(list(names), name="class"))


def _bins(target: np.ndarray, probability: np.ndarray, bins: int) -> np.ndarray:
    """The bin of each image and class, (N, K); -1 where the target is unknown."""
    member = np.full(target.shape, -1)
    for k, known in enumerate(~np.isnan(target.T)):
        if known.any():
            edges = np.percentile(probability[known, k], np.linspace(0, 1, bins + 1) * 100)
            member[known, k] = np.searchsorted(edges[1:-1], probability[known, k])
    return member


def _adder(member: np.ndarray, bins: int, values: np.ndarray) -> csr_array:
    """The matrix (K x bins, N) that turns weights (N, d) into the weighted sums of values (N, K), a bin a row."""
    image, column = np.nonzero(member >= 0)
    row = column * bins + member[image, column]
    return csr_array((values[image, column], (row, image)), shape=(bins * member.shape[1], len(member)))


def _checked(target: np.ndarray, probability: np.ndarray, names: Sequence[str], groups: Sequence, bins: int
             ) -> tuple[np.ndarray, np.ndarray]:
    target, probability = checked(target, probability, names)
    resampling.check_groups(groups, len(target))
    if bins < 2:
        raise SettingsError(f"{bins} bins", "parameter bins", "Use 2 or more.")
    if (outside := (probability < 0) | (probability > 1)).any():
        row, column = np.argwhere(outside)[0]
        raise DataError(f"the probability is {probability[row, column]}", f"row {row}, class {names[column]}",
                        "Probabilities lie in [0, 1]; give no logits.")
    return target, probability
