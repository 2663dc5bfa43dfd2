"""How a notebook shows a DataFrame: sensible digits, words that wrap, numbers that do not, names that stay in view."""

import math
import re
import sys
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

import numpy as np
import pandas as pd
from pandas.io.formats.style import Styler

from mdlib.files import fingerprint

GAP = r"(?<=\d) (?=\([^()<]*[\d–]\))|(?<=[)–];) "    # the spaces at which `0.83 (0.77–0.90); 19 of 50` may be broken


def html(table: pd.DataFrame, max_rows: int = 60, max_columns: int = 60) -> str:
    """A table as HTML; the way a notebook that imports `mdlib.study` shows every DataFrame.

    Numbers as `texts`. Text stands on the left and wraps between words, numbers on the right, on one line (an interval
    below its number where a table has no room). The header has one line per level of the columns; the names of the
    index stand in its last. Row names stay in view when the table scrolls sideways (without them, the first column).
    Row numbers (a RangeIndex without a name) are left out. Of more than `max_rows` rows or `max_columns` columns the
    first ones are shown.
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
