"""Retrieval of images by a description: the share of the first k with the right conclusion (Zhang et al., Table 3)."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from mdlib.errors import DataError, SettingsError
from mdlib.evaluate.resampling import ratio


def correct_conclusion_recall(scores: np.ndarray, query_class: np.ndarray, image_class: np.ndarray, own: np.ndarray,
                              ks: Sequence[int] = (1, 5, 10), *, leave_out_own: bool) -> pd.DataFrame:
    """The share of the first k images whose class is the query's, in [0, 1]; one row per query: `Cr@k`, `chance`.

    scores (N, M): how well each of M images fits each of N queries, higher is better; query_class (N,) and image_class
    (M,): class ids; own (N,): the column of the image that the query was written for, -1 where it is not among them.
    The paper does not say whether that image can be found by its own report: leave_out_own decides. Ties are broken by
    the lower column (ours). Where there are fewer than k images, the share of those there are, NaN where there are
    none. chance: the share of the query's class among the images to be found, which a random order reaches at every k.
    Raises DataError for scores that are NaN, SettingsError for other shapes.
    """
    scores, query_class, image_class, own = (np.asarray(x) for x in (scores, query_class, image_class, own))
    _check(scores, query_class, image_class, own, ks)
    left_out = own if leave_out_own else np.full(len(own), -1)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :max(ks) + 1]
    # what is left out goes behind all others; the others keep their order
    last = np.argsort(order == left_out[:, None], axis=1, kind="stable")
    order = np.take_along_axis(order, last, axis=1)
    hits = np.cumsum((image_class[order] == query_class[:, None]) & (order != left_out[:, None]), axis=1)
    pool = scores.shape[1] - (left_out >= 0)
    table = {f"Cr@{k}": ratio(hits[:, min(k, hits.shape[1]) - 1], np.minimum(k, pool)) for k in ks}
    there = (np.arange(scores.shape[1]) != left_out[:, None]) & (image_class == query_class[:, None])
    return pd.DataFrame(table | {"chance": ratio(there.sum(axis=1), pool)})


def _check(scores: np.ndarray, query_class: np.ndarray, image_class: np.ndarray, own: np.ndarray,
           ks: Sequence[int]) -> None:
    """Raises the errors that `correct_conclusion_recall` names."""
    if scores.ndim != 2 or (query_class.shape, image_class.shape, own.shape) != (
            scores.shape[:1], scores.shape[1:], scores.shape[:1]):
        raise SettingsError(f"scores {scores.shape}, queries {query_class.shape}, images {image_class.shape}, own "
                            f"{own.shape}", "shapes", "Give scores as (queries, images), own and classes to match.")
    if not len(ks) or min(ks) < 1 or not scores.shape[1]:
        raise SettingsError(f"the first {list(ks)} of {scores.shape[1]} images", "parameter ks",
                            "Give whole numbers from 1, and one image or more.")
    if ((own < -1) | (own >= scores.shape[1])).any():
        raise DataError(f"own columns from {own.min()} to {own.max()}", "parameter own",
                        f"Columns are 0 to {scores.shape[1] - 1}; -1 where the image is not among them.")
    if np.isnan(scores).any():
        row, column = np.argwhere(np.isnan(scores))[0]
        raise DataError("the score is nan", f"query {row}, image {column}",
                        "A network that gives NaN has diverged; train it again.")
