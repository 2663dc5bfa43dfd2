"""The figures of explanations measured. Each says what is on its axes, of how many pairs, and with what interval."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from mdlib.explain import overlay
from mdlib.recipes.chest.figures import words
from mdlib.recipes.figures import COLOURS, grid_of_axes

NAMES = {"densenet121": "DenseNet-121", "att_a": "attA", "att_b": "attB", "no image": "no image"}
LINES = (("0.3", ":"), ("0.3", "--"))    # of the references


def label(method: str) -> str:
    """A method for people: which layer is the paper's text, and which its code."""
    return {"Grad-CAM norm5": "Grad-CAM norm5 (text)", "Grad-CAM relu5": "Grad-CAM relu5 (code)"}.get(method, method)


def dots(table: pd.DataFrame, panels: Sequence[str], column: str, lines: dict[str, pd.Series], title: str) -> Figure:
    """A panel a measure, a row a map, a colour a network: a point and its 95 % interval, beside reference `lines`."""
    maps = list(dict.fromkeys(zip(table["network"], table["method"], strict=True)))
    figure, axes = grid_of_axes(1, len(panels), figsize=(3.0 + 2.3 * len(panels), 0.26 * len(maps) + 1.6), sharey=True)
    networks = list(dict.fromkeys(table["network"]))
    for axis, measure in zip(np.atleast_1d(axes), panels, strict=True):
        of = table[table["measure"] == measure].set_index(["network", "method"])
        for i, network in enumerate(networks):
            y = [k for k, key in enumerate(maps) if key[0] == network and key in of.index]
            part = of.loc[[maps[k] for k in y]]
            axis.hlines(y, part["low"], part["high"], color=COLOURS[i], linewidth=1)
            axis.plot(part[column], y, "osD"[i % 3], color=COLOURS[i], markersize=4, label=NAMES[network])
        for (name, values), (colour, style) in zip(lines.items(), LINES, strict=False):
            axis.axvline(values[measure], color=colour, linestyle=style, linewidth=1, label=name)
        axis.set_title(measure, fontsize=10)
    first = np.atleast_1d(axes)[0]
    first.set_yticks(range(len(maps)), [label(method) for _, method in maps], fontsize=8)
    first.invert_yaxis()
    figure.supxlabel(f"{title} (bars: 95 % interval over patients)", fontsize=9)
    np.atleast_1d(axes)[-1].legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def grid(table: pd.DataFrame, measure: str) -> Figure:
    """One measure as a grid of numbers: a row a map, a column a finding with its n."""
    names = {finding: f"{words(finding)} (n = {n})" for finding, n in table.groupby("finding")["pairs"].max().items()}
    rows = [f"{NAMES[of.network]}: {label(of.method)}" for of in table.itertuples()]
    cells = table.assign(row=rows, column=table["finding"].map(names))
    wide = cells.pivot(index="row", columns="column", values="mean")
    wide = wide.loc[list(dict.fromkeys(rows)), [names[f] for f in dict.fromkeys(table["finding"])]]
    figure, axis = grid_of_axes(figsize=(3.2 + 0.52 * wide.shape[1], 0.26 * len(wide) + 2))
    sns.heatmap(wide, annot=True, fmt=".2f", cmap="cividis", vmin=0, annot_kws={"fontsize": 7}, ax=axis,
                cbar_kws={"label": f"{measure}, mean of n pairs"})
    axis.set(xlabel="", ylabel="")
    axis.tick_params(labelsize=8)
    axis.set_xticks(axis.get_xticks(), axis.get_xticklabels(), rotation=60, ha="right")
    return figure


def curves(table: pd.DataFrame, title: str) -> Figure:
    """Mean deletion and insertion curves (columns kind, order, share, mean, pairs): of the map, of a random order."""
    figure, axes = grid_of_axes(1, 2, figsize=(8, 3), sharey=True)
    for axis, (kind, of) in zip(axes, table.groupby("kind"), strict=True):
        for i, (order, line) in enumerate(of.sort_values("share").groupby("order")):
            axis.plot(line["share"], line["mean"], "os"[i] + "-", color=COLOURS[i], markersize=4,
                      label="order of the map" if order == "map" else "random order")
        axis.set(xlabel=f"share of pixels {'replaced' if kind == 'deletion' else 'put back'}", title=kind)
    axes[0].set_ylabel("mean probability of the finding")
    axes[0].legend(frameon=False, fontsize=8)
    figure.suptitle(f"{title}, n = {table['pairs'].max()} pairs", fontsize=10)
    return figure


def cascade(table: pd.DataFrame, other: str) -> Figure:
    """Rank correlation with the trained network's maps, by how much of the network is as before training."""
    networks = [name for name in NAMES if name in set(table["network"])]
    figure, axes = grid_of_axes(1, len(networks), figsize=(4.3 * len(networks), 4.2), sharey=True)
    for axis, network in zip(np.atleast_1d(axes), networks, strict=True):
        of = table[(table["network"] == network)].dropna(subset="mean")
        for i, (method, line) in enumerate(of.groupby("method", sort=False)):
            steps = line[line["step"] >= 0].sort_values("step")
            axis.plot([-1, *steps["step"]], [1, *steps["mean"]], color=COLOURS[i], marker="osD^vP*X"[i % 8],
                      markersize=4, linewidth=1, label=label(method))
            axis.fill_between(steps["step"], steps["low"], steps["high"], color=COLOURS[i], alpha=0.12, linewidth=0)
            axis.plot(steps["step"].max() + 1.2, line[line["part"] == other]["mean"].iloc[0], color=COLOURS[i],
                      marker="osD^vP*X"[i % 8], markersize=6)
        parts = of[of["step"] >= 0].drop_duplicates("step").sort_values("step")
        axis.set_xticks([-1, *parts["step"], parts["step"].max() + 1.2],
                        ["trained", *parts["part"].str.removeprefix("features."), other], rotation=60, ha="right",
                        fontsize=8)
        axis.axhline(0, color="0.5", linestyle=":", linewidth=1)
        axis.set_title(f"{NAMES[network]}, n = {of['pairs'].max()} pairs", fontsize=10)
        axis.legend(frameon=False, fontsize=7)
    np.atleast_1d(axes)[0].set_ylabel("rank correlation with the trained map")
    figure.supxlabel("untrained from the classifier down to … (bands: 95 % interval over patients); "
                     "last: a map of another image", fontsize=9)
    return figure


def example(image: np.ndarray, mask: np.ndarray, title: str, maps: dict[str, np.ndarray]) -> Figure:
    """A picture (H, W) in [0, 1] with the outline of its cause, and maps of its size laid over it, outlined alike."""
    columns = 4
    rows = -(-(len(maps) + 1) // columns)
    figure, axes = grid_of_axes(rows, columns, figsize=(9, 2.7 * rows))
    shown = {title: overlay.blend(image, np.zeros(mask.shape, np.uint8))}
    shown |= {name: overlay.blend(image, overlay.normalize(own)) for name, own in maps.items()}
    for axis in axes.flat:
        axis.set_axis_off()
    for axis, (name, picture) in zip(axes.flat, shown.items(), strict=False):
        axis.imshow(picture, extent=(0, mask.shape[1], mask.shape[0], 0))
        for line in overlay.contour(mask):
            axis.plot(*line.T, color="white", linewidth=1.2)
        axis.set_title(name, fontsize=9)
    return figure
