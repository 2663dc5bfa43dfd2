"""A folder in NIH's layout as one collection: table, splits, boxes, and where the images are."""

import csv
import gzip
import os
import warnings
from pathlib import Path

import numpy as np
import pytest
from nih_folder import write

from mdlib.data import chestxray14
from mdlib.data.chestxray14 import CLASSES, FINDINGS, ChestXray14, targets
from mdlib.errors import DataError, SettingsError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path)


def test_a_small_folder_reads_as_written(folder):
    xrays = ChestXray14(folder)
    assert list(xrays.table.columns) == ["image", "labels", "patient", "follow_up", "age", "sex", "view", "split"]
    assert xrays.table.iloc[0].tolist() == ["00000001_000.png", "Cardiomegaly|Emphysema", 1, 0, 57.0, "M", "PA",
                                            "train_val"]
    assert xrays.table["split"].tolist() == ["train_val", "train_val", "test"]
    assert xrays.boxes.to_dict("records") == [{"image": "00000002_000.png", "finding": "Infiltration",
                                               "x": 0.5, "y": 0.25, "w": 0.125, "h": 0.0625}]
    hot = targets(xrays.table)
    assert hot.dtype == np.float32 and hot.shape == (3, 15)
    assert [[CLASSES[k] for k in np.flatnonzero(row)] for row in hot] == [
        ["Cardiomegaly", "Emphysema"], ["No Finding"], ["Hernia"]]
    assert (targets(xrays.table, FINDINGS) == hot[:, 1:]).all()
    assert xrays.path("00000002_000.png") == folder / "images/00000002_000.png"
    assert [path.name for path in xrays.paths()] == xrays.table["image"].tolist()
    assert xrays.truth is None and xrays.missing == []


def test_the_authors_order_of_classes():
    assert len(CLASSES) == 15 and CLASSES[0] == "No Finding" and CLASSES[1:] == FINDINGS
    assert CLASSES[1:5] == ("Cardiomegaly", "Emphysema", "Effusion", "Hernia") and CLASSES[-1] == "Consolidation"


def test_gzip_v2020_and_numbered_folders(tmp_path):
    plain = ChestXray14(write(tmp_path / "plain"))
    other = write(tmp_path / "other", images="images_001/images")
    (other / "images_012/images").mkdir(parents=True)
    os.rename(other / "images_001/images/00000002_000.png", other / "images_012/images/00000002_000.png")
    (other / "images").mkdir()
    os.rename(other / "images_001/images/00000001_001.png", other / "images/00000001_001.png")
    for name in [path.name for path in other.iterdir() if path.is_file()]:
        to = name.replace("2017.csv", "2017_v2020.csv") if name.startswith("Data") else name
        (other / f"{to}.gz").write_bytes(gzip.compress((other / name).read_bytes()))
        (other / name).unlink()
    xrays = ChestXray14(other)
    assert xrays.table.equals(plain.table) and xrays.boxes.equals(plain.boxes)
    assert [str(path.relative_to(other)) for path in xrays.paths()] == [
        "images_001/images/00000001_000.png", "images/00000001_001.png", "images_012/images/00000002_000.png"]


def test_follow_up_may_be_missing_and_boxes_too(folder):
    with (folder / "Data_Entry_2017.csv").open(newline="") as stream:
        rows = [[field for k, field in enumerate(row) if k != 2] for row in csv.reader(stream)]
    (folder / "Data_Entry_2017.csv").write_text("\n".join(",".join(row) for row in rows))
    (folder / "BBox_List_2017.csv").unlink()
    xrays = ChestXray14(folder)
    assert xrays.table["follow_up"].tolist() == [0, 1, 0]
    assert xrays.boxes.empty and list(xrays.boxes) == ["image", "finding", "x", "y", "w", "h"]


def test_a_patient_in_both_lists(folder):
    (folder / "train_val_list.txt").write_text("00000001_000.png\n")
    (folder / "test_list.txt").write_text("00000002_000.png\n00000001_001.png\n")
    with pytest.raises(DataError) as raised:
        ChestXray14(folder)
    for words in ("test_list.txt, row 2", "patient 1 (image 00000001_001.png)", "1 patients are in",
                  'split="patient"', "--set split=patient --set subset=false", "lists=False"):
        assert words in str(raised.value)
    assert ChestXray14(folder, lists=False).table["split"].tolist() == ["", "", ""]


@pytest.mark.parametrize("gone", ["train_val_list.txt", "test_list.txt", "Data_Entry_2017.csv"])
def test_a_missing_file_is_named(folder, gone):
    (folder / gone).unlink()
    other = "get it from NIH" if gone.startswith("Data") else "--set split=patient --set subset=false"
    with pytest.raises(DataError, match=rf"no .*{gone}.*{other}"):
        ChestXray14(folder)
    with pytest.raises(DataError, match=r"nowhere: no such folder\. Check the path"):
        ChestXray14(folder / "nowhere")


def test_missing_images_stop_or_are_skipped(folder):
    (folder / "images/00000002_000.png").unlink()
    with pytest.raises(DataError) as raised:
        ChestXray14(folder)
    for words in ("Data_Entry_2017.csv, row 4", "'00000002_000.png'", "1 of the table's 3", "--set missing=skip"):
        assert words in str(raised.value)
    with pytest.warns(UserWarning, match="1 of 3 images"):
        xrays = ChestXray14(folder, missing="skip")
    assert xrays.missing == ["00000002_000.png"] and len(xrays.table) == 2 and xrays.boxes.empty
    assert xrays.table.index.tolist() == [0, 1]
    with pytest.raises(DataError, match=r"no image '00000002_000\.png'"):
        xrays.path("00000002_000.png")
    with pytest.raises(SettingsError, match="missing"):
        ChestXray14(folder, missing="ignore")


def test_no_images_at_all(folder):
    for path in (folder / "images").iterdir():
        path.unlink()
    for missing in ("error", "skip"):
        with pytest.raises(DataError, match="no images in images/"):
            ChestXray14(folder, missing=missing)


def test_skip_also_leaves_out_list_entries_without_a_table_row(folder):
    (folder / "test_list.txt").write_text("00000002_000.png\n00000009_000.png\n")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert ChestXray14(folder, missing="skip").table["split"].tolist() == ["train_val", "train_val", "test"]


def test_images_in_no_list_are_counted(folder):
    (folder / "train_val_list.txt").write_text("00000001_000.png\n")
    with pytest.warns(UserWarning, match="1 of 3 images are in neither list"):
        assert ChestXray14(folder).table["split"].tolist() == ["train_val", "", "test"]


def test_the_folder_is_not_written(folder):
    before = sorted((str(path), path.stat().st_mtime_ns) for path in folder.rglob("*"))
    ChestXray14(folder).paths()
    assert sorted((str(path), path.stat().st_mtime_ns) for path in folder.rglob("*")) == before


def test_the_truth_folder_of_a_phantom_collection(folder):
    (folder / "truth").mkdir()
    assert ChestXray14(folder).truth == folder / "truth"


def test_an_unknown_class_is_refused(folder):
    with pytest.raises(SettingsError, match=r"'Infiltrate'.*Infiltration"):
        targets(ChestXray14(folder).table, ["Infiltrate"])


def test_images_are_counted_by_class_and_part(folder):
    xrays = ChestXray14(folder)
    parts = {split: part["image"] for split, part in xrays.table.groupby("split")}
    counts = chestxray14.counts(xrays.table, parts)
    assert counts.loc["Hernia"].to_dict() == {"test": 1, "train_val": 0} and counts.to_numpy().sum() == 4


def test_a_folder_of_real_images(real_data):
    xrays = ChestXray14(real_data / "chestxray14")
    assert len(xrays.table) == 1273 and xrays.table["patient"].nunique() == 1013 and len(xrays.boxes) == 50
    assert xrays.table["view"].value_counts().to_dict() == {"PA": 749, "AP": 524}
    assert (targets(xrays.table).sum(axis=0) > 0).all() and all(path.is_file() for path in xrays.paths()[:20])
