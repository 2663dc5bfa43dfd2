"""Run the notebooks of a chapter by papermill into a run folder, behind one line of progress."""

import json
import sys
from collections.abc import Mapping
from concurrent.futures import FIRST_COMPLETED, wait
from pathlib import Path
from typing import Any

from tqdm import tqdm

from mdlib import parallel, progress
from mdlib.errors import MdlibError, SettingsError
from mdlib.extras import require
from mdlib.files import atomic, fingerprint
from mdlib.runs import home, notebook_code

LINE = "{desc}: {percentage:3.0f}% |{bar:20}| {elapsed} elapsed, about {remaining} left{postfix}"    # of progress
KERNEL = ["--IPKernelApp.log_level=ERROR"]      # without its warning that it is spoken to over this machine's network


def notebooks(chapter: str) -> list[Path]:
    """The notebooks of a chapter in reading order. Raises SettingsError when there are none."""
    found = sorted(home().glob(f"notebooks/[0-9]_{chapter}/[0-9]_*.ipynb"))
    if not found:
        raise SettingsError("no notebooks of this chapter", f"{home() / 'notebooks'}, chapter {chapter!r}",
                            "Run mdlib from a clone of the project: the notebooks are not part of the package.")
    return found


def question(notebook: Path, parameters: dict[str, Any]) -> str:
    """Fingerprint of all that decides a notebook's outputs: its code cells, mdlib, kept results and the parameters."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    chapter = notebook.parent.name.partition("_")[2]
    results = sorted((home() / "data" / "results" / chapter).rglob("*.json"))
    return fingerprint(code, notebook_code(chapter), parameters, *results)


def is_fresh(notebook: Path, parameters: dict[str, Any], copy: Path) -> bool:
    """Whether `copy` is this notebook, executed by this code with these parameters."""
    try:
        stored = json.loads(copy.read_text(encoding="utf-8"))["metadata"].get("mdlib", {})
    except (FileNotFoundError, ValueError):
        return False
    return stored.get("question") == question(notebook, parameters)


def execute(notebook: Path, parameters: dict[str, Any], copy: Path, quiet: bool = False) -> None:
    """Execute one notebook with `parameters`; what its cells print appears while they run, unless `quiet`.

    `copy` is written when the last cell has ended well. After an error the notebook so far, with the error in it,
    is kept beside it as `*.failed.ipynb`, and MdlibError says so. Raises MissingExtraError without papermill.
    """
    papermill = require("papermill", "book")
    asked = question(notebook, parameters)      # before it runs: what is edited meanwhile is not what was executed
    running, failed = copy.with_suffix(".running.ipynb"), copy.with_suffix(".failed.ipynb")
    copy.parent.mkdir(parents=True, exist_ok=True)
    try:
        executed = papermill.execute_notebook(
            notebook, running, parameters, cwd=notebook.parent, progress_bar=not quiet, extra_arguments=KERNEL,
            **({} if quiet else {"stdout_file": sys.stdout, "stderr_file": sys.stderr}))
    except papermill.PapermillExecutionError as error:
        running.replace(failed)
        raise MdlibError(f"{error.ename}: {error.evalue}", f"{notebook.name}, cell {error.cell_index}",
                         f"The executed cells are in {failed}.") from error
    executed.metadata["mdlib"] = {"question": asked}
    with atomic(copy) as part:
        part.write_text(json.dumps(executed, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    running.unlink()
    failed.unlink(missing_ok=True)


def copies_of(chapter: str, folder: Path) -> dict[Path, Path]:
    """Each notebook of a chapter, with the path of its executed copy in a run folder."""
    return {notebook: folder / "notebooks" / notebook.name for notebook in notebooks(chapter)}


def stale(chapter: str, parameters: dict[str, Any], folder: Path) -> dict[Path, Path]:
    """The same of those notebooks that have no fresh copy."""
    copies = copies_of(chapter, folder)
    return {notebook: copy for notebook, copy in copies.items() if not is_fresh(notebook, parameters, copy)}


def run_chapter(chapter: str, parameters: dict[str, Any], folder: Path, if_changed: bool = False, jobs: int = 1
                ) -> None:
    """Execute every notebook of a chapter into `folder/notebooks`; with `if_changed` those that are stale.

    jobs: how many at a time; with one, what its cells print appears while they run.
    """
    waiting = stale(chapter, parameters, folder) if if_changed else copies_of(chapter, folder)
    with progress.track(what=chapter, total=sum(map(cells, waiting)), bar_format=LINE, smoothing=0) as bar:
        execute_several(waiting, parameters, jobs, bar, quiet=jobs > 1)


def execute_several(copies: Mapping[Path, Path], parameters: dict[str, Any], jobs: int, bar: tqdm, quiet: bool = True
                    ) -> None:
    """Execute notebooks, each into its copy; `bar` moves by the number of their cells and names those that run.

    Several run in workers with one thread of the numerical libraries each. After an error nothing new begins, and what
    runs is completed.
    """
    if jobs == 1:
        for notebook, copy in copies.items():
            bar.set_postfix_str(_name(notebook))
            execute(notebook, parameters, copy, quiet)
            bar.update(cells(notebook))
        return
    with parallel.local_pool(jobs) as pool:
        waiting, running = list(copies.items()), {}
        while waiting or running:
            while waiting and len(running) < jobs:      # not all at once: workers would begin more after an error
                notebook, copy = waiting.pop(0)
                running[pool.submit(execute, notebook, parameters, copy, quiet=True)] = notebook
            bar.set_postfix_str(", ".join(map(_name, running.values())), refresh=sys.stderr.isatty())
            done, _ = wait(running, timeout=1, return_when=FIRST_COMPLETED)
            for future in done:
                future.result()
                bar.update(cells(running.pop(future)))


def cells(notebook: Path) -> int:
    """The number of cells of a notebook, by which its time is estimated."""
    return len(json.loads(notebook.read_text(encoding="utf-8"))["cells"])


def _name(notebook: Path) -> str:
    return f"{notebook.parent.name.partition('_')[2]} {notebook.stem}"
