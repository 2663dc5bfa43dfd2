"""Figures of images and heat maps, and of how maps behave when pixels or weights are taken away."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from mdlib.explain import overlay
from mdlib.study.cases import outlines as outlines_of
from mdlib.study.plots import COLOURS, MARKERS, curves, grid_of_axes, nothing
from mdlib.study.saliency import OTHER_IMAGE


def images(images: Iterable[np.ndarray | None], titles: Iterable[str], columns: int = 4, width: float = 10, *,
           outlines: Sequence[Sequence[np.ndarray]] | None = None, colour: object = "white") -> Figure:
    """Images, uint8 (H, W) or (H, W, 3), in rows of `columns`, each under its title; None leaves a place empty.

    Grey is from 0 to 255 in all of them. Rows are as high as the first image asks. outlines: for each image any number
    of lines (n, 2), x and y in fractions of its sides, as `cases.outlines` gives them.
    """
    images, titles = list(images), list(titles)
    if not images:
        return nothing()
    rows, (height, across) = -(-len(images) // columns), images[0].shape[:2]
    figure, axes = grid_of_axes(rows, columns, squeeze=False,
                                figsize=(width, rows * (width / columns * height / across + 0.45)))
    for axis in axes.flat:
        axis.set_axis_off()
    for axis, image, title, lines in zip(axes.flat, images, titles, outlines or [()] * len(images), strict=False):
        if image is None:
            continue
        axis.imshow(image, cmap="gray", vmin=0, vmax=255)
        axis.set_title(title, fontsize=9)
        axis.autoscale(False)
        for line in lines:
            x, y = (np.asarray(line) * image.shape[1::-1] - 0.5).T
            axis.plot(x, y, color=colour, linewidth=1.2)
    return figure


def heat_maps(image: np.ndarray, maps: Mapping[str, np.ndarray], mask: np.ndarray | None = None, title: str = "", *,
              signal: Mapping[str, bool] | None = None, columns: int = 4, width: float = 10) -> Figure:
    """An image (H, W), uint8 or in [0, 1], and raw maps (h, w) laid over it, each scaled to its own maximum.

    A map whose `signal` is False is not drawn. mask (H, W): its outline is drawn on all.
    """
    shown = {title: overlay.blend(image, np.zeros(image.shape, np.uint8))}
    shown |= {name: overlay.blend(image, overlay.normalize(raw, (signal or {}).get(name, True)))
              for name, raw in maps.items()}
    lines = [] if mask is None else outlines_of(mask)
    return images(shown.values(), shown, columns, width, outlines=[lines] * len(shown))


def exchange_curves(table: pd.DataFrame, title: str = "", ylabel: str = "mean probability of the finding") -> Figure:
    """The mean deletion and insertion curves of one map and of a random order, from `saliency.faithfulness`.

    table: the rows of one network and method.
    """
    points = table["measure"].astype(str).str.extract(r"^(?P<kind>\w+) (?P<order>map|random) (?P<step>\d+)$").dropna()
    points["step"] = points["step"].astype(float)
    points = table[["mean", "low", "high"]].join(points, how="inner").sort_values(["kind", "step"])
    points["share"] = points["step"] / max(points["step"].max(), 1)
    points["order"] = points["order"].map({"map": "order of the map", "random": "random order"})
    return curves(points, "share", "mean", series="order", panel="kind", sharey=True, title=title, ylabel=ylabel,
                  xlabel="share of pixels replaced (deletion), put back (insertion); bands: 95 % interval")


def randomisation(table: pd.DataFrame) -> Figure:
    """Rank correlation with the trained network's maps, by how much of the network has random weights.

    table: `saliency.randomisation`, of any number of networks, a panel each. Bands are 95 % intervals over patients;
    the last point of each line, apart from it, is the map of another image.
    """
    table = table.dropna(subset=["mean"])
    steps, others = table[table["step"] >= 0], table[table["part"] == OTHER_IMAGE]
    trained = steps.drop_duplicates(["network", "method"]).assign(step=-1, mean=1.0, low=1.0, high=1.0)
    counts = table.groupby("network")["pairs"].max()
    titles = {network: f"{network}, n = {count} pairs" for network, count in counts.items()}
    figure = curves(pd.concat([trained, steps]).replace({"network": titles}).sort_values("step", kind="stable"),
                    "step", "mean", series="method", panel="network", sharey=True,
                    ylabel="rank correlation with the trained map",
                    xlabel="random weights from the classifier down to … (bands: 95 % interval over patients)")
    figure.set_figheight(4.8)
    names = list(dict.fromkeys(steps["method"]))
    for axis, network in zip(figure.axes, dict.fromkeys(steps["network"]), strict=False):
        parts = steps[steps["network"] == network].drop_duplicates("step").sort_values("step")
        last = parts["step"].max() + 1.2
        for method, mean in others[others["network"] == network].set_index("method")["mean"].items():
            i = names.index(method)
            axis.plot(last, mean, MARKERS[i % 8], color=COLOURS[i % 10], markersize=6)
        axis.axhline(0, color="0.5", linestyle=":", linewidth=1)
        axis.set_xticks([-1, *parts["step"], last], ["trained", *parts["part"].str.removeprefix("features."),
                                                     OTHER_IMAGE], rotation=60, ha="right", fontsize=8)
    return figure
