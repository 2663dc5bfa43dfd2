"""Tables every paper needs: estimates with their intervals, differences with verdicts, ours beside the paper's.

Long tables (one row per number, for figures and for data/results) come from `aurocs`, `differences`, `grid_differences`
and `long`; tables of text, for people, from `means`, `wide`, `intervals` and `with_verdicts`. Without anything to
show they are empty, with their columns. `html` is how a notebook shows each of them, and any other DataFrame.
"""

import dataclasses
import math
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
import pandas as pd
from pandas.io.formats.style import Styler

from mdlib.evaluate import classification, paired, per_class
from mdlib.evaluate.tables import interval
from mdlib.files import fingerprint
from mdlib.study.spec import RunSpec, labels

AUROCS = ("panel", "series", "class", "auroc", "low", "high", "draws", "seeds", "images", "patients")
DIFFERENCES = ("panel", "comparison", "difference", "low", "high", "seeds", "verdict")
GRID = ("panel", "comparison", "difference", "lowest", "highest", "above 0", "pairs")
MEANS = (classification.PLAIN, classification.WEIGHTED)
GAP = r"(?<=\d) (?=\([^()<]*[\d–]\))|(?<=[)–];) "    # the spaces at which `0.83 (0.77–0.90); 19 of 50` may be broken


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


def html(table: pd.DataFrame, max_rows: int = 60, max_columns: int = 60) -> str:
    """A table as HTML; the way a notebook that imports `mdlib.study` shows every DataFrame.

    Numbers as `texts`. Text stands on the left and wraps between words, numbers on the right, on one line (an interval
    below its number where a table has no room). The header has one line per level of the columns; the names of the
    index stand in its last. Row names stay in view when the table scrolls sideways (without them, the first column).
    Row numbers (a RangeIndex without a name) are left out. Of more than `max_rows` rows or `max_columns`
    columns the first ones are shown.
    """
    shown = table.iloc[:max_rows, :max_columns]
    names = ["" if name is None else str(name) for name in table.index.names]
    numbered = isinstance(table.index, pd.RangeIndex) and not any(names)
    if any(names) and shown.columns.nlevels == 1 and shown.columns.name is not None:
        shown = pd.concat({shown.columns.name: shown}, axis=1)      # its name above the columns, not beside the index'
    cells = [texts(shown.iloc[:, i]) for i in range(shown.shape[1])]
    rules = [{"selector": "td", "props": "text-align: right; white-space: nowrap; vertical-align: top"},
             {"selector": "thead th, .gap", "props": "text-align: right; white-space: normal"},
             {"selector": "th[colspan]", "props": "text-align: left"},
             {"selector": "tbody th, .blank, .index_name",
              "props": "text-align: left; vertical-align: top; white-space: normal"}]
    wide = {f".col{i}": column for i, column in enumerate(cells) if any(map(_is_text, column))}
    if shown.index.nlevels == 1 and not numbered:
        wide[".level0:not(.col_heading)"] = [*names, *map(str, shown.index)]
    rules += [{"selector": selector, "props": "text-align: left; white-space: normal; min-width: "
               f"{min(max(map(len, labels), default=0), 12)}ch"} for selector, labels in wide.items()]
    rules += _in_view(shown.index, names, numbered)
    text = pd.DataFrame(dict(enumerate(cells)), index=shown.index.set_names([None] * len(names)), dtype=object)
    text = text.set_axis(shown.columns, axis=1)
    styler = Styler(text, cell_ids=False, uuid=fingerprint(text.to_csv(), names, rules)[:8], escape="html",
                    table_attributes='class="dataframe"').set_table_styles(rules)
    styler.format_index(escape="html").format_index(escape="html", axis="columns")
    if numbered:
        styler.hide(axis="index")
    head, body = styler.to_html(sparse_index=True, sparse_columns=True).split("</thead>")
    body = re.sub(GAP, '<span class="gap"> </span>', body)
    above, row, last = head.rpartition("<tr>")
    if any(names):
        corner = map(escape, names)
        last = re.sub(r'(<th class="(?:blank|index_name)[^>]*>).*?(?=</th>)', lambda cell: cell[1] + next(corner), last)
    sizes = zip(("rows", "columns"), shown.shape, table.shape, strict=True)
    cut = ", ".join(f"first {part:,} of {whole:,} {what}" for what, part, whole in sizes if part < whole)
    note = "no rows" if table.empty else cut
    return f"{above}{row}{last}</thead>{body}" + f"<p>{note}</p>" * bool(note)


def _in_view(index: pd.Index, names: Sequence[str], numbered: bool) -> list[dict[str, str]]:
    """CSS that keeps row names in view when a table scrolls sideways: all levels where they leave room, else the first.

    A level that is not the only one is as wide as its longest word, or as its labels where these are short.
    """
    def rule(selector: str, left: float, width: str = "") -> dict[str, str]:
        return {"selector": selector, "props": f"position: sticky; left: {left}ch; z-index: 1{width}"}
    if numbered or len(names) == 1:
        return [rule("thead th:first-child, tbody tr > :first-child", 0)]
    labels = [[name, *map(str, index.unique(i))] for i, name in enumerate(names)]
    widths = [3 + max(*(len(word) for label in level for word in re.split(r"[\s-]", label)),
                      min(14, max(map(len, level)))) for level in labels]
    kept = len(widths) if sum(widths) <= 32 else 1
    return [rule(f"thead th:nth-child({i + 1}).blank, thead th:nth-child({i + 1}).index_name, tbody th.level{i}",
                 sum(widths[:i]), f"; box-sizing: border-box; min-width: {widths[i]}ch; max-width: {widths[i]}ch")
            for i in range(kept)]


def texts(column: Iterable[Any], digits: int = 3) -> list[str]:
    """The values of a column as text: 7,920,527, 0.818, −0.049, 9.5e-07, and a dash for what is missing.

    Fractions have the decimals that the largest of the column needs for `digits` digits (below 10 at least `digits`
    decimals), less those that are 0 in the whole column. What these would round to 0 has two digits of its own. What is
    no number is as `str` writes it.
    """
    values = [value.item() if isinstance(value, np.generic) else value for value in column]
    sizes = [abs(value) for value in values if isinstance(value, float) and math.isfinite(value) and value]
    exponent = math.ceil(math.log10(max(sizes, default=1)))
    decimals = min(max(digits - (0 if exponent == 1 else exponent), 0), 6)
    large = [size for size in sizes if size >= max(1e-4, 0.5 * 10 ** -decimals)]
    while decimals and all(f"{size:.{decimals}f}".endswith("0") for size in large):
        decimals -= 1

    def text(value: Any) -> str:
        if isinstance(value, float) and not math.isnan(value):
            small = value and abs(value) < max(1e-4, 0.5 * 10 ** -decimals)
            return (f"{value:.2g}" if small else f"{value:,.{decimals}f}").replace("-", "−", value < 0)
        if isinstance(value, int) and not isinstance(value, bool):
            return f"{value:,}".replace("-", "−")
        return "–" if pd.api.types.is_scalar(value) and pd.isna(value) else str(value)
    return [text(value) for value in values]


def _is_text(cell: str) -> bool:
    """Whether a cell holds words, not numbers alone: `0.83 (0.77–0.90); 19 of 50` holds none."""
    return bool(re.search(r"[^\W\d_]{2,}", re.sub(r"\b(nan|inf|of|to|True|False)\b", "", cell)))


def show_in_notebooks() -> None:
    """Let the notebook that runs show every DataFrame by `html`; nothing where none runs."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if shell is not None:
        shell.display_formatter.formatters["text/html"].for_type(pd.DataFrame, html)
