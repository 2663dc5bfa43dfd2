"""The explorer: pictures and their heat maps, chosen by case, class and method, with or without a kernel.

Colours are those of `overlay.blend`: inferno, whose lightness rises evenly, so that it is read without colour vision.
"""

import io
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anywidget
import numpy as np
import traitlets
from PIL import Image, ImageDraw

from mdlib.errors import SettingsError
from mdlib.explain import overlay

SIDE = 512  # pixels of the longer side sent to the page, which shows at most 416


@dataclass(frozen=True, eq=False)
class Case:
    """One picture with what the network says of it, what is true of it, and its heat maps."""

    image: np.ndarray  # uint8 (H, W) or (H, W, 3)
    classes: Sequence[str]  # K names
    probability: np.ndarray  # (K,) in [0, 1]
    truth: np.ndarray  # (K,) 0, 1, or NaN where unknown
    maps: dict[str, np.ndarray]  # method: raw values (K, h, w), or (1, h, w) where one map serves every class
    signal: dict[str, np.ndarray] = field(default_factory=dict)  # method: bool, one a map (more than rounding)
    contours: dict[str, list] = field(default_factory=dict)  # class: polylines (n, 2) of x, y in fractions of the side
    outline: str = "truth"  # what the contours show, in words: "cause", "radiologist's box"
    logits: np.ndarray | None = None  # (K,), needed where there are twins
    twins: dict[str, "Case | dict"] = field(default_factory=dict)  # finding: the same picture without it
    name: str = ""
    alt: str = ""  # says in words what the picture shows
    notes: str = ""

    def __post_init__(self):
        """Recipes, which know no widget, give twins as plain dicts."""
        twins = {name: twin if isinstance(twin, Case) else Case(**twin) for name, twin in self.twins.items()}
        object.__setattr__(self, "twins", twins)


class Explorer(anywidget.AnyWidget):
    """The widget; `explorer` makes it. Its choices are traits, read and set from Python as well:

    `case` (index), `klass` (a name, or "" for the most probable class), `method`, `side_by_side` (all methods at once),
    `opacity` in [0, 1], `threshold` in [0, 1] (what is below this share of a map's maximum is hidden), `contour`, and
    `twin` (the finding taken away, or "").
    """

    _esm = "\n".join(Path(__file__).with_name(name).read_text("utf-8") for name in ("drawing.js", "explorer.js"))
    _css = Path(__file__).with_name("explorer.css")

    title = traitlets.Unicode().tag(sync=True)
    methods = traitlets.List(traitlets.Unicode()).tag(sync=True)
    cases = traitlets.List(traitlets.Dict()).tag(sync=True)  # words and numbers; `at` points into `data`
    data = traitlets.Bytes().tag(sync=True)  # encoded pictures, and maps as uint8 (count, height, width)
    palette = traitlets.Bytes().tag(sync=True)  # 256 colours RGBA; as in `overlay.blend`, a value covers in proportion

    case = traitlets.Int(0).tag(sync=True)
    klass = traitlets.Unicode("").tag(sync=True)
    method = traitlets.Unicode().tag(sync=True)
    side_by_side = traitlets.Bool(False).tag(sync=True)
    opacity = traitlets.Float(0.6, min=0.0, max=1.0).tag(sync=True)
    threshold = traitlets.Float(0.0, min=0.0, max=1.0).tag(sync=True)
    contour = traitlets.Bool(False).tag(sync=True)
    twin = traitlets.Unicode("").tag(sync=True)

    @traitlets.validate("case", "klass", "method", "twin")
    def _exists(self, proposal: dict) -> Any:
        name, value = proposal["trait"].name, proposal["value"]
        known = {
            "case": range(len(self.cases)),
            "klass": {""}.union(*(case["classes"] for case in self.cases)),
            "method": self.methods,
            "twin": {""}.union(*(case["twins"] for case in self.cases)),
        }[name]
        if self.cases and value not in known:
            raise SettingsError(f"{value!r} is not there", f"explorer, {name}", f"Choose from {list(known)}.")
        return value

    def still(self) -> Image.Image:
        """The picture alone and under its map, side by side: what a reader without JavaScript sees."""
        record = self._record()
        picture = Image.open(io.BytesIO(self._bytes(record["image"]["at"]))).convert("RGB")
        pair = Image.new("RGB", (2 * picture.width + 8, picture.height), "white")
        pair.paste(picture, (0, 0))
        pair.paste(self._with_map(picture), (picture.width + 8, 0))
        return pair

    def _with_map(self, picture: Image.Image) -> Image.Image:
        maps, m = self._map()
        if not _why_empty(maps, m):
            cells = maps["height"] * maps["width"]
            values = np.frombuffer(self._bytes([maps["at"] + m * cells, cells]), np.uint8)
            values = overlay.upsample(values.reshape(maps["height"], maps["width"]), picture.size[::-1])
            values = np.rint(values).astype(np.uint8)
            values[values < 255 * self.threshold] = 0
            channels = enumerate(np.moveaxis(np.asarray(picture), -1, 0))  # `blend` takes grey: once a channel
            colours = [overlay.blend(channel, values, self.opacity)[..., i] for i, channel in channels]
            picture = Image.fromarray(np.stack(colours, axis=-1))
        if self.contour:
            draw = ImageDraw.Draw(picture)
            case = self.cases[self.case]
            for points in case["contours"].get(case["classes"][self._class()], []):
                scaled = np.reshape(points, (-1, 2)) * picture.size
                draw.line([tuple(point) for point in scaled], fill="white", width=2)
        return picture

    def _record(self) -> dict:
        """The case, or its twin without a finding."""
        case = self.cases[self.case]
        return case["twins"].get(self.twin, case)

    def _class(self) -> int:
        """The class shown; the most probable one is that of the case, so that it stays when its twin is shown."""
        case = self.cases[self.case]
        if self.klass in case["classes"]:
            return case["classes"].index(self.klass)
        return int(np.argmax(case["probability"]))

    def _map(self) -> tuple[dict, int]:
        maps = self._record()["maps"][self.method]
        return maps, 0 if maps["count"] == 1 else self._class()

    def _bytes(self, at: list[int]) -> bytes:
        start, length = at
        return self.data[start : start + length]

    def __repr__(self) -> str:
        return f"<Explorer: {len(self.cases)} cases, {len(self.methods)} methods>"

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict, dict]:
        """The live widget, and a still picture for places that run no scripts (GitHub, nbconvert, <noscript>)."""
        data, metadata = super()._repr_mimebundle_(**kwargs)
        record, file = self._record(), io.BytesIO()
        self.still().save(file, "JPEG", quality=85, subsampling=0)
        klass = record["classes"][self._class()]
        alt = f"{record['alt'] or record['name']}; left the picture, right with the map of {self.method} for {klass}"
        why = _why_empty(*self._map())
        alt += f", of which nothing is drawn: {why}" if why else ""
        return data | {"image/jpeg": b64encode(file.getvalue()).decode()}, metadata | {"image/jpeg": {"alt": alt}}


def explorer(cases: Sequence[Case], *, title: str = "", methods: Sequence[str] | None = None) -> Explorer:
    """A widget to explore `cases`: one method's map or all, for any class, with values, threshold, outlines and zoom.

    Where a case has twins, one tick shows the picture without the finding: picture, probabilities and maps change
    together. `methods` names the maps to offer, in this order (None: those of the first case). Maps travel at their own
    resolution as bytes, each stretched by `overlay.stretch`; a map without signal, or without a positive value (eq. 7's
    ReLU leaves nothing of it), is announced, never drawn. Raises SettingsError, naming the case, where shapes or names
    do not agree.
    """
    if not cases:
        raise SettingsError("there is no case to show", "explorer, cases")
    methods = list(cases[0].maps) if methods is None else list(methods)
    if not methods:
        raise SettingsError("there is no method to show", "explorer, methods", "Give each case at least one map.")
    data = bytearray()
    records = [_record(case, f"explorer, case {i} {case.name!r}", methods, data) for i, case in enumerate(cases)]
    for i, record in enumerate(records):
        record["name"] = record["name"] or f"picture {i + 1}"
    ramp = np.arange(256, dtype=np.uint8)
    palette = np.column_stack([overlay.colour(ramp), ramp])
    return Explorer(
        title=title, methods=methods, method=methods[0], cases=records, data=bytes(data), palette=palette.tobytes()
    )


def _record(case: Case, where: str, methods: list[str], data: bytearray) -> dict:
    """The words and numbers of a case as JSON; its picture and maps are appended to `data`."""
    _check(case, where, methods)
    return {
        "name": case.name,
        "alt": case.alt,
        "notes": case.notes,
        "classes": list(case.classes),
        "probability": [round(float(p), 4) for p in case.probability],
        "logits": None if case.logits is None else [round(float(logit), 4) for logit in case.logits],
        "truth": [None if np.isnan(t) else int(t) for t in np.asarray(case.truth, float)],
        "image": _picture(np.asarray(case.image), data),
        "maps": {method: _maps(np.asarray(case.maps[method]), case.signal.get(method), data) for method in methods},
        "contours": {
            name: [np.round(_corners(np.asarray(line, float)), 4).ravel().tolist() for line in lines]
            for name, lines in case.contours.items()
            if len(lines)
        },
        "outline": case.outline,
        "twins": {
            finding: _record(twin, f"{where}, twin without {finding!r}", methods, data)
            for finding, twin in case.twins.items()
        },
    }


def _corners(line: np.ndarray) -> np.ndarray:
    """A polyline (n, 2) without the points that lie straight between their neighbours."""
    steps = np.diff(line, axis=0)
    turns = abs(steps[:-1, 0] * steps[1:, 1] - steps[:-1, 1] * steps[1:, 0]) > 1e-9
    return line[np.concatenate([[True], turns, [True]])] if len(line) > 2 else line


def _picture(image: np.ndarray, data: bytearray) -> dict:
    """Append the picture, as the smaller of PNG and WebP; say where it is, its type and its size in pixels."""
    picture = Image.fromarray(image)
    picture.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    files = {}
    for kind, options in {"PNG": {"optimize": True}, "WEBP": {"quality": 85, "method": 6}}.items():
        file = io.BytesIO()
        picture.save(file, kind, **options)
        files[f"image/{kind.lower()}"] = file.getvalue()
    kind = min(files, key=lambda name: len(files[name]))
    at = [len(data), len(files[kind])]
    data += files[kind]
    return {"at": at, "type": kind, "width": picture.width, "height": picture.height}


def _maps(maps: np.ndarray, signal: np.ndarray | None, data: bytearray) -> dict:
    """Append the maps as bytes; say where they are, their shape, the maximum of each and whether it has signal.

    A map of zeros has none, whatever is claimed; one that is negative everywhere may have.
    """
    count, height, width = maps.shape
    signal = maps.any(axis=(1, 2)) & (True if signal is None else np.asarray(signal, bool))
    at, peak = len(data), [float(f"{value:.3g}") for value in maps.max(axis=(1, 2))]
    data += overlay.stretch(maps, signal).tobytes()
    return {"at": at, "count": count, "height": height, "width": width, "peak": peak, "signal": signal.tolist()}


def _why_empty(maps: dict, m: int) -> str:
    """Why nothing is drawn of a map, in the words of the page; empty where it is drawn."""
    if not maps["signal"][m]:
        return "this map carries no signal"
    return "" if maps["peak"][m] > 0 else "nothing speaks for this class here: all values are 0 or below"


def _check(case: Case, where: str, methods: list[str]) -> None:
    """Refuse a case whose parts do not fit together."""
    K, image = len(case.classes), np.asarray(case.image)
    if image.dtype != np.uint8 or not (image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)) or not image.size:
        found = f"found {image.dtype} {image.shape}"
        raise SettingsError(f"the image must be uint8 (H, W) or (H, W, 3); {found}", where)
    if K == 0 or len(set(case.classes)) != K or "" in case.classes:
        raise SettingsError("classes need at least one name, each once and not empty", where)
    probability, truth = np.asarray(case.probability, float), np.asarray(case.truth, float)
    if probability.shape != (K,) or not np.all((probability >= 0) & (probability <= 1)):
        raise SettingsError(f"probability must be {K} numbers in [0, 1], one a class", where)
    if truth.shape != (K,) or not np.all(np.isnan(truth) | (truth == 0) | (truth == 1)):
        raise SettingsError(f"truth must be {K} values 0, 1 or NaN, one a class", where)
    if case.logits is not None and (np.shape(case.logits) != (K,) or not np.isfinite(case.logits).all()):
        raise SettingsError(f"logits must be {K} finite numbers, one a class", where)
    for method in methods:
        _check_maps(case, f"{where}, method {method!r}", method, K)
    for finding, twin in case.twins.items():
        _check_twin(case, f"{where}, twin without {finding!r}", finding, twin)
    for name, lines in case.contours.items():
        if name not in case.classes:
            raise SettingsError(f"a contour names {name!r}, which is none of the classes", where)
        if any(np.ndim(line) != 2 or np.shape(line)[1] != 2 for line in lines):
            raise SettingsError(f"each contour of {name!r} must be an array (n, 2) of x and y", where)


def _check_twin(case: Case, where: str, finding: str, twin: Case) -> None:
    if finding not in case.classes or list(twin.classes) != list(case.classes):
        raise SettingsError("a twin is named after one of the classes, and has the classes of its case", where)
    if case.logits is None or twin.logits is None:
        raise SettingsError("logits are needed, of the case and of its twin", where)
    if np.shape(twin.image) != np.shape(case.image) or twin.twins:
        raise SettingsError("a twin has the picture's size and no twins itself", where)


def _check_maps(case: Case, where: str, method: str, K: int) -> None:
    if method not in case.maps:
        raise SettingsError("the case has no maps of this method", where, f"It has {list(case.maps)}.")
    maps = np.asarray(case.maps[method])
    if maps.ndim != 3 or maps.shape[0] not in (1, K) or not maps.size:
        raise SettingsError(f"maps must be ({K}, h, w) or (1, h, w); found {maps.shape}", where)
    if not np.isfinite(maps).all():
        raise SettingsError("the maps hold values that are not finite", where)
    if np.shape(case.signal.get(method, np.ones(len(maps)))) != (len(maps),):
        raise SettingsError(f"signal must be {len(maps)} of True and False, one a map", where)
