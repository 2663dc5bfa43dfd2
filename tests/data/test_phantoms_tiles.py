"""Phantom tissue tiles: the layout, patients, what colour can tell, and the shift of the stain."""

import re
from collections import defaultdict

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score

from mdlib.data.phantoms import tiles, tiles_tissue
from mdlib.data.phantoms.drawing import stream
from mdlib.data.phantoms.tiles import CLASSES, FOLDERS, Settings

NAME = re.compile(r"blk-[A-Z]{12}-(TCGA-[A-Z]{2}-\d{4})-01Z-00-DX1\.png")


@pytest.fixture(scope="module")
def folder(drawn):
    return drawn("tiles")


@pytest.fixture(scope="module")
def colours():
    """For each part: mean and spread of red, green and blue (N, 6) of tiles of many stains, and whether MSI (N,)."""
    found = {}
    for part in FOLDERS:
        rows, ill = [], []
        for batch in range(120):
            for looks in CLASSES:
                picture = tiles_tissue.tile(looks, 48, tiles_tissue.stain(part, stream(7, part, batch)),
                                            stream(7, part, batch, looks))
                rows.append((*picture.mean(axis=(0, 1)), *picture.std(axis=(0, 1))))
                ill.append(looks == "MSIMUT")
        found[part] = np.array(rows), np.array(ill)
    return found


def test_the_layout_is_that_of_zenodo(folder):
    counts = {(part, label): len(list((folder / name / label).iterdir()))
              for part, name in FOLDERS.items() for label in CLASSES}
    assert counts == {("train", "MSS"): 60, ("train", "MSIMUT"): 60, ("test", "MSS"): 100, ("test", "MSIMUT"): 40}
    for path in folder.glob("CRC_*/*/*"):
        assert NAME.fullmatch(path.name)
        image = Image.open(path)
        assert image.mode == "RGB" and image.size == (48, 48)


def test_the_shipped_set_is_balanced_in_training_and_as_published_in_the_test():
    counts = defaultdict(int)
    for patient in tiles.plan(Settings()):
        counts[patient.part, patient.label] += patient.tiles
    assert counts == {("train", "MSS"): 600, ("train", "MSIMUT"): 600, ("test", "MSS"): 1000, ("test", "MSIMUT"): 400}


def test_a_patient_has_one_class_one_part_and_several_tiles(folder):
    homes = defaultdict(list)
    for path in folder.glob("CRC_*/*/*"):
        homes[NAME.fullmatch(path.name)[1]].append(path.parent)
    assert all(len(set(found)) == 1 and len(found) > 1 for found in homes.values())
    assert len(homes) == len(tiles.plan(Settings(train=60, test=100)))


def test_the_truth_says_what_each_tile_looks_like(folder):
    told = pd.read_csv(folder / "truth" / "tiles.csv").set_index("tile")
    assert set(told.index) == {path.name for path in folder.glob("CRC_*/*/*")}
    assert 0 < (told["looks"] != told["class"]).mean() < 0.15
    for path in folder.glob("CRC_*/*/*"):
        assert told.loc[path.name, "class"] == path.parent.name and path.name.find(told.loc[path.name, "patient"]) > 0


@pytest.mark.parametrize("part", FOLDERS)
def test_mean_and_spread_of_no_colour_tell_the_class(colours, part):
    values, ill = colours[part]
    scores = np.array([roc_auc_score(ill, column) for column in values.T])
    assert ((scores > 0.35) & (scores < 0.65)).all(), scores


def test_patients_of_both_classes_are_stained_in_the_same_batches():
    patients = tiles.plan(Settings())
    batches = {(part, label): {p.batch for p in patients if (p.part, p.label) == (part, label)}
               for part in FOLDERS for label in CLASSES}
    assert batches["train", "MSS"] == batches["train", "MSIMUT"]
    assert batches["test", "MSIMUT"] < batches["test", "MSS"]


def test_the_stain_of_the_test_part_is_shifted_by_more_than_patients_differ(colours):
    train, test = (colours[part][0][:, :3] for part in FOLDERS)
    assert (np.abs(train.mean(axis=0) - test.mean(axis=0)) / train.std(axis=0)).max() > 2


def test_the_pattern_tells_the_class():
    """Glands and mucus do not have the same share of their power in waves longer than a fifth of the tile."""
    share = {}
    coarse = np.hypot(*np.meshgrid(*[np.fft.fftfreq(64) * 64] * 2)) < 5
    for looks in CLASSES:
        tissue = [tiles_tissue.tile(looks, 64, tiles_tissue.STAINS["train"], stream(1, looks, number)).mean(axis=2)
                  for number in range(60)]
        power = np.abs(np.fft.fft2(np.array(tissue) - np.mean(tissue, axis=(1, 2), keepdims=True))) ** 2
        share[looks] = power[:, coarse].sum(axis=1) / power.sum(axis=(1, 2))
    assert abs(roc_auc_score([0] * 60 + [1] * 60, np.concatenate(list(share.values()))) - 0.5) > 0.2
