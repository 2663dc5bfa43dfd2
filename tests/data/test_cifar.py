"""CIFAR from both layouts, refused where it is not what it should be; batches cut and augmented at once."""

import hashlib
import io
import pickle

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader
from torchvision.datasets import CIFAR10, CIFAR100

from mdlib.data.cifar import DeviceImages, colours, read
from mdlib.errors import DataError, SettingsError


def encoded(images):
    """The JPEG bytes of each image."""
    files = []
    for image in images:
        file = io.BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=75)
        files.append(file.getvalue())
    return files


def write_npz(path, files, numbers, **other):
    arrays = {"jpeg": np.frombuffer(b"".join(files), np.uint8), "offsets": np.cumsum([0, *map(len, files)]),
              "labels": np.asarray(numbers, np.uint8)}
    np.savez(path, **{**arrays, **other})


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (12, 32, 32, 3), dtype=np.uint8)


@pytest.fixture
def npz(tmp_path, images):
    path = tmp_path / "cifar10_jpeg_train.npz"
    write_npz(path, encoded(images), np.arange(12) % 10)
    return path


@pytest.mark.parametrize("part, count, first", [
    ("train", 50_000, [6, 9, 9, 4, 1, 1, 2, 7, 8, 3]), ("test", 8_983, None)])
def test_the_real_files_are_cifar_10_in_its_order(real_data, part, count, first):
    found = read(real_data / "cifar10", part)
    assert found.images.shape == (count, 32, 32, 3) and found.images.dtype == np.uint8
    assert found.labels.shape == (count,) and found.labels.dtype == np.int64
    assert np.ptp(np.bincount(found.labels)) < 30 and set(found.labels) == set(range(10))
    if first:
        assert found.labels[:10].tolist() == first and found.classes[6] == "frog" and found.classes[9] == "truck"
    mean, std = colours(found.images)
    np.testing.assert_allclose([mean, std], [(0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)], atol=0.005)


def test_an_npz_is_its_decoded_images(npz, images):
    found = read(npz.parent, "train")
    for image, file in zip(found.images, encoded(images), strict=True):
        np.testing.assert_array_equal(image, Image.open(io.BytesIO(file)))
    assert found.labels.tolist() == [*range(10), 0, 1] and len(found.classes) == 10


def test_colours_are_numpys_mean_and_std():
    images = np.random.default_rng(1).integers(0, 256, (150, 5, 4, 3), dtype=np.uint8)
    mean, std = colours(images)
    np.testing.assert_allclose(mean, (images / 255).mean((0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(std, (images / 255).std((0, 1, 2)), rtol=1e-12)


def test_a_damaged_npz_is_an_error_that_names_the_file(npz):
    """Cut at any length, or any one of its bytes changed: either an error, or the very same images and labels."""
    whole, good = npz.read_bytes(), read(npz.parent, "train")
    chance = np.random.default_rng(0)
    for trial in range(300):
        place = int(chance.integers(len(whole)))
        npz.write_bytes(whole[:place] if trial % 3 == 0 else whole[:place] + bytes([whole[place] ^ 255])
                        + whole[place + 1:])
        try:
            found = read(npz.parent, "train")
        except DataError as error:
            assert str(npz) in str(error)
        else:
            np.testing.assert_array_equal(found.images, good.images)
            np.testing.assert_array_equal(found.labels, good.labels)


class Malice:
    """Writes a file when it is unpickled."""

    def __init__(self, place):
        self.place = place

    def __reduce__(self):
        return (open, (str(self.place), "w"))


def test_pickled_objects_in_an_npz_are_not_unpickled(npz):
    ran = npz.parent / "ran"
    write_npz(npz, [], [], labels=np.array([Malice(ran)], dtype=object))
    with pytest.raises(DataError, match="pickled objects are not read"):
        read(npz.parent, "train")
    npz.write_bytes(pickle.dumps(Malice(ran)))
    with pytest.raises(DataError, match="damaged"):
        read(npz.parent, "train")
    assert not ran.exists()


@pytest.mark.parametrize("other, message", [
    ({"labels": np.arange(11, dtype=np.uint8) % 10}, "not one label per image"),
    ({"labels": np.full(12, 10)}, "a label is not one of 0 to 9"), ({"labels": np.full(12, -1)}, "a label is not one"),
    ({"labels": np.zeros(12)}, "rows of whole numbers"), ({"offsets": np.zeros((13, 1), int)}, "rows of whole numbers"),
    ({"offsets": np.array([0] * 12 + [10**6])}, "offsets do not lead"),
    ({"offsets": np.array([], int)}, "not one label per image"),
    ({"jpeg": np.zeros(9, np.int64)}, "jpeg is not uint8")])
def test_arrays_that_do_not_fit_are_refused(npz, images, other, message):
    write_npz(npz, encoded(images), np.arange(12) % 10, **other)
    with pytest.raises(DataError, match=message) as error:
        read(npz.parent, "train")
    assert str(npz) in str(error.value)


@pytest.mark.parametrize("change, message", [
    (lambda files: [files[0][:200], *files[1:]], "image 0 cannot be used"),
    (lambda files: [*files[:3], b"", *files[4:]], "image 3 cannot be used"),
    (lambda files: encoded([np.zeros((16, 32, 3), np.uint8)]) + files[1:], "image 0 .*32 x 16 pixels, not 32 x 32")])
def test_an_image_that_is_not_cifars_is_named(npz, images, change, message):
    write_npz(npz, change(encoded(images)), np.arange(12) % 10)
    with pytest.raises(DataError, match=message):
        read(npz.parent, "train")


def test_an_array_alone_or_without_a_name_is_refused(npz):
    with npz.open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(DataError, match="no npz of arrays"):
        read(npz.parent, "train")
    np.savez(npz, jpeg=np.zeros(3, np.uint8))
    with pytest.raises(DataError, match="no npz of arrays"):
        read(npz.parent, "train")


PUBLISHED = {CIFAR10: (["data_batch_1", "data_batch_2"], "test_batch", "batches.meta", "labels", "label_names"),
             CIFAR100: (["train"], "test", "meta", "fine_labels", "fine_label_names")}


@pytest.fixture(params=[CIFAR10, CIFAR100])
def published(request, tmp_path, monkeypatch):
    """A folder as torchvision reads it, of eight images a file, whose checksums the class is told."""
    kind, chance = request.param, np.random.default_rng(2)
    train, test, meta, labels, names = PUBLISHED[kind]
    folder = tmp_path / kind.base_folder
    folder.mkdir()
    sums, made = {}, {}
    for name in [*train, test, meta]:
        made[name] = {"data": chance.integers(0, 256, (8, 3072), dtype=np.uint8), labels: [*range(8)]}
        content = pickle.dumps({names: [f"class {i}" for i in range(8)]} if name == meta else made[name])
        (folder / name).write_bytes(content)
        sums[name] = hashlib.md5(content).hexdigest()
    monkeypatch.setattr(kind, "train_list", [[name, sums[name]] for name in train])
    monkeypatch.setattr(kind, "test_list", [[test, sums[test]]])
    monkeypatch.setattr(kind, "meta", {"filename": meta, "key": names, "md5": sums[meta]})
    return folder, [made[name]["data"] for name in train], made[test]["data"]


def test_the_published_layout_is_read_as_planes_of_red_green_and_blue(published):
    folder, train, test = published
    for part, rows in (("train", np.concatenate(train)), ("test", test)):
        found = read(folder.parent, part)
        assert found.images.shape == (len(rows), 32, 32, 3)
        for image, row in zip(found.images, rows, strict=True):
            for channel in range(3):
                np.testing.assert_array_equal(image[..., channel].ravel(), row[1024 * channel:1024 * (channel + 1)])
        assert found.labels.tolist() == [*range(8)] * (len(rows) // 8) and found.labels.dtype == np.int64
        assert found.classes == tuple(f"class {i}" for i in range(8))


def test_a_file_with_another_checksum_is_named_and_not_unpickled(published):
    folder, ran = published[0], published[0].parent / "ran"
    for path in sorted(folder.iterdir()):
        whole = path.read_bytes()
        path.write_bytes(pickle.dumps(Malice(ran)))
        with pytest.raises(DataError, match="not the published file") as error:
            read(folder.parent, "train")
        assert str(path) in str(error.value) and "Unpack cifar-10" in str(error.value)
        path.unlink()
        with pytest.raises(DataError, match="no such file") as error:
            read(folder.parent, "train")
        assert str(path) in str(error.value)
        path.write_bytes(whole)
    assert read(folder.parent, "train") and not ran.exists()


def test_the_true_checksums_refuse_a_made_up_folder(tmp_path):
    (tmp_path / "cifar-10-batches-py").mkdir()
    (tmp_path / "cifar-10-batches-py" / "data_batch_1").write_bytes(b"made up")
    with pytest.raises(DataError, match=r"data_batch_1: this is not the published file"):
        read(tmp_path, "train")


def test_a_folder_without_cifar_says_what_it_must_hold(tmp_path, npz):
    with pytest.raises(DataError, match=r"no cifar10_jpeg_test\.npz.*cifar-10-batches-py/ or cifar-100-python/"):
        read(tmp_path, "test")
    for folder in (tmp_path / "nowhere", tmp_path):
        npz.unlink(missing_ok=True)
        with pytest.raises(DataError, match="no CIFAR in this folder"):
            read(folder, "train")
    with pytest.raises(SettingsError, match="unknown part 'validation'"):
        read(tmp_path, "validation")


def test_two_collections_in_a_folder_are_refused(tmp_path, npz):
    (tmp_path / "cifar-100-python").mkdir()
    with pytest.raises(DataError, match="several collections"):
        read(tmp_path, "train")


class TestDeviceImages:
    @pytest.fixture
    def labels(self):
        return np.arange(12) % 10

    def test_a_sample_is_its_row(self, images, labels):
        samples = DeviceImages(images, labels, "cpu", training=False)
        assert len(samples) == 12
        for i in range(12):
            sample = samples[i]
            assert {name: (value.dtype, tuple(value.shape)) for name, value in sample.items()} == {
                "image": (torch.float32, (3, 32, 32)), "target": (torch.int64, ()), "index": (torch.int64, ())}
            np.testing.assert_array_equal(sample["image"].permute(1, 2, 0) * 255, images[i])
            assert sample["target"] == labels[i] and sample["index"] == i

    def test_a_loader_gives_whole_batches(self, images, labels):
        samples = DeviceImages(images, labels, "cpu", training=False)
        batches = list(DataLoader(samples, 5, collate_fn=samples.collate))
        assert [tuple(batch["image"].shape) for batch in batches] == [(5, 3, 32, 32), (5, 3, 32, 32), (2, 3, 32, 32)]
        assert torch.cat([batch["index"] for batch in batches]).tolist() == [*range(12)]
        whole = torch.cat([batch["image"] for batch in batches]).permute(0, 2, 3, 1) * 255
        np.testing.assert_array_equal(whole, images)

    def test_in_training_an_image_is_one_of_its_crops_or_mirrored_crops(self, images, labels):
        samples, seen = DeviceImages(images, labels, "cpu", training=True), set()
        torch.manual_seed(0)
        for _ in range(20):
            batch = samples.__getitems__([*range(12)])
            assert batch["target"].tolist() == labels.tolist()
            for image, source in zip(batch["image"].permute(0, 2, 3, 1).mul(255).numpy(), images, strict=True):
                wide = np.pad(source, ((4, 4), (4, 4), (0, 0)), "reflect")
                drawn = [(top, left, turned) for top in range(9) for left in range(9) for turned in (1, -1)
                         if np.array_equal(image, wide[top:top + 32, left:left + 32][:, ::turned])]
                assert len(drawn) == 1
                seen.update(drawn)
        assert len(seen) > 100                                                             # of 162

    def test_draws_follow_from_torchs_seed_and_change_nothing_kept(self, images, labels):
        samples = DeviceImages(images, labels, "cpu", training=True)
        kept, draws = samples.images.clone(), []
        for seed in (1, 1, 2):
            torch.manual_seed(seed)
            draws.append(samples.__getitems__([*range(12)])["image"])
        assert torch.equal(draws[0], draws[1]) and not torch.equal(draws[0], draws[2])
        assert torch.equal(samples.images, kept)

    def test_it_tells_whether_its_batches_are_on_the_device(self, images, labels):
        assert not DeviceImages(images, labels, "cpu", training=False).on_device
        assert DeviceImages(images, labels, "meta", training=False).on_device

    @pytest.mark.parametrize("change", [
        lambda images, labels: (images / 255, labels), lambda images, labels: (images, labels[:11]),
        lambda images, labels: (images[..., 0], labels), lambda images, labels: (images.transpose(0, 3, 1, 2), labels)])
    def test_what_does_not_fit_is_refused(self, images, labels, change):
        with pytest.raises(DataError, match="parameters images, labels"):
            DeviceImages(*change(images, labels), "cpu", training=False)
