"""The lists of DDSM's films by which Wu et al. trained, validated and tested, and the cases that are in two of them.

    train.txt, val.txt, test.txt        one film per line: benign_01-B_3091_1.LEFT_CC.LJPEG.1.jpg
"""

import re
from pathlib import Path

import pandas as pd

from mdlib.data.tables import read_lines
from mdlib.errors import DataError

PARTS = ("train", "val", "test")
NAME = re.compile(r"((?P<volume>(?P<category>cancer|normal|benign|benign_without_callback)_\d\d)-"
                  r"(?P<exam>(?P<patient>[A-Z]_\d{4})_\d)\.(?P<side>LEFT|RIGHT)_(?P<view>CC|MLO))(\.LJPEG\.1\.jpg)?")


def read_lists(folder: Path | str) -> pd.DataFrame:
    """One row per film of the three lists: film, volume, category, exam, patient, side, view and part.

    `film` names it as `ddsm.ddsm` does: cancer_01-A_0001_1.LEFT_CC. `exam` is unique (cancer_01-A_0001_1); `patient` is
    DDSM's case (A_0001), which may have exams in two volumes. Raises DataError naming file and row for a name of
    another form, and for a film that is listed twice.
    """
    films, seen = [], {}
    for part in PARTS:
        file = Path(folder) / f"{part}.txt"
        for row, line in read_lines(file):
            name, where = NAME.fullmatch(line), f"{file}, row {row}"
            if name is None:
                raise DataError(f"{line[:80]!r} is not the name of a film of DDSM", where,
                                "As in cancer_01-A_0001_1.LEFT_CC.LJPEG.1.jpg.")
            if (first := seen.setdefault(name[1], where)) != where:
                raise DataError(f"film {name[1]} is listed twice, first in {first}", where, "Remove one of the lines.")
            films.append({"film": name[1], **name.groupdict(), "exam": f"{name['volume']}-{name['exam']}",
                          "side": name["side"].lower(), "part": part})
    if not films:
        raise DataError("the lists name no film", str(folder), "Get the lists again.")
    return pd.DataFrame(films)


def leaks(table: pd.DataFrame) -> pd.DataFrame:
    """One row per patient with films in two or more parts: patient, parts ("train, val"), films and exams (numbers).

    `table` has film, patient, exam and part, as from `read_lists`. No row: no patient is in two parts.
    """
    parts = table.groupby("patient")["part"].agg(lambda of_one: ", ".join(dict.fromkeys(of_one)))
    shared = table[table["patient"].map(parts).str.contains(", ")]
    counts = shared.groupby("patient").agg(films=("film", "size"), exams=("exam", "nunique"))
    return counts.join(parts.rename("parts")).reset_index()[["patient", "parts", "films", "exams"]]
