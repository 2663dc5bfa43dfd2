"""Pictures of different sizes in one cache: their own bytes and sizes, padded batches, and files that are refused."""

import pickle

import numpy as np
import pytest
import torch
from odd_pictures import ODD, PIXELS, plain, truncated
from PIL import Image

from mdlib.data.folders import class_folders
from mdlib.data.pictures import Augmentation, Pictures, PictureSamples, check_picture, open_pictures
from mdlib.errors import DataError

SIZES = [(48, 64), (40, 80), (60, 30), (48, 64)]


@pytest.fixture
def files(tmp_path):
    paths = [tmp_path / f"{number}.tif" for number in range(len(SIZES))]
    for number, (path, (height, width)) in enumerate(zip(paths, SIZES, strict=True)):
        pixels = np.random.default_rng(number).integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
    return paths


@pytest.fixture
def pictures(files, tmp_path):
    return open_pictures(files, tmp_path / "cache", workers=1)


def test_each_picture_has_its_own_bytes_and_size(files, pictures):
    assert pictures.sizes.tolist() == [list(size) for size in SIZES] and isinstance(pictures.pixels, np.memmap)
    for row, path in enumerate(files):
        assert np.array_equal(pictures.picture(row), np.asarray(Image.open(path)))
        assert np.shares_memory(pictures.picture(row), pictures.pixels)


def test_a_batch_is_padded_to_its_largest_picture(pictures):
    batch = pictures.batch([2, 0])
    assert batch["picture"].shape == (2, 3, 60, 64) and batch["picture"].dtype == torch.uint8
    assert batch["extent"].tolist() == [[60, 30], [48, 64]] and batch["index"].tolist() == [2, 0]
    for number, row in enumerate((2, 0)):
        height, width = SIZES[row]
        own = batch["picture"][number].permute(1, 2, 0).numpy()
        assert np.array_equal(own[:height, :width], pictures.picture(row))
        assert not own[height:].any() and not own[:, width:].any()
    assert pictures[1]["picture"].shape == (3, 40, 80)


def test_rows_choose_among_the_pictures(pictures):
    some = Pictures(pictures.pixels, pictures.sizes, [3, 1])
    assert len(some) == 2 and some.batch(2)["index"].tolist() == [3, 1]
    with pytest.raises(DataError, match="3 sizes for pixels"):
        Pictures(pictures.pixels, pictures.sizes[:3])


def test_samples_have_thumbnail_picture_and_target(pictures):
    thumbnails = np.random.default_rng(0).integers(0, 256, (4, 6, 8, 3), dtype=np.uint8)
    samples = PictureSamples(thumbnails, pictures, np.array([0, 1, 2, 1]), [3, 1, 0])
    batch = samples.batch([1, 2])
    assert batch["index"].tolist() == [1, 0] and batch["target"].tolist() == [1, 0]
    assert batch["image"].shape == (2, 3, 6, 8) and batch["extent"].tolist() == [[40, 80], [48, 64]]
    torch.testing.assert_close(batch["image"][0], torch.from_numpy(thumbnails[1]).permute(2, 0, 1) / 255)
    assert samples[0]["index"] == 3 and samples[0]["picture"].shape == (3, 48, 64)
    with pytest.raises(DataError, match="are not of one length"):
        PictureSamples(thumbnails[:3], pictures, np.zeros(4), [0])


def test_pictures_may_be_grey(files, tmp_path):
    pictures = open_pictures(files, tmp_path / "grey", workers=1, colour=False)
    assert np.array_equal(pictures.picture(1), np.asarray(Image.open(files[1]).convert("L")))
    samples = PictureSamples(np.zeros((4, 6, 8), np.uint8), pictures, np.zeros(4), [1, 2])
    assert samples.batch(2)["picture"].shape == (2, 1, 60, 80) and samples.batch(2)["image"].shape == (2, 1, 6, 8)


@pytest.fixture
def marked():
    """Samples of two pictures, the first smaller than the second, with a bright rectangle in its box."""
    pixels, box = np.full((2, 40, 60, 3), 100, np.uint8), np.array([0.2, 0.1, 0.5, 0.4])
    pixels[0, 4:10, 3:12], pixels[0, 20:], pixels[0, :, 30:] = 200, 0, 0
    sizes, thumbnails = np.array([[20, 30], [40, 60]]), pixels[:, :20, :30].copy()
    return lambda **how: PictureSamples(thumbnails, Pictures(pixels, sizes), np.zeros(2), [0, 1], Augmentation(**how),
                                        np.stack([box, box])[:, None])


def test_a_reflection_moves_thumbnail_picture_and_box_together_and_leaves_the_padding(marked):
    torch.manual_seed(0)
    samples, seen = marked(upside_down=True), set()
    for _ in range(40):
        batch = samples.batch(2)
        top, left, bottom, right = (batch["boxes"][0, 0] * torch.tensor([20, 30, 20, 30])).round().int().tolist()
        for image in (batch["picture"][0, :, :20, :30], batch["image"][0] * 255):
            bright = image.round() == 200
            assert bright[:, top:bottom, left:right].all() and bright.sum() == 3 * 6 * 9
        assert not batch["picture"][0, :, 20:].any() and not batch["picture"][0, :, :, 30:].any()
        seen.add((top, left))
    assert seen == {(4, 3), (4, 18), (10, 3), (10, 18)}
    assert {round(float(marked().batch(1)["boxes"][0, 0, 0]), 5) for _ in range(20)} == {0.2}


def test_a_tone_is_one_curve_for_each_channel_of_thumbnail_and_picture_within_its_range(marked):
    torch.manual_seed(0)
    samples, dark = marked(tone=0.4), []
    for _ in range(40):
        batch = samples.batch(2)
        small, large = (batch["image"][0] * 255).round().byte(), batch["picture"][0, :, :20, :30]
        assert torch.equal(small, large) and not batch["picture"][0, :, 20:].any()
        dark.append(large.flatten(1).amin(dim=1).tolist())
    dark = np.array(dark) / 255
    middle = 100 / 255 - 0.5
    assert (np.abs(dark - 0.5 - middle) <= 0.2 + 0.4 * abs(middle) + 1 / 255).all()
    assert np.ptp(dark, axis=0).min() > 0.2 and (np.ptp(dark, axis=1) > 0).any()


def test_a_worker_process_is_sent_no_pixels(pictures):
    thumbnails = np.zeros((4, 6, 8, 3), np.uint8)
    sent = pickle.dumps(PictureSamples(thumbnails, pictures, np.zeros(4), [3, 1]))
    assert len(sent) < pictures.pixels.nbytes / 4
    assert pickle.loads(sent).batch(1)["picture"].equal(pictures.batch([3])["picture"])


@pytest.mark.parametrize("write, words", ODD.items(), ids=lambda value: getattr(value, "__name__", ""))
def test_what_programs_do_not_agree_about_is_refused_by_its_header(tmp_path, write, words):
    path = tmp_path / "odd.tif"
    write(path)
    with pytest.raises(DataError, match=rf"odd\.tif \(row 7 of table\.csv\): .*({words}).*\. [A-Z]"):
        check_picture(path, row="row 7 of table.csv")


def test_a_picture_of_ordinary_kind_is_not_refused(tmp_path):
    for kind in ("RGB", "L", "P"):
        Image.fromarray(PIXELS).convert(kind).save(tmp_path / f"{kind}.png")
        assert check_picture(tmp_path / f"{kind}.png") == (48, 64)
    Image.fromarray(PIXELS).save(tmp_path / "packed.tif", compression="tiff_lzw")
    assert check_picture(tmp_path / "packed.tif", smallest=48) == (48, 64)


def test_a_picture_smaller_than_the_crop_is_refused_before_any_is_decoded(files, tmp_path):
    with pytest.raises(DataError, match=r"2\.tif: 60 x 30 pixels .* fewer than a crop of 32"):
        open_pictures(files, tmp_path / "cache", smallest=32)
    assert not (tmp_path / "cache").exists()


@pytest.fixture
def folder(tmp_path):
    """Two classes of two pictures each, as a folder for each class."""
    for label in ("flavus", "niger"):
        (tmp_path / label).mkdir()
        for number in (1, 2):
            plain(tmp_path / label / f"{label}{number}_01.tif")
    return tmp_path


@pytest.mark.parametrize("write, words", ODD.items(), ids=lambda value: getattr(value, "__name__", ""))
def test_an_odd_picture_in_the_folder_of_a_class_is_named_before_any_is_decoded(folder, write, words):
    write(folder / "niger" / "niger2_01.tif")
    paths = class_folders(folder, ("flavus", "niger")).paths()
    with pytest.raises(DataError, match=rf"niger/niger2_01\.tif: .*({words}).*\. [A-Z]"):
        open_pictures(paths, folder / "cache")
    assert not (folder / "cache").exists()


def test_a_picture_in_the_folder_of_a_class_that_is_smaller_than_the_crop_is_named(folder):
    with pytest.raises(DataError, match=r"flavus/flavus1_01\.tif: 48 x 64 pixels .* fewer than a crop of 49\. Leave"):
        open_pictures(class_folders(folder, ("flavus", "niger")).paths(), folder / "cache", smallest=49)


def test_a_missing_picture_is_named(tmp_path):
    with pytest.raises(DataError, match=r"none\.tif: no such picture"):
        check_picture(tmp_path / "none.tif")


@pytest.mark.parametrize("ending", ["jpg", "png"])
def test_a_truncated_picture_that_is_no_tiff_is_named_at_the_latest_when_it_is_decoded(tmp_path, ending):
    truncated(tmp_path / f"cut.{ending}")
    plain(tmp_path / "whole.jpg")
    with pytest.raises(DataError, match=rf"cut\.{ending}: the (image|picture) is truncated .*\. Copy or download it"):
        open_pictures([tmp_path / "whole.jpg", tmp_path / f"cut.{ending}"], tmp_path / "cache", workers=1)
