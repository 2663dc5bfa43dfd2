"""What the trainings of chapter 2 came to: AUROCs and differences of each table, with intervals, beside the paper."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from IPython.display import Markdown

from mdlib.evaluate import classification
from mdlib.evaluate.tables import interval
from mdlib.recipes.mims import plan
from mdlib.recipes.mims.chapter import Chapter, default_phantoms
from mdlib.recipes.mims.methods import COLUMNS, NAMES, TABLE_1, TABLE_2
from mdlib.recipes.mims.plan import ONE_SIZE, REAL, Training
from mdlib.recipes.mims.settings import PROFILES
from mdlib.recipes.mims.trainings import grey_scores, predictions, train_all
from mdlib.study.results import table as as_table
from mdlib.study.tables import with_interval

GREY = "grey values"    # mean and spread of the pictures, and their number
ON_MATCHED = "on_matched"
# what the paper says comes out: the first above each of the others
LOWEST = ("resnet34_scratch", "mims_patchcls", "mi_pre_conv_patchcls")
ORDER = {"mims": ("mi_pre_conv", *LOWEST, "mi_pre", "mims_noresizing", "pyramid_mims", "si_cnn", "mi_pre_trident",
                  "featpyra", "pyramid_mi_pre"), "si_cnn": ("mi_pre_conv", *LOWEST), "mi_pre_conv": LOWEST}
COLLECTION_NAMES = {"cirrus": "Cirrus", "spectralis": "Spectralis", "mmd": "MMD", "crc_msi": "CRC-MSI",
                    "oct_dme": "all eyes", "on_matched": "trained on all, tested on matched eyes",
                    "oct_dme_matched": "matched eyes", "one_size": "one size"}


def tested(chapter: Chapter, collection: str) -> tuple[np.ndarray, np.ndarray, pd.Series]:
    """Rows of the test part, of real scans those of all folds; which are of the last class (N, folds); the patients.

    A fold has a network of its own, whose scores are compared among themselves only: the target is NaN in the columns
    of the other folds, and an AUROC is the mean over folds.
    """
    collection = "cirrus" if collection == ONE_SIZE else collection
    folds = range(chapter.settings.folds) if collection in REAL else (0,)
    parts, bags = [chapter.part(collection, "test", fold) for fold in folds], chapter.bags(collection)
    rows = np.concatenate(parts)
    truth = (bags.targets[rows] == len(bags.classes) - 1).astype(float)
    return rows, np.where(_own(parts), truth[:, None], np.nan), bags.table["patient"].iloc[rows]


def _own(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Which bags are tested in which fold, bool (N, folds)."""
    return np.repeat(np.eye(len(parts), dtype=bool), [len(part) for part in parts], axis=0)


def scores(chapter: Chapter, training: Training) -> np.ndarray:
    """The scores of a method on the test part in the order of `tested`, (seeds, N, folds); 0 in other folds."""
    folds = range(chapter.settings.folds) if training.collection in REAL else (0,)
    every = [[replace(training, seed=seed, fold=fold) for fold in folds] for seed in chapter.seeds]
    train_all(chapter, [one for of_seed in every for one in of_seed])
    return np.stack([_by_fold([predictions(chapter, one)["score"].to_numpy() for one in of_seed]) for of_seed in every])


def _by_fold(scores: Sequence[np.ndarray]) -> np.ndarray:
    """The scores of each fold in a column of its own, (N, folds)."""
    return np.where(_own(scores), np.concatenate(scores)[:, None], 0.0)


def baseline(chapter: Chapter, collection: str) -> np.ndarray:
    """The scores of the grey values, as `scores`, (1, N, folds)."""
    collection = "cirrus" if collection == ONE_SIZE else collection
    folds = range(chapter.settings.folds) if collection in REAL else (0,)
    return _by_fold([grey_scores(chapter, collection, fold) for fold in folds])[None]


def aurocs(chapter: Chapter, name: str, trainings: Sequence[Training]) -> pd.DataFrame:
    """One row per training, of all seeds and folds, and the grey values: method, pooling, collection, auroc, low, high.

    With the name `on_matched`, networks trained on all real eyes are tested on those that are matched.
    """
    def compute() -> list[dict]:
        rows = []
        for collection in dict.fromkeys(training.collection for training in trainings):
            rows_of, target, patients = tested(chapter, collection)
            if name == ON_MATCHED:
                target = np.where(_matched(chapter, rows_of)[:, None], target, np.nan)
            of = [training for training in trainings if training.collection == collection]
            every = [(training.method, training.pooling, scores(chapter, training)) for training in of]
            for method, pooling, score in [(GREY, "", baseline(chapter, collection)), *every]:
                table = classification.bootstrap(target, score, patients, names=range(target.shape[1]),
                                                 seed=chapter.seed, n_bootstrap=chapter.settings.draws)
                rows.append({"method": method, "pooling": pooling,
                             "collection": name if name == ON_MATCHED else collection, "seeds": len(score),
                             "bags": int((~np.isnan(target)).sum()), "positives": int(np.nansum(target)),
                             **table.loc[classification.PLAIN, ["auroc", "low", "high"]].to_dict()})
        return rows
    return as_table(chapter.run.remember(f"aurocs_{name}", compute, trainings=[one.slug for one in trainings]))


def _matched(chapter: Chapter, rows: np.ndarray) -> np.ndarray:
    """Which of these rows of all real eyes are in the matched subset, bool (n,)."""
    return (chapter.bags("oct_dme").table["matched_subset"].iloc[rows] == 1).to_numpy()


def differences(chapter: Chapter, name: str, pairs: Sequence[tuple[Training, Training | None]]) -> pd.DataFrame:
    """How much higher the first of each pair is (None: grey values) on the same bags, in words: one row per pair."""
    def compute() -> list[dict]:
        rows = []
        for first, second in pairs:
            _, target, patients = tested(chapter, first.collection)
            other = baseline(chapter, first.collection) if second is None else scores(chapter, second)
            found = classification.paired_difference(target, scores(chapter, first), other, patients, average="plain",
                                                     n_bootstrap=chapter.settings.draws, seed=chapter.seed)
            a, b = label(first), GREY if second is None else label(second)
            rows.append({"collection": first.collection, "first": a, "second": b, "mean": found.mean,
                         "low": found.low, "high": found.high, "seeds": found.seeds,
                         "in words": found.sentence("The plain mean AUROC", a, b, "bags")})
        return rows
    slugs = [[first.slug, second.slug if second else ""] for first, second in pairs]
    return as_table(chapter.run.remember(f"differences_{name}", compute, pairs=slugs))


def label(training: Training) -> str:
    """A method, and its pooling where it is not that of Table 1."""
    return NAMES[training.method] + ("" if training.pooling == "top5" else f", {NAMES[training.pooling]}")


def _first_seed(trainings: Sequence[Training]) -> list[Training]:
    """One training for all seeds and folds of a method: those of the first."""
    return list(dict.fromkeys(replace(training, seed=0, fold=0) for training in trainings))


def methods(chapter: Chapter) -> list[Training]:
    """The trainings of Table 1, one for all seeds."""
    return _first_seed(plan.table_1(chapter.settings, chapter.collections, [0]))


def poolings(chapter: Chapter) -> list[Training]:
    """The trainings of Table 2, one for all seeds."""
    return _first_seed(plan.table_2(chapter.settings, chapter.collections, [0]))


def sizes(chapter: Chapter) -> list[Training]:
    """The trainings on lesions of one size, one for all seeds."""
    return _first_seed(plan.sizes(chapter.settings, tuple(chapter.found), [0]))


def real(chapter: Chapter) -> list[Training]:
    """The trainings on real scans, one for all seeds and folds."""
    return _first_seed(plan.real(chapter.settings, chapter.collections, [0]))


def order(chapter: Chapter) -> list[tuple[Training, Training]]:
    """The pairs of ORDER in this run, where the paper's Table 1 has the first above the second."""
    there = set(methods(chapter))

    def above(first: str, second: str, collection: str) -> bool:
        values = [dict(zip(COLUMNS, TABLE_1[name], strict=False)).get(collection) for name in (first, second)]
        return None not in values and values[0] > values[1]
    pairs = [(Training(first, collection), Training(second, collection)) for collection in chapter.collections
             for first, others in ORDER.items() for second in others if above(first, second, collection)]
    return [pair for pair in pairs if set(pair) <= there]


def on_matched(chapter: Chapter) -> list[Training]:
    """The trainings on all real eyes, where it is known which of them are matched."""
    return [one for one in real(chapter) if one.collection == "oct_dme" and "oct_dme_matched" in chapter.collections]


def real_pairs(chapter: Chapter) -> list[tuple[Training, Training | None]]:
    """On real scans, MIMS against each other method and against the grey values."""
    of = real(chapter)
    others = [(one, other) for one in of if one.method == "mims" for other in of
              if other.collection == one.collection and other != one]
    return others + [(one, None) for one in of if one.method == "mims"]


def size_pairs(chapter: Chapter) -> list[tuple[Training, Training]]:
    """After training on one size, MIMS against the others."""
    of = sizes(chapter)
    return [(one, other) for one in of if one.method == "mims" for other in of if other != one]


TABLES = {"methods": methods, "poolings": poolings, "real": real, ON_MATCHED: on_matched, "sizes": sizes}
PAIRS = {"order": order, "real": real_pairs, "sizes": size_pairs}


def table_1(table: pd.DataFrame) -> pd.DataFrame | str:
    """Table 1 from `aurocs`: one row per method, for each collection the paper's AUROC and ours with its interval."""
    if table.empty:
        return "None of the collections of Table 1 is in this run."
    columns, shown = {}, [name for name in (*TABLE_1, GREY) if name in set(table["method"])]
    for collection in [name for name in COLLECTION_NAMES if name in set(table["collection"])]:
        of = table[table["collection"] == collection].set_index("method")
        title = f"{COLLECTION_NAMES[collection]} ({of['bags'].iloc[0]}, {of['positives'].iloc[0]} positive)"
        if collection in COLUMNS:
            columns[title, "paper"] = [_paper(name, collection) for name in shown]
        columns[title, "ours"] = [cell(of.loc[name]) if name in of.index else "" for name in shown]
    return pd.DataFrame(columns, index=[NAMES.get(name, name) for name in shown])


def table_2(table: pd.DataFrame) -> pd.DataFrame | str:
    """Table 2 from `aurocs`: one column per pooling, the paper's AUROC and ours with its interval."""
    if table.empty:
        return "Table 2 is of Cirrus, which is not in this run, or has no poolings."
    of = table[table["method"] == "mims"].set_index("pooling")
    return pd.DataFrame({NAMES[name]: {"paper": f"{TABLE_2[name]:.3f}", "ours": cell(of.loc[name])}
                         for name in TABLE_2 if name in of.index})


def _paper(name: str, collection: str) -> str:
    values = dict(zip(COLUMNS, TABLE_1.get(name, ()), strict=False))
    return f"{values[collection]:.3f}" if collection in values else ""


def cell(row: pd.Series) -> str:
    """An AUROC with its interval."""
    return with_interval(row["auroc"], row["low"], row["high"], digits=3)


def in_words(table: pd.DataFrame) -> Markdown:
    """`differences` as a list by collection, each with its interval, and what it is of below."""
    lines = [f"- *{COLLECTION_NAMES[row.collection]}.* The AUROC of {row.first} is {abs(row.mean):.3f} "
             f"{'above' if row.mean >= 0 else 'below'} that of {row.second} ({interval(row.low, row.high, digits=3)}"
             f"{'' if row.low > 0 or row.high < 0 else ': not decided'})." for row in table.itertuples()]
    one = " One training of each: how much another would differ is not known." * bool((table["seeds"] == 1).all())
    lines += ["", f"*95 % intervals over patients; not decided: the interval includes 0.{one}*"]
    return Markdown("\n".join(lines))


def verdicts(table: pd.DataFrame) -> pd.DataFrame:
    """How much of the paper's order came out: for each pair and collection the difference, and what it decides."""
    said = np.select([table["low"] > 0, table["high"] < 0], ["as in the paper", "the other way round"], "undecided")
    return table.assign(difference=[f"{row.mean:+.3f} ({interval(row.low, row.high, digits=3)})".replace("-", "−")
                                    for row in table.itertuples()], verdict=said,
                        collection=table["collection"].map(COLLECTION_NAMES))[
        ["collection", "first", "second", "difference", "seeds", "verdict"]]


def claims(table: pd.DataFrame) -> Markdown:
    """What the differences of `order` say of the paper's three claims, in sentences computed from them."""
    def sentence(claim: str, of: pd.DataFrame) -> str:
        pairs = ", ".join(dict.fromkeys(f"{row.first} over {row.second}" for row in of.itertuples()))
        return (f"- **{claim}** As in the paper in {(of['low'] > 0).sum()} of {len(of)} comparisons, the other way "
                f"round in {(of['high'] < 0).sum()}; in the paper's direction, decided or not, in "
                f"{(of['mean'] > 0).sum()} ({pairs}).")

    first, second = table["first"], table["second"]
    slices = [NAMES[name] for name in LOWEST if name.endswith("patchcls")]
    return Markdown("\n".join([
        sentence("Three scales are better than one.", table[(first == NAMES["mims"]) & second.isin(
            [NAMES["mims_noresizing"], NAMES["mi_pre_conv"]])]),
        sentence("Pre-training helps.", table[second == NAMES["resnet34_scratch"]]),
        sentence("A bag is better than its slices one by one.", table[second.isin(slices)])]))


def committed(chapter: Chapter) -> bool:
    """Whether this is the run that the book shows: its phantoms, the embedded settings, seed 0, a CPU."""
    return (chapter.data_dir == default_phantoms() and chapter.settings == PROFILES["embedded"]
            and chapter.seed == 0 and chapter.device == "cpu")


def check_phantoms(chapter: Chapter) -> str:
    """In the book's own run, assert that MIMS on Cirrus is above the grey values: there is something to explain."""
    if not committed(chapter):
        return "Not the phantoms and settings of the book: nothing is asked of the AUROCs."
    table = aurocs(chapter, "methods", methods(chapter))
    of = table[table["collection"] == "cirrus"].set_index("method")["auroc"]
    assert 0.35 < of[GREY] < 0.65, of
    assert of["mims"] > of[GREY] + 0.2, of
    return "On Cirrus, MIMS is at least 0.2 above the grey values, which stay between 0.35 and 0.65."


