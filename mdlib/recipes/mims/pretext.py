"""The pretext task that stands for ImageNet where its weights are not to be had: shapes and textures, drawn (ours)."""

import functools
from pathlib import Path

import numpy as np
import pandas as pd

from mdlib.data.bags import Bags, BagSamples
from mdlib.data.phantoms import shapes
from mdlib.recipes.mims.settings import Mims

COLLECTION = "shapes"
TESTED = 0.1    # of the drawn images
SHAPE = (64, 64)    # pixels


def samples(settings: Mims, seed: int, part: str) -> BagSamples:
    """The drawn images of `train` or `test`, a bag each."""
    pixels, bags = _drawn(settings.shapes, SHAPE, seed)
    tested = np.arange(len(pixels)) < TESTED * len(pixels)
    return BagSamples(pixels, bags, np.flatnonzero(tested == (part == "test")), draw=None)


@functools.lru_cache(maxsize=1)
def _drawn(count: int, shape: tuple[int, int], seed: int) -> tuple[np.ndarray, Bags]:
    pixels, labels = shapes.draw(count, shape, seed)
    rows = np.arange(count)
    table = pd.DataFrame({"bag": rows.astype(str), "patient": rows, "label": np.array(shapes.CLASSES)[labels],
                          "first": rows, "count": 1})
    return pixels, Bags(Path(), tuple(shapes.CLASSES), table, pd.DataFrame({"path": "", "frame": 0}, index=rows))
