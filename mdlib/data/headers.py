"""What an image file says of itself that a network or a reader needs, and nothing that names a person."""

from collections.abc import Iterator, MutableSequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image

from mdlib.data.images import BROKEN, DICOM_BROKEN, is_dicom
from mdlib.errors import DataError
from mdlib.extras import require

if TYPE_CHECKING:
    import pydicom

VIEWS = {"ANTERO-POSTERIOR": "AP", "POSTERO-ANTERIOR": "PA"}  # meanings of View Code Sequence, DICOM CID 4010
AGE_UNITS = {"Y": 1.0, "M": 1 / 12, "W": 7 / 365.25, "D": 1 / 365.25}  # years


class Header(NamedTuple):
    """Text is upper case and "" where the file does not say; only DICOM says anything."""

    colour: float           # mean difference of the largest and smallest of red, green and blue, 0 to 255
    view: str = ""          # PA, AP, or whatever is given instead, as LL
    orientation: str = ""   # where rows and columns run to, as L\\F in a frontal and A\\F in a lateral view
    sex: str = ""           # M or F
    age: float = np.nan     # years
    modality: str = ""      # CR, DX, …
    body_part: str = ""     # CHEST, …


def read_header(path: Path | str) -> Header:
    """The header of an image file that `images.read_grey` reads. Raises DataError for a damaged one."""
    path = Path(path)
    with _readable(path):
        if is_dicom(path):
            return _of_dicom(require("pydicom", "dicom").dcmread(path, force=True))
        with Image.open(path) as image:
            return Header(_colour(image))


def read_size(path: Path | str) -> tuple[int, int, int]:
    """Frames, height and width as an image file's header gives them; its pixels are not read. Raises DataError."""
    path = Path(path)
    with _readable(path):
        if not is_dicom(path):
            with Image.open(path) as image:
                return 1, image.height, image.width
        data = require("pydicom", "dicom").dcmread(path, force=True, stop_before_pixels=True)
        if "Rows" not in data:
            raise DataError("this is no DICOM image (no pixel data)", str(path), "Copy or export it again.")
        return int(data.get("NumberOfFrames") or 1), int(data.Rows), int(data.Columns)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """What reading a broken file raises becomes a DataError."""
    try:
        yield
    except DataError:
        raise
    except (*BROKEN, *DICOM_BROKEN) as error:
        raise DataError(f"the image cannot be read ({type(error).__name__})", str(path),
                        "Copy or export it again.") from None


def _colour(image: Image.Image) -> float:
    """Of a small copy: 0 where colour is only a way to store grey, as in NIH's RGBA files."""
    if image.mode in ("1", "L", "LA", "F") or image.mode.startswith("I"):
        return 0.0
    values = np.asarray(image.convert("RGB").resize((64, 64), Image.Resampling.BOX), dtype=float)
    return float(np.ptp(values, axis=-1).mean())


def _of_dicom(data: "pydicom.Dataset") -> Header:
    codes = data.get("ViewCodeSequence") or [{}]
    view = _text(data, "ViewPosition") or _text(codes[0], "CodeMeaning")
    coloured = data.get("SamplesPerPixel") == 3
    sex = _text(data, "PatientSex")
    return Header(
        _colour(Image.fromarray((data.pixel_array / 2 ** (data.BitsStored - 8)).astype(np.uint8))) if coloured else 0.0,
        VIEWS.get(view, view), _text(data, "PatientOrientation"), sex if sex in ("M", "F") else "",
        _years(_text(data, "PatientAge")), _text(data, "Modality"), _text(data, "BodyPartExamined"))


def _text(data: "pydicom.Dataset | dict", name: str) -> str:
    """At most 32 printable characters: a header may hold anything."""
    value = data.get(name)
    parts = [str(part) for part in value] if isinstance(value, MutableSequence) else [str(value or "")]
    return "".join(filter(str.isprintable, "\\".join(parts))).strip().upper()[:32]


def _years(text: str) -> float:
    """062Y, 018M, 003W, 010D, or a bare number, which many archives write."""
    number, unit = (text[:-1], text[-1:]) if text[-1:] in AGE_UNITS else (text, "Y")
    return int(number) * AGE_UNITS[unit] if number.isascii() and number.isdigit() else np.nan
