"""Tables and a figure of performance in subgroups, from `evaluate.subgroups.compare`."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from mdlib.evaluate import paired
from mdlib.study import plots, tables


def wide(table: pd.DataFrame) -> pd.DataFrame:
    """One measure of `subgroups.compare` as text, one row per class, one column per part.

    Each is the value (95 % interval), and how many positive images of how many images it is of.
    """
    text = tables.intervals(table.rename(columns={"low": "value_low", "high": "value_high"}), {"value": "text"})["text"]
    cells = table.assign(text=text + "; " + table["positives"].astype(str) + " of " + table["images"].astype(str))
    found = cells.pivot_table(index="class", columns="part", values="text", aggfunc="first", sort=False)
    return found.rename(index=plots.words)


def count_differences(table: pd.DataFrame) -> pd.DataFrame:
    """How many differences of `subgroups.compare` have an interval that excludes 0: one row per value of `by`.

    Columns: compared, `left blank` (too few patients), `interval excludes 0`, `expected by chance` (5 % of compared).
    """
    of = differences(table)
    known = of["difference"].notna() & of["difference_low"].notna()
    each = pd.DataFrame({"by": of["by"], "compared": known, "left blank": ~known, "interval excludes 0": _decided(of)})
    count = each.groupby("by", sort=False).sum().astype(int)
    return count.assign(**{"expected by chance": (0.05 * count["compared"]).round(1)})


def largest_differences(table: pd.DataFrame) -> pd.DataFrame:
    """The largest difference of each value of `by` whose interval excludes 0, with its interval."""
    of = differences(table)
    of = of[_decided(of)]
    largest = of.sort_values("difference", key=abs, ascending=False, kind="stable").drop_duplicates("by").sort_index()
    shown = tables.intervals(largest, {"difference": "difference (95 % interval)"})
    return largest[["by", "measure", "class", "part"]].join(shown).set_index("by")


def _decided(of: pd.DataFrame) -> np.ndarray:
    """Of which differences the interval excludes 0, bool (N,)."""
    ends = of[["difference_low", "difference_high"]].to_numpy(float)
    return np.array([paired.verdict(*each) != "undecided" for each in ends], bool)


def differences(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of `subgroups.compare` that are compared with the first part of their `by`."""
    return table[table["part"] != table.groupby("by")["part"].transform("first")]


def differences_figure(table: pd.DataFrame, title: str = "") -> Figure:
    """How far the parts of one `by` differ from the first: a panel per measure, a row per class.

    Each class is followed by its positive images in each part.
    """
    parts = list(dict.fromkeys(table["part"]))
    count = table[table["measure"] == table["measure"].iloc[0]] if len(table) else table
    positives = count.groupby("class", sort=False)["positives"].agg(lambda of: " / ".join(map(str, of)))
    images = count.groupby("part")["images"].max()
    series = {part: f"{part} minus {parts[0]} ({images[part]:,} and {images[parts[0]]:,} images)" for part in parts[1:]}
    rows = {name: f"{plots.words(name)} ({of})" for name, of in positives.items()}
    shown = table[table["part"].isin(parts[1:])]
    shown = shown.assign(**{"part": shown["part"].map(series), "class": shown["class"].map(rows)})
    return plots.estimates(shown, "difference", row="class", series="part", panel="measure",
                           lines={"no difference": 0}, title=title, xlabel="difference, 95 % interval over patients",
                           ylabel=f"class (positive images: {' / '.join(map(str, parts))})")
