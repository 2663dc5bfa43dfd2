"""Areas under ROC curves of many classes, with intervals over patients."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from mdlib.errors import DataError, SettingsError
from mdlib.evaluate import resampling
from mdlib.evaluate.paired import LEVEL, Difference

PLAIN, WEIGHTED = "plain mean", "weighted mean"


def auroc(target: np.ndarray, score: np.ndarray, names: Sequence[str]) -> pd.DataFrame:
    """The AUROC of each class; one row per class: auroc in [0, 1], positives, negatives (Tan et al., section 2.7).

    target (N, K): 0, 1 or NaN where unknown; score (N, K): any increasing function of the probability. An image counts
    for the classes in which it is known (ours: the paper's labels are complete). The AUROC of a class without both
    outcomes is NaN. Raises DataError for other targets and scores that are not finite, SettingsError for other shapes.
    """
    target, score = checked(target, score, names)
    rows = []
    for truth, values in zip(target.T, score.T, strict=True):
        known = ~np.isnan(truth)
        positives = int((truth == 1).sum())
        negatives = int((truth == 0).sum())
        defined = positives > 0 and negatives > 0
        rows.append((roc_auc_score(truth[known], values[known]) if defined else np.nan, positives, negatives))
    return pd.DataFrame(rows, index=pd.Index(list(names), name="class"), columns=["auroc", "positives", "negatives"])


def averages(table: pd.DataFrame) -> dict[str, float | list[str]]:
    """Means over the classes of an `auroc` table: `plain`, `weighted`, and the classes left `undefined`, by name.

    weighted: by the number of positives, as scikit-learn's average="weighted" (Tan et al., section 2.7). Classes
    without both outcomes are left out of both means; NaN if none is left.
    """
    values = table["auroc"].to_numpy(float)[None]
    plain, weighted = _means(values, table["positives"].to_numpy(float)[None])
    return {"plain": float(plain[0]), "weighted": float(weighted[0]),
            "undefined": [str(name) for name in table.index[np.isnan(values[0])]]}


def bootstrap(target: np.ndarray, score: np.ndarray, groups: Sequence, *, names: Sequence[str], n_bootstrap: int = 1000,
              level: float = 0.95, seed: int = 0) -> pd.DataFrame:
    """AUROC with a percentile interval: rows are the classes, `weighted mean`, `plain mean`; auroc, low, high, draws.

    score (N, K), or (S, N, K) from S trainings: then the AUROC is the mean over trainings, and trainings are drawn with
    replacement, too. Patients are drawn with replacement, each with all their images (ours; the paper gives no
    intervals). groups (N,): the patient of each image. A bootstrap sample in which a class lacks an outcome is left out
    for that class: column `draws` has the number of samples used. The means of a sample are over the classes defined in
    it, weighted by its own positives.
    """
    score = np.asarray(score, float)
    score = score[None] if score.ndim == 2 else score
    seeds, columns = len(score), [*names] * len(score)
    target, score = checked(np.tile(np.asarray(target, float), seeds), np.concatenate(score, axis=1), columns)
    table = auroc(target, score, columns)
    whole = _Draws(*table[["auroc", "positives"]].to_numpy(float).T[:, None])
    chance, drawn = np.random.default_rng([seed, 1]), []
    for chunk in _resample(target, score, groups, n_bootstrap, seed):
        each = _with_means(chunk, seeds)  # (draws, S, K + 2)
        chosen = chance.integers(0, seeds, each.shape[:2])
        drawn.append(np.take_along_axis(each, chosen[..., None], axis=1).mean(axis=1))
    values = np.concatenate(drawn)
    low, high = resampling.interval(values, level)
    return pd.DataFrame({"auroc": _with_means(whole, seeds)[0].mean(axis=0), "low": low, "high": high,
                         "draws": (~np.isnan(values)).sum(axis=0)},
                        index=pd.Index([*names, WEIGHTED, PLAIN], name="class"))


def paired_difference(target: np.ndarray, a: np.ndarray, b: np.ndarray, groups: Sequence, *, n_bootstrap: int = 1000,
                      seed: int = 0, level: float = LEVEL, average: str = "weighted") -> Difference:
    """The mean AUROC of networks `a` minus that of `b`, on the same images, with its interval (ours).

    a, b (S, N, K): the scores of S trainings each, the i-th of both from the same seed; (1, N, K) for what has no seed,
    such as a baseline. average: `weighted` by positives (section 2.7) or `plain`; classes without both outcomes are
    left out. The difference is the mean over seeds.
    Resampling has two levels: patients with replacement, the same for both networks and all seeds; and seeds with
    replacement, in pairs. The interval thus covers other patients and other trainings. From few seeds it is too narrow:
    S resampled values show (S - 1) / S of their variance. Images without any known target are not counted in `images`.
    """
    if average not in ("weighted", "plain"):
        raise SettingsError(f"unknown average {average!r}", "parameter average", "Use weighted or plain.")
    a, b = _paired(np.asarray(a, float), np.asarray(b, float))
    known = ~np.isnan(np.asarray(target, float)).all(axis=1)
    scores = np.concatenate([*a, *b], axis=1)  # (N, 2 S K): a's seeds, then b's
    target, scores = checked(np.tile(np.asarray(target, float), 2 * len(a)), scores, range(scores.shape[1]))
    once = auroc(target, scores, range(scores.shape[1]))
    whole = _Draws(once["auroc"].to_numpy(float)[None], once["positives"].to_numpy(float)[None])
    chance = np.random.default_rng([seed, 1])
    drawn = []
    for chunk in _resample(target, scores, groups, n_bootstrap, seed):
        each = _differences(chunk, len(a), average)  # (draws, S)
        drawn.append(np.take_along_axis(each, chance.integers(0, len(a), each.shape), axis=1).mean(axis=1))
    low, high = resampling.interval(np.concatenate(drawn)[:, None], level)
    return Difference(float(_differences(whole, len(a), average).mean()), float(low[0]), float(high[0]), len(a),
                      int(known.sum()), len(np.unique(np.asarray(groups)[known])))


def _paired(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both (S, N, K); what has no seed is paired with each seed of the other."""
    if a.ndim != 3 or b.ndim != 3 or a.shape[1:] != b.shape[1:] or (len(a) != len(b) and 1 not in (len(a), len(b))):
        raise SettingsError(f"shapes {a.shape} and {b.shape}", "scores a and b",
                            "Give both as (seeds, images, classes), of as many seeds each.")
    seeds = max(len(a), len(b))
    return tuple(np.broadcast_to(scores, (seeds, *scores.shape[1:])) for scores in (a, b))


class _Draws(NamedTuple):
    values: np.ndarray  # (draws, columns): AUROC
    positives: np.ndarray  # (draws, columns)


def _with_means(draws: "_Draws", seeds: int) -> np.ndarray:
    """The AUROCs of each draw and seed followed by their weighted and plain mean, (draws, S, K + 2)."""
    parts = [part.reshape(len(part) * seeds, -1) for part in draws]
    plain, weighted = _means(*parts)
    return np.column_stack([parts[0], weighted, plain]).reshape(len(draws.values), seeds, -1)


def _differences(draws: _Draws, seeds: int, average: str) -> np.ndarray:
    """Mean AUROC of a minus that of b, (draws, S), from columns ordered network, seed, class."""
    parts = [part.reshape(len(part) * 2 * seeds, -1) for part in draws]
    plain, weighted = _means(*parts)
    a, b = np.moveaxis((weighted if average == "weighted" else plain).reshape(-1, 2, seeds), 1, 0)
    return a - b


def _means(values: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Plain and weighted mean along the classes, leaving NaN out; NaN where nothing is left."""
    defined = ~np.isnan(values)
    filled = np.where(defined, values, 0)
    weights = np.where(defined, weights, 0)
    with np.errstate(invalid="ignore"):
        return filled.sum(axis=1) / defined.sum(axis=1), (filled * weights).sum(axis=1) / weights.sum(axis=1)


def _resample(target: np.ndarray, score: np.ndarray, groups: Sequence, n_bootstrap: int, seed: int) -> Iterator[_Draws]:
    """AUROCs of resampled patients, some draws at a time."""
    resampling.check_groups(groups, len(target))
    curves = [Curve(truth, values) for truth, values in zip(target.T, score.T, strict=True)]
    for weights in resampling.weights(groups, n_bootstrap, seed):
        values, positives = zip(*(curve.auroc(weights) for curve in curves), strict=True)
        yield _Draws(np.stack(values, axis=1), np.stack(positives, axis=1))


class Curve:
    """One class, sorted once: then the AUROC under any weights of the images is a cumulative sum.

    AUROC = sum over positives of weight x (weight of the negatives below + half that of the negatives level with it),
    over weight of positives x weight of negatives.
    """

    def __init__(self, truth: np.ndarray, score: np.ndarray):
        self.positive, self.negative = np.flatnonzero(truth == 1), np.flatnonzero(truth == 0)
        self.negative = self.negative[np.argsort(score[self.negative], kind="stable")]
        ordered = score[self.negative]
        self.below = np.searchsorted(ordered, score[self.positive], "left")
        self.level = np.searchsorted(ordered, score[self.positive], "right")

    def auroc(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """AUROC and weight of the positives, (draws,) each, from weights (N, draws); NaN without both outcomes."""
        sums = np.zeros((len(self.negative) + 1, weights.shape[1]), np.float32)  # whole numbers: exact to 8 M images
        np.cumsum(weights[self.negative], axis=0, out=sums[1:])
        own = weights[self.positive]
        positives = own.sum(axis=0, dtype=float)
        pairs = positives * sums[-1]
        wins = (own.astype(float) * (sums[self.below] + sums[self.level])).sum(axis=0) / 2
        return np.divide(wins, pairs, out=np.full(len(pairs), np.nan), where=pairs > 0), positives


def checked(target: np.ndarray, score: np.ndarray, names: Sequence) -> tuple[np.ndarray, np.ndarray]:
    """Targets and scores as float (N, K), or the errors that `auroc` names."""
    target, score = np.asarray(target, float), np.asarray(score, float)
    if target.shape != score.shape or target.ndim != 2 or target.shape[1] != len(names):
        raise SettingsError(f"targets {target.shape}, scores {score.shape}, {len(names)} names", "shapes",
                            "Give targets and scores as (images, classes), and one name per class.")
    for what, wrong in (("target", ~np.isin(target, (0, 1)) & ~np.isnan(target)), ("score", ~np.isfinite(score))):
        if wrong.any():
            row, column = np.argwhere(wrong)[0]
            value = (target if what == "target" else score)[row, column]
            raise DataError(f"the {what} is {value}", f"row {row}, class {names[column]}",
                            "Targets are 0, 1 or NaN; scores are finite numbers.")
    return target, score
