"""Instances and gates in the explorer: what is sent of them, what is refused, and the still picture."""

import io
import json

import numpy as np
import pytest
from explorer_cases import make_case, make_volume
from instance_cases import BOXES, GATES, WHOLE, crop, make_instance_twins, make_instances, nothing_found
from PIL import Image

from mdlib.errors import SettingsError
from mdlib.widgets.explorer import explorer
from mdlib.widgets.records import Case

RNG = np.random.default_rng(0)


def sent_crops(widget, record: dict) -> list[np.ndarray]:
    at = record["instances"]["crops"]["at"]
    files = [widget.data[at[i] : at[i] + at[i + 1]] for i in range(0, len(at), 2)]
    return [np.asarray(Image.open(io.BytesIO(file)).convert("RGB"), int) for file in files]


@pytest.mark.parametrize("shape", [(16, 16), (16, 16, 3), (600, 600, 3)])
def test_crops_travel_in_order_pixel_by_pixel(shape):
    crops = RNG.integers(0, 256, (4, *shape), np.uint8)
    widget = explorer([make_instances(instances=[(of, BOXES[0]) for of in crops])])
    sent = widget.cases[0]["instances"]["crops"]
    assert (sent["width"], sent["height"]) == shape[:2]
    rgb = crops if crops.ndim == 4 else np.stack([crops] * 3, axis=-1)
    assert (sent_crops(widget, widget.cases[0]) == rgb).all()


def test_a_crop_that_repeats_another_is_sent_once():
    widget = explorer([make_instances()])
    at = widget.cases[0]["instances"]["crops"]["at"]
    assert at[6:] == at[:2] and len({*at[::2]}) == 3


def test_boxes_words_and_what_is_found_travel_as_json_and_each_box_found_is_a_mark():
    sent = json.loads(json.dumps(explorer([make_instances()]).cases, allow_nan=False))[0]
    assert sent["instances"]["boxes"] == [list(box) for box in (*BOXES, BOXES[0])]
    assert sent["instances"]["found"] == [True, True, True, False]
    assert sent["instances"]["words"] == ["covers head 1", "covers head 2", "covers head 3", ""]
    assert sent["marks"] == [{"slice": 0, "box": list(box), "label": str(i), "klass": None}
                             for i, box in enumerate(BOXES, 1)]  # fmt: skip


def test_the_whole_picture_is_no_mark_and_marks_of_others_stay():
    other = (0.1, 0.1, 0.2, 0.2, "cell", "niger")
    sent = explorer([make_instances(instances=nothing_found(), marks=[other])]).cases[0]
    assert [mark["label"] for mark in sent["marks"]] == ["cell"]
    assert sent["instances"]["found"] == [False] * 4 and sent["instances"]["boxes"] == [list(WHOLE)] * 4


def test_gates_travel_sorted():
    assert explorer([make_instances()]).cases[0]["gates"] == sorted(GATES)
    assert explorer([make_instances(gates=np.float32([1, 0.33333]), instances=())]).cases[0]["gates"] == [0.3333, 1]


def test_a_case_without_instances_and_gates_is_sent_as_it_was_before_there_were_any():
    keys = ["name", "alt", "notes", "classes", "probability", "logits", "truth", "scores", "image", "maps", "contours",
            "outlined", "outline", "marks", "twins", "report"]  # fmt: skip
    bare = make_instances(instances=(), gates=())
    for case in (bare, make_case(), make_volume()):
        assert list(explorer([case]).cases[0]) == keys
    with_them = explorer([make_instances()])
    assert list(with_them.cases[0]) == [*keys, "instances", "gates"]
    assert with_them.data.endswith(explorer([bare]).data)


def test_a_twin_has_its_own():
    widget = explorer([make_instance_twins()])
    twin = widget.cases[0]["twins"]["head 1"]
    assert twin["instances"]["boxes"] == [list(BOXES[1])] * 4 and twin["instances"]["found"] == [True] + [False] * 3
    assert twin["gates"] == pytest.approx(sorted(np.array(GATES) / 2)) and twin["marks"][0]["box"] == list(BOXES[1])
    assert (sent_crops(widget, twin)[0] == sent_crops(widget, widget.cases[0])[1]).all()


def test_the_instance_kept_is_let_go_by_another_case_and_by_a_twin_only():
    widget = explorer([make_instance_twins(), make_instances(instances=(), gates=())])
    widget.instance = 3
    widget.klass, widget.method = "niger", "semantic map"
    assert widget.instance == 3
    widget.twin = "head 1"
    assert widget.instance == -1
    widget.instance = 3
    widget.case = 1
    assert widget.instance == -1
    for wrong in (0, -2):
        with pytest.raises(SettingsError, match="explorer, instance"):
            widget.instance = wrong


def test_the_still_picture_draws_the_box_kept_thickly_and_its_words_say_what_was_found():
    widget = explorer([make_instances()])
    cyan = [(np.asarray(widget.still())[:, 72:] == (76, 201, 240)).all(axis=-1)]
    widget.instance = 1
    cyan.append((np.asarray(widget.still())[:, 72:] == (76, 201, 240)).all(axis=-1))
    more = cyan[1] & ~cyan[0]
    rows, columns = np.nonzero(more)
    x, y, w, h = 64 * np.array(BOXES[1])
    assert more.sum() > 2 * (w + h) and x - 2 <= columns.min() and columns.max() <= x + w + 2
    assert y - 2 <= rows.min() and rows.max() <= y + h + 2
    assert not more[int(y + 5) : int(y + h - 5), int(x + 5) : int(x + w - 5)].any()
    words = "3 of 4 instances found; gates of 5 channels from 0.000 to 0.900, median 0.250; left the picture"
    assert words in widget._repr_mimebundle_()[1]["image/jpeg"]["alt"]
    bare = explorer([make_case()])._repr_mimebundle_()[1]["image/jpeg"]["alt"]
    assert "instances" not in bare and "gates" not in bare


FIRST, *_ = make_instances().instances


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"instances": [(crop((9, 9, 9)),)]}, "instance 1.*its crop, its box"),
        ({"instances": [(crop((9, 9, 9))[:8], BOXES[0])]}, "instance 1.*\\(s, s\\) or \\(s, s, 3\\).*\\(8, 16, 3\\)"),
        ({"instances": [(crop((9, 9, 9)) / 255, BOXES[0])]}, "instance 1.*uint8"),
        ({"instances": [(np.zeros((0, 0), np.uint8), BOXES[0])]}, "instance 1.*uint8"),
        ({"instances": [(np.zeros((8, 8, 4), np.uint8), BOXES[0])]}, "instance 1.*\\(8, 8, 4\\)"),
        ({"instances": [FIRST, (crop((9, 9, 9), 8), BOXES[1])]}, "instance 2.*all of one size"),
        ({"instances": [(FIRST[0], (0.5, 0.5, 0.6, 0.2))]}, "instance 1.*within the picture"),
        ({"instances": [(FIRST[0], (-0.1, 0.5, 0.2, 0.2))]}, "instance 1.*within the picture"),
        ({"instances": [(FIRST[0], (0.5, 0.5, 0, 0.2))]}, "instance 1.*within the picture"),
        ({"instances": [(FIRST[0], (0.5, np.nan, 0.1, 0.2))]}, "instance 1.*within the picture"),
        ({"instances": [(FIRST[0], (0.5, 0.5, 0.1))]}, "instance 1.*x, y, w, h"),
        ({"instances": [(*FIRST[:2], "yes")]}, "instance 1.*True or False"),
        ({"instances": [(*FIRST[:2], True, None)]}, "instance 1.*words a text"),
        ({"instances": [(*FIRST[:2], False)]}, "instance 1.*whole picture"),
        ({"instances": [FIRST, (FIRST[0], BOXES[1], False)]}, "instance 2.*repeats the first"),
        ({"marks": [(*BOXES[0], "1", None)]}, "labels \\['1'\\]"),
        ({"gates": [0.5, 1.5]}, "gates must be"),
        ({"gates": [0.5, np.nan]}, "gates must be"),
        ({"gates": [[0.5], [0.2]]}, "gates must be"),
    ],
)
def test_instances_and_gates_that_do_not_fit_are_refused_naming_the_case(changes, message):
    with pytest.raises(SettingsError, match=f"case 1 'P012_03'.*{message}"):
        explorer([make_instances(), make_instances(**changes)])


def test_volumes_have_none_and_a_twin_has_as_many():
    for changes in ({"instances": [FIRST]}, {"gates": [0.5]}):
        with pytest.raises(SettingsError, match="the case is a volume"):
            explorer([make_volume(**changes)])
    twin = vars(make_instance_twins().twins["head 1"])
    for changes in ({"instances": ()}, {"gates": GATES[:3]}):
        with pytest.raises(SettingsError, match=r"twin without 'head 1'.*as many instances"):
            explorer([make_instance_twins(twins={"head 1": Case(**(twin | changes))})])


def test_rounding_does_not_make_a_box_wrong():
    box = np.float32([0.6, 0.7, 0.4, 0.3]) + np.float32(1e-5)
    repeated = (FIRST[0], box + np.float32(1e-4), False)
    sent = explorer([make_instances(instances=[(FIRST[0], box), repeated])]).cases[0]["instances"]
    assert sent["found"] == [True, False] and sent["boxes"][0] == sent["boxes"][1]
