"""Bags of unequal size in one batch: the right slices, drawn as the paper says, and no more of them in memory."""

import pickle
import tracemalloc

import numpy as np
import pandas as pd
import pytest
import torch
from oct_folder import volumes
from PIL import Image
from torch.utils.data import DataLoader

from mdlib.data.bags import Bags, BagSamples, middle
from mdlib.data.folders import class_folders
from mdlib.data.samples import collate
from mdlib.data.volumes import oct_volumes
from mdlib.errors import DataError, SettingsError


def made_up(counts: list[int], folder=".") -> Bags:
    count = np.array(counts)
    table = pd.DataFrame({"bag": [f"v{i}" for i in range(len(count))], "patient": [f"p{i}" for i in range(len(count))],
                          "label": np.where(np.arange(len(count)) % 3, "normal", "DME"),
                          "first": np.cumsum(count) - count, "count": count})
    slices = pd.DataFrame({"path": [f"{i}.png" for i in range(count.sum())], "frame": 0})
    return Bags(folder, ("normal", "DME"), table, slices)


@pytest.fixture
def samples(tmp_path) -> BagSamples:
    bags = made_up([40, 1, 31, 13, 5])
    np.save(tmp_path / "pixels.npy", np.random.default_rng(0).integers(0, 256, (90, 4, 6), dtype=np.uint8))
    return BagSamples(np.load(tmp_path / "pixels.npy", mmap_mode="r"), bags, [3, 0, 1, 4, 2], draw=None)


def test_a_batch_is_all_slices_of_its_bags_in_order_without_padding(samples):
    batch = samples.__getitems__([4, 2, 0])     # rows 2, 1, 3 of the table
    assert {name: (value.dtype, tuple(value.shape)) for name, value in batch.items()} == {
        "bag": (torch.float32, (44, 1, 4, 6)), "sizes": (torch.int64, (3,)), "target": (torch.int64, (3,)),
        "index": (torch.int64, (3,))}
    assert batch["sizes"].tolist() == [30, 1, 13] and batch["index"].tolist() == [2, 1, 3]
    assert batch["target"].tolist() == [0, 0, 1]
    expected = np.concatenate([samples.pixels[41:71], samples.pixels[40:41], samples.pixels[72:85]])
    torch.testing.assert_close(batch["bag"], torch.from_numpy(expected)[:, None] / 255, rtol=0, atol=0)


def test_a_single_sample_is_a_batch_of_one_bag(samples):
    alone, batch = samples[3], samples.__getitems__([3])
    assert all(torch.equal(alone[name], batch[name]) for name in batch) and alone["sizes"].tolist() == [5]


def test_the_middle_slices_by_hand():
    first, count = middle(made_up([128, 31, 30, 25, 1]).table, 30)
    assert count.tolist() == [30, 30, 30, 25, 1]
    assert (first - np.array([0, 128, 159, 189, 214])).tolist() == [49, 0, 0, 0, 0]


def test_bags_of_the_middle_slices_give_the_same_batches(samples):
    bags = made_up([40, 1, 31, 13, 5])
    central = bags.central(30)
    assert central.table["count"].tolist() == [30, 1, 30, 13, 5]
    kept = [int(path[:-4]) for path in central.slices["path"]]
    assert kept == [*range(5, 35), 40, *range(41, 71), *range(72, 85), *range(85, 90)]
    few = BagSamples(samples.pixels[kept], central, samples.rows, draw=None)
    for index in range(5):
        assert torch.equal(few[index]["bag"], samples[index]["bag"])


def test_some_of_the_bags_keep_their_slices(samples):
    bags = made_up([3, 1, 4])
    chosen = bags.only(np.array([2, 0]))
    assert chosen.table["bag"].tolist() == ["v2", "v0"] and chosen.table["first"].tolist() == [0, 4]
    assert chosen.slices["path"].tolist() == [f"{i}.png" for i in (4, 5, 6, 7, 0, 1, 2)]
    assert chosen.targets.tolist() == bags.targets[[2, 0]].tolist()


def numbered(counts: list[int], **options) -> BagSamples:
    """Every slice is filled with its own number within its volume, up to 255."""
    bags = made_up(counts)
    pixels = np.concatenate([np.arange(count) for count in counts]).astype(np.uint8)
    return BagSamples(np.broadcast_to(pixels[:, None, None], (len(pixels), 2, 2)), bags, range(len(counts)), **options)


def drawn(samples: BagSamples, index: int) -> list[int]:
    return (samples[index]["bag"][:, 0, 0, 0] * 255).round().int().tolist()


def test_twelve_to_eighteen_of_the_thirty_central_slices_are_drawn_anew_each_time():
    samples = numbered([128])
    torch.manual_seed(0)
    draws = [drawn(samples, 0) for _ in range(4000)]
    sizes, slices = np.bincount([len(draw) for draw in draws]), np.bincount(np.concatenate(draws), minlength=128)
    assert np.flatnonzero(sizes).tolist() == [12, 13, 14, 15, 16, 17, 18]
    assert all(draw == sorted(set(draw)) for draw in draws)
    assert np.flatnonzero(slices).tolist() == list(range(49, 79))
    assert np.abs(sizes[12:19] / 4000 - 1 / 7).max() < 0.02 and np.abs(slices[49:79] / 4000 - 0.5).max() < 0.03


def test_draws_follow_from_torchs_seed():
    samples = numbered([128, 31])
    draws = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        draws.append([drawn(samples, 0), drawn(samples, 1)])
    assert draws[0] == draws[1] != draws[2]


def test_of_few_slices_as_many_as_there_are_and_for_testing_all():
    torch.manual_seed(0)
    samples = numbered([1, 5, 12, 14])
    for _ in range(50):
        assert [drawn(samples, index) for index in range(3)] == [[0], list(range(5)), list(range(12))]
        assert 12 <= len(drawn(samples, 3)) <= 14
    whole = numbered([128, 14], draw=None)
    assert drawn(whole, 0) == list(range(49, 79)) and drawn(whole, 1) == list(range(14))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_data_loader_gives_every_bag_once_in_order(samples, workers):
    context = "fork" if workers else None
    loader = DataLoader(samples, batch_size=2, collate_fn=collate, num_workers=workers, multiprocessing_context=context)
    batches = list(loader)
    assert torch.cat([batch["index"] for batch in batches]).tolist() == [3, 0, 1, 4, 2]
    assert [batch["sizes"].tolist() for batch in batches] == [[13, 30], [1, 5], [30]]
    assert torch.equal(batches[1]["bag"], samples.__getitems__([2, 3])["bag"])


def test_pickling_names_the_file_and_copies_no_pixels(samples):
    again = pickle.loads(pickle.dumps(samples))
    assert isinstance(again.pixels, np.memmap) and again.pixels.filename == samples.pixels.filename
    assert all(torch.equal(again[index]["bag"], samples[index]["bag"]) for index in range(5))


def peak(folder, count: int) -> int:
    """The most bytes that NumPy holds while a batch is made of a collection of `count` volumes (a file of holes)."""
    path = folder / f"{count}.npy"
    np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=(count * 31, 100, 200))
    samples = BagSamples(np.load(path, mmap_mode="r"), made_up([31] * count), range(count), draw=(15, 15))
    samples.__getitems__([0])
    tracemalloc.start()
    samples.__getitems__([0, count - 1])
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return most


def test_the_memory_of_a_batch_does_not_depend_on_the_number_of_volumes(tmp_path):
    few, many = peak(tmp_path, 10), peak(tmp_path, 1000)
    batch = 2 * 15 * 100 * 200
    assert batch <= few < 1.1 * batch and abs(many - few) < 0.01 * batch


def test_what_does_not_fit_is_refused(samples):
    bags = made_up([3, 2])
    pixels = np.zeros((5, 4, 4), np.uint8)
    with pytest.raises(DataError, match="4 rows of pixels for 5 slices"):
        BagSamples(pixels[:4], bags, [0])
    with pytest.raises(DataError, match="parameter rows"):
        BagSamples(pixels, bags, [2])
    for draw in ((0, 3), (5, 4)):
        with pytest.raises(SettingsError, match="parameter draw"):
            BagSamples(pixels, bags, [0], draw=draw)
    with pytest.raises(SettingsError, match="parameter central"):
        BagSamples(pixels, bags, [0], central=0)


NO_BAGS = [("count", 0, "bag 'v1' has no slices"), ("bag", "v0", "'v0' occurs twice"),
           ("label", "AMD", "'v1' has a class that is none of normal, DME")]


@pytest.mark.parametrize("column, value, words", NO_BAGS)
def test_a_bag_that_is_none_is_refused(column, value, words):
    bags = made_up([3, 2])
    table = bags.table.copy()
    table.loc[1, column] = value
    with pytest.raises(DataError, match=words):
        Bags(bags.data_dir, bags.classes, table, bags.slices)


def test_pixels_are_the_slices_resized_grey_or_in_colour(tmp_path):
    bags = oct_volumes(volumes(tmp_path / "oct"))
    pixels = bags.pixels((3, 5), tmp_path / "grey")
    assert pixels.shape == (17, 3, 5) and pixels[:, 1, 2].tolist() == [11, 12, 13, 14, *range(21, 33), 31]
    for name in ("healthy", "MMD"):
        (tmp_path / "fundus" / name).mkdir(parents=True)
        for number in (1, 2):
            Image.new("RGB", (10, 6), (200, 100, len(name))).save(tmp_path / f"fundus/{name}/{name}_{number}.png")
    bags = class_folders(tmp_path / "fundus")
    pixels = bags.pixels((3, 5), tmp_path / "colour")
    assert pixels.shape == (4, 3, 5, 3) and pixels[1:3, 1, 2].tolist() == [[200, 100, 7], [200, 100, 3]]
    batch = BagSamples(pixels, bags, [2, 0]).__getitems__([0, 1])
    assert batch["bag"].shape == (2, 3, 3, 5) and batch["sizes"].tolist() == [1, 1]
    assert (batch["bag"][0, :, 1, 2] * 255).round().tolist() == [200, 100, 3] and batch["target"].tolist() == [1, 0]
