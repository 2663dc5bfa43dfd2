"""The explorer: what it sends to the page, what it refuses, and its still picture."""

import base64
import io
import json

import numpy as np
import pytest
from explorer_cases import RNG, make_case, make_twins, make_volume
from PIL import Image

from mdlib.errors import SettingsError
from mdlib.explain import overlay
from mdlib.widgets.explorer import explorer

# What is sent


def test_maps_travel_as_the_bytes_of_stretch():
    case = make_case()
    widget = explorer([case])
    sent = widget.cases[0]["maps"]["Grad-CAM"]
    values = np.frombuffer(widget.data, np.uint8, count=3 * 49, offset=sent["at"]).reshape(3, 7, 7)
    assert (values == overlay.normalize(case.maps["Grad-CAM"], [True, True, False])).all()
    assert values[0].max() == 255 and values[2].max() == 0
    np.testing.assert_allclose(sent["peak"], case.maps["Grad-CAM"].max(axis=(1, 2)), rtol=5e-3)
    assert (sent["count"], sent["height"], sent["width"], sent["signal"]) == (3, 7, 7, [True, True, False])


def test_zeros_are_no_signal_whatever_is_claimed_but_negative_values_are():
    maps = np.stack([np.zeros((5, 5)), -np.ones((5, 5)), np.eye(5)])
    sent = explorer([make_case(maps={"m": maps}, signal={})]).cases[0]["maps"]["m"]
    assert sent["signal"] == [False, True, True] and sent["peak"] == [0, -1, 1]
    rounding = explorer([make_case(maps={"m": maps}, signal={"m": np.zeros(3, bool)})])
    assert not any(rounding.cases[0]["maps"]["m"]["signal"])


def test_unknown_truth_is_null_and_all_is_json():
    widget = explorer([make_case()])
    assert widget.cases[0]["truth"] == [1, 0, None]
    json.dumps(widget.cases, allow_nan=False)


def test_twelve_cases_of_fifteen_classes_stay_far_below_a_megabyte():
    names = [f"class {k}" for k in range(15)]
    case = make_case(
        image=RNG.normal(120, 8, (256, 256)).clip(0, 255).astype(np.uint8),
        classes=names,
        probability=np.linspace(0, 1, 15),
        truth=np.zeros(15),
        signal={},
        contours={name: [RNG.uniform(size=(60, 2))] for name in names[:4]},
        maps={f"Grad-CAM {i}": RNG.uniform(size=(15, 7, 7)) for i in range(2)}
        | {f"attention {side}": RNG.uniform(size=(1, side, side)) for side in (28, 14, 7)},
    )
    widget = explorer([case] * 12)
    assert len(widget.data) * 4 / 3 + len(json.dumps(widget.cases)) < 700_000


def test_a_twin_brings_its_own_picture_numbers_and_maps():
    case = make_twins()
    widget = explorer([case])
    twin, sent = case.twins["Mass"], widget.cases[0]["twins"]["Mass"]
    at, method = sent["maps"]["Grad-CAM"], "Grad-CAM"
    values = np.frombuffer(widget.data, np.uint8, count=3 * 49, offset=at["at"]).reshape(3, 7, 7)
    assert (values == overlay.normalize(twin.maps[method], twin.signal[method])).all() and not values[0].any()
    assert (sent["probability"], sent["logits"]) == ([0.05, 0.6, 0.1], [-2.94, 0.41, -2.2])
    start, length = sent["image"]["at"]
    assert abs(np.asarray(Image.open(io.BytesIO(widget.data[start : start + length])), int) - 60).max() <= 2


def test_twins_may_be_plain_dicts():
    twin = vars(make_twins().twins["Mass"])
    assert explorer([make_twins(twins={"Mass": twin})]).cases[0]["twins"]["Mass"]["alt"] == "the same without Mass"


def test_an_outline_loses_only_points_that_lie_straight_between_their_neighbours():
    square = np.array([[0, 0], [0.25, 0], [0.5, 0], [0.5, 0.1], [0.5, 0.5], [0, 0.5], [0, 0]])
    sent = explorer([make_case(contours={"Mass": [square]})]).cases[0]["contours"]["Mass"]
    assert sent == [[0, 0, 0.5, 0, 0.5, 0.5, 0, 0.5, 0, 0]]


def test_a_large_picture_is_sent_no_larger_than_can_be_shown():
    sent = explorer([make_case(image=RNG.integers(0, 255, (800, 1024, 3), dtype=np.uint8))]).cases[0]["image"]
    assert (sent["width"], sent["height"]) == (512, 400)


def test_methods_are_offered_in_the_order_asked_for():
    widget = explorer([make_case()], methods=("attention", "Grad-CAM"))
    assert widget.methods == ["attention", "Grad-CAM"] and widget.method == "attention"


def test_a_choice_that_does_not_exist_is_refused():
    widget = explorer([make_case()])
    for name, value in {"case": 1, "klass": "Fracture", "method": "LIME", "twin": "Mass"}.items():
        with pytest.raises(SettingsError, match=f"explorer, {name}"):
            setattr(widget, name, value)
    widget.klass = "Edema"
    assert (widget.case, widget.klass, widget.method) == (0, "Edema", "Grad-CAM")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image": np.zeros((8, 8))}, "uint8"),
        ({"image": np.zeros((8, 8, 4), np.uint8)}, "uint8"),
        ({"classes": ("Mass", "Mass", "Edema")}, "each once"),
        ({"probability": np.array([0.2, 0.7])}, "3 numbers"),
        ({"probability": np.array([0.2, 0.7, 1.1])}, "0, 1"),
        ({"probability": np.array([0.2, 0.7, np.nan])}, "0, 1"),
        ({"truth": np.array([0, 1, 2])}, "NaN"),
        ({"maps": {"Grad-CAM": np.zeros((2, 7, 7)), "attention": np.ones((1, 4, 4))}}, "Grad-CAM.*3, h, w"),
        ({"maps": {"Grad-CAM": np.full((3, 7, 7), np.inf), "attention": np.ones((1, 4, 4))}}, "not finite"),
        ({"maps": {"Grad-CAM": np.ones((3, 7, 7))}}, "attention.*no maps"),
        ({"signal": {"Grad-CAM": np.array([True])}}, "3 of True"),
        ({"contours": {"Fracture": []}}, "Fracture"),
        ({"contours": {"Mass": [np.zeros(4)]}}, r"\(n, 2\)"),
        ({"logits": np.array([0.1, np.inf, 0.2])}, "3 finite"),
        ({"twins": {"Mass": make_twins()}}, "logits are needed"),
        ({"logits": np.zeros(3), "twins": {"": make_twins()}}, "without ''.*named after"),
        ({"logits": np.zeros(3), "twins": {"Mass": make_twins(classes=("Mass", "Lump", "Edema"))}}, "classes of its"),
        ({"logits": np.zeros(3), "twins": {"Mass": make_twins()}}, "no twins itself"),
        ({"logits": np.zeros(3), "twins": {"Mass": make_twins(twins={}, image=np.ones((9, 9), np.uint8))}}, "size"),
        ({"logits": np.zeros(3), "twins": {"Mass": make_case(logits=np.ones(3), maps={})}}, "twin.*no maps"),
    ],
)
def test_parts_that_do_not_fit_are_refused_naming_the_case(changes, message):
    with pytest.raises(SettingsError, match=f"case 1 'phantom 7'.*{message}"):
        explorer([make_case(), make_case(**changes)], methods=("Grad-CAM", "attention"))


def test_nothing_to_show_is_refused():
    with pytest.raises(SettingsError, match="no case"):
        explorer([])
    with pytest.raises(SettingsError, match="no method"):
        explorer([make_case(maps={})])


# Volumes


def sent_maps(widget, method: str) -> np.ndarray:
    """The maps of the first case, as they travel: (S, K or 1, h, w)."""
    sent = widget.cases[0]["maps"][method]
    shape = (len(widget.cases[0]["scores"]), sent["count"], sent["height"], sent["width"])
    return np.frombuffer(widget.data, np.uint8, int(np.prod(shape)), sent["at"]).reshape(shape)


def test_the_slices_of_a_volume_share_one_maximum_a_class_and_method():
    case = make_volume()
    for method, maps in case.maps.items():
        top = maps.max(axis=(0, 2, 3), keepdims=True)
        expected = np.rint(255 * maps / top) * case.signal.get(method, np.ones(maps.shape[:2]))[..., None, None]
        assert (sent_maps(explorer([case]), method) == expected).all()


def test_a_slice_without_signal_does_not_dim_the_others():
    maps = np.stack([np.eye(4), 100 * np.eye(4)])[:, None]
    widget = explorer([make_volume(2, maps={"m": maps}, signal={"m": [[True], [False]]}, contours={}, marks=())])
    assert (sent_maps(widget, "m")[:, 0] == [255 * np.eye(4), np.zeros((4, 4))]).all()


def test_a_picture_and_a_volume_of_this_one_slice_travel_alike():
    single = make_case(marks=[(0, 0, 1, 1, "1", None)])
    volume = make_case(
        image=single.image[None],
        scores=[0.0],
        maps={method: maps[None] for method, maps in single.maps.items()},
        signal={method: signal[None] for method, signal in single.signal.items()},
        contours={name: [lines] for name, lines in single.contours.items()},
        marks=[single.marks],
    )
    sent, other = explorer([single]), explorer([volume])
    assert sent.cases == other.cases and sent.data == other.data


def test_each_outline_and_mark_keeps_its_slice():
    sent = explorer([make_volume()]).cases[0]
    assert sent["outlined"] == {"Mass": [6, 7, 8]} and len(sent["contours"]["Mass"]) == 3
    assert [(mark["slice"], mark["label"], mark["klass"]) for mark in sent["marks"]] == [
        (6, "1", "Mass"), (7, "1", "Mass"), (7, "2", None), (8, "1", "Mass")]  # fmt: skip


def test_the_slice_is_the_most_suspicious_one_until_chosen_and_again_in_the_next_case():
    widget = explorer([make_volume(), make_volume(highest=3)])
    grey = [np.asarray(widget.still(), int)[0, 0, 0]]
    for name, value in (("slice", 2), ("case", 1), ("slice", 11), ("slice", -1)):
        setattr(widget, name, value)
        grey.append(np.asarray(widget.still(), int)[0, 0, 0])
    assert grey == [60 + 5 * s for s in (7, 2, 3, 11, 3)]
    with pytest.raises(SettingsError, match="explorer, slice"):
        widget.slice = 12
    assert "OCT volume, slice 4 of 12; " in widget._repr_mimebundle_()[1]["image/jpeg"]["alt"]


def test_the_still_picture_draws_the_marks_of_the_class_shown_in_its_slice():
    widget = explorer([make_volume()], methods=["attention"])
    widget.klass, widget.opacity = "Edema", 0
    for s, ticked, drawn in ((7, True, [False, True]), (6, True, [False, False]), (7, False, [False, False])):
        widget.slice, widget.marks = s, ticked
        right = np.asarray(widget.still(), int)[:, 72:]
        assert [tuple(right[row, column]) == (76, 201, 240) for row, column in ((8, 20), (24, 40))] == drawn
    widget.klass, widget.marks = "Mass", True
    assert tuple(np.asarray(widget.still())[8, 72 + 20]) == (76, 201, 240)


def test_a_volume_of_thirty_slices_with_two_methods_stays_below_120_kilobytes():
    layers = np.where(abs(np.arange(64) - 30) < 12, 90, 15)[:, None]
    image = (layers * RNG.gamma(6, 1 / 6, (30, 64, 128))).clip(0, 255).astype(np.uint8)  # speckle
    maps = {name: RNG.uniform(size=(30, 2, 8, 16)) for name in ("gradient x input", "contribution")}
    lines = [[RNG.uniform(size=(40, 2))] if s < 10 else [] for s in range(30)]
    case = make_volume(30, image=image, classes=("normal", "DME"), probability=[0.1, 0.9], truth=[0, 1], maps=maps,
                       signal={}, contours={"DME": lines}, marks=())  # fmt: skip
    widget = explorer([case])
    assert len(widget.data) + len(json.dumps(widget.cases)) < 120_000


def test_slices_that_a_twin_shares_with_its_case_are_sent_once():
    image = make_volume().image
    image[7] = 0
    widget = explorer([make_volume(logits=np.ones(3), twins={"Mass": make_volume(image=image, logits=np.zeros(3))})])
    film = widget.cases[0]
    film, twin = (np.reshape(said["image"]["at"], (-1, 2)) for said in (film, film["twins"]["Mass"]))
    assert ((film == twin).all(axis=1) == (np.arange(12) != 7)).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scores": np.zeros(11)}, "scores must be 12 numbers"),
        ({"scores": np.full(12, np.nan)}, "scores"),
        ({"image": np.zeros((0, 32, 64), np.uint8)}, r"uint8 \(S, H, W\)"),
        ({"image": np.zeros((32, 64), np.uint8)}, r"uint8 \(S, H, W\)"),
        ({"maps": {"Grad-CAM": np.ones((3, 4, 8))}}, r"\(12, 3, h, w\) or \(12, 1, h, w\)"),
        ({"maps": {"Grad-CAM": np.ones((11, 3, 4, 8))}}, "12, 3, h, w"),
        ({"signal": {"Grad-CAM": np.ones(3, bool)}}, "12, 3 of True"),
        ({"contours": {"Mass": [[]] * 11}}, "12 lists"),
        ({"contours": {"Mass": [np.zeros((4, 2))] + [[]] * 11}}, r"\(n, 2\)"),
        ({"marks": [[]] * 3}, "12 lists"),
        ({"marks": [[(0, 0, 1, 1, "1", "Fracture")]] * 12}, "a class or None"),
        ({"marks": [[(0, 0, 1, 1, "1")]] * 12}, "x, y, w, h"),
        ({"marks": [[(0, 0, np.nan, 1, "1", None)]] * 12}, "x, y, w, h"),
        ({"logits": np.ones(3), "twins": {"Mass": make_case(logits=np.ones(3))}}, "size and slices"),
        ({"logits": np.ones(3), "twins": {"Mass": make_volume(11, logits=np.ones(3))}}, "size and slices"),
    ],
)
def test_parts_of_a_volume_that_do_not_fit_are_refused_naming_the_case(changes, message):
    with pytest.raises(SettingsError, match=f"case 1 'volume 7'.*{message}"):
        explorer([make_volume(), make_volume(**changes)], methods=["Grad-CAM"])


# The still picture


def test_the_still_picture_has_the_map_on_the_right_only():
    bundle, metadata = explorer([make_case()])._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert metadata["image/jpeg"]["alt"].startswith("chest X-ray")
    still = np.asarray(Image.open(io.BytesIO(base64.b64decode(bundle["image/jpeg"]))), int)
    assert still.shape == (64, 136, 3)
    assert abs(still[:, :60] - 90).max() < 8 and abs(still[:, 80:] - 90).max() > 60


def test_the_still_picture_of_a_map_without_signal_is_the_picture():
    widget = explorer([make_case()])
    widget.klass = "Edema"
    still = np.asarray(widget.still())
    assert (still[:, :64] == still[:, 72:]).all()


def test_the_still_picture_of_a_map_of_negative_values_is_the_picture_and_its_words_say_why():
    widget = explorer([make_case(maps={"m": -np.ones((3, 5, 5))}, signal={"m": np.array([True, True, False])})])
    still = np.asarray(widget.still())
    assert (still[:, :64] == still[:, 72:]).all()
    why = "of which nothing is drawn: nothing speaks for this class here: all values are 0 or below"
    assert widget._repr_mimebundle_()[1]["image/jpeg"]["alt"].endswith(why)
    widget.klass = "Edema"
    assert widget._repr_mimebundle_()[1]["image/jpeg"]["alt"].endswith("this map carries no signal")


def test_the_still_picture_hides_what_is_below_the_threshold():
    widget = explorer([make_case(maps={"m": np.linspace(0, 1, 64 * 64).reshape(1, 64, 64)}, signal={})])
    widget.threshold = 0.5
    still = np.asarray(widget.still(), int)
    changed = (still[:, :64] != still[:, 72:]).any(axis=-1)
    assert not changed[:31].any() and changed[33:].all()


def test_the_still_picture_is_that_of_the_twin_where_it_is_chosen():
    widget = explorer([make_twins()])
    widget.klass, widget.twin = "Mass", "Mass"
    still = np.asarray(widget.still(), int)
    assert abs(still - 60)[:, :64].max() <= 2 and (still[:, :64] == still[:, 72:]).all()
    alt = widget._repr_mimebundle_()[1]["image/jpeg"]["alt"]
    assert alt.startswith("the same without Mass") and alt.endswith("no signal")


def test_a_colour_picture_keeps_its_colours_where_the_map_is_zero():
    image = RNG.integers(0, 255, (64, 64, 3), dtype=np.uint8)
    maps = np.zeros((1, 64, 64))
    maps[0, :32] = 1
    still = np.asarray(explorer([make_case(image=image, maps={"m": maps}, signal={}, contours={})]).still(), int)
    assert (still[40:, :64] == still[40:, 72:]).all() and (still[:24, :64] != still[:24, 72:]).any()


# What it opens on


SURE, NONE = np.array([0.3, 0.6, 0.1]), np.array([0, 0, 1])


@pytest.mark.parametrize("cases, expected", [
    ([{}, {"probability": SURE}, {"probability": SURE}], (1, "Mass")),                     # the first of equals
    ([{}, {"probability": np.array([0.7, 0.2, 0.1])}], (1, "")),                           # already the most probable
    ([{"truth": NONE}, {}], (1, "Mass")),                                                  # not Edema: no outline
    ([{"truth": NONE, "contours": {}}, {"truth": [1, 0, 0], "contours": {}}], (1, "Mass")),
    ([{"probability": SURE, "signal": {"Grad-CAM": np.zeros(3, bool)}}, {}], (1, "Mass")),  # nothing would be drawn
    ([{"probability": SURE}, {"logits": np.zeros(3), "twins": {"Mass": make_case(logits=np.zeros(3))}}], (1, "Mass")),
    ([{"truth": [0, 0, 0]}, {"truth": [np.nan] * 3}], (0, ""))],
    ids=["likelier", "most probable", "a finding", "any class", "drawn", "twin", "nothing is there"])
def test_it_opens_on_the_most_probable_finding_that_is_present(cases, expected):
    widget = explorer([make_case(**changes) for changes in cases])
    assert (widget.case, widget.klass) == expected


def test_one_case_opens_on_its_most_probable_class():
    widget = explorer([make_case()])
    assert (widget.case, widget.klass) == (0, "")


@pytest.mark.parametrize("left, written", [(0.12, False), (0.5, True)])
def test_a_label_of_a_pick_that_would_cover_another_is_left_out_of_the_still_picture(left, written):
    def still(label):
        marks = [(0.1, 0.1, 0.3, 0.6, "first", None), (left, 0.11, 0.3, 0.5, label, None)]
        return explorer([make_case(maps={"m": np.zeros((1, 4, 4))}, signal={}, marks=marks,
                                   image=np.zeros((256, 256), np.uint8))]).still().tobytes()
    assert (still("second") != still("")) == written
