"""What the networks of chapter 5 came to on images they have not seen: by training, over folds and seeds, compared.

The live notebooks ask for `live`, one fold and seed; the kept grid for `whole`. An answer is a network, by its row of
Table 2, one that learned the conclusion alone, or a baseline that sees no shape.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import NamedTuple

import numpy as np
import pandas as pd

from mdlib.evaluate import captions, paired
from mdlib.evaluate.retrieval import correct_conclusion_recall
from mdlib.recipes.mdnet import people, plan
from mdlib.recipes.mdnet.chapter import Chapter
from mdlib.recipes.mdnet.colours import colours, majority
from mdlib.recipes.mdnet.plan import Training
from mdlib.recipes.mdnet.rows import EVERY, IMAGE_MODELS, ROWS
from mdlib.recipes.mdnet.trainings import likelihoods, predictions, train_all

KS = (1, 5, 10)
DCA, IMAGE, AGREES = "DCA", "image model", "agrees"     # agrees: the report states what the image model says
RECALLS = tuple(f"Cr@{k}" for k in KS)
OWN = " with its own"       # Cr@k where the image that a query describes is among those that are searched
SEARCHED = (*RECALLS, *(name + OWN for name in RECALLS))
COLOURS, MAJORITY, CHANCE = "colours", "majority", "chance"
UNSCALED = "mdnet_up"       # MDNet without 1 - beta
BASELINES: dict[str, Callable[[Chapter, int], np.ndarray]] = {COLOURS: colours, MAJORITY: majority}
NAMES = {**{name: row.name for name, row in EVERY.items()},
         **{name: f"{title}, which learned the conclusion alone" for name, title in IMAGE_MODELS.items()},
         UNSCALED: "MDNet without 1 − β", COLOURS: "the colours", MAJORITY: "the most frequent class",
         CHANCE: "chance"}


class Over(NamedTuple):
    """The folds and seeds that a table is about."""

    folds: tuple[int, ...]
    seeds: tuple[int, ...]


def live(chapter: Chapter) -> Over:
    """What a notebook trains: one fold, one seed."""
    return Over((0,), (chapter.seed,))


def whole(chapter: Chapter) -> Over:
    """All folds and seeds of the run."""
    return Over(tuple(range(chapter.settings.folds)), tuple(chapter.seeds))


def asked(chapter: Chapter, over: Over) -> list[Training]:
    """All trainings on images and reports in these folds, of these seeds."""
    return plan.plan(chapter.settings, list(over.folds), list(over.seeds))


def training_of(name: str) -> Training:
    """The training behind a name of NAMES, of fold 0 and seed 0."""
    return Training("mdnet", scaled="up") if name == UNSCALED else Training(name)


def there(chapter: Chapter, name: str) -> bool:
    """Whether this run has what a name stands for."""
    return name in (*BASELINES, CHANCE) or training_of(name) in plan.plan(chapter.settings, [0], [0])


def reports(chapter: Chapter, training: Training) -> list[str]:
    """The whole report that a network writes about each image of its test part: its parts, one space between."""
    table = predictions(chapter, training)
    parts = [column for column in ("report", *chapter.reports.parts) if column in table]
    return [" ".join(filter(None, texts)) for texts in table[parts].itertuples(index=False)]


def answers(chapter: Chapter, training: Training) -> pd.DataFrame:
    """One row per image of the test part, in [0, 1]: DCA, agrees, `image model` (right or not), and Cr@k.

    DCA: whether the generated conclusion ends in the right class (section 5.2.2). Cr@k: the share of right classes
    among the first k images found by the description of this one, its own image left out or in (section 5.2.3).
    An image model alone writes nothing, and has only its own column.
    """
    table = predictions(chapter, training)
    target, guess = chapter.reports.targets[table["row"]], table["guess"].to_numpy()
    found = {IMAGE: guess == target}
    if training.row in EVERY:
        texts, classes = table["conclusion" if "conclusion" in table else "report"], chapter.reports.classes
        found |= {DCA: captions.correct_conclusions(texts, target, classes),
                  AGREES: captions.correct_conclusions(texts, guess, classes),
                  **_searched(likelihoods(chapter, training), target)}
    return pd.DataFrame(found).astype(float)


def _searched(scores: np.ndarray, target: np.ndarray) -> dict[str, np.ndarray]:
    """Cr@k of each query in both ways; scores (N, M), the first M images are searched."""
    pool = target[:scores.shape[1]]
    own = np.where(np.arange(len(target)) < len(pool), np.arange(len(target)), -1)
    found = {}
    for suffix, left_out in (("", True), (OWN, False)):
        table = correct_conclusion_recall(scores, target, pool, own, KS, leave_out_own=left_out)
        found |= {name + suffix: table[name].to_numpy() for name in (*RECALLS, CHANCE)}
    return found


def baseline(chapter: Chapter, name: str, fold: int, measure: str) -> np.ndarray:
    """What a baseline comes to for each image of the test part, as in `answers`."""
    if name in BASELINES:
        return (BASELINES[name](chapter, fold) == tested(chapter, fold)).astype(float)
    suffix = OWN if measure.endswith(OWN) else ""
    target, pool = tested(chapter, fold), chapter.settings.pool
    scores = np.zeros((len(target), min(pool or len(target), len(target))))
    return _searched(scores, target)[CHANCE + suffix]


def tested(chapter: Chapter, fold: int) -> np.ndarray:
    """The classes of the test part of a fold, int64 (N,)."""
    return chapter.reports.targets[chapter.part("test", fold)]


def values(chapter: Chapter, name: str, measure: str, over: Over) -> np.ndarray:
    """One number per image of these folds from each seed, (S, N); of a baseline (1, N)."""
    if name in (*BASELINES, CHANCE):
        return np.concatenate([baseline(chapter, name, fold, measure) for fold in over.folds])[None]
    every = [[replace(training_of(name), fold=fold, seed=seed) for fold in over.folds] for seed in over.seeds]
    train_all(chapter, [one for of_seed in every for one in of_seed])
    return np.stack([np.concatenate([answers(chapter, one)[measure] for one in of_seed]) for of_seed in every])


def patients(chapter: Chapter, over: Over) -> list[str]:
    """The patient of each image of these folds, in the order of `values`."""
    rows = np.concatenate([chapter.part("test", fold) for fold in over.folds])
    return chapter.reports.table["patient"].iloc[rows].tolist()


def by_training(chapter: Chapter, over: Over) -> pd.DataFrame:
    """One row per training: its fields, images, the means of `answers`, and for the rows of Table 2 caption scores."""
    trainings = asked(chapter, over)
    train_all(chapter, trainings)
    scores = {one: of for seed in over.seeds for fold in over.folds for one, of in written(chapter, fold, seed).items()}
    return pd.DataFrame([{**asdict(one), "images": len(predictions(chapter, one)),
                          **answers(chapter, one).mean().to_dict(), **scores.get(one, {})} for one in trainings])


def written(chapter: Chapter, fold: int, seed: int) -> dict[Training, dict[str, float]]:
    """By row, the caption scores of whole reports against four references, the mean over which of five is left out."""
    trainings = [Training(name, fold=fold, seed=seed) for name in EVERY if name in chapter.settings.rows]

    def compute() -> dict[str, dict[str, float]]:
        texts = [chapter.reports.full(row) for row in chapter.part("test", fold)]
        return captions.each_against_others(texts, {one.row: reports(chapter, one) for one in trainings})
    found = chapter.run.remember(f"captions-fold{fold}-seed{seed}", compute, rows=[one.row for one in trainings],
                                 java=captions.java_found())
    return {one: {name: np.nan if value is None else value for name, value in found[one.row].items()}
            for one in trainings}


def beside(chapter: Chapter, over: Over) -> pd.DataFrame:
    """What stands beside the networks, as `by_training`, one row per fold and writer or baseline.

    The caption scores of people and of one report for all images, DCA of BASELINES, and of Cr@k what chance reaches.
    """
    rows = []
    for fold in over.folds:
        rows += [{"row": who, "fold": fold, **scores} for who, scores in people.in_fold(chapter, fold).items()]
        rows += [{"row": name, "fold": fold, DCA: baseline(chapter, name, fold, DCA).mean()} for name in BASELINES]
        rows.append({"row": CHANCE, "fold": fold,
                     **{name: baseline(chapter, CHANCE, fold, name).mean() for name in SEARCHED}})
    return pd.DataFrame(rows).assign(seed=chapter.seed)


def spread(table: pd.DataFrame, measures: Sequence[str], by: Sequence[str] = ("row",)) -> pd.DataFrame:
    """The mean over folds of the mean over seeds, and the standard deviation over folds: mean, std, folds, seeds.

    One row per value of `by` and measure; the deviation of one fold is NaN.
    """
    long = table.melt([*by, "fold", "seed"], [name for name in measures if name in table], "measure", "value").dropna()
    of_fold = long.groupby([*by, "measure", "fold"], sort=False)["value"].agg(["mean", "size"])
    found = of_fold.groupby([*by, "measure"], sort=False).agg(mean=("mean", "mean"), std=("mean", "std"),
                                                              folds=("mean", "size"), seeds=("size", "max"))
    return found.reset_index()


def means(chapter: Chapter, over: Over) -> pd.DataFrame:
    """The mean over all images of each answer's measures, with its interval over patients and seeds."""
    measured = [(name, measure) for name in (*EVERY, UNSCALED) if there(chapter, name)
                for measure in (DCA, IMAGE, AGREES, *SEARCHED)]
    measured += [(name, IMAGE) for name in IMAGE_MODELS if there(chapter, name)]
    measured += [(name, DCA) for name in BASELINES] + [(CHANCE, measure) for measure in SEARCHED]
    groups, rows = patients(chapter, over), []
    for name, measure in measured:
        of = values(chapter, name, measure, over)
        found = paired.difference(of, np.zeros_like(of), groups, n_bootstrap=chapter.settings.draws, seed=chapter.seed)
        rows.append({"name": name, "measure": measure, **asdict(found)})
    return pd.DataFrame(rows)


class Claim(NamedTuple):
    """A sentence and what it compares: in each pair the first should be above the second."""

    text: str
    measure: str
    pairs: tuple[tuple[str, str], ...]
    other: str = ""     # measure of the second, where it is another: DCA, of its sentence


def _mdnet_over(names: Sequence[str]) -> tuple[tuple[str, str], ...]:
    return tuple(("mdnet", name) for name in names if name != "mdnet")


CLAIMS = {
    "dca": Claim("MDNet states the right conclusion more often than the other rows of Table 2.", DCA,
                 _mdnet_over(ROWS)),
    "ecnet": Claim("With EcNet a baseline is slightly better than with GoogLeNet.", DCA, (
        ("baseline_en", "baseline_gn"), ("baseline_en_tuned", "baseline_gn_tuned"))),
    "tuned": Claim("Fine-tuning the image model of a baseline helps.", DCA, (
        ("baseline_gn_tuned", "baseline_gn"), ("baseline_en_tuned", "baseline_en"))),
    "search": Claim("MDNet finds images by their description better than the other rows of Table 3.", "Cr@10",
                    _mdnet_over(ROWS)),
    "split": Claim("A sentence for each part maps descriptions to images better than one for the whole.", "Cr@10", (
        ("split", "baseline_en"), ("split_tuned", "baseline_en_tuned"))),
    "tuned_search": Claim("Fine-tuning EcNet makes the search better.", "Cr@10", (
        ("baseline_en_tuned", "baseline_en"), ("split_tuned", "split"))),
    "scaled": Claim("Scaling down the gradient of L_M while that of L_L is scaled up is needed.", DCA,
                    (("mdnet", UNSCALED),)),
    "regularises": Claim("Joint training makes a better classifier of the image model.", IMAGE,
                         (("mdnet", "ecnet"), ("mdnet", "googlenet"))),
    "colours": Claim("(ours) The reports know more than the colours of the image.", DCA,
                     tuple((name, COLOURS) for name in ROWS)),
    "attention": Claim("(ours) Attention by the class embedding of AAS makes better conclusions.", DCA,
                       _mdnet_over(("mdnet_original", "mdnet_local"))),
    "relies": Claim("(ours) The image model is right more often than the sentence of the same network.", IMAGE,
                    (("mdnet", "mdnet"),), other=DCA),
}


def differences(chapter: Chapter, over: Over) -> pd.DataFrame:
    """For each claim and pair that this run has, how much higher the first is, on the same images, a row."""
    rows, groups = [], patients(chapter, over)
    for key, claim in CLAIMS.items():
        for first, second in claim.pairs:
            if not (there(chapter, first) and there(chapter, second)):
                continue
            other = claim.other or claim.measure
            found = paired.difference(values(chapter, first, claim.measure, over),
                                      values(chapter, second, other, over), groups, n_bootstrap=chapter.settings.draws,
                                      seed=chapter.seed)
            b = f"the sentence of {NAMES[second]}" if claim.other else NAMES[second]
            rows.append({"claim": key, "measure": claim.measure, "first": NAMES[first], "second": b, **asdict(found)})
    return pd.DataFrame(rows)
