"""Faithfulness of maps: how the score changes when the pixels that a map marks are deleted or inserted."""

from collections.abc import Callable

import numpy as np

from mdlib.errors import SettingsError

Predict = Callable[[np.ndarray], np.ndarray]    # images (n, C, H, W) -> scores (n,)


def deletion(predict: Predict, images: np.ndarray, maps: np.ndarray, replacement: np.ndarray,
             steps: int = 10) -> np.ndarray:
    """Scores (N, steps + 1) while the highest pixels of the map are replaced (Petsiuk et al. 2018, section 3.2).

    images and replacement (N, C, H, W), maps (N, H, W), raw. Step s has replaced round(s H W / steps) pixels, the
    highest first, ties in row order. For a faithful map the curve falls early.
    """
    return _exchange(predict, images, replacement, maps, steps)


def insertion(predict: Predict, images: np.ndarray, maps: np.ndarray, replacement: np.ndarray,
              steps: int = 10) -> np.ndarray:
    """Scores (N, steps + 1) while the highest pixels come back first, after all were replaced (Petsiuk et al. 2018)."""
    return _exchange(predict, replacement, images, maps, steps)


def area(curves: np.ndarray) -> np.ndarray:
    """The area under each curve (N, steps + 1) by trapezoids, over the share of pixels from 0 to 1, (N,)."""
    curves = np.asarray(curves, float)
    return (curves[:, :-1] + curves[:, 1:]).mean(axis=1) / 2


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
