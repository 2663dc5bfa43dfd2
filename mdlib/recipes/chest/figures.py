"""The figures of chapter 1. Each says what is on its axes, of how many images, and (where it varies) by how much."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from mdlib.recipes.figures import COLOURS, grid_of_axes, pictures


def words(name: str) -> str:
    """A class name for people: `Pleural_Thickening` is Pleural Thickening."""
    return name.replace("_", " ")


def per_class(counts: pd.DataFrame) -> Figure:
    """Fig. 1: images with each class (rows) in each part of the collection (columns), on a logarithmic axis."""
    table = counts.rename(index=words).rename_axis("class").reset_index()
    table = table.melt("class", var_name="part", value_name="images")
    figure, axis = grid_of_axes(figsize=(9, 3.6))
    sns.barplot(table, x="class", y="images", hue="part", palette="colorblind", ax=axis)
    axis.set(yscale="log", xlabel="", ylabel="images with the class")
    axis.tick_params(axis="x", rotation=60)
    plt.setp(axis.get_xticklabels(), ha="right")
    axis.legend(title="", frameon=False, ncols=3)
    return figure


def against_features(table: pd.DataFrame, targets: np.ndarray, classes: Sequence[str]) -> Figure:
    """Fig. 2: share of images with each class by sex and by view, and the density of age with and without findings."""
    figure, axes = grid_of_axes(1, 3, figsize=(11, 4.2), width_ratios=(1, 1, 0.8))
    hot = pd.DataFrame(100 * targets, columns=[words(name) for name in classes])
    for axis, (column, label) in zip(axes, (("sex", "sex"), ("view", "view")), strict=False):
        names = {value: f"{value} (n = {size:,})" for value, size in table[column].value_counts().items()}
        long = hot.assign(group=table[column].map(names).to_numpy())
        long = long.melt("group", var_name="class", value_name="percent")
        sns.barplot(long, y="class", x="percent", hue="group", errorbar=None, palette="colorblind", ax=axis)
        axis.set(xlabel="% of images", ylabel="", title=f"by {label}")
        axis.legend(title="", frameon=False, fontsize=8)
    axes[1].set_yticklabels([])
    healthy = table["labels"] == "No Finding"
    for name, rows, colour in (("No Finding", healthy, COLOURS[0]), ("any finding", ~healthy, COLOURS[1])):
        age = table.loc[rows, "age"].dropna()
        if age.nunique() > 1:
            sns.kdeplot(x=age, ax=axes[2], color=colour, label=f"{name} (n = {len(age):,})", cut=0)
    axes[2].set(xlabel="age (years)", ylabel="probability density", title="by age")
    axes[2].legend(frameon=False, fontsize=8)
    return figure


def causes(rows: Sequence[tuple[str, np.ndarray, np.ndarray | None, np.ndarray]]) -> Figure:
    """A row a finding: picture, twin without it (or None), and the pixels that are its cause, on the picture."""
    figure, axes = grid_of_axes(len(rows), 3, figsize=(8, 2.75 * len(rows)), squeeze=False)
    for line, (title, image, twin, mask) in zip(axes, rows, strict=True):
        for axis, picture, label in zip(line, (image, twin, image), (title, "twin without it", "cause"), strict=True):
            axis.set_axis_off()
            if picture is not None:
                axis.imshow(picture, cmap="gray", vmin=0, vmax=255)
                axis.set_title(label, fontsize=9)
        line[2].contour(mask, levels=[0.5], colors=[COLOURS[1]], linewidths=1.2)
    return figure


def boxes(rows: Sequence[tuple[str, np.ndarray, tuple[float, float, float, float]]]) -> Figure:
    """Pictures with the radiologists' box of a finding: (x, y, w, h) in fractions of the side."""
    figure = pictures([image for _, image, _ in rows], [title for title, _, _ in rows])
    for axis, (_, image, (x, y, w, h)) in zip(figure.axes, rows, strict=False):
        height, width = image.shape
        axis.add_patch(plt.Rectangle((x * width, y * height), w * width, h * height, fill=False, color=COLOURS[1]))
    return figure


def curves(table: pd.DataFrame, kinds: dict[str, str]) -> Figure:
    """Fig. 7a's kind: each column named in `kinds` against the epoch, a colour a network, a line style a rate.

    Bands are the range of seeds.
    """
    figure, axes = grid_of_axes(1, len(kinds), figsize=(3.7 * len(kinds), 3.6))
    for axis, (column, label) in zip(axes, kinds.items(), strict=True):
        sns.lineplot(table, x="epoch", y=column, hue="network", style="rate", style_order=sorted(
            table["rate"].unique(), reverse=True), errorbar=("pi", 100), palette="colorblind", marker="o", ax=axis,
            legend=axis is axes[0])
        axis.set(ylabel=label, xlabel="epoch")
        axis.xaxis.get_major_locator().set_params(integer=True)
    axes[0].legend(frameon=False, fontsize=8)
    return figure


def intervals(table: pd.DataFrame, published: pd.DataFrame | None = None) -> Figure:
    """AUROC by class (columns panel, series, class, auroc, low, high): point, 95 % interval, a colour a series.

    Panels stand side by side. `published` (classes x studies) are drawn as crosses: they have no interval.
    """
    panels, classes = list(dict.fromkeys(table["panel"])), list(dict.fromkeys(table["class"]))
    figure, axes = grid_of_axes(1, len(panels), figsize=(1.5 + 4.6 * len(panels), 0.36 * len(classes) + 2), sharey=True,
                         sharex=True, squeeze=False)
    for axis, panel in zip(axes[0], panels, strict=True):
        part = table[table["panel"] == panel]
        for i, (name, of) in enumerate(part.groupby("series", sort=False)):
            beside = 0.7 * (i / max(part["series"].nunique() - 1, 1) - 0.5)
            y = np.array([classes.index(c) for c in of["class"]]) + beside
            axis.hlines(y, of["low"], of["high"], color=COLOURS[i % 10], linewidth=1)
            axis.plot(of["auroc"], y, "osD^vP*"[i % 7], color=COLOURS[i % 10], label=name, markersize=4)
        for i, study in enumerate([] if published is None else published):
            y = [classes.index(c) for c in published.index]
            axis.plot(published[study], y, "x+"[i % 2], color="0.35", label=f"{study} (published)", markersize=6)
        axis.axvline(0.5, color="0.5", linestyle=":", linewidth=1)
        axis.set(xlabel="AUROC (0.5 is chance), 95 % interval", title=panel)
        axis.legend(frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=2)
    axes[0][0].set_yticks(range(len(classes)), [words(c) for c in classes])
    axes[0][0].invert_yaxis()
    return figure
