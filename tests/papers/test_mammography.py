"""The mammography chapter on a few phantom patients: parts, patches, trainings, and what units are compared with."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import roc_auc_score

from mdlib.data import film_patches
from mdlib.data.phantoms import mammogram
from mdlib.errors import DataError, SettingsError
from mdlib.evaluate.units import evidence
from mdlib.papers import mammography
from mdlib.papers.mammography import published, units
from mdlib.papers.mammography.concepts import ConceptMasks
from mdlib.papers.mammography.settings import NETWORKS

TINY = {"width": [1, 1, 1, 1], "epochs": [1, 1, 1, 1], "demo_epochs": 1, "n_bootstrap": 20, "channels_last": False}
SIZES = {"alexnet": 57_012_034, "vgg16": 134_268_738, "inception_v3": 21_789_666, "resnet152": 58_147_906}
FIRST7 = mammography.Run("resnet152", pool="first7")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return mammogram.write(tmp_path_factory.mktemp("films") / "phantoms", patients=12)


@pytest.fixture(scope="module")
def study(folder, tmp_path_factory):
    """A study of these films, of which one network is trained."""
    found = mammography.open(data_dir=str(folder), run_dir=str(tmp_path_factory.mktemp("run")), device="cpu",
                             overrides=TINY)
    found.predict([mammography.OURS], "val")
    return found


def opened(folder, tmp_path, **overrides):
    settings = mammography.PAPER.choose("embedded", TINY | overrides)
    return mammography.PAPER.open_data(settings, folder, tmp_path / "cache", 0)


def test_the_weights_of_the_four_networks():
    assert mammography.weights().set_index("network")["weights"].to_dict() == SIZES


def test_no_patient_is_in_two_parts_and_malignant_films_are_in_each(study):
    part, films = study.data.film_parts(), study.data.films
    assert films.table["patient"].groupby(part).nunique().sum() == films.table["patient"].nunique()
    assert set(part) == {"train", "val", "test"}
    malignant = films.table["film"].isin(films.findings["film"][films.findings["malignant"]])
    assert malignant.groupby(part).any().all()


def test_in_folds_each_film_is_tested_once(folder, tmp_path):
    data = opened(folder, tmp_path, n_folds=3)
    tested = np.stack([data.film_parts(fold) == "test" for fold in range(3)])
    assert (tested.sum(axis=0) == 1).all()
    assert all((data.film_parts(fold) == "val").any() for fold in range(3))
    with pytest.raises(SettingsError, match="no fold 3"):
        data.film_parts(3)


def test_a_patient_in_both_published_parts_is_tested_only(folder, tmp_path):
    data = opened(folder, tmp_path)
    table = data.films.table
    one = table["patient"].iloc[0]
    part = np.where(table["film"] == table["film"].iloc[0], "test", "train")
    data = replace(data, films=replace(data.films, table=table.assign(part=part)))
    assert (data.film_parts() == "test").equals(table["patient"] == one)


def test_folds_are_evaluated_together_beside_the_two_numbers(folder, tmp_path):
    study = mammography.open(data_dir=str(folder), run_dir=str(tmp_path / "run"), device="cpu",
                             overrides=TINY | {"n_folds": 2, "exhibits": ["folds"]})
    table = published.evaluate(study, "folds", "test").set_index("label")
    assert list(table.index) == ["ResNet-152", published.TWO_NUMBERS]
    assert (table["patches"] == study.data.patches["kept"].sum()).all() and (table["patients"] == 12).all()


def test_patches_are_positive_and_kept_by_the_shares_of_the_settings(study, folder, tmp_path):
    own, strict = study.data.patches, opened(folder, tmp_path, lesion_share=1.0, covered_share=1.0, breast_share=1.0)
    assert own["positive"].equals((own["lesion_share"] >= 0.3) | (own["covered_share"] >= 0.3))
    assert own["kept"].equals(own["breast_share"] >= 0.5)
    assert strict.patches["positive"].sum() < own["positive"].sum() and strict.patches["kept"].sum() < own["kept"].sum()


def test_labels_are_those_of_the_samples_row_by_row(study):
    labels, samples = study.data.labels("val", mammography.OURS), study.samples("val")
    patches = study.data.patches.iloc[samples.rows]
    assert labels.index.is_unique and len(labels) == len(samples)
    assert labels["malignant"].tolist() == samples.batch(len(samples))["target"].tolist()
    assert [name.rsplit(" ", 2)[0] for name in labels.index] == patches["film"].tolist()
    with pytest.raises(SettingsError, match="part 'rest'"):
        study.data.rows("rest", mammography.OURS)


def test_another_folder_is_no_collection(tmp_path):
    with pytest.raises(DataError, match="none of the known collections"):
        opened(tmp_path, tmp_path)


@pytest.mark.parametrize("changes, message", [
    ({"network": "vgg19"}, "vgg19"), ({"network": "vgg16", "pool": "first7"}, "no pooling"),
    ({"network": "resnet152", "pool": "max"}, "no pooling")])
def test_an_unknown_training_is_named(changes, message):
    with pytest.raises(SettingsError, match=message):
        mammography.Run(**changes)


@pytest.mark.parametrize("setting, value", [
    ("networks", []), ("epochs", [1, 2]), ("width", [1, 1, 1, 0]), ("n_folds", 1), ("size", 16), ("lesion_share", 0),
    ("validation", 0.5), ("schedule", "linear"), ("optimizer", "adam"), ("momentum", 1)])
def test_settings_that_make_no_sense_are_named(setting, value):
    with pytest.raises(SettingsError, match=setting):
        mammography.PAPER.choose("embedded", {setting: value})


def test_probabilities_are_the_softmax_of_the_two_logits(study):
    model, batch = study.model(mammography.OURS), study.samples("val").batch(5)
    with torch.inference_mode():
        expected = model(**mammography.inputs(batch))["logits"].softmax(dim=1)[:, 1]
    found = study.predict([mammography.OURS], "val").stacked()[mammography.OURS][0, :5, 0]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_the_rate_of_resnet_falls_in_its_last_epoch_only(study):
    from mdlib.papers.mammography import training
    from mdlib.training import schedules

    optimizer = torch.optim.SGD(torch.nn.Linear(1, 1).parameters(), lr=1e-4)
    set_rate = schedules.staircase(optimizer, [training.LAST["resnet152"]], 0.1)
    rates = []
    for epoch in range(5):
        set_rate(epoch / 5)
        rates.append(optimizer.param_groups[0]["lr"])
    assert rates == pytest.approx([1e-4] * 4 + [1e-5])


def test_concepts_of_a_patch_are_the_truth_at_its_place(study, folder):
    masks, truth = ConceptMasks(study.data, mammography.OURS), mammogram.Truth(folder)
    rows = study.data.rows("val", mammography.OURS)[::40]
    found = masks(torch.from_numpy(rows))
    assert found.shape == (len(rows), len(mammogram.CONCEPTS), 64, 64)
    for mask, (_, patch) in zip(found, study.data.patches.iloc[rows].iterrows(), strict=True):
        place = slice(patch["y"], patch["y"] + 64), slice(patch["x"], patch["x"] + 64)
        for plane, concept in zip(mask, mammogram.CONCEPTS, strict=True):
            np.testing.assert_array_equal(plane, truth.mask(patch["film"], concept)[place])     # one mask at a time


def test_units_are_labelled_above_their_null_and_explain_the_logit(study):
    of = units.dissected(study, mammography.OURS)
    named = units.labels(of)
    assert (named["iou"] > 0.04).all() and (named["iou"] > named["null 95 %"]).all()
    assert of.n_images == len(study.data.rows("val", mammography.OURS))
    batch = study.samples("val").batch(6)
    found = units.explained(study, mammography.OURS, batch)
    with torch.inference_mode():
        logits = study.model(mammography.OURS)(batch["image"])["logits"]
    torch.testing.assert_close(found.values.sum(dim=1) + found.rest, logits[:, 1] - logits[:, 0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found.rest, found.rest[:1].expand(6), atol=1e-5, rtol=0)
    rows = evidence(found.values[0].numpy(), dict(zip(named["unit"], named["concept"], strict=True)))
    assert rows["share"].sum() == pytest.approx(1) and rows["share"].is_monotonic_decreasing


def test_an_untrained_network_is_that_with_which_the_training_starts(study):
    from mdlib.papers.mammography.networks import network

    torch.manual_seed(0)
    expected = network(mammography.OURS, study.settings).state_dict()
    for name, value in units.untrained(study, mammography.OURS).state_dict().items():
        torch.testing.assert_close(value, expected[name], atol=0, rtol=0)


def test_two_numbers_are_mean_and_spread_of_the_patches(study):
    scores = published.two_numbers(study, mammography.OURS, "val")
    targets = study.data.labels("val", mammography.OURS)["malignant"]
    pixels, samples = study.data.pixels(64), study.samples("val")
    film, (y, x) = samples.films[samples.rows[0]], samples.places[samples.rows[0]]
    patch = pixels[film, y:y + 64, x:x + 64] / 255
    first = published._mean_and_spread(study, mammography.OURS, "val")[0]
    assert first == pytest.approx([patch.mean(), patch.std(ddof=1)], abs=1e-5)
    table = published.metrics(study, mammography.OURS, "val").iloc[0]
    assert table["baseline"] == pytest.approx(roc_auc_score(targets, scores[:, 0]))
    assert table["low"] <= table["value"] <= table["high"]


def test_the_exhibits_need_each_network_once():
    assert [run.network for run in mammography.PAPER.shipped(_Phantoms())] == list(NETWORKS)
    assert mammography.TABLE_1 == {"alexnet": 0.8632, "vgg16": 0.8929, "inception_v3": 0.8805, "resnet152": 0.8757}


class _Phantoms:
    class data:
        is_phantom = True


def test_table_1_has_a_row_for_each_network_and_the_two_numbers():
    table = pd.DataFrame([("AlexNet", "val", 0.9, 0.85, 0.95, 1, 10, 2, 3)], columns=list(published.EVALUATION))
    found = published.beside_paper(table)
    assert found.loc["AlexNet"].tolist() == [0.8632, "0.900 (0.850–0.950)"] and found.loc["VGG-16", "here"] == "–"
    assert list(found.index) == [*mammography.NAMES.values(), published.TWO_NUMBERS]


def test_windows_of_the_paper_profile_have_its_sizes():
    settings = mammography.PAPER.choose("paper", {})
    sizes = {name: mammography.networks.size(mammography.Run(name), settings) for name in NETWORKS}
    assert sizes == {"alexnet": 227, "vgg16": 227, "inception_v3": 299, "resnet152": 227}
    assert film_patches.SHARE == settings.lesion_share == settings.covered_share
