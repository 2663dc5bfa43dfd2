"""The whole book: stale notebooks of all chapters, several at a time, then the site, behind one line of progress."""

import json
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from pathlib import Path

from tqdm import tqdm

from mdlib import chapters, extras, parallel, progress, runs
from mdlib.batch import papermill_runs
from mdlib.errors import MdlibError

# Of the line of progress: about as many cells as drawing the phantoms of a chapter, and the site, take the time of.
PHANTOMS, SITE = 12, 30
ALONE = ("performance",)        # chapters that measure time: nothing runs beside them
LINE = "{desc}: {percentage:3.0f}% |{bar:20}| {elapsed} elapsed, about {remaining} left{postfix}"


def build(jobs: int | None = None) -> Path:
    """Execute what is stale, `jobs` notebooks at a time (None: one per core), and build the site; its first page.

    After an error nothing new begins, what has ended is kept, and the next call goes on from there. Raises MdlibError,
    naming the notebook and its cell, and MissingExtraError.
    """
    extras.require("papermill", "book")
    home = runs.home()
    stale = {chapter: _stale(chapter) for chapter in chapters.PAGES}
    steps = sum(PHANTOMS * bool(copies) + sum(map(_cells, copies)) for copies in stale.values())
    with progress.track(what="book", total=steps + SITE, bar_format=LINE, smoothing=0) as bar:
        progress.silence()
        for alone in (False, True):
            copies: dict[Path, Path] = {}
            for chapter, of_chapter in stale.items():
                if of_chapter and (chapter in ALONE) == alone:
                    bar.set_postfix_str(f"{chapter} phantoms")
                    _prepare(chapter)
                    bar.update(PHANTOMS)
                    copies |= of_chapter
            _execute(copies, 1 if alone else jobs, bar)
        bar.set_postfix_str("site")
        _site(home)
        bar.update(SITE)
    return home / "_build/html/index.html"


def _stale(chapter: str) -> dict[Path, Path]:
    """The notebooks of a chapter that must be executed, each with the path of its copy."""
    folder = chapters.run_folder(chapter)
    begun_anew = runs.trained_by_other_code(folder, chapter)
    return {notebook: copy for notebook in papermill_runs.notebooks(chapter)
            if begun_anew or not papermill_runs.is_fresh(notebook, {}, copy := folder / "notebooks" / notebook.name)}


def _prepare(chapter: str) -> None:
    """Draw the phantoms of a chapter, once, and begin its run folder anew where other code trained its networks."""
    folder = chapters.run_folder(chapter)
    if runs.trained_by_other_code(folder, chapter):
        runs.delete(folder, chapter)
    chapters.load(chapter).open()


def _execute(copies: Mapping[Path, Path], jobs: int | None, bar: tqdm) -> None:
    """Execute notebooks in workers with one thread of the numerical libraries each; a single job at a time has all."""
    if jobs == 1:
        for notebook, copy in copies.items():
            bar.set_postfix_str(_name(notebook))
            papermill_runs.execute(notebook, {}, copy, quiet=True)
            bar.update(_cells(notebook))
        return
    with parallel.local_pool(jobs) as pool:
        running: dict[Future, Path] = {pool.submit(papermill_runs.execute, notebook, {}, copy, quiet=True): notebook
                                       for notebook, copy in copies.items()}
        try:
            while running:
                done, _ = wait(running, timeout=1, return_when=FIRST_COMPLETED)
                for future in done:
                    future.result()
                    bar.update(_cells(running.pop(future)))
                names = [_name(notebook) for future, notebook in running.items() if future.running()]
                bar.set_postfix_str(", ".join(names), refresh=sys.stderr.isatty())
        finally:
            for future in running:
                future.cancel()


def _site(home: Path) -> None:
    """Let Sphinx build the pages that have changed. Raises MdlibError with its last lines where it warns or fails."""
    command = [str(Path(sys.executable).with_name("jupyter-book")), "build", ".", "--toc", "book/_toc.yml", "-W", "-n",
               "--keep-going"]
    ended = subprocess.run(command, cwd=home, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if ended.returncode:
        raise MdlibError(f"the site was not built:\n{ended.stdout[-4000:]}", str(home), "Correct it and try again.")


def _cells(notebook: Path) -> int:
    return len(json.loads(notebook.read_text(encoding="utf-8"))["cells"])


def _name(notebook: Path) -> str:
    return f"{notebook.parent.name.partition('_')[2]} {notebook.stem}"
