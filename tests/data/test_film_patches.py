"""Windows of mammograms: grid, label rule beside a naive twin, breast, batches, and what is refused."""

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from ddsm_case import FILM, write_case
from PIL import Image, ImageDraw
from torch.utils.data import DataLoader

from mdlib.data.ddsm import ddsm
from mdlib.data.film_patches import (
    FilmPatches,
    breast_mask,
    film_pixels,
    film_sizes,
    inside,
    label_rule,
    patch_table,
    windows,
)
from mdlib.data.films import Films
from mdlib.errors import DataError, SettingsError

HEIGHT, WIDTH = 96, 64
# height and width of scans (an ICS file; fjeg/ddsm_tools#5; A_1580_1.LEFT_MLO, which is narrow) and their windows
SCANS = [(4696, 3024, 77), (4688, 3088, 77), (4624, 3056, 77), (4621, 2781, 84), (5311, 3196, 84), (4606, 2221, 105)]


def film(height=HEIGHT, width=WIDTH, breast=150):
    """uint8: a breast at the left edge, and label text at the top right."""
    image = Image.new("L", (width, height), 5)
    draw = ImageDraw.Draw(image)
    draw.ellipse((-width * 2 // 3, height // 8, width * 2 // 3, height * 7 // 8), fill=breast)
    draw.text((width - 20, 2), "L CC", fill=255)
    return np.asarray(image)


def disc(height, width, y, x, radius):
    rows, columns = np.ogrid[:height, :width]
    return (rows - y)**2 + (columns - x)**2 <= radius**2


LESIONS = [disc(HEIGHT, WIDTH, 40, 20, 6), disc(HEIGHT, WIDTH, 60, 12, 10)]


def outline(films, row):
    return LESIONS[row % 2]


def collection(folder, greys, malignant=(True, False)):
    names = [f"f{number}" for number in range(len(greys))]
    for name, grey in zip(names, greys, strict=True):
        Image.fromarray(grey).save(folder / f"{name}.png")
    shapes = np.array([grey.shape for grey in greys])
    table = pd.DataFrame({"film": names, "path": [f"{name}.png" for name in names], "patient": names, "side": "left",
                          "view": "CC", "density": 2.0, "height": shapes[:, 0], "width": shapes[:, 1]})
    findings = pd.DataFrame({"film": "f0", "number": [1, 2], "kind": "mass", "malignant": malignant, "outlined": True})
    return Films(folder, table, findings, outline)


@pytest.fixture
def films(tmp_path):
    return collection(tmp_path, [film(), film(64, 80)])


def naive_windows(height, width):
    side = min(height, width) // 4
    found, y = [], 0
    while y + side <= height:
        x = 0
        while x + side <= width:
            found.append([y, x, side])
            x += side // 2
        y += side // 2
    return found


def naive_shares(lesions, window):
    """The label rule as printed, pixel by pixel."""
    y, x, side = window
    largest = covered = 0
    for lesion in lesions:
        within = sum(bool(lesion[i, j]) for i in range(y, y + side) for j in range(x, x + side))
        largest = max(largest, within / sum(bool(value) for row in lesion for value in row))
    for i in range(y, y + side):
        for j in range(x, x + side):
            covered += any(lesion[i, j] for lesion in lesions)
    return largest, covered / side**2


@pytest.mark.parametrize("shape", [(8, 8), (17, 40), (96, 64), (512, 512), (101, 67)])
def test_windows_are_those_of_the_naive_loop(shape):
    assert windows(*shape).tolist() == naive_windows(*shape)


@pytest.mark.parametrize("height, width, count", SCANS)
def test_a_usual_scan_of_ddsm_has_77_to_84_windows(height, width, count):
    grid = windows(height, width)
    assert len(grid) == count and grid.tolist() == naive_windows(height, width)
    assert len(set(grid[:, 1])) == 7


def test_the_label_rule_is_the_naive_one():
    grid = windows(HEIGHT, WIDTH)
    largest, covered = label_rule(LESIONS, grid)
    twin = np.array([naive_shares(LESIONS, window) for window in grid])
    np.testing.assert_array_equal(np.column_stack([largest, covered]), twin)
    assert 0 < ((largest >= 0.3) | (covered >= 0.3)).sum() < len(grid)
    largest, covered = label_rule([], grid)
    assert not largest.any() and not covered.any()


def test_three_tenths_of_a_lesion_or_of_a_window_are_enough():
    lesion = np.zeros((HEIGHT, WIDTH), dtype=bool)
    lesion[0, 7:17] = True                       # 10 pixels, of which 9 lie in the first window of 16
    grid = np.array([[0, 0, 10], [0, 0, 9], [0, 4, 10]])
    largest, covered = label_rule([lesion], grid)
    assert largest.tolist() == [0.3, 0.2, 0.7] and covered.tolist() == [0.03, 2 / 81, 0.07]


def test_pixels_inside_windows_are_counted():
    mask = np.random.default_rng(0).random((50, 70)) < 0.3
    grid = windows(50, 70)
    assert inside(mask, grid).tolist() == [mask[y:y + side, x:x + side].sum() for y, x, side in grid]


def test_the_table_of_patches(films):
    table = patch_table(films)
    first = table[table["film"] == "f0"]
    assert first[["y", "x", "side"]].to_numpy().tolist() == naive_windows(HEIGHT, WIDTH)
    assert len(table) == len(first) + len(naive_windows(64, 80)) and (first["patient"] == "f0").all()
    twin = np.array([naive_shares(LESIONS[:1], window) for window in first[["y", "x", "side"]].to_numpy()])
    np.testing.assert_array_equal(first[["lesion_share", "covered_share"]], twin)       # the benign finding is none
    assert (first["positive"] == (twin.max(axis=1) >= 0.3)).all() and first["positive"].any()
    assert not table["positive"][table["film"] == "f1"].any()
    breast = breast_mask(films.read(0))
    assert first["breast_share"].tolist() == [breast[y:y + s, x:x + s].mean() for y, x, s in windows(HEIGHT, WIDTH)]
    assert (table["kept"] == (table["breast_share"] >= 0.5)).all() and 0 < table["kept"].mean() < 1


def test_the_table_is_the_same_in_several_processes(tmp_path):
    for number in range(9):
        write_case(tmp_path, f"cases/cancers/cancer_01/case000{number}", f"A_000{number}_1")
    films = ddsm(tmp_path)
    for row, path in enumerate(films.paths()):
        Image.fromarray(film(60, 40, 100 + row)).save(path)
    assert patch_table(films, workers=2).equals(patch_table(films))


def test_label_text_is_no_breast():
    grey = film()
    breast = breast_mask(grey)
    assert (grey[:12, 40:] > 200).any() and not breast[:12, 40:].any()
    assert breast.sum() == (grey == 150).sum()


@pytest.mark.parametrize("grey, message", [
    (255 - film(), r"f1\.png: the film is inverted: \d\d% of its pixels are white, \d% black\. Save it with a black"),
    (np.full((HEIGHT, WIDTH), 20, np.uint8), r"f1\.png: no breast found: no connected part with 5% .* than grey 20"),
    (film(breast=5), r"f1\.png: no breast found"),
    (film(breast=200) // 16, r"f1\.png: no breast found: .* \(12 bits in a 16-bit file look black\)"),
    (np.zeros((7, 20), np.uint8), r"f1\.png: a film of 7 x 20 pixels is smaller than 4 windows of 2\. Leave it out")])
def test_a_film_without_usable_breast_is_refused(tmp_path, grey, message):
    with pytest.raises(DataError, match=message):
        patch_table(collection(tmp_path, [film(), grey]))


def test_a_breast_that_fills_its_film_is_not_inverted():
    grey = np.full((HEIGHT, WIDTH), 190, np.uint8)
    assert breast_mask(grey).all()
    grey[:, :10], grey[:, -10:] = 250, 10           # a white edge of the scan, and background
    assert breast_mask(grey)[:, :-10].all()


def test_a_malignant_finding_without_outline_is_refused(films):
    def missing(films, row):
        raise DataError("no outline", "finding")
    with pytest.raises(DataError, match="finding: no outline"):
        patch_table(Films(films.data_dir, films.table, films.findings, missing))


@pytest.mark.parametrize("size", [16, 15, 7])
def test_batches_are_windows_of_the_mapped_films(films, tmp_path, size):
    table = patch_table(films)
    pixels = film_pixels(films, size, tmp_path / "cache")
    sizes = film_sizes(films, size)
    assert sizes.min(axis=1).tolist() == [4 * size, 4 * size] and pixels.shape == (2, *sizes.max(axis=0))
    samples = FilmPatches(pixels, films, table, np.arange(len(table)), size)
    batch = samples.batch(len(samples))
    assert batch["image"].shape == (len(table), 1, size, size) and batch["image"].dtype == torch.float32
    assert batch["target"].tolist() == table["positive"].astype(int).tolist()
    assert batch["index"].tolist() == list(range(len(table)))
    for row in (0, 30, len(table) - 1):
        patch = table.loc[row]
        number = int(patch["film"][1])
        whole = np.asarray(Image.fromarray(films.read(number)).resize(tuple(sizes[number, ::-1].tolist()),
                                                                      Image.Resampling.BILINEAR))
        scale = 4 * size / 64
        y, x = (min(round(patch[name] * scale), limit - size) for name, limit in zip("yx", sizes[number], strict=True))
        np.testing.assert_array_equal(batch["image"][row, 0].numpy() * 255, whole[y:y + size, x:x + size])


def test_at_the_films_own_size_windows_are_exact(films, tmp_path):
    table = patch_table(films)
    samples = FilmPatches(film_pixels(films, 16, tmp_path / "cache"), films, table, np.flatnonzero(table["kept"]), 16)
    grey = films.read(0)
    for number, row in enumerate(np.flatnonzero(table["kept"] & (table["film"] == "f0"))):
        y, x = table.loc[row, ["y", "x"]]
        assert torch.equal(samples[number]["image"][0], torch.from_numpy(grey[y:y + 16, x:x + 16]).float().div(255))


def test_workers_open_the_map_anew(films, tmp_path):
    table = patch_table(films)
    samples = FilmPatches(film_pixels(films, 16, tmp_path / "cache"), films, table, np.flatnonzero(table["kept"]), 16)
    copy = pickle.loads(pickle.dumps(samples))
    assert torch.equal(copy.batch(5)["image"], samples.batch(5)["image"])
    assert len(pickle.dumps(samples)) < 40_000
    loader = DataLoader(samples, 4, collate_fn=samples.collate)
    assert torch.equal(torch.cat([batch["index"] for batch in loader]), torch.from_numpy(samples.rows))


def test_a_film_smaller_than_four_windows_is_refused(films, tmp_path):
    with pytest.raises(DataError, match=r"f0\.png: the film of 96 x 64 pixels is smaller than 4 windows of 17\."):
        film_pixels(films, 17, tmp_path / "cache")
    assert film_sizes(films, 16).tolist() == [[96, 64], [64, 80]]


def test_patches_of_other_films_or_sizes_are_refused(films, tmp_path):
    table = patch_table(films)
    pixels = film_pixels(films, 16, tmp_path / "cache")
    with pytest.raises(DataError, match="2 films with windows of 16 pixels do not fit pixels"):
        FilmPatches(pixels[:, :90], films, table, [0], 16)
    with pytest.raises(DataError, match="do not fit"):
        FilmPatches(pixels, films, table.assign(film="x"), [0], 16)
    with pytest.raises(DataError, match="do not fit"):
        FilmPatches(pixels[:1], films, table, [0], 16)
    with pytest.raises(DataError, match="rows 0 to 999"):
        FilmPatches(pixels, films, table, [0, 999], 16)
    with pytest.raises(SettingsError, match="windows of 0 pixels"):
        FilmPatches(pixels, films, table, [0], 0)


def test_films_of_ddsm_have_patches(tmp_path):
    write_case(tmp_path)
    for path in ddsm(tmp_path).paths():
        Image.fromarray(film(60, 40)).save(path)
    films = ddsm(tmp_path)
    table = patch_table(films)
    assert set(table["film"][table["positive"]]) == {FILM}
