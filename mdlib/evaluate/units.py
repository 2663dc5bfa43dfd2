"""Units of a layer summarised: detectors per concept, near duplicates, which to show to readers, a decision by units.

Takes arrays, as `explain.dissection` and `explain.units` give them.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.sparse import csr_array

from mdlib.errors import SettingsError
from mdlib.evaluate.resampling import ratio

DETECTS = 0.04      # IoU above which a unit counts as a detector (Bau et al. 2017)
SHOWN = 8           # top images per unit on the page where readers choose a unit (the authors' code)
REPEATS = 0.75      # (ours) Jaccard of the top images of two units above which one is left out


def top_concepts(iou: np.ndarray, concepts: Sequence[str], above: float = DETECTS) -> pd.DataFrame:
    """The concept with the highest IoU of each unit: unit, concept, iou, detector (whether its IoU exceeds `above`).

    iou (U, C), NaN where there is none. A unit without any has concept "" and IoU NaN; ties go to the first concept.
    """
    iou = _checked(iou, concepts)
    best = np.where(np.isnan(iou), -np.inf, iou).argmax(axis=1)
    value = iou[np.arange(len(iou)), best]
    named = np.where(np.isnan(value), "", np.array(concepts, object)[best])
    return pd.DataFrame({"unit": np.arange(len(iou)), "concept": named, "iou": value, "detector": value > above})


def detectors(iou: np.ndarray, concepts: Sequence[str], above: float = DETECTS) -> pd.DataFrame:
    """One row per concept: concept, detectors (units of which it is the top concept, above `above`), unit, iou.

    unit and iou: those of the unit with the highest IoU with this concept, be it the unit's top concept or not; -1 and
    NaN where no unit has any. The number of concepts with a detector is the number of unique detectors of Bau et al.
    """
    found = top_concepts(iou, concepts, above)
    iou = _checked(iou, concepts)
    best = np.where(np.isnan(iou), -np.inf, iou).argmax(axis=0)
    value = iou[best, np.arange(len(concepts))]
    count = found.loc[found["detector"], "concept"].value_counts()
    return pd.DataFrame({"concept": list(concepts), "detectors": count.reindex(list(concepts), fill_value=0).to_numpy(),
                         "unit": np.where(np.isnan(value), -1, best), "iou": value})


def near_duplicates(top: np.ndarray, above: float = REPEATS) -> np.ndarray:
    """For each unit the unit before it that it nearly repeats, int64 (U,); -1 for those that are kept.

    top (U, k): the indices of each unit's top images, -1 where there are fewer. Units are taken in order; one is left
    out where the Jaccard index of its top images with those of a unit that was kept is greater than `above`: of 8
    images, 7 or 8 in common.
    """
    top = np.asarray(top)
    listed = top >= 0
    image = np.unique(top, return_inverse=True)[1].reshape(top.shape)
    unit = np.repeat(np.arange(len(top)), top.shape[1])
    holds = csr_array((listed.astype(float).ravel(), (unit, image.ravel())), shape=(len(top), top.size))
    common, size = (holds @ holds.T).toarray(), listed.sum(axis=1)
    similar = ratio(common, size[:, None] + size - common) > above
    repeats = np.full(len(top), -1)
    for unit in range(len(top)):
        earlier = np.flatnonzero(similar[unit, :unit] & (repeats[:unit] < 0))
        repeats[unit] = earlier[0] if len(earlier) else -1
    return repeats


def select_units(top: np.ndarray, positive: np.ndarray, dead: np.ndarray, count: int = 48, seed: int = 0
                 ) -> pd.DataFrame:
    """Units to show to readers: unit, positives (among its SHOWN top images), reason ("positives" or "random").

    Wu et al., section 2.4: 40 to 50 units, partly with top images that all or mostly contain cancer, partly random.
    Half (ours; the larger one of an odd count) are those with the most positives, units with as many in random order;
    the rest is drawn at random from the others. Left out are dead units and, in order, those that nearly repeat a unit
    before (`near_duplicates`). Rows are in the order of the units; where too few are left, all of them.

    top int (U, k), k at least SHOWN: indices of images, the highest first; positive bool (N,): of all images; dead bool
    (U,). Raises SettingsError for other shapes, fewer images per unit, and a count below 1.
    """
    top, positive, dead = np.asarray(top), np.asarray(positive, bool), np.asarray(dead, bool)
    if top.ndim != 2 or dead.shape != top.shape[:1] or top.shape[1] < SHOWN or top.max(initial=-1) >= len(positive):
        raise SettingsError(f"top {top.shape}, dead {dead.shape}, {len(positive)} images", "parameters top, dead",
                            f"Give at least {SHOWN} of the images for each unit.")
    if count < 1:
        raise SettingsError(f"{count} units", "parameter count", "Ask for at least 1.")
    shown = top[:, :SHOWN]
    positives = (positive[shown] & (shown >= 0)).sum(axis=1)
    alive = np.flatnonzero(~dead)
    order = np.random.default_rng(seed).permutation(alive[near_duplicates(shown[alive]) < 0])
    order = order[np.argsort(-positives[order], kind="stable")]
    first, others = order[:-(-count // 2)], order[-(-count // 2):]
    drawn = np.random.default_rng([seed, 1]).permutation(others)[:count - len(first)]
    chosen = np.concatenate([first, drawn])
    table = pd.DataFrame({"unit": chosen, "positives": positives[chosen],
                          "reason": ["positives"] * len(first) + ["random"] * len(drawn)})
    return table.sort_values("unit", ignore_index=True)


def evidence(contributions: np.ndarray, labels: Mapping[int, str]) -> pd.DataFrame:
    """A decision by its units, the largest contribution first: unit, label ("" without), contribution, share.

    contributions (U,): what each unit adds to the logit of one image, signed; share: its absolute value over the sum of
    all absolute values, in [0, 1], NaN where all are 0. The share of evidence from units without label is the sum of
    `share` over the rows where label is "".
    """
    contributions = np.asarray(contributions, float)
    size = np.abs(contributions)
    table = pd.DataFrame({"unit": np.arange(len(size)), "label": [labels.get(unit, "") for unit in range(len(size))],
                          "contribution": contributions, "share": ratio(size, np.full(len(size), size.sum()))})
    return table.iloc[np.argsort(-size, kind="stable")].reset_index(drop=True)


def _checked(iou: np.ndarray, concepts: Sequence[str]) -> np.ndarray:
    iou = np.asarray(iou, float)
    if iou.ndim != 2 or iou.shape[1] != len(concepts) or not len(concepts):
        raise SettingsError(f"IoU of shape {iou.shape} for {len(concepts)} concepts", "parameters iou, concepts",
                            "Give one row per unit and one column per concept.")
    return iou
