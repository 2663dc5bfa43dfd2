"""Sphinx extension: mdlib's docstrings are plain text; give autodoc the reStructuredText that keeps how they look."""

import inspect
import re

from sphinx.application import Sphinx


def as_written(app: Sphinx, what: str, name: str, thing: object, options: object, lines: list[str]) -> None:
    """Replace a docstring's lines: what stands in columns (equations, shapes, layouts) is kept verbatim."""
    paragraphs = []
    for paragraph in re.split(r"\n\s*\n", inspect.cleandoc("\n".join(lines))):
        rows = paragraph.split("\n")
        columns = any(re.search(r"^ {2,}|\S {3,}\S", row) for row in rows)
        paragraphs.append("\n".join(["::", "", *(f"    {row}" for row in rows)]) if columns else with_code(paragraph))
    lines[:] = [*"\n\n".join(paragraphs).split("\n"), ""]


def with_code(paragraph: str) -> str:
    """Backticks become code; what means something to reStructuredText elsewhere is escaped."""
    parts = paragraph.split("`")
    plain = [re.sub(r"([*|_\\])", r"\\\1", part) for part in parts]
    if len(parts) % 2 == 0:
        return r"\`".join(plain)
    return "".join(f"``{part}``" if i % 2 else plain[i] for i, part in enumerate(parts))


def short(app: Sphinx, what: str, name: str, thing: object, options: object, signature: str | None,
          returned: str | None) -> tuple[str | None, str | None]:
    """A signature that names types without their modules, and no default that is made anew each time."""
    return tuple(text and re.sub(r"~(\w+\.)+", "", text).replace("<factory>", "…") for text in (signature, returned))


def is_field(app: Sphinx, what: str, name: str, thing: object, skip: bool, options: object) -> bool | None:
    """Leave out the fields of named tuples, of which Python says their number only: the signature has them."""
    return True if str(getattr(thing, "__doc__", "")).startswith("Alias for field number") else None


def setup(app: Sphinx) -> dict:
    app.setup_extension("sphinx.ext.autodoc")
    app.connect("autodoc-process-docstring", as_written)
    app.connect("autodoc-process-signature", short)
    app.connect("autodoc-skip-member", is_field)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
