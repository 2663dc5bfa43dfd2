"""What the viewers of chapter 1 show: maps of a trained network, and which of them carry signal."""

from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.special import expit
from torch import nn

from mdlib.data import chestxray14, images
from mdlib.data.phantoms import chest as phantom_chest
from mdlib.explain import gradients, overlay
from mdlib.recipes.chest import figures
from mdlib.recipes.chest.chapter import Chapter
from mdlib.recipes.chest.exhibits import as_seen, cause, one_a_class, title
from mdlib.recipes.chest.plan import NONIMAGE, Training
from mdlib.recipes.chest.trainings import inputs, train, train_all

LAYERS = {"densenet121": ("norm5", "transition3", "transition2", "transition1"),
          "att_a": ("transition3", "norm5"), "att_b": ("transition3", "norm5"), "resnet50": ("layer4", "layer3")}


def cases(chapter: Chapter, name: str, count: int = 12) -> list[dict]:
    """`count` test images, as `mdlib.widgets.explorer.Case` takes them: what a network says, and its maps.

    Each is a dict: image uint8 (H, W), classes, probability and logits (K,), truth (K,), maps by method (K, h, w) or
    (1, h, w), signal by method (K,), contours by class and what they outline; and, of phantoms, twins by finding: the
    same dict of the same film without it. The network is the one of the first seed. Attention maps are given as
    weights times pixels, so that 1 is the mean.
    """
    model, rows = trained(chapter, name).to(chapter.device), one_a_class(chapter, count)
    films = answers(model, name, inputs_of(chapter, name, rows))
    alone = twins(chapter, model, name, rows)
    return [film | {"image": as_seen(chapter, row),
                    "classes": chapter.classes, "truth": chapter.targets[row], "name": chapter.table["image"].iloc[row],
                    "alt": _in_words(chapter, row), "contours": contours(chapter, row), "twins": alone[row],
                    "outline": "radiologist's box" if chapter.xrays.truth is None else "cause"}
            for row, film in zip(rows, films, strict=True)]


def maps_of(model: nn.Module, name: str, batch: dict[str, torch.Tensor]) -> tuple[dict, dict, np.ndarray]:
    """Maps by method, (B, classes, h, w) or (B, 1, h, w); which carry signal, (B, classes); and the logits.

    Grad-CAM of the network `name` at LAYERS; attention as weights times pixels, so that 1 is the mean.
    """
    device = next(model.parameters()).device
    batch = {key: value.to(device) for key, value in batch.items()}
    with torch.inference_mode():
        answer = model(**batch)
    found = {f"Grad-CAM {layer}": gradients.grad_cam_maps(model, batch, f"features.{layer}")
             for layer in LAYERS[name.removesuffix(NONIMAGE)]}
    values = {f"attention {stage}": (weights * weights[0, 0].numel()).cpu().numpy()
              for stage, weights in enumerate(answer.get("attention", ()), start=1)}
    return (values | {method: maps.values.cpu().numpy() for method, maps in found.items()},
            {method: maps.signal.cpu().numpy() for method, maps in found.items()}, answer["logits"].cpu().numpy())


def answers(model: nn.Module, name: str, batch: dict[str, torch.Tensor]) -> list[dict]:
    """What the network of this name says of each image of a batch: probability, logits, maps and signal."""
    maps, signal, logits = maps_of(model, name, batch)
    return [{"probability": expit(of_image), "logits": of_image,
             "maps": {method: values[i] for method, values in maps.items()},
             "signal": {method: values[i] for method, values in signal.items()}} for i, of_image in enumerate(logits)]


def twins(chapter: Chapter, model: nn.Module, name: str, rows: list[int]) -> dict[int, dict[str, dict]]:
    """By row and finding, each film drawn again without that finding, and what the network says of it.

    Empty for every row of a real collection: nobody knows what a patient's film would be without the finding.
    """
    asked = [(row, finding) for row in rows if chapter.xrays.truth is not None
             for finding in chapter.table["labels"].iloc[row].split("|") if finding in phantom_chest.FINDINGS]
    found: dict[int, dict[str, dict]] = {row: {} for row in rows}
    if not asked:
        return found
    films = [phantom_chest.twin(chapter.xrays.data_dir, chapter.table["image"].iloc[row], finding)
             for row, finding in asked]
    size = chapter.settings
    small = np.stack([images.seen(film, size.resize, size.crop) for film in films])
    batch = inputs_of(chapter, name, [row for row, _ in asked])
    batch["image"] = torch.from_numpy(small)[:, None].float() / 255
    for (row, finding), film, said in zip(asked, films, answers(model, name, batch), strict=True):
        left = [label for label in chapter.table["labels"].iloc[row].split("|") if label != finding]
        table = chapter.table.iloc[[row]].assign(labels="|".join(left) or "No Finding")
        found[row][finding] = said | {
            "image": images.shown(film, size.resize, size.crop), "classes": chapter.classes,
            "truth": chestxray14.targets(table, chapter.classes)[0],
            "alt": f"{_in_words(chapter, row)}; drawn without {figures.words(finding)}"}
    return found


def _in_words(chapter: Chapter, row: int) -> str:
    return f"Chest X-ray: {title(chapter, row)}".replace("\n", "; ")


def signal(chapter: Chapter) -> pd.DataFrame:
    """Share of the Grad-CAM maps that carry signal, by network and layer: 32 test images, all classes."""
    rows = chapter.rows["test"][:32]
    found = {}
    for name in chapter.settings.networks:
        model, batch = trained(chapter, name).to(chapter.device), inputs_of(chapter, name, rows)
        batch = {key: value.to(chapter.device) for key, value in batch.items()}
        found[name] = {layer: float(gradients.grad_cam_maps(model, batch, f"features.{layer}").signal.float().mean())
                       for layer in LAYERS[name.removesuffix(NONIMAGE)]}
    return pd.DataFrame(found, index=[*LAYERS["densenet121"], *LAYERS["resnet50"]]).T


def trained(chapter: Chapter, name: str, normalise: str = "softmax") -> nn.Module:
    """The network of the test figures and the run's seed, on the CPU, in evaluation mode; trained now if need be."""
    training = Training(name, "train_val", normalise=normalise, seed=chapter.seed)
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
