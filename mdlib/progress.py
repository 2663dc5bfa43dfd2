"""Progress, the same everywhere: one line on standard error that says what, how far and how long."""

import sys
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm


def track(steps: Iterable | None = None, what: str = "", total: int | None = None, **options: Any) -> tqdm:
    """A tqdm bar over `steps`; without `steps`, a bar to be moved by `update`.

    Text, not a widget: it reads the same in a terminal, a log and a notebook. Where standard error is not a
    terminal a line is written every ten seconds at most.
    """
    every = 0.1 if sys.stderr.isatty() else 10.0
    return tqdm(steps, desc=what, total=total, mininterval=every, file=sys.stderr, dynamic_ncols=True, **options)
