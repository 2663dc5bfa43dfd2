"""BACH, breast cancer histology (Aresta et al. 2019), as published (Zenodo record 3632035), or your own in its layout.

    ICIAR2018_BACH_Challenge/Photos/{Normal,Benign,InSitu,Invasive}/*.tif
    ICIAR2018_BACH_Challenge/Photos/microscopy_ground_truth.csv             no header: n001.tif,Normal
    ICIAR2018_BACH_Challenge/ICIAR2018_BACH_dataset_micro_patient.csv       header: Histology,Label,Patient

The patient is known of some of the 400 pictures only; according to the organisers the others are of other patients.
The table of patients is an .xlsx file on the page of the challenge: save it as .csv. It may have a fourth column, Part,
with train or test.
"""

import re
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from mdlib.data.bags import Bags
from mdlib.data.images import image_names
from mdlib.data.pictures import check_picture
from mdlib.data.splits import bag_split
from mdlib.data.tables import Column, read_columns, read_rows
from mdlib.errors import DataError

CLASSES = ("Normal", "Benign", "InSitu", "Invasive")
HOME, TRUTH = "ICIAR2018_BACH_Challenge", "microscopy_ground_truth.csv"
PATIENTS = "ICIAR2018_BACH_dataset_micro_patient"
PARTS = ("train", "test")


def bach(folder: Path | str, smallest: int = 1) -> Bags:
    """The pictures of ICIAR2018_BACH_Challenge/, or of a folder that contains it, one picture per bag.

    `table`: bag (n001 of n001.tif), label, patient, identified (whether the patient is known; where not, the picture
    counts as a patient of its own, and a warning says how many do), first, count, and part where the patients' table
    says it. Rows are in the order of microscopy_ground_truth.csv. No pixels are read, but the header of each file is:
    raises DataError naming file, row and remedy as `check_picture`, with `smallest` the side of a crop, and for an
    unknown class, a picture with two classes, two files of one stem, a picture that is missing or in no table, a class
    of one picture, and a patient in two parts.
    """
    folder = Path(folder)
    home = folder / HOME if (folder / HOME).is_dir() else folder
    file = home / "Photos" / TRUTH
    listed = _listed(file)
    places = _places(home / "Photos")
    for name, (label, row) in listed.items():
        _refuse_other_place(places, name, label, f"{file}, row {row}")
        check_picture(home / "Photos" / label / name, smallest, f"row {row} of {TRUTH}")
    for name, label in places.items():
        if name not in listed:
            raise DataError("this picture is not in the table", str(home / "Photos" / label / name),
                            f"Add a row to {file}, or remove the picture.")
    labels = [label for label, _ in listed.values()]
    table = pd.DataFrame({"bag": [Path(name).stem for name in listed], "label": labels})
    table = table.join(_patients(home, listed))
    slices = pd.DataFrame({"path": [str(Path(home.relative_to(folder), "Photos", label, name))
                                    for name, label in zip(listed, labels, strict=True)], "frame": 0})
    truth = folder / "truth"
    return Bags(folder, CLASSES, table.assign(first=np.arange(len(table)), count=1), slices,
                truth if truth.is_dir() else None, colour=True)


def split(table: pd.DataFrame, test: float = 0.25, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Rows that train and rows that test, int64, ascending: no patient in both, about the share `test` tests (ours).

    Where the patients of some pictures are known, only these are used for testing: two of the others may be of one
    patient. Raises DataError where they are too few, and as `splits.bag_split`.
    """
    known = np.flatnonzero(table["identified"]) if table["identified"].any() else np.arange(len(table))
    share = test * len(table) / len(known)
    if test < 1 <= share:
        raise DataError(f"the patients of only {len(known):,} of {len(table):,} pictures are known",
                        f"parameter test = {test}", "Choose a smaller share (--set test=0.1), or name more patients.")
    _, tested = bag_split(table.iloc[known].reset_index(drop=True), share, seed)
    return np.setdiff1d(np.arange(len(table)), known[tested]), known[tested]


def _listed(file: Path) -> dict[str, tuple[str, int]]:
    """Class and row of each picture of microscopy_ground_truth.csv, by the name of its file."""
    found: dict[str, tuple[str, int]] = {}
    stems: dict[str, tuple[str, int]] = {}
    for row, fields in read_rows(file):
        where = f"{file}, row {row}"
        if len(fields) != 2:
            raise DataError(f"{len(fields)} fields, not a picture and its class", where, "As in n001.tif,Normal.")
        name, label = fields[0], _class(fields[1], where)
        if name in found:
            old, first = found[name]
            what = "is there twice" if old == label else f"has two classes, {old} (row {first}) and {label}"
            raise DataError(f"picture {name} {what}", where, "A picture has one row and one class: remove one.")
        stem = Path(name).stem
        if stem in stems:
            raise DataError(f"{name} has the same stem as {stems[stem][0]} (row {stems[stem][1]})", where,
                            "Pictures are told apart by it: rename or remove one.")
        found[name], stems[stem] = (label, row), (name, row)
    for label in CLASSES:
        rows = [(name, row) for name, (other, row) in found.items() if other == label]
        if len(rows) < 2:
            raise DataError(f"class {label} has too few pictures: {len(rows)}" + "".join(f" ({name}, row {row})"
                            for name, row in rows), str(file), "A class needs two or more, to train and to test on.")
    return found


def _class(text: str, where: str) -> str:
    """One of CLASSES, however it is written: InSitu, In Situ, in situ."""
    known = {name.lower(): name for name in CLASSES}
    label = known.get(re.sub(r"[ _-]", "", text).lower())
    if label is None:
        raise DataError(f"unknown class {text!r}", where, f"Known are {', '.join(CLASSES)}.")
    return label


def _places(photos: Path) -> dict[str, str]:
    """The class folder of each picture. Raises DataError where a stem occurs in two files."""
    places: dict[str, str] = {}
    stems: dict[str, Path] = {}
    for label in CLASSES:
        for name in image_names(photos / label):
            stem, path = Path(name).stem, photos / label / name
            if stem in stems:
                raise DataError(f"the same stem as {stems[stem]}", str(path), "A picture has one file and one class: "
                                "rename or remove one.")
            places[name], stems[stem] = label, path
    return places


def _refuse_other_place(places: dict[str, str], name: str, label: str, where: str) -> None:
    if name not in places:
        raise DataError(f"no picture {name} in Photos/{label}", where, "Put it there, or remove its row.")
    if places[name] != label:
        raise DataError(f"picture {name} has two classes: {label} in this row, {places[name]} by its folder", where,
                        "Correct the row, or move the picture.")


def _patients(home: Path, listed: dict[str, tuple[str, int]]) -> pd.DataFrame:
    """patient and identified, and part where it is said, of each listed picture."""
    file = home / f"{PATIENTS}.csv"
    table = pd.DataFrame({"patient": [Path(name).stem for name in listed], "identified": False}, index=list(listed))
    if file.exists():
        columns = read_columns(file, ("Histology", "Label", "Patient"), ("Part",))
        _check_patients(columns, listed)
        names = columns["Histology"].texts
        known = pd.Series(columns["Patient"].texts, names)
        known = known[known != ""]
        table.loc[known.index, "patient"] = known
        table.loc[known.index, "identified"] = True
        if "Part" in columns:
            table["part"] = pd.Series(columns["Part"].texts, names).reindex(table.index)
            _refuse_no_part(table, file)
    elif (other := file.with_suffix(".xlsx")).exists():
        raise DataError("the table of patients is a spreadsheet", str(other), f"Save it as {file.name}, beside it.")
    unknown = (~table["identified"]).sum()
    if unknown:
        warnings.warn(f"{home}: the patients of {unknown:,} of {len(table):,} pictures are not known; each counts as a "
                      "patient of its own, so pictures of one patient may be in two parts.", stacklevel=3)
    return table.reset_index(drop=True)


def _check_patients(columns: dict[str, Column], listed: dict[str, tuple[str, int]]) -> None:
    names, homes = columns["Histology"], {}
    for index, name in enumerate(names.texts):
        if name not in listed:
            raise names.wrong(index, f"no picture {name!r} in {TRUTH}", "Correct or remove the row.")
        if name in names.texts[:index]:
            raise names.wrong(index, f"picture {name} is there twice", "Remove one of the rows.")
        label = _class(columns["Label"].texts[index], f"{names.file}, row {names.rows[index]}")
        if label != listed[name][0]:
            raise columns["Label"].wrong(index, f"picture {name} has two classes: {label} here, {listed[name][0]} in "
                                         f"{TRUTH} (row {listed[name][1]})", "Correct one of the two.")
        if "Part" in columns:
            part, patient = columns["Part"].texts[index], columns["Patient"].texts[index]
            other, first = homes.setdefault(patient or name, (part, names.rows[index]))
            if other != part:
                raise columns["Part"].wrong(index, f"patient {patient} is in two parts, {other} (row {first}) and "
                                            f"{part}", "Move all pictures of a patient into one part.")
    if "Part" in columns:
        columns["Part"].one_of(PARTS)


def _refuse_no_part(table: pd.DataFrame, file: Path) -> None:
    missing = table.index[table["part"].isna()]
    if len(missing):
        raise DataError(f"no part for picture {missing[0]}; {len(missing):,} have none", f"{file}, column 'Part'",
                        "Name each picture in this table, or leave the column out.")
