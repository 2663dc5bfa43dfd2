"""Chapter 1 joined together, on a few tiny phantoms: what is trained once is kept, and what is kept is right."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch

from mdlib.data.phantoms import chest as phantom_chest
from mdlib.errors import DataError, SettingsError
from mdlib.recipes import chest

TINY = {"networks": ["densenet121", "att_a", "att_b"], "epochs": 1, "seeds": 2, "draws": 20, "blocks": [1, 1, 1, 1],
        "growth": 4, "stem": 8}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A trained chapter on 60 phantom patients of 72 pixels."""
    folder = tmp_path_factory.mktemp("chest")
    phantom_chest.write(folder / "phantoms", patients=60, side=72)
    return chest.start(data_dir=str(folder / "phantoms"), run_dir=str(folder / "run"), device="cpu", overrides=TINY)


def test_an_unmarked_setting_is_the_papers_number():
    paper = chest.PROFILES["paper"]
    assert (paper.classes, paper.resize, paper.crop, paper.learning_rate, paper.momentum, paper.epochs, paper.batch,
            paper.normalise, paper.pretrained, paper.subset) == (15, 256, 224, 0.01, 0.9, 8, 16, "softmax", True, True)


def test_table_2_to_the_last_weight():
    table = chest.weights()
    assert (table["weights"] == table["paper"]).all() and len(table) == 6


@pytest.mark.parametrize("profile, overrides, said", [
    ("papr", {}, "papr.*paper"), ("paper", {"classes": 13}, "classes"), ("paper", {"normalise": "relu"}, "normalise"),
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


def test_no_patient_is_in_two_parts(tiny):
    parts = [set(tiny.table["patient"].iloc[rows]) for rows in tiny.rows.values()]
    assert not parts[0] & parts[1] and not parts[0] & parts[2] and not parts[1] & parts[2]
    assert sum(map(len, tiny.rows.values())) == len(tiny.table)


def test_trainings_are_the_same_side_by_side_and_alone_and_are_kept(tiny, tmp_path):
    histories = chest.train_all(tiny)
    assert set(histories) == {(name, seed) for name in TINY["networks"] for seed in (0, 1)}
    assert chest.train_all(tiny) == histories
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        alone = chest.start(data_dir=str(tiny.xrays.data_dir), run_dir=str(tmp_path), device="cpu", overrides=TINY)
        assert chest.train(alone, "att_b", 1)[1] == histories["att_b", 1]
    finally:
        torch.set_num_threads(threads)


def test_predictions_are_a_row_an_image_network_and_seed(tiny):
    table = chest.predictions(tiny)
    assert len(table) == len(tiny.rows["test"]) * 3 * 2
    probabilities = table[list(tiny.classes)].to_numpy()
    assert ((probabilities > 0) & (probabilities < 1)).all()
    images = tiny.table["image"].iloc[tiny.rows["test"]].tolist()
    assert table[(table["network"] == "att_a") & (table["seed"] == 1)]["image"].tolist() == images


def test_every_auroc_has_the_five_numbers_beside_it(tiny):
    table = chest.exhibits.aurocs(tiny)
    assert list(dict.fromkeys(table["network"])) == ["five numbers", *TINY["networks"]]
    defined = table.dropna()
    assert ((defined["low"] <= defined["high"]) & defined["auroc"].between(0, 1)).all()
    pd.testing.assert_frame_equal(table, chest.exhibits.aurocs(tiny))


def test_moments_are_those_of_the_cropped_pictures(tiny):
    mean, spread = chest.trainings.moments(tiny)
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
    table = chest.exhibits.aurocs(chapter)
    assert {"five numbers", "densenet121"} == set(table["network"])
    boxed = [case for case in chest.viewing.cases(chapter, "densenet121", count=40) if case["contours"]]
    assert boxed, "some test images have a radiologist's box"
    assert chest.exhibits.check_phantoms(chapter, table).startswith("Not the phantoms")
