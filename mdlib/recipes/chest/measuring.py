"""What chapters share that hold maps against masks: the measures, what is beyond a map that sees no image, means."""

from typing import Any

import numpy as np
import pandas as pd

from mdlib.evaluate import localisation, per_class
from mdlib.explain import overlay

NO_IMAGE = "no image"                       # stands for the network where a map comes from none
UNIFORM, USUAL = "uniform", "usual place"   # the same everywhere: chance; where the finding usually is
MEASURES = tuple(localisation.MEASURES)


def scored(chapter: Any, table: pd.DataFrame, scores: pd.DataFrame, reference: dict[str, pd.DataFrame],
           **named: str) -> list[dict]:
    """The means of the measures, and of each less that of the maps in `reference`, as records named `named`."""
    scores, wanted = scores.reset_index(drop=True), list(MEASURES)
    beyond = pd.concat([(scores[wanted] - of[wanted]).add_suffix(f" beyond {name}")
                        for name, of in reference.items()], axis=1)
    return means(chapter, table, scores, **named) + means(chapter, table, beyond, **named)


def amounts(maps: dict[str, np.ndarray], without: dict[str, np.ndarray], masks: np.ndarray) -> dict[tuple, np.ndarray]:
    """Columns (method, measure): each map's `mass in the cause`, and `its change` when the cause is taken away.

    maps and without: raw maps (N, h, w) by method, of the images and of their twins without the cause; masks
    (N, H, W). The mass is what a map has above 0 within the mask; its change is that less what the twin's map has in
    the same pixels. NaN where the map shows nothing. `size of the cause`, of no image: the mask's share of the image.
    """
    columns = {(NO_IMAGE, "size of the cause"): localisation.chance(masks)}
    for method, raw in maps.items():
        both = (overlay.upsample(of, masks.shape[1:]) for of in (raw, without[method]))
        table = localisation.mass_change(*both, masks, cells=raw[0].size)
        columns |= {(method, measure): table[measure].to_numpy() for measure in table}
    return columns


def agreed(chapter: Any, table: pd.DataFrame, effect: np.ndarray, values: pd.DataFrame, network: str) -> list[dict]:
    """The mean `effect` (N,) by finding, and its rank correlation with each column of `amounts`, as records."""
    rows = means(chapter, table, pd.DataFrame({"effect": effect}), network=network, method=NO_IMAGE)
    found = per_class.rank_agreement(effect, values, table["finding"], table["patient"],
                                      n_bootstrap=chapter.settings.draws, seed=chapter.seed)
    return rows + [{"network": network, "method": method, "measure": measure, **row} for (method, measure), row
                   in zip(found.index, found.to_dict("records"), strict=True)]


def means(chapter: Any, table: pd.DataFrame, values: pd.DataFrame, *, by_finding: bool = True,
          **named: str | int) -> list[dict]:
    """The means of each column of `values` (a row a pair) by finding and over findings, as records named `named`.

    `table` has the finding and the patient of each pair; of the chapter, settings.draws and seed are asked.
    """
    found = per_class.class_means(values, table["finding"], table["patient"], n_bootstrap=chapter.settings.draws,
                                   seed=chapter.seed)
    found = found if by_finding else found[found["finding"] == per_class.MEAN]
    return found.assign(**named).to_dict("records")


def numbers(records: list[dict]) -> pd.DataFrame:
    """A table of what was remembered; what has no value is NaN."""
    table = pd.DataFrame(records)
    floats = [name for name in ("mean", "low", "high", "chance", "correlation") if name in table]
    return table.astype(dict.fromkeys(floats, float))
