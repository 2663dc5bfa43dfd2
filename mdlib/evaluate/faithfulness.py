"""Whether a map follows the network: what its pixels do to the score, and how alike two maps are."""

from collections.abc import Callable

import numpy as np
from scipy.stats import rankdata

from mdlib.errors import SettingsError

Predict = Callable[[np.ndarray], np.ndarray]    # images (n, C, H, W) -> scores (n,)


def deletion(predict: Predict, images: np.ndarray, maps: np.ndarray, replacement: np.ndarray,
             steps: int = 10) -> np.ndarray:
    """Scores (N, steps + 1) while the highest pixels of the map are replaced (Petsiuk et al. 2018, section 3.2).

    images and replacement (N, C, H, W), maps (N, H, W), raw. Step s has replaced round(s H W / steps) pixels, the
    highest first, equal ones in the order of rows. If the map tells what the score rests on, the curve falls early.
    """
    return _exchange(predict, images, replacement, maps, steps)


def insertion(predict: Predict, images: np.ndarray, maps: np.ndarray, replacement: np.ndarray,
              steps: int = 10) -> np.ndarray:
    """The same from the other end (Petsiuk et al. 2018): all is replaced, and the highest pixels come back first."""
    return _exchange(predict, replacement, images, maps, steps)


def area(curves: np.ndarray) -> np.ndarray:
    """The area under each curve (N, steps + 1) by trapezoids, over the share of pixels from 0 to 1, (N,)."""
    curves = np.asarray(curves, float)
    return (curves[:, :-1] + curves[:, 1:]).mean(axis=1) / 2


def rank_correlation(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Spearman's correlation of each map of a (N, H, W) with that of b, (N,): 1 is the same order of the pixels.

    NaN where a map is constant. What Adebayo et al. (2018) compare maps of trained and of random weights by.
    """
    ranks = [rankdata(np.asarray(maps, float).reshape(len(maps), -1), axis=1) for maps in (a, b)]
    a, b = (values - values.mean(axis=1, keepdims=True) for values in ranks)
    spread = np.sqrt((a * a).sum(axis=1) * (b * b).sum(axis=1))
    return np.divide((a * b).sum(axis=1), spread, out=np.full(len(a), np.nan), where=spread > 0)


def _exchange(predict: Predict, start: np.ndarray, end: np.ndarray, maps: np.ndarray, steps: int) -> np.ndarray:
    """Scores while pixels of `start` become those of `end`; one batch of N images is predicted at a time."""
    start, end, maps = np.asarray(start), np.asarray(end), np.asarray(maps)
    if start.shape != end.shape or maps.shape != (len(start), *start.shape[2:]) or steps < 1:
        raise SettingsError(f"images {start.shape}, replacement {end.shape}, maps {maps.shape}, {steps} steps",
                            "parameters images, maps, replacement, steps",
                            "Give images and replacement as (N, C, H, W), maps as (N, H, W), and 1 step or more.")
    pixels = maps[0].size
    place = np.empty((len(maps), pixels), np.int64)     # 0 for the highest pixel
    np.put_along_axis(place, np.argsort(-maps.reshape(len(maps), -1), axis=1, kind="stable"), np.arange(pixels), axis=1)
    place = place.reshape(len(maps), 1, *start.shape[2:])
    return np.stack([np.asarray(predict(np.where(place < round(step * pixels / steps), end, start)), float)
                     for step in range(steps + 1)], axis=1)
