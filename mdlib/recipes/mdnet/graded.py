"""Whether what a network writes of an image states the grades that were drawn into it: phantoms only (ours)."""

from collections.abc import Sequence
from dataclasses import asdict, replace

import numpy as np
import pandas as pd

from mdlib.data.phantoms.histology_reports import GRADES, UNSEEN, WRITERS, expressed, ways
from mdlib.evaluate import paired
from mdlib.recipes.mdnet import truth
from mdlib.recipes.mdnet.chapter import Chapter
from mdlib.recipes.mdnet.plan import Training
from mdlib.recipes.mdnet.results import MAJORITY, Over, patients, there
from mdlib.recipes.mdnet.rows import EVERY
from mdlib.recipes.mdnet.trainings import predictions, train_all

PARTS = (*GRADES, "conclusion")


def stated(chapter: Chapter, training: Training) -> pd.DataFrame:
    """The grade that a report states of each part of each image of the test part, None where it states none.

    What counts is a sentence that one of the writers would write about the part, of every network alike; the one
    report of a baseline is searched for it.
    """
    table = predictions(chapter, training)
    found = {}
    for part in PARTS:
        texts = [sentence_of(part, text) for text in table[part if part in table else "report"]]
        found[part] = [expressed(part, text) for text in texts]
    return pd.DataFrame(found, dtype=object)


def sentence_of(part: str, report: str) -> str:
    """The longest sentence with which any writer states a grade of this part that a report has; empty without one.

    Of the conclusion: the report itself, whose end is asked.
    """
    if part == "conclusion":
        return report
    inside = [text for text in _sentences(part) if f" {text} " in f" {report} "]
    return max(inside, key=len, default="")


def _sentences(part: str) -> set[str]:
    return {text for writer in range(WRITERS) for grade in (*GRADES[part], UNSEEN)
            for text in ways(part, grade, writer)}


def true_grades(chapter: Chapter, rows: np.ndarray) -> pd.DataFrame:
    """The grades of these images, and the conclusion that their reports state."""
    return truth.grades(chapter).rename(columns={"reported": "conclusion"}).iloc[rows][list(PARTS)]


def usual(chapter: Chapter, fold: int) -> dict[str, str]:
    """The most frequent grade of each part in the training part of a fold."""
    train = true_grades(chapter, chapter.part("train", fold))
    return {part: train[part].value_counts().index[0] for part in PARTS}


def right(chapter: Chapter, name: str, over: Over) -> np.ndarray:
    """Whether each part states the right grade, 0 or 1, (S, N, K); MAJORITY: always the most frequent one."""
    truths = [true_grades(chapter, chapter.part("test", fold)) for fold in over.folds]
    if name == MAJORITY:
        return np.concatenate([(of == pd.Series(usual(chapter, fold))).to_numpy(float)
                               for fold, of in zip(over.folds, truths, strict=True)])[None]
    every = [[Training(name, fold=fold, seed=seed) for fold in over.folds] for seed in over.seeds]
    return np.stack([np.concatenate([(stated(chapter, one).to_numpy() == of.to_numpy()).astype(float)
                                     for one, of in zip(of_seed, truths, strict=True)]) for of_seed in every])


def agreement(chapter: Chapter, over: Over, names: Sequence[str] = tuple(EVERY)) -> pd.DataFrame:
    """The share of images whose right grade is stated, one row per network and part: name, part, mean, low, high, …

    Empty where no grade is known. Part `mean of parts`: over all but the conclusion.
    """
    if not truth.known(chapter):
        return pd.DataFrame()
    names = [name for name in names if there(chapter, name)]
    train_all(chapter, [replace(Training(name), fold=fold, seed=seed) for name in names for fold in over.folds
                        for seed in over.seeds])
    groups, rows = patients(chapter, over), []
    for name in (*names, MAJORITY):
        of = right(chapter, name, over)
        columns = {part: of[..., k] for k, part in enumerate(PARTS)}
        columns["mean of parts"] = of[..., :-1].mean(axis=2)
        for part, share in columns.items():
            found = paired.difference(share, np.zeros_like(share), groups, n_bootstrap=chapter.settings.draws,
                                      seed=chapter.seed)
            rows.append({"name": name, "part": part, **asdict(found)})
    return pd.DataFrame(rows)
