"""A training of each paper that is interrupted in any epoch goes on to the weights of one that was left alone."""

import importlib
from dataclasses import replace

import pytest
import torch

from mdlib import chapters
from mdlib.study import study as studies
from mdlib.training import checkpoints, loop

EPOCHS = 3


def runs_of(paper: str) -> list:
    """The trainings that are interrupted: of gated those whose schedules and boxes could get out of step."""
    run = importlib.import_module(f"mdlib.papers.{paper}").PAPER.default_run
    return [run] if paper != "gated" else [replace(run, weight="paper", rate="paper"), replace(run, sampler="truth")]


@pytest.mark.parametrize("paper, run", [(paper, run) for paper in chapters.PAPERS for run in runs_of(paper)],
                         ids=lambda value: getattr(value, "slug", value))
def test_an_interrupted_training_comes_to_the_same_bits(paper, run, request, tmp_path, monkeypatch):
    tiny = request.getfixturevalue(f"tiny_{paper}")
    overrides = importlib.import_module(f"tiny_{paper}").TINY | {"epochs": EPOCHS}

    class Stops(loop.LossWatch):
        left = -1

        def add(self, *step):
            Stops.left -= 1
            if Stops.left == 0:
                raise KeyboardInterrupt
            super().add(*step)
    monkeypatch.setattr(loop, "LossWatch", Stops)
    whole, stopped = (studies.open(tiny.paper, data_dir=str(tiny.data.folder), run_dir=str(tmp_path / name),
                                   device="cpu", overrides=overrides) for name in ("whole", "stopped"))
    Stops.left = 0
    _, history = whole.paper.fit(whole, run, whole.fabric())
    steps = -Stops.left
    for Stops.left in (steps // EPOCHS + 1, steps // EPOCHS + 1):       # in the second epoch, then in the third
        with pytest.raises(KeyboardInterrupt):
            stopped.paper.fit(stopped, run, stopped.fabric())
    Stops.left = 0
    assert stopped.paper.fit(stopped, run, stopped.fabric())[1] == history and len(history) == EPOCHS
    assert 0 < -Stops.left < steps, "it went on where it was interrupted"
    one, other = (checkpoints.weights(study.run_folder(run) / checkpoints.NAME) for study in (whole, stopped))
    assert one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())
