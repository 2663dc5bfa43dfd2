"""Chapter 3, Fan et al.: gated attention that finds instances, crops them at full resolution and fuses them."""

import functools

from mdlib.papers.gated import training
from mdlib.papers.gated.data import open_data, write_phantoms
from mdlib.papers.gated.exhibits import exhibit, planned
from mdlib.papers.gated.networks import Run, build, inputs, network, weights
from mdlib.papers.gated.settings import GRID, PROFILES, Gated, choose
from mdlib.study import study
from mdlib.study.paper import Paper

PAPER = Paper(
    name="gated", profiles=PROFILES, choose=choose, open_data=open_data, write_phantoms=write_phantoms, planned=planned,
    build=build, fit=training.fit, predict=training.predict, parts=lambda run: ("test",), weights=weights,
    default_run=Run("gated"), grid=GRID)
open = functools.partial(study.open, PAPER)

__all__ = ["PAPER", "PROFILES", "Gated", "Run", "exhibit", "inputs", "network", "open", "weights"]
