"""Chapter 3, Fan et al.: gated attention that finds instances, crops them at full resolution and fuses them."""

import functools

from mdlib.papers.gated import predict, published, training
from mdlib.papers.gated.data import open_data, write_phantoms
from mdlib.papers.gated.exhibits import OURS, exhibit, planned, shipped
from mdlib.papers.gated.networks import Run, build, inputs, network, weights
from mdlib.papers.gated.settings import GRID, PROFILES, Gated, choose
from mdlib.study import study
from mdlib.study.paper import Paper

PAPER = Paper(
    name="gated", profiles=PROFILES, choose=choose, open_data=open_data, write_phantoms=write_phantoms, planned=planned,
    build=build, fit=training.fit, predict=training.predict, parts=training.parts, weights=weights, default_run=OURS,
    card=predict.card, reference=predict.reference, inference="mdlib.papers.gated.predict", shipped=shipped,
    metrics=published.metrics, grid=GRID, publish_grid=published.publish)
open = functools.partial(study.open, PAPER)

__all__ = ["OURS", "PAPER", "PROFILES", "Gated", "Run", "exhibit", "inputs", "network", "open", "weights"]
