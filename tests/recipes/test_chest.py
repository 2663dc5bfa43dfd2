"""Chapter 1 joined together, on a few tiny phantoms: what is trained once is kept, and what is kept is right."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch
from tiny_chest import TINY

from mdlib.data.phantoms import chest as phantom_chest
from mdlib.errors import DataError, SettingsError
from mdlib.evaluate import classification
from mdlib.recipes import chest
from mdlib.recipes.chest.plan import EXHIBITS, Training, plan


def test_an_unmarked_setting_is_the_papers_number():
    paper = chest.PROFILES["paper"]
    assert (paper.resize, paper.crop, paper.learning_rate, paper.slow_rate, paper.momentum, paper.epochs,
            paper.few_epochs, paper.batch, paper.splits, paper.seeds, paper.pretrained, paper.subset) == (
        256, 224, 0.01, 0.001, 0.9, 8, 3, 16, 3, 1, True, True)


def test_table_2_to_the_last_weight():
    table = chest.weights()
    assert (table["weights"] == table["paper"]).all() and len(table) == 6


@pytest.mark.parametrize("profile, overrides, said", [
    ("papr", {}, "papr.*paper"), ("paper", {"exhibits": ["fig12"]}, "exhibits"), ("paper", {"splits": 0}, "splits"),
    ("paper", {"held_out": 0.9}, "held_out"), ("paper", {"networks": ["att_a"]}, "densenet121 among them"),
    ("paper", {"slow_rate": 0.01}, "slow_rate"),
    ("embedded", {"split": "random"}, "split"), ("embedded", {"nets": ["att_a"]}, "nets"),
    ("paper", {"networks": ["vgg16"]}, "vgg16.*networks|networks.*att_a"), ("paper", {"seeds": 0}, "seeds"),
    ("paper", {"crop": 300}, "crop"), ("paper", {"validation": 2.0}, "validation"), ("paper", "epochs=3", "dict")])
def test_a_setting_that_makes_no_sense_is_named(profile, overrides, said):
    with pytest.raises(SettingsError, match=said):
        chest.choose(profile, overrides)


def test_an_unknown_network_is_named():
    with pytest.raises(SettingsError, match=r"vgg16.*densenet121"):
        chest.network("vgg16", chest.PROFILES["embedded"])


def test_other_parameters_have_another_run_folder():
    folders = {chest.run_folder(), chest.run_folder(seed=1), chest.run_folder("laptop"), chest.run_folder(data_dir="x"),
               chest.run_folder(overrides={"epochs": 3})}
    assert len(folders) == 5
    assert chest.run_folder(device="cuda") == chest.run_folder(), "the device is not part of the question"


def test_what_two_figures_need_is_trained_once():
    networks = ("resnet50", "densenet121", "att_a", "att_b")
    trainings = plan(tuple(EXHIBITS), networks, 1, [0])
    assert len(trainings) == len(set(trainings)) == len({training.slug for training in trainings}) == 28
    assert sum(map(len, EXHIBITS.values())) == 38
    assert set(EXHIBITS["fig8"]) <= set(EXHIBITS["fig9"])
    grid = plan(tuple(EXHIBITS), networks, 3, [0, 1, 2])
    assert len({training.slug for training in grid}) == 3 * (28 + 2 * 16)    # 16 trainings depend on the split
    assert not [training for training in grid if training.part == "train_val" and training.split]


def test_an_exhibit_of_fewer_networks_needs_fewer_trainings():
    assert {training.body for training in plan(tuple(EXHIBITS), ("att_a",), 1, [0])} == {"att_a"}


def test_no_patient_is_in_two_parts(tiny):
    parts = [set(tiny.table["patient"].iloc[rows]) for rows in tiny.rows.values()]
    assert not parts[0] & parts[1] and not parts[0] & parts[2] and not parts[1] & parts[2]
    assert sum(map(len, tiny.rows.values())) == len(tiny.table)


def test_trainings_are_the_same_side_by_side_and_alone_and_are_kept(tiny, tmp_path):
    histories = chest.train_all(tiny)
    assert set(histories) == {
        *(Training(name, part, seed=seed) for name in TINY["networks"] for part in ("train", "train_val")
          for seed in (0, 1)),
        *(Training(name, "train_val", normalise="sigmoid", seed=seed) for name in ("att_a", "att_b")
          for seed in (0, 1))}
    assert chest.train_all(tiny) == histories
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        alone = chest.start(data_dir=str(tiny.xrays.data_dir), run_dir=str(tmp_path), device="cpu", overrides=TINY)
        assert chest.train(alone, Training("att_b", seed=1))[1] == histories[Training("att_b", seed=1)]
    finally:
        torch.set_num_threads(threads)


def test_a_training_predicts_the_parts_it_has_not_seen(tiny):
    for training, parts in ((Training("att_a", seed=1), ("val", "test")), (Training("att_a", "train_val"), ("test",))):
        table = chest.predictions(tiny, training)
        probabilities = table[list(tiny.classes)].to_numpy()
        assert ((probabilities > 0) & (probabilities < 1)).all()
        assert table["part"].drop_duplicates().tolist() == list(parts)
        for part in parts:
            images = tiny.table["image"].iloc[tiny.part(part)].tolist()
            assert table.loc[table["part"] == part, "image"].tolist() == images


def test_a_finished_training_is_not_done_again_and_a_lost_prediction_comes_from_its_checkpoint(tiny):
    training = Training("densenet121", "train_val")
    before, place = chest.predictions(tiny, training), chest.trainings.folder(tiny, training)
    stamp = (place / "checkpoint.pt").stat().st_mtime_ns
    (place / "history.json").unlink()
    pd.testing.assert_frame_equal(chest.predictions(tiny, training), before)
    assert (place / "checkpoint.pt").stat().st_mtime_ns == stamp


def test_every_auroc_has_the_five_numbers_beside_it(tiny):
    table = chest.results.aurocs(tiny, "fig9")
    for _, panel in table.groupby("panel"):
        assert list(dict.fromkeys(panel["series"])) == ["five numbers", *TINY["networks"]]
    defined = table.dropna()
    assert ((defined["low"] <= defined["high"]) & defined["auroc"].between(0, 1)).all()
    pd.testing.assert_frame_equal(table, chest.results.aurocs(tiny, "fig9"))


def test_figures_on_the_test_part_are_of_networks_fitted_to_train_and_val(tiny):
    table = chest.results.aurocs(tiny, "fig9")
    shown = table[(table["panel"] == "Fig. 9b: test") & (table["series"] == "att_a")].set_index("class")["auroc"]
    truth = tiny.targets[tiny.rows["test"]]
    both = [classification.auroc(truth, table.loc[table["part"] == "test", list(tiny.classes)].to_numpy(),
                                 tiny.classes)["auroc"]
            for table in (chest.predictions(tiny, Training("att_a", "train_val", seed=seed)) for seed in (0, 1))]
    np.testing.assert_allclose(shown[list(tiny.classes)], sum(both) / 2, atol=1e-6)


def test_fourteen_and_fifteen_classes_are_compared_on_the_same_fourteen(tiny, tmp_path):
    settings = TINY | {"exhibits": ["fig6", "fig8", "leak"], "networks": ["densenet121"], "few_epochs": 1,
                       "leak_epochs": 2, "seeds": 1}
    chapter = chest.start(data_dir=str(tiny.xrays.data_dir), run_dir=str(tmp_path), device="cpu", overrides=settings)
    table = chest.results.aurocs(chapter, "fig6")
    assert set(table["series"]) == {"five numbers", "densenet121, 15 classes", "densenet121, 14 classes"}
    assert "No Finding" not in set(table["class"])
    assert len(chest.results.differences(chapter, "fig6")) == 2
    assert chest.predictions(chapter, Training("densenet121", classes=14, rate="slow_rate", epochs="few_epochs")
                             ).columns.tolist() == ["part", "image", *chapter.classes[1:]]
    held_out = chapter.table["patient"].iloc[chapter.part("held_out")]
    assert not set(chapter.table["patient"].iloc[chapter.part("grouped")]) & set(held_out)
    assert chest.results.differences(chapter, "leak").index.get_level_values("comparison").tolist() == [
        f"densenet121, leaky, {epochs} epochs − densenet121, grouped, {epochs} epochs" for epochs in (1, 2)]
    assert "leaky" in chest.results.words(chapter, "leak").data
    assert chest.results.differences(chapter, "fig8").empty, "one network alone is compared with nothing"
    assert chest.results.words(chapter, "fig7").data.startswith("fig7 is not among the `exhibits`")
    assert chest.results.words(chapter, "repair").data == chest.trainings.left_out(chapter, "repair")
    assert len(chest.results.figure(chapter, "fig6").axes) == 2
    assert chest.exhibits.curves(chapter).startswith("None of the exhibits")


def test_the_grid_compares_trainings_of_the_same_split_and_seed(tiny, tmp_path):
    settings = TINY | {"networks": ["densenet121", "att_a"], "splits": 2}
    chapter = chest.start(data_dir=str(tiny.xrays.data_dir), run_dir=str(tmp_path), device="cpu", overrides=settings)
    table = chest.grid.aurocs(chapter)
    summary = chest.grid.summary(table, chapter.settings).loc[("Fig. 9a: validation", "att_a − densenet121")]
    names = list(chapter.classes)
    val = table[(table["predicted"] == "val") & (table["part"] == "train")].set_index(["network", "split", "seed"])
    each = [val.loc[("att_a", split, seed), names].astype(float).sub(
        val.loc[("densenet121", split, seed), names].astype(float)).mean() for split in (0, 1) for seed in (0, 1)]
    assert summary["mean"] == pytest.approx(np.mean(each), abs=1e-3)
    assert summary["above 0"] == f"{sum(value > 0 for value in each)} of 4"


def test_what_is_kept_of_a_run_and_of_a_grid_is_what_the_pages_show(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(chest.kept.keeping, "folder", lambda chapter: tmp_path)
    monkeypatch.setattr(chest.kept.measured, "summary", lambda chapter: {})
    assert chest.kept.keep(tiny, "own") == tmp_path / "runs/own.json"
    pd.testing.assert_frame_equal(chest.kept.aurocs("own", "fig9"), chest.results.aurocs(tiny, "fig9"))
    own = chest.results.differences(tiny, "fig9")
    pd.testing.assert_frame_equal(chest.kept.differences("own", "fig9"), own)
    assert own["in words"].iloc[0] in chest.results.words(tiny, "fig9").data
    assert chest.results.means(chest.kept.aurocs("own", "fig9")).index[0] == "five numbers"
    assert chest.kept.keep_grid(tiny, "own") == tmp_path / "grid/own.json"
    pd.testing.assert_frame_equal(chest.kept.grid_summary("own"),
                                  chest.grid.summary(chest.grid.aurocs(tiny), tiny.settings))


def test_a_result_of_another_version_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(chest.kept.keeping, "folder", lambda chapter: tmp_path)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs/old.json").write_text('{"manifest": {}, "aurocs": []}')
    with pytest.raises(DataError, match="another version"):
        chest.kept.aurocs("old", "fig9")


def test_the_table_of_trainings_says_what_is_shared(tiny):
    table = chest.exhibits.trainings(tiny)
    assert table.loc["fig9", ["trainings", "new"]].tolist() == [12, 12]
    assert table.loc["repair", ["trainings", "new"]].tolist() == [8, 4]
    assert len(chest.exhibits.curves(tiny).axes) == 3


def test_moments_are_those_of_the_cropped_pictures(tiny):
    mean, spread = tiny.moments
    batch = tiny.samples("test").__getitems__([0, 1])["image"].numpy()
    rows = tiny.rows["test"][:2]
    np.testing.assert_allclose(mean[rows], batch.mean(axis=(1, 2, 3)), rtol=1e-5)
    np.testing.assert_allclose(spread[rows], batch.std(axis=(1, 2, 3)), rtol=1e-5)


def test_norm5_of_the_attention_networks_carries_no_signal(tiny):
    shares = chest.viewing.signal(tiny)
    assert chest.exhibits.check_signal(tiny, shares).startswith("As eq. 4")


def test_cases_show_the_causes_where_they_are(tiny):
    cases = chest.viewing.cases(tiny, "att_a", count=3)
    assert len(cases) == 3
    for case in cases:
        assert case["image"].dtype == np.uint8 and case["image"].shape[0] == case["image"].shape[1]
        attention = case["maps"]["attention 1"]
        assert attention.shape == (1, 8, 8) and np.isclose(attention.mean(), 1, atol=1e-4)
        assert case["maps"]["Grad-CAM norm5"].shape == (15, 2, 2) and not case["signal"]["Grad-CAM norm5"].any()
        found = {name for name, value in zip(case["classes"], case["truth"], strict=True) if value == 1}
        assert set(case["contours"]) == found - {"No Finding"}


def test_another_collection_in_the_same_run_folder_is_refused(tiny, tmp_path):
    phantom_chest.write(tmp_path / "others", patients=60, side=72, seed=1)
    with pytest.raises(SettingsError, match="another data"):
        chest.start(data_dir=str(tmp_path / "others"), run_dir=str(tiny.run.folder), device="cpu", overrides=TINY)


def test_a_result_that_is_not_kept_is_named_and_the_kept_ones_listed():
    with pytest.raises(DataError, match=r"nothing_here\.json.*Kept: chestxray14_sample"):
        chest.kept.kept("nothing_here")


def test_a_chapter_goes_to_other_processes_without_its_pixels(tiny):
    assert tiny.pixels is not None
    assert "pixels" not in dataclasses.replace(tiny).__dict__


def test_real_radiographs_go_the_same_way_as_phantoms(real_data, tmp_path):
    small = TINY | {"networks": ["densenet121"], "seeds": 1}
    chapter = chest.start(data_dir=str(real_data / "chestxray14"), run_dir=str(tmp_path), device="cpu", overrides=small)
    assert len(chapter.table) == 1273 and chapter.table["patient"].nunique() == 1013
    table = chest.results.aurocs(chapter, "fig9")
    assert {"five numbers", "densenet121"} == set(table["series"])
    assert chest.clinic.performance(chapter, "densenet121")["sensitivity"].notna().any()
    boxed = [case for case in chest.viewing.cases(chapter, "densenet121", count=40) if case["contours"]]
    assert boxed, "some test images have a radiologist's box"
    assert chest.results.check_phantoms(chapter).startswith("Not the phantoms")
