"""The cache of decoded images: same pixels, killed and gone on with, refused when it is another collection's."""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mdlib.data import cache
from mdlib.data.images import fit_square, read_colour, read_grey, read_square, resized
from mdlib.errors import DataError, SettingsError

SLOW = """
import sys, time
from pathlib import Path
from mdlib.data import cache
from mdlib.data.images import read_square
images, folder, log, pause = sys.argv[1:]
paths = sorted(Path(images).iterdir())
def slow(row):
    time.sleep(float(pause))
    with open(log, "a") as file:
        file.write(paths[row].name + "\\n")
    return read_square(paths[row], 16)
cache.ROWS_A_WORKER = 2
cache.open_cache(paths, (16, 16), folder, slow, workers=2)
"""


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    (tmp_path / "images").mkdir()
    random = np.random.default_rng(0)
    for number in range(40):
        shape = (30, 24) if number % 2 else (24, 24)
        Image.fromarray(random.integers(0, 256, shape, dtype=np.uint8)).save(tmp_path / f"images/{number:03}.png")
    return sorted((tmp_path / "images").iterdir())


def open_cache(paths: list[Path], side: int, folder: Path, workers: int | None = None, read=read_square) -> np.memmap:
    return cache.open_cache(paths, (side, side), folder, lambda row: read(paths[row], side), workers)


def decoded(paths: list[Path], side: int = 16) -> np.ndarray:
    return np.stack([fit_square(read_grey(path), side) for path in paths])


def start(tmp_path: Path, log: str, pause: float) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", SLOW, tmp_path / "images", tmp_path / "cache", tmp_path / log,
                             str(pause)], stderr=subprocess.PIPE)


def rows_done(tmp_path: Path) -> np.ndarray:
    done = tmp_path / "cache/done.bin"
    return np.flatnonzero(np.fromfile(done, np.uint8)) if done.exists() else np.array([], int)


def wait_for_rows(tmp_path: Path, count: int, process: subprocess.Popen) -> None:
    limit = time.monotonic() + 60
    while len(rows_done(tmp_path)) < count:
        assert process.poll() is None and time.monotonic() < limit, process.stderr.read()
        time.sleep(0.005)


def test_pixels_are_those_of_reading_and_resizing(tmp_path, paths):
    pixels = open_cache(paths, 16, tmp_path / "cache")
    assert isinstance(pixels, np.memmap) and pixels.dtype == np.uint8 and pixels.shape == (40, 16, 16)
    np.testing.assert_array_equal(pixels, decoded(paths))
    assert not pixels.flags.writeable
    np.testing.assert_array_equal(np.load(tmp_path / "cache/pixels.npy"), pixels)


def test_the_second_time_nothing_is_decoded(tmp_path, paths, monkeypatch):
    first = open_cache(paths, 16, tmp_path / "cache", workers=1)
    again = open_cache(paths, 16, tmp_path / "cache", read=lambda path, side: pytest.fail("decoded again"))
    np.testing.assert_array_equal(again, first)


def test_a_finished_cache_may_be_read_only(tmp_path, paths):
    first = open_cache(paths, 16, tmp_path / "cache")
    (tmp_path / "cache").chmod(0o500)
    try:
        np.testing.assert_array_equal(open_cache(paths, 16, tmp_path / "cache"), first)
        assert not (tmp_path / "cache/lock").exists()
    finally:
        (tmp_path / "cache").chmod(0o700)


def test_a_killed_run_is_gone_on_with(tmp_path, paths):
    killed = start(tmp_path, "first.log", 0.03)
    wait_for_rows(tmp_path, 8, killed)
    killed.send_signal(signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    killed.stderr.close()
    finished = rows_done(tmp_path)
    assert 8 <= len(finished) < 40
    half = np.load(tmp_path / "cache/pixels.npy")
    np.testing.assert_array_equal(half[finished], decoded(paths)[finished])  # a marked row is a whole row
    again = start(tmp_path, "second.log", 0.0)
    assert again.wait(60) == 0
    again.stderr.close()
    decoded_again = {int(name[:3]) for name in (tmp_path / "second.log").read_text().split()}
    assert decoded_again == set(range(40)) - set(finished.tolist())
    whole = open_cache(paths, 16, tmp_path / "uninterrupted")
    assert (tmp_path / "cache/pixels.npy").read_bytes() == (tmp_path / "uninterrupted/pixels.npy").read_bytes()
    np.testing.assert_array_equal(open_cache(paths, 16, tmp_path / "cache"), whole)


def test_two_processes_at_once_decode_each_image_once(tmp_path, paths):
    both = [start(tmp_path, f"{name}.log", 0.01) for name in ("one", "two")]
    for process in both:
        assert process.wait(60) == 0
        process.stderr.close()
    logs = "".join(path.read_text() for path in tmp_path.glob("*.log"))
    assert sorted(logs.split()) == [path.name for path in paths]
    np.testing.assert_array_equal(open_cache(paths, 16, tmp_path / "cache"), decoded(paths))


def test_a_bad_image_is_named_and_the_others_are_kept(tmp_path, paths):
    whole = paths[20].read_bytes()
    paths[20].write_bytes(whole[:100])
    with pytest.raises(DataError, match=r"020\.png: .*again"):
        open_cache(paths, 16, tmp_path / "cache", workers=1)
    assert set(rows_done(tmp_path)) == set(range(40)) - {20}
    read = []

    def logged(path: Path, side: int) -> np.ndarray:
        read.append(path)
        return read_square(path, side)

    with pytest.raises(DataError, match=r"020\.png"):
        open_cache(paths, 16, tmp_path / "cache", read=logged)
    paths[20].write_bytes(whole)  # what the error asked for
    np.testing.assert_array_equal(open_cache(paths, 16, tmp_path / "cache", read=logged), decoded(paths))
    assert read == [paths[20]] * 2
    os.utime(paths[20], (1, 1))
    with pytest.raises(DataError, match=r"020\.png has changed"):
        open_cache(paths, 16, tmp_path / "cache")


REFUSED = [
    (lambda paths: (paths[:-1], 16), "made from 40 images, not 39"),
    (lambda paths: (paths, 8), r"another shape, \[16, 16\], not \[8, 8\]"),
    (lambda paths: ([paths[1], paths[0], *paths[2:]], 16), r"holds 000\.png where 001\.png is asked for \(2 of 40"),
    (lambda paths: (os.utime(paths[3], (1, 1)) or paths, 16), r"003\.png has changed \(1 of 40"),
    (lambda paths: (paths[3].write_bytes(paths[4].read_bytes()) and paths, 16), r"003\.png has changed"),
]


@pytest.mark.parametrize("change, words", REFUSED)
def test_another_collections_cache_is_refused_and_kept(tmp_path, paths, change, words):
    open_cache(paths, 16, tmp_path / "cache")
    before = (tmp_path / "cache/pixels.npy").read_bytes()
    with pytest.raises(DataError, match=words) as raised:
        open_cache(*change(paths), tmp_path / "cache")
    assert f"Delete the folder {tmp_path / 'cache'}, or choose another cache_dir" in str(raised.value)
    assert (tmp_path / "cache/pixels.npy").read_bytes() == before


def test_a_collection_may_move(tmp_path, paths):
    first = open_cache(paths, 16, tmp_path / "cache")
    (tmp_path / "images").rename(tmp_path / "elsewhere")
    np.testing.assert_array_equal(open_cache(sorted((tmp_path / "elsewhere").iterdir()), 16, tmp_path / "cache"), first)


@pytest.mark.parametrize("name", ["pixels.npy", "done.bin", "sources.json"])
def test_a_damaged_cache_is_named(tmp_path, paths, name):
    open_cache(paths, 16, tmp_path / "cache")
    with (tmp_path / "cache" / name).open("r+b") as file:
        file.truncate(20)
    with pytest.raises(DataError, match="Delete"):
        open_cache(paths, 16, tmp_path / "cache")


def test_a_missing_image_and_no_images(tmp_path, paths):
    paths[7].unlink()
    with pytest.raises(DataError, match=r"007\.png: .*No such file.*Put the file there"):
        open_cache(paths, 16, tmp_path / "cache")
    with pytest.raises(DataError, match="no images"):
        open_cache([], 16, tmp_path / "cache")
    for shape in ((0, 4), (4, -1), (2.5, 4), (4,), (4, 4, 4), (4, 4, 3, 1)):
        with pytest.raises(SettingsError, match="parameter shape"):
            cache.open_cache(paths[:1], shape, tmp_path / "cache", lambda row: pytest.fail("decoded"))


def coloured(folder: Path, count: int = 7) -> list[Path]:
    random = np.random.default_rng(1)
    for number in range(count):
        (folder / f"{number % 2}").mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (9, 14, 3), dtype=np.uint8)).save(folder / f"{number % 2}/{number}.png")
    return sorted(folder.rglob("*.png"))


def test_whole_images_of_any_shape_grey_or_in_colour(tmp_path):
    paths = coloured(tmp_path / "images")
    for name, shape, read in (("grey", (9, 14), read_grey), ("small", (5, 8), read_grey),
                              ("colour", (9, 14, 3), read_colour), ("small colour", (5, 8, 3), read_colour)):
        images = [resized(read(path), shape[:2]) for path in paths]
        pixels = cache.open_cache(paths, shape, tmp_path / name, images.__getitem__)
        assert pixels.shape == (7, *shape) and pixels.dtype == np.uint8
        np.testing.assert_array_equal(pixels, images)
    np.testing.assert_array_equal(images[0], np.asarray(Image.open(paths[0]).resize((8, 5), Image.Resampling.BILINEAR)))
    with pytest.raises(DataError, match=r"another shape, \[9, 14, 3\], not \[9, 14\]"):
        cache.open_cache(paths, (9, 14), tmp_path / "colour", lambda row: pytest.fail("decoded"))


def test_several_rows_of_one_file_are_decoded_each(tmp_path, paths):
    asked = [paths[0]] * 5 + [paths[1]]
    pixels = cache.open_cache(asked, (2, 3), tmp_path / "cache", lambda row: np.full((2, 3), row, np.uint8))
    assert pixels[:, 0, 0].tolist() == [0, 1, 2, 3, 4, 5]
    os.utime(paths[0], (1, 1))
    with pytest.raises(DataError, match=r"000\.png has changed \(5 of 6"):
        cache.open_cache(asked, (2, 3), tmp_path / "cache", lambda row: pytest.fail("decoded"))


def test_files_of_one_name_in_two_folders_are_not_taken_for_each_other(tmp_path):
    for name in "ab":
        (tmp_path / "images" / name).mkdir(parents=True)
        Image.fromarray(np.full((4, 4), ord(name), np.uint8)).save(tmp_path / f"images/{name}/1.png")
        os.utime(tmp_path / f"images/{name}/1.png", (1, 1))
    paths = [tmp_path / "images/a/1.png", tmp_path / "images/b/1.png"]
    first = open_cache(paths, 4, tmp_path / "cache")
    with pytest.raises(DataError, match=r"holds a/1\.png where b/1\.png is asked for \(2 of 2 differ"):
        open_cache(paths[::-1], 4, tmp_path / "cache")
    (tmp_path / "images").rename(tmp_path / "moved")
    moved = [tmp_path / "moved/a/1.png", tmp_path / "moved/b/1.png"]
    np.testing.assert_array_equal(open_cache(moved, 4, tmp_path / "cache"), first)


@pytest.mark.parametrize("shape, kind", [((4, 5), np.uint8), ((4, 4), np.int16), ((4, 4, 3), np.uint8)])
def test_pixels_of_another_kind_are_not_written(tmp_path, paths, shape, kind):
    wrong = np.zeros(shape, kind)
    with pytest.raises(DataError, match=r"000\.png: the image was decoded to .*, not uint8 \(4, 4\)"):
        cache.open_cache(paths[:1], (4, 4), tmp_path / "cache", lambda row: wrong)
    assert not len(rows_done(tmp_path))


def test_too_small_a_disk_is_told_before_anything_is_decoded(tmp_path, paths, monkeypatch):
    monkeypatch.setattr(cache.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 10_000}))
    with pytest.raises(DataError, match=r"needs 0\.00 GB, the disk has 0\.00 GB free.*another disk"):
        open_cache(paths, 16, tmp_path / "cache")
    assert not (tmp_path / "cache/pixels.npy").exists()


def test_a_disk_that_fills_up_keeps_what_is_done(tmp_path, paths, monkeypatch):
    write, count = cache._write, [0]

    def full(file: int, data: bytes, offset: int) -> None:
        count[0] += len(data) > 1
        if count[0] > 10 and len(data) > 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(file, data, offset)

    with monkeypatch.context() as patch:
        patch.setattr(cache, "_write", full)
        with pytest.raises(DataError, match=r"No space left on device.*is kept"):
            open_cache(paths, 16, tmp_path / "cache", workers=1)
    assert len(rows_done(tmp_path)) == 10
    np.testing.assert_array_equal(open_cache(paths, 16, tmp_path / "cache"), decoded(paths))


def test_real_images_as_pillow_and_torchvision_give_them(tmp_path, real_data):
    from torchvision import transforms

    paths = sorted((real_data / "chestxray14_fullsize/images").iterdir())[:6]
    pixels = open_cache(paths, 256, tmp_path / "cache")
    resize = transforms.Compose([transforms.Resize(256), transforms.CenterCrop(256)])
    for path, ours in zip(paths, pixels, strict=True):
        np.testing.assert_array_equal(ours, np.asarray(resize(Image.open(path).convert("RGB")))[..., 0])
