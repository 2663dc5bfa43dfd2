"""The whole book: stale notebooks of all chapters, several at a time, then the site, behind one line of progress."""

import subprocess
import sys
from pathlib import Path

from loky import cpu_count

from mdlib import chapters, extras, progress, runs
from mdlib.batch import papermill_runs
from mdlib.errors import MdlibError

# Of the line of progress: about as many cells as drawing the phantoms of a chapter, and the site, take the time of.
PHANTOMS, SITE = 30, 45
ALONE = ("performance",)        # chapters that measure time: nothing runs beside them


def build(jobs: int | None = None) -> Path:
    """Execute what is stale, `jobs` notebooks at a time (None: one per core), and build the site; its first page.

    After an error nothing new begins, what has ended is kept, and the next call goes on from there. Raises MdlibError,
    naming the notebook and its cell, and MissingExtraError.
    """
    for package in ("papermill", "jupyter_book"):
        extras.require(package, "book")
    home = runs.home()
    stale = {chapter: _stale(chapter) for chapter in chapters.PAGES}
    steps = sum(PHANTOMS * bool(copies) + sum(map(papermill_runs.cells, copies)) for copies in stale.values())
    with progress.track(what="book", total=steps + SITE, bar_format=papermill_runs.LINE, smoothing=0) as bar:
        progress.silence()
        for alone in (False, True):
            copies: dict[Path, Path] = {}
            for chapter, of_chapter in stale.items():
                if of_chapter and (chapter in ALONE) == alone:
                    bar.set_postfix_str(f"{chapter} phantoms")
                    _prepare(chapter)
                    bar.update(PHANTOMS)
                    copies |= of_chapter
            papermill_runs.execute_several(copies, {}, 1 if alone else jobs or cpu_count(), bar)
        bar.set_postfix_str("site")
        _site(home)
        bar.update(SITE)
    return home / "_build/html/index.html"


def _stale(chapter: str) -> dict[Path, Path]:
    """The notebooks of a chapter that must be executed, each with the path of its copy."""
    folder = chapters.run_folder(chapter)
    if runs.trained_by_other_code(folder, chapter):
        return papermill_runs.copies_of(chapter, folder)
    return papermill_runs.stale(chapter, {}, folder)


def _prepare(chapter: str) -> None:
    """Draw the phantoms of a chapter, once, and begin its run folder anew where other code trained its networks."""
    folder = chapters.run_folder(chapter)
    if runs.trained_by_other_code(folder, chapter):
        runs.delete(folder, chapter)
    chapters.load(chapter).open()


def _site(home: Path) -> None:
    """Let Sphinx build the pages that have changed. Raises MdlibError with its last lines where it warns or fails."""
    command = [str(Path(sys.executable).with_name("jupyter-book")), "build", ".", "--toc", "book/_toc.yml", "-W", "-n",
               "--keep-going"]
    ended = subprocess.run(command, cwd=home, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if ended.returncode:
        raise MdlibError(f"the site was not built:\n{ended.stdout[-4000:]}", str(home), "Correct it and try again.")
