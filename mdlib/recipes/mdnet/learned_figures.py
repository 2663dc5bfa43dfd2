"""The figures of the training page of chapter 5."""

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from mdlib.recipes.mdnet import learned, recognised
from mdlib.recipes.mdnet.chapter import Chapter
from mdlib.study.plots import COLOURS, grid_of_axes
from mdlib.training import schedules

STEPS = 200         # points of a curve of beta
STYLES = ("-", "--", "-.", ":")
SYMBOLS = {"L_M": r"$\mathcal{L}_M$", "L_L": r"$\mathcal{L}_L$", "L_M + L_L": r"$\mathcal{L}_M + \mathcal{L}_L$"}


def errors(table: pd.DataFrame) -> Figure | str:
    """Fig. 4: the error of `recognised.errors` after each epoch; a ring marks the best one, a dot the last."""
    if table.empty:
        return recognised.NOTHING
    names = list(dict.fromkeys(table["data"]))
    figure, axes = grid_of_axes(1, len(names), figsize=(5.2 * len(names), 3.6), squeeze=False)
    for axis, data in zip(axes[0], names, strict=True):
        of_data = table[table["data"] == data]
        for i, (name, of) in enumerate(of_data.groupby("name", sort=False)):
            values = 100 * of["error"].to_numpy()
            axis.plot(of["epoch"], values, STYLES[i % 4], color=COLOURS[i], label=name)
            axis.plot(of["epoch"].iloc[-1], values[-1], "o", color=COLOURS[i])
            axis.plot(of["epoch"].iloc[values.argmin()], values.min(), "o", color=COLOURS[i], markersize=11,
                      fillstyle="none")
        axis.set(xlabel="epoch", ylabel=f"error on {of_data['tested'].iloc[0]:,} test images (%)",
                 title=recognised.DATA[data], ylim=(0, None))
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.legend(frameon=False, fontsize=8)
    return figure


def places(chapter: Chapter) -> Figure:
    """W_att of eq. 9 after training, one row and one column per place, places counted line by line of the map."""
    found = learned.places(chapter)
    figure, axes = grid_of_axes(1, len(found), figsize=(4.6 * len(found), 4), squeeze=False)
    end = max(np.abs(weight).max() for weight in found.values())
    for axis, (name, weight) in zip(axes[0], found.items(), strict=True):
        picture = axis.imshow(weight, cmap="PuOr", vmin=-end, vmax=end)
        axis.set(title=name, xlabel="place that is seen", ylabel="place that is scored")
    figure.colorbar(picture, ax=axes, label="weight in $W_{att}$", shrink=0.8)
    return figure


def fork(chapter: Chapter) -> Figure:
    """Left: beta of each schedule over the training. Right: both factors of eq. 12 in this run."""
    share, settings = np.arange(STEPS) / STEPS, chapter.settings
    figure, (left, right) = grid_of_axes(1, 2, figsize=(9, 3.2))
    for i, kind in enumerate((*schedules.BETAS, "constant")):
        values = [schedules.fork(at, kind, 1.0)[1] for at in share]
        left.plot(100 * share, values, STYLES[i], color=COLOURS[i], linewidth=2.5 if kind == settings.beta else 1.2,
                  label=kind + (" (this run)" if kind == settings.beta else ""))
    factors = np.array([schedules.fork(at, settings.beta, settings.eta) for at in share])
    for i, name in enumerate((r"$1 - \beta$, of $\mathcal{L}_M$", rf"$\beta\eta$, of $\mathcal{{L}}_L$, "
                              rf"$\eta$ = {settings.eta:g}")):
        right.plot(100 * share, factors[:, i], STYLES[i], color=COLOURS[i], label=name)
    left.set(xlabel="part of the training (%)", ylabel="β")
    right.set(xlabel="part of the training (%)", ylabel="factor of the gradient")
    for axis in (left, right):
        axis.legend(frameon=False, fontsize=8)
    return figure


def losses(table: pd.DataFrame) -> Figure:
    """The mean training loss of `learned.losses` by epoch, one panel per loss."""
    kinds = [kind for kind in SYMBOLS if kind in set(table["loss"])]
    figure, axes = grid_of_axes(1, len(kinds), figsize=(4.2 * len(kinds), 3.8), squeeze=False)
    for axis, kind in zip(axes[0], kinds, strict=True):
        sns.lineplot(table[table["loss"] == kind], x="epoch", y="value", hue="name", style="name",
                     palette="colorblind", ax=axis)
        axis.set(title=SYMBOLS[kind], ylabel="mean over the samples of an epoch", ylim=(0, None))
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.legend(frameon=False, fontsize=7, loc="upper right")
    return figure


def gradients(table: pd.DataFrame) -> Figure:
    """Fig. 7, left: the mean size of the gradient of both losses in a weight of the image model, by epoch."""
    figure, axis = grid_of_axes(figsize=(6, 3.4))
    for i, loss in enumerate(table):
        axis.plot(table.index, table[loss], "os"[i] + STYLES[i], color=COLOURS[i], markersize=4,
                  label=SYMBOLS[f"L_{loss}"])
    axis.set(xlabel="epoch", ylabel="mean size of a weight's gradient", yscale="log")
    axis.xaxis.get_major_locator().set_params(integer=True)
    axis.legend(frameon=False)
    return figure
