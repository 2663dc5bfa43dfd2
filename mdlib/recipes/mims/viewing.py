"""What the viewers of chapter 2 show: volumes slice by slice, their maps, and the instances a network picked."""

from typing import Any

import numpy as np
from torch import Tensor, nn
from torch.nn import functional

from mdlib.explain import overlay
from mdlib.explain.instances import picked_instances
from mdlib.recipes.mims import explained, located
from mdlib.recipes.mims.chapter import Chapter
from mdlib.study.cases import balanced_rows

MARKS = 12      # (ours) instances of a class that are drawn on the slices of a volume: those that add most
SIDE = 32       # (ours) cells of a map on its longer side: a page holds the maps of many slices


def cases(chapter: Chapter, method: str, collection: str = "cirrus", count: int = 8) -> list[dict]:
    """`count` test bags, as `mdlib.widgets.explorer.Case` takes them: what a network says of a volume and its slices.

    Each is a dict, S central slices in front: image uint8 (S, H, W), scores (S,), the probability of the class of
    interest of each slice alone, maps by method (S, K, h, w), signal by method (S, K), contours by class, and marks,
    the instances that the pooling picked. Of the bag: classes, probability, truth and logits (K,). Phantoms of the
    class of interest have a twin, the same volume without its lesions.
    """
    model, bags = located.network(chapter, method, collection), chapter.bags(collection)
    rows = balanced_rows(chapter.part(collection, "test"), bags.targets, len(bags.classes), count)
    return [case(chapter, model, collection, row, slices)
            for row, slices in explained.volumes(chapter, collection, rows)]


def case(chapter: Chapter, model: nn.Module, collection: str, row: int, slices: Tensor) -> dict[str, Any]:
    """One bag, with its twin where there is one."""
    bags = chapter.bags(collection)
    of, target = bags.table.iloc[row], int(bags.targets[row])
    numbers = of["first"] + explained.central(of["count"], chapter.settings.central)
    told = {"name": of["bag"], "alt": f"{collection}, {of['bag']}: {of['label']}", "outline": "lesion"}
    shown = told | answers(model, bags.classes, slices) | {
        "image": np.stack([bags.read(int(number)) for number in numbers]),
        "truth": np.eye(len(bags.classes))[target]}
    if not located.known(chapter, collection) or target < len(bags.classes) - 1:
        return shown
    labels = located.mask(chapter, collection, row)
    size = labels.shape[:0:-1]
    drawn = located.drawn_without(chapter, collection, row)
    twin = told | answers(model, bags.classes, located.seen(chapter, collection, drawn)) | {
        "image": drawn, "truth": np.eye(len(bags.classes))[0], "alt": f"{told['alt']}, drawn without its lesions"}
    return shown | {"contours": {bags.classes[-1]: [[line / size for line in overlay.contour(labels_of > 0)]
                                                    for labels_of in labels]},
                    "twins": {bags.classes[-1]: twin}}


def answers(model: nn.Module, classes: tuple[str, ...], slices: Tensor) -> dict[str, Any]:
    """What a network says of a volume: classes, probability, logits, scores, maps, signal and marks."""
    whole, alone = explained.said(model, slices)
    maps = explained.maps(model, slices)
    return {"classes": classes, "probability": whole.softmax(dim=0).numpy(), "logits": whole.numpy(),
            "scores": explained.suspicion(alone).sigmoid().numpy(), "marks": marks(model, classes, slices),
            "maps": {name: _small(of.values).numpy() for name, of in maps.items()},
            "signal": {name: of.signal.numpy() for name, of in maps.items()}}


def marks(model: nn.Module, classes: tuple[str, ...], slices: Tensor) -> list[list[tuple]]:
    """Of each slice the instances picked that add most to a class: (x, y, w, h, label, class), in fractions.

    The label is the scale and what the instance adds to the logit.
    """
    found: list[list[tuple]] = [[] for _ in slices]
    for k, name in enumerate(classes):
        for pick in picked_instances(model, slices, k).query("contribution > 0").head(MARKS).itertuples():
            found[pick.slice].append((pick.left, pick.top, pick.right - pick.left, pick.bottom - pick.top,
                                      f"{pick.scale}: +{pick.contribution:.2f}", name))
    return found


def _small(values: Tensor) -> Tensor:
    """Maps (S, K, h, w) of at most SIDE cells on the longer side, each the mean of its pixels."""
    factor = -(-max(values.shape[2:]) // SIDE)
    return functional.adaptive_avg_pool2d(values, [max(1, side // factor) for side in values.shape[2:]])
