"""What a network says of the slices of a volume, and where it sees it (Li et al., appendix C).

Appendix C first asks which slices belong to the class, then explains each of them: a slice is a bag of one here, for
its probability and for its maps. Slices are counted from 0 among the central ones. The class of interest is the last.
"""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from mdlib.data.bags import BagSamples
from mdlib.explain import gradients
from mdlib.explain.gradients import Maps
from mdlib.explain.instances import SliceLogits, instance_maps
from mdlib.progress import track
from mdlib.recipes.mims.chapter import Chapter

LAYERS = {"gradient × input, conv5": "model.features.layer4", "gradient × input, image": "model.input"}
PICKED = "picked instances"
BATCH = 16      # (ours) slices at once
CELL = 8        # (ours) pixels of the image on a side of a cell of the maps of picked instances


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
        alone = torch.cat([SliceLogits(model)(**batch)["logits"] for batch in _alone(model, slices)])
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
    asked = SliceLogits(model)
    parts = [{name: gradients.gradient_times_input_maps(asked, batch, layer) for name, layer in layers.items()}
             | {PICKED: instance_maps(model, batch, CELL)} for batch in _alone(model, slices)]
    return {name: Maps(*(torch.cat([part[name][i] for part in parts]).cpu() for i in range(3))) for name in parts[0]}


def of_interest(found: Maps) -> np.ndarray:
    """The maps of the class of interest, (S, h, w), signed; 0 where there is no signal."""
    return (found.values[:, -1] * found.signal[:, -1, None, None]).numpy()


def _alone(model: nn.Module, slices: Tensor) -> Iterator[dict[str, Tensor]]:
    """Slices as bags of one, BATCH at a time, where the model is."""
    for part in slices.to(next(model.parameters()).device).split(BATCH):
        yield {"bag": part, "sizes": torch.ones(len(part), dtype=torch.int64, device=part.device)}
