"""The chest paper on the study layer: its settings, parts, exhibits and published figures."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from tiny_chest import FOURTEEN, IMAGE, NONIMAGE, TINY

from mdlib.data.phantoms import chest as phantom_chest
from mdlib.errors import DataError, SettingsError
from mdlib.evaluate import classification
from mdlib.files import read_json, write_json
from mdlib.papers import chest
from mdlib.papers.chest import annotations, exhibits, published, table1
from mdlib.runs import folder_of
from mdlib.study import results


def test_an_unmarked_setting_is_the_papers_number():
    paper = chest.PROFILES["paper"]
    assert (paper.resize, paper.crop, paper.learning_rate, paper.low_learning_rate, paper.momentum, paper.epochs,
            paper.few_epochs, paper.batch_size, paper.n_splits, paper.n_seeds, paper.pretrained, paper.subset) == (
        256, 224, 0.01, 0.001, 0.9, 8, 3, 16, 3, 1, True, True)


def test_table_2_to_the_last_weight():
    table = chest.weights()
    assert (table["weights"] == table["paper"]).all() and len(table) == 6


@pytest.mark.parametrize("profile, overrides, said", [
    ("papr", {}, "papr.*paper"), ("paper", {"exhibits": ["fig12"]}, "exhibits"), ("paper", {"n_splits": 0}, "n_splits"),
    ("paper", {"held_out": 0.9}, "held_out"), ("paper", {"networks": ["att_a"]}, "contains densenet121"),
    ("paper", {"low_learning_rate": 0.01}, "low_learning_rate"),
    ("embedded", {"split": "random"}, "split"), ("embedded", {"nets": ["att_a"]}, "nets"),
    ("paper", {"networks": ["vgg16"]}, "vgg16.*networks|networks.*att_a"), ("paper", {"n_seeds": 0}, "n_seeds"),
    ("paper", {"crop": 300}, "crop"), ("paper", {"validation": 2.0}, "validation"), ("paper", "epochs=3", "dict")])
def test_a_setting_that_makes_no_sense_is_named(profile, overrides, said):
    with pytest.raises(SettingsError, match=said):
        chest.PAPER.choose(profile, overrides)


def test_an_unknown_network_is_named():
    with pytest.raises(SettingsError, match=r"vgg16.*densenet121"):
        chest.network("vgg16", chest.PROFILES["embedded"])


def test_other_parameters_have_another_run_folder():
    folders = {folder_of("chest"), folder_of("chest", seed=1), folder_of("chest", "laptop"),
               folder_of("chest", data_dir="x"), folder_of("chest", overrides={"epochs": 3})}
    assert len(folders) == 5
    assert folder_of("chest", device="cuda") == folder_of("chest"), "the device is not part of the question"


def test_what_two_figures_need_is_trained_once(tiny_chest):
    assert exhibits.planned(Asked(chest.PROFILES["embedded"], [0], tiny_chest.data)) == [], "the book trains none"
    study = Asked(chest.PAPER.choose("embedded", chest.PAPER.grid), [0], tiny_chest.data)
    runs = exhibits.planned(study)
    assert len(runs) == len({run.slug for run in runs}) == 24
    assert sum(map(len, exhibits.RUNS.values())) == 40
    assert set(exhibits.RUNS["fig8"]) <= set(exhibits.RUNS["fig9"])
    grid = exhibits.planned(Asked(chest.PAPER.choose("embedded", {**chest.PAPER.grid, "n_splits": 3}), [0, 1, 2],
                                  tiny_chest.data))
    # of 20 trainings 12 depend on the split; of the 4 of Fig. 6 alone, which has one seed, 2
    assert len({run.slug for run in grid}) == 3 * (20 + 2 * 12) + (4 + 2 * 2)
    assert [run.seed for run in grid] == sorted(run.seed for run in grid), "the first seed is complete first"
    assert not [run for run in grid if run.part == "train_val" and run.fold]


class Asked:
    """What `exhibits` asks of a study."""

    def __init__(self, settings, seeds, data):
        self.settings, self.seeds, self.data = settings, seeds, data


def test_an_exhibit_of_fewer_networks_needs_fewer_trainings(tiny_chest):
    settings = chest.PAPER.choose("embedded", {"networks": ["densenet121"], "exhibits": ["fig9", "fig11"]})
    study = Asked(settings, [0], tiny_chest.data)
    assert {run.body for run in exhibits.planned(study)} == {"densenet121"}
    assert {run.body for run in exhibits.exhibit("fig6", study)} == {"densenet121"}
    assert {run.part for run in exhibits.exhibit("fig9", study, "test")} == {"train_val"}


def test_the_table_of_trainings_says_what_is_shared(tiny_chest):
    table = exhibits.overview(tiny_chest)
    assert table.loc["fig9", ["trainings", "new", "trained here"]].tolist() == [6, 2, "yes"]
    assert table.loc["repair", ["trainings", "new", "trained here"]].tolist() == [8, 4, "yes"]
    assert table.loc["fig8", ["trainings", "new", "trained here"]].tolist() == [1, 0, "no"]


def test_no_patient_is_in_two_parts(tiny_chest):
    data = tiny_chest.data
    parts = [set(data.table["patient"].iloc[rows]) for rows in data.parts.values()]
    assert not parts[0] & parts[1] and not parts[0] & parts[2] and not parts[1] & parts[2]
    assert sum(map(len, data.parts.values())) == len(data.table)
    held_out = set(data.table["patient"].iloc[data.rows("held_out")])
    assert not set(data.table["patient"].iloc[data.rows("grouped")]) & held_out
    with pytest.raises(SettingsError, match="no such part"):
        data.rows("tuning")


def test_labels_are_the_rows_of_the_table_in_the_order_of_the_samples(tiny_chest):
    labels, samples = tiny_chest.data.labels("test", chest.Run("att_a")), tiny_chest.samples("test")
    assert labels.index.tolist() == tiny_chest.data.table["image"].iloc[samples.rows].tolist()
    np.testing.assert_array_equal(labels[list(chest.CLASSES)], samples.batch(len(samples))["target"])


def test_moments_are_those_of_the_cropped_images(tiny_chest):
    mean, spread = tiny_chest.data.moments
    batch = tiny_chest.samples("test").batch(2)["image"].numpy()
    rows = tiny_chest.data.rows("test")[:2]
    np.testing.assert_allclose(mean[rows], batch.mean(axis=(1, 2, 3)), rtol=1e-5)
    np.testing.assert_allclose(spread[rows], batch.std(axis=(1, 2, 3)), rtol=1e-5)


def test_a_network_of_fourteen_classes_is_compared_on_the_same_fourteen(tiny_chest, trained_chest):
    predictions = trained_chest.predict([IMAGE, FOURTEEN], "val")
    assert predictions.names == list(chest.CLASSES[1:]) and set(predictions.scores) == {
        "densenet121, 15 classes", "densenet121, 14 classes"}
    baseline = chest.metadata_baseline(tiny_chest, "train", "val", predictions.names)
    whole = chest.metadata_baseline(tiny_chest, "train", "val")
    np.testing.assert_array_equal(baseline, whole[..., 1:])


@pytest.fixture(scope="module")
def invented(tiny_chest, tmp_path_factory):
    """A study whose trainings are all complete and whose predictions are random numbers: tables need no network."""
    study = chest.open(data_dir=str(tiny_chest.data.folder), run_dir=str(tmp_path_factory.mktemp("run")), device="cpu",
                       overrides=TINY)
    chance = np.random.default_rng(0)
    for run in study.planned:
        folder = study.run_folder(run)
        write_json(folder / "history.json", [])
        for part in exhibits.predicted_parts(run):
            images = study.data.labels(part, run).index
            table = pd.DataFrame(chance.random((len(images), 15)), images, chest.CLASSES)
            table.to_parquet(folder / f"predictions-{part}.parquet")
    return study


def test_every_auroc_has_the_metadata_baseline_beside_it_and_is_the_mean_over_seeds(invented):
    aurocs, differences = published.evaluate(invented, "fig9")
    for _, panel in aurocs.groupby("panel"):
        assert list(dict.fromkeys(panel["series"])) == ["metadata baseline", *TINY["networks"]]
    test = invented.predict([chest.Run("att_a", part="train_val", seed=seed) for seed in (0, 1)], "test")
    both = [classification.auroc(test.targets, score, test.names)["auroc"] for score in test.scores["att_a"]]
    shown = aurocs[(aurocs["panel"] == "Fig. 9b: test") & (aurocs["series"] == "att_a")].set_index("class")["auroc"]
    np.testing.assert_allclose(shown[list(chest.CLASSES)], sum(both) / 2, atol=1e-6)
    assert set(differences["comparison"]) == {"att_a − densenet121", "att_b − densenet121", *(
        f"{name} − metadata baseline" for name in TINY["networks"])}


def test_an_exhibit_that_is_not_trained_here_is_the_published_one_of_the_same_data_else_empty(tiny_chest):
    data = results.read("chest", "runs/embedded")["manifest"]["asked"]["data"]
    of_book = replace(tiny_chest, run=replace(tiny_chest.run, asked=tiny_chest.run.asked | {"data": data}))
    aurocs, differences = published.evaluate(of_book, "fig6")
    pd.testing.assert_frame_equal(aurocs, published.read("embedded", "aurocs", "fig6"))
    assert "verdict" in differences and not differences.empty and published.curves(of_book)
    aurocs, differences = published.evaluate(tiny_chest, "fig6")
    assert aurocs.empty and differences.empty and "auroc" in aurocs and "verdict" in differences
    assert published.curves(tiny_chest) == {}


def test_the_leak_compares_trainings_alike(tiny_chest):
    runs = list(exhibits.RUNS["leak"])
    assert published.compared_labels("leak", runs) == [("densenet121, leaky", "densenet121, grouped")]


def test_a_published_run_and_grid_are_read_as_they_were_computed(invented, tmp_path, monkeypatch):
    monkeypatch.setattr(results, "folder", lambda paper: tmp_path)
    monkeypatch.setattr(published, "map_measures", lambda study: {})
    results.write("chest", "runs/own", invented.run, published.publish(invented))
    aurocs, differences = published.evaluate(invented, "fig9")
    pd.testing.assert_frame_equal(published.read("own", "aurocs", "fig9"), aurocs, check_dtype=False)
    pd.testing.assert_frame_equal(published.read("own", "differences", "fig9"), differences, check_dtype=False)
    results.write("chest", "grid/own", invented.run, published.publish_grid(invented))
    of = published.grid_differences("own", ("fig9",)).set_index(["panel", "comparison"])
    row = of.loc[("Fig. 9b: test", "att_a − densenet121")]
    scores = invented.predict(exhibits.exhibit("fig9", invented, "test"), "test")
    mean = {name: [classification.auroc(scores.targets, score, scores.names)["auroc"].mean() for score in of_seeds]
            for name, of_seeds in scores.scores.items()}
    assert row["pairs"] == 2
    assert row["difference"] == pytest.approx(np.mean(np.subtract(mean["att_a"], mean["densenet121"])), abs=1e-3)


@pytest.mark.parametrize("known", [2, 0])
def test_maps_of_strong_and_weak_networks_are_measured_and_without_known_causes_nothing_is(trained_chest, monkeypatch,
                                                                                           known):
    few = annotations.pairs
    monkeypatch.setattr(annotations, "pairs", lambda study, _=1, *of: few(study, 1, *of).head(known))
    monkeypatch.setattr(type(trained_chest), "cached", lambda study, name, compute: compute())
    monkeypatch.setattr(published, "NETWORKS", ("densenet121",))
    monkeypatch.setattr(published, "WEAK", NONIMAGE)
    found = published.map_measures(trained_chest)
    assert list(found) == list(published.MAP_TABLES)
    if not known:
        assert all(table.empty for table in found.values())
        return
    methods = found["localisation"].groupby("network")["method"].agg(set)
    assert set(methods.index) == {"densenet121", "att_a_nonimage, epochs", "no image"}
    assert methods["densenet121"] - methods["att_a_nonimage, epochs"] == {
        "Grad-CAM norm5 as 4 × 4", "Grad-CAM norm5 as 2 × 2"}
    assert {"occlusion", "integrated gradients", "smoothed gradients", "HiResCAM norm5"} <= methods["densenet121"]
    assert set(found["counterfactuals"]["network"]) == set(methods.index) - {"no image"}
    assert set(found["faithfulness"]["network"]) == set(found["randomisation"]["network"]) == {"densenet121"}


def test_a_result_that_is_missing_or_of_another_version_is_named(tmp_path, monkeypatch):
    with pytest.raises(DataError, match=r"nothing_here\.json.*chestxray14_sample"):
        published.read("nothing_here", "aurocs", "fig9")
    monkeypatch.setattr(results, "folder", lambda paper: tmp_path)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs/old.json").write_text('{"manifest": {}, "aurocs": []}')
    with pytest.raises(DataError, match="another version"):
        published.read("old", "maps", "localisation")


def test_the_published_counts_of_table_1_are_the_papers():
    table = table1.published()
    assert (table["difference"] == 0).all() and len(table) == 6
    assert (table1.published_leaks()["shared patients"].iloc[-1]) == 0, "no patient of train_val is in test"


def test_another_collection_in_the_same_run_folder_is_refused(tiny_chest, tmp_path):
    phantom_chest.write(tmp_path / "others", patients=60, side=72, seed=1)
    with pytest.raises(SettingsError, match="another data"):
        chest.open(data_dir=str(tmp_path / "others"), run_dir=str(tiny_chest.folder), device="cpu", overrides=TINY)


def test_real_radiographs_go_the_same_way_as_phantoms(real_data, tmp_path):
    small = TINY | {"networks": ["densenet121"], "n_seeds": 1, "exhibits": ["fig8"]}
    study = chest.open(data_dir=str(real_data / "chestxray14"), run_dir=str(tmp_path), device="cpu", overrides=small)
    assert len(study.data.table) == 1273 and study.data.table["patient"].nunique() == 1013
    assert not study.data.is_phantom
    aurocs, _ = published.evaluate(study, "fig8")
    assert set(aurocs["series"]) == {"metadata baseline", "densenet121"}
    assert read_json(study.folder / "manifest.json")["steps"]["start"]["data_dir"] == "chestxray14"
