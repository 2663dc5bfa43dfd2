"""Reports in the explorer, in a browser without a kernel: words show where the network looked, for everybody."""

import numpy as np
import pytest
from drawn import CLIPPED, NARROW, ONE_TO_ONE, WIDE, pixels
from explorer_cases import make_case
from report_cases import REPORT, WORDS, looks, make_report

from mdlib.explain import overlay
from mdlib.widgets.explorer import explorer

ALL = [word for _, words in REPORT for word in words]
FIRST = {name: sum(len(words) for _, words in REPORT[:i]) for i, (name, _) in enumerate(REPORT)}


def under(case, values: np.ndarray) -> np.ndarray:
    """The flat picture of `make_report` under a map, as `overlay` draws it."""
    heat = np.rint(overlay.upsample(overlay.normalize(values), (64, 64))).astype(np.uint8)
    colours = enumerate(np.moveaxis(case.image, -1, 0))
    return np.stack([overlay.blend(grey, heat)[..., i] for i, grey in colours], axis=-1).astype(int)


def shows(view, case, values: np.ndarray) -> bool:
    """Whether the map is what is drawn, below the words in the corner; WebP may change a flat picture by little."""
    return abs(pixels(view) - under(case, values)).max() <= 5


def test_hovering_a_word_shows_where_the_network_looked_and_leaving_shows_the_class_again(page):
    case = make_report()
    view = page(explorer([case]), css=ONE_TO_ONE, viewport=WIDE)
    klass = case.maps["c of AAS"][1]
    assert shows(view, case, klass) and "low grade: probability 0.70" in view.status()
    for text, at in (("crowding", FIRST["nuclear crowding"] + 1), ("seen", 3), ("moderate", 0)):
        _, said = view.after(view.word(text).hover)
        assert shows(view, case, case.attention["AAS"][at])
        assert said.startswith(f"Attention for “{text}” of nuclear ")
        assert view.root.locator(".mdx-badge").inner_text() == f"“{text}”"
        assert view.films.first.get_attribute("aria-label").startswith(f"bladder tissue; AAS for “{text}” of nuclear")
    view.after(lambda: view.page.mouse.move(0, 0))
    assert shows(view, case, klass) and "Attention for" not in view.status() and view.visit.faults == []


def test_the_sentence_tells_word_part_mechanism_and_sharpness(page):
    case = make_report()
    view = page(explorer([case]))
    _, said = view.after(view.word("severe").hover)
    values = case.attention["AAS"][FIRST["nuclear crowding"]]
    bits = -(values * np.log2(values)).sum()
    assert said.startswith(f"Attention for “severe” of nuclear crowding. AAS: entropy {bits:.2f} of 6.00 bits, and the "
                           f"largest of 8 × 8 places holds {100 * values.max():.2g} %. Case 1 of 1, ")  # fmt: skip


def test_a_word_clicked_is_kept_until_clicked_again_and_others_are_still_shown_in_passing(page):
    case = make_report()
    view = page(explorer([case]), css=ONE_TO_ONE, viewport=WIDE)
    word, other = view.word("pleomorphism"), view.word("rare")
    view.after(word.hover)
    view.after(word.click)
    assert word.get_attribute("aria-pressed") == "true"
    view.after(other.hover)
    assert shows(view, case, case.attention["AAS"][FIRST["mitosis"] + 2])
    view.after(lambda: view.page.mouse.move(0, 0))
    assert shows(view, case, case.attention["AAS"][1])
    view.after(word.hover)
    view.after(word.click)
    assert shows(view, case, case.maps["c of AAS"][1]) and word.get_attribute("aria-pressed") == "false"


def test_a_tap_keeps_a_word_and_a_second_one_lets_it_go(page):
    case = make_report()
    view = page(explorer([case]), css=ONE_TO_ONE, viewport=NARROW, has_touch=True)
    for values in (case.attention["AAS"][1], case.maps["c of AAS"][1]):
        view.after(view.word("pleomorphism").tap)
        assert shows(view, case, values)


def test_the_name_of_a_part_shows_the_mean_of_its_words(page):
    case = make_report()
    view = page(explorer([case]), css=ONE_TO_ONE, viewport=WIDE)
    first = FIRST["mitosis"]
    _, said = view.after(view.word("mitosis").hover)
    assert shows(view, case, case.attention["AAS"][first : first + 6].mean(axis=0))
    assert said.startswith("Attention for the whole sentence of mitosis. AAS: entropy")
    assert view.word("mitosis").get_attribute("aria-label") == "mitosis, whole sentence"


def test_the_report_is_one_tab_stop_and_arrows_go_through_it(page):
    case = make_report()
    view = page(explorer([case]), css=ONE_TO_ONE)
    keys = view.page.keyboard
    view.press_until_focused(".mdx-word", limit=30)
    focused = "document.activeElement.textContent"
    seen = [view.page.evaluate(focused)]
    said = [view.status()]
    for key in ("Right", "Right", "Down", "Left", "Left", "End", "Down", "Home", "Up"):
        name = key if key in ("Home", "End") else f"Arrow{key}"
        said.append(view.after(lambda name=name: keys.press(name))[1])
        seen.append(view.page.evaluate(focused))
    assert seen == ["nuclear feature", "moderate", "pleomorphism", "crowding", "severe", "nuclear crowding", "nuclei",
                    "membrane", "polarity", "nuclear crowding"]  # fmt: skip
    assert all(f"“{text}”" in told or "whole sentence" in told for text, told in zip(seen, said, strict=True))
    assert view.lines.locator("[tabindex='0']").count() == 1
    keys.press("ArrowUp")
    keys.press("ArrowUp")  # there is no part above the first
    assert view.page.evaluate(focused) == "nuclear feature"
    keys.press("Tab")
    assert view.lines.locator(":focus").count() == 0 and "Attention for" not in view.status()
    keys.press("Shift+Tab")
    assert view.page.evaluate(focused) == "nuclear feature" and view.visit.faults == []


def test_enter_keeps_a_word_and_escape_lets_it_go_by_keyboard_alone(page):
    case = make_report()
    view = page(explorer([case]), css=ONE_TO_ONE)
    keys = view.page.keyboard
    view.press_until_focused(".mdx-word", limit=30)
    view.after(lambda: keys.press("ArrowRight"))
    view.after(lambda: keys.press("Enter"))
    keys.press("Tab")
    assert shows(view, case, case.attention["AAS"][0]) and "Attention for “moderate”" in view.status()
    view.after(lambda: keys.press("Shift+Tab"))
    view.after(lambda: keys.press("Escape"))
    assert shows(view, case, case.maps["c of AAS"][1]) and "Attention for" not in view.status()
    assert view.lines.locator("[aria-pressed=true]").count() == 0
    view.after(lambda: keys.press("ArrowRight"))
    assert "Attention for “pleomorphism”" in view.status()


def test_the_mechanism_is_switched_and_both_stand_side_by_side_where_there_is_room(page):
    case = make_report(maps=make_report().maps | {"Grad-CAM": np.ones((4, 4, 4))})
    view = page(explorer([case]), css=ONE_TO_ONE)
    view.after(view.word("severe").click)
    at = FIRST["nuclear crowding"]
    _, said = view.after(lambda: view.mechanism.select_option(label="without AAS"))
    assert shows(view, case, case.attention["without AAS"][at]) and "without AAS: entropy" in said
    _, said = view.after(lambda: view.method.select_option("all"))
    assert view.root.locator(".mdx-method").all_inner_texts() == ["AAS", "without AAS"]
    for i, mechanism in enumerate(case.attention):
        assert abs(pixels(view, i) - under(case, case.attention[mechanism][at])).max() <= 5
    assert view.mechanism.is_disabled()
    assert said.index(" AAS: entropy") < said.index("without AAS: entropy")


def test_another_class_case_or_method_shows_its_map_again(page):
    maps = make_report().maps | {"other": np.ones((1, 4, 4))}
    case = make_report(maps=maps)
    view = page(explorer([case, make_report(maps=maps, name="second")], methods=["c of AAS", "other"]), css=ONE_TO_ONE)
    for act in (view.klass("normal").check, lambda: view.method.select_option(index=1), view.button("Next case").click):
        view.after(view.word("low").click)
        view.page.mouse.move(0, 0)
        assert "Attention for “low”" in view.status()
        assert "Attention for" not in view.after(act)[1]
    view.after(lambda: view.method.select_option(index=0))
    assert shows(view, case, maps["c of AAS"][0])


def test_a_word_kept_in_python_is_the_first_thing_seen(page):
    case = make_report()
    widget = explorer([case])
    widget.word, widget.mechanism = 5, "without AAS"
    view = page(widget, css=ONE_TO_ONE)
    assert shows(view, case, case.attention["without AAS"][5])
    assert view.lines.locator("[aria-pressed=true]").inner_text() == ALL[5]


def test_the_pointer_reads_the_shares_of_the_word(page):
    case = make_report()
    view = page(explorer([case]), css=ONE_TO_ONE)
    view.after(view.word("moderate").click)
    view.root.locator(".mdx-frame").hover(position={"x": 12.5, "y": 12.5})
    expected = overlay.upsample(case.attention["AAS"][0], (64, 64))[12, 12]
    value, _, share = view.values.first.inner_text().split(" ")[:3]
    assert float(value) == pytest.approx(expected, rel=0.06)
    assert float(share) == pytest.approx(100 * expected / case.attention["AAS"][0].max(), abs=1)


def test_signs_with_text_tell_what_is_true_and_references_what_was_written(page):
    view = page(explorer([make_report()]))
    parts = view.lines.locator(".mdx-line")
    texts = [" ".join(text.split()) for text in parts.all_inner_texts()]
    signs = ["✓ true", "✗ not true", None, "✓ true", "✓ true", "✓ true"]
    for text, sign, wanted in zip(texts, signs, make_report().reference, strict=True):
        assert (sign in text) if sign else ("true" not in text)
        assert (f"Reference: {wanted}" in text) if wanted else ("Reference" not in text)


def test_a_case_without_a_report_shows_none_and_the_next_with_one_does(page):
    bare = make_report(report=(), attention={}, correct=(), reference=())
    view = page(explorer([bare, make_report()]))
    assert view.lines.is_hidden() and view.mechanism.is_hidden()
    view.after(view.button("Next case").click)
    assert view.lines.is_visible() and view.lines.locator(".mdx-line").count() == 6
    assert page(explorer([make_case()])).lines.is_hidden()


def test_what_is_saved_is_named_after_the_word(page):
    view = page(explorer([make_report()]))
    view.after(view.word("severe").click)
    with view.page.expect_download() as download:
        view.button("Save as PNG").click()
    assert download.value.suggested_filename == "phantom_7_image_2-nuclear_crowding_severe-AAS.png"


@pytest.mark.parametrize("scheme, viewport", [("light", WIDE), ("dark", NARROW)], ids=["light", "dark"])
def test_axe_finds_nothing_in_a_report_and_words_are_readable(page, scheme, viewport):
    from axe_playwright_python.sync_playwright import Axe

    maps = make_report().maps | {"other": np.ones((1, 4, 4))}
    view = page(explorer([make_report(maps=maps)], title="Words"), color_scheme=scheme, viewport=viewport)
    assert Axe().run(view.page).violations_count == 0 and view.contrast() >= 4.5
    view.press_until_focused(".mdx-word", limit=30)
    view.after(lambda: view.page.keyboard.press("ArrowRight"))
    view.after(lambda: view.page.keyboard.press("Enter"))
    assert view.violations() == "" and view.contrast() >= 4.5
    view.after(lambda: view.method.select_option("all"))
    assert view.violations() == "" and view.contrast() >= 4.5


def test_no_word_of_a_report_is_clipped_at_any_width_and_nothing_moves_between_words(page):
    long = (("nuclear feature", ["pneumonoultramicroscopicsilicovolcanoconiosis", "of", "the"]), *REPORT[1:])
    count = sum(len(words) for _, words in long)
    attention = {name: looks(1, count) for name in ("AAS", "without AAS")}
    maps = make_report().maps | {"other": np.ones((1, 4, 4))}
    view = page(explorer([make_report(report=long, attention=attention, maps=maps)]), viewport=WIDE)
    place = "root => [...root.querySelectorAll('canvas, input, button, select')]"
    place += ".map((node) => { const { x, y, width } = node.getBoundingClientRect(); return [x, y, width]; })"
    for act in (lambda: None, lambda: view.after(lambda: view.method.select_option("all"))):
        act()
        for width in range(340, 1001, 60):
            view.page.set_viewport_size({"width": width, "height": 900})
            assert view.root.evaluate(CLIPPED) == [], width
            assert view.page.evaluate("document.documentElement.scrollWidth") <= width
        where = view.root.evaluate(place)
        for text in ("severe", "of", "conclusion"):
            view.after(lambda text=text: view.word(text).evaluate("node => node.dispatchEvent("
                       "new PointerEvent('pointerover', { bubbles: true, pointerType: 'mouse' }))"))  # fmt: skip
            assert view.root.evaluate(place) == where


def test_in_wide_windows_picture_and_report_are_in_view_together(page):
    for viewport in (WIDE, NARROW):
        view = page(explorer([make_report()]), viewport=viewport)
        stage, lines = view.stage.bounding_box(), view.lines.bounding_box()
        beside = lines["x"] >= stage["x"] + stage["width"]
        assert beside == (viewport == WIDE)
        assert beside or 0 < lines["y"] - stage["y"] - stage["height"] < 120


def test_all_words_are_there_in_reading_order(page):
    view = page(explorer([make_report()]))
    texts = view.lines.locator(".mdx-said .mdx-word").all_inner_texts()
    assert texts == ALL and len(texts) == WORDS


@pytest.mark.parametrize("width", [1000, 390])
def test_nothing_is_empty_between_the_picture_and_what_is_below_it(page, width):
    view = page(explorer([make_report()]), viewport={"width": width, "height": 900})
    stage, look, report = (view.root.locator(f".mdx-{name}").bounding_box() for name in ("stage", "look", "report"))
    below = look if width > 480 else report
    assert 0 < below["y"] - stage["y"] - stage["height"] < 24
    assert (report["x"] > stage["x"] + stage["width"]) == (width > 480)
