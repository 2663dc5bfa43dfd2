"""The figures of the clinician's part of chapter 1: 95 % intervals over patients everywhere, and what they are of."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mdlib.recipes.chest.figures import words
from mdlib.recipes.figures import COLOURS, grid_of_axes

MARKS = "osD^v"


def rates(table: pd.DataFrame, points: pd.DataFrame, title: str) -> Figure:
    """A row a class: average precision beside its chance level; sensitivity and specificity beside validation's."""
    figure, (left, right) = grid_of_axes(1, 2, figsize=(10, 0.36 * len(table) + 1.6), sharey=True)
    y = np.arange(len(table))
    _dots(left, table, "average_precision", y, 0, "average precision")
    left.plot(table["prevalence"], y, "|", color="0.35", markersize=11, label="chance: share of positives")
    for i, (name, shift) in enumerate((("sensitivity", -0.16), ("specificity", 0.16)), start=1):
        _dots(right, table, name, y + shift, i, name)
        right.plot(points[name], y + shift, MARKS[i], color=COLOURS[i], markersize=5, markerfacecolor="none",
                   label=f"{name} on validation")
    left.set_yticks(y, [f"{words(name)} ({positives})" for name, positives in table["positives"].items()])
    left.invert_yaxis()
    left.set(xlabel="average precision, 95 % interval", ylabel="class (positive images in test)", xlim=(-0.02, 1.02))
    right.set(xlabel="at the threshold chosen on validation, 95 % interval", xlim=(-0.02, 1.02))
    _finish(figure, [left, right], title)
    return figure


def reliability(table: pd.DataFrame, title: str) -> Figure:
    """A panel a class (columns of `calibration.reliability`): a point a bin; calibrated where it is on the diagonal."""
    classes = list(dict.fromkeys(table["class"]))
    columns = 5
    rows = -(-len(classes) // columns)
    figure, axes = grid_of_axes(rows, columns, figsize=(2.2 * columns, 2.3 * rows + 0.6), squeeze=False)
    for axis in axes.flat[len(classes):]:
        axis.set_axis_off()
    for axis, name in zip(axes.flat, classes, strict=False):
        of = table[table["class"] == name]
        end = 1.05 * max(of["probability"].max(), of["high"].max(), 0.01)
        axis.plot([0, end], [0, end], color="0.5", linestyle=":", linewidth=1)
        axis.vlines(of["probability"], of["low"], of["high"], color=COLOURS[0], linewidth=1)
        axis.plot(of["probability"], of["share"], MARKS[0], color=COLOURS[0], markersize=4)
        axis.set(xlim=(0, end), ylim=(0, end), aspect="equal")
        axis.set_title(f"{words(name)}\n{of['positives'].sum()} of {of['images'].sum():,}", fontsize=8)
        axis.tick_params(labelsize=7)
        axis.locator_params(nbins=4)
    images = table["images"]
    figure.supxlabel(f"mean probability of a bin ({images.min():,} to {images.max():,} images)", fontsize=10)
    figure.supylabel("share of positives in the bin, 95 % interval", fontsize=10)
    figure.suptitle(title, fontsize=10)
    return figure


def differences(table: pd.DataFrame, title: str) -> Figure:
    """A panel a measure, a row a class (columns of `subgroups.compare`): each part minus the first."""
    measures, classes, parts = (list(dict.fromkeys(table[name])) for name in ("measure", "class", "part"))
    first, *others = parts
    figure, axes = grid_of_axes(1, len(measures), figsize=(11, 0.36 * len(classes) + 1.8), sharey=True)
    counts = table[table["measure"] == measures[0]].pivot(index="class", columns="part", values="positives")
    images = table[table["measure"] == measures[0]].groupby("part")["images"].max()
    for axis, measure in zip(axes, measures, strict=True):
        for i, part in enumerate(others):
            of = table[(table["measure"] == measure) & (table["part"] == part)].set_index("class").loc[classes]
            y = np.arange(len(classes)) + 0.4 * (i / max(len(others) - 1, 1) - 0.5) * (len(others) > 1)
            _dots(axis, of, "difference", y, i, f"{part} minus {first} ({images[part]:,} and {images[first]:,} images)")
        axis.axvline(0, color="0.5", linestyle=":", linewidth=1)
        axis.set(xlabel=f"difference of\n{measure}")
    axes[0].set_yticks(range(len(classes)), [
        f"{words(name)} ({' / '.join(str(counts.loc[name, part]) for part in parts)})" for name in classes])
    axes[0].invert_yaxis()
    axes[0].set_ylabel(f"class (positives: {' / '.join(parts)})")
    _finish(figure, axes[:1], f"{title}; 95 % intervals over patients")
    return figure


def _dots(axis: Axes, table: pd.DataFrame, name: str, y: np.ndarray, i: int, label: str) -> None:
    axis.hlines(y, table[f"{name}_low"], table[f"{name}_high"], color=COLOURS[i], linewidth=1.2)
    axis.plot(table[name], y, MARKS[i], color=COLOURS[i], markersize=5, label=label)


def _finish(figure: Figure, axes: list[Axes], title: str) -> None:
    """Title above, and what the marks mean below, clear of the data."""
    handles, labels = zip(*(pair for axis in axes for pair in zip(*axis.get_legend_handles_labels(), strict=True)),
                          strict=True)
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    figure.suptitle(title, fontsize=10)
