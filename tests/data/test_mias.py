"""mini-MIAS: what Info.txt says, circles with y from the bottom, the numbers of the real films, and what is refused."""

import csv
import warnings

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from mdlib.data.film_patches import breast_mask, inside, label_rule, patch_table, windows
from mdlib.data.images import read_grey
from mdlib.data.mias import mias
from mdlib.errors import DataError

INFO = """              MAMMOGRAPHIC IMAGE ANALYSIS SOCIETY

1st column: MIAS database reference number.

mdb001 G CIRC B 600 300 100
mdb001 G CALC M 200 900 8
mdb002 D NORM\x20
mdb003 F CALC M *NOTE 3*
mdb004 F CIRC B
mdb005 D NORM
mdb006 D NORM
=================================================================
"""
SIDE = 128


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "Info.txt").write_text(INFO)
    for number in range(1, 5):
        Image.fromarray(np.full((SIDE, SIDE), number, np.uint8)).save(tmp_path / f"mdb00{number}.pgm")
    return tmp_path


def test_films_that_are_there_and_their_findings(folder):
    films = mias(folder)
    assert films.table["film"].tolist() == ["mdb001", "mdb002", "mdb003", "mdb004"]
    assert films.table["patient"].tolist() == ["P001", "P001", "P002", "P002"]
    assert films.table["side"].tolist() == ["right", "left", "right", "left"]
    assert films.table["density"].tolist() == [2, 3, 1, 1] and films.table["tissue"].tolist() == ["G", "D", "F", "F"]
    assert films.findings["kind"].tolist() == ["CIRC", "CALC", "CALC", "CIRC"]
    assert films.findings["number"].tolist() == [1, 2, 1, 1]
    assert films.findings["malignant"].tolist() == [False, True, True, False]
    assert (films.read(3) == 4).all()


def test_films_without_a_circle_are_named_and_have_no_mask(folder):
    films = mias(folder)
    assert films.without_outline() == ["mdb003", "mdb004"]
    with pytest.raises(DataError, match=r"film mdb003: finding 1 \(CALC\) has no outline"):
        films.mask("mdb003")


def test_y_counts_from_the_bottom(folder):
    """x 600, y 300, radius 100 of 1024: on 128 pixels around column 75 and row 90.5, of which 37.5 are below."""
    films = mias(folder)
    mask = films.mask("mdb001", malignant=False)
    assert mask.shape == (SIDE, SIDE) and mask.sum() == pytest.approx(np.pi * 12.5**2, rel=0.02)
    np.testing.assert_allclose(ndimage.center_of_mass(mask), (SIDE - 37.5 - 0.5, 75 - 0.5), atol=0.1)
    assert films.mask("mdb001", kind="CALC")[:SIDE // 4].any()


def test_a_circle_is_the_naive_one(folder):
    mask = mias(folder).mask("mdb001", malignant=False)
    for row in range(70, 110):
        for column in range(55, 95):
            x, y = (column + 0.5) * 8, 1024 - (row + 0.5) * 8
            assert mask[row, column] == ((x - 600)**2 + (y - 300)**2 <= 100**2)


def test_images_may_lie_in_a_folder_of_their_own(folder):
    (folder / "images").mkdir()
    for path in folder.glob("*.pgm"):
        Image.open(path).save(folder / "images" / f"{path.stem}.png")
        path.unlink()
    assert mias(folder).table["path"][0] == "images/mdb001.png"


def test_a_patient_with_one_film_is_warned_of(folder):
    (folder / "mdb002.pgm").unlink()
    with pytest.warns(UserWarning, match="of 1 of 2 patients one of the two films is missing"):
        assert len(mias(folder).table) == 3


@pytest.mark.parametrize("old, new, message", [
    ("mdb002 D NORM", "mdb002 E NORM", r"Info\.txt, row 7: 'mdb002 E NORM' does not describe a film"),
    ("mdb001 G CIRC B 600 300 100", "mdb001 G CIRC B 600 300", r"row 5: 'mdb001 G CIRC B 600 300' does not"),
    ("600 300 100", "600 1300 100", r"row 5: the circle 600, 1300, 100 is empty or around a point outside"),
    ("600 300 100", "600 300 0", r"row 5: the circle 600, 300, 0 is empty"),
    ("mdb001 G CALC", "mdb001 D CALC", r"row 6: film mdb001 has two tissues, G \(row 5\) and D"),
    ("mdb002 D NORM", "mdb001 G NORM", r"row 7: film mdb001 is normal and has a finding, or is there twice \(row 5\)"),
    ("mdb002 D NORM \n", "", r"mdb002\.pgm: this film is not in Info\.txt"),
    ("mdb00", "film", r"no film mdb001\.pgm")])
def test_a_wrong_info_file_is_refused(folder, old, new, message):
    (folder / "Info.txt").write_text(INFO.replace(old, new))
    with pytest.raises(DataError, match=message):
        mias(folder)


def test_a_film_that_is_not_square_is_refused(folder):
    Image.fromarray(np.zeros((SIDE, SIDE - 4), np.uint8)).save(folder / "mdb002.pgm")
    with pytest.raises(DataError, match=r"mdb002\.pgm \(.*Info\.txt, row 7\): the outlines are of 1024 x 1024"):
        mias(folder)


@pytest.fixture(scope="module")
def real(real_data):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return mias(real_data / "mini_mias")


def test_the_real_films(real, real_data):
    assert len(real.table) == 210 and real.table["patient"].nunique() == 105
    assert real.without_outline() == ["mdb059", "mdb216", "mdb245"]
    circles = real.findings[real.findings["outlined"]]
    assert len(circles) == 80 and circles["radius"].median() / 2 == 22.25
    with (real_data / "mini_mias" / "mias_lesions.csv").open(newline="") as file:
        listed = [row for row in csv.DictReader(file) if row["cx_512_topleft"]]
    assert circles["film"].tolist() == [row["image_id"] for row in listed]
    for place, row in zip(circles.index, listed, strict=True):
        mask = real.outline(real, place)
        if float(row["radius_512"]) < 40 and mask[1:-1, 1:-1].sum() == mask.sum():      # inside the film
            centre = float(row["cy_512_topleft"]), float(row["cx_512_topleft"])
            np.testing.assert_allclose(np.add(ndimage.center_of_mass(mask), 0.5), centre, atol=0.3)


def test_the_real_patches(real):
    """The design counts 4,736 windows that are half brighter than 20; 46 of these are bright by label text only."""
    table = patch_table(real.only(np.flatnonzero(~real.table["film"].isin(["mdb216", "mdb245"]))))
    kept = table[table["kept"]]
    assert kept["positive"].sum() == 161 and kept["film"][kept["positive"]].nunique() == 34
    grid = windows(512, 512)
    assert len(grid) * len(real.table) == 10_290 and (grid[:, 2] == 128).all()
    bright = breast = hit = 0
    for row, film in enumerate(real.table["film"]):
        grey = real.read(row)
        bright += (inside(grey > 20, grid) >= 128**2 / 2).sum()
        shows = inside(breast_mask(grey), grid) >= 128**2 / 2
        breast += shows.sum()
        if film not in real.without_outline():
            hit += sum((label_rule([real.outline(real, int(lesion))], grid)[0][shows] >= 0.3).any()
                       for lesion in real.findings_of(film))
    assert (bright, breast, hit) == (4_736, 4_690, 80)


def test_inverted_real_films_are_found(real):
    for path in real.paths()[::10]:
        with pytest.raises(DataError, match="the film is inverted"):
            breast_mask(255 - read_grey(path))
