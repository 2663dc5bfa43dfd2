"""Sphinx extension: light or dark as the reader's system asks, from the first paint; and the book's few styles.

The theme's own setting cannot do all three: unset, it logs an error in the console of a first visitor; set to "auto",
it leaves a reader without JavaScript no colours at all.
"""

from pathlib import Path

from sphinx.application import Sphinx
from sphinx.config import Config

STYLES = Path(__file__).with_name("book.css")

FIRST_VISIT = """(({ dataset }) => {
  dataset.mode ||= "auto";
  dataset.theme ||= matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
})(document.documentElement);"""


def add_styles(app: Sphinx, config: Config) -> None:
    """Let Sphinx copy the one file of styles (Jupyter Book adds every style it finds below _static to all pages)."""
    config.html_static_path.append(str(STYLES))


def setup(app: Sphinx) -> dict:
    app.connect("config-inited", add_styles, priority=900)
    app.add_css_file(STYLES.name)
    app.add_js_file(None, body=FIRST_VISIT, priority=1)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
