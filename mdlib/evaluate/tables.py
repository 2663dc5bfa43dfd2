"""Text of intervals, and tables of our numbers beside the paper's."""

import math
from collections.abc import Mapping

import pandas as pd


def beside_paper(ours: Mapping[str, float] | pd.Series, paper: Mapping[str, float]) -> pd.DataFrame:
    """Columns `paper`, `ours`, `difference` (ours minus paper): one row per name of ours, then the other names of the paper.

    Counts stay whole numbers. What one side does not have is missing (<NA>), never 0.
    """
    ours = dict(ours)
    names = [*ours, *(name for name in paper if name not in ours)]
    table = pd.DataFrame({"paper": [paper.get(name) for name in names], "ours": [ours.get(name) for name in names]},
                         index=names, dtype=object).apply(_numbers)
    return table.assign(difference=table["ours"] - table["paper"])


def interval(low: float, high: float, digits: int = 2) -> str:
    """`0.68–0.74`; with signs where an end is below 0, `−0.01 to +0.02`; a dash for NaN."""
    if math.isnan(low) or math.isnan(high):
        return "–"
    if low < 0:
        return f"{low:+.{digits}f} to {high:+.{digits}f}".replace("-", "−")
    return f"{low:.{digits}f}–{high:.{digits}f}"


def _numbers(column: pd.Series) -> pd.Series:
    whole = all(float(value).is_integer() and not isinstance(value, float) for value in column.dropna())
    return column.astype("Int64" if whole else "Float64")
