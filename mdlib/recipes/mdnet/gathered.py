"""Numbers of the test images of networks, kept by training, gathered over folds and seeds, with means and intervals."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd

from mdlib.evaluate import paired
from mdlib.recipes.mdnet.chapter import Chapter
from mdlib.recipes.mdnet.plan import Training
from mdlib.recipes.mdnet.results import Over, patients
from mdlib.recipes.mdnet.trainings import train_all

OfImages = Callable[[Chapter, Training], pd.DataFrame]      # one row per image of the test part of a training


def remembered(chapter: Chapter, name: str, training: Training, compute: Callable[[], pd.DataFrame]) -> pd.DataFrame:
    """A table of numbers by image of a training, from the run folder where it was asked before."""
    kept = chapter.run.remember(f"{name}-{training.slug}", lambda: compute().to_dict("list"))
    return pd.DataFrame(kept).astype(float)


def stacked(chapter: Chapter, name: str, over: Over, of: OfImages, seeds: bool = True) -> dict[str, np.ndarray]:
    """Each column of what `of` measures of the row `name` over these folds, (S, N): one row per seed.

    seeds=False: of what has no seed, (1, N). What is not trained is trained first, side by side.
    """
    every = [[replace(Training(name), fold=fold, seed=seed) for fold in over.folds]
             for seed in (over.seeds if seeds else over.seeds[:1])]
    if seeds:
        train_all(chapter, [one for of_seed in every for one in of_seed])
    joined = [pd.concat([of(chapter, one) for one in of_seed], ignore_index=True) for of_seed in every]
    return {column: np.stack([table[column].to_numpy(float) for table in joined]) for column in joined[0]}


def spread(chapter: Chapter, over: Over, a: np.ndarray, b: np.ndarray | None = None,
           chosen: np.ndarray | None = None) -> paired.Difference | None:
    """The mean of a (S, N), or of a less b, with its interval over patients and seeds.

    Over the images that are `chosen` (N,) and for which all seeds have a number; None where there is no such image.
    """
    b = np.zeros_like(a) if b is None else b
    known = np.isfinite(a).all(axis=0) & np.isfinite(b).all(axis=0) & (True if chosen is None else chosen)
    if not known.any():
        return None
    return paired.difference(a[:, known], b[:, known], np.array(patients(chapter, over))[known],
                             n_bootstrap=chapter.settings.draws, seed=chapter.seed)
