"""Independent jobs in parallel, through any `concurrent.futures.Executor`.

The local workers end when the process that started them is gone, and do not import the script that starts them, so it
needs no `if __name__ == "__main__"`.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, as_completed
from contextlib import contextmanager
from typing import Any

from mdlib import progress

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def local_executor(workers: int | None = None) -> Executor:
    """Worker processes on this machine, one thread of the numerical libraries each; None: one worker per core."""
    from loky import ProcessPoolExecutor, cpu_count

    return ProcessPoolExecutor(workers or cpu_count(), initializer=_begin, env=ONE_THREAD)


@contextmanager
def local_pool(workers: int | None = None) -> Iterator[Executor]:
    """Local workers, killed when this process is interrupted: what they leave in files is complete or not there."""
    pool = local_executor(workers)
    try:
        yield pool
    except KeyboardInterrupt:
        pool.shutdown(kill_workers=True)
        raise
    finally:
        pool.shutdown()


def side_by_side(function: Callable, jobs: Sequence[tuple], what: str, workers: int | None = None) -> Iterator[Any]:
    """Yield function(*job) of each job in their order, computed by local workers, with a progress bar called `what`.

    workers: None for one per core, 1 for this process.
    """
    if workers == 1 or len(jobs) < 2:
        yield from progress.track((function(*job) for job in jobs), what, len(jobs))
        return
    with local_pool(workers) as pool:
        futures = [pool.submit(function, *job) for job in jobs]
        try:
            for future in progress.track(iter(futures), what, len(jobs)):
                yield future.result()
        finally:
            _cancel(futures)


def complete(function: Callable, jobs: Sequence[tuple], what: str, executor: Executor | None = None) -> None:
    """Run function(*job) for each job, which leaves its result in files; return when all have ended.

    executor: a `concurrent.futures.Executor`, for instance of a cluster; None: local workers. After an error the jobs
    that have not begun are cancelled, and the first error is raised; local workers finish what they have begun.
    """
    if executor is None:
        with local_pool(min(len(jobs), os.cpu_count() or 1)) as pool:
            return complete(function, jobs, what, pool)
    futures = [executor.submit(function, *job) for job in jobs]
    try:
        for future in progress.track(as_completed(futures), what, len(jobs)):
            future.result()
    finally:
        _cancel(futures)


def _cancel(futures: Sequence) -> None:
    for future in futures:
        future.cancel()


def _begin() -> None:
    """Prepare a local worker: no progress bars of its own, and an end when its parent ends."""
    progress.silence()
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)
    threading.Thread(target=watch, daemon=True).start()
