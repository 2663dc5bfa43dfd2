"""BCCD, microscopy of blood smears with the kind of the white cell and the boxes of cells, as this project lays it out.

    images/*.jpg    640 x 480 pixels
    images.csv      image_id, file, width, height, wbc_category_raw, wbc_class, bccd_split, …
    boxes.csv       image_id, label (WBC, RBC, Platelets), xmin, ymin, xmax, ymax, invalid

Of 292 pictures 282 show white cells of one of four kinds. Of the other ten, one shows a basophil, eight show cells of
two kinds, and one has no label. Patients are not known: pictures of one may be in both parts of the split.
"""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from mdlib.data.bags import Bags
from mdlib.data.pictures import check_picture
from mdlib.data.tables import Column, read_columns

CLASSES = ("neutrophil", "eosinophil", "lymphocyte", "monocyte")
OTHERS = ("basophil", "")                       # of column wbc_class: pictures that are left out
CELLS = ("WBC", "RBC", "Platelets")
PARTS = {"train": "train", "val": "test"}       # the published names, and ours
CORNERS = ("xmin", "ymin", "xmax", "ymax")


@dataclass(frozen=True, eq=False)
class BloodCells(Bags):
    """A collection of blood smears, one picture per bag, and what is in them.

    `table` has bag, label, part (train, test), patient (the picture: patients are not known), first and count.
    `boxes`: bag, label (one of CELLS), xmin, ymin, xmax, ymax in pixels, of all pictures, also of those that the table
    leaves out. `excluded`: bag and published kind of these. `invalid`: boxes that are marked as such and left out, as
    `boxes`.
    """

    boxes: pd.DataFrame = field(default_factory=pd.DataFrame)
    excluded: pd.DataFrame = field(default_factory=pd.DataFrame)
    invalid: pd.DataFrame = field(default_factory=pd.DataFrame)


def bccd(folder: Path | str, smallest: int = 1) -> BloodCells:
    """The pictures of a folder in the layout above that show one of CLASSES, in the order of images.csv.

    No pixels are read, but the header of each file is: raises DataError naming file, row and remedy as `check_picture`,
    with `smallest` the side of a crop, and for a picture that is there twice, is missing, has two classes, or has
    another size than the table says, an unknown class or part, a class of one picture, and a box that is reversed,
    empty or outside its picture and not marked as invalid.
    """
    folder = Path(folder)
    columns = read_columns(folder / "images.csv", ("image_id", "file", "width", "height", "wbc_category_raw",
                                                   "wbc_class", "bccd_split"))
    for name in ("image_id", "file"):
        _refuse_twice(columns[name])
    names, kinds = columns["image_id"].texts, columns["wbc_category_raw"]
    sizes = {name: _size(folder, columns, index, smallest) for index, name in enumerate(names)}
    table = pd.DataFrame({"bag": names, "label": columns["wbc_class"].one_of((*CLASSES, *OTHERS)), "patient": names,
                          "part": [PARTS[part] for part in columns["bccd_split"].one_of(tuple(PARTS))]})
    used = table["label"].isin(CLASSES)
    _refuse_two_classes(columns["wbc_class"], kinds)
    _refuse_class_of_one(columns["wbc_class"])
    excluded = pd.DataFrame({"bag": names, "kind": kinds.texts})[~used]
    boxes = _boxes(folder / "boxes.csv", sizes)
    table, paths = table[used].reset_index(drop=True), pd.Series(columns["file"].texts)[used]
    return BloodCells(folder, CLASSES, table.assign(first=np.arange(len(table)), count=1),
                      pd.DataFrame({"path": paths.to_list(), "frame": 0}), None, True,
                      _only(boxes, "0"), excluded.reset_index(drop=True), _only(boxes, "1"))


def _size(folder: Path, columns: dict[str, Column], index: int, smallest: int) -> tuple[int, int]:
    """Width and height of the picture in a row."""
    file = columns["file"]
    height, width = check_picture(folder / file.texts[index], smallest, f"row {file.rows[index]} of {file.file.name}")
    listed = (columns["width"].texts[index], columns["height"].texts[index])
    if listed != (str(width), str(height)):
        raise columns["width"].wrong(index, f"the picture has {width} x {height} pixels, not {' x '.join(listed)}, so "
                                     "the boxes do not fit", "Use the published pictures.")
    return width, height


def _refuse_twice(column: Column) -> None:
    first: dict[str, int] = {}
    for text, row in zip(column.texts, column.rows, strict=True):
        if first.setdefault(text, row) != row:
            raise column.wrong(column.rows.index(row), f"picture {text!r} is there twice, first in row {first[text]}",
                               "Remove one of the rows.")


def _refuse_two_classes(classes: Column, kinds: Column) -> None:
    """Raises DataError for a picture with a class that is not the one kind of its white cells, as published."""
    for index, (name, text) in enumerate(zip(classes.texts, kinds.texts, strict=True)):
        if name and {kind.strip().lower() for kind in text.split(",")} != {name}:
            raise classes.wrong(index, f"the picture has two classes: {name} here, {text!r} in column {kinds.name!r}",
                                "Correct one of the two, or leave the class empty: the picture is then left out.")


def _refuse_class_of_one(classes: Column) -> None:
    for name in CLASSES:
        if classes.texts.count(name) == 1:
            raise classes.wrong(classes.texts.index(name), f"this is the only picture of class {name}",
                                "A class needs two or more, to train and to test on.")


def _boxes(file: Path, sizes: dict[str, tuple[int, int]]) -> pd.DataFrame:
    """All boxes, those that are marked as invalid among them."""
    columns = read_columns(file, ("image_id", "label", *CORNERS, "invalid"))
    columns["label"].one_of(CELLS)
    columns["invalid"].one_of(("0", "1"))
    for index, name in enumerate(columns["image_id"].texts):
        if name not in sizes:
            raise columns["image_id"].wrong(index, f"no picture {name!r} in images.csv", "Correct or remove the row.")
    boxes = pd.DataFrame({"bag": columns["image_id"].texts, "label": columns["label"].texts,
                          **{corner: _pixels(columns[corner]) for corner in CORNERS},
                          "invalid": columns["invalid"].texts})
    width, height = np.array([sizes[name] for name in boxes["bag"]]).T
    wrong = ((boxes["xmin"] >= boxes["xmax"]) | (boxes["ymin"] >= boxes["ymax"]) | (boxes["xmax"] > width)
             | (boxes["ymax"] > height)) & (boxes["invalid"] == "0")
    if wrong.any():
        first = int(np.flatnonzero(wrong)[0])
        raise columns["xmin"].wrong(first, f"the box {boxes.loc[first, list(CORNERS)].tolist()} is reversed, empty or "
                                    f"outside the picture; {wrong.sum():,} such rows",
                                    "Correct it, or mark it as invalid.")
    return boxes


def _pixels(column: Column) -> list[int]:
    for index, text in enumerate(column.texts):
        if not (text.isascii() and text.isdigit() and len(text) < 6):
            raise column.wrong(index, f"{text!r} is not a number of pixels", "Give whole pixels, 0 or more.")
    return [int(text) for text in column.texts]


def _only(boxes: pd.DataFrame, invalid: str) -> pd.DataFrame:
    return boxes[boxes["invalid"] == invalid].drop(columns="invalid").reset_index(drop=True)
