"""Films: what a collection of mammograms must have, unions of outlines, and sizes that do not fit."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from mdlib.data.films import Films, refuse_no_outline, resized_mask
from mdlib.errors import DataError

HEIGHT, WIDTH = 6, 4


def square(films, row):
    refuse_no_outline(films, row)
    mask = np.zeros((HEIGHT, WIDTH), dtype=bool)
    mask[row:row + 2, :2] = True
    return mask


def table(**columns):
    return pd.DataFrame({"film": ["a", "b", "c"], "path": ["a.png", "b.png", "c.png"], "patient": ["1", "1", "2"],
                         "side": ["left", "right", "left"], "view": ["CC", "MLO", ""], "density": [1, 4, np.nan],
                         "height": HEIGHT, "width": WIDTH, **columns})


def findings(**columns):
    return pd.DataFrame({"film": ["a", "a", "c"], "number": [1, 2, 1], "kind": ["mass", "mass, calcification", "other"],
                         "malignant": [False, True, True], "outlined": [True, True, False], **columns})


@pytest.fixture
def films(tmp_path):
    for name in "abc":
        Image.fromarray(np.full((HEIGHT, WIDTH), ord(name), np.uint8)).save(tmp_path / f"{name}.png")
    return Films(tmp_path, table(), findings(), square)


def test_findings_are_chosen_and_united(films):
    assert films.findings_of("a").tolist() == [0, 1] and films.findings_of("b").tolist() == []
    assert films.findings_of("a", malignant=True).tolist() == [1]
    assert films.findings_of("a", kind="mass").tolist() == [0, 1]
    assert films.findings_of("a", malignant=False, kind="calcification").tolist() == []
    assert films.mask("a")[:3, :2].all() and films.mask("a").sum() == 6
    assert films.mask("b").shape == (HEIGHT, WIDTH) and not films.mask("b").any()


def test_a_finding_without_an_outline_is_named(films):
    assert films.without_outline() == ["c"]
    with pytest.raises(DataError, match=r"film c: finding 1 \(other\) has no outline\. Leave the film out"):
        films.mask("c")
    kept = films.only(np.flatnonzero(~films.table["film"].isin(films.without_outline())))
    assert kept.table["film"].tolist() == ["a", "b"] and kept.without_outline() == []


def test_some_films_keep_their_findings_in_their_order(films):
    some = films.only(np.array([2, 0]))
    assert some.table["film"].tolist() == ["c", "a"] and some.findings["film"].tolist() == ["c", "a", "a"]
    assert some.findings["number"].tolist() == [1, 1, 2]
    assert some.paths() == [films.data_dir / "c.png", films.data_dir / "a.png"]


def test_films_are_read_at_the_size_that_the_table_says(films):
    assert (films.read(1) == ord("b")).all() and films.shape("b") == (HEIGHT, WIDTH)
    Image.fromarray(np.zeros((HEIGHT, WIDTH + 1), np.uint8)).save(films.data_dir / "b.png")
    with pytest.raises(DataError, match=r"b\.png: the film has 6 x 5 pixels \(height x width\), not 6 x 4"):
        films.read(1)
    with pytest.raises(DataError, match="no film 'd'"):
        films.mask("d")


@pytest.mark.parametrize("columns, message", [
    ({"film": ["a", "b", "b"]}, "film 'b' occurs twice; 1 such rows"),
    ({"side": ["left", "L", "left"]}, "film 'b' has a side that is none of left, right"),
    ({"view": ["CC", "XX", ""]}, "film 'b' has a view that is none of CC, MLO"),
    ({"film": ["a", "b", "d"]}, "film of a finding, 'c' is not in the table")])
def test_a_wrong_table_is_refused(columns, message):
    with pytest.raises(DataError, match=message):
        Films(Path("x"), table(**columns), findings(), square)


def test_wrong_findings_and_missing_columns_are_refused():
    with pytest.raises(DataError, match="film of a finding, 'a' has two findings of one number"):
        Films(Path("x"), table(), findings(number=[1, 1, 1]), square)
    with pytest.raises(DataError, match="parameter table: no column 'patient', 'density'"):
        Films(Path("x"), table().drop(columns=["density", "patient"]), findings(), square)
    with pytest.raises(DataError, match="parameter findings: no column 'malignant'"):
        Films(Path("x"), table(), findings().drop(columns="malignant"), square)


@pytest.mark.parametrize("shape", [(6, 4), (12, 8), (30, 20), (3, 2)])
def test_a_mask_is_resized_by_the_nearest_pixel(shape):
    mask = np.zeros((6, 4), dtype=bool)
    mask[2:4, 2:] = True
    twin = np.asarray(Image.fromarray(mask).resize(shape[::-1], Image.Resampling.NEAREST))
    assert np.array_equal(resized_mask(mask, shape, "x"), twin)


def test_a_mask_of_another_aspect_is_refused():
    """Sizes of CBIS-DDSM: a mask of Mass-Test_P_00145_LEFT_CC fits its film, one of Calc-Test_P_00353 nearly."""
    assert resized_mask(np.ones((4386, 1789), bool), (5041, 2056), "x").all()
    assert resized_mask(np.ones((4688, 3088), bool), (4624, 3056), "x").shape == (4624, 3056)
    with pytest.raises(DataError, match=r"y\.dcm: the outlines are of 4000 x 3000 .* the film has 4100 x 3000"):
        resized_mask(np.ones((4000, 3000), bool), (4100, 3000), "y.dcm")
