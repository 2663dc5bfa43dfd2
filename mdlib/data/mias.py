"""mini-MIAS (Suckling et al. 1994): 322 films of 161 patients, 1024 x 1024 pixels, or some of them, at any size.

    Info.txt                        mdb001 G CIRC B 535 425 197     film, tissue, finding, severity, x, y, radius
    mdb001.pgm, or images/mdb001.png

Circles are given in pixels of 1024 x 1024 films, y from the bottom. A film with several findings has several lines, one
without has `mdb003 D NORM`. A finding that is spread over the film has no circle (`*NOTE 3*`, or nothing). Films with
odd numbers are right breasts, those with even numbers left ones, and mdb001 and mdb002, mdb003 and mdb004, … are of one
patient each. All are MLO views.
"""

import re
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from mdlib.data.films import FINDING_COLUMNS, Films, refuse_aspect, refuse_no_outline
from mdlib.data.headers import read_size
from mdlib.data.tables import read_lines
from mdlib.errors import DataError

SIDE = 1024                                         # pixels of the published films, in which circles are given
DENSITIES = {"F": 1.0, "G": 2.0, "D": 3.0}          # fatty, fatty-glandular, dense-glandular; the numbers are ours
KINDS = ("CALC", "CIRC", "SPIC", "MISC", "ARCH", "ASYM")
LINE = re.compile(rf"(?P<film>mdb\d{{3}})\s+(?P<tissue>[FGD])\s+(NORM|(?P<kind>{'|'.join(KINDS)})\s+(?P<severity>[BM])"
                  r"(\s+(?P<x>\d+)\s+(?P<y>\d+)\s+(?P<radius>\d+)|\s*\*NOTE 3\*)?)")
CIRCLE = ("x", "y", "radius")
ENDINGS = (".pgm", ".png", ".tif", ".bmp", ".jpg")


def mias(folder: Path | str) -> Films:
    """The films of Info.txt that are in `folder` or its images/, in order; no pixels are read, but each header is.

    `table` also has tissue (F, G or D); density is 1, 2 or 3 accordingly. `findings`: kind is one of KINDS; x, y and
    radius as published, NaN where no circle is given (mdb059, mdb216, mdb233, mdb245: `Films.without_outline` names
    them). A warning counts patients of whom one film is missing.
    Raises DataError naming file and row for a line that is not as above, a film with two tissues, with NORM beside a
    finding or not square, a circle around a point outside the film, and for a film that is not in Info.txt.
    """
    folder = Path(folder)
    info = folder / "Info.txt"
    rows = _rows(info)
    files = {path.stem: path for ending in ENDINGS for home in (folder, folder / "images")
             for path in sorted(home.glob(f"mdb*{ending}"))}
    if not files.keys() & rows.keys():
        raise DataError("no film mdb001.pgm, …", str(folder), "Put the films beside Info.txt, or into images/.")
    if other := files.keys() - rows.keys():
        raise DataError("this film is not in Info.txt", str(files[min(other)]), "Add its line, or remove it.")
    table, findings = [], []
    for film in filter(files.__contains__, rows):
        row, first = rows[film][0]
        _, *size = read_size(files[film])
        refuse_aspect((SIDE, SIDE), size, f"{files[film]} ({info}, row {row})")
        number = int(film[3:])
        table.append({"film": film, "path": str(files[film].relative_to(folder)), "patient": f"P{(number + 1) // 2:03}",
                      "side": "right" if number % 2 else "left", "view": "MLO", "density": DENSITIES[first["tissue"]],
                      "height": size[0], "width": size[1], "tissue": first["tissue"]})
        findings += [{"film": film, "number": number, "kind": found["kind"], "malignant": found["severity"] == "M",
                      "outlined": found["x"] is not None, **{name: float(found[name] or "nan") for name in CIRCLE}}
                     for number, (_, found) in enumerate(rows[film], start=1) if found["kind"]]
    _warn_of_single(table, folder)
    found = pd.DataFrame(findings, columns=[*FINDING_COLUMNS, *CIRCLE]).astype({"malignant": bool, "outlined": bool})
    return Films(folder, pd.DataFrame(table), found, outline)


def outline(films: Films, row: int) -> np.ndarray:
    """The pixels whose middle lies within the circle of the finding in that row of `findings`, bool (height, width)."""
    refuse_no_outline(films, row)
    finding = films.findings.iloc[row]
    height, width = films.shape(finding["film"])
    y = (np.arange(height)[:, None] + 0.5) * SIDE / height
    x = (np.arange(width) + 0.5) * SIDE / width
    return (x - finding["x"])**2 + (y - (SIDE - finding["y"]))**2 <= finding["radius"]**2


def _rows(info: Path) -> dict[str, list[tuple[int, re.Match]]]:
    """The lines of each film, each with its row."""
    rows: dict[str, list[tuple[int, re.Match]]] = {}
    for row, line in read_lines(info):
        if not line.startswith("mdb"):
            continue
        found, where = LINE.fullmatch(line), f"{info}, row {row}"
        if found is None:
            raise DataError(f"{line[:80]!r} does not describe a film", where, "As in mdb001 G CIRC B 535 425 197.")
        if found["x"] and (max(int(found["x"]), int(found["y"])) > SIDE or not int(found["radius"])):
            raise DataError(f"the circle {', '.join(found.group(*CIRCLE))} is empty or around a point outside the "
                            f"film of {SIDE} x {SIDE} pixels", where, "Correct it, or leave its three numbers out.")
        earlier = rows.setdefault(found["film"], [])
        if earlier and earlier[0][1]["tissue"] != found["tissue"]:
            raise DataError(f"film {found['film']} has two tissues, {earlier[0][1]['tissue']} (row {earlier[0][0]}) "
                            f"and {found['tissue']}", where, "Correct one of the lines.")
        if earlier and not (found["kind"] and earlier[0][1]["kind"]):
            raise DataError(f"film {found['film']} is normal and has a finding, or is there twice (row "
                            f"{earlier[0][0]})", where, "Remove one of the lines.")
        earlier.append((row, found))
    return rows


def _warn_of_single(table: list[dict], folder: Path) -> None:
    counts = pd.Series([film["patient"] for film in table]).value_counts()
    if (single := (counts == 1).sum()):
        warnings.warn(f"{folder}: of {single:,} of {len(counts):,} patients one of the two films is missing.",
                      stacklevel=3)
