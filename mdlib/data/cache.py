"""Decoded images on disk: read and resized once, then mapped into memory for every later epoch and run.

    DIR/pixels.npy     uint8 (N, side, side), an ordinary NumPy file
    DIR/done.bin       one byte a row: 1 once the row is in pixels.npy
    DIR/sources.json   side, and name, size and time of change of each image
    DIR/lock           there while a process decodes

All of ChestX-ray14 at 256 pixels is 112,120 x 256 x 256 bytes = 7.3 GB. Threads, not processes: Pillow lets go of
Python's lock while it decodes, so they are as fast, and they work in a notebook. The lock between processes (fcntl)
and os.pwrite exist on Linux and macOS only.
"""

import os
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from mdlib.data.images import fit_square, read_grey
from mdlib.errors import DataError, SettingsError
from mdlib.files import alone, read_json, stamp, write_json
from mdlib.progress import track

FORMAT = 1             # raised when the same image would be decoded to other bytes
ROWS_A_WORKER = 64     # between two writes of done.bin: about a second of work


def open_cache(paths: Sequence[Path | str], side: int, folder: Path | str, workers: int | None = None) -> np.memmap:
    """The images as a read-only memory map, uint8 (N, side, side), row i from paths[i]; decoded first where needed.

    Decodes on `workers` threads, by default one a core. A killed process loses at most the last second: the next one
    goes on with the rows that are not done. Several processes may open the same cache at once; one decodes, the
    others wait (flock, so a killed process leaves no lock behind). The collection is never held in memory.

    Raises DataError when the folder was made from other images, from images that have changed, or with another side
    (it is never overwritten); when an image cannot be read (what is decoded is kept: replace the image and go on);
    when the disk is full.
    """
    folder, paths = Path(folder), [Path(path) for path in paths]
    if not paths:
        raise DataError("no images to decode", "parameter paths", "Check that the table has rows.")
    if not isinstance(side, int) or side < 1:
        raise SettingsError(f"{side!r} is not a number of pixels", "parameter side", "Use a whole number, as 256.")
    sources = {"format": FORMAT, "side": side, "images": _stamps(paths)}
    if not _finished(folder, sources):
        with alone(folder / "lock"):
            if not _finished(folder, sources):  # another process may have done it meanwhile
                _fill(folder, sources, paths, workers or _cores())
    return np.load(folder / "pixels.npy", mmap_mode="r")


def _fill(folder: Path, sources: dict, paths: list[Path], workers: int) -> None:
    """Decode what is not yet done, block by block; a row is marked after its pixels are on disk."""
    side = sources["side"]
    if (folder / "sources.json").exists():
        write_json(folder / "sources.json", sources)  # images not yet decoded may have been replaced
    else:
        _create(folder, sources)
    todo = np.flatnonzero(_done(folder, sources) == 0)
    _check_room(folder, len(todo) * side**2)
    header = (folder / "pixels.npy").stat().st_size - len(paths) * side**2
    pixels, done = (os.open(folder / name, os.O_RDWR) for name in ("pixels.npy", "done.bin"))

    def decode(row: int) -> OSError | DataError | SettingsError | None:
        try:
            _write(pixels, fit_square(read_grey(paths[row]), side).tobytes(), header + int(row) * side**2)
        except (OSError, DataError, SettingsError) as error:
            return error

    try:
        with ThreadPoolExecutor(workers) as pool, track(what=f"decoding to {side} pixels", total=len(paths),
                                                        initial=len(paths) - len(todo), unit="image") as bar:
            for start in range(0, len(todo), ROWS_A_WORKER * workers):
                block = todo[start:start + ROWS_A_WORKER * workers]
                errors = list(pool.map(decode, block))
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
    count, side = len(sources["images"]), sources["side"]
    _check_room(folder, count * side**2)
    np.lib.format.open_memmap(folder / "pixels.npy", mode="w+", dtype=np.uint8, shape=(count, side, side))
    (folder / "done.bin").write_bytes(bytes(count))
    write_json(folder / "sources.json", sources)  # last: without it the folder counts as empty


def _check_room(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise DataError(f"the cache needs {needed / 1e9:.2f} GB, the disk has {free / 1e9:.2f} GB free", str(folder),
                        "Free some space or choose a cache_dir on another disk.")


def _finished(folder: Path, sources: dict) -> bool:
    """Whether all rows are there. Raises DataError when the folder belongs to other images or another side."""
    if not (folder / "sources.json").exists():
        return False
    there = read_json(folder / "sources.json")
    _refuse_other(folder, there, sources)
    done = _done(folder, sources)
    _refuse_changed(folder, there["images"], sources["images"], done)
    return bool(done.all())


def _done(folder: Path, sources: dict) -> np.ndarray:
    """The bytes of done.bin, once both files are known to have the size they must have."""
    count, size = len(sources["images"]), len(sources["images"]) * sources["side"]**2
    pixels, done = folder / "pixels.npy", folder / "done.bin"
    if not pixels.is_file() or not done.is_file() or pixels.stat().st_size < size or done.stat().st_size != count:
        raise DataError("the cache is damaged: pixels.npy or done.bin is not complete", str(folder),
                        f"Delete the folder {folder}; it is written again.")
    return np.fromfile(done, dtype=np.uint8)


def _refuse_other(folder: Path, there: dict, asked: dict) -> None:
    remedy = f"Delete the folder {folder}, or choose another cache_dir."
    if not {"format", "side", "images"} <= set(there):
        raise DataError("sources.json is not of a cache", str(folder), remedy)
    for name, meaning in (("format", "another version of this cache"), ("side", "another side")):
        if there[name] != asked[name]:
            raise DataError(f"the cache was made with {meaning}, {there[name]}, not {asked[name]}", str(folder), remedy)
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


def _stamps(paths: list[Path]) -> list[list]:
    """Name, size and time of each image; the name without its folder, so that the collection may move."""
    try:
        return [[path.name, size, time] for path, (_, size, time) in zip(paths, stamp(paths), strict=True)]
    except OSError as error:
        raise DataError(f"the image cannot be read ({error.strerror})", str(error.filename),
                        "Put the file there, or remove its row from the table.") from None


def _write(file: int, data: bytes, offset: int) -> None:
    """All of `data` at `offset`. Not through the memory map: there a full disk would kill the process."""
    while data:
        written = os.pwrite(file, data, offset)
        data, offset = data[written:], offset + written


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
