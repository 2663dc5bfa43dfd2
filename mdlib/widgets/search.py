"""The search: pictures found by a description of what is seen on them, prepared ones without a kernel, any with one."""

import io
from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anywidget
import numpy as np
import traitlets
from PIL import Image

from mdlib.errors import MdlibError, SettingsError
from mdlib.widgets import encoding

SCRIPTS = ("common.js", "search.js")  # one module
SIDE = 96  # pixels of the longer side of a picture on the page
DEPTHS = (1, 5, 10)  # k of Cr@k
Answer = Callable[[str], Sequence[tuple[int, float]]]


@dataclass(frozen=True, eq=False)
class Query:
    """A prepared description and the pictures found for it."""

    text: str
    wanted: str  # the conclusion that a picture should have, one of the pictures' labels
    ranking: Sequence[int]  # places in the list of pictures, best first; as many as should be shown, or all
    scores: Sequence[float]  # one a place of the ranking; the higher the better


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture that may be found."""

    image: np.ndarray  # uint8 (H, W) or (H, W, 3)
    name: str
    label: str  # its conclusion


class Search(anywidget.AnyWidget):
    """The widget; `search` makes it. `query` is the description shown, read and set from Python as well.

    A description that is not prepared is answered by the function given, into `answer` (query, ranking, scores, or
    query and error). Where nobody answers, the page shows the prepared description that shares most words with it.
    """

    _esm = "\n".join(Path(__file__).with_name(name).read_text("utf-8") for name in SCRIPTS)
    _css = Path(__file__).with_name("explorer.css")

    title = traitlets.Unicode().tag(sync=True)
    queries = traitlets.List(traitlets.Dict()).tag(sync=True)
    pictures = traitlets.List(traitlets.Dict()).tag(sync=True)  # `at` points into `data`; empty until it is shown
    data = traitlets.Bytes().tag(sync=True)
    live = traitlets.Bool(False).tag(sync=True)  # whether Python answers, as long as there is a kernel

    query = traitlets.Unicode("").tag(sync=True)
    answer = traitlets.Dict().tag(sync=True)

    def __init__(self, images: Sequence[np.ndarray] = (), ask: Answer | None = None, top: int = 10, **traits):
        self._images, self._ask, self._top = images, ask, top
        super().__init__(**traits)

    @traitlets.observe("query")
    def _answer(self, _: dict) -> None:
        if not self.live or _plain(self.query) in {_plain(query["text"]) for query in self.queries}:
            return
        try:
            if not _plain(self.query):
                raise SettingsError("nothing was described", remedy="Type what should be seen.")
            ranking, scores = _checked(self._ask(self.query), len(self._images), self._top)
        except MdlibError as error:
            self.answer = {"query": self.query, "error": str(error)}
            return
        with self.hold_sync():
            self._let_see(ranking)
            self.answer = {"query": self.query, "ranking": ranking, "scores": scores}

    def _let_see(self, places: Sequence[int]) -> None:
        """Let the page have the pictures at these places; what it has already is not encoded again."""
        data, told = bytearray(self.data), list(self.pictures)
        for place in {place for place in places if not told[place]["at"]}:
            sent = encoding.pictures([self._images[place]], data, SIDE)
            told[place] = told[place] | {"at": sent["at"], "type": sent["types"][0]}
        self.data, self.pictures = bytes(data), told

    def still(self) -> Image.Image:
        """What is found for the first prepared description, best first from left to right, five in a row."""
        ranking = self.queries[0]["ranking"]
        sheet = Image.new("RGB", (5 * (SIDE + 8), -(-len(ranking) // 5) * (SIDE + 8)), "white")
        for i, place in enumerate(ranking):
            start, length = self.pictures[place]["at"]
            picture = Image.open(io.BytesIO(self.data[start : start + length])).convert("RGB")
            sheet.paste(picture, (i % 5 * (SIDE + 8), i // 5 * (SIDE + 8)))
        return sheet

    def __repr__(self) -> str:
        return f"<Search: {len(self.queries)} prepared descriptions, {len(self.pictures)} pictures>"

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict, dict]:
        """The live widget, and a still picture for places that run no scripts."""
        data, metadata = super()._repr_mimebundle_(**kwargs)
        query, file = self.queries[0], io.BytesIO()
        self.still().save(file, "JPEG", quality=85, subsampling=0)
        found = (f"{i + 1}. {self.pictures[place]['label']}" for i, place in enumerate(query["ranking"]))
        alt = f"pictures found for {query['text']!r}, wanted {query['wanted']}: {', '.join(found)}"
        return data | {"image/jpeg": b64encode(file.getvalue()).decode()}, metadata | {"image/jpeg": {"alt": alt}}


def search(
    queries: Sequence[Query],
    pictures: Sequence[Picture],
    answer: Answer | None = None,
    top: int = 10,
    *,
    title: str = "",
) -> Search:
    """A widget that shows the `top` pictures of a description, and how many have its conclusion (Cr@k, paper, 5.2.3).

    `answer` turns any other description, while there is a kernel, into (place of a picture, score), best first; what it
    raises of mdlib's errors (unknown words) is shown as text. A picture travels small, when it is first shown. Raises
    SettingsError, naming the query or picture, where something does not fit.
    """
    if not queries or not pictures or top < 1:
        raise SettingsError("there must be a prepared query, a picture, and a place to show", "search")
    for i, picture in enumerate(pictures):
        _check_picture(picture, f"search, picture {i} {picture.name!r}")
    texts = [_plain(query.text) for query in queries]
    if "" in texts or len(set(texts)) < len(texts):
        raise SettingsError("each text must be there once, and not empty", "search, queries")
    labels = [picture.label for picture in pictures]
    widget = Search(
        [picture.image for picture in pictures], answer, top, title=title, live=answer is not None,
        queries=[_told(query, f"search, query {i} {query.text!r}", labels, top) for i, query in enumerate(queries)],
        pictures=[{"name": picture.name, "label": picture.label, "at": []} for picture in pictures],
        query=queries[0].text,
    )  # fmt: skip
    widget._let_see([place for query in widget.queries for place in query["ranking"]])
    return widget


def _plain(text: str) -> str:
    """A description as it is compared: lower case, single spaces."""
    return " ".join(text.lower().split())


def _told(query: Query, where: str, labels: list[str], top: int) -> dict:
    if query.wanted not in labels:
        raise SettingsError(f"no picture has the conclusion {query.wanted!r}", where)
    if len(query.ranking) != len(query.scores):
        raise SettingsError(f"{len(query.ranking)} places and {len(query.scores)} scores", where)
    found = list(zip(query.ranking, query.scores, strict=True))
    ranking, scores = _checked(found, len(labels), max(top, *DEPTHS), where)
    right = [labels[place] == query.wanted for place in ranking]
    shares = {str(k): sum(right[:k]) / k for k in DEPTHS if len(right) >= k}
    return {"text": query.text, "wanted": query.wanted, "right": shares} | {
        "ranking": ranking[:top], "scores": scores[:top]}  # fmt: skip


def _checked(found: Sequence[tuple[int, float]], count: int, top: int, where: str = "answer") -> tuple[list, list]:
    """The first `top` places and scores; refuses what is no ranking of `count` pictures."""
    places, scores = [place for place, _ in found], np.asarray([score for _, score in found], float)
    if not places or len(set(places)) < len(places) or not set(places) <= set(range(count)):
        raise SettingsError(f"a ranking names some of the {count} pictures, from 0, none of them twice", where)
    if not np.isfinite(scores).all() or (np.diff(scores) > 0).any():
        raise SettingsError("scores must be finite and fall from the first place to the last", where)
    return [int(place) for place in places[:top]], [float(f"{score:.4g}") for score in scores[:top]]


def _check_picture(picture: Picture, where: str) -> None:
    image = picture.image
    if image.dtype != np.uint8 or not (image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)) or not image.size:
        raise SettingsError(f"the image must be uint8 (H, W) or (H, W, 3); found {image.dtype} {image.shape}", where)
    if not picture.label:
        raise SettingsError("a picture needs its conclusion as label", where)
