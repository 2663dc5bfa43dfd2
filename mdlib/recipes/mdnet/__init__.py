"""Chapter 5, Zhang et al.: an image model and a language model that write the report, and show where they look."""

from mdlib.recipes.mdnet import fig7, graded, grid, kept, outcome, predict, results, searching, tables
from mdlib.recipes.mdnet.chapter import Chapter, phantoms, run_folder, start
from mdlib.recipes.mdnet.networks import network, weights
from mdlib.recipes.mdnet.plan import Recognition, Training
from mdlib.recipes.mdnet.settings import PROFILES, Settings, choose
from mdlib.recipes.mdnet.trainings import likelihoods, planned, predictions, train_all, trained

__all__ = ["PROFILES", "Chapter", "Recognition", "Settings", "Training", "choose", "fig7", "graded", "grid", "kept",
           "likelihoods", "network", "outcome", "phantoms", "planned", "predict", "predictions", "results",
           "run_folder", "searching", "start", "tables", "train_all", "trained", "weights"]
