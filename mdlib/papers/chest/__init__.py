"""Chapter 1, Tan et al.: DenseNet-121 with two attention variants on ChestX-ray14."""

import functools

from mdlib.papers.chest import predict, published, training
from mdlib.papers.chest.data import CLASSES, open_data, write_phantoms
from mdlib.papers.chest.exhibits import COMPARED, compared_runs, exhibit, planned, predicted_parts, shipped
from mdlib.papers.chest.metadata import metadata_baseline
from mdlib.papers.chest.networks import BUILD, PAPER_WEIGHTS, Run, build, inputs, network, weights
from mdlib.papers.chest.settings import GRID, PROFILES, Chest, choose
from mdlib.study import study
from mdlib.study.paper import Paper

PAPER = Paper(
    name="chest", profiles=PROFILES, choose=functools.partial(choose, BUILD), open_data=open_data,
    write_phantoms=write_phantoms, planned=planned, build=build, fit=training.fit, predict=training.predict,
    parts=predicted_parts, weights=weights, default_run=Run("densenet121"),
    card=predict.card, reference=predict.reference, inference="mdlib.papers.chest.predict",
    shipped=shipped,
    metrics=published.metrics, publish=published.publish, grid=GRID, publish_grid=published.publish_grid)
open = functools.partial(study.open, PAPER)

__all__ = ["CLASSES", "COMPARED", "PAPER", "PAPER_WEIGHTS", "PROFILES", "Chest", "Run", "compared_runs", "exhibit",
           "inputs", "metadata_baseline", "network", "open", "weights"]
