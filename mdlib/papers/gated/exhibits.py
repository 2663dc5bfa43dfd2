"""Which trainings each exhibit needs, and what the paper prints. What several exhibits need is trained once."""

from dataclasses import replace

import pandas as pd

from mdlib.papers.gated.networks import Run
from mdlib.study.study import Study

OURS = Run("gated")
THUMBNAIL = replace(OURS, fusion="global")
TRUTH = replace(OURS, sampler="truth")          # what perfect boxes would give
REFERENCE = "gated attention"                   # with which the others are compared


def _changed(changes: dict[str, dict]) -> dict[str, Run]:
    return {REFERENCE: OURS, **{label: replace(OURS, **change) for label, change in changes.items()}}


def _baselines(collection: str) -> dict[str, Run]:
    runs = {REFERENCE: OURS, "thumbnail alone": THUMBNAIL, "crops at the true boxes": TRUTH,
            "ResNet-50": Run("resnet50")}
    return {label: replace(run, collection=collection) for label, run in runs.items()}


# exhibit: label: training, for one seed
RUNS: dict[str, dict[str, Run]] = {
    "table1": {**_baselines("fungi"), "NTS network": replace(OURS, sampler="anchors")},
    "table2": {REFERENCE: OURS, "spatial attention": Run("spatial"), "channel-wise attention": Run("channel"),
               "dual attention": Run("dual"), "squeeze-excitation attention": Run("se"),
               "global context attention": Run("gc")},
    "breast": _baselines("breast"),
    "table3": {label: Run(name, collection="breast") for label, name in {
        "VGG19": "vgg19", "Inception-v3": "inception_v3", "DenseNet-161": "densenet161", "AlexNet": "alexnet",
        "ResNet-152": "resnet152"}.items()},
    "bccd": _baselines("bccd"),
    "instances": _changed({"1 instance": {"n": 1}, "2 instances": {"n": 2}, "6 instances": {"n": 6},
                           "mean of 4 instances": {"pool": True}, "crops of the thumbnail": {"source": "thumbnail"},
                           "thumbnail alone": {"fusion": "global"}, "instances alone": {"fusion": "local"},
                           "threshold at the mean": {"threshold": "mean"},
                           "Otsu's threshold": {"threshold": "otsu"}}),
    "attention": _changed({"global logits: mean of X (as written)": {"reading": "written"},
                           "global logits: X under S": {"reading": "semantic"},
                           "global logits: X under the softmax of Ω": {"reading": "weighted"},
                           "M: sum over channels (as written)": {"normalise": "sum"},
                           "M: mean over channels": {"normalise": "mean"},
                           "S compared with X before its last ReLU": {"before": "prerelu"},
                           "S compared with X less its mean": {"before": "centred"}}),
    "schedule": _changed({"λ of the paper": {"weight": "paper"}, "rate of the paper": {"rate": "paper"},
                          "λ and rate of the paper": {"weight": "paper", "rate": "paper"},
                          "λ reversed, from 0 to 1": {"weight": "reversed"}, "thumbnail alone": {"fusion": "global"}}),
    "leak": _changed({"split by picture": {"split": "picture"}, "in colour": {"colour": True},
                      "in colour, split by picture": {"colour": True, "split": "picture"}}),
}
ACCURACY: dict[str, dict[str, float]] = {       # what the paper prints
    "table1": {"ResNet-50": 0.907, "residual attention": 0.867, "attend & rectify": 0.871, "trilinear attention": 0.883,
               "NTS network": 0.914, REFERENCE: 0.951},
    "table2": {"spatial attention": 0.859, "channel-wise attention": 0.883, "dual attention": 0.901,
               "squeeze-excitation attention": 0.939, "global context attention": 0.937, REFERENCE: 0.951},
    "table3": {"VGG19": 0.925, "Inception-v3": 0.913, "DenseNet-161": 0.940, "model fusion": 0.925, "AlexNet": 0.813,
               "ResNet-152": 0.830, "RFSVM": 0.930, "ensemble": 0.825, "refined ensemble": 0.875,
               "two-stage network": 0.850, "hybrid deep network": 0.913, REFERENCE: 0.970},
}
TESTED = {"table1": 538, "table2": 538, "table3": 100}      # pictures: a quarter of 2,151, and of 400


def exhibit(name: str, study: Study) -> dict[str, list[Run]]:
    """By label, the trainings that an exhibit needs, of its seeds; empty where its collection is not there."""
    seeds = study.seeds[:1] if name in study.settings.one_seed else study.seeds
    return {label: [replace(run, seed=seed) for seed in seeds] for label, run in RUNS[name].items()
            if run.collection in study.data.names}


def planned(study: Study) -> list[Run]:
    """All trainings of a run, each once, ordered by seed."""
    every = dict.fromkeys(run for name in study.settings.exhibits for runs in exhibit(name, study).values()
                          for run in runs)
    return sorted(every, key=lambda run: run.seed)


def shipped(study: Study) -> list[Run]:
    """The networks that come with mdlib: on fungi those of Table 2, the thumbnail's and one with the paper's schedule.

    On breast tissue and blood cells, where these are there, the gated network. None of other pictures.
    """
    every = [*RUNS["table2"].values(), THUMBNAIL, RUNS["schedule"]["λ and rate of the paper"],
             replace(OURS, collection="breast"), replace(OURS, collection="bccd")]
    return [run for run in every if run.collection in study.data.names
            and (run.collection == "bccd" or study.data.is_phantom(run))]


def overview(study: Study) -> pd.DataFrame:
    """One row per exhibit: collection, trainings for one seed, how many of them are new, whether they are trained."""
    seen, rows = set(), {}
    for name, labelled in RUNS.items():
        runs = set(labelled.values())
        rows[name] = {"collection": ", ".join({run.collection for run in runs}), "trainings": len(runs),
                      "new": len(runs - seen), "trained here": "yes" if name in study.settings.exhibits else "no"}
        seen |= runs
    return pd.DataFrame(rows).T
