"""Instances of pictures for the explorer: what a network cut out, what is known of the picture, and its twins."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image
from scipy.special import softmax
from torch import Tensor

from mdlib.data.images import resized
from mdlib.data.phantoms import breast as phantom_breast
from mdlib.data.phantoms import fungi as phantom_fungi
from mdlib.data.pictures import Pictures, PictureSamples
from mdlib.models.crops import crops
from mdlib.papers.gated.data import EDGES
from mdlib.papers.gated.networks import Run, inputs
from mdlib.study import cases as study_cases
from mdlib.study import pages
from mdlib.study.study import Study
from mdlib.widgets.records import Case

MAPS = {"attention": "attention Ω", "semantic": "semantic map S"}
LABELS_WITHOUT = {"invasion": "InSitu"}     # what a twin lacks: its class, where that is not the picture's


def of_batch(model: torch.nn.Module, batch: Mapping[str, Tensor], size: int) -> list[dict[str, np.ndarray]]:
    """What a network gives for each picture of a batch (see `models.instance_fusion`), as arrays without a batch axis.

    Where it has boxes, also `crops`, uint8 (n, size, size[, 3]): the boxes, cut from what the network cuts them from.
    """
    device = next(model.parameters()).device
    batch = {name: value.to(device) for name, value in batch.items()}
    with torch.inference_mode():
        out = model(**inputs(batch, model))
    arrays = {name: value.float().cpu().numpy() for name, value in out.items()}
    if "boxes" in out:
        source, extent = batch["picture"], batch["extent"]
        if model.source == "thumbnail":
            source, extent = batch["image"], torch.tensor([batch["image"].shape[2:]]).expand(len(extent), 2)
        cut = crops(source, extent, out["boxes"], size).mul(255).round().byte()
        arrays["crops"] = _channels_last(cut.cpu().numpy())
    return [{name: value[i] for name, value in arrays.items()} for i in range(len(out["logits"]))]


def case_fields(output: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """The fields of `Case` that a network's output for one picture fills (as `of_batch`): maps, instances and gates."""
    fields: dict[str, Any] = {"maps": {words: output[name][None] for name, words in MAPS.items() if name in output}}
    if "crops" in output:
        fields["instances"] = [(crop, (left, top, right - left, bottom - top), bool(found), "") for
                               crop, (top, left, bottom, right), found in
                               zip(output["crops"], output["boxes"].tolist(), output["found"], strict=True)]
    if "gates" in output:
        fields["gates"] = output["gates"]
    return fields


def cases(study: Study, run: Run, model: torch.nn.Module, rows: Sequence[int]) -> list[Case]:
    """Pictures of the test part, at these places in it, for the explorer; phantoms with their twins (see `twin`)."""
    samples, of_part = study.samples("test", run), study.data.rows("test", run)
    outputs = of_batch(model, samples.batch(list(rows)), study.settings.crop)
    return [_case(study, run, model, int(of_part[place]), out) for place, out in zip(rows, outputs, strict=True)]


def _case(study: Study, run: Run, model: torch.nn.Module, row: int, out: dict[str, np.ndarray]) -> Case:
    """The picture in a row of the collection, for which the network gives `out`, with its twin if it has one."""
    bags, size = study.data.of(run), study.settings.crop
    name, label = bags.table["bag"].iat[row], bags.table["label"].iat[row]
    truth = dict(zip(bags.classes, np.eye(len(bags.classes)), strict=True))
    twins = {}
    if drawn := twin(study, run, row):
        part, picture = drawn
        (of_twin,) = of_batch(model, as_batch(study, run, picture), size)
        twins[part] = Case(classes=bags.classes, truth=truth[LABELS_WITHOUT.get(part, label)],
                           name=f"{name} without {part}", **_outputs(picture, of_twin),
                           alt=f"The picture {name}, drawn again without {part}")
    return Case(classes=bags.classes, truth=truth[label], name=name, twins=twins, outline="instance",
                contours={label: outlines(study, run, row)}, **_outputs(bags.read(row), out),
                alt=f"The picture {name}, {label}")


def _outputs(picture: np.ndarray, out: dict[str, np.ndarray]) -> dict[str, Any]:
    """The fields of `Case` for a picture uint8 (H, W[, 3]) and what the network gives for it."""
    return {"image": pages.shown(picture), "logits": out["logits"], "probability": softmax(out["logits"]),
            **case_fields(out)}


def as_batch(study: Study, run: Run, picture: np.ndarray) -> dict[str, Tensor]:
    """A picture uint8 (H, W, 3) as the network of a run gets it: a batch of one."""
    if not study.data.in_colour(run):
        picture = grey(picture)
    return batch_of(picture, resized(picture, tuple(study.settings.thumbnail)))


def batch_of(picture: np.ndarray, thumbnail: np.ndarray) -> dict[str, Tensor]:
    """A picture uint8 (H, W[, 3]) and its thumbnail (h, w[, 3]) as a batch of one."""
    original = Pictures(picture[None], np.array([picture.shape[:2]]))
    return PictureSamples(thumbnail[None], original, np.zeros(1), [0]).batch(1)


def grey(picture: np.ndarray) -> np.ndarray:
    """uint8 (H, W, 3) -> (H, W), as files are read in grey."""
    return np.asarray(Image.fromarray(picture).convert("L"))


def twin(study: Study, run: Run, row: int) -> tuple[str, np.ndarray] | None:
    """What a phantom is drawn again without, in words, and the picture, uint8 (H, W, 3); None where there is none.

    Fungi lack their first head ("the upper left head", by its place), with its stipe; invasive breast tissue what
    invades the stroma ("invasion": gaps in the membrane and nests of tumour cells). Other breast tissue and real
    pictures have no twin.
    """
    bags = study.data.of(run)
    name = bags.table["bag"].iat[row]
    if not study.data.is_phantom(run):
        return None
    if run.collection == "fungi":
        box = study.data.boxes(run).query("row == @row and number == 1 and decides").iloc[0]
        return f"the {_place(box)} head", phantom_fungi.twin(bags.data_dir, name, without=(1,))
    if bags.table["label"].iat[row] != "Invasive":
        return None
    return "invasion", phantom_breast.twin(bags.data_dir, name)


def _place(box: pd.Series) -> str:
    """In which ninth of the picture the middle of a box lies, in words."""
    y, x = (box["top"] + box["bottom"]) / 2, (box["left"] + box["right"]) / 2
    place = ("upper", "", "lower")[int(3 * y)], ("left", "", "right")[int(3 * x)]
    return " ".join(filter(None, place)) or "central"


def outlines(study: Study, run: Run, row: int) -> list[np.ndarray]:
    """The outlines of the instances that decide the class of a picture, (n, 2) each, in fractions: shapes, or boxes."""
    boxes = study.data.boxes(run).query("row == @row and decides")
    bags = study.data.of(run)
    if study.data.is_phantom(run):
        truth = (phantom_fungi if run.collection == "fungi" else phantom_breast).Truth(bags.data_dir)
        labels = truth.labels(bags.table["bag"].iat[row])
        return [line for number in boxes["number"] for line in study_cases.outlines(labels == number)]
    return study_cases.box_outlines(boxes[list(EDGES)].to_numpy())


def _channels_last(pixels: np.ndarray) -> np.ndarray:
    """(..., C, H, W) -> (..., H, W, 3), or (..., H, W) of one channel."""
    return pixels[..., 0, :, :] if pixels.shape[-3] == 1 else np.moveaxis(pixels, -3, -1)
