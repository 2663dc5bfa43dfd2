"""Pictures at their own resolution, mapped into memory as bytes: what networks that crop are given (Fan et al.).

    pictures = open_pictures(bags.paths(), "cache/pictures")
    pictures.picture(7)             # uint8 (H, W, 3): a view of the mapped file; (H, W) in grey
    pictures.batch([7, 0, 3])       # {"picture": uint8 (B, 3, H, W), "extent": int64 (B, 2), "index": int64 (B,)}

Pictures of different sizes lie in one cache, each padded with 0 at the bottom and right to the largest height and
width of the collection; a batch is padded to the largest of its own.
"""

import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError

from mdlib.data.cache import open_cache
from mdlib.data.images import BROKEN, read_colour, read_grey
from mdlib.data.samples import Mapped
from mdlib.errors import DataError

MODES = ("1", "L", "P", "RGB", "YCbCr")         # of Pillow: what becomes red, green and blue without loss
ALPHA = ("LA", "PA", "La", "RGBA", "RGBa")
ORIENTATION, TIFF_PARTS = 274, ((273, 279), (324, 325))     # tags: strips and tiles, where they begin and how long


class Pictures(Mapped):
    """Pictures of a collection as bytes. `sizes`: int64 (N, 2), the height and width of each.

    A sample: picture uint8 (C, H, W), C 3 or 1, extent int64 (2,), its own height and width, index int64, the row in
    the collection. A batch is padded with 0 at the bottom and right to its largest picture.
    """

    def __init__(self, pixels: np.ndarray, sizes: np.ndarray, rows: Sequence[int] | np.ndarray | None = None):
        if pixels.ndim not in (3, 4) or len(pixels) != len(sizes) or (sizes > pixels.shape[1:3]).any():
            raise DataError(f"{len(sizes)} sizes for pixels {pixels.shape}", "parameters pixels, sizes",
                            "Give pixels (N, H, W[, 3]) and the height and width of each picture.")
        super().__init__(pixels, np.arange(len(sizes)) if rows is None else rows, len(sizes))
        self.sizes = np.asarray(sizes, np.int64)

    def picture(self, row: int) -> np.ndarray:
        """The picture in one row of the collection, uint8 (H, W[, 3]), a view."""
        height, width = self.sizes[row]
        return self.pixels[row, :height, :width]

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return {name: value[0] for name, value in self.__getitems__([index]).items()}

    def __getitems__(self, indices: Sequence[int]) -> dict[str, torch.Tensor]:
        rows = self.rows[np.asarray(indices, dtype=np.int64)]
        height, width = self.sizes[rows].max(axis=0)
        cut = np.stack([self.pixels[row, :height, :width] for row in rows])
        return {"picture": _channels_first(cut), "extent": torch.from_numpy(self.sizes[rows]),
                "index": torch.from_numpy(rows)}


@dataclass(frozen=True)
class Augmentation:
    """What is drawn anew for a picture and its thumbnail alike, whenever a sample is asked for (ours).

    Each picture is reflected left to right with probability 1/2, and with `upside_down` top to bottom too; grey values
    v in [0, 1] become gain (v - 1/2) + 1/2 + offset, clipped to [0, 1]; log gain is uniform between -log(1 + tone) and
    log(1 + tone), offset between -tone / 2 and tone / 2, for each channel by itself. Draws come from torch's
    global generator.
    """

    upside_down: bool = False
    tone: float = 0.0


class PictureSamples(Mapped):
    """Some rows of a collection, for networks that look at a thumbnail and cut from the original (Fan et al., Fig. 2).

    A batch: image float32 (B, C, h, w) in [0, 1], the thumbnails; picture, extent and index as of `Pictures`; target
    int64 (B,); boxes float32 (B, n, 4) where they are given: top, left, bottom, right in fractions. `thumbnails` uint8
    (N, h, w[, 3]), usually `Bags.pixels`, `targets` (N,) and `boxes` (N, n, 4) have one row per picture.
    Raises DataError where lengths or rows do not fit.
    """

    def __init__(self, thumbnails: np.ndarray, pictures: Pictures, targets: np.ndarray,
                 rows: Sequence[int] | np.ndarray, augmentation: Augmentation | None = None,
                 boxes: np.ndarray | None = None):
        lengths = {"thumbnails": len(thumbnails), "pictures": len(pictures.sizes), "targets": len(targets),
                   **({} if boxes is None else {"boxes": len(boxes)})}
        if len(set(lengths.values())) > 1:
            raise DataError(f"{lengths} are not of one length", "parameters of PictureSamples",
                            "Give one row per picture of the collection.")
        super().__init__(thumbnails, rows, len(thumbnails))
        self.targets, self.augmentation, self.boxes = np.asarray(targets, np.int64), augmentation, boxes
        self.pictures = Pictures(pictures.pixels, pictures.sizes, self.rows)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return {name: value[0] for name, value in self.__getitems__([index]).items()}

    def __getitems__(self, indices: Sequence[int]) -> dict[str, torch.Tensor]:
        rows = self.rows[np.asarray(indices, dtype=np.int64)]
        batch = {"image": _channels_first(np.array(self.pixels[rows])), **self.pictures.__getitems__(indices),
                 "target": torch.from_numpy(self.targets[rows])}
        if self.boxes is not None:
            batch["boxes"] = torch.from_numpy(np.asarray(self.boxes[rows], np.float32))
        for i in range(len(rows) if self.augmentation else 0):
            _augment({name: value[i] for name, value in batch.items()}, self.augmentation)
        return {**batch, "image": batch["image"].float().div_(255).contiguous()}


def _augment(sample: dict[str, torch.Tensor], how: Augmentation) -> None:
    """One sample, in place."""
    height, width = sample["extent"].tolist()
    images = [sample["image"], sample["picture"][:, :height, :width]]       # without what a batch adds at the edges
    for axis in ([1, 0] if how.upside_down else [1]):
        if torch.rand(()) < 0.5:
            for image in images:
                image.copy_(image.flip(1 + axis))
            if "boxes" in sample:
                sample["boxes"][:, [axis, axis + 2]] = 1 - sample["boxes"][:, [axis + 2, axis]]
    if how.tone:
        channels, most = len(sample["image"]), np.log1p(how.tone)
        gain = torch.empty(channels, 1).uniform_(-most, most).exp()
        offset = torch.empty(channels, 1).uniform_(-how.tone / 2, how.tone / 2)
        values = gain * (torch.arange(256) / 255 - 0.5) + 0.5 + offset
        levels = (255 * values.clamp(0, 1)).round().byte()                                  # (C, 256)
        for image in images:
            for channel, new in zip(image, levels, strict=True):
                channel.copy_(torch.from_numpy(new.numpy()[channel.numpy()]))


def _channels_first(pixels: np.ndarray) -> torch.Tensor:
    """uint8 (B, H, W[, 3]) -> (B, 1 or 3, H, W), a view."""
    images = torch.from_numpy(pixels)
    return images.unsqueeze(1) if images.ndim == 3 else images.permute(0, 3, 1, 2)


def open_pictures(paths: Sequence[Path | str], folder: Path | str, smallest: int = 1, workers: int | None = None,
                  colour: bool = True) -> Pictures:
    """The pictures of these files, from the cache in `folder`; decoded where needed, as by `cache.open_cache`.

    colour: False reads them in grey, (H, W), a third of the memory. Raises DataError naming the file, as
    `check_picture` before any is decoded, with `smallest` the side of a crop in pixels, and as `open_cache`.
    """
    sizes = np.array([check_picture(path, smallest) for path in paths], np.int64).reshape(-1, 2)
    height, width = sizes.max(axis=0, initial=1).tolist()

    def decode(row: int) -> np.ndarray:
        image = read_colour(paths[row]) if colour else read_grey(paths[row])
        return np.pad(image, [(0, height - image.shape[0]), (0, width - image.shape[1])] + [(0, 0)] * (image.ndim - 2))
    return Pictures(open_cache(paths, (height, width, 3) if colour else (height, width), folder, decode, workers),
                    sizes)


def check_picture(path: Path | str, smallest: int = 1, row: str = "") -> tuple[int, int]:
    """Height and width of a picture file, from its header; a PNG is read whole, for EXIF may follow its pixels.

    Raises DataError for a file that other programs may show in another way, or that cannot be read: CMYK and other
    colour spaces, alpha, more than 8 bits, an EXIF orientation other than upright, a TIFF that is cut off, more pixels
    than Pillow reads from unknown sources (`Image.MAX_IMAGE_PIXELS`), a side of less than `smallest` pixels. `row`, as
    in "row 7 of table.csv", is where the file is listed; the error names it.
    """
    path, where = Path(path), f"{path} ({row})" if row else str(path)
    if not path.is_file():
        raise DataError("no such picture", where, "Put the file there, or remove its row from the table.")
    if not path.stat().st_size:
        raise DataError("the file is empty (0 bytes)", where, "Copy or download it again.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                _check_header(image, path, where)
                height, width = image.height, image.width
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise DataError(f"more than {Image.MAX_IMAGE_PIXELS:,} pixels: this may be a decompression bomb", where,
                        "Cut the region of interest out; or raise PIL.Image.MAX_IMAGE_PIXELS where the file can be "
                        "trusted.") from None
    except UnidentifiedImageError:
        raise DataError("this is no picture (known: TIFF, PNG, JPEG)", where, "Copy or download it again.") from None
    except DataError:
        raise
    except BROKEN as error:
        raise DataError(f"the picture is truncated or damaged ({error})", where, "Copy or download it again.") from None
    if min(height, width) < smallest:
        raise DataError(f"{height} x {width} pixels (height x width) are fewer than a crop of {smallest}", where,
                        "Leave it out, use the original in place of a reduced copy, or choose a smaller crop.")
    return height, width


def _check_header(image: Image.Image, path: Path, where: str) -> None:
    if image.mode.startswith(("I", "F")) or any(";16" in str(part) for part in image.tile):
        raise DataError("more than 8 bits for each colour", where, "Save it with 8 bits: which range of 16 bits is "
                        "meant differs between programs.")
    if image.mode in ALPHA or "transparency" in image.info:
        raise DataError("the picture has an alpha channel", where, "Save it without, on the background it should have.")
    if image.mode not in MODES:
        raise DataError(f"the colours are {image.mode}, not red, green and blue", where, "Convert it to RGB with the "
                        "colour profile it was made with.")
    turned = image.getexif().get(ORIENTATION, 1)
    if turned not in (0, 1):
        raise DataError(f"its EXIF orientation is {turned}: some programs show it turned, and boxes and masks do not "
                        "say which way", where, "Save it upright, with orientation 1.")
    tags, size = getattr(image, "tag_v2", {}), os.path.getsize(path)
    for begin, length in TIFF_PARTS:
        ends = [a + b for a, b in zip(_all(tags.get(begin, ())), _all(tags.get(length, ())), strict=False)]
        if max(ends, default=0) > size:
            raise DataError(f"the TIFF is cut off: {max(ends):,} bytes are announced, {size:,} are there", where,
                            "Copy or download it again.")


def _all(value: Any) -> Sequence[int]:
    return value if isinstance(value, tuple) else (value,)
