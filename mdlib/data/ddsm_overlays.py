"""The overlay files of DDSM: what they say of the findings of a film, and their outlines as chain codes.

    TOTAL_ABNORMALITIES 1
    ABNORMALITY 1
    LESION_TYPE MASS SHAPE IRREGULAR MARGINS SPICULATED
    ASSESSMENT 5
    SUBTLETY 5
    PATHOLOGY MALIGNANT
    TOTAL_OUTLINES 1
    BOUNDARY
    1032 2041 4 4 4 3 2 2 … 7 #         first column and row, then steps: 0 is up, 1 up right, and so on clockwise

A finding may have two lines LESION_TYPE (a mass with calcifications).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from mdlib.data.tables import read_lines
from mdlib.errors import DataError

STEPS = np.array([(0, -1), (1, -1), (1, 0), (1, 1), (0, 1), (-1, 1), (-1, 0), (-1, -1)])     # column, row
PATHOLOGIES = ("MALIGNANT", "BENIGN", "BENIGN_WITHOUT_CALLBACK", "UNPROVEN")
KINDS = ("MASS", "CALCIFICATION", "OTHER")
WORDS = ("SHAPE", "MARGINS", "TYPE", "DISTRIBUTION")
AGAIN = "Copy the overlay again, or correct it."


@dataclass(frozen=True)
class Lesion:
    """A finding of an overlay file.

    `kind`: "mass", "calcification", "other", or two of them ("mass, calcification"). `details`: pathology, assessment
    and subtlety (integers), and shape, margins, type and distribution as printed, "" where not said. `points`: int64
    (n, 2), column and row of each pixel of the outline in the film as it was scanned. `row`: the line of the outline.
    """

    number: int
    kind: str
    details: dict[str, str | int]
    points: np.ndarray
    row: int


def read_overlay(file: Path | str) -> list[Lesion]:
    """The findings of an overlay file, one or more. Raises DataError naming file and row for what is not as above."""
    file = Path(file)
    lines = list(read_lines(file))
    if not lines or lines[0][1].split()[0] != "TOTAL_ABNORMALITIES":
        raise DataError("the overlay is empty" if not lines else "the first line is not TOTAL_ABNORMALITIES", str(file),
                        "Copy it again; of a film without findings remove it, and write NON_OVERLAY in the ICS file.")
    starts = [place for place, (_, line) in enumerate(lines) if line.split()[0] == "ABNORMALITY"]
    total = _number(lines[0][1], f"{file}, row {lines[0][0]}")
    if total != len(starts) or not total:
        raise DataError(f"{total} findings are announced, {len(starts)} are described", f"{file}, row {lines[0][0]}",
                        AGAIN)
    ends = [*starts[1:], len(lines)]
    return [_lesion(file, lines[start:end], number) for number, (start, end) in
            enumerate(zip(starts, ends, strict=True), start=1)]


def _lesion(file: Path, lines: list[tuple[int, str]], number: int) -> Lesion:
    first, rest = lines[0], iter(lines[1:])
    if _number(first[1], f"{file}, row {first[0]}") != number:
        raise DataError(f"{first[1]} where ABNORMALITY {number} is expected", f"{file}, row {first[0]}", AGAIN)
    kinds, said, boundary = [], {word.lower(): [] for word in WORDS}, None
    for row, line in rest:
        key, *words = line.split()
        where = f"{file}, row {row}"
        if key == "LESION_TYPE" and words and words[0] in KINDS:
            kinds.append(words[0].lower())
            for word, text in zip(words[1::2], words[2::2], strict=False):
                if word in WORDS:
                    said[word.lower()].append(text)
        elif key in ("ASSESSMENT", "SUBTLETY"):
            said[key.lower()] = _number(line, where)
        elif key == "PATHOLOGY" and words and words[0] in PATHOLOGIES:
            said["pathology"] = words[0]
        elif key in ("BOUNDARY", "CORE"):
            outline = _outline(file, rest, row)
            boundary = boundary or (outline if key == "BOUNDARY" else None)
        elif key != "TOTAL_OUTLINES":
            raise DataError(f"{line[:60]!r} is not a line of an overlay", where, AGAIN)
    missing = [name for name in ("pathology", "assessment", "subtlety") if name not in said]
    if missing or not kinds or boundary is None:
        wanted = (*map(str.upper, missing), *(() if kinds else ("LESION_TYPE",)), *(() if boundary else ("BOUNDARY",)))
        raise DataError(f"finding {number} has no {', '.join(wanted)}", f"{file}, row {first[0]}", AGAIN)
    details = {name: ", ".join(value) if isinstance(value, list) else value for name, value in said.items()}
    return Lesion(number, ", ".join(dict.fromkeys(kinds)), details, boundary[1], boundary[0])


def _number(line: str, where: str) -> int:
    words = line.split()
    if len(words) < 2 or not words[1].isdecimal():
        raise DataError(f"no number in {line[:60]!r}", where, AGAIN)
    return int(words[1])


def _outline(file: Path, lines: Iterator[tuple[int, str]], row: int) -> tuple[int, np.ndarray]:
    """Row and points, int64 (n, 2), of the chain code in the next line."""
    row, line = next(lines, (row, ""))
    start, steps = line.split()[:2], line.split()[2:]
    if len(start) < 2 or not all(map(str.isdecimal, start)) or steps[-1:] != ["#"]:
        raise DataError("the outline is empty or cut off: column, row, steps and # are expected", f"{file}, row {row}",
                        AGAIN)
    if not set(steps[:-1]) <= set("01234567"):
        raise DataError("the outline has a step that is not 0 to 7", f"{file}, row {row}", AGAIN)
    moves = STEPS[np.array(steps[:-1], dtype=np.int64)]
    return row, np.cumsum([[int(text) for text in start], *moves], axis=0)


def drawn(points: np.ndarray, scanned: tuple[int, int], shape: tuple[int, int]) -> np.ndarray:
    """The pixels on and inside an outline, bool `shape`; `scanned`: height and width that its points refer to."""
    if tuple(scanned) != tuple(shape):
        scale = np.array([shape[1] / scanned[1], shape[0] / scanned[0]])
        points = np.clip(np.rint((points + 0.5) * scale - 0.5).astype(np.int64), 0, [shape[1] - 1, shape[0] - 1])
    first, last = points.min(axis=0), points.max(axis=0)
    box = Image.new("1", tuple(int(n) for n in last - first + 1))
    ImageDraw.Draw(box).polygon([tuple(point) for point in (points - first).tolist()], fill=1, outline=1)
    mask = np.zeros(shape, dtype=bool)
    mask[first[1]:last[1] + 1, first[0]:last[0] + 1] = np.asarray(box)
    return mask
