"""How well a map points at a cause whose pixels are known: four measures, each from 0 to 1, a number an image.

All take maps (N, H, W), raw, and masks (N, H, W) bool of the same size, and give (N,) float64. What is negative in a
map counts as 0 (Tan et al., eq. 7). A map with nothing above 0 points nowhere and counts as a miss: 0 (ours); `shown`
tells which. An empty mask gives NaN. Pixels of equal value share what they win (ours), so that a uniform map scores
exactly `chance` in each measure. Raises SettingsError for other shapes and DataError for maps that are not finite.
"""

import numpy as np

from mdlib.errors import DataError, SettingsError

SHARE = 0.5     # (ours) of the map's own maximum: what is at least as high is "lit" for the intersection over union


def chance(masks: np.ndarray) -> np.ndarray:
    """The share of the image that the mask covers, (N,): what a map that is the same everywhere scores."""
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
    """Pixels both lit and in the mask over pixels in either, (N,); lit: at least `share` of the map's own maximum."""
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


def _checked(maps: np.ndarray, masks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Relevance of 0 or more, float64 (N, H W), and the masks, bool (N, H W)."""
    maps, masks = np.asarray(maps, np.float64), np.asarray(masks)
    if maps.shape != masks.shape or maps.ndim != 3 or masks.dtype != bool:
        raise SettingsError(f"maps {maps.shape}, masks {masks.shape} of {masks.dtype}", "parameters maps, masks",
                            "Give both as (images, H, W), the masks bool; upsample the maps first.")
    if not np.isfinite(maps).all():
        raise DataError(f"{int((~np.isfinite(maps)).sum())} values are not finite", "parameter maps",
                        "A network that gives NaN has diverged; train it again.")
    return maps.clip(min=0).reshape(len(maps), -1), masks.reshape(len(masks), -1)


def _defined(score: np.ndarray, relevance: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """The score where the map shows anything, 0 where it does not, NaN where the mask is empty."""
    return np.where(inside.any(axis=1), np.where((relevance > 0).any(axis=1), score, 0.0), np.nan)
