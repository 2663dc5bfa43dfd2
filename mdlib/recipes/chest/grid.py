"""The full grid of chapter 1: every exhibit over splits and seeds, its AUROCs kept, its differences summed up."""

from dataclasses import asdict, replace

import pandas as pd

from mdlib.evaluate import classification
from mdlib.evaluate.tables import interval
from mdlib.recipes.chest.chapter import Chapter
from mdlib.recipes.chest.plan import PREDICTS, Training
from mdlib.recipes.chest.results import PANELS, compared, series
from mdlib.recipes.chest.settings import Chest
from mdlib.recipes.chest.trainings import planned, predictions, train_all

GRID = {"splits": 3, "seeds": 3}    # the paper's three splits; three seeds (ours)


def aurocs(chapter: Chapter) -> pd.DataFrame:
    """A row a training and part that it predicts: the fields of the training, `predicted`, and a column a class."""
    train_all(chapter)
    rows = []
    for training in planned(chapter):
        table, names = predictions(chapter, training), list(chapter.classes[-training.classes:])
        for part in PREDICTS[training.part]:
            truth = chapter.targets[chapter.part(part, training.split)][:, -training.classes:]
            found = classification.auroc(truth, table.loc[table["part"] == part, names].to_numpy(), names)["auroc"]
            rows.append({**asdict(training), "predicted": part, **found.round(4)})
    return pd.DataFrame(rows)


def summary(table: pd.DataFrame, settings: Chest) -> pd.DataFrame:
    """What each exhibit compares, over all trainings of `aurocs`: a row a panel and pair.

    Each difference is of plain means over the classes that both have, between two trainings of the same split and seed:
    its mean, lowest and highest, how many are above 0, and of how many.
    """
    fields = list(asdict(Training("")))
    by_training = table.set_index(["predicted", *fields]).sort_index()
    rows = []
    for name in settings.exhibits:
        for title, part, networks in PANELS[name]:
            shown = series(settings, name, part, networks)
            for a, b in compared(shown, name):
                found = pd.Series([_difference(by_training, part, *pair) for pair in _pairs(by_training, part, shown[a],
                                                                                           shown[b])], dtype=float)
                if found.empty:    # an exhibit that was left out
                    continue
                rows.append({"panel": title, "comparison": f"{a} − {b}", "mean": round(found.mean(), 3),
                             "lowest to highest": interval(found.min(), found.max(), digits=3),
                             "above 0": f"{(found > 0).sum()} of {len(found)}"})
    columns = ["panel", "comparison", "mean", "lowest to highest", "above 0"]
    return pd.DataFrame(rows, columns=columns).set_index(columns[:2])


def _pairs(table: pd.DataFrame, part: str, a: Training, b: Training) -> list[tuple[Training, Training]]:
    """Like `a` and like `b`, in each split and seed of which the table has both."""
    there = set(table.index)
    every = sorted({(split, seed) for *_, split, seed in there})
    pairs = [tuple(replace(one, split=split, seed=seed) for one in (a, b)) for split, seed in every]
    return [pair for pair in pairs if all((part, *asdict(one).values()) in there for one in pair)]


def _difference(table: pd.DataFrame, part: str, a: Training, b: Training) -> float:
    first, second = (table.loc[(part, *asdict(training).values())].squeeze().astype(float) for training in (a, b))
    common = first.notna() & second.notna()
    return float(first[common].mean() - second[common].mean())
