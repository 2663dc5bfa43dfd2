"""How well a map points at a cause whose pixels are known: four measures from 0 to 1, and the mass within the mask.

All take raw maps (N, H, W), upsampled to the size of the masks, and masks (N, H, W) bool, and return (N,) float64.
What is negative in a map counts as 0 (Tan et al., eq. 7). A map with nothing above 0 counts as a miss: 0 (ours);
`shown` says which. An empty mask gives NaN. Ties share what they win (ours), so that a uniform map scores exactly
`chance` in each of the four. Raises SettingsError for other shapes and DataError for maps that are not finite.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from mdlib.errors import DataError, SettingsError

SHARE = 0.5     # (ours) of the map's own maximum: at least as high counts for the intersection over union


def chance(masks: np.ndarray) -> np.ndarray:
    """The share of the image that the mask covers, (N,): what a uniform map scores."""
    return np.asarray(masks, bool).mean(axis=(1, 2))


def shown(maps: np.ndarray) -> np.ndarray:
    """Which maps have anything above 0, bool (N,)."""
    return (np.asarray(maps) > 0).any(axis=(1, 2))


def pointing_game(maps: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Whether the maximum lies in the mask (Zhang et al. 2018, without their tolerance), (N,).

    Where several pixels share the maximum: the share of them that lies in the mask (ours).
    """
    relevance, inside = _checked(maps, masks)
    top = relevance == relevance.max(axis=1, keepdims=True)
    return _defined((top & inside).sum(axis=1) / top.sum(axis=1), relevance, inside)


def intersection_over_union(maps: np.ndarray, masks: np.ndarray, share: float = SHARE) -> np.ndarray:
    """IoU of the mask and the pixels of at least `share` of the map's own maximum, (N,)."""
    relevance, inside = _checked(maps, masks)
    lit = relevance >= share * relevance.max(axis=1, keepdims=True)
    return _defined((lit & inside).sum(axis=1) / (lit | inside).sum(axis=1), relevance, inside)


def mass_accuracy(maps: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """The share of the map's sum that lies in the mask (relevance mass accuracy, Arras et al. 2022), (N,)."""
    relevance, inside = _checked(maps, masks)
    total = relevance.sum(axis=1)
    return _defined((relevance * inside).sum(axis=1) / np.where(total > 0, total, 1), relevance, inside)


def rank_accuracy(maps: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """The share of the K highest pixels that lies in a mask of K pixels (relevance rank accuracy, Arras et al. 2022).

    Pixels tied at the last place share the places that are left (ours).
    """
    relevance, inside = _checked(maps, masks)
    size = inside.sum(axis=1)
    place = np.clip(relevance.shape[1] - size, 0, relevance.shape[1] - 1)
    last = np.take_along_axis(np.sort(relevance, axis=1), place[:, None], axis=1)
    above, tied = relevance > last, relevance == last
    won = (above & inside).sum(axis=1) + (size - above.sum(axis=1)) * (tied & inside).sum(axis=1) / tied.sum(axis=1)
    return _defined(won / np.maximum(size, 1), relevance, inside)


MEASURES = {"pointing game": pointing_game, "intersection over union": intersection_over_union,
            "mass accuracy": mass_accuracy, "rank accuracy": rank_accuracy}


def measures(maps: np.ndarray, masks: np.ndarray, names: Sequence[str] = tuple(MEASURES)) -> pd.DataFrame:
    """One row per map: a column for each of `names` in MEASURES, and `shown`, 1 where anything is above 0, else 0.

    maps (N, H, W); masks (N, H, W), or (H, W) for one mask of all maps. A map that is NaN throughout stands for one
    that does not exist, such as that of a word behind the end of a sentence; its row is NaN.
    """
    maps, masks = np.asarray(maps, np.float64), np.asarray(masks)
    masks = np.broadcast_to(masks, (len(maps), *masks.shape)) if masks.ndim == 2 else masks
    _check_shapes(maps, masks)
    missing = np.isnan(maps).all(axis=(1, 2))
    maps = np.where(missing[:, None, None], 0, maps)
    table = pd.DataFrame({name: MEASURES[name](maps, masks) for name in names} | {"shown": shown(maps).astype(float)})
    table[missing] = np.nan
    return table


def mass(maps: np.ndarray, masks: np.ndarray, cells: int | None = None) -> np.ndarray:
    """The sum of what is above 0 within the mask, (N,).

    cells: how many cells a map had before it was upsampled to H x W pixels. The sum is scaled by cells / (H W), so that
    it does not grow with the size of the image; None: not scaled.
    """
    relevance, inside = _checked(maps, masks)
    total = (relevance * inside).sum(axis=1)
    return total if cells is None else total * cells / inside.shape[1]


def mass_change(maps: np.ndarray, without: np.ndarray, masks: np.ndarray, cells: int | None = None) -> pd.DataFrame:
    """The `mass in the cause` of each map, and `its change` when the cause is removed; one row per image.

    maps: of images with a cause in the mask; without: of the same images without it. The change is the `mass` of the
    first minus that of the second in the same pixels. NaN where the first is 0 everywhere. cells as in `mass`.
    """
    inside = np.where((np.asarray(maps) != 0).any(axis=(1, 2)), mass(maps, masks, cells), np.nan)
    return pd.DataFrame({"mass in the cause": inside, "its change": inside - mass(without, masks, cells)})


def coverage(masks: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """The share of each cell that masks (..., H, W) cover, (..., h, w), for maps of shape (h, w) over the whole image.

    Where H or W is no multiple of h or w, neighbouring cells share the pixels between them (adaptive average pooling).
    """
    rows, columns = (_cells(*sizes) for sizes in zip(np.shape(masks)[-2:], shape, strict=True))
    return rows @ np.asarray(masks, np.float64) @ columns.T / rows.sum(axis=1)[:, None] / columns.sum(axis=1)


def _cells(pixels: int, count: int) -> np.ndarray:
    """Which pixels of a line are in each of `count` cells, 0 or 1, (count, pixels)."""
    cell, pixel = np.arange(count)[:, None], np.arange(pixels)
    return ((pixel >= cell * pixels // count) & (pixel < -(-(cell + 1) * pixels // count))).astype(float)


def _checked(maps: np.ndarray, masks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Relevance of 0 or more, float64 (N, H W), and the masks, bool (N, H W)."""
    maps, masks = np.asarray(maps, np.float64), np.asarray(masks)
    _check_shapes(maps, masks)
    if not np.isfinite(maps).all():
        raise DataError(f"{int((~np.isfinite(maps)).sum())} values are not finite", "parameter maps",
                        "A network that gives NaN has diverged; train it again.")
    return maps.clip(min=0).reshape(len(maps), -1), masks.reshape(len(masks), -1)


def _check_shapes(maps: np.ndarray, masks: np.ndarray) -> None:
    if maps.shape != masks.shape or maps.ndim != 3 or masks.dtype != bool:
        raise SettingsError(f"maps {maps.shape}, masks {masks.shape} of {masks.dtype}", "parameters maps, masks",
                            "Give both as (images, H, W), the masks bool; upsample the maps first.")


def _defined(score: np.ndarray, relevance: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """The score where the map shows anything, 0 where it does not, NaN where the mask is empty."""
    return np.where(inside.any(axis=1), np.where((relevance > 0).any(axis=1), score, 0.0), np.nan)
