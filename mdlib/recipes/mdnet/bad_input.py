"""What happens to collections and reports that are not as they should be: each fault is made, read and told."""

import copy
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from mdlib.data.reports import CLASSES, PARTS, read_collection, refuse_missing_classes
from mdlib.data.vocabulary import Vocabulary
from mdlib.errors import DataError
from mdlib.files import write_json

REPORT = dict(zip(PARTS, ("mild pleomorphism is seen", "mild crowding is seen", "polarity is kept", "mitosis is absent",
                          "nucleoli are inconspicuous", CLASSES[0]), strict=True))
ENTRIES = [{"image": name, "patient": name[0], "conclusion": CLASSES[0], "reports": [REPORT] * 2}
           for name in ("a.png", "b.png")]


def _without(entries: list[dict], part: str) -> None:
    entries[0]["reports"] = [{name: text for name, text in REPORT.items() if name != part}] * 2


FAULTS: dict[str, Callable[[list[dict]], object]] = {
    "empty report": lambda entries: entries[0].update(reports=[REPORT, dict.fromkeys(PARTS, "")]),
    "missing part": lambda entries: _without(entries, "mitosis"),
    "unknown part": lambda entries: entries[0].update(reports=[REPORT | {"colour": "pink"}] * 2),
    "conclusion outside the four": lambda entries: entries[0].update(conclusion="benign"),
    "a report that concludes otherwise": lambda entries: entries[0].update(
        reports=[REPORT, REPORT | {"conclusion": CLASSES[2]}]),
    "image without report": lambda entries: entries.pop(),
    "report without image": lambda entries: entries.append(ENTRIES[0] | {"image": "c.png"}),
    "an image twice": lambda entries: entries.append(ENTRIES[0]),
    "not as many reports as the others": lambda entries: entries[0].update(reports=[REPORT]),
}


def refused() -> dict[str, str]:
    """Each of FAULTS, and what `read_collection` says of a collection of two images with it."""
    found = {}
    for name, damage in FAULTS.items():
        entries = copy.deepcopy(ENTRIES)
        damage(entries)
        with tempfile.TemporaryDirectory() as folder:
            found[name] = _told(Path(folder), entries)
    return found


def _told(folder: Path, entries: list[dict]) -> str:
    (folder / "images").mkdir()
    for entry in ENTRIES:
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(folder / "images" / entry["image"])
    write_json(folder / "reports.json", entries)
    try:
        read_collection(folder)
    except DataError as error:
        return f"refused: {error}".replace(f"{folder}/", "").replace(str(folder), "the folder")
    return "read"


def handled() -> dict[str, str]:
    """What is not refused but has a stated consequence, and a fold that cannot be learned from."""
    vocabulary = Vocabulary.of(REPORT.values())
    unknown, long = "marked pleomorphism is seen", "polarity is kept"
    found = {f"unknown word: {unknown!r}": vocabulary.decode(vocabulary.encode([unknown], 15)[0]),
             f"longer than 2 words: {long!r}": vocabulary.decode(vocabulary.encode([long], 2)[0])}
    told = {name: f"read as {text!r}" for name, text in found.items()}
    try:
        refuse_missing_classes(np.array([0, 1, 2, 3]), np.array([0, 1, 2]), CLASSES, "fold 0")
    except DataError as error:
        told["a class that is in no training report of a fold"] = f"refused: {error}"
    return told


def table() -> pd.DataFrame:
    """One row per fault: what happens."""
    return pd.DataFrame({"what happens": refused() | handled()}).rename_axis("fault")
