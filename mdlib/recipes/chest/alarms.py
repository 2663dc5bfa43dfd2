"""How often the checks of `mdlib predict` raise an alarm: on test images as they are, and on spoiled ones."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from mdlib.data import images
from mdlib.data.checks import radiographs
from mdlib.recipes.chest.card import reference
from mdlib.recipes.chest.chapter import Chapter

SPOILED: dict[str, Callable[[np.ndarray], np.ndarray]] = {  # of uint8 (N, H, W)
    "as they are": lambda grey: grey,
    "inverted": lambda grey: 255 - grey,
    "turned by 90°": lambda grey: np.rot90(grey, axes=(1, 2)),
    "upside down": lambda grey: np.rot90(grey, 2, axes=(1, 2)),
    "left and right exchanged": lambda grey: grey[:, :, ::-1],
    "12 bits in a 16-bit file": lambda grey: grey // 16,
    "twice as bright, clipped": lambda grey: np.minimum(grey, 127) * 2 + (grey > 127),
}


def alarms(chapter: Chapter, others: dict[str, Sequence[Path]] | None = None, count: int = 1000) -> pd.DataFrame:
    """The share of images beyond each limit, a row a kind of image: `images`, a column a check, `any` of them.

    The first row tells the false alarms: at most `count` test images, drawn at random, on which nothing was chosen. The
    next ones tell what is found of the same images spoiled, and of `others`: files of another kind. Lateral views
    cannot be simulated: what share of them is found is not known.
    """
    known, settings = reference(chapter), chapter.settings
    rows = np.random.default_rng(chapter.seed).permutation(chapter.rows["test"])[:count]
    test = np.asarray(images.centre_crop(chapter.pixels, settings.crop)[np.sort(rows)])
    kinds = {name: spoil(test) for name, spoil in SPOILED.items()}
    for name, files in (others or {}).items():
        kinds[name] = np.stack([images.seen(images.read_grey(file), settings.resize, settings.crop) for file in files])
    table = {}
    for name, crops in kinds.items():
        found = radiographs.beyond(radiographs.measure(crops, known), known)
        table[name] = {"images": len(crops), **{check: strange.mean() for check, strange in found.items()},
                      "any": np.any(list(found.values()), axis=0).mean()}
    return pd.DataFrame(table).T.astype({"images": int}).rename_axis("images of the test part, or other")
