"""The tables of ChestX-ray14 as NIH publishes them: labels, official lists, boxes; every fault named by file and row.

Each file may be gzipped (`.csv.gz`, `.txt.gz`). Rows are counted as an editor counts lines: the header is row 1.
"""

import re
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from mdlib.data.tables import Column, read_columns, read_lines, read_rows
from mdlib.errors import DataError, SettingsError

CLASSES = ("No Finding", "Cardiomegaly", "Emphysema", "Effusion", "Hernia", "Infiltration", "Mass", "Nodule",
           "Atelectasis", "Pneumothorax", "Pleural_Thickening", "Pneumonia", "Fibrosis", "Edema", "Consolidation")
FINDINGS = CLASSES[1:]
IMAGES, OLDEST = 112_120, 120     # rows of the published table; ages above 120 years are absurd (ours)
BOX_PIXELS = 1024                 # boxes are given in pixels of NIH's 1024 x 1024 images
TABLES = ("Data_Entry_2017_v2020.csv", "Data_Entry_2017.csv")
LISTS = ("train_val_list.txt", "test_list.txt")
NEEDED = ("Image Index", "Finding Labels", "Patient ID", "Patient Age", "Patient Gender", "View Position")
BOXES = "BBox_List_2017.csv"


def read_table(folder: Path | str, invalid_ages: str = "error") -> pd.DataFrame:
    """One row per image, in the file's order: image, labels ("A|B"), patient, follow_up, age, sex, view.

    Reads `Data_Entry_2017_v2020.csv` or `Data_Entry_2017.csv`, the corrected one first where both are there. `age`
    is in years, also from "058Y", "011M". `invalid_ages="unknown"` turns an age that is not a number from 0 to 120
    into NaN; by default it raises, except in the genuine whole 2017 file, whose few ages of 148 to 414 years become
    NaN with a warning. A file without `Follow-up #` gets the number of the patient's earlier rows. Raises DataError.
    """
    if invalid_ages not in ("error", "unknown"):
        raise SettingsError(f"unknown value {invalid_ages!r}", "parameter invalid_ages", "Use 'error' or 'unknown'.")
    file = _find(folder, TABLES, "This is the label table of ChestX-ray14; get it from NIH, or write one like it.")
    columns = read_columns(file, NEEDED, further=("Follow-up #",))
    table = pd.DataFrame({
        "image": _images(columns["Image Index"]),
        "labels": _labels(columns["Finding Labels"]),
        "patient": columns["Patient ID"].counts(),
        "age": _ages(columns["Patient Age"], invalid_ages),
        "sex": columns["Patient Gender"].one_of(("M", "F")),
        "view": columns["View Position"].one_of(("PA", "AP"))})
    given = columns.get("Follow-up #")
    table.insert(3, "follow_up", given.counts() if given else table.groupby("patient").cumcount())
    return table


def read_lists(folder: Path | str) -> tuple[list[str], list[str]]:
    """The image names of `train_val_list.txt` and of `test_list.txt`, in their order.

    Raises DataError when a list is missing or empty, or an image is named twice or in both.
    """
    remedy = ("Get both lists from NIH, or ask for split=\"patient\" of all images "
              "(--set split=patient --set subset=false; in Python lists=False).")
    files = [_find(folder, (name,), remedy) for name in LISTS]
    train_val, test = (read_list(file) for file in files)
    both = set(train_val) & set(test)
    if both:
        row, name = next((row, name) for row, name in read_lines(files[1]) if name in both)
        raise DataError(f"image {name!r} is also in {files[0].name}; {len(both):,} in both lists",
                        f"{files[1]}, row {row}", "Keep each image in one list only.")
    return train_val, test


def read_list(file: Path | str) -> list[str]:
    """The image names of one list file, one a line; blank lines are skipped. Raises DataError, also when empty."""
    seen: dict[str, int] = {}
    for row, name in read_lines(Path(file)):
        if name in seen:
            raise DataError(f"image {name!r} is already in row {seen[name]}", f"{file}, row {row}",
                            "Remove one of the two lines.")
        seen[name] = row
    if not seen:
        raise DataError("this list names no image", str(file), "Write one image name per line.")
    return list(seen)


def read_boxes(folder: Path | str) -> pd.DataFrame:
    """One row per box: image, finding (class name), x, y (top left corner), w, h as fractions of the image's side.

    No `BBox_List_2017.csv` gives an empty table. NIH's `Infiltrate` is the class Infiltration. Raises DataError for
    an unknown finding or a box that is empty or leaves the image.
    """
    boxes = []
    for file in _existing(folder, (BOXES,))[:1]:
        rows = read_rows(file)
        _, header = next(rows, (1, [""]))
        if header[0] != "Image Index":
            raise DataError("the first line is not NIH's header", f"{file}, row 1",
                            "It must read: Image Index,Finding Label,Bbox [x,y,w,h],,,")
        boxes = [_box(file, row, fields) for row, fields in rows]
    table = pd.DataFrame(boxes, columns=["image", "finding", "x", "y", "w", "h"])
    return table.astype({"image": str, "finding": str} | dict.fromkeys("xywh", float))


def place(folder: Path | str, names: tuple[str, ...], image: str) -> str:
    """"FILE, row N" of the first row with this image, in the first file of these names."""
    file = _existing(folder, names)[0]
    return f"{file}, row {next(row for row, fields in read_rows(file) if image in fields)}"


def _box(file: Path, row: int, fields: list[str]) -> tuple:
    if len(fields) < 6:
        raise DataError(f"{len(fields)} fields, not 6", f"{file}, row {row}", "Write image,finding,x,y,w,h in pixels.")
    name, finding = fields[0], "Infiltration" if fields[1] == "Infiltrate" else fields[1]
    if finding not in FINDINGS:
        raise DataError(f"unknown finding {finding!r}", f"{file}, row {row}", f"Known are {', '.join(FINDINGS)}.")
    try:
        x, y, w, h = (float(field) / BOX_PIXELS for field in fields[2:6])
    except ValueError:
        raise DataError(f"the box {','.join(fields[2:6])} is not four numbers", f"{file}, row {row}",
                        "Write x,y,w,h in pixels of the 1024 x 1024 image.") from None
    slack = 1 / BOX_PIXELS
    if not (w > 0 and h > 0 and min(x, y) >= -slack and max(x + w, y + h) <= 1 + slack):
        raise DataError(f"the box {','.join(fields[2:6])} is empty or leaves the image", f"{file}, row {row}",
                        "Write x,y,w,h in pixels of the 1024 x 1024 image.")
    return name, finding, x, y, w, h


def _images(names: Column) -> list[str]:
    seen: dict[str, int] = {}
    for index, name in enumerate(names.texts):
        if not name or "/" in name or "\\" in name:
            raise names.wrong(index, f"{name!r} is not a file name", "Write the image's file name without a folder.")
        if name in seen:
            raise names.wrong(index, f"image {name!r} is already in row {names.rows[seen[name]]}",
                              "Remove one of the two rows.")
        seen[name] = index
    return names.texts


def _labels(labels: Column) -> list[str]:
    """Each label text with stray spaces removed; checked once a different text, of which NIH has 836."""
    clean = {}
    for text in dict.fromkeys(labels.texts):
        names = [name.strip() for name in text.split("|")]
        unknown = [name for name in names if name not in CLASSES]
        if unknown:
            raise labels.wrong(labels.texts.index(text), f"unknown finding {unknown[0]!r}",
                               f"Known are {', '.join(CLASSES)}; several are joined by '|'.")
        if "No Finding" in names and len(set(names)) > 1:
            raise labels.wrong(labels.texts.index(text), f"{text!r} contradicts itself",
                               "Remove 'No Finding' or the other findings.")
        clean[text] = "|".join(names)
    return [clean[text] for text in labels.texts]


def _ages(column: Column, absurd: str) -> np.ndarray:
    years = {text: _years(text) for text in set(column.texts)}
    ages = np.array([years[text] for text in column.texts])
    genuine = len(ages) == IMAGES and column.file.name.startswith("Data_Entry_2017.csv")
    faulty = np.flatnonzero(~((ages >= 0) & (ages <= OLDEST)))
    for index in faulty:
        if absurd == "error" and not (genuine and OLDEST < ages[index] < 500):
            raise column.wrong(index, f"absurd age {column.texts[index]!r} (possible: 0 to {OLDEST} years; "
                               f"{len(faulty):,} such rows)",
                               "Correct it, or ask for invalid_ages=\"unknown\", which makes such ages NaN "
                               "(--set invalid_ages=unknown).")
    if len(faulty):
        first = column.wrong(faulty[0], f"absurd age {column.texts[faulty[0]]!r}; {len(faulty):,} such ages are taken "
                             "as unknown (NaN)", "Data_Entry_2017_v2020.csv has NIH's corrected ages.")
        warnings.warn(str(first), stacklevel=4)
        ages[faulty] = np.nan
    return ages


def _years(text: str) -> float:
    """Years from "58" or from "058Y", "011M", "003W", "001D"; NaN when it is neither."""
    match = re.fullmatch(r"(-?\d+(?:\.\d+)?)([YMWD]?)", text, re.ASCII)
    return float(match[1]) / {"": 1, "Y": 1, "M": 12, "W": 52.18, "D": 365.25}[match[2]] if match else np.nan


def _existing(folder: Path | str, names: tuple[str, ...]) -> list[Path]:
    return [path for name in names for ending in ("", ".gz") if (path := Path(folder) / f"{name}{ending}").is_file()]


def _find(folder: Path | str, names: tuple[str, ...], remedy: str) -> Path:
    if not Path(folder).is_dir():
        raise DataError("no such folder", str(folder), "Check the path (parameter data_dir).")
    found = _existing(folder, names)
    if not found:
        raise DataError(f"no {' or '.join(names)} (nor gzipped) in this folder", str(folder), remedy)
    return found[0]
