"""What a network says of the slices of a volume, and where it sees it (Li et al., appendix C).

Appendix C first asks which slices belong to the class, then explains each of them: a slice is a bag of one here, for
its probability and for its maps. The instances that the pooling of the whole volume picked are `picks` (ours: the
paper does not look at them). Slices are counted from 0 among the central ones. The class of interest is the last.
"""

from collections.abc import Iterator
from itertools import product

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from mdlib.data.bags import BagSamples
from mdlib.explain import gradients
from mdlib.explain.gradients import Maps
from mdlib.progress import track
from mdlib.recipes.mims.chapter import Chapter

LAYERS = {"gradient × input, conv5": "model.features.layer4", "gradient × input, image": "model.input"}
PICKED = "picked instances"
BATCH = 16      # (ours) slices at once
CELL = 8        # (ours) pixels of the image on a side of a cell of the maps of picked instances


class OfSlices(nn.Module):
    """A network whose logits are those of slices, where it has such: given slices as bags of one, of each slice."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, **inputs) -> dict:
        answer = self.model(**inputs)
        return answer | {"logits": answer.get("slice_logits", answer["logits"])}


def central(count: int, most: int) -> np.ndarray:
    """The numbers of the `most` central slices of a volume of `count`, all where there are fewer (appendix A)."""
    kept = min(count, most)
    return np.arange(kept) + (count - kept) // 2


def volumes(chapter: Chapter, collection: str, rows: np.ndarray) -> Iterator[tuple[int, Tensor]]:
    """Each row of the collection's table with its central slices (S, 1 or 3, H, W) in [0, 1], as in testing."""
    samples = BagSamples(chapter.pixels(collection), chapter.bags(collection), rows, chapter.settings.central, None)
    for i, row in enumerate(track(list(rows), f"volumes of {collection}")):
        yield int(row), samples[i]["bag"]


def said(model: nn.Module, slices: Tensor) -> tuple[Tensor, Tensor]:
    """Logits of the volume (K,), its slices in one bag, and of each slice in a bag of its own (S, K); on the CPU."""
    bag = slices.to(next(model.parameters()).device)
    with torch.inference_mode():
        whole = model(bag=bag, sizes=torch.tensor([len(bag)], device=bag.device))["logits"][0]
        alone = torch.cat([OfSlices(model)(**batch)["logits"] for batch in _alone(model, slices)])
    return whole.cpu(), alone.cpu()


def suspicion(logits: Tensor) -> Tensor:
    """The log-odds of the class of interest, (..., K) -> (...); its sigmoid is the probability."""
    return logits[..., -1] - logits[..., :-1].logsumexp(dim=-1)


def maps(model: nn.Module, slices: Tensor) -> dict[str, Maps]:
    """Maps of each slice by method: values (S, K, h, w), signal and logits (S, K), on the CPU.

    Gradient x input at conv5 and at the input of the network, where it sees the image once (an image pyramid has no
    single map there), and the picked instances of the slice.
    """
    layers = LAYERS if len(model.image_scales) == 1 else {}
    asked = OfSlices(model)
    parts = [{name: gradients.gradient_times_input_maps(asked, batch, layer) for name, layer in layers.items()}
             | {PICKED: picked_maps(model, batch)} for batch in _alone(model, slices)]
    return {name: Maps(*(torch.cat([part[name][i] for part in parts]).cpu() for i in range(3))) for name in parts[0]}


def of_interest(found: Maps) -> np.ndarray:
    """The maps of the class of interest, (S, h, w), signed; 0 where there is no signal."""
    return (found.values[:, -1] * found.signal[:, -1, None, None]).numpy()


def picked_maps(model: nn.Module, batch: dict[str, Tensor]) -> Maps:
    """The instances picked in each of B slices, laid where they lie: values (B, K, h, w), cells of CELL pixels (ours).

    A pick adds (weight of its channel, see `contrast`) x (weight of its rank) x (its value). That amount is spread
    evenly over the cells of the primary map that the pick saw, so that a map sums to the logit, less the mean of the
    other classes' logits, less what the biases add.
    """
    with torch.inference_mode():
        answer = OfSlices(model)(**batch, instances=True)
        found = answer["instances"]
        weight = contrast(model.classifier.weight)[:, :, None]
        amount = (weight * (found["weight"] * found["value"])[:, None]).flatten(2)
        top, left, bottom, right = found["box"].flatten(1, 2).unbind(dim=-1)                     # (B, P) each
        height, width = (max(1, side // CELL) for side in batch["bag"].shape[2:])
        down, across = _share(top, bottom, height), _share(left, right, width)                   # (B, P, h), (B, P, w)
        values = (amount[:, :, None] * down.mT[:, None]) @ across[:, None]                       # (B, K, h, w)
    return Maps(values, gradients.has_signal(values, answer["logits"]), answer["logits"])


def contrast(weight: Tensor) -> Tensor:
    """Of each class its weights less the mean of the other classes' (K, ...), which alone change a probability (ours).

    The sum of all classes' weights changes no probability, gets no gradient, and stays as it was drawn.
    """
    return (weight - weight.mean(dim=0)) * len(weight) / (len(weight) - 1)


def _share(start: Tensor, stop: Tensor, cells: int) -> Tensor:
    """How much of each interval (B, P) in [0, 1] lies in each of the cells of a line, (B, P, cells)."""
    edges = torch.arange(cells + 1, device=start.device) / cells
    inside = torch.minimum(stop[..., None], edges[1:]) - torch.maximum(start[..., None], edges[:-1])
    return inside.clamp(min=0) / (stop - start).clamp(min=1e-6)[..., None]


def picks(model: nn.Module, slices: Tensor, klass: int = -1) -> pd.DataFrame:
    """The instances that the pooling of a volume picked, the largest contribution first, a row each.

    slice, scale (of image and map; with its dilation, where there are several), channel, rank (from 1), weight of the
    rank, value, contribution to the logit of `klass` less the mean of the others' (see `contrast`), and top, left,
    bottom, right: what it saw of the primary map, in fractions of the slice. Where a method classifies slices, those of
    each slice, contributing to the slice's logit.
    """
    bag = slices.to(next(model.parameters()).device)
    with torch.inference_mode():
        found = model(bag=bag, sizes=torch.tensor([len(bag)], device=bag.device), instances=True)["instances"]
    found = {name: value.cpu().numpy() for name, value in found.items()}
    row, channel, rank = np.indices(found["value"].shape)
    names = np.array([_pathways(model, part) for part in model.secondary.values() for _ in range(part.out)])    # (N, P)
    columns = {"slice": found["slice"] if len(row) == 1 else np.where(found["slice"] < 0, -1, row),
               "scale": names[channel, found["pathway"]], "channel": channel, "rank": rank + 1,
               "weight": found["weight"], "value": found["value"],
               **dict(zip(("top", "left", "bottom", "right"), np.moveaxis(found["box"], -1, 0), strict=True))}
    table = pd.DataFrame({name: values.ravel() for name, values in columns.items()}).query("slice >= 0")
    weights = contrast(model.classifier.weight.detach())[klass].cpu().numpy()
    table["contribution"] = weights[table["channel"]] * table["weight"] * table["value"]
    return table.sort_values("contribution", ascending=False, ignore_index=True)


def _pathways(model: nn.Module, part: nn.Module) -> list[str]:
    """The scale of each pathway of a secondary layer, with its dilation where there are several."""
    scales, dilations = getattr(part, "scales", (1,)), getattr(part, "dilations", (1,))
    return [f"{image * scale:g}" + (f", dilation {dilation}" if len(dilations) > 1 else "")
            for image, scale, dilation in product(model.image_scales, scales, dilations)]


def _alone(model: nn.Module, slices: Tensor) -> Iterator[dict[str, Tensor]]:
    """Slices as bags of one, BATCH at a time, where the model is."""
    for part in slices.to(next(model.parameters()).device).split(BATCH):
        yield {"bag": part, "sizes": torch.ones(len(part), dtype=torch.int64, device=part.device)}
