"""The report of a case: its sentences, and where the network looked for each word, checked and encoded."""

from typing import Any

import numpy as np

from mdlib.errors import SettingsError
from mdlib.widgets import encoding

ROUNDING = 1e-2  # by which the sum of a map may differ from 1: half precision


def encoded(case: Any, where: str, mechanisms: list[str], data: bytearray) -> dict:
    """The report of a `records.Case` as JSON; its maps are appended to `data`: of each word, then of each sentence.

    A sentence's map is the mean of its words' maps. Raises SettingsError, at `where`, for parts that do not fit.
    """
    _check(case, where, mechanisms)
    correct, reference = case.correct or [None] * len(case.report), case.reference or [""] * len(case.report)
    return {
        "parts": [
            {"name": name, "words": list(words), "correct": None if right is None else bool(right), "reference": wanted}
            for (name, words), right, wanted in zip(case.report, correct, reference, strict=True)
        ],
        "attention": {name: _attention(case, name, data) for name in mechanisms if case.report},
    }


def written(record: dict) -> str:
    """The report of an encoded case in words; empty where it has none."""
    return "; ".join(f"{part['name']}: {' '.join(part['words']) or 'no words'}" for part in record["report"]["parts"])


def count(record: dict) -> int:
    """How many maps a mechanism has in an encoded case: one per word and one per sentence."""
    return sum(1 + len(part["words"]) for part in record["report"]["parts"])


def named(record: dict, index: int) -> str:
    """Of what map `index` of an encoded case's attention is: a word of a part, or from their number on a whole part."""
    parts = record["report"]["parts"]
    words = [f"the word {word!r} of {part['name']}" for part in parts for word in part["words"]]
    return [*words, *(f"all words of {part['name']}" for part in parts)][index]


def _attention(case: Any, mechanism: str, data: bytearray) -> dict:
    """Append the maps of words and sentences; beside what `encoding.maps` says, the entropy of each, in bits."""
    words = np.asarray(case.attention[mechanism], float)
    ends = np.cumsum([len(of) for _, of in case.report])[:-1]
    sentences = [of.mean(axis=0) if len(of) else np.zeros(words.shape[1:]) for of in np.split(words, ends)]
    maps = np.concatenate([words, sentences])
    bits = -np.sum(maps * np.log2(maps, out=np.zeros_like(maps), where=maps > 0), axis=(1, 2))
    return encoding.maps(maps[None], None, data) | {"entropy": [round(abs(float(of)), 2) for of in bits]}


def _check(case: Any, where: str, mechanisms: list[str]) -> None:
    if not case.report and (case.attention or case.correct or case.reference):
        raise SettingsError("attention, correct and reference belong to a report, and the case has none", where)
    if not case.report:
        return
    if case.scores is not None:
        raise SettingsError("a report is of a single picture; the case is a volume", where)
    for part in case.report:
        if len(part) != 2 or isinstance(part[1], str) or not all(isinstance(word, str) and word for word in part[1]):
            raise SettingsError(f"a part of the report must be its name and a list of its words; found {part!r}", where)
    for name in ("correct", "reference"):
        if len(getattr(case, name)) not in (0, len(case.report)):
            raise SettingsError(f"{name} must be {len(case.report)} values, one per part of the report", where)
    if any(right not in (None, True, False) for right in case.correct):
        raise SettingsError("correct must hold True, False or None, one per part of the report", where)
    if not mechanisms or list(case.attention) != mechanisms:
        found = f"of {mechanisms}, as in the first case with a report" if mechanisms else "of at least one mechanism"
        raise SettingsError(f"a report needs attention {found}; found {list(case.attention)}", where)
    for mechanism in mechanisms:
        _check_attention(case, mechanism, f"{where}, attention {mechanism!r}")


def _check_attention(case: Any, mechanism: str, where: str) -> None:
    count, maps = sum(len(words) for _, words in case.report), np.asarray(case.attention[mechanism], float)
    if maps.ndim != 3 or len(maps) != count or not maps[:1].size:
        raise SettingsError(f"maps must be ({count}, h, w), one a word of the report; found {maps.shape}", where)
    if not np.isfinite(maps).all() or (maps < 0).any() or not np.allclose(maps.sum(axis=(1, 2)), 1, atol=ROUNDING):
        raise SettingsError("each map must be shares of one glance: finite, none below 0, with the sum 1", where)
