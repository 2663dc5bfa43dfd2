"""Decoded images on disk: read and resized once, then mapped into memory for every later epoch and run.

    DIR/pixels.npy     uint8 (N, H, W) or (N, H, W, 3), an ordinary NumPy file
    DIR/done.bin       one byte per row: 1 once the row is in pixels.npy
    DIR/sources.json   shape of an image, and name, size and time of change of the file of each row
    DIR/lock           there while a process decodes

All of ChestX-ray14 at 256 pixels is 112,120 x 256 x 256 bytes = 7.3 GB. Threads, not processes: Pillow lets go of
Python's lock while it decodes, so they are as fast, and they work in a notebook. The lock between processes (fcntl)
and os.pwrite exist on Linux and macOS only.
"""

import math
import os
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from mdlib.errors import DataError, SettingsError
from mdlib.files import lock, read_json, stamp, write_json
from mdlib.progress import track

FORMAT = 2             # raised when these files, or the bytes of the same image, become others
ROWS_A_WORKER = 64     # between two writes of done.bin: about a second of work


def open_cache(paths: Sequence[Path | str], shape: Sequence[int], folder: Path | str,
               decode: Callable[[int], np.ndarray], workers: int | None = None) -> np.memmap:
    """The images as a read-only memory map, uint8 (N, *shape), row i as decode(i) gives it; decoded where needed.

    `shape` is (H, W) or (H, W, 3). `paths[i]` is the file that row i comes from; a file on several rows stands for
    its frames in order. `decode` must follow from the file alone. It is called on `workers` threads, by default one a
    core. A killed process loses at most the last second: the next one goes on with the rows that are not done.
    Several processes may open the same cache at once; one decodes, the others wait (flock, so a killed process leaves
    no lock behind). The collection is never held in memory.

    Raises DataError when the folder was made from other images, from images that have changed, or with another shape
    (it is never overwritten); when an image cannot be read (what is decoded is kept: replace the image and go on);
    when the disk is full.
    """
    folder, paths, shape = Path(folder), [str(Path(path)) for path in paths], list(shape)
    if not paths:
        raise DataError("no images to decode", "parameter paths", "Check that the table has rows.")
    if len(shape) < 2 or shape[2:] not in ([], [3]) or not all(isinstance(n, int) and n > 0 for n in shape):
        raise SettingsError(f"{shape} is not a size in pixels", "parameter shape",
                            "Use whole numbers: (H, W), or (H, W, 3) for colour.")
    sources = {"format": FORMAT, "shape": shape, "images": _stamps(paths)}
    if not _finished(folder, sources):
        with lock(folder / "lock"):
            if not _finished(folder, sources):  # another process may have done it meanwhile
                _fill(folder, sources, paths, decode, workers or _cores())
    return np.load(folder / "pixels.npy", mmap_mode="r")


def _fill(folder: Path, sources: dict, paths: list[str], decode: Callable[[int], np.ndarray], workers: int) -> None:
    """Decode what is not yet done, block by block; a row is marked after its pixels are on disk."""
    shape, size = tuple(sources["shape"]), math.prod(sources["shape"])
    if (folder / "sources.json").exists():
        write_json(folder / "sources.json", sources)  # images not yet decoded may have been replaced
    else:
        _create(folder, sources)
    todo = np.flatnonzero(_done(folder, sources) == 0)
    _check_room(folder, len(todo) * size)
    header = (folder / "pixels.npy").stat().st_size - len(paths) * size
    pixels, done = (os.open(folder / name, os.O_RDWR) for name in ("pixels.npy", "done.bin"))

    def keep(row: int) -> OSError | DataError | SettingsError | None:
        try:
            image = decode(int(row))
            if image.dtype != np.uint8 or image.shape != shape:
                raise DataError(f"the image was decoded to {image.dtype} {image.shape}, not uint8 {shape}", paths[row])
            _write(pixels, image.tobytes(), header + int(row) * size)
        except (OSError, DataError, SettingsError) as error:
            return error

    try:
        with ThreadPoolExecutor(workers) as pool, track(what=f"decoding to {shape[0]} x {shape[1]} pixels",
                                                        total=len(paths), initial=len(paths) - len(todo),
                                                        unit="image") as bar:
            for start in range(0, len(todo), ROWS_A_WORKER * workers):
                block = todo[start:start + ROWS_A_WORKER * workers]
                errors = list(pool.map(keep, block))
                os.fsync(pixels)
                for row in block[[error is None for error in errors]]:
                    _write(done, b"\1", int(row))
                os.fsync(done)
                _raise_first(errors, folder)
                bar.update(len(block))
    finally:
        os.close(pixels)
        os.close(done)


def _raise_first(errors: list, folder: Path) -> None:
    for error in errors:
        if isinstance(error, OSError):
            raise DataError(f"writing failed ({error.strerror})", str(folder), "Free some space and run it again: what "
                            "is decoded is kept. Or choose another cache_dir.") from error
        if error is not None:
            raise error


def _create(folder: Path, sources: dict) -> None:
    count, shape = len(sources["images"]), sources["shape"]
    _check_room(folder, count * math.prod(shape))
    np.lib.format.open_memmap(folder / "pixels.npy", mode="w+", dtype=np.uint8, shape=(count, *shape))
    (folder / "done.bin").write_bytes(bytes(count))
    write_json(folder / "sources.json", sources)  # last: without it the folder counts as empty


def _check_room(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise DataError(f"the cache needs {needed / 1e9:.2f} GB, the disk has {free / 1e9:.2f} GB free", str(folder),
                        "Free some space or choose a cache_dir on another disk.")


def _finished(folder: Path, sources: dict) -> bool:
    """Whether all rows are there. Raises DataError when the folder belongs to other images or another shape."""
    if not (folder / "sources.json").exists():
        return False
    there = read_json(folder / "sources.json")
    _refuse_other(folder, there, sources)
    done = _done(folder, sources)
    _refuse_changed(folder, there["images"], sources["images"], done)
    return bool(done.all())


def _done(folder: Path, sources: dict) -> np.ndarray:
    """The bytes of done.bin, once both files are known to have the size they must have."""
    count = len(sources["images"])
    size = count * math.prod(sources["shape"])
    pixels, done = folder / "pixels.npy", folder / "done.bin"
    if not pixels.is_file() or not done.is_file() or pixels.stat().st_size < size or done.stat().st_size != count:
        raise DataError("the cache is damaged: pixels.npy or done.bin is not complete", str(folder),
                        f"Delete the folder {folder}; it is written again.")
    return np.fromfile(done, dtype=np.uint8)


def _refuse_other(folder: Path, there: dict, asked: dict) -> None:
    remedy = f"Delete the folder {folder}, or choose another cache_dir."
    if not {"format", "images"} <= set(there):
        raise DataError("sources.json is not of a cache", str(folder), remedy)
    for name, meaning in (("format", "another version of this cache"), ("shape", "another shape")):
        if there.get(name) != asked[name]:
            raise DataError(f"the cache was made with {meaning}, {there.get(name)}, not {asked[name]}", str(folder),
                            remedy)
    old, new = there["images"], asked["images"]
    if len(old) != len(new):
        raise DataError(f"the cache was made from {len(old):,} images, not {len(new):,}", str(folder), remedy)
    other = [pair for pair in zip(old, new, strict=True) if pair[0][0] != pair[1][0]]
    if other:
        (held, *_), (wanted, *_) = other[0]
        raise DataError(f"the cache was made from other images: it holds {held} where {wanted} is asked for "
                        f"({len(other):,} of {len(new):,} differ)", str(folder), remedy)


def _refuse_changed(folder: Path, old: list, new: list, done: np.ndarray) -> None:
    """An image may be replaced until it is decoded, so that a damaged one costs nothing but itself."""
    changed = [there[0] for there, asked, row in zip(old, new, done, strict=True) if row and there != asked]
    if changed:
        raise DataError(f"the cache was made from other images: {changed[0]} has changed ({len(changed):,} of "
                        f"{len(new):,} have)", str(folder), f"Delete the folder {folder}, or choose another cache_dir.")


def _stamps(paths: list[str]) -> list[list]:
    """Name, size and time of each row's file; names from the folder of all of them, so that the collection may move."""
    parts = [os.path.split(path) for path in paths]
    folders = {folder: os.path.abspath(folder) for folder in {folder for folder, _ in parts}}
    root = os.path.commonpath(folders.values())
    within = {folder: whole[len(root):].strip(os.sep) for folder, whole in folders.items()}
    try:
        stamps = {path: (size, time) for path, size, time in stamp(map(Path, dict.fromkeys(paths)))}
    except OSError as error:
        raise DataError(f"the image cannot be read ({error.strerror})", str(error.filename),
                        "Put the file there, or remove its row from the table.") from None
    return [[os.path.join(within[folder], name), *stamps[path]] for path, (folder, name) in zip(paths, parts,
                                                                                               strict=True)]


def _write(file: int, data: bytes, offset: int) -> None:
    """All of `data` at `offset`. Not through the memory map: there a full disk would kill the process."""
    while data:
        written = os.pwrite(file, data, offset)
        data, offset = data[written:], offset + written


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
