"""Images that several people have described: where they lie, and each report in the parts that MDNet writes."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mdlib.data.cache import open_cache
from mdlib.data.images import image_names, read_colour, resized
from mdlib.errors import DataError

PARTS = ("nuclear_feature", "nuclear_crowding", "polarity", "mitosis", "nucleoli", "conclusion")
CLASSES = ("normal", "low grade", "high grade", "insufficient information")
WORD = re.compile(r"[^\W_]+(?:[-'’][^\W_]+)*")    # full-thickness is one word
KEYS = ("image", "patient", "reports", "conclusion")


@dataclass(frozen=True, eq=False)
class Reports:
    """A collection of images with several reports each (Zhang et al., section 5.2): where it lies, what is written.

    `table`, one row per image: image (its file's name), patient, conclusion (a class). `texts`, for each image its
    reports, of which each is a dict from part to sentence: lower case words with one space between, and an empty
    sentence where the report says nothing about a part. `data_dir` is None where there are no images, `truth` the
    folder `truth/` of a phantom collection or None.

    Raises DataError for an image that occurs twice, a conclusion that is no class, a report that lacks a part, has
    one that is not known or says nothing at all, different numbers of reports per image, and a report whose conclusion
    does not end with the image's: a network would learn one from words and another from the class.
    """

    data_dir: Path | None
    parts: tuple[str, ...]
    classes: tuple[str, ...]
    table: pd.DataFrame
    texts: tuple[Sequence[dict[str, str]], ...]
    truth: Path | None = None

    def __post_init__(self):
        where, names = str(self.data_dir or "reports"), self.table["image"]
        if len(self.texts) != len(names):
            raise DataError(f"reports of {len(self.texts):,} images for {len(names):,} rows", where,
                            "Give the reports of one image per row.")
        faults = {"occurs twice": names.duplicated(),
                  f"has a conclusion that is none of {', '.join(self.classes)}":
                      ~self.table["conclusion"].isin(self.classes)}
        for fault, rows in faults.items():
            if rows.any():
                raise DataError(f"image {names[rows].iloc[0]!r} {fault}; {rows.sum():,} such images", where,
                                "Correct or remove these images.")
        for name, conclusion, reports in zip(names, self.table["conclusion"], self.texts, strict=True):
            self._check(f"{where}, image {name!r}", reports)
            self._check_conclusion(f"{where}, image {name!r}", conclusion, reports)

    def _check(self, where: str, reports: Sequence[dict[str, str]]) -> None:
        if not reports or len(reports) != len(self.texts[0]):
            raise DataError(f"{len(reports)} reports where the first image has {len(self.texts[0])}", where,
                            "All images have the same number of reports, at least one.")
        for number, report in enumerate(reports, start=1):
            missing, unknown = (set(self.parts) - set(report)), (set(report) - set(self.parts))
            fault = (f"has no part {min(missing)!r}" if missing else
                     f"has an unknown part {min(unknown)!r}" if unknown else
                     "is empty" if not any(report.values()) else "")
            if fault:
                raise DataError(f"report {number} {fault}", where, f"The parts are {', '.join(self.parts)}; give an "
                                "empty text where the report says nothing about one.")

    def _check_conclusion(self, where: str, conclusion: str, reports: Sequence[dict[str, str]]) -> None:
        for number, report in enumerate(reports, start=1):
            text = report.get("conclusion", "")
            if text and not f" {text}".endswith(f" {conclusion}"):
                raise DataError(f"report {number} concludes {text!r}, the image is {conclusion!r}", where,
                                "The conclusion of a report ends with the class of its image, or is empty.")

    @property
    def targets(self) -> np.ndarray:
        """int64 (N,): the place of each image's conclusion in `classes`."""
        return pd.Index(self.classes).get_indexer(self.table["conclusion"]).astype(np.int64)

    def paths(self) -> list[Path]:
        """The file of each image. Raises DataError where there are no images."""
        if self.data_dir is None:
            raise DataError("this collection is text without images", "reports", "Name a folder that has images/.")
        return [Path(self.data_dir, "images", name) for name in self.table["image"]]

    def read(self, row: int) -> np.ndarray:
        """The image of one row, uint8 (H, W, 3). Raises DataError."""
        return read_colour(self.paths()[row])

    def pixels(self, shape: tuple[int, int], folder: Path | str) -> np.memmap:
        """All images in `shape` = (height, width) by `resized`, uint8 (N, H, W, 3), from the cache in `folder`.

        Decoded where needed. Raises as `open_cache`.
        """
        paths = self.paths()
        return open_cache(paths, (*shape, 3), folder, lambda row: resized(read_colour(paths[row]), shape))

    def sentences(self, row: int, part: str) -> list[str]:
        """What each report of an image says about a part, in order; empty where it says nothing."""
        return [report[part] for report in self.texts[row]]

    def full(self, row: int) -> list[str]:
        """Each report of an image as a whole: its parts in order, one space between."""
        return [" ".join(filter(None, (report[part] for part in self.parts))) for report in self.texts[row]]

    def only(self, rows: np.ndarray) -> "Reports":
        """The images in these rows, with their reports."""
        return replace(self, table=self.table.iloc[rows].reset_index(drop=True),
                       texts=tuple(self.texts[row] for row in rows))


def plain(text: str) -> str:
    """The words of a text in lower case with one space between; punctuation is dropped, hyphens in words stay."""
    return " ".join(WORD.findall(text.lower()))


def read_collection(folder: Path | str) -> Reports:
    """Images with reports, in a layout of our own:

        images/*.png or *.jpg
        reports.json     [{"image": "a.png", "patient": "7", "conclusion": "low grade",
                           "reports": [{"nuclear_feature": "mild pleomorphism is seen", …}, …]}, …]

    A report has all of PARTS; sentences are made `plain`. No image is opened. Raises DataError for a file that is
    missing or no such JSON, an image without reports, reports without an image, and as `Reports`.
    """
    folder = Path(folder)
    file = folder / "reports.json"
    entries = _entries(file)
    _refuse_unmatched(folder, [str(entry["image"]) for entry in entries])
    table = pd.DataFrame({key: [str(entry[key]) for entry in entries] for key in ("image", "patient", "conclusion")})
    texts = tuple([{part: plain(text) for part, text in report.items()} for report in entry["reports"]]
                  for entry in entries)
    truth = folder / "truth"
    return Reports(folder, PARTS, CLASSES, table, texts, truth if truth.is_dir() else None)


def load(file: Path) -> list[Any]:
    """The list in a JSON file that somebody else wrote. Raises DataError where it is missing, damaged or empty."""
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"the file cannot be read ({error.strerror})", str(file), "Check the path.") from None
    except ValueError as error:
        raise DataError(f"this is not JSON ({error})", str(file), "Correct it, or get the file again.") from None
    if not isinstance(value, list) or not value:
        raise DataError("this is no list of images", str(file), "It must be a JSON list with one entry per image.")
    return value


def _entries(file: Path) -> list[dict]:
    """The entries of reports.json, each of which has what it must have, of the right kind."""
    entries = load(file)
    for number, entry in enumerate(entries, start=1):
        where = f"{file}, entry {number}"
        missing = [key for key in KEYS if not isinstance(entry, dict) or entry.get(key) in (None, "")]
        if missing:
            raise DataError(f"there is no {missing[0]!r}", where, f"Each entry has {', '.join(KEYS)}.")
        reports = entry["reports"]
        if not isinstance(reports, list) or not all(isinstance(report, dict) for report in reports) or not all(
                isinstance(text, str) for report in reports for text in report.values()):
            raise DataError("'reports' is no list of reports", where,
                            "It is a list of objects with a text for each part.")
    return entries


def _refuse_unmatched(folder: Path, listed: list[str]) -> None:
    """Raise DataError where a file of images/ is in no entry, or an entry has no file."""
    there = set(image_names(folder / "images"))
    for names, fault, where in ((there - set(listed), "the image has no reports", folder / "images"),
                                (set(listed) - there, "the reports have no image in images/", folder / "reports.json")):
        if names:
            raise DataError(f"{fault}; {len(names):,} such", f"{where}, {min(names)!r}",
                            "Add what is missing, or remove what is too much.")


def refuse_missing_classes(targets: np.ndarray, rows: np.ndarray, classes: Sequence[str], where: str) -> None:
    """Raise DataError where none of the images in `rows` has one of the classes; `where` says whose rows these are."""
    count = np.bincount(targets[rows], minlength=len(classes))
    missing = [name for name, images in zip(classes, count, strict=True) if images == 0]
    if missing:
        raise DataError(f"none of the {len(rows):,} images is {' or '.join(map(repr, missing))}, so that it cannot be "
                        "learned", where, "All classes must occur, in several patients; or choose fewer folds "
                        "or another seed.")
