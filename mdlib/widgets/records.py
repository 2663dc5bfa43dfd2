"""What the explorer is given, checked, and turned into what travels to the page: words as JSON, pictures as bytes."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from mdlib.errors import SettingsError
from mdlib.widgets import encoding, instances, report

SIDE = 512  # pixels of the longer side sent to the page, which shows at most 416


@dataclass(frozen=True, eq=False)
class Case:
    """One picture or volume with what the network says of it, what is true of it, and its heat maps.

    A volume is a case with `scores`: what belongs to a slice has an axis or a list of S slices in front, which a single
    picture lacks; probability, truth and logits are of the whole.
    """

    image: np.ndarray  # uint8 (H, W) or (H, W, 3); volume (S, H, W) or (S, H, W, 3)
    classes: Sequence[str]  # K names
    probability: np.ndarray  # (K,) in [0, 1]
    truth: np.ndarray  # (K,) 0, 1, or NaN where unknown
    maps: dict[str, np.ndarray]  # method: raw values (K, h, w), or (1, h, w) where one map serves every class
    signal: dict[str, np.ndarray] = field(default_factory=dict)  # method: bool, one per map (more than rounding)
    contours: dict[str, list] = field(default_factory=dict)  # class: polylines (n, 2) of x, y in fractions of the side
    outline: str = "truth"  # what the contours show, in words: "cause", "radiologist's box"
    logits: np.ndarray | None = None  # (K,), needed where there are twins
    twins: dict[str, "Case | dict"] = field(default_factory=dict)  # finding: the same picture without it
    name: str = ""
    alt: str = ""  # says in words what the picture shows
    notes: str = ""
    scores: np.ndarray | None = None  # (S,) in [0, 1]: how suspicious each slice is by itself
    marks: Sequence = ()  # what a pooling picked: (x, y, w, h in fractions of the sides, label, class or None for all)
    report: Sequence[tuple[str, Sequence[str]]] = ()  # of a single picture: each part's name and its words, W in all
    attention: dict[str, np.ndarray] = field(default_factory=dict)  # mechanism: (W, h, w), one map per word, sum 1
    correct: Sequence[bool | None] = ()  # one per part: whether the sentence states what is true; None where unknown
    reference: Sequence[str] = ()  # one per part: what a person wrote
    instances: Sequence[tuple] = ()  # of a single picture: what a network crops, in order, each an `Instance`
    gates: Sequence[float] = ()  # of a single picture: the gate of each channel, in [0, 1]

    def __post_init__(self):
        """Recipes, which know no widget, give twins as plain dicts."""
        twins = {name: twin if isinstance(twin, Case) else Case(**twin) for name, twin in self.twins.items()}
        object.__setattr__(self, "twins", twins)


def encoded(case: Case, where: str, methods: list[str], mechanisms: list[str], data: bytearray) -> dict:
    """The words and numbers of a case as JSON; its pictures and maps are appended to `data`.

    Everything of slices is a flat list, so that a single picture is a volume of one. Raises SettingsError, at `where`,
    for parts that do not fit together.
    """
    further = instances.encoded(case, where, data)
    volume = _sliced(case)
    _check(case, volume, where, methods)
    lines = {name: [(s, line) for s, of in enumerate(each) for line in of] for name, each in volume.contours.items()}
    return {
        "name": case.name,
        "alt": case.alt,
        "notes": case.notes,
        "classes": list(case.classes),
        "probability": [round(float(p), 4) for p in case.probability],
        "logits": None if case.logits is None else [round(float(logit), 4) for logit in case.logits],
        "truth": [None if np.isnan(t) else int(t) for t in np.asarray(case.truth, float)],
        "scores": [round(float(score), 4) for score in volume.scores],
        "image": encoding.pictures(volume.image, data, SIDE),
        "maps": {method: encoding.maps(volume.maps[method], volume.signal.get(method), data) for method in methods},
        "contours": {name: [_corners(line) for _, line in of] for name, of in lines.items() if of},
        "outlined": {name: [s for s, _ in of] for name, of in lines.items() if of},  # the slice of each contour
        "outline": case.outline,
        "marks": [
            {"slice": s, "box": np.round(np.asarray(box, float), 4).tolist(), "label": label, "klass": klass}
            for s, marks in enumerate(volume.marks)
            for *box, label, klass in marks
        ],
        "twins": {
            finding: encoded(twin, f"{where}, twin without {finding!r}", methods, mechanisms, data)
            for finding, twin in case.twins.items()
        },
        "report": report.encoded(case, where, mechanisms, data),
    } | further


def why_empty(maps: dict, s: int, m: int) -> str:
    """Why nothing is drawn of a slice's map, in the words of the page; empty where it is drawn."""
    at = s * maps["count"] + m
    if not maps["signal"][at]:
        return "this map carries no signal"
    return "" if maps["peak"][at] > 0 else "nothing speaks for this class here: all values are 0 or below"


def opening(records: Sequence[dict], method: str) -> tuple[int, str]:
    """The case and the class that `explorer` opens on; "" where the class is the most probable one of its case."""
    findings = {name for said in records for name in (*said["contours"], *said["twins"])}
    best, found = (False, False, -1.0), (0, "")
    for i, said in enumerate(records):
        maps, s = said["maps"][method], int(np.argmax(said["scores"]))
        for k, (name, truth) in enumerate(zip(said["classes"], said["truth"], strict=True)):
            drawn = not why_empty(maps, s, k if maps["count"] > 1 else 0)
            rank = (drawn, bool(said["twins"]), said["probability"][k])
            if truth == 1 and name in (findings or {name}) and rank > best:
                best, found = rank, (i, "" if k == np.argmax(said["probability"]) else name)
    return found


def _sliced(case: Case) -> Case:
    """The case as a volume: a single picture is one of one slice, whose score nobody asks for."""
    lead = (lambda part: part) if case.scores is not None else (lambda part: [part])
    return replace(
        case,
        image=np.asarray(lead(case.image)),
        maps={method: np.asarray(lead(values)) for method, values in case.maps.items()},
        signal={method: np.asarray(lead(values), bool) for method, values in case.signal.items()},
        contours={name: lead(lines) for name, lines in case.contours.items()},
        scores=np.asarray([0.0] if case.scores is None else case.scores, float),
        marks=lead([*case.marks, *instances.marks(case)]),
    )


def _corners(line: np.ndarray) -> list[float]:
    """x, y, x, y … of a polyline (n, 2), without the points that lie straight between their neighbours."""
    line = np.asarray(line, float)
    steps = np.diff(line, axis=0)
    turns = abs(steps[:-1, 0] * steps[1:, 1] - steps[:-1, 1] * steps[1:, 0]) > 1e-9
    kept = line[np.concatenate([[True], turns, [True]])] if len(line) > 2 else line
    return np.round(kept, 4).ravel().tolist()


def _check(case: Case, volume: Case, where: str, methods: list[str]) -> None:
    """Refuse a case whose parts do not fit together."""
    K, image = len(case.classes), volume.image
    if image.dtype != np.uint8 or not (image.ndim == 3 or (image.ndim == 4 and image.shape[3] == 3)) or not image.size:
        found, lead = f"found {image.dtype} {np.shape(case.image)}", "" if case.scores is None else "S, "
        raise SettingsError(f"the image must be uint8 ({lead}H, W) or ({lead}H, W, 3); {found}", where)
    if K == 0 or len(set(case.classes)) != K or "" in case.classes:
        raise SettingsError("classes need at least one name, each once and not empty", where)
    _check_shares(case.probability, f"probability must be {K} numbers in [0, 1], one per class", K, where)
    _check_shares(volume.scores, f"scores must be {len(image)} numbers in [0, 1], one per slice", len(image), where)
    truth = np.asarray(case.truth, float)
    if truth.shape != (K,) or not np.all(np.isnan(truth) | (truth == 0) | (truth == 1)):
        raise SettingsError(f"truth must be {K} values 0, 1 or NaN, one per class", where)
    if case.logits is not None and (np.shape(case.logits) != (K,) or not np.isfinite(case.logits).all()):
        raise SettingsError(f"logits must be {K} finite numbers, one per class", where)
    for method in methods:
        _check_maps(case, volume, f"{where}, method {method!r}", method)
    for finding, twin in case.twins.items():
        _check_twin(case, f"{where}, twin without {finding!r}", finding, twin)
    _check_drawn(volume, where)


def _check_shares(values: np.ndarray, needed: str, count: int, where: str) -> None:
    values = np.asarray(values, float)
    if values.shape != (count,) or not np.all((values >= 0) & (values <= 1)):
        raise SettingsError(needed, where)


def _check_twin(case: Case, where: str, finding: str, twin: Case) -> None:
    if not finding or list(twin.classes) != list(case.classes):
        raise SettingsError("a twin is named after what is taken away, and has the classes of its case", where)
    if case.logits is None or twin.logits is None:
        raise SettingsError("logits are needed, of the case and of its twin", where)
    if np.shape(twin.image) != np.shape(case.image) or (twin.scores is None) != (case.scores is None) or twin.twins:
        raise SettingsError("a twin has the picture's size and slices, and no twins itself", where)


def _check_maps(case: Case, volume: Case, where: str, method: str) -> None:
    if method not in case.maps:
        raise SettingsError("the case has no maps of this method", where, f"It has {list(case.maps)}.")
    maps, K, S = volume.maps[method], len(case.classes), len(volume.image)
    lead = "" if case.scores is None else f"{S}, "
    if maps.ndim != 4 or maps.shape[0] != S or maps.shape[1] not in (1, K) or not maps.size:
        found = np.shape(case.maps[method])
        raise SettingsError(f"maps must be ({lead}{K}, h, w) or ({lead}1, h, w); found {found}", where)
    if not np.isfinite(maps).all():
        raise SettingsError("the maps hold values that are not finite", where)
    if np.shape(volume.signal.get(method, np.ones(maps.shape[:2]))) != maps.shape[:2]:
        raise SettingsError(f"signal must be {lead}{maps.shape[1]} of True and False, one per map", where)


def _check_drawn(volume: Case, where: str) -> None:
    """Refuse outlines and marks that are of no class or no slice, or have no shape."""
    S = len(volume.image)
    for name, slices in volume.contours.items():
        if name not in volume.classes:
            raise SettingsError(f"a contour names {name!r}, which is none of the classes", where)
        if len(slices) != S or any(np.ndim(line) != 2 or np.shape(line)[1] != 2 for of in slices for line in of):
            raise SettingsError(f"each contour of {name!r} must be an array (n, 2) of x and y, in {S} lists", where)
    if len(volume.marks) not in (0, S):
        raise SettingsError(f"marks must be {S} lists, one per slice; found {len(volume.marks)}", where)
    for mark in (mark for of in volume.marks for mark in of):
        if len(mark) != 6 or not np.isfinite(mark[:4]).all() or mark[5] not in (None, *volume.classes):
            raise SettingsError(f"a mark must be x, y, w, h, a label, and a class or None; found {mark!r}", where)
