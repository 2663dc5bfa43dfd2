"""Tables 2 and 3 of Zhang et al. with ours beneath each row, and what the differences say of the paper's claims."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from IPython.display import Markdown

from mdlib.evaluate import captions
from mdlib.evaluate.tables import interval
from mdlib.recipes.mdnet import people
from mdlib.recipes.mdnet.graded import PARTS
from mdlib.recipes.mdnet.outcome import Outcome
from mdlib.recipes.mdnet.results import (
    AGREES,
    BASELINES,
    CHANCE,
    CLAIMS,
    DCA,
    IMAGE,
    MAJORITY,
    NAMES,
    OWN,
    RECALLS,
    TITLES,
    spread,
)
from mdlib.recipes.mdnet.rows import EVERY, ROWS

PAPER, OURS, OURS_OWN = "paper", "ours", "ours, its own image among them"
METRICS = (*captions.METRICS, DCA)
TABLE_2 = {
    "baseline_gn": (90.6, 81.8, 73.9, 66.6, 39.3, 69.5, 2.05, "72.6 ± 1.8"),
    "baseline_gn_tuned": (90.7, 82.0, 74.3, 66.9, 39.5, 69.9, 2.09, "74.2 ± 3.8"),
    "baseline_en": (90.1, 81.1, 73.2, 65.8, 39.3, 69.7, 2.01, "73.7 ± 2.4"),
    "baseline_en_tuned": (90.3, 81.9, 74.1, 66.8, 39.6, 69.8, 2.02, "74.4 ± 4.8"),
    "split": (90.4, 81.9, 74.1, 66.6, 39.3, 69.8, 1.95, "72.7 ± 4.2"),
    "split_tuned": (90.4, 81.5, 73.4, 65.9, 39.0, 69.5, 1.92, "71.6 ± 4.2"),
    "mdnet": (91.2, 82.9, 75.0, 67.7, 39.6, 70.1, 2.04, "78.4 ± 1.5"),
}
TABLE_3 = {
    "baseline_gn": ("71.7 ± 2.5", "71.9 ± 5.2", "72.9 ± 4.1"),
    "baseline_gn_tuned": ("70.1 ± 8.3", "72.5 ± 5.9", "72.8 ± 5.3"),
    "baseline_en": ("64.4 ± 2.4", "70.8 ± 0.9", "72.5 ± 1.6"),
    "baseline_en_tuned": ("68.3 ± 2.0", "71.8 ± 1.5", "73.4 ± 1.9"),
    "split": ("68.7 ± 5.5", "73.1 ± 2.8", "74.3 ± 1.7"),
    "split_tuned": ("71.6 ± 5.5", "75.7 ± 3.9", "75.8 ± 2.7"),
    "mdnet": ("78.6 ± 4.0", "79.5 ± 3.6", "79.4 ± 3.1"),
}
OTHERS = {people.PEOPLE: "people", people.BLIND: "one report for all images"}
NO_GRADES = "Which grades are right is known of phantoms only."


def of_table_2(trainings: pd.DataFrame) -> pd.DataFrame:
    """Of `results.by_training`, the rows of Table 2 and the two of ours, without other eta and scaling."""
    return trainings[(trainings["eta"] == 0) & (trainings["scaled"] == "both") & trainings["row"].isin(EVERY)]


def table_2(of: Outcome) -> pd.DataFrame:
    """Table 2, the paper's numbers over ours: mean ± standard deviation over folds, of DCA its interval in brackets.

    Beneath it people, one report for all images, the colours and the most frequent class.
    """
    found = spread(pd.concat([of_table_2(of.trainings), of.beside]), METRICS).set_index(["row", "measure"])
    limits = of.means[of.means["measure"] == DCA].set_index("name")
    lines = {}
    for name in [name for name in (*EVERY, *OTHERS, *BASELINES) if name in found.index.get_level_values(0)]:
        title = OTHERS.get(name) or NAMES[name]
        if name in TABLE_2:
            lines[title, PAPER] = [str(value) if metric == DCA else captions.printed(metric, value)
                                   for metric, value in zip(METRICS, TABLE_2[name], strict=True)]
        lines[title, OURS] = [_cell(found, limits, name, metric) for metric in METRICS]
    table = pd.DataFrame(lines, index=[*captions.METRICS, "DCA (%)"]).T
    return table.rename_axis(["row", ""])


def table_3(of: Outcome) -> pd.DataFrame:
    """Table 3 in percent, the paper's numbers over ours, the query's own image left out and in; beneath it chance."""
    names = [*RECALLS, *(name + OWN for name in RECALLS)]
    found = spread(pd.concat([of_table_2(of.trainings), of.beside]), names).set_index(["row", "measure"])
    lines = {}
    for name in [name for name in (*EVERY, CHANCE) if name in found.index.get_level_values(0)]:
        if name in TABLE_3:
            lines[NAMES[name], PAPER] = list(TABLE_3[name])
        for title, suffix in ((OURS, ""), (OURS_OWN, OWN)):
            lines[NAMES[name], title] = [
                _cell(found, of.means[of.means["measure"] == recall + suffix].set_index("name"), name, recall + suffix)
                for recall in RECALLS]
    return pd.DataFrame(lines, index=[f"{name} (%)" for name in RECALLS]).T.rename_axis(["row", ""])


def _cell(found: pd.DataFrame, limits: pd.DataFrame, name: str, metric: str) -> str:
    """Mean ± deviation over folds; of a share in percent, with its interval over patients where it has one."""
    if (name, metric) not in found.index:
        return "needs Java" if metric == "METEOR" and name not in BASELINES else ""
    mean, std = found.loc[(name, metric), ["mean", "std"]]
    if metric in captions.METRICS:
        return captions.printed(metric, mean) + ("" if np.isnan(std) else f" ± {captions.printed(metric, std)}")
    text = f"{100 * mean:.1f}" + ("" if np.isnan(std) else f" ± {100 * std:.1f}")
    if name not in limits.index or name in (CHANCE, MAJORITY):
        return text
    low, high = 100 * limits.loc[name, ["low", "high"]]
    return f"{text} ({interval(low, high, digits=0)})"


def in_words(differences: pd.DataFrame, claims: Sequence[str]) -> Markdown:
    """The sentences of `results.differences` of these claims as a list."""
    return Markdown("\n".join(f"- {sentence}" for sentence in
                              differences.loc[differences["claim"].isin(claims), "in words"]))


def verdicts(differences: pd.DataFrame) -> pd.DataFrame:
    """What each comparison decides: the claim, both sides, the difference with its interval, and a verdict."""
    said = np.select([differences["low"] > 0, differences["high"] < 0], ["as claimed", "the other way round"],
                     "undecided")
    shown = [f"{row.mean:+.3f} ({interval(row.low, row.high, digits=3)})" for row in differences.itertuples()]
    table = differences.assign(claim=[CLAIMS[key].text for key in differences["claim"]], verdict=said,
                               difference=shown)
    return table[["claim", "first", "second", "measure", "difference", "seeds", "verdict"]].set_index(
        ["claim", "first", "second"])


def claims(differences: pd.DataFrame) -> Markdown:
    """By claim, how many of its comparisons came out so, in sentences computed from `results.differences`."""
    lines = []
    for key, claim in CLAIMS.items():
        of = differences[differences["claim"] == key]
        if of.empty:
            lines.append(f"- **{claim.text}** Not in this run.")
            continue
        decided, against = (of["low"] > 0).sum(), (of["high"] < 0).sum()
        title, mean = TITLES.get(claim.measure, claim.measure), of["mean"]
        lines.append(f"- **{claim.text}** So in {decided} of {len(of)} comparisons, the other way round in {against}, "
                     f"undecided in {len(of) - decided - against}; the mean difference is {mean.mean():+.3f} of "
                     f"{title} (from {mean.min():+.3f} to {mean.max():+.3f}).")
    return Markdown("\n".join(lines))


def above(differences: pd.DataFrame) -> Markdown:
    """Whether MDNet's DCA is above that of each other row and of the colours: the answer in a sentence, and by row."""
    of = differences[differences["claim"] == "dca"]
    colour = differences[(differences["claim"] == "colours") & (differences["first"] == NAMES["mdnet"])]
    better, worse = list(of.loc[of["low"] > 0, "second"]), list(of.loc[of["high"] < 0, "second"])
    open_ = [name for name in of["second"] if name not in (*better, *worse)]
    ends = [(f"above {_named(better)}", better), (f"below {_named(worse)}", worse),
            (f"not told apart from {_named(open_)}", open_)]
    first = f"**DCA of MDNet is {'; '.join(text for text, names in ends if names) or 'compared with no other row'}.** "
    return Markdown(first + " ".join(colour["in words"]) + "\n\n" + in_words(differences, ["dca"]).data)


def _named(names: Sequence[str]) -> str:
    return ", ".join(f"“{name}”" for name in names)


def steadiness(trainings: pd.DataFrame) -> str:
    """How far the folds of each row lie apart in DCA, MDNet against the others, beside the paper's; and in captions."""
    found = spread(of_table_2(trainings), METRICS)
    found = found[found["row"].isin(ROWS)]
    dca = found[found["measure"] == DCA].set_index("row")
    if dca["folds"].max() < 2 or "mdnet" not in dca.index or len(dca) < 2:
        return "One fold says nothing about how far folds lie apart."
    others = 100 * dca["std"].drop("mdnet")
    top = [metric for metric, of in found[found["measure"] != DCA].groupby("measure", sort=False)
           if of.set_index("row")["mean"].idxmax() == "mdnet"]
    four = found[found["measure"] == "BLEU-4"]["mean"]
    return (f"Over the folds, DCA of MDNet has a standard deviation of {100 * dca.loc['mdnet', 'std']:.1f} points, the "
            f"other rows of {others.min():.1f} to {others.max():.1f} (paper: 1.5 against 1.8 to 4.8). Of the "
            f"caption scores MDNet is the highest row in {len(top)} of {found['measure'].nunique() - 1}"
            f"{' (' + ', '.join(top) + ')' if top else ''}; BLEU-4 lies between {four.min():.1f} and {four.max():.1f} "
            "(paper: 65.8 to 67.7).")


def relies(means: pd.DataFrame) -> Markdown:
    """How often the sentence of each row states what its image model says, in words (section 6)."""
    table = means.pivot(index="name", columns="measure", values="mean")
    rows = [name for name in ROWS if name in table.index]
    return Markdown("\n".join(
        f"- {NAMES[name]}: the image model is right in {table.loc[name, IMAGE]:.1%}, the sentence in "
        f"{table.loc[name, DCA]:.1%}; both say the same in {table.loc[name, AGREES]:.1%}." for name in rows))


def grades(table: pd.DataFrame) -> pd.DataFrame | str:
    """`graded.agreement` in percent with intervals, a row a network; beneath, always the usual grade."""
    if table.empty:
        return NO_GRADES
    shown = table.assign(text=[f"{100 * row.mean:.0f} ({interval(100 * row.low, 100 * row.high, digits=0)})"
                               for row in table.itertuples()])
    shown = shown.pivot(index="name", columns="part", values="text").reindex(
        index=[name for name in (*EVERY, MAJORITY) if name in set(table["name"])], columns=[*PARTS, "mean of parts"])
    return shown.rename(index=NAMES | {MAJORITY: "always the most frequent grade"},
                        columns=lambda name: name.replace("_", " ")).rename_axis(index="row", columns="share right (%)")
