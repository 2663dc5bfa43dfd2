"""The search: what it sends, how it answers where Python is there, and what it refuses."""

import base64
import io

import numpy as np
import pytest
from PIL import Image
from report_cases import GRADES, make_pictures, make_queries

from mdlib.errors import DataError, SettingsError
from mdlib.widgets.search import Picture, Query, search


def greys(widget, places) -> list[int]:
    """The grey of the pictures at these places, as they travel."""
    found = []
    for place in places:
        start, length = widget.pictures[place]["at"]
        found.append(int(np.asarray(Image.open(io.BytesIO(widget.data[start : start + length])))[32, 32, 0]))
    return found


def test_a_query_brings_its_first_pictures_scores_and_shares():
    widget = search(make_queries(), make_pictures())
    first, second = widget.queries
    assert first["ranking"] == [2, 0, 6, 1, 3, 10, 4, 5, 7, 14] and first["scores"][:3] == [0, -1, -2]
    assert first["right"] == {"1": 1, "5": 0.4, "10": 0.4}
    assert len(second["ranking"]) == 10 and second["right"] == {"1": 1, "5": 0.6, "10": 0.5}
    assert (widget.query, widget.live, widget.answer) == (first["text"], False, {})


def test_cr_at_ten_is_told_though_fewer_are_shown_and_not_beyond_the_ranking():
    short = Query("rare", "normal", [0, 4, 1], [3, 2, 1])
    first, _, third = search([*make_queries(), short], make_pictures(), top=3).queries
    assert len(first["ranking"]) == 3 and first["right"]["10"] == 0.4
    assert third["right"] == {"1": 1}


def test_only_pictures_that_are_shown_travel_and_none_is_larger_than_96():
    pictures = make_pictures()
    pictures[2] = Picture(np.full((300, 200, 3), 20, np.uint8), "large", GRADES[2])
    widget = search(make_queries(), pictures)
    shown = {2, 0, 6, 1, 3, 10, 4, 5, 7, 14} | set(range(0, 20, 2))
    assert {i for i, picture in enumerate(widget.pictures) if picture["at"]} == shown
    assert np.allclose(greys(widget, sorted(shown)), [10 * i for i in sorted(shown)], atol=1)
    start, length = widget.pictures[2]["at"]
    assert Image.open(io.BytesIO(widget.data[start : start + length])).size == (64, 96)


def test_python_answers_what_is_not_prepared_and_sends_the_pictures_it_lacks():
    asked = []

    def answer(text):
        asked.append(text)
        return [(23, 0.75), (0, 0.5), (21, 0.25)]

    widget = search(make_queries(), make_pictures(), answer, top=2)
    before = len(widget.data)
    widget.query = "no nuclei at all"
    assert widget.answer == {"query": "no nuclei at all", "ranking": [23, 0], "scores": [0.75, 0.5]}
    assert greys(widget, [23, 0]) == pytest.approx([230, 0], abs=1) and not widget.pictures[21]["at"]
    sent = len(widget.data)
    assert sent > before
    widget.query = "the same pictures"
    assert len(widget.data) == sent
    widget.query = " Nuclei are  uniform, polarity is kept "  # prepared: the page has it
    assert asked == ["no nuclei at all", "the same pictures"]


def test_what_cannot_be_answered_is_told_in_words():
    def answer(text):
        if "xyz" in text:
            raise DataError("the word 'xyz' is unknown", "query")
        return [(0, 0.5), (0, 0.4)]

    widget = search(make_queries(), make_pictures(), answer)
    told = {}
    for query in ("xyz", "  ", "twice"):
        widget.query = query
        told[query] = widget.answer["error"]
        assert widget.answer["query"] == query
    assert "'xyz' is unknown" in told["xyz"] and "nothing was described" in told["  "] and "twice" in told["twice"]


def test_the_still_picture_shows_what_the_first_description_finds():
    bundle, metadata = search(make_queries(), make_pictures())._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle
    still = np.asarray(Image.open(io.BytesIO(base64.b64decode(bundle["image/jpeg"]))), int)
    assert still.shape == (208, 520, 3) and abs(still[30, 30] - 20).max() <= 3 and abs(still[134, 30] - 100).max() <= 3
    assert "wanted high grade: 1. high grade, 2. normal" in metadata["image/jpeg"]["alt"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"wanted": "Mass"}, "no picture has the conclusion 'Mass'"),
        ({"ranking": [0, 1, 2]}, "3 places and 2 scores"),
        ({"ranking": [0, 24]}, "24 pictures"),
        ({"ranking": [0, -1]}, "24 pictures"),
        ({"ranking": [3, 3]}, "none of them twice"),
        ({"ranking": [], "scores": []}, "names some"),
        ({"scores": [0.1, 0.2]}, "fall from the first"),
        ({"scores": [0.1, np.nan]}, "finite"),
    ],
)
def test_a_query_that_does_not_fit_is_refused_by_name(changes, message):
    query = Query(**({"text": "rare mitosis", "wanted": "normal", "ranking": [0, 1], "scores": [2, 1]} | changes))
    with pytest.raises(SettingsError, match=f"query 2 'rare mitosis'.*{message}"):
        search([*make_queries(), query], make_pictures())


def test_pictures_and_texts_that_do_not_fit_are_refused():
    queries, pictures = make_queries(), make_pictures()
    for wrong, message in ((np.zeros((8, 8)), "uint8"), (np.zeros((8, 8, 4), np.uint8), "uint8")):
        with pytest.raises(SettingsError, match=f"picture 1 'odd'.*{message}"):
            search(queries, [pictures[0], Picture(wrong, "odd", "normal")])
    with pytest.raises(SettingsError, match=r"picture 0 'odd'.*conclusion"):
        search(queries, [Picture(pictures[0].image, "odd", "")])
    with pytest.raises(SettingsError, match="queries: each text"):
        search([queries[0], queries[0]], pictures)
    for nothing in (([], pictures, None, 10), (queries, [], None, 10), (queries, pictures, None, 0)):
        with pytest.raises(SettingsError, match="there must be"):
            search(*nothing)
