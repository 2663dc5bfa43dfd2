"""Warnings about radiographs before any network: on images whose answer is known, and on real ones."""

import numpy as np
import pydicom
import pytest
from dicom_file import dicom
from PIL import Image

from mdlib.data import headers, images
from mdlib.data.checks import radiographs
from mdlib.data.checks.files import COLOUR
from mdlib.data.checks.thumbnails import thumbnails
from mdlib.errors import DataError

RNG = np.random.default_rng(0)


def chests(count: int, side: int = 40) -> np.ndarray:
    """Two dark ellipses in a bright frame, each a little different; nearly symmetric."""
    y, x = np.mgrid[0:side, 0:side] / side - 0.5
    found = []
    for _ in range(count):
        a, b, shift = RNG.normal([0.17, 0.3, 0.0], [0.015, 0.02, 0.01])
        lungs = [((x - shift - centre) / a)**2 + (y / b)**2 < 1 for centre in (-0.22, 0.22)]
        found.append(150 - 90 * (lungs[0] | lungs[1]) + 80 * y + RNG.normal(0, 3, (side, side)))
    return np.stack(found).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def collection():
    return chests(300)


@pytest.fixture(scope="module")
def known(collection):
    return radiographs.reference(collection, np.arange(200), np.arange(200, 300), crop=36)


def test_thumbnails_have_mean_0_and_variance_1_and_forget_exposure():
    crops = chests(3)
    thumbs = thumbnails(crops)
    np.testing.assert_allclose(thumbs.mean(axis=1), 0, atol=1e-12)
    np.testing.assert_allclose(thumbs.std(axis=1), 1)
    darker = thumbnails((crops // 2).astype(np.uint8))
    assert ((thumbs * darker).mean(axis=1) > 0.99).all()
    assert not thumbnails(np.full((1, 40, 40), 7, np.uint8)).any(), "a constant image has no pattern"


def test_the_measures_are_the_naive_formulas(collection, known):
    crops = images.centre_crop(collection, 36)
    x = thumbnails(crops[:200])
    values, vectors = np.linalg.eigh(np.cov(x.T, bias=True))
    values, vectors = values[::-1][:32], vectors.T[::-1][:32]
    measures = radiographs.measure(crops[250:253], known)
    for i, crop in enumerate(crops[250:253]):
        rest = thumbnails(crop[None])[0] - x.mean(axis=0)
        scores = [rest @ vector for vector in vectors]
        left = rest - sum(score * vector for score, vector in zip(scores, vectors, strict=True))
        assert measures["pattern"][i] == pytest.approx(np.sqrt(np.mean(np.square(scores) / values)), rel=1e-6)
        assert measures["detail"][i] == pytest.approx(np.sqrt(np.mean(left**2)), rel=1e-6)
        assert measures["agreement"][i] == pytest.approx(np.corrcoef(rest + x.mean(axis=0), x.mean(axis=0))[0, 1])
        assert measures["contrast"][i] == pytest.approx(crop.std() / 255)
        assert measures["clipped"][i] == np.mean((crop == 0) | (crop == 255))


def test_the_reference_does_not_depend_on_blocks(collection, known, monkeypatch):
    monkeypatch.setattr(radiographs, "BLOCK", 7)
    again = radiographs.reference(collection, np.arange(200), np.arange(200, 300), crop=36)
    np.testing.assert_allclose(again.mean, known.mean, atol=1e-12)
    np.testing.assert_allclose(again.limits, known.limits)


def test_a_picture_that_is_its_mirror_image_has_symmetry_1_and_a_turned_mirror_less():
    half = RNG.normal(size=(32, 16))
    picture = np.concatenate([half, half[:, ::-1]], axis=1).reshape(1, -1)
    moved = np.roll(picture.reshape(1, 32, 32), 2, axis=2).reshape(1, -1)
    assert radiographs.symmetry(picture)[0] == pytest.approx(1)
    assert radiographs.symmetry(moved)[0] > 0.6, "the axis may lie beside the middle"
    assert radiographs.symmetry(picture.reshape(1, 32, 32).transpose(0, 2, 1).reshape(1, -1))[0] < 0.5


def test_of_the_validation_images_one_in_forty_is_beyond_each_limit(collection, known):
    crops = images.centre_crop(collection[200:], 36)
    for name, strange in radiographs.beyond(radiographs.measure(crops, known), known).items():
        assert strange.sum() == (3 if name in ("symmetry", "pattern", "detail") else 0), name


@pytest.mark.parametrize("spoil, expected, said", [
    (lambda grey: grey, set(), ""),
    (lambda grey: 255 - grey, {"agreement", "pattern", "detail"}, "inverted"),
    (lambda grey: np.rot90(grey), {"symmetry", "pattern", "detail"}, "lateral, turned"),
    (lambda grey: grey // 16, {"contrast"}, "12 bits"),
    (lambda grey: np.full_like(grey, 99), {"contrast"}, "Nearly constant"),
    (lambda grey: np.where(grey > 100, 255, grey).astype(np.uint8), {"clipped"}, "beyond the range")],
    ids=["as it is", "inverted", "turned", "12 bits", "constant", "clipped"])
def test_a_spoiled_image_is_told_what_is_wrong_with_it_in_a_sentence(known, spoil, expected, said):
    crop = np.ascontiguousarray(spoil(images.centre_crop(chests(1), 36)[0]))
    warnings = radiographs.warnings_of(crop, known)
    assert expected <= set(warnings) and bool(warnings) == bool(expected)
    assert said in " ".join(warnings.values()) and "{" not in " ".join(warnings.values())


def test_few_training_images_give_as_many_patterns_as_they_can():
    known = radiographs.reference(chests(8), np.arange(5), np.arange(5, 8), crop=36)
    assert known.patterns.shape == (4, 1024) and np.isfinite(known.limits).sum() == 6


@pytest.mark.parametrize("header, shape, expected", [
    (headers.Header(0.0), (100, 120), set()),
    (headers.Header(0.0, view="PA", orientation="L\\F", modality="DX", body_part="CHEST"), (100, 100), set()),
    (headers.Header(0.0, view="LL"), (100, 100), {"view"}),
    (headers.Header(0.0, orientation="A\\F"), (100, 100), {"orientation"}),
    (headers.Header(0.0, modality="CT", body_part="SKULL"), (100, 100), {"modality", "body_part"}),
    (headers.Header(40.0), (100, 100), {"colour"}),
    (headers.Header(0.0), (20, 20), {"size"}), (headers.Header(0.0), (100, 300), {"shape"})])
def test_what_a_file_says_against_itself(header, shape, expected):
    assert set(radiographs.warnings_of_file(header, shape, crop=64)) == expected


def test_a_dicom_header_is_read_without_the_patient(tmp_path):
    code = pydicom.Dataset()
    code.CodeMeaning = "antero-posterior"
    path = dicom(tmp_path / "a.dcm", chests(1)[0], 8, PatientName="Doe^Jane", PatientID="4711", PatientSex="F",
                 PatientAge="018M", ViewCodeSequence=[code], Modality="DX", PatientOrientation=["L", "F"],
                 BodyPartExamined="CHEST")
    header = headers.read_header(path)
    assert header == headers.Header(0.0, "AP", "L\\F", "F", 1.5, "DX", "CHEST")
    assert "DOE" not in str(header).upper() and "4711" not in str(header)


@pytest.mark.parametrize("age, years", [("062Y", 62), ("62", 62), ("", np.nan), ("abcY", np.nan), ("-3", np.nan)])
@pytest.mark.filterwarnings("ignore:Invalid value for VR AS")
def test_ages_as_archives_write_them(tmp_path, age, years):
    path = dicom(tmp_path / "a.dcm", chests(1)[0], 8, PatientAge=age)
    assert headers.read_header(path).age == pytest.approx(years, nan_ok=True)


def test_grey_stored_in_colour_is_no_colour_picture(tmp_path):
    grey = Image.fromarray(chests(1)[0])
    grey.convert("RGBA").save(tmp_path / "grey.png")
    Image.merge("RGB", [grey, Image.new("L", grey.size, 20), grey]).save(tmp_path / "colour.png")
    assert headers.read_header(tmp_path / "grey.png").colour == 0
    assert headers.read_header(tmp_path / "colour.png").colour > COLOUR


def test_a_broken_header_names_the_file(tmp_path):
    (tmp_path / "x.dcm").write_bytes(b"not DICOM at all")
    (tmp_path / "x.png").write_bytes(b"\x89PNG\r\n\x1a\n rest")
    for name in ("x.png", "none.png"):
        with pytest.raises(DataError, match=name):
            headers.read_header(tmp_path / name)


def test_real_dicom_files_tell_view_sex_and_age(real_data):
    files = sorted((real_data / "cxr_fullres_samples").glob("*.dcm"))
    assert len(files) == 2
    for file in files:
        header = headers.read_header(file)
        assert header == headers.Header(0.0, "PA", "", "M", 62, "CR", "CHEST")
        assert not radiographs.warnings_of_file(header, (1024, 1024), 224)
