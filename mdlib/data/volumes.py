"""Retinal OCT: volumes as folders of slices or as DICOM files of several frames, and single scans grouped by eye."""

import re
from pathlib import Path

import numpy as np
import pandas as pd

from mdlib.data.bags import Bags
from mdlib.data.headers import read_size
from mdlib.data.images import image_names
from mdlib.data.splits import refuse_shared_patients
from mdlib.data.tables import Column, read_columns
from mdlib.errors import DataError
from mdlib.progress import track

CLASSES = ("normal", "DME")


def oct_volumes(folder: Path | str) -> Bags:
    """OCT volumes as bags of slices; `table` also has device, as the table of the folder gives it (ours).

        labels.csv       volume, patient, class (normal or DME), device; one line per volume
        VOLUME/          its slices as images, or
        VOLUME.dcm       its slices as frames, in their order

    Slices are ordered by the number at the end of their names, where all have one behind the same beginning, else by
    name. Only the headers of the images are read: one that is damaged further on is found when it is decoded.

    Raises DataError for a missing table or column, an unknown class, a volume listed twice (with one class or with
    two), one that is not there or is there twice, one without slices, a number that is missing between the first and
    the last or there twice, and slices that cannot be read or differ in size. A volume of one slice is a bag of one.
    """
    folder = Path(folder)
    columns = read_columns(folder / "labels.csv", ("volume", "patient", "class", "device"))
    volumes, patients, labels, devices = columns.values()
    labels.one_of(CLASSES)
    _refuse_twice(volumes, labels)
    _refuse_empty(patients)
    found = [_slices(folder, volumes, index) for index in track(range(len(volumes.texts)), "looking at the volumes",
                                                                unit="volume")]
    count = np.array([len(slices) for slices in found])
    table = pd.DataFrame({"bag": volumes.texts, "patient": patients.texts, "label": labels.texts,
                          "device": devices.texts, "first": np.cumsum(count) - count, "count": count})
    slices = pd.DataFrame([each for slices in found for each in slices], columns=["path", "frame"])
    truth = folder / "truth"
    return Bags(folder, CLASSES, table, slices, truth if truth.is_dir() else None)


def oct_eyes(folder: Path | str) -> Bags:
    """Single OCT scans, one eye per bag; `table` also has eye, and part and matched_subset where they are given.

    `labels.csv` names file, patient_group, eye, DME (1 or 0), and may name suggested_split, which becomes `part`, and
    matched_subset (1 or 0). A patient is a `patient_group`, which joins the numbers that are known to be one person's.
    Of the collection of Hughes Cano et al. that makes 707 eyes of 564 patients from 769 scans, 661 of them with one
    scan. Its 8 exact duplicates stay in: all are within one patient.

    Raises DataError for a missing table, column or image, an unknown value, a file listed twice, an eye whose scans
    differ in class, part or size, and a patient in two parts.
    """
    folder = Path(folder)
    columns = read_columns(folder / "labels.csv", ("file", "patient_group", "eye", "DME"),
                           further=("suggested_split", "matched_subset"))
    _refuse_twice(columns["file"], columns["DME"])
    _refuse_empty(columns["patient_group"])
    scans = _scans(columns)
    code = pd.factorize(scans["bag"])[0]
    scans = scans.iloc[np.argsort(code, kind="stable")].reset_index(drop=True)
    for _, paths in scans.groupby("bag")["path"]:
        refuse_sizes([folder / path for path in paths])
    count = np.bincount(code)
    table = scans.drop_duplicates("bag").drop(columns=["path", "frame"]).reset_index(drop=True)
    table = table.assign(first=np.cumsum(count) - count, count=count)
    if "part" in table:
        refuse_shared_patients(table, table.groupby("part").indices, str(folder / "labels.csv"))
    return Bags(folder, CLASSES, table, scans[["path", "frame"]])


def _scans(columns: dict[str, Column]) -> pd.DataFrame:
    """One row per scan, in the order of the table. Raises DataError where the scans of one eye do not agree."""
    yes_no, eyes, patients = ("0", "1"), columns["eye"].one_of(("L", "R")), columns["patient_group"].texts
    scans = pd.DataFrame({"bag": [f"{patient}_{eye}" for patient, eye in zip(patients, eyes, strict=True)],
                          "patient": patients, "eye": eyes, "path": columns["file"].texts, "frame": 0,
                          "label": [CLASSES[int(text)] for text in columns["DME"].one_of(yes_no)]})
    if "suggested_split" in columns:
        scans["part"] = columns["suggested_split"].texts
    if "matched_subset" in columns:
        scans["matched_subset"] = [int(text) for text in columns["matched_subset"].one_of(yes_no)]
    origins = {"label": "DME", "part": "suggested_split", "matched_subset": "matched_subset"}
    for name in scans.columns.intersection(list(origins)):
        first = scans.groupby("bag")[name].transform("first")
        for index in np.flatnonzero(scans[name] != first)[:1]:
            column = columns[origins[name]]
            raise column.wrong(index, f"{column.texts[index]!r}, where another scan of eye {scans['bag'].iat[index]!r} "
                               "says otherwise", "The scans of one eye must agree: correct one of them.")
    return scans


def _slices(folder: Path, volumes: Column, index: int) -> list[tuple[str, int]]:
    """Path and frame of each slice of a volume, in order."""
    name = volumes.texts[index]
    if name in ("", ".", "..") or "/" in name or "\\" in name:
        raise volumes.wrong(index, f"{name!r} is not a name", "Write the name of the volume's folder, or of its file "
                            "without .dcm.")
    inside, file = folder / name, folder / f"{name}.dcm"
    if inside.is_dir() == file.is_file():
        raise volumes.wrong(index, f"volume {name!r} is there {'twice' if file.is_file() else 'neither'} as a folder "
                            f"{'and' if file.is_file() else 'nor'} as {file.name}",
                            f"Put one of them into {folder}, or remove the row.")
    if file.is_file():
        return [(file.name, frame) for frame in range(read_size(file)[0])]
    names = in_order(image_names(inside), inside)
    refuse_sizes([inside / each for each in names])
    return [(f"{name}/{each}", 0) for each in names]


def in_order(names: list[str], folder: Path) -> list[str]:
    """The names of a volume's slices by the number at their end, where all have one behind the same beginning.

    Raises DataError for no names, a number that is missing between the first and the last, or is there twice.
    """
    if not names:
        raise DataError("there are no slices in this folder", str(folder),
                        "Put the volume's images there, or remove its row from labels.csv.")
    parts = [re.fullmatch(r"(.*?)(\d+)", Path(name).stem, re.ASCII) for name in names]
    if None in parts or len({part[1] for part in parts}) > 1:
        return names
    by_number = {int(part[2]): name for part, name in zip(parts, names, strict=True)}
    if len(by_number) < len(names):
        twice = next(name for part, name in zip(parts, names, strict=True) if by_number[int(part[2])] != name)
        raise DataError("another slice has the same number", str(folder / twice), "Remove one of the two.")
    missing = sorted(set(range(min(by_number), max(by_number))) - set(by_number))
    if missing:
        raise DataError(f"slice {missing[0]} is missing ({len(missing)} of {min(by_number)} to {max(by_number)} are)",
                        str(folder), "Put it there; or number the slices without a gap, if none is missing.")
    return [by_number[number] for number in sorted(by_number)]


def refuse_sizes(paths: list[Path]) -> None:
    """Raise DataError where an image of a bag has several frames or another size than the first."""
    first = None
    for path in paths:
        frames, *size = read_size(path)
        if frames > 1:
            raise DataError(f"{frames} frames, not one slice", str(path),
                            "Put such a file beside labels.csv, as VOLUME.dcm.")
        first = first or size
        if size != first:
            raise DataError(f"{size[0]} x {size[1]} pixels (height x width), where {paths[0].name} has "
                            f"{first[0]} x {first[1]}", str(path), "Export the slices of a volume in one size.")


def _refuse_twice(names: Column, labels: Column) -> None:
    seen: dict[str, int] = {}
    for index, name in enumerate(names.texts):
        before = seen.setdefault(name, index)
        if before != index and labels.texts[before] != labels.texts[index]:
            raise labels.wrong(index, f"{name!r} is {labels.texts[index]!r} here and {labels.texts[before]!r} in row "
                               f"{labels.rows[before]}", "Decide which is right and remove the other row.")
        if before != index:
            raise names.wrong(index, f"{name!r} is already in row {names.rows[before]}", "Remove one of the two rows.")


def _refuse_empty(patients: Column) -> None:
    """Patients without a name would be taken for one person."""
    if "" in patients.texts:
        raise patients.wrong(patients.texts.index(""), "no patient", "Write who it is, or a number that nobody has.")
