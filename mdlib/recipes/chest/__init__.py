"""Chapter 1, Tan et al.: DenseNet-121 with two attention variants on ChestX-ray14."""

from mdlib.recipes.chest import clinic, exhibits, kept, viewing
from mdlib.recipes.chest.chapter import Chapter, phantoms, run_folder, start
from mdlib.recipes.chest.networks import network, weights
from mdlib.recipes.chest.settings import PAPER_WEIGHTS, PROFILES, Chest, choose
from mdlib.recipes.chest.trainings import predictions, scores, train, train_all

__all__ = ["PAPER_WEIGHTS", "PROFILES", "Chapter", "Chest", "choose", "clinic", "exhibits", "kept", "network",
           "phantoms", "predictions", "run_folder", "scores", "start", "train", "train_all", "viewing", "weights"]
