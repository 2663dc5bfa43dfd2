"""What a MIMS network says of slices and where: contributions that add up, slices alone and in their volume."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from small_networks import MIMS_KINDS, SLICES, mims_network

from mdlib.data.phantoms import oct as phantom_oct
from mdlib.evaluate.per_class import MEAN
from mdlib.explain.gradients import Maps
from mdlib.models import mims
from mdlib.recipes.mims import chapter as chapters
from mdlib.recipes.mims import explained, located, viewing
from mdlib.study import saliency
from mdlib.widgets.explorer import Case, explorer


@pytest.mark.parametrize("kind", MIMS_KINDS)
def test_the_logits_of_slices_are_those_that_their_maps_explain(kind):
    model = mims_network(**kind)
    torch.testing.assert_close(explained.said(model, SLICES)[1], explained.maps(model, SLICES)[explained.PICKED].logits)


def test_maps_of_slices_do_not_depend_on_the_slices_beside_them():
    model = mims_network()
    every, one = explained.maps(model, SLICES), explained.maps(model, SLICES[3:4])
    assert list(every) == [*explained.LAYERS, explained.PICKED]
    for name, maps in every.items():
        torch.testing.assert_close(maps.values[3], one[name].values[0], rtol=1e-4, atol=1e-6)
    assert every["gradient × input, conv5"].values.shape == (6, 2, 8, 12)
    assert every["gradient × input, image"].values.shape == (6, 2, 64, 96)
    assert list(explained.maps(mims_network(scales=(1,), image_scales=(0.5, 1)), SLICES)) == [explained.PICKED]


def test_a_method_that_classifies_slices_is_explained_by_the_logits_of_the_slice():
    """The same weights, asked slice by slice, give the same maps: the log of the mean changes nothing."""
    plain, joined = mims_network(), mims_network(combine=mims.mean_of_slices)
    joined.load_state_dict(plain.state_dict())
    for name, maps in explained.maps(plain, SLICES).items():
        torch.testing.assert_close(explained.maps(joined, SLICES)[name].values, maps.values)


def test_what_picks_cover_is_counted_pixel_by_pixel():
    rng = np.random.default_rng(0)
    inside = rng.random((3, 20, 30)) < 0.3
    edges = {"top": [0, 3, 19, 7], "bottom": [1, 9, 20, 8], "left": [0, 4, 29, 0], "right": [30, 5, 30, 11]}
    picks = pd.DataFrame(edges).astype(float) / {"top": 20, "bottom": 20, "left": 30, "right": 30}
    picks["slice"] = [0, 1, 2, 2]
    expected = [inside[of.slice, edges["top"][i]:edges["bottom"][i], edges["left"][i]:edges["right"][i]].mean()
                for i, of in enumerate(picks.itertuples())]
    np.testing.assert_allclose(located.covered(inside, picks), expected)


def test_slices_are_chosen_as_counted_by_hand():
    log_odds, shown = np.array([2.0, -1.0, 3.0, 0.5]), np.array([True, True, False, False])
    measured, chance = located._choice(log_odds, shown)
    assert list(measured.values()) == [0.0, 0.25, 0.5, 1.0] and list(chance.values()) == [0.5, 0.5]
    assert located._choice(log_odds, np.zeros(4, bool)) == ({"chosen of volumes without lesion": 0.75}, {})


@pytest.fixture(scope="module")
def chapter(tmp_path_factory):
    """Volumes of 24 phantom patients; the network that is explained is not trained."""
    folder = tmp_path_factory.mktemp("mims")
    phantom_oct.write(folder / "oct", patients=24, workers=1)
    return chapters.start(data_dir=str(folder / "oct"), run_dir=str(folder / "run"), device="cpu",
                          overrides={"draws": 20})


@pytest.fixture
def untrained(monkeypatch):
    model = mims_network()
    monkeypatch.setattr(located, "network", lambda *_: model)
    return model


def test_a_lesion_is_measured_where_it_is_largest(chapter):
    table = located.lesions(chapter, "cirrus")
    truth = phantom_oct.Truth(chapter.bags("cirrus").data_dir)
    assert set(table["row"]) <= set(chapter.part("cirrus", "test")) and len(table) >= 3
    for of in table.itertuples():
        known = truth.lesions(of.bag)[of.lesion - 1]
        assert known.lesion == of.lesion and known.width == of.width
        assert known.first <= of.slice + 3 <= known.last        # the 30 central ones of 36 begin at 3
    assert table.groupby("finding")["width"].max()["small"] <= table.groupby("finding")["width"].min()["large"]


def test_a_map_that_is_the_mask_scores_one_and_the_uniform_map_chance(chapter, untrained, monkeypatch):
    table = located.lesions(chapter, "cirrus")
    answers = iter([located.mask(chapter, "cirrus", row)[of["slice"]] > 0 for row, of in table.groupby("row")])

    def masks(model, slices):
        values = torch.from_numpy(next(answers).astype(np.float32))[:, None].expand(-1, 2, -1, -1)
        return {"mask": Maps(values, torch.ones(values.shape[:2], dtype=bool), torch.zeros(len(values), 2))}
    monkeypatch.setattr(explained, "maps", masks)
    fresh = replace(chapter, run=replace(chapter.run, folder=chapter.run.folder / "oracle"))
    found = located.localised(fresh, "mims", "cirrus").set_index(["method", "measure", "finding"])["mean"]
    for measure in saliency.MEASURES:
        assert found["mask", measure, MEAN] == pytest.approx(1)
        assert found[saliency.UNIFORM, f"{measure} beyond uniform", MEAN] == 0
    uniform = found[saliency.UNIFORM]
    assert uniform["pointing game", MEAN] == pytest.approx(uniform["mass accuracy", MEAN])
    assert uniform["mass accuracy", "small"] < uniform["mass accuracy", "large"]
    assert found[saliency.LOCATION_PRIOR, "mass accuracy beyond uniform", MEAN] > 0


def test_everything_is_measured_on_volumes_of_phantoms(chapter, untrained):
    place = located.localised(chapter, "mims", "cirrus")
    assert set(place["method"]) == {*explained.LAYERS, explained.PICKED, saliency.UNIFORM, saliency.LOCATION_PRIOR}
    choice = located.slice_choice(chapter, "mims", "cirrus").set_index("measure")
    rows = chapter.part("cirrus", "test")
    ill = chapter.bags("cirrus").targets[rows].sum()
    assert choice["volumes"]["most suspicious slice has a lesion"] == ill
    assert choice["volumes"]["chosen of volumes without lesion"] == len(rows) - ill
    picked = located.picked(chapter, "mims", "cirrus").set_index("measure")
    assert picked["mean"].between(0, 1).all() and picked["volumes"].eq(ill).all()
    scales = located.picked_scales(chapter, "mims", "cirrus").set_index(["measure", "finding"])["mean"]
    assert sum(scales[f"at {scale}", MEAN] for scale in ("0.5", "0.75", "1")) == pytest.approx(1, abs=0.35)
    assert located.picked_scales(chapter, "mims", "cirrus").shape == (16, 8)    # from the run folder


def test_the_effect_is_what_the_twin_without_the_lesion_takes_away(chapter, untrained):
    table = located.lesions(chapter, "cirrus")
    found = located.agreement(chapter, "mims", "cirrus")
    expected = []
    for of in table.itertuples():
        (_, slices), = explained.volumes(chapter, "cirrus", [of.row])
        same = located.drawn_without(chapter, "cirrus", of.row, ())
        assert torch.equal(located.seen(chapter, "cirrus", same), slices)
        drawn = located.drawn_without(chapter, "cirrus", of.row, (of.lesion,))[of.slice]
        pair = torch.stack([slices[of.slice], torch.from_numpy(drawn)[None] / 255])
        log_odds = explained.suspicion(explained.said(untrained, pair)[1])
        expected.append(float(log_odds[0] - log_odds[1]))
    effect = found[found["measure"] == "effect"].set_index("finding")["mean"]
    for size, mean in table.assign(effect=expected).groupby("finding")["effect"].mean().items():
        assert effect[size] == pytest.approx(mean, abs=1e-5)
    assert {"mass in the cause", "its change", "size of the cause"} <= set(found["measure"])


def test_a_collection_whose_lesions_are_not_known_gives_empty_tables(chapter, untrained):
    unknown = replace(chapter, found={"cirrus": replace(chapter.bags("cirrus"), truth=None)},
                      run=replace(chapter.run, folder=chapter.run.folder / "unknown"))
    for measure in (located.slice_choice, located.localised, located.picked, located.picked_scales, located.agreement):
        assert measure(unknown, "mims", "cirrus").empty
    assert not any(case.get("twins") for case in viewing.cases(unknown, "mims", count=1))


def test_the_viewer_takes_what_it_is_given(chapter, untrained):
    cases = viewing.cases(chapter, "mims", count=2)
    assert [case["truth"].argmax() for case in cases] == [1, 0]
    for case in cases:
        assert case["image"].shape == (30, 64, 128) and case["scores"].shape == (30,) and len(case["marks"]) == 30
        assert bool(case.get("twins")) == bool(case["truth"][1])
    labels = located.mask(chapter, "cirrus", chapter.bags("cirrus").table["bag"].tolist().index(cases[0]["name"]))
    lines = cases[0]["contours"]["DME"]
    assert [bool(of) for of in lines] == labels.any(axis=(1, 2)).tolist()
    whole = np.concatenate([line for of in lines for line in of])
    assert whole.min() >= 0 and whole.max() <= 1
    twin = cases[0]["twins"]["DME"]
    assert ((twin["image"] != cases[0]["image"]).any(axis=(1, 2)) | ~labels.any(axis=(1, 2))).all()
    widget = explorer([Case(**case) for case in cases])
    assert len(widget.cases) == 2 and widget.methods == [*explained.LAYERS, explained.PICKED]
