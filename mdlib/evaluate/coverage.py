"""How well a map, and the boxes made of it, cover instances whose boxes are known (Fan et al., section 3, Fig. 5).

The paper says that 72 % of an expert's boxes are covered. It says neither when a box counts as covered nor how much of
the picture the mask holds, and a mask of the whole picture covers every box. Here a box is covered when at least half
of its area lies in the mask, and chance, the same mask elsewhere in the picture, stands beside it (both ours).

masks: (N, H, W) bool, a thresholded map. boxes: (M, 4), top, left, bottom, right in fractions of the picture; images:
int (M,), the picture of each box, from 0 to N - 1. Results are float64 (M,), one value per box, unless said otherwise;
where it is yes or no it is 1 or 0, so that the mean over boxes is a share. Raises SettingsError for other shapes and
DataError for a box that is reversed or outside its picture.
"""

from collections.abc import Sequence

import numpy as np

from mdlib.errors import DataError, SettingsError

SHARE = 0.5     # (ours) of a box's area within the mask: at least as much counts as covered
LEVELS = tuple(np.arange(0.05, 0.61, 0.05).round(2))    # (ours) shares of the picture in the mask, for `curve`


def area(masks: np.ndarray) -> np.ndarray:
    """The share of each picture that is in its mask, (N,)."""
    return _masks(masks).mean(axis=(1, 2))


def inside(masks: np.ndarray, boxes: np.ndarray, images: np.ndarray) -> np.ndarray:
    """The share of each box's area that lies in the mask, in [0, 1]; pixels at its edges count in part."""
    masks = _masks(masks)
    boxes, images = checked(boxes, images, len(masks))
    return _inside(masks, boxes, images, np.zeros((1, len(masks), 2), int))[0]


def covered(masks: np.ndarray, boxes: np.ndarray, images: np.ndarray, share: float = SHARE) -> np.ndarray:
    """Whether at least `share` of a box's area lies in the mask, 0 or 1."""
    return (_rounded(inside(masks, boxes, images)) >= share).astype(float)


def chance(masks: np.ndarray, boxes: np.ndarray, images: np.ndarray, share: float = SHARE, *, n_shifts: int = 100,
           seed: int = 0) -> np.ndarray:
    """How often a box would be covered by the same mask elsewhere, in [0, 1].

    The mask of each picture is shifted `n_shifts` times by whole pixels, uniformly in both directions, and wraps around
    at the edges. So it keeps its area and, away from the edges, its shapes; only its place is random.
    """
    masks = _masks(masks)
    boxes, images = checked(boxes, images, len(masks))
    if n_shifts < 1:
        raise SettingsError(f"is {n_shifts}", "parameter n_shifts", "Use 1 or more.")
    shifts = np.random.default_rng(seed).integers(0, masks.shape[1:], (n_shifts, len(masks), 2))
    return (_rounded(_inside(masks, boxes, images, shifts)) >= share).mean(axis=0)


def pixels_in_boxes(boxes: np.ndarray, images: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """Which pixels of `shape` (N, H, W) have their centre in a box of their picture, bool: for `localisation`."""
    boxes, images = checked(boxes, images, shape[0])
    found = np.zeros(shape, bool)
    edges = np.ceil(boxes * np.tile(shape[1:], 2) - 0.5).astype(int)
    for image, (top, left, bottom, right) in zip(images, edges, strict=True):
        found[image, top:bottom, left:right] = True
    return found


def best_iou(crops: np.ndarray, boxes: np.ndarray, images: np.ndarray, found: np.ndarray | None = None) -> np.ndarray:
    """The largest intersection over union of each box with the crops of its picture, in [0, 1].

    crops: (N, n, 4), as boxes; found: bool (N, n), only these count; 0 for a picture without any.
    """
    crops, found, boxes, images = _with_crops(crops, found, boxes, images)
    own, box = crops[images], boxes[:, None]
    sides = np.minimum(own[..., 2:], box[..., 2:]) - np.maximum(own[..., :2], box[..., :2])
    both = sides.clip(min=0).prod(axis=2)
    return np.where(found[images], both / (_area(own) + _area(box) - both), 0).max(axis=1, initial=0)


def centre_in_crop(crops: np.ndarray, boxes: np.ndarray, images: np.ndarray, found: np.ndarray | None = None
                   ) -> np.ndarray:
    """Whether the centre of a box lies in a crop of its picture, 0 or 1. crops and found as in `best_iou`."""
    crops, found, boxes, images = _with_crops(crops, found, boxes, images)
    own, centre = crops[images], (boxes[:, None, :2] + boxes[:, None, 2:]) / 2
    within = ((own[..., :2] <= centre) & (centre <= own[..., 2:])).all(axis=2)
    return (within & found[images]).any(axis=1).astype(float)


def measures(masks: np.ndarray, crops: np.ndarray, boxes: np.ndarray, images: np.ndarray,
             found: np.ndarray | None = None, *, n_shifts: int = 100, seed: int = 0) -> dict[str, np.ndarray]:
    """All measures, one value for each box: name -> (M,).

    covered, chance, covered minus chance, mask area (of the box's picture), recall at IoU 0.5 and 0.3, centre in crop.
    """
    hit, by_chance = covered(masks, boxes, images), chance(masks, boxes, images, n_shifts=n_shifts, seed=seed)
    overlap = best_iou(crops, boxes, images, found)
    return {"covered": hit, "chance": by_chance, "covered minus chance": hit - by_chance,
            "mask area": area(masks)[np.asarray(images)],
            "recall at IoU 0.5": (overlap >= 0.5).astype(float), "recall at IoU 0.3": (overlap >= 0.3).astype(float),
            "centre in crop": centre_in_crop(crops, boxes, images, found)}


def highest(maps: np.ndarray, share: float) -> np.ndarray:
    """Masks (N, H, W) of the highest `share` of the pixels of maps (N, H, W).

    What ties with the first pixel left out is left out too, so a mask may be smaller, and that of a constant
    map is empty.
    """
    if not 0 <= share < 1:
        raise SettingsError(f"is {share}", "parameter share", "Use a share of the picture, from 0 to below 1.")
    values = np.asarray(maps, float).reshape(len(maps), -1)
    if not np.isfinite(values).all():
        raise DataError(f"{int((~np.isfinite(values)).sum())} values are not finite", "parameter maps",
                        "A network that gives NaN has diverged; train it again.")
    place = values.shape[1] - 1 - round(share * values.shape[1])
    last = np.partition(values, place, axis=1)[:, place]
    return np.asarray(maps) > last[:, None, None]


def curve(maps: np.ndarray, boxes: np.ndarray, images: np.ndarray, levels: Sequence[float] = LEVELS, *,
          n_shifts: int = 100, seed: int = 0) -> dict[str, np.ndarray]:
    """Covered and chance against the area of the mask: name -> (levels, M); `mask area` is (levels, N).

    maps: (N, H, W). The masks are the highest pixels of each map, see `highest`.
    """
    rows = []
    for level in levels:
        masks = highest(maps, level)
        rows.append((area(masks), covered(masks, boxes, images),
                     chance(masks, boxes, images, n_shifts=n_shifts, seed=seed)))
    areas, hits, by_chance = (np.stack(column) for column in zip(*rows, strict=True))
    return {"mask area": areas, "covered": hits, "chance": by_chance, "covered minus chance": hits - by_chance}


def checked(boxes: np.ndarray, images: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Boxes as float64 (M, 4) and the pictures of each as int (M,), of `count` pictures. Raises as the module says."""
    boxes, images = np.asarray(boxes, float).reshape(-1, 4), np.asarray(images)
    if images.shape != (len(boxes),) or not np.issubdtype(images.dtype, np.integer):
        raise SettingsError(f"has shape {images.shape} of {images.dtype} for {len(boxes)} boxes", "parameter images",
                            "Give the index of the picture of each box.")
    if len(images) and (images.min() < 0 or images.max() >= count):
        raise SettingsError(f"holds {images.min()} to {images.max()} for {count} pictures", "parameter images",
                            "Give indices from 0.")
    bad = ~((boxes[:, :2] >= 0) & (boxes[:, :2] < boxes[:, 2:]) & (boxes[:, 2:] <= 1)).all(axis=1)
    if bad.any():
        row = int(bad.argmax())
        raise DataError(f"the box {boxes[row].tolist()} is reversed, empty or outside", f"box {row}",
                        "Give top, left, bottom, right in fractions of the picture, 0 to 1.")
    return boxes, images


def _inside(masks: np.ndarray, boxes: np.ndarray, images: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    """The share of each box that lies in its shifted mask, (S, M). shifts: int (S, N, 2), pixels down and to the right.

    The boxes are shifted the other way instead, over a mask that is continued periodically. The sum of a mask over a
    box follows from its cumulated sums at the four corners (summed-area table; Crow 1984).
    """
    size = np.array(masks.shape[1:])
    sums = np.zeros((len(masks), *(size + 1)))
    sums[:, 1:, 1:] = masks.cumsum(axis=1, dtype=float).cumsum(axis=2)
    moved = boxes.reshape(-1, 2, 2) * size - shifts[:, images, None]                       # (S, M, ends, axes)
    (top, left), (bottom, right) = np.moveaxis(moved, (2, 3), (0, 1))
    total = (_below(sums, images, bottom, right) - _below(sums, images, top, right)
             - _below(sums, images, bottom, left) + _below(sums, images, top, left))
    return total / (_area(boxes) * size.prod())


def _below(sums: np.ndarray, images: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """The periodic mask's sum from (0, 0) to (y, x), fractions of pixels, negative ones too: (S, M).

    With H and W the size, y = a H + r and x = b W + s: a b whole masks, a bands, b columns, and the part at the corner.
    """
    height, width = (length - 1 for length in sums.shape[1:])
    (a, r), (b, s) = np.divmod(y, height), np.divmod(x, width)
    bands, columns = _between(sums, images, height, s), _between(sums, images, r, width)
    return a * b * sums[images, height, width] + a * bands + b * columns + _between(sums, images, r, s)


def _between(sums: np.ndarray, images: np.ndarray, y: np.ndarray | int, x: np.ndarray | int) -> np.ndarray:
    """The cumulated sums at fractions of pixels, which are exactly bilinear between whole ones."""
    row = np.minimum(np.floor(y).astype(int), sums.shape[1] - 2)
    column = np.minimum(np.floor(x).astype(int), sums.shape[2] - 2)
    down, across = y - row, x - column
    upper = (1 - across) * sums[images, row, column] + across * sums[images, row, column + 1]
    lower = (1 - across) * sums[images, row + 1, column] + across * sums[images, row + 1, column + 1]
    return (1 - down) * upper + down * lower


def _rounded(share: np.ndarray) -> np.ndarray:
    """Without the rounding errors of sums: a box that is exactly half inside is so wherever the mask lies."""
    return share.round(9)


def _area(boxes: np.ndarray) -> np.ndarray:
    return (boxes[..., 2:] - boxes[..., :2]).prod(axis=-1)


def _masks(masks: np.ndarray) -> np.ndarray:
    masks = np.asarray(masks)
    if masks.ndim != 3 or masks.dtype != bool:
        raise SettingsError(f"is {masks.shape} of {masks.dtype}", "parameter masks", "Give (pictures, H, W), bool.")
    return masks


def _with_crops(crops: np.ndarray, found: np.ndarray | None, boxes: np.ndarray, images: np.ndarray
                ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    crops = np.asarray(crops, float)
    if crops.ndim != 3 or crops.shape[2] != 4:
        raise SettingsError(f"has shape {crops.shape}", "parameter crops", "Give (pictures, n, 4).")
    found = np.ones(crops.shape[:2], bool) if found is None else np.asarray(found, bool)
    if found.shape != crops.shape[:2]:
        raise SettingsError(f"has shape {found.shape}, crops {crops.shape}", "parameter found", "Give (pictures, n).")
    return crops, found, *checked(boxes, images, len(crops))
