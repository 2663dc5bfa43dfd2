"""Sphinx extension: mdlib's docstrings are plain text; give autodoc the reStructuredText that keeps how they look."""

import inspect
import re

from sphinx.application import Sphinx


def as_written(app: Sphinx, what: str, name: str, thing: object, options: object, lines: list[str]) -> None:
    """Backticks become code; a paragraph with lines set in or in columns (equations, shapes, layouts) stays verbatim."""
    text = inspect.cleandoc("\n".join(lines))
    paragraphs = []
    for paragraph in re.split(r"\n\s*\n", text):
        rows = paragraph.split("\n")
        if any(re.search(r"^ {2,}|\S {3,}\S", row) for row in rows):
            paragraph = "::\n\n" + "\n".join(f"    {row}" for row in rows)
        else:
            paragraph = re.sub(r"(?<!`)`([^`]+)`(?!`)", r"``\1``", re.sub(r"([*|_\\])(?![^`]*`[^`]*$)", r"\\\1", paragraph))
        paragraphs.append(paragraph)
    lines[:] = "\n\n".join(paragraphs).split("\n") + [""]


def setup(app: Sphinx) -> dict:
    app.setup_extension("sphinx.ext.autodoc")
    app.connect("autodoc-process-docstring", as_written)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
