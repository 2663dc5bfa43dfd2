"""The explorer: what it sends to the page, what it refuses, and what a browser makes of it without a kernel."""

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

from mdlib.errors import SettingsError
from mdlib.explain import overlay
from mdlib.widgets import standalone
from mdlib.widgets.explorer import Case, explorer

CLASSES = ("Mass", "Pleural_Thickening", "Edema")
RNG = np.random.default_rng(0)


def make_case(**changes) -> Case:
    """Three classes: the second is the most probable, the third has a map of no signal."""
    values = {
        "image": np.full((64, 64), 90, np.uint8),
        "classes": CLASSES,
        "probability": np.array([0.2, 0.7, 0.1]),
        "truth": np.array([1, 0, np.nan]),
        "maps": {"Grad-CAM": RNG.uniform(0, 1e-3, (3, 7, 7)), "attention": RNG.uniform(0, 1, (1, 4, 4))},
        "signal": {"Grad-CAM": np.array([True, True, False])},
        "contours": {"Mass": [np.array([[0.2, 0.2], [0.6, 0.2], [0.6, 0.6], [0.2, 0.2]])]},
        "name": "phantom 7",
        "alt": "chest X-ray",
    }
    return Case(**(values | changes))


# What is sent


def test_maps_travel_as_the_bytes_of_stretch():
    case = make_case()
    widget = explorer([case])
    sent = widget.cases[0]["maps"]["Grad-CAM"]
    values = np.frombuffer(widget.data, np.uint8, count=3 * 49, offset=sent["at"]).reshape(3, 7, 7)
    assert (values == overlay.stretch(case.maps["Grad-CAM"], [True, True, False])).all()
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


def test_a_large_picture_is_sent_no_larger_than_can_be_shown():
    sent = explorer([make_case(image=RNG.integers(0, 255, (800, 1024, 3), dtype=np.uint8))]).cases[0]["image"]
    assert (sent["width"], sent["height"]) == (512, 400)


def test_methods_are_offered_in_the_order_asked_for():
    widget = explorer([make_case()], methods=("attention", "Grad-CAM"))
    assert widget.methods == ["attention", "Grad-CAM"] and widget.method == "attention"


def test_a_choice_that_does_not_exist_is_refused():
    widget = explorer([make_case()])
    for name, value in {"case": 1, "klass": "Fracture", "method": "LIME"}.items():
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


def test_a_colour_picture_keeps_its_colours_where_the_map_is_zero():
    image = RNG.integers(0, 255, (64, 64, 3), dtype=np.uint8)
    maps = np.zeros((1, 64, 64))
    maps[0, :32] = 1
    still = np.asarray(explorer([make_case(image=image, maps={"m": maps}, signal={}, contours={})]).still(), int)
    assert (still[40:, :64] == still[40:, 72:]).all() and (still[:24, :64] != still[:24, 72:]).any()


# In a browser, as a saved page: no kernel


@pytest.fixture(scope="module")
def browser(chromium):
    from browser import launch

    with launch(chromium) as browser:
        yield browser


@pytest.fixture
def page(browser, tmp_path):
    """Opens a saved page with one explorer, by file://."""
    from contextlib import ExitStack

    from browser import open_page
    from explorer_page import ExplorerPage

    with ExitStack() as stack:

        def saved(widget, css="", **options):
            text = standalone.page(widget, "One explorer", f"<style>{css}</style>")
            (tmp_path / "page.html").write_text(text, encoding="utf-8")
            return ExplorerPage(stack.enter_context(open_page(browser, f"file://{tmp_path}/page.html", **options)))

        yield saved


def canvas_pixels(view) -> np.ndarray:
    script = """canvas => {
      const { width, height } = canvas;
      return [height, width, [...canvas.getContext("2d").getImageData(0, 0, width, height).data]];
    }"""
    height, width, values = view.root.locator("canvas").evaluate(script)
    return np.array(values).reshape(height, width, 4)[..., :3]


ONE_TO_ONE = ".mdx .mdx-stage canvas { width: 64px }"


def test_the_browser_draws_what_overlay_blends(page):
    case = make_case()
    view = page(explorer([case]), css=ONE_TO_ONE)
    view.after(lambda: view.opacity.fill("0.75"))
    expected = overlay.blend(case.image, overlay.stretch(case.maps["Grad-CAM"][1]), 0.75)
    assert abs(canvas_pixels(view) - expected.astype(int)).max() <= 3
    assert view.visit.faults == []


def test_a_map_without_signal_is_announced_and_not_drawn(page):
    view = page(explorer([make_case()]), css=ONE_TO_ONE)
    _, said = view.after(lambda: view.classes.nth(3).check())
    assert "Edema: probability 0.10, truth unknown" in said and "no signal, so nothing is drawn" in said
    assert view.root.get_by_text("This map carries no signal.", exact=True).is_visible()
    assert abs(canvas_pixels(view) - 90).max() <= 2


def test_a_map_of_negative_values_is_told_from_one_without_signal(page):
    case = make_case(maps={"m": -np.ones((3, 5, 5))}, signal={"m": np.array([True, True, False])})
    view = page(explorer([case]), css=ONE_TO_ONE)
    words = "othing speaks for this class here: all values are 0 or below"
    assert f"m: n{words}, so nothing is drawn." in view.status() and "signal" not in view.status()
    assert view.root.get_by_text(f"N{words}.", exact=True).is_visible()
    assert abs(canvas_pixels(view) - 90).max() <= 2
    _, said = view.after(lambda: view.classes.nth(3).check())
    assert "m: this map carries no signal, so nothing is drawn." in said and "speaks" not in said


def test_a_class_chosen_stays_over_cases_and_else_the_most_probable_is_shown(page):
    other = make_case(probability=np.array([0.9, 0.1, 0.1]), name="phantom 8")
    view = page(explorer([make_case(), other]))
    assert "Pleural_Thickening: probability 0.70, truth absent" in view.status()
    assert "phantom 8. Mass: probability 0.90" in view.after(lambda: view.case.select_option("1"))[1]
    view.after(lambda: view.classes.nth(2).check())
    back = view.root.get_by_role("button", name="Previous case")
    assert "phantom 7. Pleural_Thickening" in view.after(back.click)[1]


def test_everything_is_reached_and_moved_by_keyboard_alone(page):
    view = page(explorer([make_case(), make_case(name="phantom 8")]))
    keys = view.page.keyboard
    seen = [view.seen()]
    for selector, key in [("[type=range]", "ArrowRight"), ("[type=checkbox]", "Space"), ("select", "ArrowDown"),
                          ("button:not([disabled])", "Enter"), ("select", "ArrowDown"), ("[type=radio]", "ArrowDown"),
                          ]:  # fmt: skip
        view.press_until_focused(selector)
        seen.append(view.after(lambda key=key: keys.press(key)))
    assert view.opacity.input_value() == "0.65" and view.contour.is_checked()
    assert len({said for _, said in seen}) >= 4


def test_words_are_readable_in_light_and_dark_without_any_theme(page):
    for scheme in ("light", "dark"):
        assert page(explorer([make_case()]), color_scheme=scheme).contrast() >= 4.5
