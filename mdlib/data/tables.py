"""Tables as text, gzipped or not, whose every fault is named by file and row.

Rows are counted as an editor counts lines: the header is row 1.
"""

import csv
import gzip
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mdlib.errors import DataError


@dataclass(frozen=True)
class Column:
    """One column of a table, and the row each of its texts stands in, so that an error can say so."""

    file: Path
    name: str
    rows: list[int]
    texts: list[str]

    def wrong(self, index: int, what: str, remedy: str) -> DataError:
        return DataError(what, f"{self.file}, row {self.rows[index]}, column {self.name!r}", remedy)

    def one_of(self, known: tuple[str, ...]) -> list[str]:
        unknown = [index for index, text in enumerate(self.texts) if text not in known]
        if unknown:
            raise self.wrong(unknown[0], f"unknown value {self.texts[unknown[0]]!r}; {len(unknown):,} such rows",
                             f"Known are {', '.join(known)}; correct or remove the rows.")
        return self.texts

    def counts(self) -> list[int]:
        for index, text in enumerate(self.texts):
            if not (text.isdigit() and text.isascii() and len(text) < 19):  # what 64 bits hold
                raise self.wrong(index, f"{text!r} is not a whole number", "Number the patients 1, 2, 3, ….")
        return [int(text) for text in self.texts]


def read_columns(file: Path, needed: tuple[str, ...], further: tuple[str, ...] = ()) -> dict[str, Column]:
    """The columns of a table by the names in its first line: all `needed` ones, and of `further` those it has.

    What stands in other columns does not matter. Raises DataError for a missing column, a line that is cut off, no row.
    """
    lines = read_rows(file)
    _, header = next(lines, (1, []))
    missing = [name for name in needed if name not in header]
    if missing:
        raise DataError(f"no column {', '.join(map(repr, missing))}; there are {', '.join(filter(None, header))}",
                        f"{file}, row 1", f"The first line must name {', '.join(needed)}, separated by commas.")
    place = {name: header.index(name) for name in (*needed, *further) if name in header}
    rows, kept = [], []
    for row, fields in lines:
        if len(fields) <= max(place.values()):
            raise DataError(f"only {len(fields)} fields where the header has {len(header)}", f"{file}, row {row}",
                            "The line is cut off: complete it, or get the file again.")
        rows.append(row)
        kept.append([fields[at] for at in place.values()])
    if not rows:
        raise DataError("the table has a header but no rows", f"{file}, row 1", "Get the file again.")
    return {name: Column(file, name, rows, list(texts))
            for name, texts in zip(place, zip(*kept, strict=True), strict=True)}


def read_rows(file: Path) -> Iterator[tuple[int, list[str]]]:
    """Line number and stripped fields of each line that is not blank."""
    with _open(file) as stream:
        reader = csv.reader(stream)
        for fields in _readable(reader, file):
            fields = [field.strip() for field in fields]
            if any(fields):
                yield reader.line_num, fields


def read_lines(file: Path) -> Iterator[tuple[int, str]]:
    """Line number and stripped text of each line that is not blank."""
    with _open(file) as stream:
        for row, line in enumerate(_readable(stream, file), start=1):
            if line.strip():
                yield row, line.strip()


def _readable(lines: Iterable, file: Path) -> Iterator:
    """The lines of a text file; bytes that are no text, a damaged gzip file or a broken quote become a DataError."""
    row = 0
    try:
        for line in lines:
            row += 1
            yield line
    except (UnicodeError, csv.Error, EOFError, OSError, zlib.error) as error:
        raise DataError(f"this is not readable as text ({error})", f"{file}, after row {row}",
                        "Save it as UTF-8 text, or get the file again.") from None


def _open(file: Path):
    if not file.is_file():
        raise DataError("no such file", str(file), "Check the path.")
    opener = gzip.open if file.suffix == ".gz" else open
    return opener(file, "rt", encoding="utf-8-sig", newline="")
