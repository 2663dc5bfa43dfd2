"""What notebooks say they show is what their run shows: stored outputs beside those of the copies that `make book` ran.

A cell tagged `nbval-check-output` is compared as nbval compares it, without executing it a second time. Other tags and
comments of nbval (skip, ignore output) mean what they mean there, and `pytest --nbval-lax notebooks` still works.
"""

from pathlib import Path

import nbformat
import pytest

from mdlib import runs
from mdlib.batch import papermill_runs

nbval = pytest.importorskip("nbval.plugin")
ROOT = Path(__file__).parents[1]
SANITIZE = ROOT / "tests/nbval_sanitize.cfg"
NOTEBOOKS = sorted((ROOT / "notebooks").rglob("*.ipynb"))


def executed_cells(copy: Path) -> list[nbformat.NotebookNode]:
    """The author's code cells of an executed copy: all but the one in which papermill writes parameters."""
    return [cell for cell in nbformat.read(copy, 4).cells if cell.cell_type == "code"
            and "injected-parameters" not in cell.metadata.get("tags", [])]


def differences(session: pytest.Session, notebook: Path, copy: Path) -> list[str]:
    """Why a notebook does not show what its executed copy shows, one entry per cell; empty where it does."""
    if not papermill_runs.is_fresh(notebook, {}, copy):
        return [f"{notebook.name}: its executed copy {copy} is missing or stale; run make book"]
    source = nbval.IPyNbFile.from_parent(session, path=notebook)
    source.compare_outputs = False          # as with --nbval-lax: the tagged cells only
    source.sanitize_patterns.update(nbval.get_sanitize_patterns(SANITIZE.read_text()))
    found = []
    for stored, executed in zip(source.collect(), executed_cells(copy), strict=True):
        stored.colors = nbval.nocolors
        if not stored.options["check"] or stored.options["skip"]:
            continue
        if stored.cell.execution_count is None:
            found.append(f"{notebook.name}, {stored.name}: nothing to compare with, no output is stored")
        elif not stored.compare_outputs(nbval.coalesce_streams(executed.outputs),
                                        nbval.coalesce_streams(stored.cell.outputs)):
            found.append("\n".join([f"{notebook.name}, {stored.name}:", stored.cell.source, "",
                                    *stored.comparison_traceback]))
    return found


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_notebook_shows_what_its_run_shows(notebook, request):
    copy = runs.folder_of(notebook.parent.name.partition("_")[2]) / "notebooks" / notebook.name
    found = differences(request.session, notebook, copy)
    assert not found, "\n\n".join(found)


CELLS = {"parameters": 'profile = "embedded"', "nbval-check-output": "print(40 + 2)\n{'a': 1}",
         "nbval-ignore-output": "print(object())"}


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """A notebook of three cells with the outputs of its second one stored, and its executed copy."""
    pytest.importorskip("papermill")
    folder = tmp_path_factory.mktemp("made_up")
    notebook, copy = folder / "1_chest" / "1_data.ipynb", folder / "run" / "1_data.ipynb"
    notebook.parent.mkdir()
    cells = [nbformat.v4.new_code_cell(code, metadata={"tags": [tag]}) for tag, code in CELLS.items()]
    made = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": {"name": "python3", "display_name": "python"}})
    made.cells[1].outputs = [nbformat.v4.new_output("stream", name="stdout", text="42\n"),
                             nbformat.v4.new_output("execute_result", {"text/plain": "{'a': 1}"}, execution_count=2)]
    made.cells[1].execution_count = 2
    nbformat.write(made, notebook)
    papermill_runs.execute(notebook, {}, copy)
    return notebook, copy


@pytest.fixture
def changed(executed, tmp_path, request):
    """`changed(change)`: the differences after the source, and the copy with `copied`, were changed."""
    def changed(change, copied=lambda _: None):
        paths = tmp_path / "1_chest" / "1_data.ipynb", tmp_path / "run" / "1_data.ipynb"
        for path, of, do in zip(paths, executed, (change, copied), strict=True):
            path.parent.mkdir()
            made = nbformat.read(of, 4)
            do(made)
            nbformat.write(made, path)
        return differences(request.session, *paths)
    return changed


def test_an_unchanged_notebook_differs_nowhere(changed):
    assert changed(lambda made: None) == []


@pytest.mark.parametrize("change, told", [
    (lambda cell: cell.outputs[0].update(text="43\n"), ["43", "42"]),
    (lambda cell: cell.outputs[1].data.update({"text/plain": "{'a': 2}"}), ["{'a': 2}", "{'a': 1}"]),
    (lambda cell: cell.outputs.pop(), ["text/plain"]),
    (lambda cell: cell.outputs[1].data.update({"text/html": "<b>1</b>"}), ["text/html"]),
    (lambda cell: cell.update(execution_count=None), ["no output is stored"])],
    ids=["a printed number", "a result", "an output more", "an output fewer", "nothing stored"])
def test_a_changed_output_is_shown_with_its_cell(changed, change, told):
    found, = changed(lambda made: change(made.cells[1]))
    assert "1_data.ipynb, Cell 1" in found and all(part in found for part in told)


def test_a_number_that_the_run_changed_is_found_as_well(changed):
    found, = changed(lambda made: None, lambda made: made.cells[1].outputs[0].update(text="41\n"))
    assert "Cell 1" in found and "print(40 + 2)" in found


def test_text_and_what_is_told_anew_in_each_run_do_not_matter(changed):
    def change(made):
        made.cells.insert(0, nbformat.v4.new_markdown_cell("New words."))
        made.cells[2].outputs[0].text += "at 0x7f001 since 2026-01-01T00:00:00\n"

    def copied(made):
        made.cells[1].outputs[0].text += "at 0x7f002 since 2027-01-01T00:00:00\n"
        made.cells.insert(1, nbformat.v4.new_code_cell("", metadata={"tags": ["injected-parameters"]}))
    assert changed(change, copied) == []


def test_a_copy_that_is_stale_or_missing_is_told(changed, executed, request, tmp_path):
    found, = changed(lambda made: made.cells[1].update(source="print(41 + 1)\n{'a': 1}"))
    assert "missing or stale" in found
    found, = differences(request.session, executed[0], tmp_path / "none.ipynb")
    assert "missing or stale" in found and "make book" in found
