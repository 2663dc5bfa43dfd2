"""Tables 2 and 3 of Zhang et al. with ours beneath each row, and what the differences say of the paper's claims."""

from collections.abc import Sequence
from typing import Any

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
    UNSCALED,
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
TITLES = {IMAGE: "The accuracy of the image model"}     # what a measure is called in a sentence
NOT_HERE = "Not in this run."
NO_FOLDS = "No fold is set apart here."
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
    return table[["DCA (%)", *captions.METRICS]].rename_axis(["row", ""])


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
    """`results.differences` of these claims as sentences, in points of percent, and from what they are made."""
    of = differences[differences["claim"].isin(claims)]
    if of.empty:
        return Markdown(NOT_HERE)
    return Markdown("\n".join([*(f"- {_sentence(row)}" for row in of.itertuples()), "", _made_from(of.iloc[0])]))


def _sentence(row: Any) -> str:
    title = TITLES.get(row.measure, row.measure)
    side, decided = "above" if row.mean >= 0 else "below", row.low > 0 or row.high < 0
    return (f"{title} of {row.first} is **{100 * abs(row.mean):.1f} points {side}** that of {row.second} "
            f"({_points(row.low, row.high)}{'' if decided else ': not decided'}).")


def _points(low: float, high: float) -> str:
    return interval(100 * low, 100 * high, digits=1)


def _made_from(row: pd.Series) -> str:
    """How many images, patients and seeds; and what few seeds cannot tell."""
    few = {1: " How much the training itself varies is not known from one seed.",
           2: " Two seeds hardly tell how much the training itself varies."}
    return (f"*95 % intervals over {row['images']:,.0f} images of {row['patients']:,.0f} patients and "
            f"{row['seeds']:.0f} seed{'' if row['seeds'] == 1 else 's'}; not decided: the interval includes 0."
            f"{few.get(row['seeds'], '')}*")


def verdicts(differences: pd.DataFrame) -> pd.DataFrame:
    """What each comparison decides: the claim, both sides, the difference with its interval, and a verdict."""
    said = np.select([differences["low"] > 0, differences["high"] < 0], ["as claimed", "the other way round"],
                     "not decided")
    shown = [f"{100 * row.mean:+.1f} ({_points(row.low, row.high)})".replace("-", "−")
             for row in differences.itertuples()]
    table = differences.assign(claim=[CLAIMS[key].text for key in differences["claim"]], verdict=said, points=shown)
    return table[["claim", "first", "second", "measure", "points", "seeds", "verdict"]].set_index(
        ["claim", "first", "second"])


def claims(differences: pd.DataFrame) -> Markdown:
    """By claim, how many of its comparisons came out so, in sentences computed from `results.differences`."""
    lines = []
    for key, claim in CLAIMS.items():
        of = 100 * differences.loc[differences["claim"] == key, ["mean", "low", "high"]]
        if of.empty:
            lines.append(f"- **{claim.text}** {NOT_HERE}")
            continue
        decided, against, mean = (of["low"] > 0).sum(), (of["high"] < 0).sum(), of["mean"]
        title = TITLES.get(claim.measure, claim.measure)
        lines.append(f"- **{claim.text}** So in {decided} of {len(of)} comparisons, the other way round in {against}, "
                     f"not decided in {len(of) - decided - against}. {title}: {mean.mean():+.1f} points on average, "
                     f"{mean.min():+.1f} to {mean.max():+.1f}.")
    return Markdown("\n".join(lines))


def above(differences: pd.DataFrame) -> Markdown:
    """Whether MDNet's DCA is above that of each other row and of the colours: the answer in a sentence, and by row."""
    if differences.empty:
        return Markdown(NO_FOLDS)
    of = differences[differences["claim"] == "dca"]
    better, worse = list(of.loc[of["low"] > 0, "second"]), list(of.loc[of["high"] < 0, "second"])
    open_ = [name for name in of["second"] if name not in (*better, *worse)]
    ends = [(f"above {_named(better)}", better), (f"below {_named(worse)}", worse),
            (f"not told apart from {_named(open_)}", open_)]
    answer = "; ".join(text for text, names in ends if names) or "compared with no other row"
    colour = (differences["claim"] == "colours") & (differences["first"] == NAMES["mdnet"])
    shown = pd.concat([of, differences[colour].assign(claim="dca")])
    return Markdown(f"**DCA of MDNet is {answer}.**\n\n{in_words(shown, ['dca']).data}")


def _named(names: Sequence[str]) -> str:
    return ", ".join(f"“{name}”" for name in names)


def trained(trainings: pd.DataFrame, eta: float) -> pd.DataFrame:
    """One row per training: name, eta, test images, and how often sentence and image model are right, in percent."""
    names = [UNSCALED if row.scaled == "up" else row.row for row in trainings.itertuples()]
    joint = [EVERY[row].joint if row in EVERY else False for row in trainings["row"]]
    return pd.DataFrame({"η": [f"{row.eta or eta:g}" if is_joint else "–" for row, is_joint in
                               zip(trainings.itertuples(), joint, strict=True)],
                         "test images": trainings["images"].to_numpy(),
                         "sentence right, %": [_share(value) for value in trainings[DCA]],
                         "image model right, %": [_share(value) for value in trainings[IMAGE]]},
                        index=pd.Index([NAMES.get(name, name) for name in names], name="network"))


def _share(value: float) -> str:
    return "writes none" if np.isnan(value) else f"{100 * value:.1f}"


def steadiness(trainings: pd.DataFrame) -> Markdown:
    """How far the folds of each row lie apart in DCA, MDNet against the others, beside the paper's; and in captions."""
    found = spread(of_table_2(trainings), METRICS)
    found = found[found["row"].isin(ROWS)]
    dca = found[found["measure"] == DCA].set_index("row")
    if dca["folds"].max() < 2 or "mdnet" not in dca.index or len(dca) < 2:
        return Markdown("One fold says nothing about how far folds lie apart.")
    others = 100 * dca["std"].drop("mdnet")
    top = [metric for metric, of in found[found["measure"] != DCA].groupby("measure", sort=False)
           if of.set_index("row")["mean"].idxmax() == "mdnet"]
    four = found[found["measure"] == "BLEU-4"]["mean"]
    return Markdown(
            f"Over the folds, DCA of MDNet has a standard deviation of {100 * dca.loc['mdnet', 'std']:.1f} points, the "
            f"other rows of {others.min():.1f} to {others.max():.1f} (paper: 1.5 against 1.8 to 4.8). Of the "
            f"caption scores MDNet is the highest row in {len(top)} of {found['measure'].nunique() - 1}"
            f"{' (' + ', '.join(top) + ')' if top else ''}; BLEU-4 lies between {four.min():.1f} and {four.max():.1f} "
            "(paper: 65.8 to 67.7). Caption scores have no interval here: rows that lie some tenths apart are not told "
            "apart.")


def own_text() -> Markdown:
    """Where the paper's text and its own Tables 2 and 3 do not agree, in sentences computed from them."""
    two = {name: dict(zip(METRICS, values, strict=True)) for name, values in TABLE_2.items()}
    for values in two.values():
        values[DCA] = float(values[DCA].split()[0])

    def gain(first: str, second: str) -> str:
        return f"{two[first][DCA] - two[second][DCA]:+.1f}".replace("-", "−")
    lower = sum(two[f"baseline_en{tuned}"][metric] < two[f"baseline_gn{tuned}"][metric]
                for tuned in ("", "_tuned") for metric in captions.METRICS)
    top = [metric for metric in captions.METRICS
           if two["mdnet"][metric] > max(of[metric] for name, of in two.items() if name != "mdnet")]
    others = [metric for metric in captions.METRICS if metric not in top]
    return Markdown("\n".join([
        f"- *EcNet slightly better than GoogLeNet* in a baseline: in DCA by {gain('baseline_en', 'baseline_gn')} and "
        f"{gain('baseline_en_tuned', 'baseline_gn_tuned')} points; but lower in {lower} of {2 * len(captions.METRICS)} "
        "caption scores.",
        f"- *Fine-tuning generally beneficial*: DCA of the baselines {gain('baseline_gn_tuned', 'baseline_gn')} and "
        f"{gain('baseline_en_tuned', 'baseline_en')} points, of the paper's own split model "
        f"{gain('split_tuned', 'split')}. The deviations over folds are larger than all of these.",
        f"- *MDNet outperforms in most of other metrics*: it alone is highest in {len(top)} of {len(captions.METRICS)} "
        f"caption scores; not in {' and '.join(others)}.",
        "- *Significantly*: neither a test nor an interval is given. A deviation over five folds that share their "
        "training images is none."]))


def relies(means: pd.DataFrame) -> Markdown:
    """How often the sentence of each row states what its image model says, in words (section 6).

    Not of fine-tuned rows: their classifier stays as it was while its features move.
    """
    table = means.pivot(index="name", columns="measure", values="mean")
    rows = [name for name, of in ROWS.items() if name in table.index and not of.tuned]
    return Markdown("\n".join(
        f"- {NAMES[name]}: the image model is right in {table.loc[name, IMAGE]:.1%} of the images, the sentence in "
        f"{table.loc[name, DCA]:.1%}; both say the same in {table.loc[name, AGREES]:.1%}." for name in rows))


def grades(table: pd.DataFrame) -> pd.DataFrame | str:
    """`graded.agreement` in percent with intervals, one row per network; beneath, always the usual grade."""
    if table.empty:
        return NO_GRADES
    shown = table.assign(text=[f"{100 * row.mean:.0f} ({interval(100 * row.low, 100 * row.high, digits=0)})"
                               for row in table.itertuples()])
    shown = shown.pivot(index="name", columns="part", values="text").reindex(
        index=[name for name in (*EVERY, MAJORITY) if name in set(table["name"])], columns=[*PARTS, "mean of parts"])
    return shown.rename(index=NAMES | {MAJORITY: "always the most frequent grade"},
                        columns=lambda name: name.replace("_", " ")).rename_axis(index="row", columns="share right (%)")
