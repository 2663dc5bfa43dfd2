"""How well the maps of a run point at causes that are known: against masks, against chance, against no image at all."""

import numpy as np
import pandas as pd

from mdlib.evaluate import localisation
from mdlib.explain import overlay
from mdlib.recipes.chest import pairs
from mdlib.recipes.chest.chapter import Chapter
from mdlib.recipes.chest.mapped import batches, networks, own_maps
from mdlib.recipes.chest.measuring import NO_IMAGE, UNIFORM, USUAL, numbers, scored

PAIRS = 30          # (ours) test images a finding on phantoms
BOXES = 200         # (ours) test images a finding with a box: all that NIH gives


def localised(chapter: Chapter) -> pd.DataFrame:
    """How well each map points at the cause: network, method, measure, finding, mean, low, high, pairs.

    Beside the measures of `mdlib.evaluate.localisation`: `shown`, the share of maps with anything to show, and, over
    findings, `<measure> beyond <reference>`, the measure less that of a map that never looks at the image: the uniform
    map, which is chance, or the usual place. Empty where no cause is known.
    """
    most = BOXES if chapter.xrays.truth is None else PAIRS

    def compute() -> list[dict]:
        table = pairs.known(chapter, most)
        if table.empty:
            return []
        masks = pairs.masks(chapter, table)
        usual = pairs.usual(chapter, table, masks)
        reference = {UNIFORM: _measures(np.ones_like(usual), masks), USUAL: _measures(usual, masks)}
        found = [(NO_IMAGE, reference)]
        for name, model in networks(chapter):
            parts = [{method: _measures(maps, masks[of.index]) for method, maps in own_maps(model, batch).items()}
                     for of, batch in batches(chapter, name, table)]
            found.append((name, {method: pd.concat([part[method] for part in parts]) for method in parts[0]}))
        return [row for name, methods in found for method, scores in methods.items()
                for row in scored(chapter, table, scores, reference, network=name, method=method)]
    return numbers(chapter.run.remember("measured_localisation", compute, most=most, share=localisation.SHARE))


def _measures(raw: np.ndarray, masks: np.ndarray) -> pd.DataFrame:
    return localisation.measures(overlay.upsample(raw, masks.shape[1:]), masks)
