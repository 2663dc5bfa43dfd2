"""Batches cut from mapped pixels: right numbers, right rows, and no copy of the collection."""

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils.data import DataLoader

from mdlib.data.samples import Samples, collate, nonimage
from mdlib.errors import DataError, SettingsError


@pytest.fixture
def pixels(tmp_path) -> np.memmap:
    random = np.random.default_rng(0)
    np.save(tmp_path / "pixels.npy", random.integers(0, 256, (50, 20, 20), dtype=np.uint8))
    return np.load(tmp_path / "pixels.npy", mmap_mode="r")


@pytest.fixture
def samples(pixels) -> Samples:
    random = np.random.default_rng(1)
    targets = random.integers(0, 2, (50, 4)).astype(np.float32)
    targets[7, 2] = np.nan
    return Samples(pixels, [7, 3, 3, 49, 0], targets, random.normal(size=(50, 3)), crop=16)


def test_a_sample_is_the_centre_of_its_row(samples, pixels):
    assert len(samples) == 5
    for i, row in enumerate([7, 3, 3, 49, 0]):
        sample = samples[i]
        assert {name: (value.dtype, tuple(value.shape)) for name, value in sample.items()} == {
            "image": (torch.float32, (1, 16, 16)), "target": (torch.float32, (4,)),
            "nonimage": (torch.float32, (3,)), "index": (torch.int64, ())}
        assert sample["index"] == row
        np.testing.assert_array_equal(sample["image"][0] * 255, pixels[row, 2:18, 2:18])
        np.testing.assert_array_equal(sample["target"], samples.targets[row])
        np.testing.assert_array_equal(sample["nonimage"], samples.nonimage[row])
    assert torch.isnan(samples[0]["target"][2])


def test_pixels_are_between_0_and_1_as_torchvision_scales_them():
    ends = Samples(np.array([[[0, 255], [128, 1]]], np.uint8), [0], np.zeros((1, 1)), np.zeros((1, 3)), crop=2)
    assert torch.equal(ends[0]["image"][0], torch.tensor([[0, 255], [128, 1]]) / 255)


def test_a_batch_is_its_samples_stacked(samples):
    batch = samples.__getitems__([4, 0, 2])
    for name, value in batch.items():
        torch.testing.assert_close(value, torch.stack([samples[i][name] for i in (4, 0, 2)]), rtol=0, atol=0,
                                   equal_nan=True)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_data_loader_gives_every_row_once_in_order(samples, workers):
    context = "fork" if workers else None  # what a spawned worker does differently, pickling, is tested below
    loader = DataLoader(samples, batch_size=2, collate_fn=collate, num_workers=workers, multiprocessing_context=context)
    batches = list(loader)
    assert [tuple(batch["image"].shape) for batch in batches] == [(2, 1, 16, 16), (2, 1, 16, 16), (1, 1, 16, 16)]
    assert torch.cat([batch["index"] for batch in batches]).tolist() == [7, 3, 3, 49, 0]
    torch.testing.assert_close(batches[0]["image"][1], samples[1]["image"], rtol=0, atol=0)


def test_pickling_names_the_file_and_copies_no_pixels(samples):
    data = pickle.dumps(samples)
    assert len(data) < samples.pixels.nbytes / 2
    again = pickle.loads(data)
    assert isinstance(again.pixels, np.memmap) and again.pixels.filename == samples.pixels.filename
    for i in range(len(samples)):
        for name, value in samples[i].items():
            torch.testing.assert_close(again[i][name], value, rtol=0, atol=0, equal_nan=True)


def test_a_view_of_a_map_and_a_plain_array_pickle_right_too(samples, pixels):
    for part in (pixels[10:30], np.array(pixels), pixels[::2]):
        some = Samples(part, range(len(part)), samples.targets[:len(part)], samples.nonimage[:len(part)], crop=16)
        torch.testing.assert_close(pickle.loads(pickle.dumps(some))[3]["image"], some[3]["image"], rtol=0, atol=0)


def test_a_batch_does_not_write_into_targets_or_pixels(samples):
    batch = samples.__getitems__([0, 1])
    before = samples.targets.copy()
    batch["target"].fill_(9)
    batch["index"].fill_(9)
    np.testing.assert_array_equal(samples.targets, before)
    assert samples.rows.tolist() == [7, 3, 3, 49, 0]


def test_what_does_not_fit_is_refused(pixels):
    targets, other = np.zeros((50, 4)), np.zeros((50, 3))
    with pytest.raises(DataError, match="one length"):
        Samples(pixels, [0], targets[:49], other, 16)
    for rows in ([50], [-1]):
        with pytest.raises(DataError, match="parameter rows"):
            Samples(pixels, rows, targets, other, 16)
    with pytest.raises(SettingsError, match="21 pixels does not fit into 20 x 20"):
        Samples(pixels, [0], targets, other, 21)


def test_nonimage_features_are_those_of_section_2_3():
    table = pd.DataFrame({"age": [46.63, 63.23, np.nan, 0.0], "sex": ["M", "F", "M", "F"],
                          "view": ["AP", "PA", "PA", "AP"]})
    features = nonimage(table)
    assert features.dtype == np.float32
    np.testing.assert_allclose(features, [[0, 1, 1], [1, 0, 0], [0, 1, 0], [-46.63 / 16.6, 0, 1]], atol=1e-6)
