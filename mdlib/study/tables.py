"""Tables every paper needs: estimates with their intervals, differences with verdicts, ours beside the paper's.

Long tables (one row per number, for figures and for data/results) come from `aurocs`, `differences`, `grid_differences`
and `long`; tables of text, for people, from `means`, `wide`, `intervals` and `with_verdicts`. Without anything to
show they are empty, with their columns.
"""

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from mdlib.evaluate import classification, paired, per_class
from mdlib.evaluate.tables import interval
from mdlib.study.spec import RunSpec, labels

AUROCS = ("panel", "series", "class", "auroc", "low", "high", "draws", "seeds", "images", "patients")
DIFFERENCES = ("panel", "comparison", "difference", "low", "high", "seeds", "verdict")
GRID = ("panel", "comparison", "difference", "lowest", "highest", "above 0", "pairs")
MEANS = (classification.PLAIN, classification.WEIGHTED)


def aurocs(scores: Mapping[str, np.ndarray], targets: np.ndarray, patients: Sequence, names: Sequence[str], *,
           n_bootstrap: int, seed: int, panel: str = "") -> pd.DataFrame:
    """AUROC of each class and both means, with 95 % intervals, of each series: columns AUROCS.

    scores: by series (S, N, K), of S trainings each (`Predictions.scores`); targets (N, K): 0, 1 or NaN; patients (N,).
    See `classification.bootstrap` for the intervals. panel: the part of a figure these belong to.
    """
    found = [classification.bootstrap(targets, score, patients, names=names, n_bootstrap=n_bootstrap, seed=seed)
             .reset_index().assign(panel=panel, series=series, seeds=len(score), images=len(targets),
                                   patients=len(np.unique(patients)))
             for series, score in scores.items() if len(targets)]
    return _joined(found, AUROCS)


def differences(scores: Mapping[str, np.ndarray], pairs: Iterable[tuple[str, str]], targets: np.ndarray,
                patients: Sequence, *, n_bootstrap: int, seed: int, panel: str = "") -> pd.DataFrame:
    """Difference of the plain mean AUROC of each pair of series, on the same images: columns DIFFERENCES.

    pairs: names in `scores`, the first less the second; one that is not there is left out. See
    `classification.paired_difference` for the intervals. Other arguments as `aurocs`.
    """
    rows = []
    for a, b in pairs:
        if a in scores and b in scores and len(targets):
            found = classification.paired_difference(targets, scores[a], scores[b], patients, n_bootstrap=n_bootstrap,
                                                     seed=seed, average="plain")
            rows.append((panel, f"{a} − {b}", found.mean, found.low, found.high, found.seeds,
                         found.verdict))
    return pd.DataFrame(rows, columns=list(DIFFERENCES))


def grid_differences(table: pd.DataFrame, pairs: Iterable[tuple[RunSpec, RunSpec]], part: str, *, panel: str = ""
                     ) -> pd.DataFrame:
    """Differences of the plain mean AUROC between two trainings of the same fold and seed: columns GRID.

    table: one row per training and predicted part, with the fields of the training, `predicted`, and a column of
    AUROCs per class. pairs: two trainings each, whatever their fold and seed. Each difference is over the classes that
    both have; of each pair of series the mean, lowest and highest, how many are above 0, and of how many.
    """
    pairs = [(a.series, b.series) for a, b in pairs] if len(table) else []
    named, rows = labels(spec for pair in pairs for spec in pair), []
    for a, b in pairs:
        first, second = (_by_fold_and_seed(table[table["predicted"] == part], spec) for spec in (a, b))
        first, second = first.align(second, join="inner")
        known = first.notna() & second.notna()
        found = (first.where(known).mean(axis=1) - second.where(known).mean(axis=1)).dropna()
        if len(found):
            rows.append((panel, f"{named[a]} − {named[b]}", found.mean(), found.min(), found.max(),
                         int((found > 0).sum()), len(found)))
    return pd.DataFrame(rows, columns=list(GRID))


def _by_fold_and_seed(table: pd.DataFrame, spec: RunSpec) -> pd.DataFrame:
    """The AUROCs of the trainings of one series: index fold and seed, one column per class."""
    fields = [field.name for field in dataclasses.fields(spec)]
    same = [table[name] == getattr(spec, name) for name in fields if name not in ("fold", "seed")]
    own = table[np.logical_and.reduce(same)].set_index(["fold", "seed"])
    return own.drop(columns=["predicted", *(name for name in fields if name not in ("fold", "seed"))]).astype(float)


def long(table: pd.DataFrame, names: Mapping[str, str]) -> pd.DataFrame:
    """Columns `x`, `x_low`, `x_high` of a table for each x in `names` as rows: row, series, value, low, high.

    row is the index of the table, series what `names` calls x. For `plots.estimates`.
    """
    parts = [pd.DataFrame({"row": table.index, "series": series, "value": table[name].to_numpy(),
                           "low": table[f"{name}_low"].to_numpy(), "high": table[f"{name}_high"].to_numpy()})
             for name, series in names.items()]
    return _joined(parts, ("row", "series", "value", "low", "high"))


def with_interval(value: float, low: float, high: float, digits: int = 2) -> str:
    """`0.71 (0.64–0.78)`; a dash for what is not defined."""
    return "–" if math.isnan(value) else f"{value:.{digits}f} ({interval(low, high, digits)})".replace("-", "−")


def intervals(table: pd.DataFrame, names: Mapping[str, str], digits: int = 2) -> pd.DataFrame:
    """Columns `x`, `x_low`, `x_high` of a table for each x in `names` as text, one column per name.

    An interval without width is a dash: it is no certainty, but says that no resample shows the other outcome.
    """
    def text(value: float, low: float, high: float) -> str:
        return with_interval(value, math.nan if low == high else low, high, digits)
    return pd.DataFrame({title: [text(*ends) for ends in table[[name, f"{name}_low", f"{name}_high"]].to_numpy(float)]
                         for name, title in names.items()}, index=table.index)


def wide(table: pd.DataFrame, rows: str | list[str], columns: str | list[str], value: str = "mean", digits: int = 2
         ) -> pd.DataFrame:
    """A long table with columns `value`, low and high as text, in the order in which rows and columns first appear."""
    cells = table.assign(text=[with_interval(*ends, digits=digits)
                               for ends in table[[value, "low", "high"]].to_numpy(float)])
    return cells.pivot_table(index=rows, columns=columns, values="text", aggfunc="first", sort=False).fillna("")


def hits(table: pd.DataFrame, measure: str = "pointing game", min_pairs: int = 20) -> pd.DataFrame:
    """A measure of `saliency.localisation` by finding in counts: hits of n, with an interval from `min_pairs` on.

    One row per network and method, one column per finding that has pairs. Ties count in part.
    """
    of = table[(table["measure"] == measure) & (table["finding"] != per_class.MEAN) & (table["pairs"] > 0)]
    cells = of.assign(finding=of["finding"].str.replace("_", " "), text=[
        f"{round(row.mean * row.pairs, 1):g} of {row.pairs}" + (
            f" ({interval(row.low, row.high)})" if row.pairs >= min_pairs else "")
        for row in of.itertuples(index=False)])
    return cells.pivot_table(index=["network", "method"], columns="finding", values="text", aggfunc="first", sort=False)


def means(table: pd.DataFrame) -> pd.DataFrame:
    """Both means of a table of `aurocs` with their intervals: one row per series, two columns per panel."""
    found = wide(table[table["class"].isin(MEANS)], "series", ["panel", "class"], "auroc", digits=3)
    found = found[[(panel, mean) for panel in dict.fromkeys(table["panel"]) for mean in MEANS]]
    return found.rename_axis(index="", columns=["", "AUROC (95 % interval)"])


def with_verdicts(table: pd.DataFrame, value: str = "difference", *, digits: int = 3, scale: float = 1
                  ) -> pd.DataFrame:
    """A table of differences for people: what is compared, "difference", "95 % interval", "verdict".

    table: columns `value`, low, high; all others say what is compared and stay as they are (but a nameless panel).
    verdict: higher or lower where the interval leaves 0 out, else undecided. scale: 100 gives points of percent.
    """
    if len(table) and "panel" in table and not any(table["panel"]):
        table = table.drop(columns="panel")
    ends = scale * table[[value, "low", "high"]].to_numpy(float)
    return table.drop(columns=[value, "low", "high", "verdict"], errors="ignore").assign(**{
        "difference": ["–" if math.isnan(mean) else f"{mean:+.{digits}f}".replace("-", "−") for mean, _, _ in ends],
        "95 % interval": [interval(low, high, digits) for _, low, high in ends],
        "verdict": [paired.verdict(low, high) for _, low, high in ends]})


def settings(this: Any, paper: Any) -> pd.DataFrame:
    """The settings of a run that differ from the paper's, beside them: one row per field of their dataclass."""
    table = pd.DataFrame({"this run": dataclasses.asdict(this), "paper profile": dataclasses.asdict(paper)})
    table = table.map(lambda value: ", ".join(map(str, value)) or "none" if isinstance(value, tuple) else str(value))
    return table[table["this run"] != table["paper profile"]].rename_axis("setting")


def beside_paper(ours: Mapping[str, float] | pd.Series, paper: Mapping[str, float]) -> pd.DataFrame:
    """Columns `paper`, `ours`, `difference` (ours minus paper): one row per name of ours, then the paper's others.

    Counts stay whole numbers. What one side does not have is missing (<NA>), never 0.
    """
    ours = dict(ours)
    names = [*ours, *(name for name in paper if name not in ours)]
    table = pd.DataFrame({"paper": [paper.get(name) for name in names], "ours": [ours.get(name) for name in names]},
                         index=names, dtype=object).apply(_numbers)
    return table.assign(difference=table["ours"] - table["paper"])


def _numbers(column: pd.Series) -> pd.Series:
    whole = all(float(value).is_integer() and not isinstance(value, float) for value in column.dropna())
    return column.astype("Int64" if whole else "Float64")


def _joined(tables: Sequence[pd.DataFrame], columns: Sequence[str]) -> pd.DataFrame:
    """The tables one below the other with these columns; without any, an empty one."""
    return pd.concat(tables, ignore_index=True)[list(columns)] if tables else pd.DataFrame(columns=list(columns))
