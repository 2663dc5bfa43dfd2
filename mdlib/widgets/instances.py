"""The instances that a network crops from a picture, and the gates of its channels, checked and encoded."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from mdlib.errors import SettingsError
from mdlib.widgets import encoding

ROUNDING = 1e-3  # by which a box may lie outside the picture, or differ from the one that it repeats
WHOLE = (0, 0, 1, 1)


class Instance(NamedTuple):
    """One of the crops of a case, which are all of one size, and where it lies.

    Each is drawn as a mark with its number, from 1, unless it is not found: then it repeats the first; the first itself
    is then the whole picture, because nothing is found.
    """

    crop: np.ndarray  # uint8 (s, s) or (s, s, 3): cut from the file, at the resolution at which the network sees it
    box: Sequence[float]  # x, y, w, h in fractions of the picture's sides
    found: bool = True
    words: str = ""  # anything to be known of it, such as what it covers


def encoded(case: Any, where: str, data: bytearray) -> dict:
    """What a `records.Case` has of `instances` and `gates`, as JSON; the crops are appended to `data`.

    Gates are sorted. Raises SettingsError, at `where`, for parts that do not fit.
    """
    _check(case, where)
    sent = {}
    if listed := _instances(case):
        first = listed[0]
        sent["instances"] = {
            "crops": encoding.pictures([of.crop for of in listed], data, len(first.crop), lossless=True),
            "boxes": [np.round(np.asarray((of if of.found else first).box, float), 4).tolist() for of in listed],
            "found": [bool(of.found) for of in listed],
            "words": [of.words for of in listed],
        }
    if len(case.gates):
        sent["gates"] = np.round(np.sort(np.asarray(case.gates, float)), 4).tolist()
    return sent


def marks(case: Any) -> list[tuple]:
    """The box of each instance found as one of `Case.marks`, labelled by its number."""
    return [(*of.box, str(i), None) for i, of in enumerate(_instances(case), 1) if of.found]


def count(record: dict) -> int:
    """How many instances an encoded case has."""
    return len(record["instances"]["boxes"]) if "instances" in record else 0


def written(record: dict) -> str:
    """Instances and gates of an encoded case in words, to be added to others; empty where it has none."""
    found = f"; {sum(record['instances']['found'])} of {count(record)} instances found" if count(record) else ""
    gates = record.get("gates")
    return found + (f"; gates of {len(gates)} channels from {gates[0]:.3f} to {gates[-1]:.3f}, median "
                    f"{np.median(gates):.3f}" if gates else "")  # fmt: skip


def _instances(case: Any) -> list[Instance]:
    return [Instance(*of) for of in case.instances]


def _check(case: Any, where: str) -> None:
    if case.scores is not None and (len(case.instances) or len(case.gates)):
        raise SettingsError("instances and gates are of a single picture; the case is a volume", where)
    for finding, twin in case.twins.items():
        if (len(twin.instances), len(twin.gates)) != (len(case.instances), len(case.gates)):
            twin_where = f"{where}, twin without {finding!r}"
            raise SettingsError("a twin has as many instances and gates as its case", twin_where)
    gates = np.asarray(case.gates, float)
    if gates.ndim != 1 or not np.all((gates >= 0) & (gates <= 1)):
        raise SettingsError("gates must be numbers in [0, 1], one per channel", where)
    for i, of in enumerate(case.instances):
        _check_instance(of, case.instances[0] if i else None, f"{where}, instance {i + 1}")
    if taken := {mark[4] for mark in case.marks if len(mark) == 6} & {mark[4] for mark in marks(case)}:
        raise SettingsError(f"marks have the labels {sorted(taken)}, as the boxes of its instances have", where)


def _check_instance(of: Sequence, first: Sequence | None, where: str) -> None:
    if not 2 <= len(of) <= 4:
        raise SettingsError("an instance must be its crop, its box, whether it is found, and words", where)
    crop, box, found, words = Instance(*of)
    shape, wanted = np.shape(crop), np.shape(crop if first is None else first[0])
    square = len(shape) > 1 and shape[0] == shape[1] > 0 and shape[2:] in ((), (3,))
    if getattr(crop, "dtype", None) != np.uint8 or not square or shape != wanted:
        raise SettingsError(f"crops must be uint8 (s, s) or (s, s, 3), all of one size; found {shape}", where)
    box = np.asarray(box, float)
    if box.shape != (4,) or not np.all((box[:2] >= -ROUNDING) & (box[2:] > 0) & (box[:2] + box[2:] <= 1 + ROUNDING)):
        raise SettingsError(f"the box must be x, y, w, h in fractions, within the picture; found {box.tolist()}", where)
    if found not in (True, False) or not isinstance(words, str):
        raise SettingsError(f"found must be True or False, and words a text; found {found!r} and {words!r}", where)
    if not found and not np.allclose(box, WHOLE if first is None else first[1], atol=ROUNDING):
        raise SettingsError("an instance not found repeats the first, or as the first is the whole picture", where)
