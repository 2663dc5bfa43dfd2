"""Fig. 7 of Zhang et al., middle and right: what eta does, and whether joint training makes a better image model."""

import pandas as pd
from matplotlib.figure import Figure

from mdlib.recipes.mdnet.results import DCA, IMAGE, NAMES, UNSCALED, spread
from mdlib.recipes.mdnet.rows import IMAGE_MODELS
from mdlib.study.plots import COLOURS, grid_of_axes

NO_SCALES = "This run trains MDNet with one eta only."
SIDES = {DCA: ("the sentence", "o", COLOURS[0]), IMAGE: ("the image model", "s", COLOURS[1])}


def by_eta(trainings: pd.DataFrame, eta: float) -> pd.DataFrame:
    """MDNet by eta and scaling from `results.by_training`: eta, scaled, measure, mean, std, folds, seeds.

    eta: that of the settings, which a training of another eta does not have.
    """
    of = trainings[trainings["row"] == "mdnet"]
    of = of.assign(eta=of["eta"].where(of["eta"] != 0, eta))
    return spread(of, [DCA, IMAGE], by=("eta", "scaled"))


def eta(trainings: pd.DataFrame, used: float) -> Figure | str:
    """Fig. 7, middle: how often sentence and image model are right over eta, and without 1 - beta; bars: folds' std."""
    table = by_eta(trainings, used)
    if table["eta"].nunique() < 2 and table["scaled"].nunique() < 2:
        return NO_SCALES
    figure, axis = grid_of_axes(figsize=(6.5, 3.6))
    etas = sorted(set(table["eta"]))
    labels = [f"{value:g}" for value in etas]
    for shift, (measure, (title, marker, colour)) in zip((-0.06, 0.06), SIDES.items(), strict=True):
        of = table[table["measure"] == measure]
        both = of[of["scaled"] == "both"].sort_values("eta")
        axis.errorbar([etas.index(value) + shift for value in both["eta"]], 100 * both["mean"],
                      yerr=(100 * both["std"]).fillna(0), marker=marker, color=colour, capsize=3, label=title)
        up = of[of["scaled"] == "up"]
        axis.errorbar([len(etas) + shift] * len(up), 100 * up["mean"], yerr=(100 * up["std"]).fillna(0), marker=marker,
                      color=colour, capsize=3, linestyle="none")
    if (table["scaled"] == "up").any():
        labels.append(f"{used:g}, without 1 − β")
    axis.set_xticks(range(len(labels)), labels)
    axis.set(xlabel="η", ylabel="right conclusions (%)")
    axis.set_xlim(-0.4, len(labels) - 0.6)
    figure.legend(loc="outside upper center", ncols=2, frameon=False)
    return figure


def image_models(means: pd.DataFrame) -> Figure:
    """Fig. 7, right: how often the image model is right, within MDNet and alone, with intervals over patients."""
    shown = [name for name in ("mdnet", UNSCALED, *IMAGE_MODELS) if name in set(means["name"])]
    table = means[means["measure"] == IMAGE].set_index("name").loc[shown]
    figure, axis = grid_of_axes(figsize=(7, 0.5 * len(shown) + 1))
    for place, (name, row) in enumerate(table.iterrows()):
        axis.errorbar(100 * row["mean"], place, xerr=[[100 * (row["mean"] - row["low"])],
                                                      [100 * (row["high"] - row["mean"])]],
                      marker="o", capsize=3, color=COLOURS[1] if name in IMAGE_MODELS else COLOURS[0])
    titles = {"mdnet": "EcNet within MDNet", UNSCALED: "EcNet within MDNet, without 1 − β"}
    axis.set_yticks(range(len(shown)), [titles.get(name, NAMES[name].split(",")[0] + " alone") for name in shown])
    axis.invert_yaxis()
    axis.set_xlabel("right conclusions of the image model (%)")
    return figure
