"""The book shows what a run left in a notebook, and says so where there is nothing to show."""

import base64
import io
from pathlib import Path
from types import SimpleNamespace

import nbformat
import numpy as np
import pytest
from PIL import Image

EXTENSIONS = Path(__file__).parents[1] / "book/_ext"
COPY = "data/runs/chest/embedded/notebooks/1_data.ipynb"
WIDGET = {"version_major": 2, "version_minor": 0, "model_id": "abc"}


@pytest.fixture
def sphinx_build():
    """`sphinx_build(folder)`: exit status and warnings of a build with -W."""
    pytest.importorskip("myst_nb", reason="needs the book's extras: pip install -e .[book]")
    from sphinx.application import Sphinx
    from sphinx.util.docutils import docutils_namespace, patch_docutils

    def build(folder):
        warnings, out = io.StringIO(), folder / "_build"
        with patch_docutils(folder), docutils_namespace():
            app = Sphinx(folder, folder, out, out / ".doctrees", "html", status=None, warning=warnings,
                         warningiserror=True, keep_going=True)  # fmt: skip
            app.build()
        return app.statuscode, warnings.getvalue()

    return build


def notebook(*cells) -> nbformat.NotebookNode:
    made = nbformat.v4.new_notebook(cells=list(cells), metadata={"language_info": {"name": "python"}})
    for i, cell in enumerate(made.cells):
        cell["id"] = f"cell-{i}"
    return made


def code(source, outputs=(), tags=()) -> nbformat.NotebookNode:
    return nbformat.v4.new_code_cell(source, outputs=list(outputs), metadata={"tags": list(tags)})


def text(source) -> nbformat.NotebookNode:
    return nbformat.v4.new_markdown_cell(source)


@pytest.fixture
def book(tmp_path):
    """A book of one page, with its executed copy as papermill leaves it."""
    (tmp_path / "conf.py").write_text(
        f"import sys\nsys.path.insert(0, {str(EXTENSIONS)!r})\n"
        "extensions = ['myst_nb', 'executed_notebooks']\nroot_doc = 'notebooks/1_chest/1_data'\n"
        "nb_execution_mode = 'off'\nexclude_patterns = ['data', '_build']\n"
    )
    printed = nbformat.v4.new_output("stream", name="stdout", text="forty-two\n")
    noise = nbformat.v4.new_output("stream", name="stderr", text="a progress bar\n")
    shown = nbformat.v4.new_output(
        "display_data",
        {"application/vnd.jupyter.widget-view+json": WIDGET, "image/jpeg": "c3RpbGw=", "text/plain": "<Explorer>"},
        metadata={"image/jpeg": {"alt": "a chest & a map"}},
    )
    source = notebook(text("# Page\n\nNew words."), code("profile = 'embedded'", tags=["parameters"]), code("answer()"))
    copy = notebook(
        text("# Page\n\nOld words."),
        code("profile = 'embedded'", tags=["parameters"]),
        code("profile = 'secret'", tags=["injected-parameters"]),
        code("answer()", [printed, noise, shown]),
    )
    del source.metadata["language_info"]  # as in a source that was never run
    for path, made in {"notebooks/1_chest/1_data.ipynb": source, COPY: copy}.items():
        (tmp_path / path).parent.mkdir(parents=True)
        nbformat.write(made, tmp_path / path)
    return tmp_path


def test_the_page_has_the_words_of_the_source_and_the_outputs_of_the_copy(book, sphinx_build):
    status, warnings = sphinx_build(book)
    assert (status, warnings) == (0, "")
    page = (book / "_build/notebooks/1_chest/1_data.html").read_text()
    assert "New words." in page and "forty-two" in page
    assert not any(hidden in page for hidden in ("Old words.", "secret", "a progress bar"))
    assert "widget-view+json" in page and '"model_id": "abc"' in page
    assert page.count('<noscript><img alt="a chest &amp; a map" src="data:image/jpeg;base64,c3RpbGw="></noscript>') == 1


def test_a_missing_copy_fails_the_build(book, sphinx_build):
    (book / COPY).unlink()
    status, warnings = sphinx_build(book)
    assert status != 0 and f"no executed copy at {COPY}" in warnings


def test_a_copy_made_from_other_code_fails_the_build(book, sphinx_build):
    path = book / "notebooks/1_chest/1_data.ipynb"
    path.write_text(path.read_text().replace("answer()", "question()"))
    status, warnings = sphinx_build(book)
    assert status != 0 and "was made from other code" in warnings


def test_a_copy_that_ends_in_an_error_fails_the_build(book, sphinx_build):
    copy = nbformat.read(book / COPY, 4)
    copy.cells[-1].outputs = [nbformat.v4.new_output("error", ename="DataError", evalue="no such file", traceback=[])]
    nbformat.write(copy, book / COPY)
    status, warnings = sphinx_build(book)
    assert status != 0 and "ends in an error" in warnings


def test_a_figure_stands_in_the_page_pixel_for_pixel_as_webp(book, sphinx_build):
    figure, file = np.random.default_rng(0).integers(0, 256, (40, 60, 4), np.uint8), io.BytesIO()
    Image.fromarray(figure).save(file, "PNG")
    copy = nbformat.read(book / COPY, 4)
    shown = nbformat.v4.new_output("display_data", {"image/png": base64.b64encode(file.getvalue()).decode()})
    copy.cells[-1].outputs = [shown]
    nbformat.write(copy, book / COPY)
    assert sphinx_build(book) == (0, "")
    (sent,) = (book / "_build/_images").iterdir()
    assert sent.suffix == ".webp" and (np.asarray(Image.open(sent)) == figure).all()
    assert f"_images/{sent.name}" in (book / "_build/notebooks/1_chest/1_data.html").read_text()


def test_a_widget_whose_pictures_spell_thebe_by_chance_stays_on_its_page(monkeypatch):
    monkeypatch.syspath_prepend(EXTENSIONS)
    import static_widgets

    def script(filename, **attributes):
        return SimpleNamespace(filename=filename, attributes=attributes)

    widget = script(None, type="application/vnd.jupyter.widget-state+json", body='{"data": "eythebe3bTheBe"}')
    context = {"script_files": [script(None, body="const thebe_selector = 1"), widget,
                                script("_static/sphinx-thebe.js")],
               "css_files": [script("_static/sphinx-thebe.css"), script("book.css")]}
    static_widgets.drop_thebe_scripts(None, "page", "", context, None)
    assert context["script_files"] == [widget] and context["css_files"][0].filename == "book.css"
