"""CBIS-DDSM (Lee et al. 2017): films of DDSM with new outlines, as DICOM, and tables, as the Imaging Archive has them.

    mass_case_description_train_set.csv, …_test_set.csv, calc_case_description_….csv       one row per finding and film
    CBIS-DDSM/Mass-Training_P_00001_LEFT_CC/*/*/1-1.dcm                the film
    CBIS-DDSM/Mass-Training_P_00001_LEFT_CC_1/*/*/{1-1,1-2}.dcm        mask and cropped image of its first finding

The paths in the tables agree with those of the download in the first folder only. The tables and the order of the files
mix up masks and cropped images: the mask is told by its size, that of the film, or else by its content, two values.

All films show a finding: for normal films, DDSM is needed.
"""

import re
import warnings
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd

from mdlib.data.films import FINDING_COLUMNS, Films, refuse_aspect, refuse_no_outline, resized_mask
from mdlib.data.headers import read_size
from mdlib.data.images import read_grey
from mdlib.data.tables import Column, read_columns
from mdlib.errors import DataError

TABLES = {f"{kind}_case_description_{part}_set.csv": part for kind in ("mass", "calc") for part in ("train", "test")}
NEEDED = ("patient_id", "left or right breast", "image view", "abnormality id", "abnormality type", "assessment",
          "pathology", "subtlety", "image file path", "ROI mask file path")
DENSITIES = ("breast_density", "breast density")        # in the tables of masses, and of calcifications
WORDS = {"shape": "mass shape", "margins": "mass margins", "type": "calc type", "distribution": "calc distribution"}
DETAILS = ("pathology", "assessment", "subtlety", *WORDS, "abnormality", "mask")


def cbis(folder: Path | str) -> Films:
    """The films of the tables in `folder`, in their order; DICOM files lie in CBIS-DDSM/ or in the folder itself.

    No pixels are read but where the header does not tell mask and cropped image apart. A film is named P_00001_LEFT_CC:
    where tables of masses and of calcifications both have it, it is one film with the findings of both, numbered on.
    `table` also has part, train or test by the table it is first in. `findings` also has pathology, assessment,
    subtlety, shape, margins, type, distribution, abnormality (its published number) and mask (a path); one whose mask
    is missing from its folder is not `outlined`.

    Warns of missing masks, and of patients who are in both parts: split by patient. Raises DataError naming file and
    row for a missing table, folder or film, an unknown value, a finding that is listed twice, and a mask whose aspect
    is not that of its film within 1 %.
    """
    folder = Path(folder)
    home = folder / "CBIS-DDSM" if (folder / "CBIS-DDSM").is_dir() else folder
    files = [name for name in TABLES if (folder / name).is_file()]
    if not files:
        raise DataError(f"none of the tables {', '.join(TABLES)}", str(folder), "Download them beside CBIS-DDSM/.")
    films: dict[str, dict] = {}
    findings: dict[str, list[dict]] = {}
    for name in files:
        columns = read_columns(folder / name, NEEDED, (*DENSITIES, *WORDS.values()))
        _check(columns)
        for row in range(len(columns["patient_id"].rows)):
            film = "_".join(columns[column].texts[row] for column in NEEDED[:3])
            if film not in films:
                films[film] = _film(folder, home, columns, row) | {"film": film, "part": TABLES[name]}
            others = findings.setdefault(film, [])
            finding = _finding(folder, home, columns, row, films[film])
            if any(finding["mask"] and finding["mask"] == other["mask"] for other in others):
                raise columns["ROI mask file path"].wrong(row, f"this finding of {film} is listed twice",
                                                          "Remove one of the rows.")
            others.append({"film": film, "number": len(others) + 1, **finding})
    table = pd.DataFrame(films.values())
    found = pd.DataFrame(chain.from_iterable(findings.values()), columns=[*FINDING_COLUMNS, *DETAILS])
    _warn(folder, table, found)
    return Films(folder, table, found, outline)


def outline(films: Films, row: int) -> np.ndarray:
    """The mask of the finding in that row of `findings`, bool (height, width), resized to its film where it differs."""
    refuse_no_outline(films, row)
    finding = films.findings.iloc[row]
    path = Path(films.data_dir, finding["mask"])
    grey = read_grey(path)
    if (count := _values(grey)) != 2:
        raise DataError(f"this is no mask: it has {count} grey values, not two", str(path),
                        "Copy it again, or leave the film out.")
    return resized_mask(grey > grey.max() // 2, films.shape(finding["film"]), str(path))


def _check(columns: dict[str, Column]) -> None:
    columns["left or right breast"].one_of(("LEFT", "RIGHT"))
    columns["image view"].one_of(("CC", "MLO"))
    columns["abnormality type"].one_of(("mass", "calcification"))
    columns["pathology"].one_of(("MALIGNANT", "BENIGN", "BENIGN_WITHOUT_CALLBACK"))
    for name in ("abnormality id", "assessment", "subtlety", *(name for name in DENSITIES if name in columns)):
        columns[name].one_of(tuple("0123456789"))
    for index, patient in enumerate(columns["patient_id"].texts):
        if not re.fullmatch(r"P_\d{5}", patient):
            raise columns["patient_id"].wrong(index, f"{patient!r} is no patient", "As in P_00001.")


def _film(folder: Path, home: Path, columns: dict[str, Column], row: int) -> dict:
    path, *others = _files(home, columns["image file path"], row)
    if others:
        raise columns["image file path"].wrong(row, f"{1 + len(others)} files in the folder of the film, not one",
                                               "Download it again.")
    _, height, width = read_size(path)
    density = next((columns[name].texts[row] for name in DENSITIES if name in columns), "0")
    return {"path": str(path.relative_to(folder)), "patient": columns["patient_id"].texts[row],
            "side": columns["left or right breast"].texts[row].lower(), "view": columns["image view"].texts[row],
            "density": float(density) if density in "1234" else np.nan, "height": height, "width": width}


def _finding(folder: Path, home: Path, columns: dict[str, Column], row: int, film: dict) -> dict:
    column, size = columns["ROI mask file path"], (film["height"], film["width"])
    mask = _mask(_files(home, column, row), size)
    if mask:
        refuse_aspect(read_size(mask)[1:], size, f"{mask} ({column.file}, row {column.rows[row]})")
    return {"kind": columns["abnormality type"].texts[row], "outlined": mask is not None,
            "malignant": columns["pathology"].texts[row] == "MALIGNANT", "pathology": columns["pathology"].texts[row],
            **{name: int(columns[name].texts[row]) for name in ("assessment", "subtlety")},
            **{word: columns[name].texts[row] if name in columns else "" for word, name in WORDS.items()},
            "abnormality": int(columns["abnormality id"].texts[row]),
            "mask": str(mask.relative_to(folder)) if mask else ""}


def _files(home: Path, column: Column, row: int) -> list[Path]:
    """The DICOM files in the first folder of the path in a table."""
    first = column.texts[row].split("/")[0]
    found = sorted((home / first).rglob("*.dcm")) if first else []
    if not found:
        raise column.wrong(row, f"no DICOM file in {home / first}", "Download it, or remove all rows of this film.")
    return found


def _mask(files: list[Path], size: tuple[int, int]) -> Path | None:
    """The mask among the files of a finding: the only one of the film's size, or the only one with two values."""
    fits = [path for path in files if read_size(path)[1:] == size]
    if len(fits) != 1:
        fits = [path for path in files if _values(read_grey(path)) == 2]
    return fits[0] if len(fits) == 1 else None


def _values(grey: np.ndarray) -> int:
    return int(np.count_nonzero(np.bincount(grey.ravel())))


def _warn(folder: Path, table: pd.DataFrame, findings: pd.DataFrame) -> None:
    parts = table.groupby("patient")["part"].nunique()
    if (both := (parts > 1).sum()):
        warnings.warn(f"{folder}: {both:,} of {len(parts):,} patients have films in train and in test; split by "
                      "patient.", stacklevel=3)
    if (missing := (~findings["outlined"]).sum()):
        warnings.warn(f"{folder}: the masks of {missing:,} of {len(findings):,} findings are not in their folders; "
                      "leave these films out (Films.without_outline).", stacklevel=3)
