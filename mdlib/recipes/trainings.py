"""The trainings of a run, of any chapter: each kept in a folder of its own, done once, side by side on a CPU.

    networks/<slug>/checkpoint.pt        after each epoch
    networks/<slug>/predictions.parquet  what it says of the parts it is to predict
    networks/<slug>/history.json         last: with it the training is done
"""

import dataclasses
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Protocol

import torch
from lightning_fabric import Fabric

from mdlib import runs
from mdlib.files import lock, read_json
from mdlib.parallel import side_by_side
from mdlib.progress import track
from mdlib.training import loop

PREDICTIONS, HISTORY = "predictions.parquet", "history.json"


class Chapter(Protocol):
    """What a chapter must have for this: a dataclass with these fields."""

    run: runs.Run
    settings: Any       # `precision` among them
    device: str


class Training(Protocol):
    """What a training must have: hashable, and a name for its folder."""

    slug: str


Do = Callable[[Chapter, Training, Fabric], None]


def folder(chapter: Chapter, training: Training) -> Path:
    """Where a training keeps its checkpoint, its history, and what it predicts."""
    return chapter.run.folder / "networks" / training.slug


def missing(chapter: Chapter, trainings: Sequence[Training]) -> list[Training]:
    """Those that are not done yet."""
    return [training for training in trainings if not (folder(chapter, training) / HISTORY).exists()]


def histories(chapter: Chapter, trainings: Sequence[Training]) -> dict[Training, list[dict]]:
    """The history of each training, all of them done."""
    return {training: read_json(folder(chapter, training) / HISTORY) for training in trainings}


def do(chapter: Chapter, trainings: Sequence[Training], one: Do) -> None:
    """Do `one(chapter, training, fabric)` for each, which keeps its history last.

    On a CPU they run side by side, each in a process with one thread: small networks gain little from a second thread,
    and one thread adds in the same order on every machine. Each is kept as soon as it has ended.
    """
    if chapter.device != "cpu" or torch.distributed.is_torchelastic_launched():
        fabric = fabric_of(chapter)
        for training in track(trainings, "trainings", len(trainings), disable=not fabric.is_global_zero):
            _once(one, chapter, training, fabric)
    else:
        alone = dataclasses.replace(chapter)    # without what was computed from it: each process maps the pixels itself
        deque(side_by_side(_with_one_thread, [(one, alone, training) for training in trainings], "trainings"), maxlen=0)


def _with_one_thread(one: Do, chapter: Chapter, training: Training) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        _once(one, chapter, training, fabric_of(chapter))
    finally:
        torch.set_num_threads(threads)


def _once(one: Do, chapter: Chapter, training: Training, fabric: Fabric) -> None:
    """Do it, unless it is done by now; where another program, such as a second notebook, does it, this one waits."""
    path = folder(chapter, training) / "training.lock"
    with lock(path) if fabric.world_size == 1 else nullcontext():
        if missing(chapter, [training]):
            one(chapter, training, fabric)


def fabric_of(chapter: Chapter) -> Fabric:
    """A launched Fabric on the chapter's device, in its precision."""
    return loop.start(chapter.device, precision=chapter.settings.precision)
