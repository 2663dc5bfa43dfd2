"""Wall times measured in rounds of all that is compared, so that a busy moment of the machine affects all alike."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from mdlib.progress import track
from mdlib.reproducible import now


def rounds(jobs: dict[str, Callable[[], Any]], runs: int, device: str) -> tuple[dict[str, list[float]], list[Any]]:
    """Wall times of each job in seconds, one per round, of `runs` rounds; and what each job returned the first time.

    Each round runs every job once. A first round is not counted: it fills caches and chooses kernels.
    """
    times: dict[str, list[float]] = {name: [] for name in jobs}
    answers = []
    with track(what="timing", total=(runs + 1) * len(jobs)) as bar:
        for turn in range(runs + 1):
            for name, job in jobs.items():
                start = now(device)
                answer = job()
                if turn:
                    times[name].append(now(device) - start)
                else:
                    answers.append(answer)
                bar.update()
    return times, answers


def summary(times: dict[str, list[float]], images: int) -> pd.DataFrame:
    """One row per job: seconds (median), low, high, images/s, and its time as a multiple of the first job's, ours.

    `times ours` is the median over the rounds of the job's time divided by ours in the same round, `from` and `to` the
    smallest and largest: 1 is as fast as ours; above 1 ours is faster, below 1 slower.
    """
    table = np.array([*times.values()])                                                            # (jobs, rounds)
    ratio, seconds = table / table[0], np.median(table, axis=1)
    return pd.DataFrame({"seconds": seconds, "low": table.min(axis=1), "high": table.max(axis=1),
                         "images/s": images / seconds, "times ours": np.median(ratio, axis=1),
                         "from": ratio.min(axis=1), "to": ratio.max(axis=1)}, index=list(times))
