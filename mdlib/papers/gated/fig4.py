"""Figs. 4 b and 5 b: the parts of a drawn conidial head, and of a drawn duct, with their names."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from mdlib.data.phantoms import breast, fungi
from mdlib.papers.gated.networks import Run
from mdlib.study import cases
from mdlib.study.plots import COLOURS, grid_of_axes, nothing, words
from mdlib.study.study import Study

ROOM = 0.6                      # round an instance, as a share of its longer side
NAMES = {"below": "cells below"}      # of parts, where their own names do not say what they are
SHADES = (0, 1, 2, 4, 9, 3)     # of the parts: well apart also without colour vision


def parts_of(study: Study, run: Run, row: int, number: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The surroundings of an instance of a phantom, uint8 (h, w, 3), and the mask of each of its parts, bool (h, w)."""
    bags, module = study.data.of(run), fungi if run.collection == "fungi" else breast
    truth, name = module.Truth(bags.data_dir), bags.table["bag"].iat[row]
    labels = truth.labels(name)
    y, x = np.nonzero(labels == number)
    side = int((1 + ROOM) * max(np.ptp(y), np.ptp(x)))
    top, left = (int(np.clip(values.mean() - side / 2, 0, max(whole - side, 0)))
                 for values, whole in ((y, labels.shape[0]), (x, labels.shape[1])))
    place = (slice(top, top + side), slice(left, left + side))
    masks = {part: truth.mask(name, part)[place] for part in module.PARTS}
    return bags.read(row)[place], {part: mask for part, mask in masks.items() if mask.any()}


def labelled(picture: np.ndarray, masks: Mapping[str, np.ndarray]) -> Figure:
    """A picture beside itself with the outline and the name of each part."""
    if not masks:
        return nothing()
    figure, axes = grid_of_axes(1, 2, figsize=(9, 4.6))
    height, width = picture.shape[:2]
    for axis in axes:
        axis.imshow(picture)
        axis.set_axis_off()
    for i, (part, mask) in enumerate(masks.items()):
        lines = [line * (width, height) for line in cases.outlines(mask)]
        for line in lines:
            axes[1].plot(*line.T, color=COLOURS[SHADES[i]], linewidth=1.5)
        long = [line for line in lines if 2 * len(line) >= max(map(len, lines))]
        nearest = min(long, key=lambda line: np.linalg.norm(line.mean(axis=0) - (width / 2, height / 2)))
        place = (1.04, 0.94 - 0.9 * i / max(len(masks) - 1, 1))
        axes[1].annotate(NAMES.get(part, words(part)), nearest[nearest[:, 0].argmax()], place, fontsize=10,
                         textcoords="axes fraction", annotation_clip=False,
                         arrowprops={"arrowstyle": "-", "color": COLOURS[SHADES[i]]})
    plt.setp(axes, xlim=(0, width), ylim=(height, 0))
    return figure


def first_whole(study: Study, run: Run, label: str) -> tuple[int, int] | None:
    """Picture and number of the first instance of a class that decides it and lies wholly in the picture."""
    boxes, bags = study.data.boxes(run), study.data.of(run)
    whole = (boxes[["top", "left"]].min(axis=1) > 0.02) & (boxes[["bottom", "right"]].max(axis=1) < 0.98)
    own = boxes[boxes["decides"] & whole & (bags.table["label"].to_numpy()[boxes["row"]] == label)]
    return None if own.empty else (int(own["row"].iat[0]), int(own["number"].iat[0]))
