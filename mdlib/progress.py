"""Progress, the same everywhere: one line on standard error that says what, how far and how long."""

import sys
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm

_silent = False


def silence() -> None:
    """Show no more bars in this process: another one shows the progress of its work."""
    global _silent
    _silent = True


def track(steps: Iterable | None = None, what: str = "", total: int | None = None, **options: Any) -> tqdm:
    """A tqdm bar over `steps`; without `steps`, a bar to be moved by `update`.

    Text, not a widget: it reads the same in a terminal, a log and a notebook. Where standard error is not a
    terminal a line is written every ten seconds at most.
    """
    every = 0.1 if sys.stderr.isatty() else 10.0
    options["disable"] = _silent or options.get("disable", False)
    return tqdm(steps, desc=what, total=total, mininterval=every, file=sys.stderr, dynamic_ncols=True, **options)
