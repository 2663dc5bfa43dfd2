"""DDSM in its published layout: what is read, outlines as pixels, and what is refused."""

import ast
import csv
import pickle

import numpy as np
import pytest
from ddsm_case import BOX, FILM, HEIGHT, ICS, OVERLAY, STEM, WIDTH, chain, points, write_case
from dicom_file import dicom
from PIL import Image
from scipy import ndimage

from mdlib.data.ddsm import ddsm
from mdlib.data.ddsm_overlays import STEPS, drawn, read_overlay
from mdlib.errors import DataError


@pytest.fixture
def case(tmp_path):
    return write_case(tmp_path)


@pytest.fixture
def overlay(case):
    return case / f"{STEM}.OVERLAY"


def test_a_case_is_films_and_findings(tmp_path, case):
    films = ddsm(tmp_path)
    assert films.table["film"].tolist() == [FILM, "cancer_01-A_0001_1.RIGHT_MLO"]
    first = films.table.iloc[0]
    assert first[["patient", "exam", "volume", "category", "side", "view"]].tolist() == [
        "A_0001", "A_0001_1", "cancer_01", "cancer", "left", "CC"]
    assert first[["density", "height", "width"]].tolist() == [3, HEIGHT, WIDTH]
    assert films.read(0).shape == (HEIGHT, WIDTH) and films.truth is None
    findings = films.findings
    assert findings["film"].tolist() == [FILM, FILM] and findings["number"].tolist() == [1, 2]
    assert findings["kind"].tolist() == ["calcification, mass", "mass"]
    assert findings["malignant"].tolist() == [True, False] and findings["outlined"].all()
    assert findings["shape"].tolist() == ["IRREGULAR-ARCHITECTURAL_DISTORTION", "OVAL"]
    assert findings["distribution"].tolist() == ["CLUSTERED", ""] and findings["subtlety"].tolist() == [4, 5]
    assert ddsm(tmp_path / "cases").paths() == films.paths()


def test_the_outline_is_the_boundary_with_its_inside(tmp_path, case):
    films = pickle.loads(pickle.dumps(ddsm(tmp_path)))
    left, top, right, bottom = BOX
    box = np.zeros((HEIGHT, WIDTH), dtype=bool)
    box[top:bottom + 1, left:right + 1] = True
    assert np.array_equal(films.outline(films, 0), box) and np.array_equal(films.mask(FILM, malignant=True), box)
    assert films.mask(FILM).sum() == box.sum() + 16 and films.mask(FILM, kind="calcification").sum() == box.sum()
    assert films.mask(FILM, malignant=False, kind="mass")[50:54, 30:34].all()
    assert not films.mask("cancer_01-A_0001_1.RIGHT_MLO").any()


def test_directions_count_clockwise_from_up(overlay):
    overlay.write_text(OVERLAY.replace(chain(*BOX), "10 20 0 1 2 3 4 5 6 7 #"))
    around = read_overlay(overlay)[0].points
    assert around.tolist() == [[10, 20], [10, 19], [11, 18], [12, 18], [13, 19], [13, 20], [12, 21], [11, 21], [10, 20]]


def traced(mask):
    """The steps along the edge of a mask, by following it pixel by pixel (Moore), and where they start."""
    rows, columns = np.nonzero(mask)
    place = start = np.array([columns[0], rows[0]])
    steps, come = [], 6
    while True:
        ahead = [(come + turn) % 8 for turn in range(8)]
        step = next((step for step in ahead if mask[tuple((place + STEPS[step])[::-1])]), None)
        if step is None or (steps and (place == start).all() and step == steps[0]):
            return start, steps
        steps.append(step)
        place, come = place + STEPS[step], (step + 5) % 8


def test_any_shape_is_drawn_as_it_was_traced():
    """Twin: the edge pixel by pixel, its inside filled by scipy."""
    random = np.random.default_rng(0)
    for _ in range(60):
        noise = ndimage.gaussian_filter(random.normal(size=random.integers(3, 50, 2)), random.uniform(0.5, 3))
        parts, _ = ndimage.label(np.pad(noise > np.median(noise), 2), np.ones((3, 3)))
        blob = ndimage.binary_fill_holes(parts == np.bincount(parts.ravel())[1:].argmax() + 1)
        start, steps = traced(blob)
        along = points(*start.tolist(), steps)
        edge = np.zeros_like(blob)
        edge[along[:, 1], along[:, 0]] = True
        assert np.array_equal(ndimage.binary_fill_holes(edge), blob)
        assert np.array_equal(drawn(along, blob.shape, blob.shape), blob)


@pytest.mark.parametrize("factor", [2, 0.5])
def test_a_film_of_another_size_scales_its_outlines(tmp_path, factor):
    write_case(tmp_path, size=(int(HEIGHT * factor), int(WIDTH * factor)))
    films = ddsm(tmp_path)
    mask = films.mask(FILM, malignant=True)
    assert mask.shape == (HEIGHT * factor, WIDTH * factor)
    left, top, right, bottom = BOX
    centre = np.array(ndimage.center_of_mass(mask)) + 0.5
    assert np.abs(centre - factor * (np.array([top + bottom, left + right]) / 2 + 0.5)).max() <= 0.5
    assert mask.sum() == pytest.approx(factor**2 * (right - left + 1) * (bottom - top + 1), rel=0.35)
    small = drawn(np.array([[30, 30], [31, 30], [31, 31]]), (4000, 3000), (40, 30))
    assert small.sum() == 1 and small[0, 0]


@pytest.mark.parametrize("size", [(HEIGHT, WIDTH + 2), (WIDTH, HEIGHT)])
def test_a_film_of_another_aspect_is_refused(tmp_path, size):
    write_case(tmp_path, size=size)
    with pytest.raises(DataError, match=r"LEFT_CC\.png \(.*A-0001-1\.ics, row 8\): the outlines are of 60 x 40 pixels"):
        ddsm(tmp_path)


@pytest.mark.parametrize("name", [".LJPEG.1.jpg", ".jpg", ".tif", ".LJPEG.png"])
def test_films_as_converters_name_them(tmp_path, case, name):
    Image.open(case / f"{STEM}.png").convert("L").save(case / f"{STEM}{name}")
    (case / f"{STEM}.png").unlink()
    (case / f"{STEM}.LJPEG").write_bytes(b"\0")
    assert ddsm(tmp_path).table["path"][0] == f"cases/cancers/cancer_01/case0001/{STEM}{name}"


def test_a_film_may_be_dicom(tmp_path, case):
    (case / f"{STEM}.png").unlink()
    dicom(case / f"{STEM}.dcm", np.full((HEIGHT, WIDTH), 4095, np.uint16), 12)
    assert (ddsm(tmp_path).read(0) == 255).all()


@pytest.mark.parametrize("name", [f"{STEM}.LJPEG", f"{STEM}.LJPEG.1"])
def test_a_lossless_jpeg_alone_is_refused(tmp_path, case, name):
    (case / f"{STEM}.png").rename(case / name)
    with pytest.raises(DataError, match=rf"{name}: DDSM's own lossless JPEG .* put {STEM}\.png beside it"):
        ddsm(tmp_path)
    (case / name).unlink()
    with pytest.raises(DataError, match=rf"{STEM}\.png: no such film\. Put the converted film there"):
        ddsm(tmp_path)


@pytest.mark.parametrize("old, new, message", [
    (None, "", r"LEFT_CC\.OVERLAY: the overlay is empty\. Copy it again"),
    ("TOTAL_ABNORMALITIES 2\n", "", "first line is not TOTAL_ABNORMALITIES"),
    ("TOTAL_ABNORMALITIES 2", "TOTAL_ABNORMALITIES 3", "row 1: 3 findings are announced, 2 are described"),
    ("ABNORMALITY 2", "ABNORMALITY 4", "row 13: ABNORMALITY 4 where ABNORMALITY 2 is expected"),
    ("ASSESSMENT 5", "ASSESSMENT", "row 5: no number in 'ASSESSMENT'"),
    ("ASSESSMENT 5\n", "", "row 2: finding 1 has no ASSESSMENT"),
    ("PATHOLOGY MALIGNANT", "PATHOLOGY BAD", "row 7: 'PATHOLOGY BAD' is not a line of an overlay"),
    ("LESION_TYPE MASS SHAPE OVAL", "LESION_TYPE NOISE SHAPE OVAL", "row 14: 'LESION_TYPE NOISE"),
    (f"BOUNDARY\n{chain(*BOX)}\n", "", "row 2: finding 1 has no BOUNDARY"),
    (chain(*BOX), "10 20 2 2", r"row 10: the outline is empty or cut off"),
    (f"{chain(30, 50, 33, 53)}\n", "", r"row 19: the outline is empty or cut off"),
    (chain(*BOX), "10 20 2 9 #", "row 10: the outline has a step that is not 0 to 7"),
    (chain(*BOX), chain(10, 20, 40, 26), r"row 10: the outline of finding 1 \(columns 10 to 40, rows 20 to 26\) leaves "
                                         "its film of 40 columns and 60 rows"),
    (chain(*BOX), "10 0 0 0 4 4 #", "row 10: the outline of finding 1 .* leaves its film"),
])
def test_a_wrong_overlay_is_refused_by_file_and_row(tmp_path, overlay, old, new, message):
    overlay.write_text(new if old is None else OVERLAY.replace(old, new, 1))
    with pytest.raises(DataError, match=message):
        ddsm(tmp_path)


def test_an_overlay_is_where_the_ics_file_says(tmp_path, case, overlay):
    overlay.rename(case / "A_0001_1.RIGHT_MLO.OVERLAY")
    with pytest.raises(DataError, match=r"LEFT_CC\.OVERLAY \(.*A-0001-1\.ics, row 8\): the overlay .* is missing"):
        ddsm(tmp_path)
    (case / "A-0001-1.ics").write_text(ICS.replace(" OVERLAY", " NON_OVERLAY"))
    with pytest.raises(DataError, match=r"RIGHT_MLO\.OVERLAY \(.*row 9\): there is an overlay that the ICS"):
        ddsm(tmp_path)


@pytest.mark.parametrize("old, new, message", [
    ("LINES 60 ", "", r"ics, row 8: no size"), ("RESOLUTION 50 OVERLAY", "RESOLUTION 50", "ics, row 8: .* NON_OVERLAY"),
    ("DENSITY 3", "DENSITY 5", r"ics, row 5: the density '5' is not 1 to 4"),
    ("_CC", "_XX", None)])
def test_a_wrong_ics_file_is_refused(tmp_path, case, old, new, message):
    (case / "A-0001-1.ics").write_text(ICS.replace(old, new, 1))
    if message:
        with pytest.raises(DataError, match=message):
            ddsm(tmp_path)
    else:
        assert len(ddsm(tmp_path).table) == 1


def test_a_density_may_be_unknown_and_a_collection_without_findings(tmp_path, case, overlay):
    overlay.unlink()
    (case / "A-0001-1.ics").write_text(ICS.replace(" OVERLAY", " NON_OVERLAY").replace("DENSITY 3", "DENSITY 0"))
    films = ddsm(tmp_path)
    assert films.table["density"].isna().all() and films.findings.empty and not films.mask(FILM).any()


def test_a_folder_without_cases_or_ics_files(tmp_path):
    with pytest.raises(DataError, match="no case in cancers, normals, benigns, benign_without_callbacks"):
        ddsm(tmp_path)
    case = write_case(tmp_path)
    (case / "A-0001-1.ics").rename(case / "A0001.ics")
    with pytest.raises(DataError, match=r"A0001\.ics: the name is not like A-0001-1\.ics"):
        ddsm(tmp_path)
    (case / "A0001.ics").unlink()
    with pytest.raises(DataError, match=r"case0001: 0 files that end in \.ics, not one"):
        ddsm(tmp_path)


def test_one_case_in_two_volumes_is_one_patient(tmp_path, case):
    write_case(tmp_path, "cases/benigns/benign_13/case0001")
    table = ddsm(tmp_path).table
    assert table["film"].is_unique and table["patient"].nunique() == 1 and table["category"].nunique() == 2


def test_published_findings_are_read(real_data, tmp_path):
    """416 reports of DDSM with 467 findings: 253 have a mass, 220 calcifications (8 both), 2 something else."""
    found = []
    with (real_data / "ddsm_lists_and_findings" / "explanations-benchmark-answer-key.csv").open(newline="") as file:
        for number, row in enumerate(csv.DictReader(file)):
            lesions = [part for part in ast.literal_eval(row["GT Report"]) if part[0].startswith("ABNORMALITY")]
            lines = [line for part in lesions for line in (*part, chain(*BOX))]
            path = tmp_path / f"{number}.OVERLAY"
            path.write_text("\n".join([f"TOTAL_ABNORMALITIES {len(lesions)}", *lines]))
            found += read_overlay(path)
    assert number == 415 and len(found) == 467
    kinds = [kind for lesion in found for kind in lesion.kind.split(", ")]
    assert {kind: kinds.count(kind) for kind in set(kinds)} == {"mass": 253, "calcification": 220, "other": 2}
