"""How attention is measured: of a network whose attention is the truth, of one that is the same everywhere, of ours."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from tiny_gated import ANCHORS, OURS, SE, THUMBNAIL, TISSUE, TRUTH

from mdlib.evaluate import coverage, localisation
from mdlib.models.instances import component_boxes
from mdlib.papers import gated
from mdlib.papers.gated import coverage_tables, published
from mdlib.papers.gated.coverage_tables import MEASURES, POINTED, attention, curve, located, measures
from mdlib.papers.gated.data import EDGES

EITHER = pytest.mark.parametrize("run", [OURS, TISSUE], ids=["fungi", "breast"])


@pytest.fixture
def given(tiny_gated, monkeypatch):
    """`given(run, maps)`: a training whose attention is these maps of the test pictures, its crops the true boxes."""
    def given(run, maps):
        boxes = tiny_gated.data.true_boxes(run)[tiny_gated.data.rows("test", run)]
        out = {"attention": maps, "boxes": boxes, "found": np.ones(boxes.shape[:2], bool)}
        monkeypatch.setattr(coverage_tables, "attention", lambda study, run, part: out)
        return replace(run, threshold="mean")
    return given


def truth(study, run, height: int = 96, width: int = 128) -> np.ndarray:
    """1 in the known boxes that decide the class of each test picture, 0 elsewhere, (N, height, width)."""
    rows, boxes = study.data.rows("test", run), study.data.boxes(run).query("decides")
    maps = np.zeros((len(rows), height, width))
    for place, row in enumerate(rows):
        for top, left, bottom, right in boxes.loc[boxes["row"] == row, list(EDGES)].to_numpy():
            maps[place, int(top * height):int(np.ceil(bottom * height)),
                 int(left * width):int(np.ceil(right * width))] = 1
    return maps


@EITHER
def test_attention_that_is_the_truth_covers_every_box(tiny_gated, given, run):
    table = measures(tiny_gated, [given(run, truth(tiny_gated, run))]).set_index("measure")
    assert table.index.tolist() == list(MEASURES)
    assert table.loc["covered", "value"] == 1, "and of the cells that a box only touches not all belong to it:"
    assert (table.loc[["pointing game", "rank accuracy"], "value"] > 0.9).all()
    assert table.loc["chance", "value"] < 0.7 < table.loc["mass accuracy", "value"]
    assert table.loc["covered minus chance", "value"] == pytest.approx(1 - table.loc["chance", "value"])
    assert table.loc["covered minus chance", "low"] > 0
    assert table.loc["mask area", "value"] == pytest.approx(table.loc["uniform", "value"], abs=0.08)
    boxes = tiny_gated.data.boxes(run).query("decides")
    boxes = boxes[boxes["row"].isin(tiny_gated.data.rows("test", run))]
    assert (table["boxes"] == len(boxes)).all() and (table["pictures"] == boxes["row"].nunique()).all()
    if boxes.groupby("row").size().max() <= 4:
        assert table.loc["centre in crop", "value"] == 1


@EITHER
def test_attention_that_is_the_same_everywhere_covers_nothing_beyond_chance(tiny_gated, given, run):
    count = len(tiny_gated.data.rows("test", run))
    table = measures(tiny_gated, [given(run, np.full((count, 6, 8), 0.25))]).set_index("measure")["value"]
    assert (table[["covered", "chance", "covered minus chance", "mask area"]] == 0).all()
    assert table[list(POINTED)].tolist() == pytest.approx([table["uniform"]] * 3)


def test_attention_anywhere_covers_what_chance_does(tiny_gated, given):
    """Lit at a random place of each picture, twenty times."""
    chance, count = np.random.default_rng(0), len(tiny_gated.data.rows("test", OURS))
    values = []
    for _ in range(20):
        maps = np.zeros((count, 24, 32))
        maps[:, :10, :12] = 1
        maps = np.stack([np.roll(one, (chance.integers(24), chance.integers(32)), (0, 1)) for one in maps])
        values.append(measures(tiny_gated, [given(OURS, maps)]).set_index("measure")["value"])
    mean = pd.concat(values, axis=1).mean(axis=1)
    assert abs(mean["covered minus chance"]) < 0.04 < mean["covered"]


def test_values_are_means_over_seeds_and_boxes_of_those_of_the_libraries(trained_gated, monkeypatch):
    one, other = located(trained_gated, OURS), located(trained_gated, SE)
    monkeypatch.setattr(coverage_tables, "located", lambda study, run, part: {OURS: one, SE: other}[run])
    table = measures(trained_gated, [OURS, SE]).set_index("measure")
    assert (table["seeds"] == 2).all()
    each = [coverage.measures(of.masks, of.crops, of.known, of.images, of.found, seed=0) for of in (one, other)]
    for name in each[0]:
        assert table.loc[name, "value"] == pytest.approx(np.mean([values[name].mean() for values in each]))
    inside = coverage.pixels_in_boxes(one.known, one.images, one.maps.shape)
    pointed = [localisation.measures(of.maps, inside, POINTED)[list(POINTED)].mean() for of in (one, other)]
    np.testing.assert_allclose(table.loc[list(POINTED), "value"], np.mean(pointed, axis=0))
    assert table.loc["uniform", "value"] == pytest.approx(inside.mean())


@pytest.mark.parametrize("run", [OURS, SE, ANCHORS, TRUTH, TISSUE], ids=lambda run: run.slug)
def test_attention_is_what_the_network_gives(trained_gated, run):
    model, samples = trained_gated.model(run), trained_gated.samples("test", run)
    with torch.inference_mode():
        out = model(**gated.inputs(samples.batch(len(samples)), model))
    found = attention(trained_gated, run)
    assert found.keys() == out.keys() - {"logits", "global_logits"} and found["found"].dtype == bool
    for name, values in found.items():
        np.testing.assert_allclose(values, out[name], atol=1e-5)


def test_a_network_that_cuts_nothing_has_the_boxes_that_it_would_cut(trained_gated):
    found = attention(trained_gated, THUMBNAIL)
    sizes = torch.from_numpy(trained_gated.data.sizes(THUMBNAIL)[trained_gated.data.rows("test", THUMBNAIL)])
    boxes = component_boxes(torch.from_numpy(found["attention"]), sizes, 4, threshold="quantile")
    np.testing.assert_allclose(found["boxes"], boxes.boxes, atol=1e-6)
    assert found["found"].tolist() == boxes.found.tolist() and found["found"][:, 0].all()


@EITHER
def test_the_location_prior_is_where_the_boxes_of_training_pictures_are_most_frequent(trained_gated, run):
    one, data = located(trained_gated, run), trained_gated.data
    rows = data.rows("train", run)
    boxes = data.boxes(run)[lambda table: table["decides"] & table["row"].isin(rows)]
    for i, j in ((0, 0), (one.prior.shape[0] // 2, one.prior.shape[1] // 2), (one.prior.shape[0] - 1, 3)):
        y, x = (i + 0.5) / one.prior.shape[0], (j + 0.5) / one.prior.shape[1]
        there = (boxes["top"] <= y) & (y < boxes["bottom"]) & (boxes["left"] <= x) & (x < boxes["right"])
        assert one.prior[i, j] == pytest.approx(boxes["row"][there].nunique() / len(rows))
    table = measures(trained_gated, [run]).set_index("measure")["value"]
    mask = coverage.highest(one.prior[None], table["mask area"])
    by_prior = coverage.covered(mask.repeat(len(one.maps), axis=0), one.known, one.images)
    assert table["location prior"] == pytest.approx(by_prior.mean())
    assert table["covered minus location prior"] == pytest.approx(table["covered"] - table["location prior"])


@EITHER
def test_other_boxes_are_those_that_do_not_decide(trained_gated, run):
    one, rows = located(trained_gated, run), trained_gated.data.rows("test", run)
    boxes = trained_gated.data.boxes(run).query("not decides and row in @rows")
    hits = [coverage.covered(one.masks, box[list(EDGES)].to_numpy(float)[None], np.flatnonzero(rows == box["row"]))
            for _, box in boxes.iterrows()]
    table = measures(trained_gated, [run]).set_index("measure")["value"]
    assert len(boxes) and table["other boxes covered"] == pytest.approx(np.mean(hits))
    by_chance = coverage.chance(one.masks, boxes[list(EDGES)].to_numpy(), pd.Index(rows).get_indexer(boxes["row"]))
    assert table["other boxes by chance"] == pytest.approx(by_chance.mean())


def test_known_boxes_belong_to_their_pictures(trained_gated):
    one, data = located(trained_gated, TISSUE), trained_gated.data
    rows, bags = data.rows("test", TISSUE), data.of(TISSUE).table
    assert len(one.maps) == len(one.masks) == len(one.crops) == len(rows) and set(one.images) <= set(range(len(rows)))
    assert one.patients.tolist() == bags["patient"].iloc[rows[one.images]].tolist()
    boxes = data.boxes(TISSUE).query("decides")
    for place, row in enumerate(rows):
        np.testing.assert_array_equal(one.known[one.images == place], boxes.loc[boxes["row"] == row, list(EDGES)])


@EITHER
def test_the_curve_of_the_truth_rises_to_all_boxes_and_stands_beside_chance_and_the_paper(tiny_gated, given, run):
    soft = np.random.default_rng(0).uniform(0, 0.1, (len(tiny_gated.data.rows("test", run)), 96, 128))
    table = curve(tiny_gated, given(run, truth(tiny_gated, run) + soft))
    value = table.pivot(index="mask area", columns="series", values="value")
    assert list(value) == ["chance", "covered", "location prior", "the paper"] and (value["the paper"] == 0.72).all()
    np.testing.assert_allclose(value.index, coverage.LEVELS, atol=0.01)
    assert value["covered"].iloc[-1] == 1 and (value["covered"] >= value["chance"]).all()
    assert value["covered"].is_monotonic_increasing
    assert (table["low"] <= table["value"]).all() and (table["value"] <= table["high"]).all()


def test_coverage_is_measured_of_every_network_that_has_attention(trained_gated):
    table = published.coverage(trained_gated, "table1")
    assert list(dict.fromkeys(table["label"])) == ["gated attention", "thumbnail alone", "NTS network"]
    assert list(table) == list(published.COLUMNS["coverage"]) and set(table["measure"]) == set(MEASURES)
    expected = measures(trained_gated, [OURS])
    pd.testing.assert_frame_equal(table[table["label"] == "gated attention"][list(expected)].reset_index(drop=True),
                                  expected)
