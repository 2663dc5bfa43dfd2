"""What a clinician asks of a network: how good its alarms are, whether its probabilities can be believed, for whom.

All figures are of one training, that of the first seed: thresholds come from the validation part, all else from the
test part. Intervals are over patients; they do not hold what another training would change.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from IPython.display import Markdown
from matplotlib.figure import Figure

from mdlib.evaluate import average_precision, calibration, subgroups, thresholds
from mdlib.evaluate.tables import interval
from mdlib.recipes.chest import clinic_figures, trainings
from mdlib.recipes.chest.chapter import Chapter
from mdlib.recipes.chest.figures import words
from mdlib.recipes.chest.plan import Training

AGES = {"under 40": 0, "40 to 59": 40, "60 or more": 60}    # (ours) from which year on
PARTS = {"view": ("PA", "AP"), "sex": ("F", "M"), "age": tuple(AGES)}    # each is compared with its first
FEWEST = 10    # (ours) patients with the class, and without, below which a part is left blank
BINS = 10      # (ours) of the calibration plot
FIGURES = {"average_precision": "average precision", "sensitivity": "sensitivity", "specificity": "specificity",
           "ppv": "PPV", "npv": "NPV"}


def probabilities(chapter: Chapter, name: str, part: str) -> np.ndarray:
    """What the network says of every image of `val` or `test`, (N, classes): it is fitted to `train` alone.

    A threshold needs images that the network has not seen.
    """
    return trainings.probabilities(chapter, Training(name, "train", seed=chapter.seed), part)


def operating_points(chapter: Chapter, name: str) -> pd.DataFrame:
    """The threshold of each class, from the validation part, as `thresholds.choose` gives it."""
    def compute() -> pd.DataFrame:
        return thresholds.choose(chapter.targets[chapter.rows["val"]], probabilities(chapter, name, "val"),
                                chapter.classes).reset_index()
    return _remembered(chapter, "points", name, compute).set_index("class")


def performance(chapter: Chapter, name: str) -> pd.DataFrame:
    """On the test part, a row a class: the columns of `average_precision` and of `thresholds.at`."""
    def compute() -> pd.DataFrame:
        test = _test(chapter, name)
        areas = average_precision.average_precision(**test)
        rates = thresholds.at(**test, thresholds=operating_points(chapter, name)["threshold"])
        return areas.rename(columns={"low": "average_precision_low", "high": "average_precision_high"}).join(
            rates.drop(columns=["positives", "negatives"])).reset_index()
    return _remembered(chapter, "performance", name, compute).set_index("class")


def reliability(chapter: Chapter, name: str) -> pd.DataFrame:
    """On the test part, a row a class and bin, as `calibration.reliability` gives it."""
    return _remembered(chapter, "reliability", name,
                       lambda: calibration.reliability(**_test(chapter, name), bins=BINS), bins=BINS)


def calibration_errors(chapter: Chapter, name: str) -> pd.DataFrame:
    """On the test part, a row a class, as `calibration.errors` gives it."""
    return _remembered(chapter, "calibration", name, lambda: calibration.errors(
        **_test(chapter, name), bins=BINS).reset_index(), bins=BINS).set_index("class")


def by_part(chapter: Chapter, name: str) -> pd.DataFrame:
    """On the test part by view, sex and age: the columns of `subgroups.compare`, and `by`; of each class."""
    def compute() -> pd.DataFrame:
        test, thresholds = _test(chapter, name), operating_points(chapter, name)["threshold"]
        labels = part_of(chapter.table.iloc[chapter.rows["test"]])
        return pd.concat([subgroups.compare(**test, thresholds=thresholds, part=labels[by], parts=parts,
                                            min_patients=FEWEST)
                          .assign(by=by) for by, parts in PARTS.items()])
    return _remembered(chapter, "parts", name, compute, parts=PARTS, ages=AGES, fewest=FEWEST)


def part_of(table: pd.DataFrame) -> pd.DataFrame:
    """View, sex and age group of each image, in the words of PARTS; missing where it is not known."""
    ages = pd.cut(table["age"], [*AGES.values(), np.inf], right=False, labels=list(AGES)).astype(object)
    return table[["view", "sex"]].assign(age=ages)


def points_table(points: pd.DataFrame) -> pd.DataFrame:
    """`operating_points`, for people."""
    return points.astype({"positives": int, "negatives": int}).rename(index=words).round(3)


def performance_table(table: pd.DataFrame) -> pd.DataFrame:
    """`performance` for people: each figure with its 95 % interval; beside average precision what chance would give."""
    shown = {label: _with_interval(table, name) for name, label in FIGURES.items()}
    return pd.DataFrame({"positives": table["positives"], "chance": table["prevalence"].map("{:.2f}".format), **shown},
                        index=table.index).rename(index=words)


def calibration_table(table: pd.DataFrame) -> pd.DataFrame:
    """`calibration_errors` for people: each figure with its 95 % interval, beside what chance and ignorance give."""
    prevalence, chance, ignorant = (table[name].map("{:.3f}".format)
                                    for name in ("prevalence", "ece_chance", "brier_prevalence"))
    return pd.DataFrame({
        "share of positives": prevalence, "mean probability minus share": _with_interval(table, "gap", 3),
        "calibration error": _with_interval(table, "ece", 3), "by chance up to": chance,
        "Brier score": _with_interval(table, "brier", 3), "of the share": ignorant}).rename(index=words)


def parts_table(table: pd.DataFrame, by: str, measure: str) -> pd.DataFrame:
    """One measure of `by_part` for people, a row a class, a column a part: value (interval), and of how many."""
    of = table[(table["by"] == by) & (table["measure"] == measure)].rename(columns={
        "low": "value_low", "high": "value_high"})
    text = [f"{shown}; {row.positives} of {row.images}"
            for shown, row in zip(_with_interval(of, "value"), of.itertuples(), strict=True)]
    wide = of.assign(text=text).pivot(index="class", columns="part", values="text")
    return wide.loc[of["class"].unique(), list(PARTS[by])].rename(index=words).rename_axis(columns=f"{measure} by {by}")


def points_in_words(points: pd.DataFrame) -> Markdown:
    """From how few positives the thresholds come."""
    few = points[points["positives"] < FEWEST]
    counts = ", ".join(f"{words(name)} {positives}" for name, positives in few["positives"].items())
    said = (f"{len(few)} of {len(points)} thresholds rest on fewer than {FEWEST} positive images ({counts}): another "
            "validation part would give quite another threshold." if len(few) else
            f"Every threshold rests on {FEWEST} positive images or more.")
    return Markdown(said)


def performance_in_words(points: pd.DataFrame, table: pd.DataFrame) -> Markdown:
    """How often average precision is above chance, what the best class means, and how far validation flattered."""
    measured = table.dropna(subset=["average_precision", "sensitivity"])
    if measured.empty:
        return Markdown("No class has a threshold, and both outcomes in the test part.")
    above = (measured["average_precision_low"] > measured["prevalence"]).sum()
    best = measured.loc[(measured["sensitivity"] + measured["specificity"]).idxmax()]
    lost = (points - table)[["sensitivity", "specificity"]].mean()
    return Markdown(
        f"- The average precision lies above chance, its whole interval, in {above} of {len(measured)} classes.\n"
        f"- The class told apart best is {words(best.name)}: {best['sensitivity']:.0%} of the images with it are "
        f"called so, and {1 - best['specificity']:.0%} of those without; of the images called so {best['ppv']:.0%} "
        "have it.\n"
        f"- From validation to test the sensitivity changes by {-lost['sensitivity']:+.2f} and the specificity by "
        f"{-lost['specificity']:+.2f} (mean over the classes): the threshold was fitted to the validation part.")


def calibration_in_words(table: pd.DataFrame) -> Markdown:
    """In how many classes the probabilities are off by more than chance, and know more than the share of positives."""
    known = table.dropna(subset=["ece"])
    high, low, off = ((known[column] * sign > 0).sum() for column, sign in
                      (("gap_low", 1), ("gap_high", -1), ("ece_low", 1)))
    better = (known["brier"] < known["brier_prevalence"]).sum()
    return Markdown(
        f"- In {high} of {len(known)} classes the probabilities are too high on the whole, in {low} too low (the "
        "interval of the mean difference leaves 0 out).\n"
        f"- In {off} of {len(known)} classes the calibration error is larger than chance explains.\n"
        f"- In {better} of {len(known)} classes the Brier score is lower than that of telling everyone the share of "
        "positives.")


def parts_in_words(table: pd.DataFrame) -> Markdown:
    """By view, sex and age: how many differences leave 0 out, how many would by chance, and the largest of them."""
    lines = []
    for by, parts in PARTS.items():
        others = table[(table["by"] == by) & (table["part"] != parts[0])]
        asked = others.dropna(subset=["difference", "difference_low"])
        outside = asked[(asked["difference_low"] > 0) | (asked["difference_high"] < 0)]
        line = (f"- By {by}: {len(asked)} differences from {parts[0]}, {len(others) - len(asked)} more left blank. "
                f"{len(outside)} intervals leave 0 out; about {0.05 * len(asked):.0f} would if there were no "
                "difference at all.")
        if len(outside):
            top = outside.loc[outside["difference"].abs().idxmax()]
            line += (f" The largest: {top['measure']} of {words(top['class'])}, {top['part']}, "
                     f"{top['difference']:+.2f} ({interval(top['difference_low'], top['difference_high'])}).")
        lines.append(line)
    return Markdown("\n".join(lines))


def performance_figure(chapter: Chapter, name: str) -> Figure:
    """Average precision beside chance, and sensitivity and specificity beside those of the validation part."""
    return clinic_figures.rates(performance(chapter, name), operating_points(chapter, name), _what(chapter, name))


def calibration_figure(chapter: Chapter, name: str) -> Figure:
    """A panel a class: the share of positives against the mean probability of each bin."""
    return clinic_figures.reliability(reliability(chapter, name), _what(chapter, name))


def parts_figure(chapter: Chapter, name: str, by: str) -> Figure:
    """How far the parts `by` view, sex or age differ from the first of them: a panel a measure, a row a class."""
    table = by_part(chapter, name)
    blank = f"blank where fewer than {FEWEST} patients have, or lack, the class"
    return clinic_figures.differences(table[table["by"] == by], f"{_what(chapter, name)}\n{blank}")


def _what(chapter: Chapter, name: str) -> str:
    test = chapter.table.iloc[chapter.rows["test"]]
    return f"{name}, one training; test part: {len(test):,} images of {test['patient'].nunique():,} patients"


def _with_interval(table: pd.DataFrame, name: str, digits: int = 2) -> list[str]:
    """`0.71 (0.64–0.78)`; a dash for an interval without width, which is no certainty: no draw shows the other case."""
    value, low, high = (table[column] for column in (name, f"{name}_low", f"{name}_high"))
    ends = zip(value, low.where(low != high), high, strict=True)
    return ["–" if np.isnan(value) else f"{value:.{digits}f} ({interval(low, high, digits)})".replace("-", "−")
            for value, low, high in ends]


def _test(chapter: Chapter, name: str) -> dict[str, Any]:
    """What every figure of the test part is computed from."""
    rows = chapter.rows["test"]
    return {"target": chapter.targets[rows], "probability": probabilities(chapter, name, "test"),
            "groups": chapter.table["patient"].iloc[rows], "names": chapter.classes,
            "n_bootstrap": chapter.settings.draws, "seed": chapter.seed}


def _remembered(chapter: Chapter, what: str, name: str, compute: Callable[[], pd.DataFrame], **asked: Any
                ) -> pd.DataFrame:
    """A table that is kept in the run folder; a column without any figure is one of NaN."""
    table = pd.DataFrame(chapter.run.remember(f"clinic_{what}_{name}", lambda: compute().to_dict("records"), **asked))
    return table.astype(dict.fromkeys(table.columns[table.isna().all()], float))
