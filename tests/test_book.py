"""`mdlib book`: what is stale is executed, what measures time alone, and one line says how far it is."""

import nbformat
import pytest

from mdlib import chapters, progress, runs
from mdlib.errors import MdlibError
from mdlib.files import write_json

pytest.importorskip("papermill", reason="needs the extra `book`")
book = pytest.importorskip("mdlib.batch.book")


@pytest.fixture
def small_book(tmp_path, monkeypatch):
    """A book of five notebooks, each of which writes its name to a log.

    The second fails until `allowed` is there, and the first ends after that.
    """
    def write(chapter, name, *cells):
        file = tmp_path / "notebooks" / chapter / f"{name}.ipynb"
        file.parent.mkdir(parents=True, exist_ok=True)
        log = f"open({str(tmp_path / 'log')!r}, 'a').write({name + ' '!r})"
        made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in (*cells, log)])
        made.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
        nbformat.write(made, file)
        return file

    allowed, failed = tmp_path / "allowed", tmp_path / "runs/chest/notebooks/2_second.failed.ipynb"
    waits = ("import os, time\n"
             f"while not any(map(os.path.exists, {[str(allowed), str(failed)]})): time.sleep(0.1)")
    notebooks = {"chest": [write("1_chest", "1_first", waits, "time.sleep(1)"),
                           write("1_chest", "2_second", f"open({str(allowed)!r}).close()"),
                           write("1_chest", "3_third"), write("1_chest", "4_fourth")],
                 "performance": [write("7_performance", "1_times")]}
    monkeypatch.setattr(book.papermill_runs, "notebooks", notebooks.get)
    monkeypatch.setattr(chapters, "PAGES", tuple(notebooks))
    monkeypatch.setattr(chapters, "run_folder", lambda chapter: tmp_path / "runs" / chapter)
    monkeypatch.setattr(book, "_prepare", lambda chapter: None)
    monkeypatch.setattr(book, "_site", lambda home: (tmp_path / "log").open("a").write("site "))
    monkeypatch.setattr(progress, "_silent", False)     # `build` silences all bars but its own
    return tmp_path


def test_an_error_names_its_notebook_and_the_next_build_executes_only_what_is_missing(small_book, capsys, monkeypatch):
    log = small_book / "log"
    with pytest.raises(MdlibError, match=r"2_second.ipynb, cell 0: FileNotFoundError"):
        book.build(jobs=2)
    assert log.read_text() == "1_first ", "what had begun has ended, nothing else began"

    (small_book / "allowed").touch()
    monkeypatch.setattr(progress, "_silent", False)
    book.build(jobs=2)
    first, *others, times, site = log.read_text().split()
    assert first == "1_first" and sorted(others) == ["2_second", "3_third", "4_fourth"]
    assert (times, site) == ("1_times", "site"), "times are measured last and alone"
    assert "book: 100%" in capsys.readouterr().err

    log.unlink()
    book.build(jobs=2)
    assert log.read_text() == "site ", "nothing was stale but the site"


def test_a_chapter_whose_networks_other_code_trained_is_executed_again(small_book):
    (small_book / "allowed").touch()
    for folder in ("chest", "performance"):
        write_json(small_book / "runs" / folder / "manifest.json", {"training_code": runs.training_code(folder)})
    book.build(jobs=2)
    (small_book / "log").unlink()
    write_json(small_book / "runs/chest/manifest.json", {"training_code": "another"})
    book.build(jobs=2)
    *executed, site = (small_book / "log").read_text().split()
    assert sorted(executed) == ["1_first", "2_second", "3_third", "4_fourth"] and site == "site"
