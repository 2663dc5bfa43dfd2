"""How sharp attention is, and whether it looks at the image at all.

A map is how much attention each of P places gets. It is divided by its own sum; what is negative counts as 0, as in
`localisation`. A map that is NaN throughout stands for a word that is not there and is left out; a map with nothing
above 0 has no sharpness and is left out too. Raises DataError for maps that are NaN or infinite in some places only.
(Ours: the paper shows its maps and measures none.)
"""

import math

import numpy as np

from mdlib.errors import DataError, SettingsError


def entropy(maps: np.ndarray, axes: int = 1) -> np.ndarray:
    """Entropy of each map in bits: 0 where all attention is at one place, `uniform_bits(P)` where it is everywhere.

    maps (..., P) with axes=1, (..., h, w) with axes=2; one number for each map, NaN for those left out.
    2 to this power is the number of places that a map of equal weights would cover.
    """
    shares = _shares(maps, axes)
    bits = np.log2(shares, out=np.zeros_like(shares), where=shares > 0)
    return -(shares * bits).sum(axis=-1) + 0.0  # no negative zero


def uniform_bits(places: int) -> float:
    """The entropy in bits of attention that is the same at all places, log2(places): the highest there is."""
    return math.log2(places)


def share_of_image(maps: np.ndarray) -> float:
    """How much of what attention shows is due to the image, in [0, 1]: 0 where all images get the same map of a word.

    maps (N, T, P): of N images, for the same T words each, since other words move attention whatever the image (score
    one sentence on all images). For each word, the squared distance of the maps from the uniform one is the sum of
    their squared distances from their own mean over images and of N times that mean's from the uniform one: what
    differs between images, and what is the same in all. Returned is the first part of the whole, both added up over
    words, so that a word counts as much as its maps have shape; NaN where all maps are uniform. Words that fewer than
    two images have are left out. Maps that have nothing to do with one another reach (N - 1) / N, not 1. Raises
    SettingsError for fewer than two images.
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
