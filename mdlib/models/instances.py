"""From an attention map to the boxes of several instances (Fan et al., section 2): threshold, components, squares.

The paper says that the map is thresholded and that the patches of the mask are cropped. The threshold, what a patch is,
how many there are and what shape they have is ours.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor
from torch.nn import functional as F

from mdlib.errors import DataError, SettingsError
from mdlib.models.gated import refuse_unknown

FLAT = 1e-6     # (ours) a map whose values differ by less, as a share of their largest magnitude, points nowhere
BINS = 256      # (ours) of the histogram of Otsu's threshold
NEIGHBOURS = np.zeros((3, 3, 3), bool)      # the eight of a pixel in its own map, none in other maps of the batch
NEIGHBOURS[1] = True


class Instances(NamedTuple):
    """The boxes of B pictures, the best first. No gradient passes through them."""

    boxes: Tensor    # (B, n, 4) float32: top, left, bottom, right, in fractions of the picture
    found: Tensor    # (B, n) bool: False for a placeholder, a copy of the first box or the whole picture


def mean_threshold(maps: np.ndarray) -> np.ndarray:
    """The mean of each map: (B, H, W) -> (B,)."""
    return maps.mean(axis=(1, 2))


def otsu_threshold(maps: np.ndarray) -> np.ndarray:
    """Otsu's threshold of each map, (B, H, W) -> (B,): the two parts' means differ most, weighed by their sizes.

    The upper edge of the last of 256 equal bins, from minimum to maximum, that belongs to the lower part.
    """
    values = maps.reshape(len(maps), -1)
    low, span = values.min(axis=1, keepdims=True), np.ptp(values, axis=1, keepdims=True)
    bins = np.minimum((values - low) / np.where(span > 0, span, 1) * BINS, BINS - 1).astype(int)
    counts = np.bincount((bins + BINS * np.arange(len(maps))[:, None]).ravel(), minlength=BINS * len(maps))
    counts = counts.reshape(-1, BINS)
    below, sums = counts.cumsum(axis=1)[:, :-1], (counts * np.arange(BINS)).cumsum(axis=1)
    above = values.shape[1] - below
    difference = sums[:, :-1] / np.maximum(below, 1) - (sums[:, -1:] - sums[:, :-1]) / np.maximum(above, 1)
    between = below * above * difference**2                                                # (B, BINS - 1)
    return low[:, 0] + (between.argmax(axis=1) + 1) / BINS * span[:, 0]


def quantile_threshold(maps: np.ndarray, below: float = 0.94) -> np.ndarray:
    """The quantile `below`, in [0, 1], of the pixels of each map, (B, H, W) -> (B,); above it lie 1 - `below`."""
    return np.quantile(maps, below, axis=(1, 2))


THRESHOLDS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "mean": mean_threshold, "otsu": otsu_threshold, "quantile": quantile_threshold}


def component_boxes(maps: Tensor, extent: Tensor, n: int = 4, *, threshold: str = "mean", upsample: int = 4,
                    margin: float = 0.1, min_cells: float = 1) -> Instances:
    """The n components of the thresholded map that hold most of it, as squares.

    maps: Omega (B, h, w). extent: int (B, 2), height and width of each picture in pixels, because a square is one of
    pixels of the picture, whatever the shape of the thumbnail. threshold: a name of THRESHOLDS, applied to the
    upsampled map. Pixels above it that touch, also at a corner, are one component; components of fewer than min_cells
    cells of the map are left out; the n with the largest sums of Omega remain, of a map with negative values those of
    Omega less its minimum (`raised`). A box is widened by `margin` of its sides at each side, made square by its longer
    side, shortened to the picture if need be, and moved inside it.

    With fewer than n components the first box is repeated and marked found=False. Without any, as for a constant map,
    all n boxes are the whole picture with found=False. Raises DataError for a map that is not finite, SettingsError for
    n below 1 or an unknown threshold.
    """
    values = checked_maps(maps, n)
    large, lit = lit_pixels(values, threshold, upsample)
    labels, count = ndimage.label(lit, NEIGHBOURS)
    area = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    total = np.bincount(labels.ravel(), weights=raised(large).ravel(), minlength=count + 1)[1:]
    spans = ndimage.find_objects(labels)
    image = np.array([span[0].start for span in spans], int)
    corners = [[[side.start, side.stop] for side in span[1:]] for span in spans]
    edges = np.array(corners, float).reshape(-1, 2, 2).mT / large.shape[1:]                # (components, ends, axes)
    kept = area >= min_cells * upsample**2
    image, edges, total = image[kept], edges[kept], total[kept]
    boxes = squares(edges, extent.cpu().numpy()[image], margin)
    return Instances(*(part.to(maps.device) for part in best(boxes, image, total, len(values), n)))


def lit_pixels(maps: np.ndarray, threshold: str = "mean", upsample: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Maps (B, h, w) upsampled, and where they are above their threshold: float64 and bool (B, upsample h, upsample w).

    A constant map is nowhere above it. Raises SettingsError for an unknown threshold.
    """
    refuse_unknown("threshold", threshold, THRESHOLDS)
    scale = {"scale_factor": upsample, "mode": "bilinear"}
    large = F.interpolate(torch.from_numpy(np.asarray(maps, float))[:, None], **scale)[:, 0].numpy()
    return large, (large > THRESHOLDS[threshold](large)[:, None, None]) & ~flat(maps)[:, None, None]


def raised(maps: np.ndarray) -> np.ndarray:
    """Maps (B, H, W), those with negative values less their minimum (ours).

    The mean of the channels of X' can be negative where a mechanism adds to X. Only its differences say where it is
    high, and a sum of negative values would rank the smallest component first.
    """
    return maps - maps.min(axis=(1, 2), keepdims=True).clip(max=0)


def checked_maps(maps: Tensor, n: int) -> np.ndarray:
    """Maps (B, h, w) as float64. Raises DataError where one is not finite, SettingsError for no boxes or other maps."""
    if n < 1:
        raise SettingsError(f"is {n}", "parameter n", "Use 1 or more instances.")
    if maps.ndim != 3:
        raise SettingsError(f"has shape {tuple(maps.shape)}", "parameter maps", "Give one map per picture, (B, h, w).")
    values = maps.detach().cpu().double().numpy()
    broken = ~np.isfinite(values).all(axis=(1, 2))
    if broken.any():
        raise DataError("the attention map is not finite", f"picture {broken.argmax()} of the batch",
                        "A network that gives NaN has diverged; train it again, with a lower learning rate.")
    return values


def flat(maps: np.ndarray) -> np.ndarray:
    """Which maps (B, h, w) are the same everywhere up to rounding, bool (B,)."""
    return np.ptp(maps, axis=(1, 2)) <= FLAT * np.abs(maps).max(axis=(1, 2))


def squares(edges: np.ndarray, extent: np.ndarray, margin: float) -> np.ndarray:
    """Boxes as squares of pixels within their pictures, in fractions (M, 4).

    edges (M, 2, 2): (top, left), (bottom, right) in fractions; extent (M, 2): the height and width of their pictures.
    """
    pixels = edges * extent[:, None]
    side = np.minimum((1 + 2 * margin) * (pixels[:, 1] - pixels[:, 0]).max(axis=1), extent.min(axis=1))[:, None]
    start = np.clip(pixels.mean(axis=1) - side / 2, 0, extent - side)
    return np.concatenate([start, start + side], axis=1) / np.tile(extent, 2)


def best(boxes: np.ndarray, image: np.ndarray, score: np.ndarray, count: int, n: int) -> Instances:
    """The n boxes of the highest score of each of `count` pictures, the first again where there are fewer.

    boxes (M, 4), the picture and the score of each (M,). A picture without boxes has the whole picture n times.
    """
    order = np.lexsort((-score, image))
    many = np.bincount(image, minlength=count)[:, None]                                    # of each picture
    found = np.arange(n) < many
    where = many.cumsum(axis=0) - many + np.where(found, np.arange(n), 0)
    where = np.where(many > 0, where, len(boxes))
    table = np.concatenate([boxes[order], [[0, 0, 1, 1]]])
    return Instances(torch.from_numpy(table[where]).float(), torch.from_numpy(found))
