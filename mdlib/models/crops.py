"""Boxes cut from pictures at their own resolution, all of a batch at once (Fan et al., section 2)."""

import torch
from torch import Tensor
from torch.nn import functional as F

from mdlib.errors import DataError, SettingsError


def crops(picture: Tensor, extent: Tensor, boxes: Tensor, size: int) -> Tensor:
    """The windows of the boxes, resized: float (B, n, C, size, size) in [0, 1].

    picture: (B, C, H, W), uint8, or float in [0, 1], each padded at the bottom and right to the largest of the batch;
    extent: int (B, 2), their own heights and widths; boxes: (B, n, 4), top, left, bottom, right in fractions of them,
    rounded to whole pixels, one at least. Bilinear, and antialiased where the window is larger than `size`.

    No picture is converted as a whole: bytes are cut and, on a CPU, resized as bytes, which costs up to one grey level
    of rounding, and only then become numbers. Pictures stored with their channels last (H, W, C in memory, as decoders
    give them) take half the time of others. Raises DataError for an extent that is larger than the batch or a box
    outside its picture.
    """
    _check(picture, extent, boxes, size)
    sides = extent.to(boxes.device, torch.float64).repeat(1, 2)[:, None]
    start, stop = (boxes.double() * sides).round().long().split(2, dim=2)
    start = start.minimum(sides[..., :2].long() - 1)
    windows = torch.cat([start, stop.maximum(start + 1)], dim=2).tolist()
    cut = (picture[i:i + 1, :, top:bottom, left:right] for i, row in enumerate(windows)    # keeps the order in memory
           for top, left, bottom, right in row)
    if picture.dtype == torch.uint8 and picture.device.type != "cpu":                      # only a CPU resizes bytes
        cut = (window.float() for window in cut)
    resized = [F.interpolate(window, (size, size), mode="bilinear", antialias=True) for window in cut]
    batch = torch.cat(resized).unflatten(0, boxes.shape[:2])
    return batch.float().div_(255) if picture.dtype == torch.uint8 else batch


def _check(picture: Tensor, extent: Tensor, boxes: Tensor, size: int) -> None:
    if picture.ndim != 4 or extent.shape != (len(picture), 2) or boxes.ndim != 3 or len(boxes) != len(picture) \
            or boxes.shape[2] != 4 or not (picture.dtype == torch.uint8 or picture.is_floating_point()):
        raise SettingsError(f"picture {tuple(picture.shape)} of {picture.dtype}, extent {tuple(extent.shape)}, boxes "
                            f"{tuple(boxes.shape)}", "parameters picture, extent, boxes",
                            "Pass (B, C, H, W) of bytes or of [0, 1], (B, 2) and (B, n, 4).")
    if size < 1:
        raise SettingsError(f"is {size}", "parameter size", "Use 1 or more pixels.")
    beyond = ((extent < 1) | (extent > extent.new_tensor(picture.shape[2:]))).any(dim=1)
    if beyond.any():
        row = int(beyond.long().argmax())
        raise DataError(f"the extent is {extent[row].tolist()} in a batch of {tuple(picture.shape[2:])} pixels",
                        f"picture {row} of the batch", "Pad each picture to the largest, and give its own size.")
    start, stop = boxes.split(2, dim=2)
    outside = ~((start >= 0) & (start < stop) & (stop <= 1)).all(dim=2)                   # NaN is outside too
    if outside.any():
        row, box = (int(i) for i in outside.nonzero()[0])
        raise DataError(f"box {box} is {[round(edge, 3) for edge in boxes[row, box].tolist()]}, reversed or outside",
                        f"picture {row} of the batch", "Give top, left, bottom, right in fractions, 0 to 1.")
