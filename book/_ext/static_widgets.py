"""Sphinx extension: the book's widgets run without a kernel, and no page asks another host for anything.

MyST-NB would load RequireJS and the widget manager from two content delivery networks; `mdlib/widgets/host.js` takes
their place, on pages that hold a widget. Thebe, which Jupyter Book always adds and which would load its
own code from a third, is taken out: this book starts no remote kernels.
"""

from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.config import Config

from mdlib.widgets.standalone import HOST

# Names with a sign that base64 lacks: the pictures of a widget may spell "thebe" by chance, and one did.
THEBE = ("sphinx-thebe", "THEBE_JS_URL", "thebe_selector")


def use_own_host(app: Sphinx, config: Config) -> None:
    """Let MyST-NB name our script where it would name the two of the networks."""
    config.html_static_path.append(str(HOST))
    config.nb_ipywidgets_js = {HOST.name: {}}


def drop_thebe_settings(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Take Thebe's settings (a Binder address) out of the page's body."""
    for node in list(doctree.findall(nodes.raw)):
        if "text/x-thebe-config" in node.astext() or "kernelName =" in node.astext():
            node.parent.remove(node)


def drop_thebe_scripts(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Take Thebe's scripts and styles out of the page's head."""
    for files in ("script_files", "css_files"):
        context[files] = [file for file in context[files] if not any(name in _described(file) for name in THEBE)]


def _described(file: Any) -> str:
    return f"{getattr(file, 'filename', file)} {getattr(file, 'attributes', {}).get('body', '')}"


def setup(app: Sphinx) -> dict:
    app.connect("config-inited", use_own_host, priority=900)
    app.connect("doctree-resolved", drop_thebe_settings, priority=900)
    app.connect("html-page-context", drop_thebe_scripts, priority=900)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
