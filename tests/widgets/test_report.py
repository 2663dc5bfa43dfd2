"""Reports in the explorer: what is sent of their words and maps, what is refused, and the still picture of a word."""

import base64
import io
import json

import numpy as np
import pytest
from explorer_cases import make_case, make_twins, make_volume
from PIL import Image
from report_cases import REPORT, WORDS, looks, make_report, spot

from mdlib.errors import SettingsError
from mdlib.explain import overlay
from mdlib.widgets.explorer import explorer

PARTS = len(REPORT)


def sent_maps(widget, mechanism: str, case: int = 0) -> np.ndarray:
    """The maps of words and sentences, as they travel."""
    sent = widget.cases[case]["report"]["attention"][mechanism]
    shape = (sent["count"], sent["height"], sent["width"])
    return np.frombuffer(widget.data, np.uint8, int(np.prod(shape)), sent["at"]).reshape(shape)


def test_each_words_map_is_stretched_by_its_own_maximum_and_a_sentence_has_the_mean_of_its_words():
    case = make_report()
    widget = explorer([case])
    for mechanism, maps in case.attention.items():
        sent = sent_maps(widget, mechanism)
        assert (sent[:WORDS] == overlay.normalize(maps)).all() and (sent.max(axis=(1, 2)) == 255).all()
        first = 0
        for part, (_, words) in enumerate(REPORT):
            expected = maps[first : first + len(words)].mean(axis=0)
            assert (sent[WORDS + part] == overlay.normalize(expected)).all()
            first += len(words)


def test_the_entropy_is_that_of_the_raw_map_in_bits():
    even, sure = np.full((8, 8), 1 / 64), spot(8, 2, 3, 1e-3)
    half = np.zeros((8, 8))
    half[0, :2] = 0.5
    case = make_report(report=[("a", ["x", "y"]), ("b", ["z"])], attention={"AAS": np.stack([even, sure, half])},
                       correct=(), reference=())  # fmt: skip
    sent = explorer([case]).cases[0]["report"]["attention"]["AAS"]
    mean = (even + sure) / 2
    assert sent["entropy"] == [6, 0, 1, pytest.approx(-(mean * np.log2(mean)).sum(), abs=0.01), 1]
    assert sent["peak"][:3] == [pytest.approx(1 / 64, rel=0.01), 1, 0.5]


def test_words_signs_and_references_travel_as_json():
    widget = explorer([make_report()])
    parts = json.loads(json.dumps(widget.cases, allow_nan=False))[0]["report"]["parts"]
    assert [(part["name"], tuple(part["words"])) for part in parts] == list(REPORT)
    assert [part["correct"] for part in parts] == [True, False, None, True, True, True]
    assert parts[1]["reference"] == "mild crowding is present" and parts[2]["reference"] == ""
    assert widget.mechanisms == ["AAS", "without AAS"] and widget.mechanism == "AAS"


def test_a_case_without_a_report_may_stand_beside_one_with():
    widget = explorer([make_report(report=(), attention={}, correct=(), reference=()), make_report()])
    assert widget.cases[0]["report"] == {"parts": [], "attention": {}} and widget.mechanisms[0] == "AAS"


def test_forty_words_by_two_mechanisms_cost_less_than_twenty_kilobytes():
    many = looks(1, 40, 14)
    report = [("all", ["word"] * 40)]
    without = explorer([make_report(report=(), attention={}, correct=(), reference=())])
    widget = explorer([make_report(report=report, attention={"a": many, "b": many}, correct=(), reference=())])
    assert len(widget.data) - len(without.data) < 20_000


def test_a_sentence_without_words_has_a_map_without_signal():
    case = make_report(report=[("a", ["x", "y"]), ("b", [])], attention={"AAS": looks(1, 2)}, correct=(), reference=())
    sent = explorer([case]).cases[0]["report"]["attention"]["AAS"]
    assert sent["signal"] == [True, True, True, False] and sent["entropy"][3] == 0


def test_the_word_kept_is_let_go_by_another_case_twin_class_or_method():
    maps = make_report().maps | {"other": np.ones((1, 4, 4))}
    changes = {"logits": np.zeros(4), "twins": {"low grade": make_report(logits=np.zeros(4), maps=maps)}}
    widget = explorer([make_report(maps=maps, **changes), make_report(maps=maps)], methods=list(maps))
    for name, value in {"klass": "normal", "method": "other", "twin": "low grade", "case": 1}.items():
        widget.word = 3
        setattr(widget, name, value)
        assert widget.word == -1
    widget.word, widget.mechanism = WORDS + PARTS - 1, "without AAS"
    for name, value in {"word": WORDS + PARTS, "mechanism": "Grad-CAM"}.items():
        with pytest.raises(SettingsError, match=f"explorer, {name}"):
            setattr(widget, name, value)


def test_the_still_picture_shows_the_map_of_the_word_kept_and_its_words_hold_the_report():
    case = make_report()
    widget = explorer([case])
    plain = np.asarray(widget.still())
    widget.word = 4
    still = np.asarray(widget.still(), int)
    heat = np.rint(overlay.upsample(overlay.normalize(case.attention["AAS"][4]), (64, 64))).astype(np.uint8)
    expected = np.stack([overlay.blend(np.full((64, 64), grey, np.uint8), heat)[..., i]
                         for i, grey in enumerate((200, 160, 190))], axis=-1)  # fmt: skip
    assert abs(still[:, 72:] - expected).max() <= 4 and (still[:, :64] == plain[:, :64]).all()
    bundle, metadata = widget._repr_mimebundle_()
    assert Image.open(io.BytesIO(base64.b64decode(bundle["image/jpeg"]))).size == (136, 64)
    alt = metadata["image/jpeg"]["alt"]
    assert "the network writes: nuclear feature: moderate pleomorphism" in alt
    assert alt.endswith("right with the attention of AAS for the word 'in' of nuclear feature")
    widget.word = WORDS + 1
    assert widget._repr_mimebundle_()[1]["image/jpeg"]["alt"].endswith("for all words of nuclear crowding")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"report": ()}, "belong to a report"),
        ({"report": [("conclusion", "low grade")]}, "list of its words"),
        ({"report": [("conclusion", ["low", ""])]}, "list of its words"),
        ({"report": [("conclusion",)]}, "list of its words"),
        ({"attention": {}}, "mechanism|needs attention"),
        ({"attention": {"AAS": looks(1)}}, "of \\['AAS', 'without AAS'\\]"),
        ({"attention": {"AAS": looks(1), "without AAS": looks(1, WORDS - 1)}}, f"'without AAS'.*{WORDS}, h, w"),
        ({"attention": {"AAS": looks(1)[:, 0], "without AAS": looks(1)}}, f"'AAS'.*{WORDS}, h, w"),
        ({"attention": {"AAS": 2 * looks(1), "without AAS": looks(1)}}, "sum 1"),
        ({"attention": {"AAS": looks(1) - 1 / 64, "without AAS": looks(1)}}, "none below 0"),
        ({"attention": {"AAS": np.full((WORDS, 8, 8), np.nan), "without AAS": looks(1)}}, "finite"),
        ({"correct": (True,)}, "correct must be 6"),
        ({"correct": ("yes",) * 6}, "True, False or None"),
        ({"reference": ("low grade",)}, "reference must be 6"),
    ],
)
def test_a_report_that_does_not_fit_is_refused_naming_the_case(changes, message):
    with pytest.raises(SettingsError, match=f"case 1 'phantom 7, image 2'.*({message})"):
        explorer([make_report(), make_report(**changes)])


def test_a_volume_has_no_report_and_the_twin_that_is_wrong_is_named():
    attention = {"AAS": looks(1)}
    with pytest.raises(SettingsError, match=r"'volume 7'.*the case is a volume"):
        explorer([make_volume(report=REPORT, attention=attention)])
    twin = make_twins().twins["Mass"]
    wrong = vars(twin) | {"report": REPORT, "attention": {"AAS": looks(1, 3)}}
    with pytest.raises(SettingsError, match="twin without 'Mass', attention 'AAS'"):
        explorer([make_case(report=REPORT, attention=attention, logits=np.zeros(3), twins={"Mass": wrong})])
