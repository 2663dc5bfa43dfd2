"""Which trainings each exhibit needs. What several exhibits need is trained once."""

from dataclasses import replace
from itertools import product

import pandas as pd

from mdlib.errors import DataError
from mdlib.papers.chest.networks import BUILD, Run
from mdlib.papers.chest.settings import ATTENTION, BASELINES
from mdlib.study.study import Study

# part a network is fitted to: parts it then predicts. Those of the paper; and those of splits.leak_experiment (ours):
# "leaky" has other images of the patients of "held_out", "grouped" as many of patients drawn alike.
PREDICTED = {"train": ("val", "test"), "train_val": ("test",), "leaky": ("held_out",), "grouped": ("held_out",)}


def _each(networks: tuple[str, ...], **options: tuple) -> tuple[Run, ...]:
    return tuple(Run(network, **dict(zip(options, values, strict=True)))
                 for network in networks for values in product(*options.values()))


# Sections 2.6 and 2.7: figures on the validation part are of networks fitted to "train", those on the test part of
# networks fitted to "train_val". The text does not say on which of them Fig. 11 is; we show the test part.
RUNS = {
    "fig6": _each(BASELINES, part=("train", "train_val"), n_classes=(15, 14), rate=("low_learning_rate",),
                  epochs=("few_epochs",)),
    "fig7": _each(BASELINES + ATTENTION, rate=("learning_rate", "low_learning_rate")),
    "fig8": _each(BASELINES, part=("train_val",)),
    "fig9": _each(tuple(BUILD), part=("train", "train_val")),
    "fig11": _each(("densenet121", "densenet121_nonimage", "att_a", "att_a_nonimage"), part=("train_val",)),
    "repair": _each(ATTENTION, part=("train", "train_val"), normalise=("softmax", "sigmoid")),
    "leak": _each(("densenet121",), part=("leaky", "grouped"), epochs=("leak_epochs",)),
}
# exhibit: the field in which compared trainings differ, and the pairs of its values: the first less the second
COMPARED = {
    "fig6": ("n_classes", [(15, 14)]),
    "fig7": ("rate", [("learning_rate", "low_learning_rate")]),
    "fig8": ("network", [("densenet121", "resnet50")]),
    "fig9": ("network", [("densenet121", "resnet50"),
                         *((name, "densenet121") for name in BUILD if name not in BASELINES)]),
    "fig11": ("network", [("densenet121_nonimage", "densenet121"), ("att_a_nonimage", "att_a")]),
    "repair": ("normalise", [("sigmoid", "softmax")]),
    "leak": ("part", [("leaky", "grouped")]),
}


# exhibit: its panels as (title, the part that is predicted, the networks shown); a network with the non-image branch
# goes with its body
PANELS = {
    "fig6": (("Fig. 6a: validation", "val", BASELINES), ("Fig. 6b: test", "test", BASELINES)),
    "fig7": (("Fig. 7b: validation", "val", BASELINES), ("Fig. 7c: validation", "val", ATTENTION)),
    "fig8": (("Fig. 8: test", "test", BASELINES),),
    "fig9": (("Fig. 9a: validation", "val", tuple(BUILD)), ("Fig. 9b: test", "test", tuple(BUILD))),
    "fig11": (("Fig. 11: test", "test", ("densenet121", "att_a")),),
    "repair": (("The repair: validation", "val", ATTENTION), ("The repair: test", "test", ATTENTION)),
    "leak": (("The leak: held-out images", "held_out", ("densenet121",)),),
}
FITTED = {"val": ("train",), "test": ("train_val",), "held_out": ("leaky", "grouped")}   # what predicts a part


def runs_of(name: str, few_epochs: int) -> tuple[Run, ...]:
    """The trainings of an exhibit for one seed and split; few_epochs: as in the settings, for Fig. 6."""
    if name == "fig6" and few_epochs == 0:
        return tuple(replace(run, rate=Run.rate, epochs=Run.epochs) for run in RUNS[name])
    return RUNS[name]


def exhibit(name: str, study: Study, part: str = "", n_splits: int = 1) -> list[Run]:
    """The trainings that an exhibit needs, of its seeds, and of the first `n_splits` splits where the split matters.

    part: only those that predict it (val, test or held_out as the paper does; see RUNS). Empty where its networks are
    no part of the settings, and where this collection has no patients for the leak.
    """
    if name == "leak" and not _has_leak(study):
        return []
    fitted = FITTED.get(part, tuple(PREDICTED))
    seeds = study.seeds[:1] if name in study.settings.one_seed else study.seeds
    runs = [run for run in runs_of(name, study.settings.few_epochs)
            if run.body in study.settings.networks and run.part in fitted]
    return [replace(run, fold=fold, seed=seed) for seed in seeds for fold in range(n_splits) for run in runs
            if fold == 0 or run.part != "train_val"]


def compared_runs(name: str, runs: list[Run]) -> list[tuple[Run, Run]]:
    """What an exhibit compares, as pairs of trainings without their fold and seed: the first less the second."""
    field, values = COMPARED[name]
    series = list(dict.fromkeys(run.series for run in runs))
    return [(run, replace(run, **{field: second})) for first, second in values for run in series
            if getattr(run, field) == first and replace(run, **{field: second}) in series]


def planned(study: Study) -> list[Run]:
    """All trainings of a run, each once: what its exhibits need, for every seed and split of the settings.

    Ordered by seed, so that the first seed is complete when the second begins.
    """
    every = dict.fromkeys(run for name in study.settings.exhibits
                          for run in exhibit(name, study, n_splits=study.settings.n_splits))
    return sorted(every, key=lambda run: run.seed)


def shipped(_study: Study) -> list[Run]:
    """The networks that come with mdlib: those of Fig. 9, and the repaired ones."""
    return [*(Run(name) for name in BUILD), *(Run(name, normalise="sigmoid") for name in ATTENTION)]


def _has_leak(study: Study) -> bool:
    try:
        study.data.rows("leaky")
    except DataError:       # no patient of this collection has enough images
        return False
    return True


def predicted_parts(run: Run) -> tuple[str, ...]:
    """The parts that a training predicts once it is complete."""
    return PREDICTED[run.part]


def overview(study: Study) -> pd.DataFrame:
    """One row per exhibit: networks, parts they are fitted to, what is compared, trainings for one seed, how many new.

    `trained here` says whether the settings of this study train it; otherwise its figures are published ones.
    """
    seen, rows = set(), {}
    for name in COMPARED:
        runs = [run for run in exhibit(name, study, n_splits=study.settings.n_splits) if run.seed == study.seed]
        if runs:
            rows[name] = {"networks": ", ".join(dict.fromkeys(run.network for run in runs)),
                          "fitted to": ", ".join(dict.fromkeys(run.part for run in runs)),
                          "compares": COMPARED[name][0], "trainings": len(runs), "new": len(set(runs) - seen),
                          "trained here": "yes" if name in study.settings.exhibits else "no"}
            seen |= set(runs)
    return pd.DataFrame(rows).T
