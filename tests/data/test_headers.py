"""The size of an image, read without its pixels (what else a header says is tested with the checks)."""

import numpy as np
import pydicom
import pytest
from dicom_file import dicom
from PIL import Image
from pydicom.uid import RLELossless

from mdlib.data.headers import read_size
from mdlib.errors import DataError


def test_frames_height_and_width(tmp_path):
    Image.new("RGB", (9, 5)).save(tmp_path / "x.jpg")
    assert read_size(tmp_path / "x.jpg") == (1, 5, 9)
    assert read_size(dicom(tmp_path / "x.dcm", np.zeros((5, 9), np.uint8), 8)) == (1, 5, 9)
    volume = dicom(tmp_path / "y.dcm", np.zeros((4, 5, 9), np.uint8), 8, RLELossless, NumberOfFrames=4)
    assert read_size(volume) == (4, 5, 9)


def test_the_pixels_are_not_read(tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (50, 90), np.uint8)).save(tmp_path / "x.png")
    dicom(tmp_path / "x.dcm", np.zeros((50, 90), np.uint8), 8)
    for name in ("x.png", "x.dcm"):
        path = tmp_path / name
        path.write_bytes(path.read_bytes()[:-1000])
        assert read_size(path) == (1, 50, 90)


def test_what_is_no_image_is_named(tmp_path):
    for name, content, words in (("empty.png", b"", "empty"), ("text.png", b"text", "cannot be read")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=rf"{name}: .*{words}"):
            read_size(tmp_path / name)
    data = pydicom.dcmread(dicom(tmp_path / "report.dcm", np.zeros((5, 9), np.uint8), 8))
    del data.PixelData, data.Rows
    data.save_as(tmp_path / "report.dcm")
    with pytest.raises(DataError, match=r"report\.dcm: .*no pixel data"):
        read_size(tmp_path / "report.dcm")
