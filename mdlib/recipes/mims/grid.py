"""The full tables of chapter 2: every method and pooling over the paper's three runs, by one resumable command."""

from mdlib.recipes.mims.methods import METHODS, POOLINGS

GRID = {"methods": list(METHODS), "poolings": list(POOLINGS), "seeds": 3}
