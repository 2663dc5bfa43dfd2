"""Images of any common file format as bytes, grey or colour, and the geometry of section 2.4 (Tan et al.)."""

import os
import struct
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, UnidentifiedImageError

from mdlib.errors import DataError, SettingsError
from mdlib.extras import require

if TYPE_CHECKING:
    import pydicom

BROKEN = (OSError, SyntaxError, ValueError, EOFError, IndexError, struct.error, zlib.error,
          Image.DecompressionBombError)
ENDINGS = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".dcm", ".dicom")
DICOM_BROKEN = (*BROKEN, AttributeError, KeyError, RuntimeError, NotImplementedError, TypeError)


def image_names(folder: Path | str) -> list[str]:
    """The names of the files in `folder` that end like an image, sorted; no file is looked at. Raises DataError."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries
                          if entry.name.lower().endswith(ENDINGS) and not entry.name.startswith("."))
    except OSError as error:
        raise DataError(f"no such folder, or it cannot be read ({error.strerror})", str(folder),
                        "Check the path and its rights.") from None


def read_grey(path: Path | str, frame: int | None = None) -> np.ndarray:
    """The image as uint8 (H, W), 0 black: from PNG, JPEG or whatever else Pillow reads, or from DICOM.

    16-bit grey is scaled by its full range, 65535 to 255. Colour becomes luma (equal to grey where red, green and
    blue are equal, as in NIH's RGBA files); alpha is dropped; a palette is looked up. DICOM: see `read_dicom`, also
    for `frame`. The format is told by the content, not by the name. Raises DataError for a missing, empty, truncated
    or other file.
    """
    return _read(path, "L", frame)


def read_colour(path: Path | str) -> np.ndarray:
    """The image as uint8 (H, W, 3), red, green and blue; from the same files as `read_grey`, grey ones as well."""
    return _read(path, "RGB", None)


def _read(path: Path | str, mode: str, frame: int | None) -> np.ndarray:
    path = Path(path)
    if is_dicom(path):
        return read_dicom(path, frame, mode)
    try:
        with Image.open(path) as image:
            return _pillow(image, path, mode)
    except UnidentifiedImageError:
        raise DataError("this is no image (known: PNG, JPEG, DICOM)", str(path), "Copy or download it again.") from None
    except BROKEN as error:
        raise DataError(f"the image is truncated or damaged ({error})", str(path),
                        "Copy or download it again, or remove its row from the table.") from None


def is_dicom(path: Path) -> bool:
    """Whether the file is DICOM, by its first bytes or its name. Raises DataError for a missing or empty file."""
    try:
        with path.open("rb") as file:
            head = file.read(132)
    except FileNotFoundError:
        raise DataError("no such image", str(path), "Put the file there, or remove its row from the table.") from None
    except OSError as error:
        raise DataError(f"the image cannot be read ({error.strerror})", str(path), "Check the file's rights.") from None
    if not head:
        raise DataError("the image file is empty (0 bytes)", str(path), "Copy or download it again.")
    return head[128:] == b"DICM" or path.suffix.lower() in (".dcm", ".dicom")


def _pillow(image: Image.Image, path: Path, mode: str) -> np.ndarray:
    if image.mode.startswith("I"):  # 16-bit grey; older Pillow releases give it in 32 bits
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 65535:
            raise DataError("grey values of more than 16 bits", str(path), "Save it as a 16-bit PNG or as DICOM.")
        image = Image.fromarray(((values.astype(np.uint32) + 128) // 257).astype(np.uint8))
    if image.mode == "F":
        raise DataError("grey values are fractions of unknown range", str(path), "Save it as a 16-bit PNG or DICOM.")
    if image.mode == "P":
        image = image.convert("RGB")
    return np.array(image.convert(mode))


def read_dicom(path: Path | str, frame: int | None = None, mode: str = "L") -> np.ndarray:
    """A DICOM image as uint8 (H, W): modality LUT or rescale, then VOI LUT or the first window, then 8 bits.

    Without a window the whole stored range (BitsStored bits, rescaled) becomes 0..255, never the range the image
    happens to use, so exposure stays comparable. MONOCHROME1 is inverted: 0 is black in every result. Colour becomes
    luma, or uint8 (H, W, 3) with mode "RGB". `frame` counts from 0: only that frame is read from the disk, with the
    rescale and window that an enhanced file gives it in its functional groups. Raises DataError for what is no DICOM
    image, is damaged, or has several frames where none is asked for; MissingExtraError without the extra `dicom`.
    """
    try:
        return _dicom(path, mode, frame)
    except DataError:
        raise
    except DICOM_BROKEN as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(f"the DICOM image is truncated, damaged or of an unknown kind ({reason})", str(path),
                        "Copy or export it again (JPEG, JPEG-2000, JPEG-LS or uncompressed).") from None


def _dicom(path: Path | str, mode: str, frame: int | None) -> np.ndarray:
    data, pixels = _stored(path, frame)
    kind = data.PhotometricInterpretation
    if pixels.ndim == 3 and data.SamplesPerPixel == 3:
        colour = _bytes(pixels / (2**data.BitsStored - 1))
        return np.array(Image.fromarray(colour).convert(mode))
    if pixels.ndim != 2:
        raise DataError(f"{len(pixels)} frames, not one", str(path), "Export the frame as an image of its own.")
    if kind not in ("MONOCHROME1", "MONOCHROME2"):
        raise DataError(f"{kind} is no grey image", str(path), "Export it in grey.")
    grey = _bytes(_display(pixels.astype(np.float64), data))
    return np.array(Image.fromarray(255 - grey if kind == "MONOCHROME1" else grey).convert(mode))


def _stored(path: Path | str, frame: int | None) -> tuple["pydicom.Dataset", np.ndarray]:
    """The header and the stored values of a file, or of one frame of a file that has several."""
    pydicom = require("pydicom", "dicom")
    if frame is not None:
        data = pydicom.dcmread(path, force=True, stop_before_pixels=True)
        if int(data.get("NumberOfFrames") or 1) > 1:
            _put_groups(data, frame)
            return data, pydicom.pixels.pixel_array(path, index=frame)
    data = pydicom.dcmread(path, force=True)
    if "PixelData" not in data:
        raise DataError("this is no DICOM image (no pixel data)", str(path), "Copy or export it again.")
    return data, data.pixel_array


def _put_groups(data: "pydicom.Dataset", frame: int) -> None:
    """Put the rescale and window of the functional groups, shared or of this frame, where a plain file has them."""
    shared, each = (data.get(f"{kind}FunctionalGroupsSequence") or [] for kind in ("Shared", "PerFrame"))
    for group in (*shared, *each[frame:frame + 1]):
        for name in ("PixelValueTransformationSequence", "FrameVOILUTSequence"):
            for item in group.get(name) or []:
                data.update(item)


def _display(values: np.ndarray, data: "pydicom.Dataset") -> np.ndarray:
    """Stored values -> what is shown, 0 to 1 (DICOM part 3, C.11.1 and C.11.2).

    Not by pydicom's functions: they fail on tables of 8 and 10 to 15 bits and on a negative slope.
    """
    low = -(2.0 ** (data.BitsStored - 1)) if data.PixelRepresentation else 0.0
    high = low + 2**data.BitsStored - 1
    if data.get("ModalityLUTSequence"):
        values, low, high = _look_up(values, data.ModalityLUTSequence[0])
    elif "RescaleSlope" in data and "RescaleIntercept" in data:
        slope, intercept = float(data.RescaleSlope), float(data.RescaleIntercept)
        values = values * slope + intercept
        low, high = sorted((low * slope + intercept, high * slope + intercept))
    if data.get("VOILUTSequence"):
        values, low, high = _look_up(values, data.VOILUTSequence[0])
    elif data.get("WindowCenter") is not None and data.get("WindowWidth") is not None:
        centre, width = (np.ravel(data[name].value)[0] for name in ("WindowCenter", "WindowWidth"))
        return _window(values, float(centre), float(width), data.get("VOILUTFunction", "LINEAR"))
    return (values - low) / (high - low)


def _look_up(values: np.ndarray, item: "pydicom.Dataset") -> tuple[np.ndarray, float, float]:
    """The table's entry of each value, and the smallest and largest entry its number of bits allows."""
    count, first, bits = item.LUTDescriptor
    table = item.LUTData
    if isinstance(table, bytes):
        table = np.frombuffer(table, np.uint8 if len(table) == count else "<u2")
    index = np.clip(np.rint(values) - first, 0, (count or 2**16) - 1).astype(np.int64)
    return np.asarray(table)[index], 0, 2**bits - 1


def _window(values: np.ndarray, centre: float, width: float, function: str) -> np.ndarray:
    """Values to 0..1 by a window of the three kinds of C.11.2.1.2 and C.11.2.1.3."""
    if width <= 0 or (function == "LINEAR" and width < 1):
        raise ValueError(f"a window of width {width}")
    if function == "SIGMOID":
        return 1 / (1 + np.exp(np.clip(-4 * (values - centre) / width, -700, 700)))
    if function == "LINEAR_EXACT":
        return (values - centre) / width + 0.5
    if width == 1:
        return values > centre - 0.5
    return (values - (centre - 0.5)) / (width - 1) + 0.5


def _bytes(values: np.ndarray) -> np.ndarray:
    """Values from 0..1 to 0..255, rounded; what lies outside is clipped."""
    return np.clip(np.rint(values * 255.0), 0, 255).astype(np.uint8)


def fit_square(grey: np.ndarray, side: int) -> np.ndarray:
    """uint8 (H, W) -> (side, side): the short side is resized to `side`, then the centre is cut out (section 2.4).

    Pillow's bilinear filter with antialiasing, as torchvision's Resize on a Pillow image, to the last bit. NIH's
    images are square, so nothing is cut from them; that other shapes keep their aspect ratio is ours.
    """
    height, width = grey.shape
    short = min(height, width)
    if short != side:
        size = (side * width // short, side * height // short)
        grey = np.asarray(Image.fromarray(grey).resize(size, Image.Resampling.BILINEAR))
    return np.ascontiguousarray(centre_crop(grey, side))


def read_square(path: Path | str, side: int) -> np.ndarray:
    """An image file as the square of grey bytes (side, side) that `fit_square` makes of it."""
    return fit_square(read_grey(path), side)


def resized(image: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """uint8 (H, W) or (H, W, 3) -> the whole image in `shape` = (height, width): itself where it has that shape.

    Pillow's bilinear filter with antialiasing. Images of one device have one shape (512 x 1024, 497 x 768; Li et al.,
    section 3.1), so that the aspect ratio is not kept does not tell them apart (ours: the paper does not resize).
    """
    if image.shape[:2] == tuple(shape):
        return image
    return np.asarray(Image.fromarray(image).resize((shape[1], shape[0]), Image.Resampling.BILINEAR))


def seen(grey: np.ndarray, resize: int, crop: int) -> np.ndarray:
    """What a network sees of a picture (H, W), uint8 (crop, crop): the middle of its square of `resize` pixels."""
    return centre_crop(fit_square(grey, resize), crop)


def shown(grey: np.ndarray, resize: int, crop: int, most: int = 512) -> np.ndarray:
    """The same part at the picture's own resolution, for the eye: uint8, from a square of at most `most` (ours)."""
    whole = fit_square(grey, min(*grey.shape, most))
    return centre_crop(whole, max(1, round(len(whole) * crop / resize)))


def centre_crop(images: np.ndarray, side: int) -> np.ndarray:
    """(..., H, W) -> a view (..., side, side) of the middle, as torchvision's CenterCrop. Raises SettingsError."""
    height, width = images.shape[-2:]
    if not 0 < side <= min(height, width):
        raise SettingsError(f"a square of {side} pixels does not fit into {height} x {width}", "parameter side or crop",
                            "Choose a smaller crop or a larger image side.")
    top, left = round((height - side) / 2), round((width - side) / 2)
    return images[..., top:top + side, left:left + side]
