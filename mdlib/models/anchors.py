"""Instances from anchors, as in NTS-Net (Yang et al. 2018; Fan et al., Table 1), scored with the attention map.

NTS-Net learns the score of an anchor by a navigator, which a second network teaches. Here the score of an anchor is the
sum over its area of the map less the map's mean, divided by the root of the area, as in a matched filter (ours): only
the selection of boxes differs, not the network. `suppress` takes any scores.
"""

from functools import lru_cache
from itertools import product

import numpy as np
import torch
from torch import Tensor

from mdlib.models.instances import Instances, checked_maps, flat

# NTS-Net on pictures of 448 pixels: step between centres, side, and the factors of the side, for each of three levels.
SIDE = 448
LEVELS = ((32, 48, (2 ** (1 / 3), 2 ** (2 / 3))), (64, 96, (2 ** (1 / 3), 2 ** (2 / 3))),
          (128, 192, (1, 2 ** (1 / 3), 2 ** (2 / 3))))
RATIOS = (2 / 3, 1, 3 / 2)      # of height and width


@lru_cache(maxsize=1)
def anchors() -> np.ndarray:
    """The 1,614 anchors of NTS-Net, (A, 4): top, left, bottom, right in fractions, cut off at the picture's edges."""
    boxes = []
    for step, size, factors in LEVELS:
        centres = (np.arange(-(-SIDE // step)) + 0.5) * step
        for y, x, factor, ratio in product(centres, centres, factors, RATIOS):
            height, width = size * factor * ratio**0.5, size * factor / ratio**0.5
            boxes.append((y - height / 2, x - width / 2, y + height / 2, x + width / 2))
    return (np.array(boxes) / SIDE).clip(0, 1)


def anchor_boxes(maps: Tensor, extent: Tensor, n: int = 4, *, iou: float = 0.25) -> Instances:
    """The n anchors that fit best what is above the mean of each map, by non-maximum suppression.

    maps: Omega (B, h, w). An anchor that overlaps a chosen one by more than `iou` is left out; so is one with more
    below the mean than above it. `extent` is not used: the argument is that of `component_boxes`. What is missing, and
    a map that is flat or not finite, as there.
    """
    values, boxes = checked_maps(maps, n), anchors()
    above = values - values.mean(axis=(1, 2), keepdims=True)
    rows, columns = (_overlaps(boxes[:, [axis, axis + 2]], above.shape[1 + axis]) for axis in (0, 1))
    area = rows.sum(axis=1) * columns.sum(axis=1)
    scores = np.einsum("ah,bha->ba", rows, above @ columns.T) / area**0.5
    chosen = suppress(np.where((scores > 0) & ~flat(values)[:, None], scores, -np.inf), boxes, n, iou)
    return Instances(*(part.to(maps.device) for part in chosen))


def suppress(scores: np.ndarray, boxes: np.ndarray, n: int, iou: float) -> Instances:
    """Greedy non-maximum suppression of the same boxes for all pictures at once, in n steps.

    scores (B, A), -inf for a box that may not be chosen; boxes (A, 4). Fewer than n boxes: the first again, not found;
    none: the whole picture.
    """
    scores, rows = scores.copy(), np.arange(len(scores))
    chosen, found = np.empty((len(scores), n, 4)), np.empty((len(scores), n), bool)
    for i in range(n):
        winner = scores.argmax(axis=1)
        found[:, i] = scores[rows, winner] > -np.inf
        instead = chosen[:, 0] if i else np.broadcast_to([0.0, 0, 1, 1], (len(scores), 4))
        chosen[:, i] = np.where(found[:, i, None], boxes[winner], instead)
        scores[_iou(boxes[winner], boxes) > iou] = -np.inf
        scores[rows, winner] = -np.inf
    return Instances(torch.from_numpy(chosen).float(), torch.from_numpy(found))


def _overlaps(intervals: np.ndarray, cells: int) -> np.ndarray:
    """How much of each cell of a line the intervals (A, 2) in [0, 1] cover, in cells, (A, cells)."""
    first, start, stop = np.arange(cells), *(cells * intervals.T[..., None])
    return (np.minimum(stop, first + 1) - np.maximum(start, first)).clip(min=0)


def _iou(some: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Intersection over union of boxes (B, 4) and (A, 4), (B, A)."""
    sides = np.minimum(some[:, None, 2:], others[:, 2:]) - np.maximum(some[:, None, :2], others[:, :2])
    inside = sides.clip(min=0).prod(axis=2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(axis=1) for boxes in (some, others)]
    return inside / (areas[0][:, None] + areas[1] - inside)
