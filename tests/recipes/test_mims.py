"""Chapter 2 joined together, on a few tiny phantoms: who begins with whose weights, and what is trained once."""

import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from tiny_mims import TINY

from mdlib.data.bags import Bags, BagSamples
from mdlib.errors import DataError, SettingsError
from mdlib.recipes import mims
from mdlib.recipes import trainings as shared
from mdlib.recipes.mims import trainings
from mdlib.recipes.mims.plan import Training, plan
from mdlib.training import loop

COLLECTIONS = ("cirrus", "spectralis", "crc_msi")


def test_an_unmarked_setting_is_the_papers_number():
    paper = mims.PROFILES["paper"]
    assert (paper.seeds, paper.pretrained, paper.cirrus, paper.spectralis, paper.mmd, paper.crc_msi) == (
        3, "imagenet", (512, 1024), (497, 768), (600, 900), (224, 224))
    assert (paper.cirrus_test, paper.spectralis_test, paper.mmd_test, paper.tuning) == (0.33, 0.5, 0.3, 0.02)
    assert (paper.central, paper.fewest, paper.most, paper.iterations, paper.finetune) == (30, 12, 18, 4500, 200)
    assert (paper.epochs, paper.learning_rate, paper.last_rate, paper.backbone_rate) == (1, 0.01, 0.004, 0.5)


@pytest.mark.parametrize("overrides, said", [
    ({"methods": ["mims", "vgg16"]}, "vgg16.*mims_patchcls"), ({"methods": ["mi_pre"]}, "mims among them"),
    ({"poolings": ["median"]}, "poolings"), ({"collections": ["retouch"]}, "collections"),
    ({"fewest": 19}, "fewest, most, central"), ({"most": 31}, "fewest, most, central"), ({"fewest": 0}, "fewest"),
    ({"pretrained": "shapes", "shapes": 0}, "pre-train"), ({"pretrained": "imagenet21k"}, "pretrained"),
    ({"tuning": 1.0}, "tuning"), ({"cirrus": [64]}, "cirrus"), ({"layers": [1, 1]}, "layers"), ({"k": 5}, "'k'"),
    ({"strides": [2, 2, 1, 2, 4, 1]}, "strides"), ({"folds": 1}, "folds")])
def test_a_setting_that_makes_no_sense_is_named(overrides, said):
    with pytest.raises(SettingsError, match=said):
        mims.choose("embedded", overrides)


@pytest.mark.parametrize("folder, overrides, kind, said", [
    ("oct", {"collections": ["spectralis"]}, DataError, "fine-tuned from a network of cirrus"),
    ("crc_msi", {"collections": ["mmd"]}, DataError, "none of mmd"), (".", {"seeds": 0}, SettingsError, "seeds"),
    ("oct/P001_OD", {}, DataError, "subfolder oct, mmd, crc_msi or oct_dme")])
def test_a_collection_that_cannot_be_used_is_named(mims_phantoms, tmp_path, folder, overrides, kind, said):
    with pytest.raises(kind, match=said):
        mims.start(data_dir=str(mims_phantoms / folder), run_dir=str(tmp_path), device="cpu", overrides=overrides)


def test_other_data_in_the_same_run_folder_is_refused(tiny_mims, mims_phantoms):
    with pytest.raises(SettingsError, match="another data"):
        mims.start(data_dir=str(mims_phantoms / "oct"), run_dir=str(tiny_mims.run.folder), device="cpu",
                   overrides=TINY)


def test_a_collection_or_part_that_is_not_there_is_named(tiny_mims):
    with pytest.raises(SettingsError, match=r"mmd.*cirrus, spectralis, crc_msi"):
        tiny_mims.bags("mmd")
    with pytest.raises(SettingsError, match=r"tuning.*train, test"):
        tiny_mims.part("cirrus", "tuning")


@pytest.mark.parametrize("collection", COLLECTIONS)
def test_no_patient_trains_and_tests(tiny_mims, collection):
    table = tiny_mims.bags(collection).table
    names = ("train", "tuning", "test") if collection == "crc_msi" else ("train", "test")
    rows = {part: tiny_mims.part(collection, part) for part in names}
    assert sorted(np.concatenate(list(rows.values()))) == list(range(len(table)))
    patients = {part: set(table["patient"].iloc[of]) for part, of in rows.items()}
    others = patients["test"] | patients.get("tuning", set())
    assert not patients["train"] & others
    if collection == "crc_msi":
        assert patients["tuning"] & patients["test"], "the leak of the paper"


def test_a_bag_has_its_central_slices_some_of_them_in_training(tiny_mims):
    rows = tiny_mims.part("cirrus", "train")
    first = tiny_mims.samples("cirrus", "train")[0]
    assert first["sizes"].tolist() == [TINY["central"]] and first["bag"].shape[1:] == (1, 64, 128)
    bags = tiny_mims.bags("cirrus")
    path = bags.slices["path"].iloc[bags.table["first"].iloc[rows[0]]]
    assert path.endswith("/012.png"), "36 slices: the 12 central ones begin at 12"
    drawn = tiny_mims.samples("cirrus", "train", training=True)
    sizes = {int(drawn[i % len(rows)]["sizes"][0]) for i in range(60)}
    assert sizes == {3, 4, 5}


def test_what_two_tables_need_is_trained_once():
    every = ("cirrus", "spectralis", "mmd", "crc_msi")
    paper = plan(mims.PROFILES["paper"], every, [0, 1, 2])
    assert len(paper) == len({training.slug for training in paper}) == 3 * (2 * 12 + 2 * 10 + 7 - 1)
    assert not [one for one in paper if one.collection in ("mmd", "crc_msi") and one.method.endswith("patchcls")]
    real = plan(mims.PROFILES["paper"], ("oct_dme", "oct_dme_matched"), [0])
    assert len(real) == 2 * 4 * 3 and {one.fold for one in real} == {0, 1, 2}


def test_all_that_is_planned_is_trained_once(trained_mims):
    networks = trained_mims.run.folder / "networks"
    stamps = {path: path.stat().st_mtime_ns for path in networks.rglob("*") if path.is_file()}
    assert (networks / trainings.PRETEXT.slug / "history.json") in stamps
    planned = mims.planned(trained_mims)
    assert len(planned) == 2 + 2 + 1 + 1 + 1
    found = mims.train_all(trained_mims)
    assert set(found) == set(planned)
    stages = [epoch["stage"] for epoch in found[Training("mims", "crc_msi")]]
    assert stages == ["train"] * trained_mims.settings.epochs + ["tuning", "tuning"]
    assert all(np.isfinite(epoch["loss"]) for history in found.values() for epoch in history)
    assert {path: path.stat().st_mtime_ns for path in networks.rglob("*") if path.is_file()} == stamps


@pytest.mark.parametrize("training", [Training("mims_patchcls", "cirrus"), Training("mims", "spectralis"),
                                      Training("mims", "crc_msi"), Training("mims", "cirrus", "mean")])
def test_a_training_predicts_the_bags_it_has_not_seen(trained_mims, training):
    table = mims.predictions(trained_mims, training)
    assert table["row"].tolist() == trained_mims.part(training.collection, "test").tolist()
    assert np.isfinite(table["score"]).all()
    assert ((table["score"] > 0) == (table["guess"] == 1)).all()
    model, samples = mims.trained(trained_mims, training), trained_mims.samples(training.collection, "test")
    with torch.inference_mode():
        logits = model(bag=samples[1]["bag"], sizes=samples[1]["sizes"])["logits"][0]
    assert table["score"].iloc[1] == pytest.approx(float(logits[1] - logits[0]), abs=1e-5)


def test_what_a_killed_run_has_lost_comes_out_the_same(trained_mims, tmp_path):
    """Of one training the end is lost, of another everything; the rest is left alone."""
    one, other = Training("mims", "cirrus"), Training("mims", "cirrus", "mean")
    shutil.copytree(trained_mims.run.folder / "networks", tmp_path / "networks")
    killed = replace(trained_mims, run=replace(trained_mims.run, folder=tmp_path))
    checkpoint = shared.folder(killed, one) / "stage0/checkpoint.pt"
    stamp = checkpoint.stat().st_mtime_ns
    (shared.folder(killed, one) / shared.HISTORY).unlink()
    shutil.rmtree(shared.folder(killed, other))
    assert set(shared.missing(killed, mims.planned(killed))) == {one, other}
    for training in (one, other):
        mims.train_all(killed, [training])
        pd.testing.assert_frame_equal(mims.predictions(killed, training), mims.predictions(trained_mims, training))
    assert not shared.missing(killed, mims.planned(killed)) and checkpoint.stat().st_mtime_ns == stamp


class Begun(Exception):
    """Raised in the place of the training that would begin."""


@pytest.fixture
def at_first(trained_mims, monkeypatch):
    """`at_first(training)`: the weights with which its first step begins."""
    fabric, seen = shared.fabric_of(trained_mims), {}

    def fit(fabric, model, *args, **options):
        seen.update({name: value.clone() for name, value in model.state_dict().items()})
        raise Begun

    def begin(training):
        with monkeypatch.context() as patched, pytest.raises(Begun):
            patched.setattr(loop, "fit", fit)
            trainings.train_and_predict(trained_mims, training, fabric)
        return seen
    return begin


def same(weights, others, names):
    return all(torch.equal(weights[name], others[name]) for name in names)


@pytest.mark.parametrize("method", ["mi_pre", "mims", "mims_patchcls"])
def test_the_body_is_that_of_the_pretext_task_and_the_head_is_new(at_first, trained_mims, method):
    weights, learned = at_first(Training(method, "cirrus")), trainings.weights_of(trained_mims, trainings.PRETEXT)
    body = [name for name in learned if name.startswith("features.")]
    assert len(body) > 50 and same(weights, learned, body)
    assert weights["classifier.weight"].shape[0] == 2 and learned["classifier.weight"].shape[0] == 10


def test_the_network_from_scratch_begins_with_random_weights(at_first, trained_mims):
    assert trainings.begins_with(trained_mims.settings, Training("resnet34_scratch", "cirrus")) is None
    weights, learned = (at_first(Training("resnet34_scratch", "cirrus")),
                        trainings.weights_of(trained_mims, trainings.PRETEXT))
    assert not torch.equal(weights["features.conv1.weight"], learned["features.conv1.weight"])
    assert all(float(value.abs().max()) == 0 for name, value in weights.items() if name.endswith("running_mean"))


def test_spectralis_begins_with_all_the_weights_of_cirrus(at_first, trained_mims):
    learned = trainings.weights_of(trained_mims, Training("mims", "cirrus"))
    weights = at_first(Training("mims", "spectralis"))
    assert set(weights) == set(learned) and same(weights, learned, learned)


def test_the_layers_below_learn_at_half_the_rate(tiny_mims):
    model = trainings.build(tiny_mims, Training("mims", "cirrus"))
    below, top = trainings.optimizer(model, 0.02, tiny_mims.settings).param_groups
    assert (below["lr"], top["lr"]) == (0.01, 0.02)
    assert sum(map(torch.numel, below["params"])) == sum(map(torch.numel, model.features.parameters()))
    assert len(below["params"]) + len(top["params"]) == len(list(model.parameters()))


def test_slices_are_trained_with_the_class_of_their_volume(trained_mims):
    training = Training("mims_patchcls", "cirrus")
    model, batch = mims.trained(trained_mims, training), trained_mims.samples("cirrus", "train").__getitems__([0, 1])
    with torch.no_grad():
        value = float(trainings.loss_of(training)(model, batch))
        logits = model(batch["bag"], batch["sizes"])["slice_logits"].double()
    targets = [int(target) for target, size in zip(batch["target"], batch["sizes"], strict=True) for _ in range(size)]
    naive = -sum(float(row.log_softmax(dim=0)[k]) for row, k in zip(logits, targets, strict=True)) / len(targets)
    assert value == pytest.approx(naive, rel=1e-5)


def highest_memory(work, *inputs) -> int:
    """The most kilobytes this process holds while `work(*inputs)` is done (Linux)."""
    Path("/proc/self/clear_refs").write_text("5")
    work(*inputs)
    return int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1])


def many_volumes(folder: Path, count: int) -> BagSamples:
    """Volumes of 31 slices, files of holes."""
    path, rows = folder / f"{count}.npy", np.arange(count)
    np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=(count * 31, 50, 100))
    table = pd.DataFrame({"bag": rows.astype(str), "patient": rows, "label": np.array(["a", "b"])[rows % 2],
                          "first": 31 * rows, "count": 31})
    bags = Bags(Path(), ("a", "b"), table, pd.DataFrame({"path": "", "frame": 0}, index=range(31 * count)))
    return BagSamples(np.load(path, mmap_mode="r"), bags, rows, draw=(8, 8))


@pytest.mark.soak
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux's /proc")
def test_the_memory_of_training_steps_does_not_depend_on_the_number_of_volumes(tiny_mims, tmp_path):
    training, fabric = Training("mims", "cirrus"), shared.fabric_of(tiny_mims)

    def three_steps(samples, folder):
        model = trainings.build(tiny_mims, training)
        loop.fit(fabric, model, trainings.optimizer(model, 0.01, tiny_mims.settings), samples,
                 trainings.loss_of(training), iterations=3, batch_size=2, seed=0, folder=tmp_path / folder)

    few, many = many_volumes(tmp_path, 8), many_volumes(tmp_path, 3000)
    three_steps(few, "first")   # what is loaded or kept for later steps
    growth = highest_memory(three_steps, many, "many") - highest_memory(three_steps, few, "few")
    assert growth < 0.05 * (many.pixels.nbytes - few.pixels.nbytes) / 1024
