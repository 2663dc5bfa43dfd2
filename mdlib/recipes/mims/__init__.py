"""Chapter 2, Li et al.: a multi-instance multi-scale network on volumes of slices and on single images."""

from mdlib.recipes.mims import (
    attention,
    exhibits,
    explained,
    grid,
    kept,
    located,
    predict,
    pretext,
    results,
    viewing,
)
from mdlib.recipes.mims.chapter import Chapter, phantoms, run_folder, start
from mdlib.recipes.mims.networks import network, weights
from mdlib.recipes.mims.plan import Training
from mdlib.recipes.mims.settings import PROFILES, Mims, choose
from mdlib.recipes.mims.trainings import planned, predictions, train_all, trained

__all__ = ["PROFILES", "Chapter", "Mims", "Training", "attention", "choose", "exhibits", "explained", "grid", "kept",
           "located", "network", "phantoms", "planned", "predict", "predictions", "pretext", "results", "run_folder",
           "start", "train_all", "trained", "viewing", "weights"]
