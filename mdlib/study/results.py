"""Published figures: tables of runs that the book quotes, as JSON with their manifest under data/results/<paper>."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from mdlib import runs
from mdlib.errors import DataError
from mdlib.files import read_json, write_json


def folder(paper: str) -> Path:
    """Where the published results of a paper are."""
    return runs.home() / "data" / "results" / paper


def write(paper: str, name: str, run: runs.Run, figures: dict[str, Any]) -> Path:
    """Write figures and the run's manifest to data/results/<paper>/<name>.json; no image, no image name."""
    path = folder(paper) / f"{name}.json"
    write_json(path, {"manifest": run.manifest, **figures})
    return path


def read(paper: str, name: str, needs: str = "manifest") -> dict[str, Any]:
    """A published result as it was written. Raises DataError, listing what there is, or where `needs` is missing."""
    path = folder(paper) / f"{name}.json"
    if not path.exists():
        there = ", ".join(sorted(file.stem for file in path.parent.glob("*.json"))) or "nothing"
        raise DataError("no such result is published", str(path), f"Published: {there}.")
    result = read_json(path)
    if needs not in result:
        raise DataError("this was published by another version of mdlib", str(path), "Run it again with --publish.")
    return result


def same_data(result: dict[str, Any], run: runs.Run) -> bool:
    """Whether a published result is of the data of a run: where both have several collections, of those in both."""
    theirs, ours = (asked["data"] for asked in (result["manifest"]["asked"], run.asked))
    if isinstance(ours, dict):
        return all(theirs.get(name, own) == own for name, own in ours.items())
    return theirs == ours


def records(table: pd.DataFrame, digits: int | None = None) -> list[dict[str, Any]]:
    """A table as JSON-able records, None where a value is missing; floats rounded to `digits` where given."""
    table = table if digits is None else table.round(digits)
    return table.astype(object).where(table.notna(), None).to_dict("records")


def table(records: list[dict[str, Any]], columns: Sequence[str] = ()) -> pd.DataFrame:
    """The table of `records`: a column of numbers with missing values is float, with NaN. Empty: with `columns`."""
    found = pd.DataFrame(records) if records else pd.DataFrame(columns=list(columns))
    numeric = [name for name in found if found[name].dtype == object
               and found[name].map(lambda value: value is None or isinstance(value, int | float)).all()]
    return found.astype(dict.fromkeys(numeric, float))
