"""The instances that top-k pooling picked in a bag, as a table and as maps (Li et al., section 2.2; the use is ours).

For networks of bags such as `mdlib.models.mims.MIMSCNN`: model(bag=, sizes=, instances=True) answers with `instances`,
the candidates that won for each of the N pooled channels, and `classifier` is linear in the pooled values.
"""

from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from mdlib.explain.gradients import Maps, has_signal


class SliceLogits(nn.Module):
    """A network of bags that answers with the logits of slices, where it has `slice_logits`.

    Of slices given as bags of one each, the logits are those of the slice in any case. Layers are under `model.`.
    """

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, **inputs: Any) -> dict[str, Any]:
        answer = self.model(**inputs)
        return answer | {"logits": answer.get("slice_logits", answer["logits"])}


def contrast(weight: Tensor) -> Tensor:
    """Weights (K, ...) of each class less the mean of the other classes': what changes a probability (ours).

    What all classes have in common changes no probability, gets no gradient, and stays as it was initialised.
    """
    return (weight - weight.mean(dim=0)) * len(weight) / (len(weight) - 1)


def instance_maps(model: nn.Module, batch: dict[str, Tensor], cell: int = 8) -> Maps:
    """The instances picked in each of B slices, shown where they lie: values (B, K, h, w), `cell` pixels a side (ours).

    An instance adds (weight of its channel, see `contrast`) x (weight of its rank) x (its value). That amount is spread
    evenly over its receptive field in the primary map, so that a map sums to the logit, less the mean of the other
    classes' logits, less what the biases add. `batch`: slices as bags of one each, `bag` (B, C, H, W) and `sizes`.
    """
    with torch.inference_mode():
        answer = SliceLogits(model)(**batch, instances=True)
        found = answer["instances"]
        weight = contrast(model.classifier.weight)[:, :, None]
        amount = (weight * (found["weight"] * found["value"])[:, None]).flatten(2)
        top, left, bottom, right = found["box"].flatten(1, 2).unbind(dim=-1)                     # (B, P) each
        height, width = (max(1, side // cell) for side in batch["bag"].shape[2:])
        down, across = _share(top, bottom, height), _share(left, right, width)                   # (B, P, h), (B, P, w)
        values = (amount[:, :, None] * down.mT[:, None]) @ across[:, None]                       # (B, K, h, w)
    return Maps(values, has_signal(values, answer["logits"]), answer["logits"])


def _share(start: Tensor, stop: Tensor, cells: int) -> Tensor:
    """How much of each interval (B, P) in [0, 1] lies in each of the cells of a line, (B, P, cells)."""
    edges = torch.arange(cells + 1, device=start.device) / cells
    inside = torch.minimum(stop[..., None], edges[1:]) - torch.maximum(start[..., None], edges[:-1])
    return inside.clamp(min=0) / (stop - start).clamp(min=1e-6)[..., None]


def picked_instances(model: nn.Module, bag: Tensor, class_index: int = -1) -> pd.DataFrame:
    """The instances that the pooling of one bag (S, C, H, W) picked: one row each, the largest contribution first.

    slice, scale (see `pathways` of the model), channel, rank (from 1), weight of the rank, value, contribution to the
    logit of `class_index` less the mean of the others' (see `contrast`), and top, left, bottom, right: the receptive
    field in the primary map, in fractions of the slice. Where a network classifies slices, the instances of each
    slice, contributing to the slice's logit.
    """
    bag = bag.to(next(model.parameters()).device)
    with torch.inference_mode():
        found = model(bag=bag, sizes=torch.tensor([len(bag)], device=bag.device), instances=True)["instances"]
    found = {name: value.cpu().numpy() for name, value in found.items()}
    row, channel, rank = np.indices(found["value"].shape)
    columns = {"slice": found["slice"] if len(row) == 1 else np.where(found["slice"] < 0, -1, row),
               "scale": np.array(model.pathways())[channel, found["pathway"]], "channel": channel, "rank": rank + 1,
               "weight": found["weight"], "value": found["value"],
               **dict(zip(("top", "left", "bottom", "right"), np.moveaxis(found["box"], -1, 0), strict=True))}
    table = pd.DataFrame({name: values.ravel() for name, values in columns.items()}).query("slice >= 0")
    weights = contrast(model.classifier.weight.detach())[class_index].cpu().numpy()
    table["contribution"] = weights[table["channel"]] * table["weight"] * table["value"]
    return table.sort_values("contribution", ascending=False, ignore_index=True)
