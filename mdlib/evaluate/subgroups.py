"""Performance in subgroups, such as each sex, and the differences between them."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from mdlib.errors import SettingsError
from mdlib.evaluate import resampling
from mdlib.evaluate.average_precision import PrecisionRecall
from mdlib.evaluate.classification import Curve, checked
from mdlib.evaluate.thresholds import Rates

MEASURES = ("AUROC", "average precision", "sensitivity", "specificity")


def compare(target: np.ndarray, probability: np.ndarray, thresholds: Sequence[float], part: Sequence[str],
            groups: Sequence, *, names: Sequence[str], parts: Sequence[str], min_patients: int = 10,
            n_bootstrap: int = 1000, seed: int = 0, level: float = 0.95) -> pd.DataFrame:
    """MEASURES of each class in each part, and the difference from the first part (ours).

    One row per measure, part and class.
    Columns measure, part, class, images, positives, negatives, positive_patients, negative_patients (those with any
    such image), value, low, high; difference (from the first of `parts`), difference_low, difference_high.
    part (N,): the part of each image, one of `parts` or anything else, which is left out; groups (N,): its patient.
    Intervals are percentiles over patients; each bootstrap sample takes the same patients in all parts, so that those
    who are in two parts count in both. A class with fewer than `min_patients` positive or negative patients in a part
    is NaN there. Other arguments and errors as `thresholds.at`.
    """
    target, probability = checked(target, probability, names)
    resampling.check_groups(groups, len(target))
    if len(part) != len(target):
        raise SettingsError(f"{len(part)} parts for {len(target)} images", "parameter part", "Give one per image.")
    inside = np.stack([np.asarray(part) == which for which in parts], axis=1)  # (N, G)
    kinds = {"images": ~np.isnan(target), "positives": target == 1, "negatives": target == 0}
    counts = {name: inside.T.astype(int) @ kind for name, kind in kinds.items()}  # (G, K) each
    counts |= {f"{name[:-1]}_patients": _patients(inside, kinds[name], groups) for name in ("positives", "negatives")}
    enough = np.minimum(counts["positive_patients"], counts["negative_patients"]) >= min_patients
    shown = inside[:, :, None] & enough
    statistic = _all_measures(np.where(shown, target[:, None], np.nan), probability, np.asarray(thresholds, float))
    drawn = resampling.resample(statistic, groups, n_bootstrap, seed)
    once = resampling.once(statistic, groups)
    shape = (len(MEASURES), len(parts), len(names))

    def against_first(values: np.ndarray) -> np.ndarray:
        values = values.reshape(-1, *shape)
        return (values - values[:, :, :1]).reshape(len(values), -1)
    found = {"value": once, **_ends("", drawn, level), "difference": against_first(once)[0],
             **_ends("difference_", against_first(drawn), level)}
    index = pd.MultiIndex.from_product([MEASURES, list(parts), list(names)], names=["measure", "part", "class"])
    return pd.DataFrame({**{name: np.broadcast_to(count, shape).ravel() for name, count in counts.items()}, **found},
                        index=index).reset_index()


def _all_measures(target: np.ndarray, probability: np.ndarray, thresholds: np.ndarray
                  ) -> Callable[[np.ndarray], np.ndarray]:
    """MEASURES as a function of weights (N, d) -> (d, measures x parts x classes), from target (N, parts, classes)."""
    images, parts, _ = target.shape
    target, probability = target.reshape(images, -1), np.tile(probability, parts)
    columns = list(zip(target.T, probability.T, strict=True))
    roc, precision = ([kind(*column) for column in columns] for kind in (Curve, PrecisionRecall))
    rates = Rates(target, probability, np.tile(thresholds, parts))

    def measures(weights: np.ndarray) -> np.ndarray:
        areas = [curve.auroc(weights)[0] for curve in roc] + [curve.average_precision(weights) for curve in precision]
        return np.column_stack([*areas, rates(weights)[:, :2 * len(columns)]])
    return measures


def _patients(inside: np.ndarray, kind: np.ndarray, groups: Sequence) -> np.ndarray:
    """How many patients have an image of a kind (N, K) in a part (N, G), (G, K)."""
    patients = np.asarray(groups)
    return np.array([[len(np.unique(patients[here & such])) for such in kind.T] for here in inside.T])


def _ends(name: str, values: np.ndarray, level: float) -> dict[str, np.ndarray]:
    low, high = resampling.interval(values, level)
    return {f"{name}low": low, f"{name}high": high}
