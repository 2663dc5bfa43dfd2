"""A drawn collection on the disk: there whole under its name or not at all, its description in truth/phantoms.json."""

import csv
import json
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

from mdlib.errors import DataError
from mdlib.files import lock, read_json, write_json


def is_phantom(folder: Path | str) -> bool:
    """Whether `folder` holds a complete phantom collection."""
    return _told(Path(folder)).is_file()


def description(folder: Path | str, writer: str) -> dict:
    """What a collection says of itself. Raises DataError where there is none, naming the module that writes one."""
    if not is_phantom(folder):
        raise DataError("this is no phantom collection (truth/phantoms.json is missing)", str(folder),
                        f"Write one with {writer}.write.")
    return read_json(_told(Path(folder)))


def complete(folder: Path | str, told: dict, fill: Callable[[Path], None]) -> Path:
    """The folder, after `fill(part)` has drawn into it what `told` describes.

    It appears under its name only when complete; where the same collection already is, nothing is done: of two
    processes that ask for it at once, the second waits. Raises DataError where `folder` holds anything else.
    """
    folder, told = Path(folder).absolute(), json.loads(json.dumps(told))
    if not _finished(folder, told):
        with lock(folder.with_name(f".{folder.name}.lock")):
            if not _finished(folder, told):  # another process may have drawn it meanwhile
                _replace(folder, told, fill)
    return folder


def write_csv(path: Path, header: str, rows: Iterable[Iterable]) -> None:
    """Write `rows` under a literal first line: published headers are not always valid CSV."""
    with path.open("w", newline="", encoding="utf-8") as file:
        file.write(header + "\n")
        csv.writer(file, lineterminator="\n").writerows(rows)


def _told(folder: Path) -> Path:
    return folder / "truth" / "phantoms.json"


def _finished(folder: Path, told: dict) -> bool:
    return is_phantom(folder) and read_json(_told(folder)) == told


def _replace(folder: Path, told: dict, fill: Callable[[Path], None]) -> None:
    if folder.exists() and not is_phantom(folder) and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError("this holds something else than phantoms", str(folder), "Name a folder that is new or empty.")
    part = _workplace(folder)
    try:
        fill(part)
        write_json(_told(part), told)
        if folder.exists():
            shutil.rmtree(folder)
        os.replace(part, folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _workplace(folder: Path) -> Path:
    """An empty folder beside `folder`, those of processes that were killed removed."""
    for left in folder.parent.glob(f".{folder.name}.part-*"):
        shutil.rmtree(left, ignore_errors=True)
    # Of its own name: for up to a second, the processes of a killed one may still write to theirs.
    part = folder.with_name(f".{folder.name}.part-{os.getpid()}")
    (part / "truth").mkdir(parents=True)
    return part
