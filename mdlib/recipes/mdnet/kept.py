"""Figures of runs of chapter 5, kept as small JSON under data/results/mdnet."""

from pathlib import Path
from typing import Any

import pandas as pd

from mdlib.evaluate import captions
from mdlib.recipes.mdnet import learned, located, people, results
from mdlib.recipes.mdnet.chapter import Chapter, default_phantoms
from mdlib.recipes.mdnet.outcome import TABLES, Outcome
from mdlib.recipes.mdnet.plan import Training
from mdlib.recipes.mdnet.results import Over
from mdlib.recipes.mdnet.trainings import LOSSES, planned, train_all
from mdlib.recipes.trainings import histories
from mdlib.study import results as keeping

GRID = "grid/embedded"      # what the pages quote
LOOKED_AT = 2               # of the book's phantoms these first folds were looked at when sizes and rates were chosen


def keep(chapter: Chapter, name: str) -> Path:
    """Write what fold 0 and the first seed came to, and the manifest, to data/results/mdnet/runs/NAME.json."""
    return keeping.write("mdnet", f"runs/{name}", chapter.run, figures(chapter, results.live(chapter)))


def keep_grid(chapter: Chapter, name: str) -> Path:
    """Train every row in all folds and of all seeds; write what came out to data/results/mdnet/grid/NAME.json."""
    train_all(chapter, planned(chapter))
    over = results.whole(chapter)
    looked_at = LOOKED_AT if chapter.data_dir == default_phantoms() else len(over.folds)
    unseen = over._replace(folds=over.folds[looked_at:])
    return keeping.write("mdnet", f"grid/{name}", chapter.run, {
        **figures(chapter, over), "attention": located.figures(chapter),
        "unseen": keeping.records(results.differences(chapter, unseen)) if unseen.folds else []})


def figures(chapter: Chapter, over: Over) -> dict[str, Any]:
    """What is kept of a run: no image, no text, no name of an image.

    The tables of `outcome`, `gradients` of MDNet (Fig. 7, left), `parts`: how large the test part of each fold is, and
    the `losses` of the first fold and seed.
    """
    tables = TABLES | {"gradients": gradients, "parts": parts}
    return {name: keeping.records(of(chapter, over)) for name, of in tables.items()} | {
        "losses": keeping.records(learned.losses(chapter))}


def gradients(chapter: Chapter, over: Over) -> pd.DataFrame:
    """The mean size of a gradient of both losses in a weight of MDNet's image model, one row per training and epoch.

    fold, seed, epoch, M, L (Fig. 7, left).
    """
    trainings = [Training("mdnet", fold=fold, seed=seed) for seed in over.seeds for fold in over.folds]
    train_all(chapter, trainings)
    return pd.DataFrame([{"fold": one.fold, "seed": one.seed, "epoch": entry["epoch"],
                          **{loss: entry[f"gradient_{loss}"] for loss in LOSSES}}
                         for one, history in histories(chapter, trainings).items() for entry in history])


def parts(chapter: Chapter, over: Over) -> pd.DataFrame:
    """Images and patients of the test part of each fold, and its images by class."""
    table = chapter.reports.table
    found = [table.iloc[chapter.part("test", fold)] for fold in over.folds]
    return pd.DataFrame([{"fold": fold, "images": len(of), "patients": int(of["patient"].nunique()),
                          **{name: int((of["conclusion"] == name).sum()) for name in chapter.reports.classes}}
                         for fold, of in zip(over.folds, found, strict=True)])


def outcome(name: str = GRID) -> Outcome:
    """What a kept result says; name as `grid/embedded`."""
    result = keeping.read("mdnet", name, needs="grades")
    return Outcome(**{table: keeping.table(result[table]) for table in TABLES})


def agreement(name: str = GRID) -> list[dict[str, dict[str, float]]]:
    """How far the reports of an image agree, and one report for all: `people.in_fold` of each fold of a kept result."""
    beside = outcome(name).beside
    return [of.set_index("row").loc[[people.PEOPLE, people.BLIND], list(captions.METRICS)].to_dict("index")
            for _, of in beside.groupby("fold")]


def losses(name: str = "runs/first_fold") -> pd.DataFrame:
    """`learned.losses` of a kept result."""
    return keeping.table(keeping.read("mdnet", name, needs="losses")["losses"])


def unseen(name: str = GRID) -> pd.DataFrame:
    """The differences of a kept grid on the folds behind LOOKED_AT alone, as `results.differences`."""
    return keeping.table(keeping.read("mdnet", name, needs="unseen")["unseen"])


def eta(name: str = GRID) -> float:
    """The eta of the settings of a kept result."""
    return keeping.read("mdnet", name)["manifest"]["asked"]["settings"]["eta"]


def told(name: str = GRID) -> str:
    """Where and from what a kept result came, in a sentence."""
    result = keeping.read("mdnet", name, needs="parts")
    manifest, of = result["manifest"], pd.DataFrame(result["parts"])
    start, settings = manifest["steps"]["start"], manifest["asked"]["settings"]
    where = "the phantoms" if start["data_dir"] == default_phantoms().name else start["data_dir"]
    return (f"From a run of profile {manifest['asked']['profile']} on {where}: {_many(len(of), 'fold')}, "
            f"{_many(settings['seeds'], 'seed')}; {of['images'].sum():,} images of {of['patients'].sum():,} patients, "
            f"each tested once; EcNet-{settings['depth']}-{settings['width']}, images of {settings['side']} pixels, "
            f"{_many(settings['epochs'], 'epoch')}; on {start['name']}; code {manifest['code']}.")


def _many(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
