"""What the viewers of chapter 1 show: maps of a trained network, and which of them carry signal."""

from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from mdlib.data import images
from mdlib.data.phantoms import chest as phantom_chest
from mdlib.explain import gradients, overlay
from mdlib.recipes.chest.chapter import Chapter
from mdlib.recipes.chest.exhibits import as_seen, cause, one_a_class, title
from mdlib.recipes.chest.plan import NONIMAGE, Training
from mdlib.recipes.chest.trainings import inputs, train, train_all

LAYERS = {"densenet121": ("norm5", "transition3", "transition2", "transition1"),
          "att_a": ("transition3", "norm5"), "att_b": ("transition3", "norm5"), "resnet50": ("layer4", "layer3")}


def cases(chapter: Chapter, name: str, count: int = 12) -> list[dict]:
    """`count` test images, as `mdlib.widgets.explorer.Case` takes them: what a network says, and its maps.

    Each is a dict: image uint8 (H, W), classes, probability (K,), truth (K,), maps by method (K, h, w) or (1, h, w),
    signal by method (K,), contours by class. The network is the one of the first seed. Attention maps are
    given as weights times pixels, so that 1 is the mean.
    """
    model, rows = trained(chapter, name), one_a_class(chapter, count)
    batch = inputs_of(chapter, name, rows)
    with torch.inference_mode():
        answer = model(**batch)
    maps = {f"attention {stage}": (weights * weights[0, 0].numel()).numpy()
            for stage, weights in enumerate(answer.get("attention", ()), start=1)}
    found = {f"Grad-CAM {layer}": gradients.grad_cam_maps(model, batch, f"features.{layer}")
             for layer in LAYERS[name.removesuffix(NONIMAGE)]}
    probability = answer["logits"].sigmoid().numpy()
    return [{"image": as_seen(chapter, row), "classes": chapter.classes, "probability": probability[i],
             "truth": chapter.targets[row], "name": chapter.table["image"].iloc[row],
             "alt": f"Chest X-ray: {title(chapter, row)}".replace("\n", "; "), "contours": contours(chapter, row),
             "maps": {key: value[i] for key, value in maps.items()}
             | {key: value.values[i].numpy() for key, value in found.items()},
             "signal": {key: value.signal[i].numpy() for key, value in found.items()}}
            for i, row in enumerate(rows)]


def signal(chapter: Chapter) -> pd.DataFrame:
    """Share of the Grad-CAM maps that carry signal, by network and layer: 32 test images, all classes."""
    rows = chapter.rows["test"][:32]
    found = {}
    for name in chapter.settings.networks:
        model, batch = trained(chapter, name), inputs_of(chapter, name, rows)
        found[name] = {layer: float(gradients.grad_cam_maps(model, batch, f"features.{layer}").signal.float().mean())
                       for layer in LAYERS[name.removesuffix(NONIMAGE)]}
    return pd.DataFrame(found).T


def trained(chapter: Chapter, name: str, **which: Any) -> nn.Module:
    """A network of the run's seed, on the CPU, in evaluation mode: that of the test figures, or as `which` asks.

    `which` are other fields of `Training`; what is not trained yet is trained now.
    """
    training = Training(name, **{"part": "train_val", "seed": chapter.seed, **which})
    train_all(chapter, [training])
    return train(chapter, training)[0].cpu().eval()


def inputs_of(chapter: Chapter, name: str, rows: list[int] | np.ndarray) -> dict[str, torch.Tensor]:
    """What the network is called with for these rows."""
    where = np.searchsorted(chapter.rows["test"], rows)
    return inputs(name)(chapter.samples("test").__getitems__(where))


def of_square(box: Any, side: tuple[int, int]) -> np.ndarray:
    """The outline of a box, given in fractions of an image's width and height, in fractions of its central square."""
    corners = np.array([(0, 0), (1, 0), (1, 1), (0, 1), (0, 0)]) * (box.w, box.h) + (box.x, box.y)    # (5, 2)
    return (corners * side - (np.array(side) - min(side)) / 2) / min(side)


def contours(chapter: Chapter, row: int) -> dict[str, list[np.ndarray]]:
    """Outlines of the cause of each finding, in fractions of the side of the network's picture."""
    name, crop = chapter.table["image"].iloc[row], chapter.settings.crop / chapter.settings.resize
    if chapter.xrays.truth is not None:
        truth = phantom_chest.Truth(chapter.xrays.data_dir)
        side = truth.settings.side
        shown = [finding for finding in chapter.table["labels"].iloc[row].split("|") if finding in truth.findings]
        whole = {finding: [line / side for line in overlay.contour(cause(truth, name, finding))] for finding in shown}
    else:
        boxes = chapter.xrays.boxes[chapter.xrays.boxes["image"] == name]
        side = images.read_grey(chapter.xrays.path(name)).shape[::-1] if len(boxes) else (1, 1)
        whole = {finding: [of_square(box, side) for box in of.itertuples()]
                 for finding, of in boxes.groupby("finding") if finding in chapter.classes}
    margin = (1 - crop) / 2
    return {finding: [(line - margin) / crop for line in lines] for finding, lines in whole.items()}
