"""What the tables and figures of all chapters share."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

COLOURS = sns.color_palette("colorblind")


def settings(this: Any, paper: Any) -> pd.DataFrame:
    """The settings of a run beside the paper's, a row a field of their dataclass."""
    table = pd.DataFrame({"this run": dataclasses.asdict(this), "paper profile": dataclasses.asdict(paper)})
    return table.astype(str).rename_axis("setting")


def grid_of_axes(*grid: int, **options: Any) -> tuple[Figure, Any]:
    """plt.subplots that pyplot forgets at once: a notebook shows the figure where it is returned, only there."""
    figure, axes = plt.subplots(*grid, layout="constrained", **options)
    plt.close(figure)
    return figure, axes


def pictures(images: Sequence[np.ndarray], titles: Sequence[str], columns: int = 4, width: float = 10) -> Figure:
    """Pictures, uint8 (H, W) or (H, W, 3), in rows of `columns`, each under its title; the full range everywhere.

    All of the shape of the first, so that rows are as high as it asks.
    """
    rows, (height, across) = -(-len(images) // columns), images[0].shape[:2]
    figure, axes = grid_of_axes(rows, columns, squeeze=False,
                                figsize=(width, rows * (width / columns * height / across + 0.45)))
    for axis in axes.flat:
        axis.set_axis_off()
    for axis, image, title in zip(axes.flat, images, titles, strict=False):
        axis.imshow(image, cmap="gray", vmin=0, vmax=255)
        axis.set_title(title, fontsize=9)
    return figure


def in_turn(rows: np.ndarray, targets: np.ndarray, classes: int, count: int) -> np.ndarray:
    """The first `count` of `rows`, a class after the other, the last class first."""
    place = np.empty(len(rows))
    for k in range(classes):
        own = targets[rows] == k
        place[own] = np.arange(own.sum()) + (classes - 1 - k) / classes
    return rows[np.argsort(place, kind="stable")[:count]]
