"""The explorer: pictures and their heat maps, chosen by case, class and method, with or without a kernel.

Colours are those of `overlay.blend`: inferno, whose lightness rises evenly, so that it is read without colour vision.
"""

import io
from base64 import b64encode
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anywidget
import numpy as np
import traitlets
from PIL import Image, ImageDraw

from mdlib.errors import SettingsError
from mdlib.explain import overlay
from mdlib.widgets import instances, report
from mdlib.widgets.records import Case, encoded, opening, why_empty

SCRIPTS = ("common.js", "drawing.js", "pointing.js", "slices.js", "report.js", "instances.js", "choice.js",
           "explorer.js")  # one module
PICKED = (76, 201, 240)  # of marks: seen beside the white of outlines and the colours of maps


class Explorer(anywidget.AnyWidget):
    """The widget; `explorer` makes it. Its choices are traits, read and set from Python as well:

    `case` (index), `klass` (a name, or "" for the most probable class), `method`, `side_by_side` (all methods at once),
    `opacity` in [0, 1], `threshold` in [0, 1] (what is below this share of a map's maximum is hidden), `contour`,
    `marks`, `twin` (the finding taken away, or ""), and `slice` (from 0; -1 for the one with the highest score of the
    case, which another case always starts with). Where there are reports, `word` is the word whose attention is kept in
    view (from 0 over all parts; from their number on, a part's whole sentence; -1 for none, to which another case,
    twin, class or method leads back), by `mechanism`. Where there are instances, `instance` is the one whose box is
    kept highlighted (from 0; -1 for none, to which another case or twin leads back).
    """

    _esm = "\n".join(Path(__file__).with_name(name).read_text("utf-8") for name in SCRIPTS)
    _css = Path(__file__).with_name("explorer.css")

    title = traitlets.Unicode().tag(sync=True)
    methods = traitlets.List(traitlets.Unicode()).tag(sync=True)
    mechanisms = traitlets.List(traitlets.Unicode()).tag(sync=True)  # of attention, where cases have reports
    cases = traitlets.List(traitlets.Dict()).tag(sync=True)  # words and numbers; `at` points into `data`
    data = traitlets.Bytes().tag(sync=True)  # encoded pictures, and maps as uint8 (count, height, width)
    palette = traitlets.Bytes().tag(sync=True)  # 256 colours RGBA; as in `overlay.blend`, a value covers in proportion

    case = traitlets.Int(0).tag(sync=True)
    slice = traitlets.Int(-1).tag(sync=True)
    klass = traitlets.Unicode("").tag(sync=True)
    method = traitlets.Unicode().tag(sync=True)
    side_by_side = traitlets.Bool(False).tag(sync=True)
    opacity = traitlets.Float(0.6, min=0.0, max=1.0).tag(sync=True)
    threshold = traitlets.Float(0.0, min=0.0, max=1.0).tag(sync=True)
    contour = traitlets.Bool(False).tag(sync=True)
    marks = traitlets.Bool(True).tag(sync=True)
    twin = traitlets.Unicode("").tag(sync=True)
    word = traitlets.Int(-1).tag(sync=True)
    mechanism = traitlets.Unicode("").tag(sync=True)
    instance = traitlets.Int(-1).tag(sync=True)

    @traitlets.validate("case", "slice", "klass", "method", "twin", "word", "mechanism", "instance")
    def _exists(self, proposal: dict) -> Any:
        name, value = proposal["trait"].name, proposal["value"]
        known = {
            "case": range(len(self.cases)),
            "slice": range(-1, max((len(case["scores"]) for case in self.cases), default=0)),
            "klass": {""}.union(*(case["classes"] for case in self.cases)),
            "method": self.methods,
            "twin": {""}.union(*(case["twins"] for case in self.cases)),
            "word": range(-1, report.count(self._record()) if self.cases else 0),
            "mechanism": self.mechanisms or [""],
            "instance": range(-1, instances.count(self._record()) if self.cases else 0),
        }[name]
        if self.cases and value not in known:
            raise SettingsError(f"{value!r} is not there", f"explorer, {name}", f"Choose from {list(known)}.")
        return value

    @traitlets.observe("case")
    def _most_suspicious(self, _: dict) -> None:
        self.slice = -1

    @traitlets.observe("case", "twin", "klass", "method")
    def _let_the_word_go(self, _: dict) -> None:
        self.word = -1

    @traitlets.observe("case", "twin")
    def _let_the_instance_go(self, _: dict) -> None:
        self.instance = -1

    def still(self) -> Image.Image:
        """The picture or slice alone and under its map, side by side: what a reader without JavaScript sees."""
        s = self._slice()
        start, length = self._record()["image"]["at"][2 * s : 2 * s + 2]
        picture = Image.open(io.BytesIO(self.data[start : start + length])).convert("RGB")
        pair = Image.new("RGB", (2 * picture.width + 8, picture.height), "white")
        pair.paste(picture, (0, 0))
        pair.paste(self._with_map(picture), (picture.width + 8, 0))
        return pair

    def _with_map(self, picture: Image.Image) -> Image.Image:
        maps, s, m = self._map()
        if not why_empty(maps, s, m):
            shape = maps["height"], maps["width"]
            start = maps["at"] + (s * maps["count"] + m) * shape[0] * shape[1]
            values = np.frombuffer(self.data, np.uint8, shape[0] * shape[1], start).reshape(shape)
            values = np.rint(overlay.upsample(values, picture.size[::-1])).astype(np.uint8)
            values[values < 255 * self.threshold] = 0
            channels = enumerate(np.moveaxis(np.asarray(picture), -1, 0))  # `blend` takes grey: once a channel
            colours = [overlay.blend(channel, values, self.opacity)[..., i] for i, channel in channels]
            picture = Image.fromarray(np.stack(colours, axis=-1))
        self._draw_on(picture, s)
        return picture

    def _draw_on(self, picture: Image.Image, s: int) -> None:
        """The outlines and marks of the class shown, where they are wanted."""
        draw, case = ImageDraw.Draw(picture), self.cases[self.case]
        klass = case["classes"][self._class()]
        lines = zip(case["contours"].get(klass, []), case["outlined"].get(klass, []), strict=True)
        for points in [points for points, of in lines if of == s and self.contour]:
            draw.line([tuple(point) for point in np.reshape(points, (-1, 2)) * picture.size], fill="white", width=2)
        taken: list[tuple] = []
        for mark in self._record()["marks"]:
            if self.marks and mark["slice"] == s and mark["klass"] in (None, klass):
                x, y, w, h = np.reshape([*picture.size] * 2, 4) * mark["box"]
                draw.rectangle((x, y, x + w, y + h), outline=PICKED)
                box = draw.textbbox((x + 3, y + 1), mark["label"], stroke_width=1)
                if all(box[0] > b[2] or b[0] > box[2] or box[1] > b[3] or b[1] > box[3] for b in taken):
                    draw.text((x + 3, y + 1), mark["label"], fill=PICKED, stroke_width=1, stroke_fill="black")
                    taken.append(box)
        if self.instance >= 0:
            x, y, w, h = np.reshape([*picture.size] * 2, 4) * self._record()["instances"]["boxes"][self.instance]
            draw.rectangle((x, y, x + w, y + h), outline=PICKED, width=4)

    def _slice(self) -> int:
        """The slice shown; the most suspicious one is that of the case, so that it stays when its twin is shown."""
        scores = self.cases[self.case]["scores"]
        return self.slice if 0 <= self.slice < len(scores) else int(np.argmax(scores))

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

    def _map(self) -> tuple[dict, int, int]:
        """Where the maps shown are, of the word or else of the method; which slice, and which map of it."""
        if self.word >= 0:
            return self._record()["report"]["attention"][self.mechanism], 0, self.word
        maps = self._record()["maps"][self.method]
        return maps, self._slice(), 0 if maps["count"] == 1 else self._class()

    def __repr__(self) -> str:
        return f"<Explorer: {len(self.cases)} cases, {len(self.methods)} methods>"

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict, dict]:
        """The live widget, and a still picture for places that run no scripts (GitHub, nbconvert, <noscript>)."""
        data, metadata = super()._repr_mimebundle_(**kwargs)
        record, file = self._record(), io.BytesIO()
        self.still().save(file, "JPEG", quality=85, subsampling=0)
        klass = record["classes"][self._class()]
        slices = len(record["scores"])
        alt = (record["alt"] or record["name"]) + (f", slice {self._slice() + 1} of {slices}" if slices > 1 else "")
        said = report.written(record)
        alt += f"; the network writes: {said}" if said else ""
        alt += instances.written(record)
        looked = f"attention of {self.mechanism} for {report.named(record, self.word)}" if self.word >= 0 else ""
        alt += f"; left the picture, right with the {looked or f'map of {self.method} for {klass}'}"
        why = why_empty(*self._map())
        alt += f", of which nothing is drawn: {why}" if why else ""
        return data | {"image/jpeg": b64encode(file.getvalue()).decode()}, metadata | {"image/jpeg": {"alt": alt}}


def explorer(cases: Sequence[Case], *, title: str = "", methods: Sequence[str] | None = None) -> Explorer:
    """A widget to explore `cases`: one method's map or all, for any class, with values, threshold, outlines and zoom.

    Where a case has twins, one tick shows the picture without the finding: picture, probabilities and maps change
    together. `methods` names the maps to offer, in this order (None: those of the first case). Maps travel at their own
    resolution as bytes, each stretched by `overlay.normalize`, those of all slices of a volume by their one maximum, so
    that slices compare; a map without signal, or without a positive value (eq. 7's ReLU leaves nothing of it), is
    announced, never drawn. Of several cases it opens on the one with the most probable finding that is present, and on
    that class; preferred are those of which a map is drawn, then cases with a twin. A finding is a class that has an
    outline or a twin in some case, or any class where none has. Else it opens on the first case and its most probable
    class. A volume starts at the slice with the highest score, and a strip shows the score of every slice. Below a
    picture with a report stand its words; each shows where the network looked when it wrote it. Below one with
    instances stand their crops, each of which highlights its box, and the gates. Raises SettingsError, naming the case,
    where shapes or names do not agree.
    """
    if not cases:
        raise SettingsError("there is no case to show", "explorer, cases")
    methods = list(cases[0].maps) if methods is None else list(methods)
    if not methods:
        raise SettingsError("there is no method to show", "explorer, methods", "Give each case at least one map.")
    mechanisms = next((list(case.attention) for case in cases if case.report), [])
    data = bytearray()
    places = [f"explorer, case {i} {case.name!r}" for i, case in enumerate(cases)]
    records = [encoded(case, where, methods, mechanisms, data) for case, where in zip(cases, places, strict=True)]
    for i, said in enumerate(records):
        said["name"] = said["name"] or f"picture {i + 1}"
    ramp = np.arange(256, dtype=np.uint8)
    palette = np.column_stack([overlay.colour(ramp), ramp])
    case, klass = opening(records, methods[0]) if len(records) > 1 else (0, "")
    return Explorer(
        title=title, methods=methods, method=methods[0], cases=records, data=bytes(data), palette=palette.tobytes(),
        mechanisms=mechanisms, mechanism=(mechanisms or [""])[0], case=case, klass=klass,
    )  # fmt: skip
