"""Sphinx extension: show what a run left in a notebook, though the notebook in the repository carries no outputs.

The table of contents names the sources. A run leaves an executed copy of each (`executed_notebooks` says where); the
page is the source with the copy's outputs put under its code cells, so a changed sentence needs no new run, while
changed code does: a copy that is missing, failed, or was made from other code is a warning (an error under -W).

A widget that brings a still picture (image/jpeg) keeps it in <noscript>, for readers without JavaScript. Figures, which
notebooks hold as PNG, stand in pages as lossless WebP: every pixel the same, half the bytes.
"""

import json
import re
from html import escape
from pathlib import Path

from docutils import nodes
from PIL import Image
from sphinx.application import Sphinx
from sphinx.util import logging

STILL = "image/jpeg"
WIDGET = "application/vnd.jupyter.widget-view+json"
log = logging.getLogger(__name__)


def executed_copy(source: Path, pattern: str) -> str:
    """The path of the executed copy of `notebooks/<n>_<chapter>/<page>.ipynb`, relative to the book's root."""
    return pattern.format(chapter=re.sub(r"^\d+_", "", source.parent.name), page=source.stem) + ".ipynb"


def code_cells(notebook: dict) -> list[dict]:
    """The author's code cells: all but the one in which papermill writes the parameters of a run."""
    return [
        cell
        for cell in notebook["cells"]
        if cell["cell_type"] == "code" and "injected-parameters" not in cell["metadata"].get("tags", [])
    ]


def fault(source: dict, copy: dict) -> str | None:
    """Why `copy` cannot stand for `source`, or None."""
    theirs = ["".join(cell["source"]) for cell in code_cells(copy)]
    if theirs != ["".join(cell["source"]) for cell in code_cells(source)]:
        return "was made from other code; run the chapter again"
    if any(output["output_type"] == "error" for cell in code_cells(copy) for output in cell["outputs"]):
        return "ends in an error; mend the notebook or its data and run the chapter again"
    return None


def for_the_page(outputs: list[dict]) -> list[dict]:
    """The outputs without standard error, and each widget's still picture moved into <noscript> behind it."""
    kept = []
    for output in outputs:
        if output.get("name") == "stderr":
            continue
        kept.append(output)
        data = output.get("data", {})
        if WIDGET in data and STILL in data:
            picture = "".join(data[STILL]).replace("\n", "")
            alt = escape(output["metadata"].get(STILL, {}).get("alt", ""))
            still = f'<noscript><img alt="{alt}" src="data:{STILL};base64,{picture}"></noscript>'
            kept[-1] = output | {"data": {kind: value for kind, value in data.items() if kind != STILL}}
            kept.append({"output_type": "display_data", "metadata": {}, "data": {"text/html": still}})
    return kept


def with_outputs(source: dict, copy: dict) -> dict:
    """`source` (changed in place) with the outputs, the kernel and the widgets of `copy`."""
    for mine, theirs in zip(code_cells(source), code_cells(copy), strict=True):
        mine["outputs"] = for_the_page(theirs["outputs"])
        mine["execution_count"] = theirs["execution_count"]
    for name in {"kernelspec", "language_info", "widgets"} & copy["metadata"].keys():
        source["metadata"][name] = copy["metadata"][name]
    return source


def show_executed(app: Sphinx, docname: str, content: list[str]) -> None:
    """Replace the text of a notebook, as Sphinx read it, by the text with outputs."""
    path = Path(app.env.doc2path(docname))
    if path.suffix != ".ipynb":
        return
    name = executed_copy(path, app.config.executed_notebooks)
    copy = Path(app.srcdir, name)
    app.env.note_dependency(str(copy))
    if not copy.is_file():
        log.warning("no executed copy at %s; run the chapter", name, location=docname, type="executed")
        return
    source, executed = json.loads(content[0]), json.loads(copy.read_text(encoding="utf-8"))
    if wrong := fault(source, executed):
        log.warning("the executed copy at %s %s", name, wrong, location=docname, type="executed")
        return
    content[0] = json.dumps(with_outputs(source, executed))


def shrink(app: Sphinx, doctree: nodes.document) -> None:
    """Put each figure that myst_nb has written beside the page's outputs as PNG into the page as lossless WebP."""
    for node in doctree.findall(nodes.image):
        figure = Path(app.srcdir, node["uri"].lstrip("/"))
        if "jupyter_execute" in figure.parts and figure.suffix == ".png":
            Image.open(figure).save(figure.with_suffix(".webp"), lossless=True, exact=True)
            node["uri"] = node["uri"].removesuffix(".png") + ".webp"


def setup(app: Sphinx) -> dict:
    app.add_config_value("executed_notebooks", "data/runs/{chapter}/embedded/notebooks/{page}", "env")
    app.connect("source-read", show_executed)
    app.connect("doctree-read", shrink, priority=400)  # before Sphinx collects the images
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
