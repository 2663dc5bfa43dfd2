"""Instances in the explorer, in a browser without a kernel: crop and box show one another, by mouse, key and touch."""

import numpy as np
import pytest
from drawn import NARROW, WIDE
from instance_cases import BOXES, COLOURS, make_instances, nothing_found
from instance_page import FRAME, PICTURE, colours, lit, marked, point

from mdlib.widgets.explorer import explorer

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
