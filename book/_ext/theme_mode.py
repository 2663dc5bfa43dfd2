"""Sphinx extension: light or dark as the reader's system asks, from the first paint, and light without JavaScript.

The theme's own setting cannot do all three: unset, it logs an error in the console of a first visitor; set to "auto",
it leaves a reader without JavaScript no colours at all.
"""

from sphinx.application import Sphinx

FIRST_VISIT = """(({ dataset }) => {
  dataset.mode ||= "auto";
  dataset.theme ||= matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
})(document.documentElement);"""


def setup(app: Sphinx) -> dict:
    app.add_js_file(None, body=FIRST_VISIT, priority=1)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
