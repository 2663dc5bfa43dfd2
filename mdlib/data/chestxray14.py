"""ChestX-ray14 (Wang et al. 2017) exactly as NIH publishes it, or your own images in the same layout."""

import os
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from mdlib.data.chestxray14_tables import (
    BOXES,
    CLASSES,
    FINDINGS,
    LISTS,
    TABLES,
    place,
    read_boxes,
    read_list,
    read_lists,
    read_table,
)
from mdlib.errors import DataError, SettingsError

__all__ = ["CLASSES", "FINDINGS", "ChestXray14", "counts", "read_boxes", "read_list", "read_lists",
           "read_table", "targets"]


class ChestXray14:
    """A folder in NIH's layout, checked when opened: a table with one row per image, boxes, and where the images are.

    The folder holds `Data_Entry_2017_v2020.csv` or `Data_Entry_2017.csv`, `train_val_list.txt` and `test_list.txt`,
    optionally `BBox_List_2017.csv` (each gzipped or not), and the images in `images/` or `images_001/images/`,
    `images_002/images/`, … (the first found counts). Images may be PNG, JPEG or DICOM, named in full in the table.
    Nothing is ever written there.

    `table`: image, labels, patient, follow_up, age, sex, view as `read_table` gives them, and split: "train_val",
    "test", or "" for an image in neither list (a warning counts these). Rows are 0..n-1 in the file's order.
    `boxes`: as `read_boxes`. `truth`: the folder `truth/` of a phantom collection, or None.

    `missing="skip"` leaves out images that are in the table but not on disk (a warning counts them, `missing` names
    them) and entries of lists and boxes that are not in the table; by default each raises. `lists=False` reads no
    lists, for a collection that is to be split by patient. `invalid_ages` as in `read_table`. Raises DataError naming
    file, row and remedy; also when a patient is in both lists.
    """

    def __init__(self, data_dir: Path | str, missing: str = "error", lists: bool = True, invalid_ages: str = "error"):
        if missing not in ("error", "skip"):
            raise SettingsError(f"unknown value {missing!r}", "parameter missing", "Use 'error' or 'skip'.")
        self.data_dir = Path(data_dir)
        table = read_table(self.data_dir, invalid_ages)
        table["split"] = self._splits(table, strict=missing == "error") if lists else ""
        self._folders = _image_folders(self.data_dir)
        self.table, self.missing = self._present(table, missing)
        self.boxes = self._boxes(set(table["image"]), strict=missing == "error")
        truth = self.data_dir / "truth"
        self.truth = truth if truth.is_dir() else None

    def path(self, image: str) -> Path:
        """The file of one image, by its name in the table. Raises DataError when there is none."""
        if image not in self._folders:
            raise DataError(f"no image {image!r}", str(self.data_dir), "Use a name from the column `image`.")
        return Path(self._folders[image], image)

    def paths(self, images: Iterable[str] | None = None) -> list[Path]:
        """The files of these images, by default of all rows of the table in order."""
        return [self.path(image) for image in (self.table["image"] if images is None else images)]

    def _splits(self, table: pd.DataFrame, strict: bool) -> pd.Series:
        """The split of each row: "train_val", "test", or "" for an image that is in neither list."""
        split = pd.Series("", index=table.index)
        for part, name, listed in zip(("train_val", "test"), LISTS, read_lists(self.data_dir), strict=True):
            self._known(listed, set(table["image"]), name, strict)
            split[_among(table["image"], listed)] = part
        shared = set(table["patient"][split == "train_val"]) & set(table["patient"][split == "test"])
        if shared:
            rows = table["patient"].isin(shared) & (split == "test")
            first = table[rows].iloc[0]
            raise DataError(f"patient {first['patient']} (image {first['image']}) is also in {LISTS[0]}; "
                            f"{len(shared):,} patients are in both lists",
                            place(self.data_dir, LISTS[1:], first["image"]),
                            "Move each patient's images into one list, or ask for split=\"patient\" of all images "
                            "(--set split=patient --set subset=false; in Python lists=False).")
        if (split == "").any():
            warnings.warn(f"{self.data_dir}: {(split == '').sum():,} of {len(split):,} images are in neither list and "
                          "in no split.", stacklevel=3)
        return split

    def _known(self, images: list[str], known: set[str], file: str, strict: bool) -> None:
        unknown = [image for image in images if image not in known]
        if unknown and strict:
            raise DataError(f"image {unknown[0]!r} is not in the label table; {len(unknown):,} of {len(images):,} are "
                            "not", place(self.data_dir, (file,), unknown[0]),
                            "Remove these entries, complete the table, or ask for missing=\"skip\" "
                            "(--set missing=skip).")

    def _present(self, table: pd.DataFrame, missing: str) -> tuple[pd.DataFrame, list[str]]:
        here = _among(table["image"], self._folders)
        absent = table["image"][~here].tolist()
        if absent and (missing == "error" or not here.any()):
            raise DataError(f"no image {absent[0]!r}; {len(absent):,} of the table's {len(table):,} are missing",
                            place(self.data_dir, TABLES, absent[0]), "Put them into images/ or images_001/images/, …; "
                            "missing=\"skip\" (--set missing=skip) goes on with the images that are there.")
        if absent:
            warnings.warn(f"{self.data_dir}: {len(absent):,} of {len(table):,} images are not there and left out, the "
                          f"first is {absent[0]}.", stacklevel=3)
        return table[here].reset_index(drop=True), absent

    def _boxes(self, known: set[str], strict: bool) -> pd.DataFrame:
        boxes = read_boxes(self.data_dir)
        self._known(boxes["image"].tolist(), known, BOXES, strict)
        return boxes[_among(boxes["image"], self.table["image"])].reset_index(drop=True)


def targets(table: pd.DataFrame, classes: Sequence[str] = CLASSES) -> np.ndarray:
    """float32 (N, classes): 1 where the column `labels` names the finding, else 0. Raises SettingsError."""
    unknown = [name for name in classes if name not in CLASSES]
    if unknown:
        raise SettingsError(f"unknown class {unknown[0]!r}", "parameter classes", f"Known are {', '.join(CLASSES)}.")
    codes, texts = pd.factorize(table["labels"])
    hot = np.array([[name in text.split("|") for name in classes] for text in texts], dtype=np.float32)
    return hot.reshape(-1, len(classes))[codes]


def counts(table: pd.DataFrame, parts: dict[str, Iterable[str]]) -> pd.DataFrame:
    """Images of each class in each part, (15 classes x parts): Table 1 and Fig. 1 of Tan et al. in numbers.

    `parts` gives image names by the part's name, as {"train": …, "val": …}.
    """
    return pd.DataFrame({part: targets(table[_among(table["image"], images)]).sum(axis=0).astype(int)
                         for part, images in parts.items()}, index=pd.Index(CLASSES, name="class"))


def _among(names: Iterable[str], known: Iterable[str]) -> np.ndarray:
    """bool (N,): which names are known. On 112,120 of them a hundred times faster than pandas' isin."""
    known = set(known)
    return np.array([name in known for name in names], dtype=bool)


def _image_folders(data_dir: Path) -> dict[str, str]:
    """The folder of each file below `images/` and `images_*/images/`; each folder is read once, no file is opened."""
    folders = [data_dir / "images", *sorted(data_dir.glob("images_*/images"))]
    found: dict[str, str] = {}
    for folder in filter(Path.is_dir, folders):
        for name in _names(folder):
            found.setdefault(name, str(folder))
    if not found:
        raise DataError("no images in images/ or images_001/images/, images_002/images/, …", str(data_dir),
                        "Unpack the images there, or correct the path (parameter data_dir).")
    return found


def _names(folder: Path) -> Iterator[str]:
    with os.scandir(folder) as entries:
        yield from (entry.name for entry in entries)
