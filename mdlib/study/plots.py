"""Figures of numbers that every paper needs: estimates with intervals, curves, grids of numbers.

Each says what is on its axes. The colours are safe for the colour-blind, and each has a marker of its own. A figure of
an empty table says that there is nothing to show.
"""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from mdlib.study.spec import RunSpec, labels

COLOURS = sns.color_palette("colorblind")
MARKERS, STYLES = "osD^vP*X", ("-", "--", "-.", ":")
WIDEST, TALL = 9.5, 8   # inches: letters are too small in wider figures; the legend of a taller one stands above it


def words(name: object) -> str:
    """A class name for people: `Pleural_Thickening` is Pleural Thickening."""
    return str(name).replace("_", " ")


def grid_of_axes(*grid: int, **options: object) -> tuple[Figure, np.ndarray]:
    """plt.subplots that pyplot forgets at once: a notebook shows the figure where it is returned, only there."""
    figure, axes = plt.subplots(*grid, layout="constrained", **options)
    plt.close(figure)
    return figure, axes


def nothing(text: str = "nothing to show") -> Figure:
    """A figure without data, that says so."""
    figure, axis = grid_of_axes(figsize=(4, 0.8))
    axis.set_axis_off()
    axis.text(0.5, 0.5, text, ha="center", va="center", transform=axis.transAxes)
    return figure


def estimates(table: pd.DataFrame, value: str = "value", *, row: str | Sequence[str] = "row", series: str = "series",
              panel: str = "panel", beside: Mapping[str, pd.DataFrame] | None = None,
              lines: Mapping[str, float | Mapping[str, float]] | None = None, xlabel: str = "", ylabel: str = "",
              title: str = "", xlim: tuple[float, float] | None = None, sharex: bool = False) -> Figure:
    """A point with its interval per row and series, in panels side by side.

    table: columns `value` and its ends, `<value>_low` and `<value>_high` or else low and high; `row`, and `series` and
    `panel`, which may be missing; shown in the order of the table. row: one column, or several that only together tell
    rows apart, of which the last is the label.
    beside: by label, further tables, whose values have no interval: in the colour of their series and hollow where they
    have a column `series`, else grey crosses or strokes. lines: by label, a vertical line at one number, or at one per
    panel (a dict or a Series).
    """
    if table.empty:
        return nothing()
    keys, table = [row] if isinstance(row, str) else list(row), _with_columns(table, panel, series)
    panels, names = (list(dict.fromkeys(table[column])) for column in (panel, series))
    place = {key: y for y, key in enumerate(dict.fromkeys(_keys(table, keys)))}
    low, high = (f"{value}_low", f"{value}_high") if f"{value}_low" in table else ("low", "high")
    size = min(2.5 + 2.4 * max(len(panels), 2), WIDEST), 0.34 * len(place) + 1.6
    figure, axes = grid_of_axes(1, len(panels), figsize=size, sharey=True, sharex=sharex, squeeze=False)
    for axis, of_panel in zip(axes[0], panels, strict=True):
        own = table[table[panel] == of_panel]
        shift = _shifts(own, keys, series)
        for name, part in own.groupby(series, sort=False):
            y, mark = _places(part, keys, series, place, shift), _mark(names.index(name))
            axis.hlines(y, part[low], part[high], color=mark["color"], linewidth=1.2)
            axis.plot(part[value], y, **mark, label=name)
        for i, (label, other) in enumerate((beside or {}).items()):
            other = other[other[panel] == of_panel] if panel in other else other
            for name, part in _with_columns(other, series).groupby(series, sort=False):
                mark = _mark(names.index(name), markerfacecolor="none") if name in names and name != "" else {
                    "marker": "x|+"[i % 3], "color": "0.35", "linestyle": "", "markersize": 7}
                axis.plot(part[value], _places(part, keys, series, place, shift), **mark,
                          label=f"{name} {label}".strip())
        for (label, at), style in zip((lines or {}).items(), (":", "--", "-."), strict=False):
            axis.axvline(at if np.isscalar(at) else at.get(of_panel, np.nan), color="0.4", linestyle=style, linewidth=1,
                         label=label)
        axis.set_title(of_panel, fontsize=10)
    axes[0][0].set_yticks(range(len(place)), [key[-1] for key in place])
    axes[0][0].set(ylabel=ylabel, ylim=(len(place) - 0.5, -0.5))
    if xlim is not None:
        plt.setp(axes[0], xlim=xlim)
    return _finished(figure, axes, xlabel, title)


def _places(table: pd.DataFrame, keys: Sequence[str], series: str, place: Mapping[tuple, int],
            shift: Mapping[str, float]) -> list[float]:
    """Where on the vertical axis each row of a table is drawn; NaN where the figure does not have its row."""
    return [place.get(key, np.nan) + shift.get(name, 0)
            for key, name in zip(_keys(table, keys), table[series], strict=True)]


def _with_columns(table: pd.DataFrame, *names: str) -> pd.DataFrame:
    return table.assign(**{name: "" for name in names if name not in table})


def _keys(table: pd.DataFrame, columns: Sequence[str]) -> list[tuple]:
    return list(table[list(columns)].itertuples(index=False, name=None))


def _shifts(table: pd.DataFrame, keys: Sequence[str], series: str) -> dict[str, float]:
    """How far from its row each series is drawn; 0 where no row has two."""
    names = list(dict.fromkeys(table[series]))
    step = min(0.25, 0.7 / max(len(names) - 1, 1)) if table.duplicated(list(keys)).any() else 0
    return {name: step * (i - (len(names) - 1) / 2) for i, name in enumerate(names)}


def _mark(i: int, **options: object) -> dict[str, object]:
    """The marker of the i-th series."""
    return {"marker": MARKERS[i % 8], "color": COLOURS[i % 10], "linestyle": "", "markersize": 4.5} | options


def _finished(figure: Figure, axes: np.ndarray, xlabel: str, title: str) -> Figure:
    """What is on the axes (once where it is long), what the marks mean, clear of the data, and the title above."""
    handles: dict[str, object] = {}
    for axis in axes.flat:
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    handles.pop("", None)
    place, shared = "upper" if figure.get_figheight() > TALL else "lower", axes.size > 1 and len(xlabel) > 24
    if handles:
        figure.legend(list(handles.values()), list(handles), title=xlabel if shared else None, title_fontsize=10,
                      loc=f"outside {place} center", frameon=False, fontsize=8, ncols=min(len(handles), 4))
    elif shared:
        figure.supxlabel(xlabel, fontsize=10)
    plt.setp(axes, xlabel="" if shared else xlabel)
    figure.suptitle(title, fontsize=10)
    return figure


def aurocs(table: pd.DataFrame, published: pd.DataFrame | None = None, title: str = "") -> Figure:
    """AUROC by class and series (`tables.aurocs`); `published` (classes x studies) are crosses without interval.

    The title of a panel says of how many images and patients it is.
    """
    if {"images", "patients"} <= set(table):
        table = table.assign(panel=[f"{row.panel}\n{row.images:,} images, {row.patients:,} patients"
                                    for row in table.itertuples()])
    published = pd.DataFrame() if published is None else published.rename(index=words).rename_axis("class")
    beside = {f"{study} (published)": published[study].rename("auroc").reset_index() for study in published}
    return estimates(table.assign(**{"class": table["class"].map(words)}), "auroc", row="class", beside=beside,
                     lines={"chance": 0.5}, sharex=True, title=title, xlabel="AUROC, 95 % interval")


def curves(table: pd.DataFrame, x: str, y: str = "value", *, series: str = "series", style: str = "style",
           panel: str = "panel", xlabel: str = "", ylabel: str = "", title: str = "", sharey: bool = False) -> Figure:
    """`y` against `x`: a colour per series, a line style per `style`, panels side by side (these may be missing).

    Rows of the same x are averaged. The band is low to high where the table has these columns, else the range of what
    is averaged.
    """
    table = _with_columns(table.dropna(subset=[y]), panel, series, style)
    if table.empty:
        return nothing()
    panels, names, styles = (list(dict.fromkeys(table[column])) for column in (panel, series, style))
    figure, axes = grid_of_axes(1, len(panels), figsize=(min(1 + 3.6 * len(panels), WIDEST), 3.8), sharey=sharey,
                                squeeze=False)
    low, high = ("low", "high") if "low" in table else (y, y)
    for axis, of_panel in zip(axes[0], panels, strict=True):
        for (name, kind), of in table[table[panel] == of_panel].groupby([series, style], sort=False):
            i, at = names.index(name), of.groupby(x)
            line = pd.DataFrame({"mean": at[y].mean(), "low": at[low].min(), "high": at[high].max()})
            axis.plot(line.index, line["mean"], label=", ".join(str(word) for word in (name, kind) if word != ""),
                      **_mark(i, linestyle=STYLES[styles.index(kind) % 4]))
            axis.fill_between(line.index, line["low"], line["high"], color=COLOURS[i % 10], alpha=0.12, linewidth=0)
        axis.set_title(of_panel, fontsize=10)
    axes[0][0].set_ylabel(ylabel)
    return _finished(figure, axes, xlabel, title)


def learning_curves(histories: Mapping[RunSpec, Sequence[dict]], columns: Mapping[str, str] | None = None) -> Figure:
    """What `Study.train` returns, by epoch: a panel per column, a colour per network; bands are the range of seeds.

    columns: by key of the histories, the title of its panel; None: every loss and validation figure there is.
    """
    named = labels(histories)
    table = pd.DataFrame([{**epoch, "epoch": number, "network": run.network,
                           "style": named[run.series].removeprefix(run.network).strip(", ")}
                          for run, history in histories.items() for number, epoch in enumerate(history, start=1)])
    if columns is None:
        columns = {name: words(name).replace("val ", "validation ") for name in table
                   if name == "loss" or str(name).startswith("val_")}
    columns = {name: text for name, text in columns.items() if name in table}
    if not columns:
        return nothing()
    table = table.melt(["network", "style", "epoch"], list(columns), "panel", "value")
    figure = curves(table.replace({"panel": columns}), "epoch", series="network", xlabel="epoch")
    for axis in figure.axes:
        axis.xaxis.get_major_locator().set_params(integer=True)
    return figure


def heatmap(table: pd.DataFrame, value: str = "value", *, row: str = "row", column: str = "column", label: str = ""
            ) -> Figure:
    """A long table as a grid of numbers, two digits each, in the order in which rows and columns first appear."""
    if table.empty:
        return nothing()
    grid = table.pivot_table(index=row, columns=column, values=value, aggfunc="first", sort=False)
    figure, axis = grid_of_axes(figsize=(3.2 + 0.45 * grid.shape[1], 0.26 * len(grid) + 2))
    sns.heatmap(grid, annot=True, fmt=".2f", cmap="cividis", vmin=0, annot_kws={"fontsize": 7}, ax=axis,
                cbar_kws={"label": label or value})
    axis.set(xlabel="", ylabel="")
    axis.tick_params(labelsize=8)
    axis.set_xticks(axis.get_xticks(), axis.get_xticklabels(), rotation=60, ha="right")
    return figure


def reliability(table: pd.DataFrame, title: str = "", columns: int = 5) -> Figure:
    """Share of positives against mean probability (`calibration.reliability`): a panel per class, a point per bin.

    A network is calibrated where its points are on the dotted diagonal. Each panel has its own scale.
    """
    if table.empty:
        return nothing()
    classes = list(dict.fromkeys(table["class"]))
    columns = min(columns, len(classes))
    rows = -(-len(classes) // columns)
    figure, axes = grid_of_axes(rows, columns, figsize=(max(1.9 * columns, 4), 2.1 * rows + 0.6), squeeze=False)
    for axis in axes.flat[len(classes):]:
        axis.set_axis_off()
    for axis, name in zip(axes.flat, classes, strict=False):
        of = table[table["class"] == name]
        end = 1.05 * max(of["probability"].max(), of["high"].max(), 0.01)
        axis.plot([0, end], [0, end], color="0.5", linestyle=":", linewidth=1)
        axis.vlines(of["probability"], of["low"], of["high"], color=COLOURS[0], linewidth=1)
        axis.plot(of["probability"], of["share"], MARKERS[0], color=COLOURS[0], markersize=4)
        axis.set(xlim=(0, end), ylim=(0, end), aspect="equal")
        axis.set_title(f"{words(name)}\n{of['positives'].sum()} of {of['images'].sum():,}", fontsize=8)
        axis.tick_params(labelsize=7)
        axis.locator_params(nbins=4)
    images = table["images"]
    figure.supxlabel(f"mean probability of a bin ({images.min():,} to {images.max():,} images)", fontsize=10)
    figure.supylabel("share of positives in the bin, 95 % interval", fontsize=10)
    figure.suptitle(title, fontsize=10)
    return figure
