"""Collections whose class is the folder: tiles as Zenodo publishes them, fundus photographs."""

import time
from pathlib import Path

import pytest
from PIL import Image

from mdlib.data.folders import class_folders, crc_msi
from mdlib.errors import DataError

TRAIN = {"MSS": ["blk-AAA-TCGA-A6-2671-01Z-00-DX1.png", "blk-AAB-TCGA-A6-2671-01Z-00-DX1.png"],
         "MSIMUT": ["blk-AAC-TCGA-AA-3516-01Z-00-DX1.png"]}
TEST = {"MSS": ["blk-AAD-TCGA-G4-6309-01Z-00-DX1.png"], "MSIMUT": ["blk-AAE-TCGA-G4-6320-01Z-00-DX1.png"]}


@pytest.fixture
def tiles(tmp_path) -> Path:
    for part, of_class in (("CRC_DX_TRAIN", TRAIN), ("CRC_DX_TEST", TEST)):
        for label, names in of_class.items():
            (tmp_path / part / label).mkdir(parents=True)
            for name in names:
                Image.new("RGB", (4, 4), (9, 8, 7)).save(tmp_path / part / label / name)
    return tmp_path


def test_a_tile_is_a_bag_of_one_with_part_class_and_patient(tiles):
    bags = crc_msi(tiles)
    assert bags.classes == ("MSS", "MSIMUT") and bags.targets.tolist() == [0, 0, 1, 0, 1]
    assert bags.table["part"].tolist() == ["train"] * 3 + ["test"] * 2
    assert bags.table["patient"].tolist() == ["TCGA-A6-2671"] * 2 + ["TCGA-AA-3516", "TCGA-G4-6309", "TCGA-G4-6320"]
    assert bags.table["first"].tolist() == [0, 1, 2, 3, 4] and (bags.table["count"] == 1).all()
    assert bags.slices["path"][2] == "CRC_DX_TRAIN/MSIMUT/blk-AAC-TCGA-AA-3516-01Z-00-DX1.png"
    assert bags.table["bag"][2] == "blk-AAC-TCGA-AA-3516-01Z-00-DX1"
    assert bags.read(0).shape == (4, 4, 3) and bags.read(0)[0, 0].tolist() == [9, 8, 7]


def moved(tiles: Path, old: str, new: str) -> None:
    (tiles / old).rename(tiles / new)


TILE = "blk-AAC-TCGA-AA-3516-01Z-00-DX1.png"
FAULTS = [
    (lambda f: moved(f, "CRC_DX_TEST", "TEST"), r"CRC_DX_TEST/MSS: no such folder"),
    (lambda f: moved(f, "CRC_DX_TRAIN/MSIMUT", "CRC_DX_TRAIN/MSI"), r"CRC_DX_TRAIN/MSIMUT: no such folder"),
    (lambda f: (f / "CRC_DX_TRAIN/MSIMUT" / TILE).unlink(), r"CRC_DX_TRAIN/MSIMUT: there are no images"),
    (lambda f: moved(f, f"CRC_DX_TRAIN/MSIMUT/{TILE}", "CRC_DX_TRAIN/MSIMUT/tile1.png"), r"tile1\.png: no TCGA code"),
    (lambda f: Image.new("RGB", (4, 4)).save(f / "CRC_DX_TRAIN/MSS" / TILE),
     rf"MSIMUT/{TILE}: the same name as CRC_DX_TRAIN/MSS/{TILE}; 2 images"),
    (lambda f: Image.new("RGB", (4, 4)).save(f / "CRC_DX_TEST/MSS/blk-AAF-TCGA-AA-3516-01Z-00-DX1.png"),
     r"patient TCGA-AA-3516 is in .* and in .*; 1 patients are in both"),
]


@pytest.mark.parametrize("harm, words", FAULTS)
def test_a_fault_of_a_collection_of_tiles_is_named(tiles, harm, words):
    harm(tiles)
    with pytest.raises(DataError, match=words):
        crc_msi(tiles)


def test_ten_thousand_files_are_listed_in_a_moment(tmp_path):
    for part, patient in (("CRC_DX_TRAIN", "TCGA-A6-2671"), ("CRC_DX_TEST", "TCGA-G4-6309")):
        for label in ("MSS", "MSIMUT"):
            (tmp_path / part / label).mkdir(parents=True)
            for number in range(2500):
                (tmp_path / part / label / f"blk-{label}{number}-{patient}-01Z-00-DX1.png").touch()
    start = time.monotonic()
    bags = crc_msi(tmp_path)
    assert len(bags.table) == 10_000 and time.monotonic() - start < 5


@pytest.fixture
def fundus(tmp_path) -> Path:
    of_class = {"healthy": ["P1_left.jpg", "P1_right.jpg", "P2.png"], "MMD": ["P3_left.jpg", "P4.jpg"]}
    for label, names in of_class.items():
        (tmp_path / label).mkdir()
        for name in names:
            Image.new("RGB", (4, 4)).save(tmp_path / label / name)
    return tmp_path


def test_a_folder_is_a_class(fundus):
    bags = class_folders(fundus)
    assert bags.table["bag"].tolist() == ["P1_left", "P1_right", "P2", "P3_left", "P4"]
    assert bags.table["patient"].tolist() == ["P1", "P1", "P2", "P3", "P4"] and bags.targets.tolist() == [0, 0, 0, 1, 1]
    assert class_folders(fundus, ("MMD", "healthy")).targets.tolist() == [0, 0, 1, 1, 1]


def added(name: str):
    return lambda folder: Image.new("RGB", (4, 4)).save(folder / name)


@pytest.mark.parametrize("harm, words", [
    (lambda f: (f / "MMD").rename(f / "sick"), r"sick: 'sick' is no known class\. Known are healthy, MMD; rename"),
    (lambda f: (f / "healthy").rename(f / ".healthy"), r"healthy: no such folder.*\. Check"),
    (added("MMD/P2.png"), r"MMD/P2\.png: the same name as healthy/P2\.png; 2 images .*\. An image has one class"),
    (added("MMD/P4.png"), r"MMD/P4\.png: the same name as MMD/P4\.jpg; 2 images .*\. .* remove one of the two"),
    (lambda f: (f / "MMD/P4.jpg").unlink(), r"MMD/P3_left\.jpg: this is the only image of class MMD\. A class needs"),
])
def test_a_fault_of_class_folders_is_named(fundus, harm, words):
    harm(fundus)
    with pytest.raises(DataError, match=words):
        class_folders(fundus)
