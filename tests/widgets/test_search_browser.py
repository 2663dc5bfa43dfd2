"""The search in a browser: prepared descriptions without a kernel, any description with one, for everybody."""

import json

import pytest
from drawn import CLIPPED, NARROW, WIDE
from report_cases import make_pictures, make_queries

from mdlib.widgets.search import search

FIRST, SECOND = (query.text for query in make_queries())

# A page as if Python were there: the answers to what is asked, by the words asked.
KERNEL = """save_changes() {
  const answer = ANSWERS[this.get("query")];
  if (answer) setTimeout(() => this.set("answer", { query: this.get("query"), ...answer }), 300);
}"""


@pytest.fixture
def page(saved):
    from explorer_page import SearchPage

    def page(widget=None, **options):
        return saved(SearchPage, widget or search(make_queries(), make_pictures()), **options)

    return page


def with_kernel(answers: dict):
    def edited(text):
        return text.replace("alone = true;", "alone = false;").replace(
            "save_changes() {}", KERNEL.replace("ANSWERS", json.dumps(answers)))  # fmt: skip

    return edited


def ask(view, text: str, by: str = "Enter") -> tuple[list[str], str]:
    view.text.fill(text)
    act = view.button("Search").click if by == "button" else lambda: view.page.keyboard.press("Enter")
    return view.after(act)


def test_the_first_description_is_answered_at_once_with_rank_name_conclusion_sign_and_score(page):
    view = page()
    found, said = view.seen()
    assert len(found) == 10
    assert found[:3] == ["1. image 2 high grade ✓ as wanted score 0", "2. image 0 normal ✗ not as wanted score −1",
                         "3. image 6 high grade ✓ as wanted score −2"]  # fmt: skip
    assert said == (f"10 pictures for “{FIRST}”, best first. Wanted: high grade. Cr@1 1.00, Cr@5 0.40, Cr@10 0.40: the "
                    "share of the first pictures with it.")  # fmt: skip
    images = view.root.locator("img")
    assert images.first.get_attribute("alt") == "Picture image 2"
    grey = """image => { const context = document.createElement("canvas").getContext("2d");
      context.drawImage(image, 0, 0); return context.getImageData(5, 5, 1, 1).data[0]; }"""
    assert [images.nth(i).evaluate(grey) for i in range(4)] == pytest.approx([20, 0, 60, 10], abs=2)
    assert view.visit.faults == []


def test_a_prepared_description_is_chosen_from_the_list_by_mouse(page):
    view = page()
    view.button("Prepared descriptions").click()
    assert view.options.all_inner_texts() == [FIRST, SECOND]
    found, said = view.after(view.options.nth(1).click)
    assert found[0] == "1. image 0 normal ✓ as wanted score 0.9" and f"for “{SECOND}”" in said
    assert view.text.input_value() == SECOND and view.options.count() == 0


def test_the_keyboard_alone_opens_filters_chooses_and_closes_the_list(page):
    view = page()
    keys = view.page.keyboard
    view.press_until_focused("[role=combobox]")
    active = "node => document.getElementById(node.getAttribute('aria-activedescendant'))?.textContent ?? null"
    seen = []
    for key in ("ArrowDown", "ArrowDown", "ArrowDown", "ArrowUp", "Escape"):
        keys.press(key)
        seen.append(view.text.evaluate(active))
    assert seen == [FIRST, SECOND, FIRST, SECOND, None] and view.text.get_attribute("aria-expanded") == "false"
    keys.press("Control+A")
    keys.type("polar uni")
    assert view.text.get_attribute("aria-expanded") == "true" and view.options.all_inner_texts() == [SECOND]
    keys.press("ArrowDown")
    assert f"for “{SECOND}”" in view.after(lambda: keys.press("Enter"))[1]
    keys.type(" xyz")
    assert view.text.get_attribute("aria-expanded") == "false"
    keys.press("Tab")
    assert view.root.get_by_role("button", name="Search").evaluate("node => node === document.activeElement")


@pytest.mark.parametrize("by", ["Enter", "button"])
def test_in_the_book_other_words_find_the_nearest_prepared_description_and_this_is_said(page, by):
    found, said = ask(view := page(), "Uniform nuclei, polarity lost", by)
    assert said.startswith(
        "In the book, only prepared descriptions are answered; the nearest of them is shown: it shares 3 of 4 words "
        f"with “Uniform nuclei, polarity lost”. 10 pictures for “{SECOND}”"
    )
    assert found[0].startswith("1. image 0") and view.text.input_value() == "Uniform nuclei, polarity lost"


def test_words_that_no_prepared_description_has_and_no_words_are_told(page):
    view = page()
    found, said = ask(view, "xyz")
    assert found == [] and said == ("In the book, only prepared descriptions are answered; none of them shares a word "
                                    "with “xyz”.")  # fmt: skip
    view.text.fill("   ")
    view.button("Search").click()
    assert view.status().startswith("Nothing was described")
    assert ask(view, FIRST.upper())[1].startswith("10 pictures for")


def test_with_a_kernel_python_answers_any_description(page):
    widget = search(make_queries(), make_pictures(), lambda text: [(0, 1.0)])
    answers = {"many mitoses": {"ranking": [6, 2], "scores": [-3.25, -4]}, "xyz": {"error": "query: 'xyz' is unknown."}}
    view = page(widget, edited=with_kernel(answers))
    view.text.fill("many mitoses")
    view.page.keyboard.press("Enter")
    assert view.status() == "Looking for “many mitoses” …" and view.found.count() == 10
    view.page.wait_for_function("() => document.querySelectorAll('.mdx-found li').length === 2")
    found, said = view.seen()
    assert found == ["1. image 6 high grade score −3.25", "2. image 2 high grade score −4"]
    assert said == "2 pictures for “many mitoses”, best first. No conclusion is known to be wanted."
    found, said = ask(view, "xyz")
    assert found == [] and said == "No answer. query: 'xyz' is unknown."
    assert ask(view, SECOND)[1].startswith("10 pictures for")
    assert len(ask(view, "many mitoses")[0]) == 2 and view.visit.faults == []


def test_enter_is_the_widgets_own_where_the_notebook_around_it_would_take_it(page):
    view = page()
    view.page.evaluate("() => document.addEventListener('keydown', (event) => event.preventDefault())")
    assert "the nearest of them" in ask(view, "uniform nuclei")[1]


def test_with_a_kernel_but_nobody_who_answers_the_book_is_not_mentioned(page):
    _, said = ask(page(edited=with_kernel({})), "uniform nuclei")
    assert said.startswith("Only prepared descriptions are answered; the nearest")


@pytest.mark.parametrize("scheme, viewport", [("light", WIDE), ("dark", NARROW)], ids=["light", "dark"])
def test_axe_finds_nothing_in_the_search_and_words_are_readable(page, scheme, viewport):
    from axe_playwright_python.sync_playwright import Axe

    view = page(search(make_queries(), make_pictures(), title="Search"), color_scheme=scheme, viewport=viewport)
    assert Axe().run(view.page).violations_count == 0 and view.contrast() >= 4.5
    view.text.focus()
    view.page.keyboard.press("ArrowDown")
    assert view.violations() == "" and view.contrast() >= 4.5
    ask(view, "few mitoses in crowded nuclei")
    assert view.violations() == "" and view.contrast() >= 4.5


def test_nothing_of_the_search_is_clipped_at_any_width(page):
    view = page()
    for act in (lambda: None, view.button("Prepared descriptions").click):
        act()
        for width in range(340, 1001, 60):
            view.page.set_viewport_size({"width": width, "height": 800})
            assert view.root.evaluate(CLIPPED) == [], width
            assert view.page.evaluate("document.documentElement.scrollWidth") <= width


def test_without_javascript_there_is_a_still_picture(saved):
    def kind(visit):
        return visit.page.locator('img[src^="data:image/jpeg"]')

    still = saved(kind, search(make_queries(), make_pictures()), java_script_enabled=False)
    assert still.is_visible() and "1. high grade" in still.get_attribute("alt")
