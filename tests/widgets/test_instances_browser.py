"""Instances and gates in the explorer, in a browser without a kernel: crop and box show one another, for everybody."""

import re

import numpy as np
import pytest
from drawn import CLIPPED, NARROW, WIDE
from explorer_cases import make_case
from instance_cases import BOXES, COLOURS, GATES, crop, make_instance_twins, make_instances, nothing_found
from report_cases import make_report

from mdlib.widgets.explorer import explorer

SIDE = 256  # pixels of the screen, and of the canvas
FRAME = f".mdx .mdx-frame {{ width: {SIDE}px }}"
CYAN = (76, 201, 240)

# Whether all of some pixels of a canvas are cyan, for each list of their places.
ALL_CYAN = """(canvas, [lists, cyan]) => {
  const context = canvas.getContext("2d");
  const near = ([x, y]) => context.getImageData(x, y, 1, 1).data.slice(0, 3).every((c, i) => Math.abs(c - cyan[i]) < 3);
  return lists.map((places) => places.every(near));
}"""

# The size and the colour in the middle of the picture of a crop, and how wide it is shown.
PICTURE = """button => {
  const image = button.querySelector("img");
  const canvas = Object.assign(document.createElement("canvas"), { width: 1, height: 1 });
  const context = canvas.getContext("2d");
  context.drawImage(image, image.naturalWidth / 2, image.naturalHeight / 2, 1, 1, 0, 0, 1, 1);
  return [image.naturalWidth, image.clientWidth, ...context.getImageData(0, 0, 1, 1).data].slice(0, 5);
}"""


def colours(view) -> list[tuple]:
    return [tuple(of.evaluate(PICTURE)[2:]) for of in view.crops.all()]


def inner_sides(box: tuple) -> list[tuple[int, int]]:
    """A place just inside each side of a box."""
    x, y, w, h = (SIDE * np.array(box)).astype(int).tolist()
    return [(x + 3, y + h // 2), (x + w - 4, y + h // 2), (x + w // 2, y + 3), (x + w // 2, y + h - 4)]


def lit(view, boxes=BOXES, nth: int = 0) -> list[int]:
    """The boxes, from 1, with a thick line inside all their sides."""
    found = view.films.nth(nth).evaluate(ALL_CYAN, [[inner_sides(box) for box in boxes], CYAN])
    return [i for i, is_lit in enumerate(found, 1) if is_lit]


def marked(view) -> list[int]:
    """The crops, from 1, that are shown as highlighted."""
    return [i for i, of in enumerate(view.crops.all(), 1) if "mdx-now" in of.get_attribute("class")]


def point(view, x: float, y: float) -> None:
    """The mouse to a place of the picture, in fractions of its sides."""
    view.root.locator(".mdx-frame").first.hover(position={"x": SIDE * x, "y": SIDE * y})


# Crops


def test_crops_stand_in_order_with_number_and_what_is_known_of_them(page):
    view = page(explorer([make_instances()]))
    assert colours(view) == [*COLOURS, COLOURS[0]]
    texts = [" ".join(text.split()) for text in view.crops.all_inner_texts()]
    assert texts == [f"Instance {i} found covers head {i}" for i in (1, 2, 3)] + ["Instance 4 repeats 1"]
    assert view.button("Instance 2 found covers head 2").is_visible()  # the name that a screen reader says
    assert "Picked by the network here: 1, 2, 3. Instances found: 3 of 4." in view.status()
    assert view.root.get_by_text("Instances as the network sees them, 16 × 16 pixels").is_visible()
    assert view.visit.faults == []


@pytest.mark.parametrize("side, viewport", [(16, WIDE), (16, NARROW), (300, WIDE), (400, NARROW)])
def test_no_crop_is_shown_smaller_than_its_pixels_and_no_page_wider_than_its_window(page, side, viewport):
    view = page(explorer([make_instances(instances=nothing_found(side))]), viewport=viewport)
    for of in view.crops.all():
        natural, shown = of.evaluate(PICTURE)[:2]
        assert natural == side and shown >= max(side, 96)
    assert view.page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]


def test_hovering_a_crop_highlights_its_box_and_leaving_lets_it_go(page):
    view = page(explorer([make_instances()]), css=FRAME, viewport=WIDE)
    assert lit(view) == marked(view) == []
    for i in (1, 2, 3):
        view.after(view.crops.nth(i - 1).hover)
        assert lit(view) == [i] and marked(view) == ([1, 4] if i == 1 else [i])
    view.after(lambda: view.page.mouse.move(0, 0))
    assert lit(view) == marked(view) == []


def test_one_that_repeats_the_first_highlights_the_first_box(page):
    view = page(explorer([make_instances()]), css=FRAME)
    view.after(view.crops.nth(3).hover)
    assert lit(view) == [1] and marked(view) == [1, 4]


def test_side_by_side_every_picture_shows_the_box(page):
    view = page(explorer([make_instances()]), css=".mdx .mdx-film, .mdx .mdx-frame { width: 256px }", viewport=WIDE)
    view.after(lambda: view.method.select_option("all"))
    assert [lit(view, nth=i) for i in range(2)] == [[], []]
    view.after(view.crops.nth(1).hover)
    assert [lit(view, nth=i) for i in range(2)] == [[2], [2]]


def test_the_box_is_highlighted_where_it_lies_in_a_zoomed_picture(page):
    view = page(explorer([make_instances()]), css=FRAME)
    view.after(view.button("Zoom in").click)
    view.after(view.crops.nth(2).hover)
    x, y, w, h = 1.5 * np.array(BOXES[2])
    zoomed = (x - 0.25, y - 0.25, w, h)
    assert lit(view, [BOXES[2], zoomed]) == [2]


# From the picture


def test_pointing_at_a_box_highlights_its_crop_the_smallest_where_boxes_overlap(page):
    view = page(explorer([make_instances()]), css=FRAME, viewport=WIDE)
    for place, boxes, crops in (((0.6, 0.2), [1], [1, 4]), ((0.45, 0.8), [2], [2]), ((0.25, 0.6), [3], [3]),
                                ((0.9, 0.9), [], [])):  # fmt: skip
        view.after(lambda place=place: point(view, *place))
        assert lit(view) == boxes and marked(view) == crops
    view.after(lambda: point(view, 0.6, 0.2))
    view.after(lambda: view.page.mouse.move(0, 0))
    assert lit(view) == marked(view) == []


def test_boxes_that_are_hidden_are_not_pointed_at_but_crops_still_show_theirs(page):
    view = page(explorer([make_instances()]), css=FRAME, viewport=WIDE)
    view.after(view.marks.uncheck)
    point(view, 0.6, 0.2)
    assert lit(view) == marked(view) == []
    view.after(view.crops.nth(1).hover)
    assert lit(view) == [2]


def test_the_crosshair_names_the_box_and_highlights_its_crop(page):
    view = page(explorer([make_instances()]), css=FRAME)
    view.stage.focus()
    for _ in range(4):
        view.after(lambda: view.page.keyboard.press("ArrowDown"))
    view.after(lambda: view.page.keyboard.press("ArrowLeft"))
    reading = view.root.locator("[data-part=reading]").inner_text()
    assert reading.startswith("47 % from the left, 63 % from the top:")
    assert reading.endswith(" In the box of instance 2.")
    assert lit(view) == marked(view) == [2]
    view.after(lambda: view.page.keyboard.press("Escape"))
    assert lit(view) == marked(view) == []
    for _ in range(3):
        view.after(lambda: view.page.keyboard.press("ArrowRight"))
    assert "instance" not in view.root.locator("[data-part=reading]").inner_text()


# By keyboard and touch


def test_crops_are_one_tab_stop_and_arrows_go_through_them(page):
    view = page(explorer([make_instances()]), css=FRAME)
    keys = view.page.keyboard
    view.press_until_focused(".mdx-crop", limit=30)
    assert lit(view) == [1]
    seen = []
    for key in ("ArrowRight", "ArrowDown", "ArrowRight", "ArrowLeft", "ArrowUp", "End", "Home"):
        view.after(lambda key=key: keys.press(key))
        seen.append((int(view.page.evaluate("document.activeElement.querySelector('b').textContent")), *lit(view)))
    assert seen == [(2, 2), (3, 3), (4, 1), (3, 3), (2, 2), (4, 1), (1, 1)]
    assert view.lines.locator("[tabindex='0']").count() == 1
    keys.press("ArrowLeft")  # there is none before the first
    assert lit(view) == [1]
    view.after(lambda: keys.press("Tab"))
    assert lit(view) == marked(view) == [] and view.visit.faults == []


def test_enter_keeps_a_box_highlighted_and_escape_lets_it_go(page):
    view = page(explorer([make_instances()]), css=FRAME)
    keys = view.page.keyboard
    view.press_until_focused(".mdx-crop", limit=30)
    view.after(lambda: keys.press("ArrowRight"))
    view.after(lambda: keys.press("Enter"))
    keys.press("Tab")
    assert lit(view) == marked(view) == [2]
    pressed = view.crops.evaluate_all("crops => crops.map((crop) => crop.getAttribute('aria-pressed'))")
    assert pressed == ["false", "true", "false", "false"]
    view.after(view.crops.nth(2).hover)
    assert lit(view) == [3]  # others are still shown in passing
    view.after(lambda: view.page.mouse.move(0, 0))
    assert lit(view) == [2]
    view.after(lambda: keys.press("Shift+Tab"))
    view.after(lambda: keys.press("Escape"))
    assert lit(view) == marked(view) == []


def test_a_tap_keeps_a_box_highlighted_and_a_second_one_lets_it_go(page):
    view = page(explorer([make_instances()]), css=FRAME, viewport=NARROW, has_touch=True)
    for boxes in ([3], []):
        view.after(view.crops.nth(2).tap)
        assert lit(view) == boxes


def test_a_box_kept_in_python_is_the_first_thing_seen(page):
    widget = explorer([make_instances()])
    widget.instance = 1
    assert lit(page(widget, css=FRAME)) == [2]


# Nothing found, gates, twins, and cases without


def test_where_nothing_is_found_the_crop_is_the_whole_picture_and_says_so(page):
    view = page(explorer([make_instances(instances=nothing_found())]), css=FRAME, viewport=WIDE)
    assert "No instance found: the whole picture is cropped." in view.status() and "Picked" not in view.status()
    texts = [" ".join(text.split()) for text in view.crops.all_inner_texts()]
    assert texts == ["Instance 1 nothing found: the whole picture"] + [f"Instance {i} repeats 1" for i in (2, 3, 4)]
    point(view, 0.5, 0.5)
    assert lit(view, [(0, 0, 1, 1)]) == marked(view) == []
    view.after(view.crops.nth(2).hover)
    assert lit(view, [(0, 0, 1, 1)]) == [1] and marked(view) == [1, 2, 3, 4]


def heights(view) -> list[float]:
    """The bars of the chart, from left to right, as shares of its height."""
    path = view.gates.locator("path").get_attribute("d")
    return [1 - float(top) for top in re.findall(r"V([\d.]+)H", path)]


def test_gates_are_bars_of_growing_height_with_their_numbers(page):
    view = page(explorer([make_instances()]))
    assert heights(view) == pytest.approx(sorted(GATES))
    words = view.root.locator(".mdx-gates p").all_inner_texts()
    assert words[0] == "Gates of 5 channels, sorted"
    assert words[1].split() == ["lowest", "0.000", "median", "0.250", "highest", "0.900"]
    label = "Gates of 5 channels, from 0.000 to 0.900: a quarter at most 0.125, half at most 0.250, three quarters at"
    assert view.gates.get_attribute("aria-label") == f"{label} most 0.500"


def test_quantiles_of_many_gates_are_those_of_numpy(page):
    gates = np.tanh(np.random.default_rng(0).gamma(1, 1, 512))
    view = page(explorer([make_instances(gates=gates, instances=())]))
    said = [float(number) for number in re.findall(r"\d\.\d+", view.gates.get_attribute("aria-label"))]
    assert said == pytest.approx(np.quantile(gates, [0, 1, 0.25, 0.5, 0.75]), abs=6e-4)
    assert len(heights(view)) == 512 and view.crops.count() == 0 and view.lines.count() == 0


def test_a_twin_has_its_own_crops_boxes_and_gates_and_lets_go_what_was_kept(page):
    view = page(explorer([make_instance_twins()]), css=FRAME, viewport=WIDE)
    view.after(view.crops.nth(0).click)
    view.page.mouse.move(0, 0)
    assert lit(view) == [1]
    _, said = view.after(view.twin.check)
    assert "P012_03 without head 1." in said and "Picked by the network here: 1. Instances found: 1 of 4." in said
    assert colours(view) == [COLOURS[1]] * 4 and heights(view) == pytest.approx(sorted(np.array(GATES) / 2))
    assert lit(view) == marked(view) == []
    view.after(view.crops.nth(3).hover)
    assert lit(view) == [2] and marked(view) == [1, 2, 3, 4]
    view.page.mouse.move(0, 0)
    view.after(view.twin.uncheck)
    assert colours(view) == [*COLOURS, COLOURS[0]] and heights(view) == pytest.approx(sorted(GATES))
    assert lit(view) == []


def test_another_case_keeps_no_highlight_of_the_last_by_keyboard_alone(page):
    view = page(explorer([make_instances(), make_instances(name="second")]), css=FRAME)
    view.stage.focus()
    for _ in range(4):
        view.after(lambda: view.page.keyboard.press("ArrowDown"))
    view.after(lambda: view.page.keyboard.press("ArrowLeft"))
    assert lit(view) == [2]
    view.button("Next case").focus()
    view.after(lambda: view.page.keyboard.press("Enter"))
    assert "second" in view.status() and lit(view) == marked(view) == []


def test_a_case_without_instances_shows_nothing_of_them_and_the_next_with_some_does(page):
    view = page(explorer([make_instances(instances=(), gates=()), make_instances()]))
    panel = view.root.locator(".mdx-instances")
    assert panel.is_hidden() and "nstance" not in view.status()
    view.after(view.button("Next case").click)
    assert panel.is_visible() and colours(view) == [*COLOURS, COLOURS[0]]
    view.after(view.button("Previous case").click)
    assert panel.is_hidden()
    for case in (make_case(), make_report()):
        assert page(explorer([case])).root.locator(".mdx-instances").is_hidden()


# For everybody, at every width


@pytest.mark.parametrize("scheme, viewport", [("light", WIDE), ("dark", NARROW)], ids=["light", "dark"])
def test_axe_finds_nothing_in_any_state_and_words_are_readable(page, scheme, viewport):
    from axe_playwright_python.sync_playwright import Axe

    widget = explorer([make_instance_twins(), make_instances(instances=nothing_found(400))], title="Instances")
    view = page(widget, color_scheme=scheme, viewport=viewport)
    assert Axe().run(view.page).violations_count == 0 and view.contrast() >= 4.5
    view.press_until_focused(".mdx-crop", limit=30)
    view.after(lambda: view.page.keyboard.press("Enter"))
    assert view.violations() == "" and view.contrast() >= 4.5
    view.after(view.twin.check)
    view.after(lambda: view.method.select_option("all"))
    assert view.violations() == "" and view.contrast() >= 4.5
    view.after(view.button("Next case").click)
    assert view.violations() == "" and view.contrast() >= 4.5


def test_no_word_is_clipped_at_any_width_and_nothing_moves_between_crops(page):
    long = (crop((9, 9, 9)), BOXES[0], True, "pneumonoultramicroscopicsilicovolcanoconiosis of the lung")
    view = page(explorer([make_instances(instances=[long, *make_instances().instances[1:]])]), viewport=WIDE)
    place = "root => [...root.querySelectorAll('canvas, input, button, select, svg')]"
    place += ".map((node) => { const { x, y, width } = node.getBoundingClientRect(); return [x, y, width]; })"
    for act in (lambda: None, lambda: view.after(lambda: view.method.select_option("all"))):
        act()
        for width in range(340, 1001, 60):
            view.page.set_viewport_size({"width": width, "height": 900})
            assert view.root.evaluate(CLIPPED) == [], width
            assert view.page.evaluate("document.documentElement.scrollWidth") <= width
        view.page.mouse.move(0, 0)
        view.crops.first.scroll_into_view_if_needed()
        where = view.root.evaluate(place)
        for i in range(4):
            view.after(lambda i=i: view.crops.nth(i).focus())
            assert view.root.evaluate(place) == where


def test_the_panel_is_below_the_picture_and_right_below_it_in_a_narrow_window(page):
    for viewport in (WIDE, NARROW):
        view = page(explorer([make_instances()]), viewport=viewport)
        panel = view.root.locator(".mdx-instances").bounding_box()
        above = view.root.locator(".mdx-look" if viewport == WIDE else ".mdx-stage").bounding_box()
        assert 0 < panel["y"] - above["y"] - above["height"] < 24
