"""How well the attention of trained networks covers the instances that decide the class (Fig. 5), beside chance."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from mdlib.errors import SettingsError
from mdlib.evaluate import coverage, resampling
from mdlib.evaluate import localisation as hits
from mdlib.models.instances import component_boxes, lit_pixels, raised
from mdlib.papers.gated.data import EDGES
from mdlib.papers.gated.networks import Run, inputs
from mdlib.papers.gated.training import outputs
from mdlib.study.study import Study

PAPER_COVERED = 0.72        # of an expert's boxes on 100 pictures (section 3); the area of the mask is not said
POINTED = ("pointing game", "mass accuracy", "rank accuracy")
MEASURES = ("covered", "chance", "covered minus chance", "location prior", "covered minus location prior",
            "other boxes covered", "other boxes by chance", "mask area", "recall at IoU 0.5", "recall at IoU 0.3",
            "centre in crop", *POINTED, "uniform")


class Located(NamedTuple):
    """Maps and boxes of the N pictures of a part, and the M known boxes that decide their class."""

    maps: np.ndarray        # (N, 4 h, 4 w) float64: Omega, upsampled, `models.instances.raised`
    masks: np.ndarray       # (N, 4 h, 4 w) bool: where it is above the threshold
    crops: np.ndarray       # (N, n, 4): top, left, bottom, right in fractions of the picture
    found: np.ndarray       # (N, n) bool: False for a crop that repeats the first
    prior: np.ndarray       # (4 h, 4 w) float64: how often a pixel lies in a known box of the training pictures (ours)
    known: np.ndarray       # (M, 4), as crops
    images: np.ndarray      # (M,) int: the picture of each known box, from 0 to N - 1
    patients: np.ndarray    # (M,): its patient


def known_boxes(study: Study, run: Run, part: str = "test", decides: bool = True) -> pd.DataFrame:
    """The known boxes of a part that decide the class, or the others, as `GatedData.boxes`; empty where none are."""
    boxes = study.data.boxes(run)
    return boxes[(boxes["decides"] == decides) & boxes["row"].isin(study.data.rows(part, run))]


def attention(study: Study, run: Run, part: str = "test") -> dict[str, np.ndarray]:
    """What a trained network gives for a part beside its logits (see `models.instance_fusion`), by name.

    attention, boxes and found, and where the mechanism has them semantic and gates; arrays with one row per picture.

    The boxes of a network that cuts none, because it sees the thumbnail alone, are those that it would cut.
    """
    model, samples = study.model(run), study.samples(part, run)
    with torch.inference_mode():
        given = model(**{name: value.to(study.device) for name, value in inputs(samples.batch(1), model).items()})
    names = [name for name in ("attention", "semantic", "gates", "boxes", "found") if name in given]
    out = outputs(study.fabric(), model, samples, tuple(names))
    if "boxes" not in out:
        sizes = torch.from_numpy(study.data.sizes(run)[study.data.rows(part, run)])
        boxes = component_boxes(torch.from_numpy(out["attention"]), sizes, run.n, threshold=run.threshold)
        out |= {name: value.numpy() for name, value in boxes._asdict().items()}
    return {**out, "found": out["found"].astype(bool)}


def located(study: Study, run: Run, part: str = "test") -> Located:
    """Maps, masks and boxes of a trained network in a part. Raises SettingsError where no boxes are known."""
    known, images, patients = _placed(study, run, part)
    if not len(known):
        raise SettingsError("nothing is known of the instances of these pictures", f"collection {run.collection}")
    out = attention(study, run, part)
    maps, masks = lit_pixels(out["attention"], run.threshold)
    return Located(raised(maps), masks, out["boxes"], out["found"], _location_prior(study, run, maps.shape[1:]),
                   known, images, patients)


def _placed(study: Study, run: Run, part: str, decides: bool = True) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The M known boxes of a part: their edges (M, 4), the place of each picture in the part, and its patient (M,)."""
    boxes = known_boxes(study, run, part, decides)
    return (boxes[list(EDGES)].to_numpy(), pd.Index(study.data.rows(part, run)).get_indexer(boxes["row"]),
            study.data.of(run).table["patient"].to_numpy()[boxes["row"]])


def _location_prior(study: Study, run: Run, shape: tuple[int, int]) -> np.ndarray:
    boxes, images, _ = _placed(study, run, "train")
    return coverage.pixels_in_boxes(boxes, images, (len(study.data.rows("train", run)), *shape)).mean(axis=0)


def _by_prior(one: Located, share: float) -> np.ndarray:
    """Which known boxes the location prior covers with a mask of this share of every picture, (M,)."""
    return coverage.covered(coverage.highest(one.prior[None], share), one.known, np.zeros_like(one.images))


def _others(study: Study, run: Run, one: Located, part: str) -> pd.DataFrame:
    """Whether the mask covers the known boxes that do not decide the class, and by chance; indexed by patient."""
    boxes, images, patients = _placed(study, run, part, decides=False)
    return pd.DataFrame({"other boxes covered": coverage.covered(one.masks, boxes, images),
                         "other boxes by chance": coverage.chance(one.masks, boxes, images, seed=study.seed)}, patients)


def measures(study: Study, runs: Sequence[Run], part: str = "test") -> pd.DataFrame:
    """How well the attention of trainings that differ in their seed finds the known instances, one row per measure.

    Columns: measure (of MEASURES), value, low, high, boxes, pictures, seeds. Means over boxes of the measures of
    `evaluate.coverage`, and of what the location prior covers with a mask as large as the masks are on average;
    `other boxes …` are of known boxes that do not decide the class, NaN without any. Means over pictures of
    POINTED (`evaluate.localisation`), with all boxes of a picture as the mask, and of `uniform`, what a map that is the
    same everywhere scores in them. Means over seeds too, 95 % intervals over patients. Raises SettingsError where no
    boxes are known.
    """
    each = [located(study, run, part) for run in runs]
    options = {"n_bootstrap": study.settings.n_bootstrap, "seed": study.seed}
    of_boxes = [pd.DataFrame(coverage.measures(one.masks, one.crops, one.known, one.images, one.found, seed=study.seed))
                .assign(**{"location prior": _by_prior(one, one.masks.mean())}) for one in each]
    for table in of_boxes:
        table["covered minus location prior"] = table["covered"] - table["location prior"]
    others = [_others(study, run, one, part) for run, one in zip(runs, each, strict=True)]
    shown, first = np.unique(each[0].images, return_index=True)         # pictures with known boxes
    inside = coverage.pixels_in_boxes(each[0].known, each[0].images, each[0].maps.shape)[shown]
    of_pictures = [hits.measures(one.maps[shown], inside, POINTED).assign(uniform=hits.chance(inside)) for one in each]
    found = [resampling.mean_interval(np.mean(tables, axis=0), patients, **options).set_axis(tables[0].columns)
             for tables, patients in ((of_boxes, each[0].patients), (of_pictures, each[0].patients[first]),
                                      (others, others[0].index))]
    table = pd.concat(found).loc[list(MEASURES)].rename_axis("measure").reset_index()
    return table.rename(columns={"mean": "value"})[["measure", "value", "low", "high"]].assign(
        boxes=len(each[0].known), pictures=len(shown), seeds=len(runs))


def curve(study: Study, run: Run, part: str = "test") -> pd.DataFrame:
    """Share of boxes covered, by the same mask elsewhere, and by the location prior, against the area of the mask.

    Columns: mask area, series, value, low, high (95 % intervals over patients). The masks are the highest pixels of
    each map. The last series is what the paper prints, whatever the area of its masks was. Empty where no boxes are
    known.
    """
    if known_boxes(study, run, part).empty:
        return pd.DataFrame(columns=["mask area", "series", "value", "low", "high"])
    one = located(study, run, part)
    found = coverage.curve(one.maps, one.known, one.images, seed=study.seed)
    found["location prior"] = np.stack([_by_prior(one, level) for level in coverage.LEVELS])
    rows = []
    for series in ("covered", "chance", "location prior"):
        ends = resampling.mean_interval(found[series].T, one.patients, n_bootstrap=study.settings.n_bootstrap,
                                        seed=study.seed)
        rows.append(pd.DataFrame({"mask area": found["mask area"].mean(axis=1), "series": series, "value": ends["mean"],
                                  "low": ends["low"], "high": ends["high"]}))
    paper = dict.fromkeys(("value", "low", "high"), PAPER_COVERED)
    rows.append(pd.DataFrame({"mask area": rows[0]["mask area"], "series": "the paper", **paper}))
    return pd.concat(rows, ignore_index=True)
