"""All that page 3 tells of a run, or of a kept one, as five tables."""

from typing import NamedTuple

import pandas as pd

from mdlib.evaluate import captions
from mdlib.recipes.mdnet import graded, results
from mdlib.recipes.mdnet.chapter import Chapter
from mdlib.recipes.mdnet.results import Over
from mdlib.study import results as keeping

TABLES = {"trainings": results.by_training, "beside": results.beside, "means": results.means,
          "differences": results.differences, "grades": graded.agreement}
TEXT = ("row", "scaled", "claim", "measure", "first", "second", "name", "part")      # columns of words


class Outcome(NamedTuple):
    """The tables of TABLES."""

    trainings: pd.DataFrame
    beside: pd.DataFrame
    means: pd.DataFrame
    differences: pd.DataFrame
    grades: pd.DataFrame


def of_run(chapter: Chapter, over: Over | None = None) -> Outcome:
    """What these folds and seeds came to (None: those that notebooks train), remembered beside the run."""
    over = over or results.live(chapter)

    def compute() -> dict[str, list[dict]]:
        return {name: keeping.records(of(chapter, over)) for name, of in TABLES.items()}
    found = chapter.run.remember("outcome", compute, folds=over.folds, seeds=over.seeds, java=captions.java_found(),
                                 trainings=[one.slug for one in results.asked(chapter, over)])
    return Outcome(**{name: numbers(found[name]) for name in TABLES})


def numbers(records: list[dict]) -> pd.DataFrame:
    """A table of what was kept: NaN where there is no number."""
    found = pd.DataFrame(records)
    return found.astype({name: float for name in found if name not in TEXT and found[name].dtype == object})
