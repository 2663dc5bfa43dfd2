"""Fig. 1: images with each class in the parts of the collection."""

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from mdlib.data import chestxray14
from mdlib.papers.chest.data import ChestData
from mdlib.study import plots


def counts(data: ChestData) -> pd.DataFrame:
    """Images of each class in the parts of a run, (15 classes x parts)."""
    names = {part: data.table["image"].iloc[rows] for part, rows in data.parts.items()}
    return chestxray14.counts(data.table, names)


def figure(counts: pd.DataFrame) -> Figure:
    """Images with each class (rows) in each part (columns), on a logarithmic axis."""
    if counts.empty:
        return plots.nothing()
    table = counts.rename(index=plots.words).rename_axis("class").reset_index()
    table = table.melt("class", var_name="part", value_name="images")
    figure, axis = plots.grid_of_axes(figsize=(9, 3.6))
    sns.barplot(table, x="class", y="images", hue="part", palette="colorblind", ax=axis)
    axis.set(yscale="log", xlabel="", ylabel="images with the class")
    axis.tick_params(axis="x", rotation=60)
    plt.setp(axis.get_xticklabels(), ha="right")
    axis.legend(title="", frameon=False, ncols=3)
    return figure
