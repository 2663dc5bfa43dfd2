"""A browser for the tests of a module, and pages with one widget."""

from contextlib import ExitStack

import pytest

from mdlib.widgets import standalone


@pytest.fixture(scope="module")
def browser(chromium):
    from browser import launch

    with launch(chromium) as browser:
        yield browser


@pytest.fixture
def saved(browser, tmp_path):
    """Opens a saved page with one widget, by file://, as the kind of page given; `edited` may change the text first."""
    from browser import open_page

    with ExitStack() as stack:

        def saved(kind, widget, css="", edited=str, **options):
            text = standalone.page(widget, "One widget", f"<style>{css}</style>")
            (tmp_path / "page.html").write_text(edited(text), encoding="utf-8")
            return kind(stack.enter_context(open_page(browser, f"file://{tmp_path}/page.html", **options)))

        yield saved


@pytest.fixture
def page(saved):
    """Opens a saved page with one explorer."""
    from explorer_page import ExplorerPage

    return lambda widget, css="", **options: saved(ExplorerPage, widget, css, **options)
