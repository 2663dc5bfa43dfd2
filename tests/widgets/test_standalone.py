"""A page of one widget: whole in itself, alive from a file, and safe whatever its words hold."""

from html.parser import HTMLParser

import numpy as np
import pytest

from mdlib.widgets import standalone
from mdlib.widgets.explorer import Case, Explorer, explorer


def make_widget(name: str = "film 7") -> Explorer:
    maps = np.linspace(0, 1, 2 * 25).reshape(2, 5, 5)
    case = Case(np.full((32, 32), 90, np.uint8), ("Mass", "Edema"), np.array([0.2, 0.7]), np.array([1, 0]),
                {"Grad-CAM": maps}, name=name, alt=f"X-ray {name}")  # fmt: skip
    return explorer([case], title="Maps")


class Tags(HTMLParser):
    """Collects each tag with its attributes, and the words of the heading."""

    def __init__(self, text: str):
        super().__init__()
        self.tags, self.heading = [], ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        if self.tags and self.tags[-1][0] == "h1" and not self.heading:
            self.heading = data


def test_a_page_names_no_other_file_and_no_host():
    tags = Tags(standalone.page(make_widget(), "One film")).tags
    links = [value for _, attributes in tags for name, value in attributes.items() if name in ("src", "href")]
    assert all(link.startswith("data:") for link in links) and not [tag for tag, _ in tags if tag == "link"]
    assert ("html", {"lang": "en"}) in tags


def test_a_page_holds_one_widget_though_others_live():
    other = make_widget("film 8")
    assert "film 8" not in standalone.page(make_widget(), "One film")
    assert "film 8" in standalone.page(other, "Another film")


def test_the_heading_is_plain_text_and_what_stands_above_is_html():
    text = standalone.page(make_widget(), "a < b & %%state%%", "<ul><li>lateral view</ul>")
    assert Tags(text).heading == "a < b & %%state%%"
    assert "<ul><li>lateral view</ul>" in text


@pytest.mark.parametrize("scripts", [True, False])
def test_a_page_opens_from_a_file_with_scripts_and_without(chromium, tmp_path, scripts):
    from browser import launch, open_page

    hostile = '</script><img src=x onerror="document.title=1"><!--<script>'
    file = tmp_path / "film.html"
    file.write_text(standalone.page(make_widget(hostile), "One film"), encoding="utf-8")
    with launch(chromium) as browser, open_page(browser, f"file://{file}", java_script_enabled=scripts) as visit:
        if scripts:
            visit.page.wait_for_selector(".mdx[data-drawn]")
            assert hostile in visit.page.get_by_role("status").inner_text()
        still = visit.page.locator('img[src^="data:image/jpeg"]')
        assert still.count() == (not scripts)
        assert scripts or hostile in still.get_attribute("alt")
        assert visit.faults == [] and visit.page.title() == "One film"


def test_a_page_is_not_allowed_any_request(chromium, tmp_path):
    from browser import launch, open_page

    file = tmp_path / "film.html"
    file.write_text(standalone.page(make_widget(), "One film", '<img alt="" src="https://example.org/spy.png">'))
    with launch(chromium) as browser, open_page(browser, f"file://{file}") as visit:
        visit.page.wait_for_selector(".mdx[data-drawn]")
        assert visit.failures == ["csp: https://example.org/spy.png"]  # refused before it left the browser
