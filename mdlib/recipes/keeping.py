"""Figures of runs that the book quotes, of any chapter, as small JSON under data/results/CHAPTER."""

from pathlib import Path
from typing import Any

import pandas as pd

from mdlib import runs
from mdlib.errors import DataError
from mdlib.files import read_json, write_json


def folder(chapter: str) -> Path:
    """Where the tracked results of a chapter are."""
    return runs.home() / "data" / "results" / chapter


def write(chapter: str, name: str, run: runs.Run, figures: dict[str, Any]) -> Path:
    """Write figures and the run's manifest to data/results/CHAPTER/NAME.json; no image, no image name."""
    path = folder(chapter) / f"{name}.json"
    write_json(path, {"manifest": run.manifest, **figures})
    return path


def read(chapter: str, name: str, needs: str = "manifest") -> dict[str, Any]:
    """A kept result as it was written. Raises DataError, listing what is kept, or where it lacks the entry `needs`."""
    path = folder(chapter) / f"{name}.json"
    if not path.exists():
        there = ", ".join(sorted(file.stem for file in path.parent.glob("*.json"))) or "nothing"
        raise DataError("no such result is kept", str(path), f"Kept: {there}.")
    result = read_json(path)
    if needs not in result:
        raise DataError("this was kept by another version of mdlib", str(path), "Run it again with --keep.")
    return result


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """A table as JSON-able records, None where nothing is known."""
    return table.astype(object).where(table.notna(), None).to_dict("records")
