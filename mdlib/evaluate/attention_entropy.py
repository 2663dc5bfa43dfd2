"""Entropy of attention maps, and the share of their variation that is due to the image (ours).

A map gives the attention at each of P places. It is divided by its own sum; what is negative counts as 0, as in
`localisation`. A map that is NaN throughout stands for a word that does not exist, and is left out, as is a map with
nothing above 0. Raises DataError for maps that are NaN or infinite in some places only.
"""

import math

import numpy as np

from mdlib.errors import DataError, SettingsError


def entropy(maps: np.ndarray, axes: int = 1) -> np.ndarray:
    """Entropy of each map in bits: 0 where all attention is at one place, `uniform_bits(P)` where it is uniform.

    maps (..., P) with axes=1, (..., h, w) with axes=2; one number for each map, NaN for those left out.
    2 to this power is the number of places that a map of equal weights would cover.
    """
    shares = _shares(maps, axes)
    bits = np.log2(shares, out=np.zeros_like(shares), where=shares > 0)
    return -(shares * bits).sum(axis=-1) + 0.0  # no negative zero


def uniform_bits(places: int) -> float:
    """The entropy in bits of uniform attention, log2(places): the maximum."""
    return math.log2(places)


def share_of_image(maps: np.ndarray) -> float:
    """The share of the variation of attention that is due to the image, in [0, 1]; 0 where all images have equal maps.

    maps (N, T, P): of N images, for the same T words in each, because other words move attention whatever the image
    (score one sentence on all images). For each word, the sum over images of the squared distance from the uniform map
    is a sum of two parts: the squared distances from the mean map over images, and N times the squared distance of that
    mean from the uniform map. Returned is the first part as a share of the whole, both summed over words, so that a
    word counts in proportion to how far its maps are from uniform; NaN where all maps are uniform. Words that fewer
    than two images have are left out. Unrelated maps reach (N - 1) / N, not 1. Raises SettingsError for fewer than two
    images.
    """
    if np.ndim(maps) != 3 or len(maps) < 2:
        raise SettingsError(f"maps {np.shape(maps)}", "parameter maps",
                            "Give (images, words, places), of two images or more.")
    shares = _shares(maps, 1)
    known = ~np.isnan(shares[..., :1])
    known &= known.sum(axis=0) > 1
    filled = np.where(known, shares, 0)
    mean = filled.sum(axis=0) / np.maximum(known.sum(axis=0), 1)  # (T, P)
    between = np.where(known, (filled - mean) ** 2, 0).sum()
    total = np.where(known, (filled - 1 / shares.shape[-1]) ** 2, 0).sum()
    return float(between / total) if total > 1e-20 * max(known.sum(), 1) else math.nan  # below: rounding


def _shares(maps: np.ndarray, axes: int) -> np.ndarray:
    """Each map flat, float64 (..., P), its sum 1; NaN throughout where it is left out."""
    maps = np.asarray(maps, np.float64)
    if axes not in (1, 2) or maps.ndim < axes or 0 in maps.shape[-axes:]:
        raise SettingsError(f"maps {maps.shape} of {axes} axes", "parameters maps, axes",
                            "Give maps (..., P) with axes=1, or (..., h, w) with axes=2.")
    flat = maps.reshape(*maps.shape[:-axes], -1)
    missing = np.isnan(flat).all(axis=-1, keepdims=True)
    if (~np.isfinite(flat) & ~missing).any():
        raise DataError(f"{int((~np.isfinite(flat) & ~missing).sum())} values are not finite", "parameter maps",
                        "A network that gives NaN has diverged; train it again.")
    shown = flat.clip(min=0)
    total = shown.sum(axis=-1, keepdims=True)
    return np.divide(shown, total, out=np.full_like(shown, np.nan), where=total > 0)
