"""Figures of runs of chapter 5, kept as small JSON under data/results/mdnet."""

import functools
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from mdlib.recipes import keeping
from mdlib.recipes.mdnet import graded, results
from mdlib.recipes.mdnet.chapter import Chapter, default_phantoms
from mdlib.recipes.mdnet.plan import Training
from mdlib.recipes.mdnet.results import Over
from mdlib.recipes.mdnet.trainings import LOSSES, planned, train_all
from mdlib.recipes.trainings import histories

GRID = "grid/embedded"      # what the pages quote


def keep(chapter: Chapter, name: str) -> Path:
    """Write what fold 0 and the first seed came to, and the manifest, to data/results/mdnet/runs/NAME.json."""
    return keeping.write("mdnet", f"runs/{name}", chapter.run, figures(chapter, results.live(chapter)))


def keep_grid(chapter: Chapter, name: str) -> Path:
    """Train every row in all folds and of all seeds; write what came out to data/results/mdnet/grid/NAME.json."""
    train_all(chapter, planned(chapter))
    return keeping.write("mdnet", f"grid/{name}", chapter.run,
                         {**figures(chapter, results.whole(chapter)), **attention(chapter)})


def figures(chapter: Chapter, over: Over) -> dict[str, Any]:
    """What is kept of a run: no image, no text, no name of an image.

    `trainings`: `results.by_training`; `beside`, `means`, `differences` as there; `grades`: `graded.agreement`;
    `gradients` of MDNet (Fig. 7, left); `parts`: how large the test part of each fold is.
    """
    tables = {"trainings": results.by_training, "beside": results.beside, "means": results.means,
              "differences": results.differences, "grades": graded.agreement, "gradients": gradients, "parts": parts}
    return {name: keeping.records(of(chapter, over)) for name, of in tables.items()}


def attention(chapter: Chapter) -> dict[str, Any]:
    """What page 4 measures, as `located.figures` gives it."""
    if importlib.util.find_spec("mdlib.recipes.mdnet.located") is None:
        return {}
    from mdlib.recipes.mdnet import located
    return {"attention": located.figures(chapter)}


def gradients(chapter: Chapter, over: Over) -> pd.DataFrame:
    """The mean size of a gradient of both losses in a weight of the image model of MDNet, a row a training and epoch.

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


def table(name: str, entry: str, text: Sequence[str] = ("row", "scaled", "claim", "measure", "first", "second", "name",
                                                        "part", "in words")) -> pd.DataFrame:
    """An entry of `figures` in a kept result, as a table; name as `grid/embedded`. What has no value is NaN."""
    found = pd.DataFrame(keeping.read("mdnet", name, needs=entry)[entry])
    return found.astype({column: float for column in found if column not in text and found[column].dtype == object})


trainings, beside, means, differences, grades = (
    functools.partial(table, entry=entry) for entry in ("trainings", "beside", "means", "differences", "grades"))


def told(name: str) -> str:
    """Where and from what a kept result came, in a sentence."""
    result = keeping.read("mdnet", name, needs="parts")
    manifest, of = result["manifest"], pd.DataFrame(result["parts"])
    start, settings = manifest["steps"]["start"], manifest["asked"]["settings"]
    where = "the phantoms" if start["data_dir"] == default_phantoms().name else start["data_dir"]
    return (f"From a run of profile {manifest['asked']['profile']} on {where}: {_many(len(of), 'fold')}, "
            f"{_many(settings['seeds'], 'seed')}; {of['images'].sum():,} images of {of['patients'].sum():,} patients, "
            f"each tested once; EcNet-{settings['depth']}-{settings['width']}, images of {settings['side']} pixels, "
            f"{settings['epochs']} epochs; on {start['name']}; code {manifest['code']}.")


def _many(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
