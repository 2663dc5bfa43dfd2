"""What the viewers of chapter 1 show of phantoms: films as the networks see them, their twins, and how much is sent."""

import numpy as np
import pytest
import torch

from mdlib.data import images
from mdlib.data.phantoms import chest as phantom_chest
from mdlib.recipes import chest
from mdlib.recipes.chest.networks import network
from mdlib.widgets import standalone
from mdlib.widgets.explorer import Case, explorer

SMALL = {"networks": ["densenet121", "att_a"], "exhibits": ["fig9"], "epochs": 1, "seeds": 1, "draws": 20,
         "blocks": [1, 1, 1, 1], "growth": 4, "stem": 8}


@pytest.fixture(scope="module")
def chapter(tmp_path_factory):
    """A trained attA on 60 phantom patients of the shipped size."""
    folder = tmp_path_factory.mktemp("chest")
    phantom_chest.write(folder / "phantoms", patients=60)
    return chest.start(data_dir=str(folder / "phantoms"), run_dir=str(folder / "run"), device="cpu", overrides=SMALL)


@pytest.fixture(scope="module")
def cases(chapter):
    return chest.viewing.cases(chapter, "att_a", count=12)


def test_a_film_has_a_twin_without_each_of_its_findings_and_no_other(cases):
    for case in cases:
        found = {name for name, value in zip(case["classes"], case["truth"], strict=True) if value == 1}
        assert set(case["twins"]) == found - {"No Finding"}
        for finding, twin in case["twins"].items():
            left = {name for name, value in zip(twin["classes"], twin["truth"], strict=True) if value == 1}
            assert left == (found - {finding} or {"No Finding"})


def test_a_twin_differs_from_its_film_only_within_the_cause(chapter, cases):
    truth = phantom_chest.Truth(chapter.xrays.data_dir)
    checked = 0
    for case in cases:
        for finding, twin in case["twins"].items():
            mask = truth.mask(case["name"], finding)
            side = len(case["image"])
            cut = images.centre_crop(mask, side)
            assert side == round(256 * 64 / 72) and ((case["image"] != twin["image"]) == cut).all()
            checked += 1
    assert checked >= 12


def test_a_twin_goes_through_the_network_as_its_film_does(chapter, cases):
    """Take nothing away: the twin is the film, and everything the network says of it is the same."""
    row = chapter.rows["test"][0]
    film = phantom_chest.twin(chapter.xrays.data_dir, chapter.table["image"].iloc[row])
    image = images.centre_crop(images.fit_square(film, 72), 64)
    assert (image == (255 * chapter.samples("test")[0]["image"][0]).round().numpy()).all()
    model = chest.viewing.trained(chapter, "att_a")
    case = next(case for case in cases if case["twins"])
    finding, twin = next(iter(case["twins"].items()))
    film = phantom_chest.twin(chapter.xrays.data_dir, case["name"], finding)
    image = images.centre_crop(images.fit_square(film, 72), 64)
    with torch.inference_mode():
        answer = model(image=torch.tensor(image)[None, None] / 255)
    np.testing.assert_allclose(twin["logits"], answer["logits"][0], atol=1e-5)
    np.testing.assert_allclose(twin["maps"]["attention 1"], answer["attention"][0][0] * 64, atol=1e-4)
    assert (twin["logits"] != case["logits"]).any()


def test_outlines_of_phantoms_are_called_the_cause(cases):
    assert {case["outline"] for case in cases} == {"cause"}


def test_real_films_have_boxes_where_the_radiologist_drew_them_and_no_twins(real_data, tmp_path, monkeypatch):
    settings = {"data_dir": str(real_data / "chestxray14"), "run_dir": str(tmp_path), "device": "cpu"}
    chapter = chest.start(overrides=SMALL, **settings)
    untrained = network("densenet121", chapter.settings).eval()
    monkeypatch.setattr(chest.viewing, "trained", lambda *_: untrained)
    cases = chest.viewing.cases(chapter, "densenet121", count=40)
    assert {case["outline"] for case in cases} == {"radiologist's box"} and not any(case["twins"] for case in cases)
    boxed = [case for case in cases if case["contours"]]
    assert boxed
    for case in boxed:
        boxes = chapter.xrays.boxes[chapter.xrays.boxes["image"] == case["name"]]
        for finding, lines in case["contours"].items():
            whole = (np.array(lines) * 64 + 4) / 72  # from the network's picture back to the film
            for line, box in zip(whole, boxes[boxes["finding"] == finding].itertuples(), strict=True):
                expected = [box.x, box.y, box.x + box.w, box.y + box.h]
                np.testing.assert_allclose([*line.min(axis=0), *line.max(axis=0)], expected, atol=1e-6)
    explorer([Case(**case) for case in boxed])


def test_twelve_films_with_all_twins_and_methods_stay_far_below_two_megabytes_as_one_page(cases):
    widget = explorer([Case(**case) for case in cases], title="attA")
    assert len(widget.cases) == 12 and len(widget.methods) == 5
    assert len(standalone.page(widget, "Twelve films").encode()) < 700_000
