"""Instances and gates in the explorer, in a browser: nothing found, twins, cases without, every width, everybody."""

import re

import numpy as np
import pytest
from drawn import CLIPPED, NARROW, WIDE
from explorer_cases import make_case
from instance_cases import BOXES, COLOURS, GATES, crop, make_instance_twins, make_instances, nothing_found
from instance_page import FRAME, colours, heights, lit, marked, point
from report_cases import make_report

from mdlib.widgets.explorer import explorer

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
