"""Chapter 4, Wu et al.: what single units of networks that classify patches of mammograms detect."""

import functools

from mdlib.papers.mammography import published, training
from mdlib.papers.mammography.data import CLASSES, open_data, write_phantoms
from mdlib.papers.mammography.exhibits import NAMES, OURS, TABLE_1, exhibit, planned, shipped
from mdlib.papers.mammography.networks import Run, build, inputs, layers, network, weights
from mdlib.papers.mammography.settings import GRID, NETWORKS, PROFILES, Mammography, choose
from mdlib.study import study
from mdlib.study.paper import Paper

PAPER = Paper(
    name="mammography", profiles=PROFILES, choose=choose, open_data=open_data, write_phantoms=write_phantoms,
    planned=planned, build=build, fit=training.fit, predict=training.predict, parts=training.parts, weights=weights,
    default_run=OURS, shipped=shipped, metrics=published.metrics, grid=GRID, publish_grid=published.publish)
open = functools.partial(study.open, PAPER)

__all__ = ["CLASSES", "NAMES", "NETWORKS", "OURS", "PAPER", "PROFILES", "TABLE_1", "Mammography", "Run", "exhibit",
           "inputs", "layers", "network", "open", "weights"]
