"""The collections of the gated chapter: layouts, parts, samples, and what is known of the instances of phantoms."""

import dataclasses
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from tiny_gated import OURS, TINY, TISSUE, TRUTH, write_bccd, write_own

from mdlib.data import bccd
from mdlib.data.bags import Bags
from mdlib.data.images import resized
from mdlib.data.phantoms import breast, fungi
from mdlib.errors import DataError, SettingsError
from mdlib.models.crops import crops
from mdlib.papers import gated
from mdlib.papers.gated.data import EDGES, GatedData

CELLS = gated.Run("gated", collection="bccd")


def open_data(folder: Path, tmp_path: Path, **overrides) -> GatedData:
    return gated.PAPER.open_data(gated.PAPER.choose("embedded", TINY | overrides), folder, tmp_path / "cache", 0)


class TestLayouts:
    @pytest.mark.parametrize("inside, name, phantoms", [
        ("fungi", "fungi", True), ("breast", "breast", True), (f"breast/{breast.HOME}", "breast", False)])
    def test_a_folder_of_one_collection(self, gated_phantoms, tmp_path, inside, name, phantoms):
        data, run = open_data(gated_phantoms / inside, tmp_path), gated.Run("gated", collection=name)
        assert data.names == (name,) and data.is_phantom(run) == phantoms
        assert data.classes(run) == (fungi.CLASSES if name == "fungi" else breast.CLASSES)
        assert data.facts(run) == {"classes": list(data.classes(run))}

    def test_a_folder_of_several(self, tiny_gated, gated_phantoms, tmp_path):
        assert tiny_gated.data.names == ("fungi", "breast")
        for name in ("fungi", "breast"):
            (tmp_path / "all").mkdir(exist_ok=True)
            (tmp_path / "all" / name).symlink_to(gated_phantoms / name)
        write_bccd(tmp_path / "all/bccd")
        assert open_data(tmp_path / "all", tmp_path).names == ("fungi", "breast", "bccd")

    def test_blood_cells(self, tmp_path):
        data = open_data(write_bccd(tmp_path / "cells"), tmp_path)
        assert data.names == ("bccd",) and data.classes(CELLS) == bccd.CLASSES and not data.is_phantom(CELLS)
        for split in ("patient", "picture"):
            run = dataclasses.replace(CELLS, split=split)
            assert [len(data.rows(part, run)) for part in ("train", "test")] == [8, 4], "the collection says it"
        boxes = data.boxes(CELLS)
        assert (boxes["decides"] == (boxes["kind"] == "WBC")).all() and boxes.groupby("row").size().eq(2).all()
        np.testing.assert_allclose(boxes[list(EDGES)].iloc[0], [6 / 48, 0, 30 / 48, 25 / 64])
        assert data.description(CELLS) == {"name": "cells", "phantoms": False, "colour": True,
                                           "fingerprint": data.fingerprint()["bccd"]}

    def test_classes_of_your_own(self, tmp_path):
        data = open_data(write_own(tmp_path / "own"), tmp_path)
        assert data.names == ("fungi",) and data.classes(OURS) == ("a", "b") and not data.is_phantom(OURS)
        assert data.boxes(OURS).empty and (data.true_boxes(TRUTH) == [0, 0, 1, 1]).all()
        assert data.labels("test", OURS)["patient"].nunique() == 2 and len(data.labels("test", OURS)) == 4
        samples = data.samples("test", TRUTH)
        assert (samples.batch(2)["boxes"] == torch.tensor([0, 0, 1, 1])).all()

    def test_hidden_folders_and_the_truth_are_no_classes(self, tmp_path):
        write_own(tmp_path / "own")
        for name in (".thumbs", "truth"):
            (tmp_path / "own" / name).mkdir()
        assert open_data(tmp_path / "own", tmp_path).classes(OURS) == ("a", "b")


def one_of_a(folder: Path) -> None:
    write_own(folder)
    for path in folder.glob("a/a[123]_*"):
        path.unlink()


def smaller(folder: Path) -> None:
    write_own(folder)
    Image.new("RGB", (64, 31)).save(folder / "b/b9_1.png")


def smaller_cell(folder: Path) -> None:
    write_bccd(folder)
    Image.new("RGB", (64, 31)).save(folder / "images/monocyte_1.png")


@pytest.mark.parametrize("write, said", [
    (one_of_a, "own: all pictures of class a are of one patient.*Add"),
    (smaller, r"b9_1\.png: 31 x 64 pixels .* a crop of 32"),
    (smaller_cell, r"monocyte_1\.png.*31 x 64 .* a crop of 32"), (lambda folder: None, "no such folder"),
    (lambda folder: folder.mkdir(), "own: .*no two folders of pictures.*images.csv"),
    (lambda folder: write_own(folder, "a"), "no two folders of pictures"),
    (lambda folder: write_own(folder / "bccd"), r"images\.csv")],
    ids=["one patient", "small", "small cell", "missing", "empty", "one class", "another inside"])
def test_a_collection_that_cannot_be_used_is_named(tmp_path, write, said):
    write(tmp_path / "own")
    with pytest.raises(DataError, match=said):
        open_data(tmp_path / "own", tmp_path)


def test_a_collection_or_part_that_is_not_there_is_named(tiny_gated):
    with pytest.raises(SettingsError, match=r"no collection 'bccd'.*fungi, breast"):
        tiny_gated.data.rows("train", CELLS)
    with pytest.raises(SettingsError, match=r"'val'.*train, test"):
        tiny_gated.data.rows("val", OURS)


def patients_of(data: GatedData, part: str, run) -> list:
    return data.of(run).table["patient"].iloc[data.rows(part, run)].tolist()


@pytest.mark.parametrize("run", [OURS, TISSUE], ids=lambda run: run.collection)
def test_no_patient_is_in_both_parts_and_every_class_is(tiny_gated, run):
    data = tiny_gated.data
    assert not set(patients_of(data, "train", run)) & set(patients_of(data, "test", run))
    assert sorted([*data.rows("train", run), *data.rows("test", run)]) == list(range(len(data.of(run).table)))
    for part in ("train", "test"):
        labels = data.labels(part, run)
        assert (labels[list(data.classes(run))].sum() > 0).all()
        assert labels["patient"].tolist() == patients_of(data, part, run)
        np.testing.assert_array_equal(labels[list(data.classes(run))].to_numpy().argmax(axis=1),
                                      data.samples(part, run).batch(100)["target"])


def test_split_by_picture_a_quarter_of_each_class_tests_and_practically_every_patient_is_in_both_parts(tiny_gated):
    run = dataclasses.replace(OURS, split="picture")
    labels = tiny_gated.data.labels("test", run)
    assert (labels[list(fungi.CLASSES)].sum() == 2).all() and len(labels) == 10
    assert len(set(patients_of(tiny_gated.data, "train", run)) & set(labels["patient"])) > 5
    count = 59 * 36
    table = pd.DataFrame({"bag": [f"P{row // 36}_{row % 36}" for row in range(count)], "first": range(count),
                          "patient": [f"P{row // 36}" for row in range(count)], "count": 1,
                          "label": [fungi.CLASSES[row // 36 % 5] for row in range(count)]})
    bags = Bags(Path(), fungi.CLASSES, table, pd.DataFrame({"path": table["bag"], "frame": 0}))
    papers = GatedData(Path(), {"fungi": bags}, gated.PROFILES["paper"], 0, Path())
    assert len(papers.rows("test", run)) == pytest.approx(count / 4, abs=5)
    assert set(patients_of(papers, "test", run)) == set(patients_of(papers, "train", run)) == set(table["patient"])
    assert not set(patients_of(papers, "test", OURS)) & set(patients_of(papers, "train", OURS))


def test_another_seed_draws_other_parts(tiny_gated):
    other = dataclasses.replace(tiny_gated.data, seed=1)
    assert other.rows("test", OURS).tolist() != tiny_gated.data.rows("test", OURS).tolist()


def test_a_sample_is_a_thumbnail_and_the_whole_picture_in_grey_or_in_colour(tiny_gated):
    data, bags = tiny_gated.data, tiny_gated.data.of(OURS)
    for run, mode in ((OURS, "L"), (dataclasses.replace(OURS, colour=True), "RGB")):
        assert data.in_colour(run) == (mode == "RGB")
        batch = data.samples("test", run).batch([3, 0])
        for i, row in enumerate(data.rows("test", run)[[3, 0]]):
            whole = np.asarray(Image.open(bags.paths()[row]).convert(mode))
            small = resized(whole, (48, 64))
            for found, expected in ((batch["picture"][i], whole), (batch["image"][i] * 255, small)):
                np.testing.assert_array_equal(found.round().byte().squeeze(0), np.moveaxis(expected, 2, 0) if
                                              expected.ndim == 3 else expected)
    assert data.in_colour(TISSUE) and data.samples("test", TISSUE).batch(1)["picture"].shape == (1, 3, 256, 320)
    assert "boxes" not in batch


def test_only_training_augments_and_boxes_stay_on_what_they_are_of(tiny_gated):
    """Thumbnail, picture and boxes are reflected alike; tissue has no top, so it is also reflected upside down."""
    data = dataclasses.replace(tiny_gated.data, settings=dataclasses.replace(tiny_gated.settings, tone=0.0))
    torch.manual_seed(0)
    for run, ways in ((TRUTH, {(), (2,)}), (dataclasses.replace(TRUTH, collection="breast"),
                                            {(), (1,), (2,), (1, 2)})):
        plain, augmented = data.samples("train", run), data.samples("train", run, augment=True)
        seen = set()
        for _ in range(12):
            one, other = plain.batch(4), augmented.batch(4)
            cut, same = (crops(each["picture"], each["extent"], each["boxes"], 32) for each in (one, other))
            for i in range(4):
                way, = (way for way in ((), (1,), (2,), (1, 2)) if torch.equal(one["image"][i].flip(way),
                                                                              other["image"][i]))
                seen.add(way)
                assert torch.equal(one["picture"][i].flip(way), other["picture"][i])
                torch.testing.assert_close(cut[i].flip([1 + axis for axis in way]), same[i], rtol=0, atol=2.5 / 255)
        assert seen == ways
    toned = tiny_gated.data.samples("train", OURS, augment=True)
    assert len({float(toned.batch(1)["image"].mean()) for _ in range(4)}) == 4


def test_it_is_small_when_it_is_sent_to_a_worker(tiny_gated):
    tiny_gated.data.prepare([OURS, TISSUE])
    sent = pickle.dumps(tiny_gated.data)
    assert len(sent) < 100_000
    for run in (OURS, TRUTH):
        there, here = (data.samples("test", run).batch(2) for data in (pickle.loads(sent), tiny_gated.data))
        assert there.keys() == here.keys() and all(torch.equal(value, here[name]) for name, value in there.items())


class TestTruth:
    @pytest.mark.parametrize("run, module", [(OURS, fungi), (TISSUE, breast)], ids=["fungi", "breast"])
    def test_boxes_are_those_of_the_label_maps(self, tiny_gated, run, module):
        data, boxes = tiny_gated.data, tiny_gated.data.boxes(run)
        bags, truth = data.of(run), module.Truth(data.of(run).data_dir)
        assert list(boxes) == ["row", "kind", "number", "decides", *EDGES]
        for row, own in boxes.groupby("row"):
            labels = truth.labels(bags.table["bag"].iat[row])
            assert own["decides"].is_monotonic_decreasing, "those that decide come first"
            if run.collection == "fungi":
                assert (own["decides"] == (own["kind"] == "head")).all()
                assert set(own["number"][own["decides"]]) == set(np.unique(labels)) - {0}
            else:
                shown = {box.number: bool(box.shows) for box in truth.boxes(bags.table["bag"].iat[row])}
                assert own.set_index("number")["decides"].to_dict() == shown
            for box in own[own["kind"] != "bare"].itertuples():
                y, x = np.nonzero(labels == box.number)
                expected = [y.min() / labels.shape[0], x.min() / labels.shape[1], (y.max() + 1) / labels.shape[0],
                            (x.max() + 1) / labels.shape[1]]
                np.testing.assert_allclose([box.top, box.left, box.bottom, box.right], expected)

    @pytest.mark.parametrize("run", [OURS, TISSUE], ids=lambda run: run.collection)
    @pytest.mark.parametrize("n", [1, 4])
    def test_true_boxes_are_squares_in_the_picture_round_the_largest_known_boxes(self, tiny_gated, run, n):
        data, known = tiny_gated.data, tiny_gated.data.boxes(run).query("decides")
        found, sizes = data.true_boxes(dataclasses.replace(run, n=n)), data.sizes(run)
        assert found.shape == (len(sizes), n, 4) and found.min() >= 0 and found.max() <= 1
        for row, boxes in enumerate(found):
            pixels = boxes.reshape(-1, 2, 2) * sizes[row]
            sides = pixels[:, 1] - pixels[:, 0]
            np.testing.assert_allclose(sides[:, 0], sides[:, 1], atol=1e-3)
            own = known[known["row"] == row]
            corners = own[list(EDGES)].to_numpy().reshape(-1, 2, 2) * sizes[row]
            area = (corners[:, 1] - corners[:, 0]).prod(axis=1)
            corners = corners[np.argsort(-area, kind="stable")][:n]
            fits = 1.2 * (corners[:, 1] - corners[:, 0]).max(axis=1) <= sizes[row].min()
            assert len(corners) and fits.any()
            inside = (pixels[:len(corners), 0] <= corners[:, 0] + 1e-3) & (pixels[:len(corners), 1]
                                                                           >= corners[:, 1] - 1e-3)
            assert inside.all(axis=1)[fits].all()
            assert (boxes[len(corners):] == boxes[0]).all(), "the largest is repeated"

    def test_a_picture_without_a_deciding_box_has_others_and_one_without_any_is_whole(self, tiny_gated, monkeypatch):
        table = pd.DataFrame([(0, "other", 2, False, 0.0, 0.0, 0.8, 0.8), (0, "head", 1, True, 0.4, 0.5, 0.5, 0.6),
                              (1, "other", 1, False, 0.2, 0.2, 0.6, 0.5)],
                             columns=["row", "kind", "number", "decides", *EDGES])
        monkeypatch.setattr(GatedData, "boxes", lambda self, run: table)
        height, width = 384, 512
        found = tiny_gated.data.true_boxes(TRUTH)[:3] * [height, width, height, width]
        np.testing.assert_allclose(found[0, 0], [0.45 * height - 30.72, 0.55 * width - 30.72,
                                                 0.45 * height + 30.72, 0.55 * width + 30.72], atol=1e-3)
        side = 1.2 * max(0.4 * height, 0.3 * width)
        np.testing.assert_allclose(found[1, 0, 2:] - found[1, 0, :2], side, atol=1e-3)
        assert (found[2] == [0, 0, height, width]).all()


def test_real_blood_cells_go_the_same_way_as_phantoms(real_data, tmp_path):
    data = open_data(real_data / "bccd", tmp_path, grey=["bccd"])
    assert data.names == ("bccd",) and not data.is_phantom(CELLS) and data.classes(CELLS) == bccd.CLASSES
    counts = {part: data.labels(part, CELLS)[list(bccd.CLASSES)].sum().astype(int).tolist() for part in
              ("train", "test")}
    assert counts["test"] == [53, 19, 9, 5] and sum(counts["train"]) == 196
    boxes = data.boxes(CELLS)
    assert (boxes["decides"] == (boxes["kind"] == "WBC")).all() and boxes["decides"].sum() == 284
    batch = data.samples("test", dataclasses.replace(CELLS, sampler="truth")).batch(2)
    assert batch["picture"].shape == (2, 1, 480, 640) and batch["boxes"].shape == (2, 4, 4)
