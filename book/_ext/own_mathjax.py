"""Sphinx extension: formulas are set by MathJax 3.2.2 from this site itself (the wheel `sphinx-mathjax-offline`).

That wheel is itself an extension, but it copies all 24 MB of MathJax; here go only the files that a page with TeX can
ask for: the program, its fonts, TeX's extensions and what the accessibility menu loads.
"""

from importlib.util import find_spec
from pathlib import Path
from shutil import copyfile

from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.errors import ExtensionError

PARTS = ("tex-chtml.js", "output/chtml/fonts/**/*", "input/tex/extensions/*", "a11y/*", "sre/**/*")


def mathjax() -> Path:
    """The folder of MathJax in the installed wheel (its name has dashes, so it is found, not imported)."""
    wheel = find_spec("sphinx-mathjax-offline")
    if wheel is None:
        raise ExtensionError("MathJax is missing: install the book's extras, `pip install -e .[book]`")
    return Path(wheel.origin).parent / "static" / "mathjax"


def point(app: Sphinx, config: Config) -> None:
    config.mathjax_path = "mathjax/tex-chtml.js"  # relative to _static/


def copy(app: Sphinx, failed: Exception | None) -> None:
    if failed or app.builder.format != "html":
        return
    root = mathjax()
    for source in (path for part in PARTS for path in root.glob(part) if path.is_file()):
        target = Path(app.outdir, "_static", "mathjax", source.relative_to(root))
        target.parent.mkdir(parents=True, exist_ok=True)
        copyfile(source, target)


def setup(app: Sphinx) -> dict:
    app.connect("config-inited", point)
    app.connect("build-finished", copy)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
