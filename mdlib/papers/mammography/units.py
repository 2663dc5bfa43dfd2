"""Units of the chapter's networks: dissected against what is known of the patches, labelled, and what they decide."""

from collections.abc import Iterator, Mapping

import pandas as pd
import torch
from torch import Tensor, nn

from mdlib.evaluate import units as summaries
from mdlib.explain.dissection import dissect
from mdlib.explain.dissection_result import Dissection
from mdlib.explain.units import Contributions, unit_contributions
from mdlib.papers.mammography import networks
from mdlib.papers.mammography.concepts import ConceptMasks
from mdlib.papers.mammography.networks import Run
from mdlib.study.study import Study

AT_ONCE = 64                        # patches per step
LABEL_GRID = {"alexnet": 2}         # how many times finer than the maps masks are compared; else 4
TOP = 64                            # patches that are kept of each unit (the authors' code)


def batches(study: Study, run: Run, part: str) -> Iterator[dict[str, Tensor]]:
    """The patches of a part in order, as `dissect` takes them."""
    samples = study.samples(part, run)
    for start in range(0, len(samples), AT_ONCE):
        yield samples.batch(range(start, min(start + AT_ONCE, len(samples))))


def dissected(study: Study, run: Run, part: str = "val", layer: str = "", model: nn.Module | None = None) -> Dissection:
    """The units of a layer of a trained network, by default its last, on the patches of a part (section 2.3).

    model: another network of the same kind, for instance one that was not trained. The null is of other patients.
    """
    masks, patches = ConceptMasks(study.data, run), study.data.patches
    return dissect(study.model(run) if model is None else model, layer or networks.layers(run, study.settings)[0],
                   batches(study, run, part), masks, masks.names, groups=patches["patient"].to_numpy(),
                   k=min(TOP, len(study.data.rows(part, run))), label_grid=LABEL_GRID.get(run.network, 4))


def labels(of: Dissection, rule: str = "maximum") -> pd.DataFrame:
    """The concept of each unit that has one: unit, concept, iou, null 95 %; one row per unit that has a label.

    A unit is labelled with the concept of its highest IoU where this exceeds `evaluate.units.DETECTS` and the 95 %
    quantile of the null (ours: the paper's labels are readers').
    """
    best = summaries.top_concepts(of.iou(rule), of.concepts)
    best = with_null(best[best["detector"]].drop(columns="detector"), of, rule)
    return best[best["iou"] > best["null 95 %"]].reset_index(drop=True)


def with_null(table: pd.DataFrame, of: Dissection, rule: str) -> pd.DataFrame:
    """A table with the columns unit and concept, and `null 95 %`, the 95 % quantile of the null of each row."""
    null = of.table(rule).set_index(["unit", "concept"])["null 95 %"]
    return table.assign(**{"null 95 %": null.reindex(pd.MultiIndex.from_frame(table[["unit", "concept"]])).to_numpy()})


def explained(study: Study, run: Run, batch: Mapping[str, Tensor], layer: str = "") -> Contributions:
    """What each unit of a layer adds to the log-odds of malignant, for each patch of a batch."""
    model = study.model(run)
    image = batch["image"].to(study.device)
    return unit_contributions(model, {"image": image}, layer or networks.layers(run, study.settings)[0])


def untrained(study: Study, run: Run) -> nn.Module:
    """The network of a training as it starts, in evaluation mode."""
    torch.manual_seed(run.seed)
    return networks.network(run, study.settings).to(study.device).eval()
