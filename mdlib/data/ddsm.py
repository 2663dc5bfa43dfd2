"""DDSM, the Digital Database for Screening Mammography (Heath et al. 2000), in its published layout.

    cases/{cancers,normals,benigns,benign_without_callbacks}/cancer_01/case0001/
        A-0001-1.ics                    density and size of each film as it was scanned
        A_0001_1.LEFT_CC.OVERLAY        the findings of a film and their outlines; not there where it has none
        A_0001_1.LEFT_CC.LJPEG          the pixels, in a lossless JPEG of its own that has no header: not read here
        A_0001_1.LEFT_CC.png            the same converted: .dcm, .png, .tif or .jpg, after .LEFT_CC, .LJPEG or .LJPEG.1

The first outline of a finding (BOUNDARY) is used; further ones (CORE) lie inside it. How many are announced is not
compared with how many there are, because published files differ.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from mdlib.data.ddsm_overlays import Lesion, drawn, read_overlay
from mdlib.data.films import FINDING_COLUMNS, Films, refuse_aspect, refuse_no_outline
from mdlib.data.headers import read_size
from mdlib.data.tables import read_lines
from mdlib.errors import DataError

CATEGORIES = {"cancers": "cancer", "normals": "normal", "benigns": "benign",
              "benign_without_callbacks": "benign_without_callback"}
SEQUENCES = ("LEFT_CC", "LEFT_MLO", "RIGHT_CC", "RIGHT_MLO")
ENDINGS = (".dcm", ".png", ".tif", ".tiff", ".jpg", ".jpeg")           # in this order: lossless ones first
DETAILS = ("pathology", "assessment", "subtlety", "shape", "margins", "type", "distribution", "overlay")


def ddsm(folder: Path | str) -> Films:
    """The films of cases/, or of a folder that contains it, case after case; no pixels are read, but each header is.

    `table` also has exam (as A_0001_1), volume (cancer_01), category (cancer, normal, benign or
    benign_without_callback), scanned_height and scanned_width, the size that the outlines refer to. A film is named as
    in the lists of Wu et al., cancer_01-A_0001_1.LEFT_CC; its patient is A_0001. `findings` also has what the overlay
    says: pathology, assessment, subtlety, and shape, margins, type and distribution as printed ("" where not said), and
    its path. A finding is malignant if its pathology is MALIGNANT; UNPROVEN (37 of 4,664 findings) is not.

    A converted film may have another size than it was scanned with: its outlines are scaled.
    Raises DataError naming file and row for a case without its ICS file, a film that is missing or was not converted,
    an overlay that is missing, not announced, empty, cut off or larger than its film, and a film of another aspect.
    """
    folder = Path(folder)
    home = folder / "cases" if (folder / "cases").is_dir() else folder
    table, findings = [], []
    for case in sorted(case for category in CATEGORIES for case in home.glob(f"{category}/*/case*")):
        for film, lesions, overlay in _films(case):
            table.append({**film, "path": str(film["path"].relative_to(folder))})
            findings += [{"film": film["film"], "number": lesion.number, "kind": lesion.kind,
                          "malignant": lesion.details["pathology"] == "MALIGNANT", "outlined": True, **lesion.details,
                          "overlay": str(overlay.relative_to(folder))} for lesion in lesions]
    if not table:
        raise DataError(f"no case in {', '.join(CATEGORIES)}", str(home),
                        "Cases lie in folders like cases/cancers/cancer_01/case0001.")
    found = pd.DataFrame(findings, columns=[*FINDING_COLUMNS, *DETAILS]).astype({"malignant": bool, "outlined": bool})
    truth = folder / "truth"
    return Films(folder, pd.DataFrame(table), found, outline, truth if truth.is_dir() else None)


def outline(films: Films, row: int) -> np.ndarray:
    """The pixels on and inside the outline of the finding in that row of `findings`, bool (height, width)."""
    refuse_no_outline(films, row)
    finding = films.findings.iloc[row]
    film = films.table[films.table["film"] == finding["film"]].iloc[0]
    lesions = {lesion.number: lesion for lesion in read_overlay(Path(films.data_dir, finding["overlay"]))}
    return drawn(lesions[finding["number"]].points, (film["scanned_height"], film["scanned_width"]),
                 (film["height"], film["width"]))


def _films(case: Path) -> Iterator[tuple[dict, list[Lesion], Path]]:
    """Row of the table, findings and path of the overlay of each film of a case."""
    listed = sorted(case.glob("*.ics"))
    if len(listed) != 1:
        raise DataError(f"{len(listed)} files that end in .ics, not one", str(case), "Copy the case again.")
    ics, exam = listed[0], listed[0].stem.replace("-", "_")
    if not re.fullmatch(r"[A-Z]_\d{4}_\d", exam):
        raise DataError("the name is not like A-0001-1.ics", str(ics), "Case and exam are told by it: name it so.")
    density, scans = _read_ics(ics)
    for sequence, (row, height, width, announced) in scans.items():
        path, where = _film_file(case, f"{exam}.{sequence}"), f"{ics}, row {row}"
        _, *size = read_size(path)
        refuse_aspect((height, width), size, f"{path} ({where})")
        side, view = sequence.split("_")
        film = {"film": f"{case.parent.name}-{exam}.{sequence}", "path": path, "patient": exam[:6],
                "side": side.lower(), "view": view, "density": density, "height": size[0], "width": size[1],
                "exam": exam, "volume": case.parent.name, "category": CATEGORIES[case.parents[1].name],
                "scanned_height": height, "scanned_width": width}
        overlay = case / f"{exam}.{sequence}.OVERLAY"
        if announced != overlay.is_file():
            raise DataError("the overlay that the ICS file announces is missing" if announced else
                            "there is an overlay that the ICS file does not announce", f"{overlay} ({where})",
                            "Copy the case again, or correct the ICS file (OVERLAY or NON_OVERLAY).")
        lesions = read_overlay(overlay) if announced else []
        for lesion in lesions:
            _refuse_outside(lesion, overlay, height, width)
        yield film, lesions, overlay


def _read_ics(file: Path) -> tuple[float, dict[str, tuple[int, int, int, bool]]]:
    """Density, NaN where it is not given, and for each film the row, lines, pixels per line, and OVERLAY or not."""
    density, scans = np.nan, {}
    for row, line in read_lines(file):
        key, *words = line.split()
        if key == "DENSITY" and words and words[0] != "0":
            if words[0] not in ("1", "2", "3", "4"):
                raise DataError(f"the density {words[0]!r} is not 1 to 4", f"{file}, row {row}", "Put 0 if not known.")
            density = float(words[0])
        if key in SEQUENCES:
            said = dict(zip(words[:-1:2], words[1::2], strict=False))
            size = [said.get(name, "") for name in ("LINES", "PIXELS_PER_LINE")]
            if not all(map(str.isdecimal, size)) or words[-1] not in ("OVERLAY", "NON_OVERLAY"):
                raise DataError("no size, or neither OVERLAY nor NON_OVERLAY at the end", f"{file}, row {row}",
                                "As in LEFT_CC LINES 4696 PIXELS_PER_LINE 3024 BITS_PER_PIXEL 12 OVERLAY.")
            scans[key] = (row, int(size[0]), int(size[1]), words[-1] == "OVERLAY")
    if not scans:
        raise DataError(f"none of the films {', '.join(SEQUENCES)} is described", str(file), "Copy the case again.")
    return density, scans


def _film_file(case: Path, stem: str) -> Path:
    for ending in ENDINGS:
        for middle in ("", ".LJPEG", ".LJPEG.1", ".1"):
            if (path := case / f"{stem}{middle}{ending}").is_file():
                return path
    for name in (f"{stem}.LJPEG", f"{stem}.LJPEG.1"):
        if (case / name).is_file():
            raise DataError("DDSM's own lossless JPEG and its raw pixels have no header and are not read",
                            str(case / name), f"Convert it by one of the published converters, and put {stem}.png "
                            "beside it, with 16 or 8 bits.")
    raise DataError("no such film", str(case / f"{stem}.png"), "Put the converted film there, or remove its line from "
                    "the ICS file.")


def _refuse_outside(lesion: Lesion, overlay: Path, height: int, width: int) -> None:
    (left, top), (right, bottom) = lesion.points.min(axis=0), lesion.points.max(axis=0)
    if min(left, top) < 0 or right >= width or bottom >= height:
        raise DataError(f"the outline of finding {lesion.number} (columns {left} to {right}, rows {top} to {bottom}) "
                        f"leaves its film of {width} columns and {height} rows", f"{overlay}, row {lesion.row}",
                        "The overlay is of another film, or the size in the ICS file is wrong.")
