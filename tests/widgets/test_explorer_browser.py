"""The explorer in a browser, as a saved page without a kernel: what is drawn, said, read, reached and saved."""

import io
import re

import numpy as np
import pytest
from drawn import CLIPPED, NARROW, ONE_TO_ONE, WIDE, pixels
from explorer_cases import make_case, make_twins, make_volume, make_volume_twins
from PIL import Image

from mdlib.data.chestxray14 import CLASSES as CHEST
from mdlib.explain import overlay
from mdlib.widgets.explorer import explorer


def side_by_side(view) -> None:
    view.after(lambda: view.method.select_option("all"))


def saved_picture(view) -> tuple[str, np.ndarray]:
    """The name and the pixels of what "Save as PNG" gives."""
    with view.page.expect_download() as download:
        view.button("Save as PNG").click()
    picture = Image.open(io.BytesIO(download.value.path().read_bytes()))
    assert picture.format == "PNG"
    return download.value.suggested_filename, np.asarray(picture.convert("RGB"), int)


# What is drawn


@pytest.mark.parametrize("threshold", [0, 0.5])
def test_the_browser_draws_what_overlay_blends(page, threshold):
    case = make_case()
    view = page(explorer([case]), css=ONE_TO_ONE)
    view.after(lambda: view.opacity.fill("0.75"))
    if threshold:
        view.after(lambda: view.threshold.fill(str(threshold)))
    heat = np.rint(overlay.upsample(overlay.normalize(case.maps["Grad-CAM"][1]), (64, 64))).astype(np.uint8)
    expected = overlay.blend(case.image, np.where(heat < 255 * threshold, 0, heat), 0.75)
    wrong = abs(pixels(view) - expected.astype(int)).max(axis=-1) > 3
    assert wrong.mean() < 0.002  # a value just at the threshold may fall to either side
    assert view.visit.faults == []


def test_side_by_side_each_method_looks_as_it_does_alone(page):
    view = page(explorer([make_case()]), css=ONE_TO_ONE)
    alone = []
    for i in range(2):
        view.choose(view.method, i)
        alone.append(pixels(view))
    side_by_side(view)
    assert view.films.count() == 2 and "2 methods side by side" in view.status()
    for i in range(2):
        assert (pixels(view, i) == alone[i]).all()


def test_a_map_without_signal_is_announced_and_not_drawn(page):
    view = page(explorer([make_case()]), css=ONE_TO_ONE)
    _, said = view.after(view.klass("Edema").check)
    assert "Edema: probability 0.10, truth unknown" in said and "no signal, so nothing is drawn" in said
    assert view.root.get_by_text("This map carries no signal.", exact=True).is_visible()
    assert abs(pixels(view) - 90).max() <= 2


def test_a_map_of_negative_values_is_told_from_one_without_signal(page):
    case = make_case(maps={"m": -np.ones((3, 5, 5))}, signal={"m": np.array([True, True, False])})
    view = page(explorer([case]), css=ONE_TO_ONE)
    words = "othing speaks for this class here: all values are 0 or below"
    assert f"m: n{words}, so nothing is drawn." in view.status() and "signal" not in view.status()
    assert view.root.get_by_text(f"N{words}.", exact=True).is_visible()
    assert abs(pixels(view) - 90).max() <= 2
    _, said = view.after(view.klass("Edema").check)
    assert "m: this map carries no signal, so nothing is drawn." in said and "speaks" not in said


def test_an_empty_map_stays_empty_side_by_side_under_a_threshold_in_the_twin_and_in_what_is_saved(page):
    view = page(explorer([make_twins()]), css=ONE_TO_ONE)
    view.after(view.klass("Mass").check)
    view.after(view.twin.check)
    view.after(lambda: view.threshold.fill("0.05"))
    side_by_side(view)
    assert "Grad-CAM: this map carries no signal, so nothing is drawn." in view.status()
    assert abs(pixels(view, 0) - 60).max() <= 2 < abs(pixels(view, 1) - 60).max()
    assert view.values.all_inner_texts()[0] == "nothing drawn"
    view.stage.focus()
    view.after(lambda: view.page.keyboard.press("ArrowLeft"))
    assert view.values.all_inner_texts()[0] == "nothing drawn"
    assert "Grad-CAM this map carries no signal; attention" in view.root.locator("[data-part=reading]").inner_text()
    _, picture = saved_picture(view)
    top = picture[: picture.shape[0] // 3]
    assert (abs(top - 60).max(axis=-1) <= 2).sum() >= 64 * 60  # the bare film is in it


# The classes


def test_classes_are_listed_by_probability_each_with_its_truth(page):
    view = page(explorer([make_case()]))
    rows = [" ".join(text.split()) for text in view.root.locator(".mdx-class").all_inner_texts()]
    assert rows == ["Most probable: Pleural Thickening", "Pleural Thickening probability 0.70 , truth absent",
                    "Mass probability 0.20 , truth present", "Edema probability 0.10 , truth unknown"]  # fmt: skip


def test_a_class_chosen_stays_over_cases_and_else_the_most_probable_is_shown(page):
    other = make_case(probability=np.array([0.9, 0.1, 0.1]), name="phantom 8")
    view = page(explorer([make_case(), other]))
    assert "Case 2 of 2, phantom 8. Mass: probability 0.90, truth present" in view.status()
    said = view.after(view.button("Previous case").click)[1]
    assert "phantom 7. Pleural Thickening: probability 0.70, truth absent" in said
    view.after(view.button("Next case").click)
    view.after(view.klass("Pleural Thickening").check)
    assert "phantom 7. Pleural Thickening" in view.after(view.button("Previous case").click)[1]


# The value under the pointer


def reading(text: str) -> tuple[float, float]:
    value, share = re.fullmatch(r"(\S+) here, (\d+) % of \S+", text).groups()
    return float(value), float(share)


def test_the_pointer_reads_the_interpolated_value_and_its_share_of_the_maximum_in_every_method(page):
    case = make_case()
    view = page(explorer([case]), css=ONE_TO_ONE)
    side_by_side(view)
    box = view.root.locator(".mdx-frame").nth(1).bounding_box()
    view.page.mouse.move(box["x"] + 16.5, box["y"] + 40.5)
    for text, maps in zip(view.values.all_inner_texts(), case.maps.values(), strict=True):
        values = maps[min(1, len(maps) - 1)]  # Pleural Thickening, or the one map of all
        expected = overlay.upsample(values, (64, 64))[40, 16]
        value, share = reading(text)
        assert value == pytest.approx(expected, rel=0.06)  # two digits, of bytes
        assert share == pytest.approx(100 * expected / values.max(), abs=1)
    view.page.mouse.move(0, 0)
    assert all(text.startswith("maximum") for text in view.values.all_inner_texts())


def test_arrows_move_a_crosshair_and_its_value_is_spoken_while_the_mouse_is_silent(page):
    case = make_case()
    view = page(explorer([case]), css=ONE_TO_ONE)
    spoken = view.root.locator("[data-part=reading]")
    view.root.locator(".mdx-frame").hover()
    assert spoken.inner_text() == "" and "here" in view.values.first.inner_text()
    view.page.mouse.move(0, 0)
    view.stage.focus()
    for key in ("ArrowRight", "ArrowDown", "ArrowDown"):
        view.after(lambda key=key: view.page.keyboard.press(key))
    words = r"53 % from the left, 56 % from the top: Grad-CAM (\S+), (\d+) % of its maximum\."
    value, share = map(float, re.fullmatch(words, spoken.inner_text()).groups())
    row, column = round(0.5625 * 64 - 0.5), round(0.53125 * 64 - 0.5)
    near = overlay.upsample(case.maps["Grad-CAM"][1], (64, 64))[row - 1 : row + 2, column - 1 : column + 2]
    assert 0.97 * near.min() <= value <= 1.03 * near.max()
    assert share == pytest.approx(100 * value / case.maps["Grad-CAM"][1].max(), abs=2)
    view.after(lambda: view.page.keyboard.press("Escape"))
    assert view.values.first.inner_text().startswith("maximum")


# Zoom


def test_zoom_shows_the_part_around_the_crosshair_larger_in_every_method_and_goes_back(page):
    values = np.linspace(0, 1, 64 * 64).reshape(1, 64, 64)
    view = page(explorer([make_case(maps={"a": values, "b": values[:, ::-1]}, signal={})]), css=ONE_TO_ONE)
    side_by_side(view)
    whole = [pixels(view, i) for i in range(2)]
    view.stage.focus()
    for _ in range(16):  # to the left edge
        view.page.keyboard.press("ArrowLeft")
    value = reading(view.values.first.inner_text())
    view.after(lambda: view.page.keyboard.press("+"))
    view.after(lambda: view.page.keyboard.press("+"))
    assert "Zoom 2.3" in view.status() and reading(view.values.first.inner_text()) == value
    for i in range(2):
        part = Image.fromarray(whole[i].astype(np.uint8))
        low = 32 - 64 / 2.25 / 2
        box = (0, low, 64 / 2.25, low + 64 / 2.25)
        expected = np.asarray(part.resize((64, 64), Image.Resampling.BILINEAR, box=box), int)
        assert abs(pixels(view, i) - expected)[2:-2, 2:-2].max() <= 6
    view.after(view.button("Reset").click)
    assert (pixels(view, 0) == whole[0]).all() and "Zoom" not in view.status()


def test_a_zoomed_picture_is_dragged_and_never_past_its_edge(page):
    values = np.linspace(0, 1, 64 * 64).reshape(1, 64, 64)
    view = page(explorer([make_case(maps={"a": values}, signal={})]), css=ONE_TO_ONE)
    view.after(view.button("Zoom in").click)
    before, box = pixels(view), view.root.locator(".mdx-frame").bounding_box()
    mouse = view.page.mouse
    mouse.move(box["x"] + 32, box["y"] + 32)
    mouse.down()
    view.after(lambda: mouse.move(box["x"] + 32, box["y"] + 42))
    assert abs(pixels(view)[10:] - before[:-10])[1:].max() <= 6  # ten pixels down
    view.after(lambda: mouse.move(box["x"] + 32, box["y"] + 500))
    edge = pixels(view)
    view.after(lambda: mouse.move(box["x"] + 32, box["y"] + 800))
    assert (pixels(view) == edge).all()


def test_the_wheel_scrolls_the_page_until_the_picture_has_the_focus(page):
    view = page(explorer([make_case()]), viewport={"width": 1000, "height": 400})
    view.root.locator(".mdx-frame").hover()
    view.page.mouse.wheel(0, -100)
    view.page.wait_for_timeout(100)
    assert "Zoom" not in view.status()
    view.stage.focus()
    assert "Zoom 1.5" in view.after(lambda: view.page.mouse.wheel(0, -100))[1]


# Twins


def test_without_the_finding_picture_numbers_and_maps_change_together_and_come_back(page):
    case = make_twins()
    view = page(explorer([case]), css=ONE_TO_ONE)
    before = view.after(view.klass("Pleural Thickening").check)
    _, said = view.after(view.twin.check)
    twin = case.twins["Mass"]
    expected = overlay.blend(twin.image, overlay.normalize(twin.maps["Grad-CAM"][1]))
    assert abs(pixels(view) - expected.astype(int)).max() <= 3
    assert "phantom 7 without Mass. Pleural Thickening: probability 0.60, truth absent." in said
    assert ("Mass in the picture raises the logit of Pleural Thickening by 0.44, from 0.41 to 0.85 "
            "(probability 0.60 to 0.70).") in said  # fmt: skip
    assert "leaves the logit of Edema as it is" in view.after(view.klass("Edema").check)[1]
    assert view.root.locator(".mdx-badge").inner_text() == "without Mass"
    view.after(view.klass("Pleural Thickening").check)
    assert view.after(view.twin.uncheck) == before


def test_what_is_taken_away_need_not_be_a_class(page):
    view = page(explorer([make_twins(twins={"a wire": make_twins().twins["Mass"]})]))
    assert "What if a wire were not there?" in view.twin.locator("..").inner_text()
    assert "without a wire" in view.after(view.twin.check)[1]


def test_the_toggle_offers_the_class_shown_else_the_likeliest_finding_else_nothing(page):
    twin = make_twins().twins["Mass"]
    both = make_twins(twins={"Mass": twin, "Edema": twin})
    view = page(explorer([both, make_case()]))
    label = view.root.locator("[data-part=twinWords]")
    assert label.inner_text() == "What if Mass were not there?"  # shown is Pleural Thickening, which is not there
    view.after(view.klass("Edema").check)
    assert label.inner_text() == "What if Edema were not there?"
    view.after(view.twin.check)
    _, said = view.after(view.klass("Mass").check)
    assert "without Edema" in said and label.inner_text() == "What if Edema were not there?"
    _, said = view.after(view.button("Next case").click)
    assert "without" not in said and label.inner_text() == "No finding here to take away"
    assert view.root.locator("[data-part=twin]").is_disabled()


# Outlines


def test_an_outline_is_called_what_it_is(page):
    for words in ("cause", "radiologist's box"):
        view = page(explorer([make_case(outline=words)]))
        view.after(view.klass("Mass").check)
        view.after(view.root.get_by_label(f"Outline: {words}").check)
        assert f"The white outline is the {words}." in view.status()
        assert "No outline is known for Edema" in view.after(view.klass("Edema").check)[1]


# What is saved


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_saved_picture_holds_what_is_seen_above_its_caption(page, scheme):
    view = page(explorer([make_twins(name="a/b: 7")]), color_scheme=scheme)
    view.after(view.klass("Mass").check)
    view.after(view.contour.check)
    name, picture = saved_picture(view)
    assert name == "a_b_7-Mass-Grad-CAM.png"
    seen = pixels(view)
    height, width = seen.shape[:2]
    left = (picture.shape[1] - width) // 2
    assert (picture[left : left + height, left : left + width] == seen).all()
    caption = picture[left + height :]
    assert (caption == 255).mean() > 0.6 and (caption < 100).any(axis=(1, 2)).sum() > 20  # rows of dark words on white
    view.after(view.twin.check)
    assert saved_picture(view)[0] == "a_b_7-Mass-without_Mass-Grad-CAM.png"


# For everybody


def test_everything_is_reached_and_moved_by_keyboard_alone(page):
    widget = explorer([make_twins(name="phantom 8"), make_twins(), make_twins(name="phantom 9")])
    widget.klass = ""
    view = page(widget)
    keys = view.page.keyboard

    def press(selector, *names):
        view.press_until_focused(selector, limit=40)
        return [view.after(lambda name=name: keys.press(name)) for name in names][-1]

    assert "phantom 7" in press("[data-part=next]", "Enter")[1]
    assert "attention" in press("[data-part=method]", "ArrowDown")[1]
    assert "side by side" in press("[data-part=method]", "ArrowDown")[1]
    assert "without Mass" in press("[data-part=twin]", "Space")[1]
    # the group's tab stop is the row that is checked, "most probable"; down leads by probability
    assert "Pleural Thickening" in press("[type=radio]", "ArrowDown")[1]
    assert "Mass: probability 0.05" in press("[type=radio]", "ArrowDown")[1]
    press(".mdx-stage", "ArrowRight", "ArrowDown")
    assert "here" in view.values.last.inner_text()
    assert "Zoom 1.5" in press(".mdx-stage", "+")[1]
    press("[data-part=opacity]", "ArrowRight")
    assert "Values below 10 %" in press("[data-part=threshold]", "ArrowRight", "ArrowRight")[1]
    assert "Zoom 2.3" in press("[data-part=closer]", "Enter")[1]
    assert "Zoom" not in press("[data-part=whole]", "Enter")[1]
    assert "white outline" in press("[data-part=contour]", "Space")[1]
    view.press_until_focused("[data-part=save]", limit=40)
    with view.page.expect_download() as download:
        keys.press("Enter")
    assert download.value.suggested_filename == "phantom_7-Mass-without_Mass-all_methods.png"
    assert "phantom 9" in press("[data-part=case]", "ArrowDown")[1]
    assert view.opacity.input_value() == "0.65" and view.visit.faults == []


@pytest.mark.parametrize("scheme, viewport", [("light", WIDE), ("dark", NARROW)], ids=["light", "dark"])
def test_axe_finds_nothing_in_any_state_and_words_are_readable(page, scheme, viewport):
    from axe_playwright_python.sync_playwright import Axe

    view = page(explorer([make_twins(notes="a note"), make_case(name="phantom 8")], title="Maps"),
                color_scheme=scheme, viewport=viewport)  # fmt: skip
    assert Axe().run(view.page).violations_count == 0  # the whole page
    assert view.klass("Mass").is_checked()
    view.after(view.twin.check)
    side_by_side(view)
    view.stage.focus()
    view.after(lambda: view.page.keyboard.press("ArrowLeft"))
    assert view.violations() == "" and view.contrast() >= 4.5
    view.after(view.button("Next case").click)
    assert view.violations() == "" and view.contrast() >= 4.5


def chest_case(**changes):
    """A case of the 15 classes."""
    return make_twins(classes=CHEST, probability=np.linspace(0.9, 0, 15), logits=np.linspace(2, -3, 15),
                      truth=np.zeros(15), maps={f"Grad-CAM {i}": np.eye(15)[:, None] for i in range(5)},
                      signal={}, contours={}, twins={}, **changes)  # fmt: skip


def test_no_word_is_broken_or_clipped_at_any_width(page):
    view = page(explorer([chest_case()]), viewport=WIDE)
    for act in (lambda: view.classes.nth(3).check(), lambda: view.method.select_option("all")):
        view.after(act)
        for width in range(340, 1001, 20):
            view.page.set_viewport_size({"width": width, "height": 800})
            assert view.root.evaluate(CLIPPED) == [], width
            assert view.page.evaluate("document.documentElement.scrollWidth") <= width


def test_nothing_moves_while_reading_choosing_and_toggling(page):
    view = page(explorer([make_twins()]), viewport=WIDE)
    place = "root => [...root.querySelectorAll('*')].filter((node) => node.matches('canvas, input, button, select'))"
    place += ".map((node) => { const { x, y, width } = node.getBoundingClientRect(); return [x, y, width]; })"
    where = view.root.evaluate(place)
    view.root.locator(".mdx-frame").hover()
    assert view.root.evaluate(place) == where
    for act in (view.klass("Edema").check, view.twin.check, view.button("Zoom in").click,
                lambda: view.threshold.fill("0.5")):  # fmt: skip
        view.after(act)
        assert view.root.evaluate(place) == where


# Volumes


def slice_seen(view) -> int:
    """The slice drawn, told by its grey where maps are clear: `make_volume` gives each its own."""
    grey = pixels(view)[0, 0, 0]
    number = (grey - 60) / 5
    assert abs(number - round(number)) <= 0.4
    return round(number)


def volumes(page, widget, **options):
    """A page with the maps taken away, so that the pictures alone are seen."""
    view = page(widget, css=ONE_TO_ONE, **options)
    view.after(lambda: view.opacity.fill("0"))
    return view


def test_a_volume_starts_at_its_most_suspicious_slice_and_so_does_the_next_case(page):
    view = volumes(page, explorer([make_volume(), make_volume(highest=3, name="volume 8")]))
    assert slice_seen(view) == 7 and "volume 7. Slice 8 of 12, score 0.83." in view.status()
    view.after(lambda: view.slice.fill("2"))
    assert slice_seen(view) == 1 and "Slice 2 of 12, score 0.04." in view.status()
    view.after(view.button("Next case").click)
    assert slice_seen(view) == 3 and "volume 8. Slice 4 of 12, score 0.83." in view.status()
    view.after(view.button("Previous case").click)
    assert slice_seen(view) == 7


def test_a_slice_chosen_in_python_is_the_first_one_seen(page):
    widget = explorer([make_volume()])
    widget.slice = 10
    assert slice_seen(volumes(page, widget)) == 10


def test_the_slider_goes_through_the_slices_by_keyboard_and_says_where_it_is(page):
    view = volumes(page, explorer([make_volume()]))
    view.press_until_focused("[data-part=slice]", limit=40)
    told = []
    for key in ("ArrowRight", "ArrowLeft", "ArrowLeft", "Home", "End"):
        view.after(lambda key=key: view.page.keyboard.press(key))
        told.append((slice_seen(view), view.slice.get_attribute("aria-valuetext")))
    score = 0.83 * np.exp(-abs(np.arange(12) - 7) / 2)
    assert told == [(s, f"slice {s + 1} of 12, score {score[s]:.2f}") for s in (8, 7, 6, 0, 11)]
    view.press_until_focused("[data-part=suspicious]")
    view.after(lambda: view.page.keyboard.press("Enter"))
    assert slice_seen(view) == 7 and view.visit.faults == []


def test_the_strip_is_as_high_as_the_scores_and_a_click_or_drag_chooses_a_slice(page):
    view = volumes(page, explorer([make_volume()]), device_scale_factor=2)
    bars = view.strip.locator("span")
    box = view.strip.bounding_box()
    shot = np.asarray(Image.open(io.BytesIO(view.page.screenshot())).convert("L"), int)
    scores = 0.83 * np.exp(-abs(np.arange(12) - 7) / 2)
    for s, bar in enumerate(bar.bounding_box() for bar in bars.all()):
        top, bottom, middle = bar["y"], bar["y"] + bar["height"], bar["x"] + bar["width"] / 2
        column = shot[round(2 * top) : round(2 * bottom), round(2 * middle)]
        assert (column < 200).mean() == pytest.approx(scores[s], abs=0.05)
    mouse = view.page.mouse
    mouse.move(box["x"] + box["width"] * 2.5 / 12, box["y"] + 5)
    view.after(mouse.down)
    assert slice_seen(view) == 2 and view.slice.input_value() == "3"
    view.after(lambda: mouse.move(box["x"] + box["width"] * 9.5 / 12, box["y"] + 200))
    assert slice_seen(view) == 9
    view.after(lambda: mouse.move(box["x"] - 50, box["y"] + 5))
    assert slice_seen(view) == 0
    mouse.up()
    mouse.move(box["x"] + box["width"] / 2, box["y"] + 5)
    view.page.wait_for_timeout(100)
    assert slice_seen(view) == 0
    assert bars.evaluate_all("bars => bars.map((bar) => bar.matches('.mdx-now'))") == [True] + [False] * 11


def test_the_strip_tells_in_signs_and_words_which_slices_are_outlined_and_picked(page):
    view = page(explorer([make_volume(outline="cause")]))
    view.after(view.klass("Mass").check)
    signs = "bars => bars.map((bar) => ['outlined', 'picked'].map((sign) => bar.matches('.mdx-' + sign)))"
    seen = view.strip.locator("span").evaluate_all(signs)
    assert [s for s, (outlined, _) in enumerate(seen) if outlined] == [6, 7, 8]
    assert [s for s, (_, picked) in enumerate(seen) if picked] == [6, 7, 8]
    assert view.strip.get_attribute("aria-label") == (
        "Score of each of 12 slices: highest 0.83 in slice 8; above 0.50 in slices 7 to 9; "
        "cause outlined in slices 7 to 9; the network picked in slices 7 to 9")  # fmt: skip
    view.after(view.klass("Edema").check)
    assert view.strip.get_attribute("aria-label").endswith("the network picked in slice 8")
    assert view.root.get_by_text("outline: cause", exact=True).is_visible()


def test_a_single_picture_and_a_volume_of_one_slice_have_neither_strip_nor_slider(page):
    one = make_volume(1, highest=0, contours={}, marks=(), name="eye 9")
    view = page(explorer([make_case(), one, make_volume()]))
    for hidden in (True, True, False):
        assert view.strip.is_hidden() == hidden == view.slice.is_hidden()
        assert ("Slice" in view.status()) != hidden
        if hidden:
            view.after(view.button("Next case").click)


def test_maps_of_all_slices_are_drawn_against_one_maximum_and_read_as_raw_values(page):
    case = make_volume()
    view = page(explorer([case]), css=ONE_TO_ONE)
    view.after(view.klass("Mass").check)
    if view.marks.is_checked():
        view.after(view.marks.uncheck)
    values = case.maps["Grad-CAM"][:, 0]
    for s in (7, 4):
        view.after(lambda s=s: view.slice.fill(str(s + 1)))
        heat = np.rint(255 * overlay.upsample(values[s], (32, 64)) / values.max()).astype(np.uint8)
        assert abs(pixels(view) - overlay.blend(case.image[s], heat).astype(int)).max() <= 4
    tops = re.fullmatch(r"maximum (\S+), of all slices (\S+)", view.values.first.inner_text()).groups()
    assert [float(top) for top in tops] == pytest.approx([values[4].max(), values.max()], rel=0.06)
    view.root.locator(".mdx-frame").hover(position={"x": 40.5, "y": 12.5})
    value, share = reading(view.values.first.inner_text())
    expected = overlay.upsample(values[4], (32, 64))[12, 40]
    assert value == pytest.approx(expected, rel=0.06, abs=values.max() / 255)
    assert share == pytest.approx(100 * expected / values.max(), abs=1)


def test_side_by_side_every_method_shows_the_slice_chosen(page):
    view = page(explorer([make_volume()]), css=ONE_TO_ONE)
    view.after(lambda: view.slice.fill("10"))
    alone = []
    for i in range(2):
        view.choose(view.method, i)
        alone.append(pixels(view))
    side_by_side(view)
    assert all((pixels(view, i) == alone[i]).all() for i in range(2)) and "Slice 10 of 12" in view.status()
    view.after(lambda: view.slice.fill("1"))
    assert not any((pixels(view, i) == alone[i]).all() for i in range(2))


def test_outlines_and_picks_are_drawn_only_in_their_slice_and_for_their_class(page):
    view = volumes(page, explorer([make_volume()]))
    bare = view.after(view.marks.uncheck)
    assert bare != view.after(view.marks.check)
    assert "Picked by the network here: 2." in view.status()
    assert "here: 1, 2." in view.after(view.klass("Mass").check)[1]
    cyan = (np.diff(pixels(view)[..., [0, 2]]) > 60).mean()  # far more blue than red
    view.after(view.contour.check)
    white = (pixels(view) == 255).all(axis=-1).mean()
    assert cyan > 0.005 and white > 0.003
    _, said = view.after(lambda: view.slice.fill("2"))
    assert "Picked" not in said and "No outline is known for Mass here." in said
    assert abs(pixels(view) - 65).max() <= 2
    assert saved_picture(view)[0] == "volume_7-slice_2-Mass-Grad-CAM.png"


def test_a_twin_stays_at_the_slice_and_brings_its_own_scores(page):
    view = volumes(page, explorer([make_volume_twins()]))
    heights = "bars => bars.map((bar) => parseFloat(bar.style.getPropertyValue('--score')))"
    _, said = view.after(view.twin.check)
    assert "volume 7 without Mass. Slice 8 of 12, score 0.16." in said
    assert abs(pixels(view) - 30).max() <= 2
    assert view.strip.locator("span").evaluate_all(heights) == pytest.approx(np.linspace(10, 20, 12), abs=0.01)
    view.after(lambda: view.slice.fill("1"))
    assert "Slice 1 of 12, score 0.83" not in view.after(view.twin.uncheck)[1] and slice_seen(view) == 0


@pytest.mark.parametrize("scheme, viewport", [("light", WIDE), ("dark", NARROW)], ids=["light", "dark"])
def test_axe_finds_nothing_in_a_volume_and_words_are_readable(page, scheme, viewport):
    view = page(explorer([make_volume_twins()], title="Volumes"), color_scheme=scheme, viewport=viewport)
    view.after(view.klass("Mass").check)
    assert view.violations() == "" and view.contrast() >= 4.5
    side_by_side(view)
    view.after(view.twin.check)
    view.after(lambda: view.slice.fill("3"))
    assert view.violations() == "" and view.contrast() >= 4.5


def test_no_word_of_a_volume_is_broken_or_clipped_at_any_width(page):
    view = page(explorer([make_volume(128, highest=100, contours={}, marks=(), outline="radiologist's box")]))
    for act in (lambda: view.klass("Mass").check(), lambda: view.method.select_option("all")):
        view.after(act)
        for width in range(340, 1001, 60):
            view.page.set_viewport_size({"width": width, "height": 800})
            assert view.root.evaluate(CLIPPED) == [], width
            assert view.page.evaluate("document.documentElement.scrollWidth") <= width


def test_nothing_moves_while_going_through_slices(page):
    view = page(explorer([make_volume()]), viewport=WIDE)
    place = "root => [...root.querySelectorAll('canvas, input, button, select, .mdx-strip')]"
    place += ".map((node) => { const { x, y, width } = node.getBoundingClientRect(); return [x, y, width]; })"
    where = view.root.evaluate(place)
    for s in (1, 7, 12):
        view.after(lambda s=s: view.slice.fill(str(s)))
        assert view.root.evaluate(place) == where


# Where labels of picks were written; a canvas keeps only pixels.
WRITTEN = """() => {
CanvasRenderingContext2D.prototype.fillText = function (text, x, y) {
  (window.written ??= []).push([text, x, y, this.measureText(text).width]);
}; }"""


def test_labels_of_picks_do_not_cover_one_another(page):
    boxes = [(0.1, 0.1), (0.12, 0.1), (0.1, 0.12), (0.5, 0.1), (0.1, 0.9), (0.1, 0.9), (0.1, 0.9)]
    marks = [(x, y, 0.3, 0.1 if y > 0.5 else 0.4, f"1: +0.{i}0", None) for i, (x, y) in enumerate(boxes)]
    widget = explorer([make_case(marks=marks)])
    widget.marks = False
    view = page(widget)
    view.page.evaluate(WRITTEN)
    view.after(view.root.get_by_role("checkbox", name="Instances", exact=True).check)
    written = view.page.evaluate("window.written")
    assert len({text for text, *_ in written}) >= 5 and "+0.60" in view.status()
    for i, (_, x, y, width) in enumerate(written):
        for _, other, below, _ in written[:i]:
            assert abs(y - below) >= 13 or other + width <= x or x + width <= other
