"""The full tables of chapter 2: every method and pooling over the paper's three runs, by one resumable command."""

from mdlib.recipes.mims.methods import METHODS, POOLINGS
from mdlib.recipes.mims.settings import KERNELS

GRID = {"collections": list(KERNELS), "methods": list(METHODS), "poolings": list(POOLINGS), "seeds": 3}
