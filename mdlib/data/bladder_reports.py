"""The published reports of bladder images (text only), split into the six parts that MDNet writes, by cue words.

    bladder_reports.json    [{"image_id": "116974_009", "reports": ["mild pleomorphism is present …", … five]}, …]

A report is one line without full stops: five sentences on features, each of which may be left out, and a conclusion.
"""

import re
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from mdlib.data.reports import CLASSES, PARTS, Reports, load, plain
from mdlib.errors import DataError

KEYS = {"nuclear_feature": "pleomorphism|variability|atypia", "nuclear_crowding": "crowding|crowded",
        "polarity": "polarity", "mitosis": "mitosis|mitoses|mitotic", "nucleoli": "nucleolus|nucleoli"}
ANY = rf"(?:{'|'.join(KEYS.values())})\b"
SOME = rf"(?:(?!{ANY})\S+ )*?"    # words of which none is a key
DEGREE = "(?:no|normal|slight|minimal|mild|moderate|marked|severe|some)"
OPENINGS = {
    "nuclear_feature": [f"{DEGREE} (?:nuclear )?(?:pleomorphism|variability|atypia)", "(?:the )?nuclear features",
                        "(?:the )?nuclei appear", f"there (?:is|are) {SOME}(?:pleomorphism|variability|atypia)"],
    "nuclear_crowding": [f"{DEGREE} (?:nuclear )?crowding", f"(?:the )?nuclei are {SOME}crowded",
                         f"there (?:is|are) {SOME}crowding", f"pictured nuclei {SOME}crowding"],
    "polarity": ["(?:architecturally )?(?:cellular )?polarity", f"architecturally {SOME}polarity",
                 f"there (?:is|are) {SOME}polarity",
                 f"the (?:nuclei|cells|urothelium) (?:retain|shows?) {SOME}polarity"],
    "mitosis": ["(?:no |few |rare |frequent )?(?:mitosis|mitoses|mitotic)",
                f"there (?:is|are) {SOME}(?:mitosis|mitoses|mitotic)"],
    "nucleoli": ["(?:the )?nucleol(?:us|i)", "(?:visible and )?(?:visible|prominent|inconspicuous) nucleoli",
                 f"there (?:is|are) {SOME}nucleoli", f"the nuclei (?:have|show) {SOME}nucleoli"],
}
CASE = re.compile(r"(?:\d_)?[^_]+")


def _pattern() -> re.Pattern:
    """All parts in order, each optional but the last: an opening, then as few words as possible, none another's key."""
    begins = r"(?<!\bare )(?<!\bappear )"    # no sentence ends so: "the nuclei appear normal" has no conclusion in it
    parts = []
    for part, openings in OPENINGS.items():
        others = "|".join(keys for name, keys in KEYS.items() if name != part)
        parts.append(rf"(?:{begins}(?P<{part}>(?:{'|'.join(openings)})\b(?: (?!(?:{others})\b)\S+)*?) )?")
    return re.compile("".join(parts) + rf"{begins}(?P<conclusion>{'|'.join(CLASSES)})")


REPORT = _pattern()


class Read(NamedTuple):
    """The reports that could be split, and of those that could not, image and number (from 1) in order."""

    reports: Reports
    failed: list[tuple[str, int]]


def split(report: str) -> dict[str, str] | None:
    """The sentence of each of PARTS by cue words (ours), or None where the report is not built like that.

    `report` is plain words. A sentence begins with an opening of its part ("there is … polarity") and ends where a
    later part opens; parts are in their order, and none holds a key word of another. A part that the report says
    nothing about is empty; the conclusion stands at the end and is one of CLASSES. Joined by spaces, what is not
    empty is the report, word for word.
    """
    found = REPORT.fullmatch(report)
    return None if found is None else {part: found[part] or "" for part in PARTS}


def read(folder: Path | str) -> Read:
    """The reports in bladder_reports.json by `split`, without images; an image with one that fails is left out.

    In the table, image is the published image_id, and patient what is known from it: the case in front
    ("116974" of 116974_009, "LP8" of LP8_12_5, "1_00143" of 1_00143_sub0_042). Whether two cases are of one person is
    not known. Commas are dropped (`plain`). Raises DataError for a file that is missing or not of this layout, an
    image whose reports conclude differently, a collection of which nothing can be split, and as `Reports`.
    """
    file = Path(folder) / "bladder_reports.json"
    names, texts, failed = [], [], []
    for name, written in _entries(file):
        reports = [split(plain(text)) for text in written]
        fails = [(name, number) for number, report in enumerate(reports, start=1) if report is None]
        failed += fails
        if not fails:
            names.append(name)
            texts.append(reports)
    if not names:
        raise DataError(f"none of the reports can be split into {', '.join(PARTS)}", str(file),
                        "Use the published reports.")
    table = pd.DataFrame({"image": names, "patient": [CASE.match(name)[0] for name in names],
                          "conclusion": [_conclusion(name, reports, file) for name, reports in
                                         zip(names, texts, strict=True)]})
    return Read(Reports(None, PARTS, CLASSES, table, tuple(texts)), failed)


def _entries(file: Path) -> list[tuple[str, list[str]]]:
    """Name and reports of each image."""
    entries = []
    for number, entry in enumerate(load(file), start=1):
        name, reports = (entry.get("image_id"), entry.get("reports")) if isinstance(entry, dict) else (None, None)
        if (not isinstance(name, str) or not CASE.match(name) or not isinstance(reports, list) or not reports
                or not all(isinstance(text, str) for text in reports)):
            raise DataError("this is no image_id with a list of reports", f"{file}, entry {number}",
                            "Use the published file.")
        entries.append((name, reports))
    return entries


def _conclusion(name: str, reports: list[dict[str, str]], file: Path) -> str:
    found = sorted({report["conclusion"] for report in reports})
    if len(found) > 1:
        raise DataError(f"the reports conclude {' and '.join(map(repr, found))}", f"{file}, image {name!r}",
                        "Correct or remove the image.")
    return found[0]


def statistics(reports: Reports) -> pd.DataFrame:
    """One row per part, and one for whole reports: how they are written.

    reports (that say something about the part), different (sentences), words (different ones), shortest and longest
    (in words, of what is said).
    """
    said = {part: [report[part] for texts in reports.texts for report in texts if report[part]]
            for part in reports.parts}
    said["whole report"] = [text for row in range(len(reports.texts)) for text in reports.full(row)]
    rows = {}
    for part, sentences in said.items():
        lengths = [len(text.split()) for text in sentences]
        rows[part] = {"reports": len(sentences), "different": len(set(sentences)),
                      "words": len({word for text in sentences for word in text.split()}),
                      "shortest": min(lengths, default=0), "longest": max(lengths, default=0)}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("part")
