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
    """Brier score and expected calibration error of each class, with percentile intervals over patients (ours).

    A row a class, columns
    brier, brier_low, brier_high: the mean of (probability - target) squared, 0 is perfect (Brier, Monthly Weather
    Review 78, 1950);
    brier_prevalence: the score of giving every image the prevalence, which knows nothing of the image;
    ece, ece_low, ece_high: the mean over the bins of `reliability` of |mean probability - share|, weighted by their
    images (Naeini et al., AAAI 2015; bins of equal count are ours), the bins kept in every draw;
    ece_calibrated: what chance alone would make of it in a perfectly calibrated network, were the images independent:
    the mean size of a normal deviate of variance sum p (1 - p), a bin at a time (ours);
    mean_probability, prevalence, images.
    The ece and even more its interval are biased upwards, for noise makes gaps larger and never smaller than 0: read
    them beside ece_calibrated. Arguments and errors as `reliability`; NaN where no target is known.
    """
    target, probability = _checked(target, probability, names, groups, bins)
    member = _bins(target, probability, bins)
    gaps, spread = (_adder(member, bins, values) for values in (probability - target, probability * (1 - probability)))
    known = (~np.isnan(target)).astype(np.float32)

    def ece(weights: np.ndarray) -> np.ndarray:
        size = np.abs(gaps @ weights).reshape(len(names), bins, -1).sum(axis=1)
        return ratio(size.T, weights.T @ known)
    low, high = resampling.interval(resampling.resample(ece, groups, draws, seed), level)
    brier = resampling.mean_interval((probability - target) ** 2, groups, draws=draws, seed=seed, level=level)
    images = known.sum(axis=0)
    prevalence = ratio(np.nansum(target, axis=0), images)
    chance = np.sqrt(2 / np.pi * spread.sum(axis=1)).reshape(len(names), bins).sum(axis=1)
    return pd.DataFrame({
        "brier": brier["mean"].to_numpy(), "brier_low": brier["low"].to_numpy(), "brier_high": brier["high"].to_numpy(),
        "brier_prevalence": prevalence * (1 - prevalence), "ece": resampling.once(ece, groups), "ece_low": low,
        "ece_high": high, "ece_calibrated": ratio(chance, images),
        "mean_probability": ratio((probability * known).sum(axis=0), images), "prevalence": prevalence,
        "images": images.astype(int)}, index=pd.Index(list(names), name="class"))


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
