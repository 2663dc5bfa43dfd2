"""The built book in a browser: every page whole, from this machine alone, and its explorer alive without a kernel."""

import os
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SITE = Path(os.environ.get("MDLIB_SITE", ROOT / "_build/html"))
VIEWER = "notebooks/1_chest/4_attention.html"
VOLUMES = "notebooks/2_mims/4_attention.html"
INSTANCES = "notebooks/3_gated/4_attention.html"
REPORTS = "notebooks/5_mdnet/4_attention.html"
WIDE, NARROW = {"width": 1400, "height": 900}, {"width": 390, "height": 844}

# True once the page has done what it set out to do: formulas set, explorers drawn.
SETTLED = """() =>
  document.querySelectorAll(".math").length === document.querySelectorAll(".math mjx-container").length &&
  document.querySelectorAll('script[type="application/vnd.jupyter.widget-view+json"]').length ===
  document.querySelectorAll(".mdx[data-drawn]").length"""


@pytest.fixture(scope="module")
def pages() -> list[str]:
    if not (SITE / VIEWER).is_file():
        pytest.skip("needs the built book: make book")
    found = sorted(path.relative_to(SITE).as_posix() for path in SITE.rglob("*.html"))
    return [page for page in found if not page.startswith("_static/")]


@pytest.fixture(scope="module")
def open_at(chromium, pages):
    """Opens a page of the site: over http, or as a file with `base="file"`; waits until it has settled."""
    from contextlib import contextmanager

    from browser import launch, open_page, serve

    with launch(chromium) as browser, serve(SITE) as http:

        @contextmanager
        def open_at(page, base="http", viewport=WIDE, settle=True, **options):
            root = http if base == "http" else f"file://{SITE}"
            with open_page(browser, f"{root}/{page}", viewport=viewport, **options) as visit:
                if settle:
                    visit.page.wait_for_function(SETTLED)
                yield visit

        yield open_at


@pytest.fixture
def viewer(open_at):
    from explorer_page import ExplorerPage

    with open_at(VIEWER) as visit:
        yield ExplorerPage(visit)


# Every page


@pytest.fixture(scope="module")
def seen(open_at, pages) -> dict[str, dict]:
    """Each page's faults, its broken formulas, and its width on a telephone, from one visit each."""
    found = {}
    for page in pages:
        with open_at(page) as visit:
            visit.page.set_viewport_size(NARROW)
            found[page] = {
                "width": visit.page.evaluate("document.documentElement.scrollWidth"),
                "broken": visit.page.locator("mjx-merror").count(),
                "faults": visit.faults,
            }
    return found


def test_no_page_asks_another_host_fails_a_request_or_logs_an_error(seen):
    assert {page: found["faults"] for page, found in seen.items() if found["faults"]} == {}


def test_pages_work_as_plain_files(open_at):
    for page in ("book/intro.html", VIEWER):
        with open_at(page, base="file") as visit:
            assert visit.faults == []


def test_no_page_is_wider_than_a_telephone(seen):
    assert {page: found["width"] for page, found in seen.items() if found["width"] > NARROW["width"]} == {}


def test_every_formula_is_understood(seen):
    assert {page: found["broken"] for page, found in seen.items() if found["broken"]} == {}


def test_html_and_own_images_of_each_page_stay_below_two_megabytes(pages):
    sizes = {}
    for page in pages:
        text = (SITE / page).read_text(encoding="utf-8")
        images = {SITE / "_images" / name for name in re.findall(r'_images/([^"#?]+)', text)}
        sizes[page] = len(text.encode()) + sum(image.stat().st_size for image in images)
    assert {page: size for page, size in sizes.items() if size >= 2_000_000} == {}


def test_pages_name_no_content_delivery_network(pages):
    networks = re.compile("jsdelivr|cdnjs|unpkg|googleapis|mybinder|colab", re.IGNORECASE)
    loads, embedded = re.compile(r"<(?:script|link|img|iframe)\b[^>]*>"), re.compile("data:[^\"']*")
    named = {page: [tag for tag in loads.findall((SITE / page).read_text())
                    if networks.search(embedded.sub("", tag))] for page in pages}
    assert {page: tags for page, tags in named.items() if tags} == {}


def test_only_pages_with_a_widget_load_the_host_of_widgets(pages):
    texts = {page: (SITE / page).read_text() for page in pages}
    with_host = {page for page, text in texts.items() if "_static/host.js" in text}
    assert with_host == {page for page, text in texts.items() if "widget-view+json" in text}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_first_visit_follows_the_system(open_at, scheme):
    with open_at("book/intro.html", color_scheme=scheme) as visit:
        assert visit.page.evaluate("document.documentElement.dataset.theme") == scheme


# Each table scrolled to its end: how far, where the first row's names are then, if they are covered; empty lines of
# its header; cells that hold more than they show.
SCROLLED = """() => [...document.querySelectorAll(".cell_output table.dataframe[id]")].map((table) => {
  const all = (selector) => [...table.querySelectorAll(selector)];
  const place = (node) => node.getBoundingClientRect();
  const names = all("tbody tr:first-child th").filter((name) => getComputedStyle(name).left !== "auto");
  const room = table.parentElement;
  room.scrollLeft = 1e5;
  names[0]?.scrollIntoView({ block: "center" });
  const on = names[0] && document.elementFromPoint(place(room).left + 5, place(names[0]).top + 5);
  return {
    scrolled: room.scrollLeft, moved: names.map((name) => place(name).left - place(room).left),
    covered: Boolean(on) && !names[0].contains(on),
    empty: all("thead tr").filter((row) => !row.textContent.trim()).length,
    cut: all("th, td").filter((cell) => cell.scrollWidth > cell.clientWidth + 1).map((cell) => cell.textContent),
  };
})"""


@pytest.mark.parametrize("scheme, viewport", [("light", WIDE), ("dark", NARROW)], ids=["wide", "narrow"])
def test_row_names_of_tables_stay_in_view_and_no_word_is_cut(open_at, scheme, viewport):
    with open_at("notebooks/1_chest/5_measured.html", color_scheme=scheme, viewport=viewport) as visit:
        found = visit.page.evaluate(SCROLLED)
        assert any(table["scrolled"] > 100 and table["moved"] for table in found)
        for table in found:
            assert not table["covered"] and not table["empty"] and table["cut"] == []
            assert table["moved"] == sorted(table["moved"]) and all(-1 < left < 250 for left in table["moved"])


# The explorer in the chapter


def choose_a_drawn_map(viewer) -> int:
    """Choose a class whose map, by a method that has one for each class, carries signal; the picture's checksum."""
    for i in range(viewer.method.locator("option").count()):
        if "one map for all classes" in viewer.status():
            viewer.choose(viewer.method, i)
    for k in range(1, viewer.classes.count()):
        picture, said = viewer.after(viewer.classes.nth(k).check)
        if "one map for all classes" not in said and "nothing is drawn" not in said:
            return picture
    raise AssertionError("this explorer's first case has no map with signal of a method with a map for each class")


def test_every_control_changes_the_picture(viewer):
    first = choose_a_drawn_map(viewer)
    fainter, _ = viewer.after(lambda: viewer.opacity.fill("0.3"))
    other_case, _ = viewer.after(viewer.button("Next case").click)
    assert len({first, fainter, other_case}) == 3
    methods = range(viewer.method.locator("option").count())
    assert len({viewer.choose(viewer.method, i)[0] for i in methods}) > 1
    assert viewer.visit.faults == []


def test_each_class_is_announced_and_they_do_not_look_alike(viewer):
    choose_a_drawn_map(viewer)
    viewer.after(viewer.classes.first.check)
    seen = [viewer.after(viewer.classes.nth(k).check) for k in range(1, viewer.classes.count())]
    assert len({picture for picture, _ in seen}) > 1
    assert len({said for _, said in seen}) == len(seen)


def test_the_outline_of_the_truth_comes_and_goes(viewer):
    for case in range(viewer.case.locator("option").count()):
        viewer.choose(viewer.case, case)
        for k in range(1, viewer.classes.count()):
            plain, _ = viewer.after(viewer.classes.nth(k).check)
            outlined, said = viewer.after(viewer.contour.check)
            back, _ = viewer.after(viewer.contour.uncheck)
            if "white outline" in said:
                assert outlined != plain == back
                return
    raise AssertionError("no case of this explorer has an outline")


def test_the_keyboard_alone_reaches_and_moves_everything(viewer):
    keys, seen = viewer.page.keyboard, [viewer.seen()]
    for selector, key in {"[type=range]": "ArrowLeft", "select": "ArrowDown", "[type=radio]": "ArrowUp"}.items():
        viewer.press_until_focused(selector, limit=60)
        seen.append(viewer.after(lambda key=key: keys.press(key)))
    assert len({picture for picture, _ in seen[:3]}) == 3
    first, second = (int(re.match(r"Case (\d+) of", said)[1]) for _, said in seen[1:3])
    assert second == first + 1
    assert viewer.classes.last.is_checked()  # up from the first goes round to the last


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_of_the_explorer_are_readable(open_at, scheme):
    from explorer_page import ExplorerPage

    with open_at(VIEWER, color_scheme=scheme) as visit:
        assert ExplorerPage(visit).contrast() >= 4.5


@pytest.mark.parametrize("scheme, viewport", [("light", WIDE), ("dark", NARROW)], ids=["light", "dark"])
@pytest.mark.parametrize("page", [VIEWER, VOLUMES, INSTANCES, REPORTS],
                         ids=["images", "volumes", "instances", "reports"])
def test_axe_finds_nothing_in_the_widgets_of_a_page(open_at, page, scheme, viewport):
    """As they open on the page; their other states are checked in tests/widgets."""
    from axe_playwright_python.sync_playwright import Axe

    with open_at(page, color_scheme=scheme, viewport=viewport) as visit:
        found = Axe().run(visit.page, context=".mdx")
        assert found.violations_count == 0, found.generate_report()


def test_the_twin_changes_picture_and_numbers_and_comes_back(viewer):
    choose_a_drawn_map(viewer)
    there, with_it = viewer.seen()
    gone, without = viewer.after(viewer.twin.check)
    assert gone != there and " without " in without and "in the picture" in without
    assert viewer.after(viewer.twin.uncheck) == (there, with_it)


def test_without_javascript_there_is_a_still_picture(open_at):
    with open_at(VIEWER, settle=False, java_script_enabled=False) as visit:
        still = visit.page.locator('img[src^="data:image/jpeg"]').first
        assert still.is_visible() and still.bounding_box()["width"] > 200 and still.get_attribute("alt")


# The explorer of volumes, without a kernel


@pytest.mark.parametrize("viewport", [WIDE, NARROW], ids=["wide", "narrow"])
def test_a_volume_starts_where_the_network_is_most_suspicious_and_goes_through_its_slices(open_at, viewport):
    from explorer_page import ExplorerPage

    with open_at(VOLUMES, viewport=viewport) as visit:
        view = ExplorerPage(visit)
        told = view.strip.get_attribute("aria-label")
        assert f"in slice {view.slice.input_value()}" in told
        other = "1" if view.slice.input_value() != "1" else "2"
        before = view.seen()
        after = view.after(lambda: view.slice.fill(other))
        assert f"Slice {other} of 30" in after[1] and after[0] != before[0]
        assert visit.faults == []


# Reports word by word and the search by description, without a kernel


@pytest.mark.parametrize("viewport", [WIDE, NARROW], ids=["wide", "narrow"])
def test_a_report_shows_where_the_network_looked_for_each_word_by_each_mechanism(open_at, viewport):
    from explorer_page import ExplorerPage

    with open_at(REPORTS, viewport=viewport) as visit:
        view = ExplorerPage(visit)
        plain, _ = view.seen()
        words = view.lines.locator(".mdx-word")
        looked, said = view.after(words.nth(1).click)
        assert looked != plain and said.startswith("Attention for")
        other, also = view.after(lambda: view.mechanism.select_option(index=1))
        assert other != looked and also != said
        _, back = view.after(view.classes.nth(2).check)
        assert "Attention for" not in back and "probability" in back
        assert visit.faults == []


def test_without_its_mitoses_an_image_has_another_picture_and_its_own_report(open_at):
    from explorer_page import ExplorerPage

    with open_at(REPORTS) as visit:
        view = ExplorerPage(visit)
        there, _ = view.seen()
        gone, said = view.after(view.twin.check)
        assert gone != there and "without mitotic activity" in said and view.lines.locator(".mdx-word").count() > 6


@pytest.mark.parametrize("viewport", [WIDE, NARROW], ids=["wide", "narrow"])
def test_without_its_first_head_a_fungus_has_other_crops(open_at, viewport):
    from explorer_page import ExplorerPage

    with open_at(INSTANCES, viewport=viewport) as visit:
        view = ExplorerPage(visit)
        crops = view.root.locator(".mdx-crop")
        there, said = view.seen()
        assert crops.count() == 4 and "Instances found" in said
        before = crops.first.screenshot()
        gone, also = view.after(view.twin.check)
        assert gone != there and "without the " in also and "head" in also and crops.first.screenshot() != before
        assert visit.faults == []


@pytest.mark.parametrize("viewport", [WIDE, NARROW], ids=["wide", "narrow"])
def test_descriptions_find_images_and_other_words_the_nearest_description(open_at, viewport):
    from explorer_page import SearchPage

    with open_at(REPORTS, viewport=viewport) as visit:
        view = SearchPage(visit, 1)
        found, said = view.seen()
        assert len(found) == 10 and "best first" in said
        view.text.fill("frequent mitotic figures")
        _, near = view.after(lambda: view.page.keyboard.press("Enter"))
        assert "the nearest of them is shown" in near and visit.faults == []
