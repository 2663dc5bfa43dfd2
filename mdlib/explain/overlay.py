"""Heat maps as pictures, in plain NumPy: a map without signal stays dark.

The paper (section 2.5, Fig. 5) scales each map from its minimum to its maximum and adds a rainbow to the X-ray,
which gives full colour to rounding noise; here 0 stays 0, and the image shows through where the map is low.
"""

from functools import cache

import contourpy
import matplotlib
import numpy as np
from numpy.typing import ArrayLike

from mdlib.errors import DataError, SettingsError


def normalize(maps: ArrayLike, signal: ArrayLike = True) -> np.ndarray:
    """Maps (..., h, w) as uint8, 0 at zero and below, 255 at the maximum of each; all 0 where `signal` (...) is False.

    Of gradient x input this is the contribution matrix P of Li et al., appendix C, step 2. Raises DataError for NaN and
    infinity.
    """
    values = np.asarray(maps, dtype=np.float64)
    if not np.isfinite(values).all():
        raise DataError(f"{int((~np.isfinite(values)).sum())} values are not finite", "map",
                        "A network that gives NaN has diverged; train it again.")
    positive = values.clip(min=0)
    top = positive.max(axis=(-2, -1), keepdims=True)
    shown = np.asarray(signal, dtype=bool)[..., None, None] & (top > 0)
    return np.rint(255 * np.divide(positive, top, out=np.zeros_like(positive), where=shown)).astype(np.uint8)


def upsample(maps: ArrayLike, shape: tuple[int, int]) -> np.ndarray:
    """Maps (..., h, w) at `shape` (H, W), bilinear between pixel centres, edges repeated; float64."""
    values = np.asarray(maps, dtype=np.float64)
    rows, columns = (_bilinear(old, new) for old, new in zip(values.shape[-2:], shape, strict=True))
    return rows @ values @ columns.T


@cache
def _bilinear(old: int, new: int) -> np.ndarray:
    """Matrix (new, old) that interpolates a line of `old` pixels at the centres of `new` ones."""
    centre = ((np.arange(new) + 0.5) * old / new - 0.5).clip(0, old - 1)
    left = np.floor(centre).astype(int)
    matrix = np.zeros((new, old))
    matrix[np.arange(new), left] = 1 - (centre - left)
    matrix[np.arange(new), np.minimum(left + 1, old - 1)] += centre - left
    return matrix


@cache
def palette(name: str = "inferno") -> np.ndarray:
    """The 256 colours of a matplotlib colormap, uint8 (256, 3); inferno's lightness rises evenly, colour-blind safe.

    Raises SettingsError for a name that matplotlib does not know.
    """
    if name not in matplotlib.colormaps:
        raise SettingsError(f"unknown colormap {name!r}", "parameter name", "Use inferno, viridis or cividis.")
    colours = matplotlib.colormaps[name](np.arange(256), bytes=True)[:, :3]
    colours.flags.writeable = False
    return colours


def colour(heat: np.ndarray, name: str = "inferno") -> np.ndarray:
    """A uint8 map (...) in colour, uint8 (..., 3)."""
    return palette(name)[heat]


def blend(image: ArrayLike, heat: ArrayLike, opacity: float = 0.6, name: str = "inferno") -> np.ndarray:
    """A uint8 map (H, W) laid over a grey image (H, W), uint8 or [0, 1]: RGB uint8 (H, W, 3).

    The map covers by opacity * heat / 255: where it is 0 the image is unchanged. A map of other size is upsampled.
    """
    image, heat = np.asarray(image), np.asarray(heat)
    if image.ndim != 2 or heat.ndim != 2:
        raise SettingsError(f"image {image.shape} and map {heat.shape} are given", "blend", "Pass two arrays (H, W).")
    grey = image.astype(np.float64) if image.dtype == np.uint8 else 255 * image.clip(0.0, 1.0)
    heat = _of_size(heat, image.shape)
    cover = (opacity * heat / 255)[..., None]
    return np.rint((1 - cover) * grey[..., None] + cover * colour(heat, name)).astype(np.uint8)


def over_slice(image: ArrayLike, heat: ArrayLike) -> np.ndarray:
    """H = 0.6 R + 0.3 P*, RGB uint8 (H, W, 3), at most 230 (Li et al., appendix C, step 3).

    R is `image`, uint8 (H, W) or (H, W, 3); P* is the uint8 map `heat` (h, w), upsampled and in the colours of
    `palette` (ours: the paper names no colours). Unlike in `blend` the image is darkened where the map is 0, too.
    """
    image, heat = np.asarray(image), np.asarray(heat)
    if image.dtype != np.uint8 or heat.dtype != np.uint8 or image.ndim not in (2, 3) or heat.ndim != 2:
        raise SettingsError(f"image {image.dtype} {image.shape} and map {heat.dtype} {heat.shape} are given",
                            "over_slice", "Pass uint8 of (H, W) or (H, W, 3), and of (h, w).")
    rgb = image[..., None] if image.ndim == 2 else image
    return np.rint(0.6 * rgb + 0.3 * colour(_of_size(heat, image.shape[:2]))).astype(np.uint8)


def _of_size(heat: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """A uint8 map at `shape`."""
    return heat if heat.shape == shape else np.rint(upsample(heat, shape)).astype(np.uint8)


def contour(mask: ArrayLike, level: float = 0.5) -> list[np.ndarray]:
    """Closed outlines of a mask (H, W), each (n, 2): x, y in pixels, the pixel (row r, column c) at (c + .5, r + .5).

    What touches the edge of the image is closed along the edge.
    """
    padded = np.pad(np.asarray(mask, dtype=np.float64), 1)
    return [line - 0.5 for line in contourpy.contour_generator(z=padded).lines(level)]
