"""Independent jobs side by side, in processes that end when the process that started them is gone."""

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any

from joblib import Parallel, delayed

from mdlib import progress


def side_by_side(function: Callable, jobs: Sequence[tuple], what: str, workers: int | None = None) -> Iterator[Any]:
    """function(*job) of each job, in their order, by `workers` processes, with a bar called `what`.

    None: a process a core; 1: this process. joblib's processes do not import the script that starts them, so it needs
    no `if __name__ == "__main__"`.
    """
    if workers == 1:
        return iter(progress.track((function(*job) for job in jobs), what, len(jobs)))
    work = Parallel(n_jobs=workers or -1, return_as="generator")(delayed(_alone)(function, job) for job in jobs)
    return iter(progress.track(work, what, len(jobs)))


def _alone(function: Callable, job: tuple) -> Any:
    _end_with_parent(os.getppid())
    progress.silence()
    return function(*job)


@cache
def _end_with_parent(parent: int) -> None:
    """Without this, a process whose parent was killed would finish its job and then wait for minutes for the next."""
    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)
    threading.Thread(target=watch, daemon=True).start()
