"""Fig. 2: the classes by sex and by view, and the age of patients with and without findings."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mdlib.study import plots


def figure(table: pd.DataFrame, targets: np.ndarray, classes: Sequence[str]) -> Figure:
    """Share of images with each class by sex and by view, and the density of age with and without findings.

    table: columns sex, view, age and labels, one row per image; targets (N, K): 0 or 1, one column per class.
    """
    if table.empty:
        return plots.nothing()
    figure, (by_sex, by_view, by_age) = plots.grid_of_axes(1, 3, figsize=(11, 4.2), width_ratios=(1, 1, 0.8))
    percent = pd.DataFrame(100 * targets, columns=[plots.words(name) for name in classes])
    for axis, column in ((by_sex, "sex"), (by_view, "view")):
        names = {value: f"{value} (n = {size:,})" for value, size in table[column].value_counts().items()}
        long = percent.assign(group=table[column].map(names).to_numpy()).melt("group", var_name="class",
                                                                               value_name="percent")
        sns.barplot(long, y="class", x="percent", hue="group", errorbar=None, palette="colorblind", ax=axis)
        axis.set(xlabel="% of images", ylabel="", title=f"by {column}")
        axis.legend(title="", frameon=False, fontsize=8)
    by_view.set_yticklabels([])
    _ages(by_age, table)
    return figure


def _ages(axis: Axes, table: pd.DataFrame) -> None:
    healthy = table["labels"] == "No Finding"
    for name, rows, colour in (("No Finding", healthy, plots.COLOURS[0]), ("any finding", ~healthy, plots.COLOURS[1])):
        age = table.loc[rows, "age"].dropna()
        if age.nunique() > 1:
            sns.kdeplot(x=age, ax=axis, color=colour, label=f"{name} (n = {len(age):,})", cut=0)
    axis.set(xlabel="age (years)", ylabel="probability density", title="by age")
    axis.legend(frameon=False, fontsize=8)
