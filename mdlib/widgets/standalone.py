"""A widget as one self-contained HTML file: works offline and without a kernel."""

import json
from html import escape
from pathlib import Path

import anywidget
from ipywidgets import Widget

from mdlib.widgets import explorer

HOST = Path(__file__).with_name("host.js")    # runs anywidgets of a saved page; the book's pages load the same file
PAGE = Path(__file__).with_name("standalone.html")


def page(widget: anywidget.AnyWidget, title: str, above: str = "") -> str:
    """A complete HTML document with one live widget: write it to a file, encoded as UTF-8.

    `title` is plain text, the heading; `above` is HTML that stands between it and the widget (a table, warnings): the
    caller escapes what is not his own in it. Light or dark follows the reader's system. Whoever runs no scripts sees
    the widget's still picture, where it brings one. A Content-Security-Policy in the page forbids it any request.
    """
    bundle, metadata = widget._repr_mimebundle_()
    still = (f'<img alt="{escape(metadata["image/jpeg"]["alt"])}" '
             f'src="data:image/jpeg;base64,{bundle["image/jpeg"]}">' if "image/jpeg" in bundle else "")
    parts = {"title": escape(title), "above": above, "still": still, "host": HOST.read_text(encoding="utf-8"),
             "view": _json(widget.get_view_spec()), "state": _json(Widget.get_manager_state(widgets=[widget]))}
    text = PAGE.read_text(encoding="utf-8")
    pieces = [parts.get(piece, piece) for piece in text.split("%%")]    # not by replace: a part may hold a mark
    return "".join(pieces)


def _json(value: dict) -> str:
    """JSON that no HTML parser takes for the end of its script."""
    return json.dumps(value, allow_nan=False).replace("<", "\\u003c")


def case_page(case: dict, title: str, above: str) -> str:
    """A page with one case in the explorer; case: the fields of `explorer.Case`."""
    widget = explorer.explorer([explorer.Case(**case)])
    try:
        return page(widget, title, above)
    finally:
        widget.close()    # the registry of ipywidgets would keep every image
