"""How well the attention of trained networks covers the instances that decide the class (Fig. 5), beside chance."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from torch.utils.data import Subset

from mdlib.errors import SettingsError
from mdlib.evaluate import coverage, resampling
from mdlib.models.instances import component_boxes, lit_pixels
from mdlib.papers.gated.networks import Run
from mdlib.papers.gated.training import outputs
from mdlib.study.study import Study

PAPER_COVERED = 0.72        # of an expert's boxes on 100 pictures (section 3); how much of them is lit is not said
MEASURES = ("covered", "chance", "covered minus chance", "lit", "recall at IoU 0.5", "recall at IoU 0.3",
            "centre in crop")


class Located(NamedTuple):
    """Maps and boxes of the test pictures of a training, and the known boxes that decide their class."""

    maps: np.ndarray        # (N, h, w) float32: Omega
    masks: np.ndarray       # (N, 4 h, 4 w) bool: where it is above the threshold
    crops: np.ndarray       # (N, n, 4)
    found: np.ndarray       # (N, n) bool
    known: np.ndarray       # (M, 4)
    images: np.ndarray      # (M,): the picture of each known box
    patients: np.ndarray    # (M,)


def located(study: Study, run: Run, part: str = "test", rows: Sequence[int] | None = None) -> Located:
    """What the attention of a trained network lights in a part, or in its samples at `rows`.

    Raises SettingsError where no boxes are known. The boxes of a network that cuts none are those it would cut.
    """
    boxes, of_part = study.data.boxes(run), study.data.rows(part, run)
    samples, model = study.samples(part, run), study.model(run)
    if rows is not None:
        samples, of_part = Subset(samples, rows), of_part[list(rows)]
    boxes = boxes[boxes["decides"] & boxes["row"].isin(of_part)]
    if boxes.empty:
        raise SettingsError("nothing is known of the instances of these pictures", f"collection {run.collection}")
    cuts = run.fusion != "global" and run.sampler != "truth"
    out = outputs(study.fabric(), model, samples, ("attention", *(("boxes", "found") if cuts else ())))
    masks = lit_pixels(out["attention"], run.threshold)[1]
    if not cuts:
        import torch

        sizes = study.data.sizes(run)[of_part]
        out["boxes"], out["found"] = (each.numpy() for each in component_boxes(
            torch.from_numpy(out["attention"]), torch.from_numpy(sizes), run.n, threshold=run.threshold))
    images = pd.Index(of_part).get_indexer(boxes["row"])
    patients = study.data.of(run).table["patient"].to_numpy()[boxes["row"]]
    return Located(out["attention"], masks, out["boxes"], out["found"].astype(bool),
                   boxes[["top", "left", "bottom", "right"]].to_numpy(), images, patients)


def measures(study: Study, runs: Sequence[Run], part: str = "test") -> pd.DataFrame:
    """`evaluate.coverage.measures` of some trainings of one series: measure, value, low, high, boxes, pictures, seeds.

    Means over seeds and boxes, 95 % intervals over patients.
    """
    each = [located(study, run, part) for run in runs]
    values = [coverage.measures(one.masks, one.crops, one.known, one.images, one.found, seed=study.seed)
              for one in each]
    rows = [(name, *resampling.mean_interval(
        np.mean([value[name] for value in values], axis=0), each[0].patients, n_bootstrap=study.settings.n_bootstrap,
        seed=study.seed)[["mean", "low", "high"]].iloc[0]) for name in MEASURES]
    return pd.DataFrame(rows, columns=["measure", "value", "low", "high"]).assign(
        boxes=len(each[0].known), pictures=len(np.unique(each[0].images)), seeds=len(runs))


def curve(study: Study, run: Run, part: str = "test") -> pd.DataFrame:
    """Covered, and covered by chance, against the share of the picture that is lit: lit, series, value, low, high.

    The masks are the highest pixels of each map.
    """
    one = located(study, run, part)
    large = lit_pixels(one.maps, run.threshold)[0]
    found = coverage.curve(large, one.known, one.images, seed=study.seed)
    rows = []
    for series in ("covered", "chance"):
        ends = resampling.mean_interval(found[series].T, one.patients, n_bootstrap=study.settings.n_bootstrap,
                                        seed=study.seed)
        rows.append(pd.DataFrame({"lit": found["lit"].mean(axis=1), "series": series, "value": ends["mean"],
                                  "low": ends["low"], "high": ends["high"]}))
    return pd.concat(rows, ignore_index=True)
