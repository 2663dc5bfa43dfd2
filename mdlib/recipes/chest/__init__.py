"""Chapter 1, Tan et al.: DenseNet-121 with two attention variants on ChestX-ray14."""

from mdlib.recipes.chest import (
    alarms,
    cancelling,
    clinic,
    exhibits,
    grid,
    heatmaps,
    kept,
    measured,
    peers,
    predict,
    results,
    viewing,
)
from mdlib.recipes.chest.chapter import Chapter, phantoms, run_folder, start
from mdlib.recipes.chest.networks import network, weights
from mdlib.recipes.chest.plan import EXHIBITS, Training
from mdlib.recipes.chest.settings import PAPER_WEIGHTS, PROFILES, Chest, choose
from mdlib.recipes.chest.trainings import planned, predictions, train, train_all

__all__ = ["EXHIBITS", "PAPER_WEIGHTS", "PROFILES", "Chapter", "Chest", "Training", "alarms", "cancelling",
           "choose", "clinic", "exhibits", "grid", "heatmaps", "kept", "measured", "network", "peers",
           "phantoms", "planned", "predict", "predictions", "results", "run_folder", "start", "train",
           "train_all", "viewing", "weights"]
