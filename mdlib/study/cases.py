"""Cases for `widgets.explorer`: images with the outputs and maps of a network, and what is known of them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.special import expit

from mdlib.explain import overlay
from mdlib.widgets.records import Case

Each = Sequence[Any] | np.ndarray       # one entry per case


def cases(images: Each, classes: Sequence[str], truth: Each, *, logits: Each, maps: Mapping[str, Each],
          signal: Mapping[str, Each] | None = None, probability: Each | None = None, outline: str = "truth",
          attention: Mapping[str, Each] | None = None, **further: Each) -> list[Case]:
    """One case per image, or per volume: everything but `classes` and `outline` has one entry per case.

    images uint8 (H, W) or (H, W, 3); truth and logits (K,); maps by method raw (K, h, w), or (1, h, w) where one map
    serves every class; signal by method bool (K,). Volumes have an axis of S slices in front, and `scores`.
    probability (K,): None for the sigmoid of the logits. attention: by mechanism, of the words of reports.
    further: other fields of `Case` by name, such as name, alt, contours, twins, scores, marks, report, instances
    and gates.
    """
    probability = [expit(each) for each in logits] if probability is None else probability
    by_name = {"maps": maps, "signal": signal or {}, "attention": attention or {}}
    each = {"image": images, "truth": truth, "logits": logits, "probability": probability, **further}
    return [Case(classes=classes, outline=outline, **{field: values[i] for field, values in each.items()},
                 **{field: {name: values[i] for name, values in of.items()} for field, of in by_name.items()})
            for i in range(len(images))]


def outlines(mask: np.ndarray) -> list[np.ndarray]:
    """The closed outlines of a mask (H, W), each (n, 2): x, y in fractions of its sides, as in `Case.contours`."""
    return [line / mask.shape[::-1] for line in overlay.contour(mask)]


def box_outlines(boxes: np.ndarray) -> list[np.ndarray]:
    """The closed outlines, (5, 2) each, of boxes (M, 4): top, left, bottom, right in fractions, as in `outlines`."""
    top, left, bottom, right = np.reshape(boxes, (-1, 4)).T
    return list(np.stack([left, top, right, top, right, bottom, left, bottom, left, top], axis=1).reshape(-1, 5, 2))


def balanced_rows(rows: np.ndarray, targets: np.ndarray, n_classes: int, count: int) -> np.ndarray:
    """The first `count` of `rows`, one class after another, the last class first; targets: the class of every row."""
    place = np.empty(len(rows))
    for k in range(n_classes):
        own = targets[rows] == k
        place[own] = np.arange(own.sum()) + (n_classes - 1 - k) / n_classes
    return rows[np.argsort(place, kind="stable")[:count]]
