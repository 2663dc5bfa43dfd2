"""What the gated chapter measures of its trainings: against loops, on predictions that are invented, and published."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score
from tiny_gated import ANCHORS, OURS, THUMBNAIL, TINY, TISSUE, TRUTH, WHOLE, write_own

from mdlib.errors import DataError, SettingsError
from mdlib.evaluate import multiclass
from mdlib.files import write_json
from mdlib.papers import gated
from mdlib.papers.gated import coverage_tables, exhibits, published
from mdlib.papers.gated.exhibits import REFERENCE
from mdlib.papers.gated.published import COLOUR
from mdlib.study import results, tables

OPTIONS = {"n_bootstrap": 50, "seed": 0}


def naive(scores: np.ndarray, true: np.ndarray) -> dict[str, float]:
    """The measures of one training: scores (N, K), the true class of each row."""
    guess, classes = scores.argmax(axis=1), range(scores.shape[1])
    hits = [int(a == b) for a, b in zip(guess, true, strict=True)]
    recalls = [np.mean([hit for hit, k in zip(hits, true, strict=True) if k == own]) for own in classes if own in true]
    aurocs = [roc_auc_score(true == own, scores[:, own]) for own in classes if own in true]
    return dict(zip(multiclass.MEASURES, map(np.mean, (hits, recalls, aurocs)), strict=True))


@pytest.mark.parametrize("absent", [None, 2])
def test_measures_are_the_means_over_trainings_of_naive_ones(absent):
    chance = np.random.default_rng(0)
    scores, true = chance.dirichlet(np.ones(4), (3, 40)), chance.integers(0, 4, 40)
    true[true == absent] = 0
    scores[:, np.arange(40), true] += 0.2
    table = multiclass.measures(scores, np.eye(4)[true], np.arange(40) // 2, **OPTIONS).set_index("measure")
    expected = pd.DataFrame([naive(one, true) for one in scores]).mean()
    np.testing.assert_allclose(table["value"][expected.index], expected, atol=1e-6)
    assert (table["low"] < table["value"]).all() and (table["value"] < table["high"]).all()


def test_one_picture_per_patient_resampled_gives_the_interval_of_a_binomial():
    scores, true = np.zeros((1, 400, 2)), np.arange(400) % 2
    scores[0, :, 0] = np.arange(400) < 320        # right of the first class 160 of 200, of the second 40
    low, high = multiclass.measures(scores, np.eye(2)[true], np.arange(400), n_bootstrap=2000, seed=0).loc[
        0, ["low", "high"]]
    half = 1.96 * (0.5 * 0.5 / 400) ** 0.5
    assert (low, high) == pytest.approx((0.5 - half, 0.5 + half), abs=0.008)


@pytest.fixture(scope="module")
def invented(tiny_gated, tmp_path_factory):
    """A study of two seeds whose trainings are complete and whose predictions are random numbers."""
    study = gated.open(data_dir=str(tiny_gated.data.folder), run_dir=str(tmp_path_factory.mktemp("run")), device="cpu",
                       cache_dir=str(tiny_gated.data.cache_dir),
                       overrides=TINY | {"exhibits": ["table1", "leak", "table3"], "n_seeds": 2})
    chance = np.random.default_rng(0)
    for run in study.planned:
        labels, classes = study.data.labels("test", run), list(study.data.classes(run))
        write_json(study.run_folder(run) / "history.json", [])
        pd.DataFrame(chance.dirichlet(np.ones(len(classes)), len(labels)), labels.index, classes).to_parquet(
            study.run_folder(run) / "predictions-test.parquet")
    return study


def right_of(study, runs) -> np.ndarray:
    """Whether each training is right about each test picture, (S, N)."""
    of = study.predict(runs)
    return np.array([of.tables[run].to_numpy().argmax(axis=1) == of.targets.argmax(axis=1) for run in runs])


def test_every_training_of_an_exhibit_is_measured_and_compared_with_the_reference(invented):
    table = published.evaluate(invented, "table1")
    assert list(table) == list(published.COLUMNS["evaluation"])
    assert list(dict.fromkeys(table["label"])) == [*exhibits.RUNS["table1"], COLOUR]
    assert ((table["seeds"] == 2) == (table["label"] != COLOUR)).all()
    assert (table["pictures"] == len(invented.data.rows("test", OURS))).all()
    assert (table["patients"] == 5).all() and set(table["collection"]) == {"fungi"}
    value = table.set_index(["label", "measure"])["value"]
    right = {label: right_of(invented, runs) for label, runs in exhibits.exhibit("table1", invented).items()}
    for label in right:
        assert value[label, "accuracy"] == pytest.approx(right[label].mean())
        if label == REFERENCE:
            assert (label, published.DIFFERENCE) not in value.index
        else:
            assert value[label, published.DIFFERENCE] == pytest.approx(right[label].mean() - right[REFERENCE].mean())
    blind = published.colour_baseline(invented, replace(OURS, colour=True))
    expected = naive(blind, invented.data.of(OURS).targets[invented.data.rows("test", OURS)])
    assert value[COLOUR].to_dict() == pytest.approx(expected)


def test_trainings_that_are_tested_on_other_pictures_are_not_compared(invented):
    table = published.evaluate(invented, "leak")
    compared = table["label"][table["measure"] == published.DIFFERENCE].tolist()
    assert compared == ["in colour"] and set(table["label"]) == set(exhibits.RUNS["leak"])


def test_where_the_reference_is_not_trained_nothing_is_compared(invented):
    table = published.evaluate(invented, "table3")
    assert set(table["measure"]) == set(multiclass.MEASURES) and set(table["collection"]) == {"breast"}
    assert published.with_verdicts(table).empty


def test_the_papers_numbers_stand_beside_ours_and_what_is_not_rebuilt_says_so(invented):
    table = published.evaluate(invented, "table1")
    shown = published.beside_paper(table, "table1")
    value = table[table["measure"] == "accuracy"].set_index("label")
    for label in shown.index:
        printed = exhibits.ACCURACY["table1"].get(label)
        assert shown.loc[label, "paper, 538 pictures"].startswith(f"{printed:.3f} (" if printed else "–")
        own = value.loc[label, ["value", "low", "high"]] if label in value.index else None
        assert shown.loc[label, "here"] == ("not rebuilt" if own is None else tables.with_interval(*own, digits=3))
    not_rebuilt = shown.index[shown["here"] == "not rebuilt"].tolist()
    assert not_rebuilt == ["residual attention", "attend & rectify", "trilinear attention"]
    breast = published.beside_paper(table.iloc[:0], "table3")
    assert len(breast) == 12 and (breast["here"] == "not trained").sum() == 6      # five of torchvision, and ours
    assert set(breast["here"]) == {"not trained", "not rebuilt"}


def test_differences_have_a_verdict():
    table = pd.DataFrame({"label": ["a", "b", "c"], "measure": published.DIFFERENCE, "value": [0.2, -0.2, 0.0],
                          "low": [0.1, -0.3, -0.1], "high": [0.3, -0.1, 0.1], "seeds": 3})
    assert published.with_verdicts(table)["verdict"].to_dict() == {"a": "higher", "b": "lower", "c": "undecided"}


PUBLISHED = {"evaluation": {"table2": [{"label": REFERENCE, "measure": "accuracy", "value": 0.9}]}, "coverage": {}}
OTHERS = {"phantoms that are drawn otherwise": ("fingerprint", lambda self: {"fungi": "another"}),
          "real pictures": ("is_phantom", lambda self, run: False)}


@pytest.mark.parametrize("others", OTHERS)
def test_what_is_not_trained_here_is_published_for_these_phantoms_and_empty_for_other_pictures(
        tiny_gated, tmp_path, monkeypatch, others):
    monkeypatch.setattr(results, "folder", lambda paper: tmp_path)
    for name in ("embedded", "bccd"):
        write_json(tmp_path / f"grid/{name}.json", {**PUBLISHED, "manifest": tiny_gated.run.manifest})
    assert published.evaluate(tiny_gated, "table2")["value"].tolist() == [0.9]
    assert published.coverage(tiny_gated, "table2").empty and published.evaluate(tiny_gated, "bccd").empty
    with pytest.raises(DataError, match="another version"):
        published.read("fig1", "fungi")
    monkeypatch.setattr(type(tiny_gated.data), *OTHERS[others])
    tiny_gated = replace(tiny_gated, run=replace(tiny_gated.run, asked=tiny_gated.run.asked | {
        "data": tiny_gated.data.fingerprint()}))
    for part, of in (("evaluation", published.evaluate), ("coverage", published.coverage)):
        table = of(tiny_gated, "table2")
        assert table.empty and list(table) == list(published.COLUMNS[part])
        assert published.with_verdicts(table).empty and tables.wide(table, "label", "measure", "value").empty
    assert (published.beside_paper(table, "table2")["here"] == "not trained").all()


def test_what_is_published_is_read_as_it_was_computed_and_names_no_picture(trained_gated, tmp_path, monkeypatch):
    monkeypatch.setattr(results, "folder", lambda paper: tmp_path)
    path = results.write("gated", "grid/embedded", trained_gated.run, published.publish(trained_gated))
    again = json.loads(path.read_text())
    assert {"manifest", "parts", "fig1", "evaluation", "coverage"} == again.keys()
    for part, of in (("evaluation", published.evaluate), ("coverage", published.coverage)):
        pd.testing.assert_frame_equal(published.read(part, "table1"), of(trained_gated, "table1").round(4),
                                      check_dtype=False)
        assert list(again[part]) == ["table1"]
    for name in trained_gated.data.names:
        pd.testing.assert_frame_equal(published.read("fig1", name), published.fig1(trained_gated, name).round(4),
                                      check_dtype=False)
        for bag in trained_gated.data.of(gated.Run("gated", collection=name)).table["bag"]:
            assert bag not in path.read_text()
    assert published.read("coverage", "breast").empty


def test_of_a_collection_without_known_instances_no_coverage_is_measured(tmp_path):
    study = gated.open(data_dir=str(write_own(tmp_path / "own")), run_dir=str(tmp_path / "run"), device="cpu",
                       overrides=TINY)
    assert published.coverage(study, "table1").empty and published.coverage(study, "breast").empty
    assert published.fig1(study, "fungi").empty and published.evaluate(study, "breast").empty
    with pytest.raises(SettingsError, match="collection fungi: nothing is known of the instances"):
        coverage_tables.located(study, OURS)


def test_parts_and_fig_1_are_counts_of_the_collections(tiny_gated):
    data, parts = tiny_gated.data, pd.DataFrame(published.parts(tiny_gated)).set_index(["collection", "part"])
    for run in (OURS, TISSUE):
        for part in ("train", "test"):
            rows = data.of(run).table.iloc[data.rows(part, run)]
            assert parts.loc[(run.collection, part)].tolist() == [len(rows), rows["patient"].nunique()]
        table = published.fig1(tiny_gated, run.collection).set_index("measure")
        each = [own for _, own in data.boxes(run).query("decides").groupby("row")]
        areas = [((own["bottom"] - own["top"]) * (own["right"] - own["left"])).tolist() for own in each]
        for measure, values in (("instances", list(map(len, areas))), ("largest", list(map(max, areas))),
                                ("together", list(map(sum, areas)))):
            found = table.loc[measure, ["value", "low", "high"]].tolist()
            assert found == pytest.approx([np.median(values), min(values), max(values)])
        assert (table["pictures"] == len(each)).all()


class TestBaseline:
    def test_it_sees_colour_and_no_shape(self, tiny_gated, monkeypatch):
        """Pictures of one colour per class are told apart; shuffled pixels change nothing."""
        chance = np.random.default_rng(0)
        targets = tiny_gated.data.of(TISSUE).targets
        colours = np.array([(90, 0, 0), (0, 90, 0), (0, 0, 90), (90, 90, 0)])
        noise = chance.integers(0, 160, (len(targets), 48, 64, 3))
        pixels = (noise + colours[targets][:, None, None]).astype(np.uint8)
        shuffled = chance.permuted(pixels.reshape(len(targets), -1, 3), axis=1).reshape(pixels.shape)
        found = []
        for own in (pixels, noise.astype(np.uint8), shuffled):
            monkeypatch.setattr(type(tiny_gated.data), "thumbnails", lambda self, run, own=own: own)
            found.append(published.colour_baseline(tiny_gated, TISSUE))
        true = targets[tiny_gated.data.rows("test", TISSUE)]
        assert (found[0].argmax(axis=1) == true).all() and (found[1].argmax(axis=1) == true).mean() < 0.9
        np.testing.assert_allclose(found[2], found[0], atol=1e-6)
        np.testing.assert_allclose(found[0].sum(axis=1), 1)

    def test_of_grey_pictures_it_sees_two_numbers(self, tiny_gated):
        found = published.colour_baseline(tiny_gated, OURS)
        assert found.shape == (len(tiny_gated.data.rows("test", OURS)), 5)
        np.testing.assert_allclose(found.sum(axis=1), 1)

    @pytest.mark.parametrize("run", [OURS, THUMBNAIL, TRUTH, WHOLE, ANCHORS, TISSUE], ids=lambda run: run.slug)
    def test_a_card_has_it_beside_each_measure(self, trained_gated, run):
        table = published.metrics(trained_gated, run)
        assert table["measure"].tolist() == list(multiclass.MEASURES)
        of = trained_gated.predict([run])
        true = of.targets.argmax(axis=1)
        expected = naive(of.tables[run].to_numpy(), true)
        np.testing.assert_allclose(table["value"], list(expected.values()), atol=1e-6)
        blind = naive(published.colour_baseline(trained_gated, run), true)
        np.testing.assert_allclose(table["baseline"], list(blind.values()), atol=1e-6)
