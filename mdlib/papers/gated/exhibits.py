"""Which trainings each exhibit needs. What several exhibits need is trained once."""

from dataclasses import replace

import pandas as pd

from mdlib.models.channel_attention import MECHANISMS
from mdlib.papers.gated.networks import TORCHVISION, Run
from mdlib.study.study import Study

OURS = Run("gated")
THUMBNAIL = replace(OURS, fusion="global")
CEILING = replace(OURS, sampler="truth")        # what perfect boxes would give
AS_WRITTEN = {"weight": "paper", "rate": "paper"}

# exhibit: its trainings for one seed, the first is that with which the others are compared
RUNS: dict[str, tuple[Run, ...]] = {
    "table1": (OURS, Run("resnet50"), replace(OURS, sampler="anchors"), THUMBNAIL, CEILING),
    "table2": (OURS, *(Run(name) for name in MECHANISMS if name != "gated")),
    "table3": tuple(replace(run, collection="breast") for run in (
        OURS, THUMBNAIL, CEILING, *(Run(name) for name in TORCHVISION))),
    "ablations": (OURS, *(replace(OURS, **change) for change in (
        {"n": 1}, {"n": 2}, {"n": 6}, {"pool": True}, {"source": "thumbnail"}, {"fusion": "global"}, {"fusion": "local"},
        {"reading": "written"}, {"reading": "semantic"}, {"reading": "weighted"}, {"normalise": "sum"},
        {"normalise": "mean"}, {"before": "prerelu"}, {"before": "centred"}, {"threshold": "otsu"},
        {"threshold": "quantile"}))),
    "schedule": (OURS, replace(OURS, weight="paper"), replace(OURS, rate="paper"), replace(OURS, **AS_WRITTEN),
                 replace(OURS, weight="reversed")),
    "leak": (OURS, replace(OURS, split="picture"), replace(OURS, colour=True),
             replace(OURS, colour=True, split="picture")),
}


def exhibit(name: str, study: Study) -> list[Run]:
    """The trainings that an exhibit needs, of all seeds of the study, seed by seed; empty where its data are not there."""
    return [replace(run, seed=seed) for seed in study.seeds for run in RUNS[name] if run.collection in study.data.names]


def planned(study: Study) -> list[Run]:
    """All trainings of a run, each once, ordered by seed."""
    every = dict.fromkeys(run for name in study.settings.exhibits for run in exhibit(name, study))
    return sorted(every, key=lambda run: run.seed)


def overview(study: Study) -> pd.DataFrame:
    """One row per exhibit: collection, trainings for one seed, how many of them are new, and whether they are trained."""
    seen, rows = set(), {}
    for name in RUNS:
        runs = [run for run in exhibit(name, study) if run.seed == study.seed]
        rows[name] = {"collection": ", ".join(dict.fromkeys(run.collection for run in runs)), "trainings": len(runs),
                      "new": len(set(runs) - seen),
                      "trained here": "yes" if name in study.settings.exhibits else "no"}
        seen |= set(runs)
    return pd.DataFrame(rows).T
