"""Network Dissection in one pass: how well each unit of a layer agrees with each concept, at every threshold.

Bau et al. 2017; Wu et al., section 2.3. `dissect` runs the network once and keeps histograms in place of maps, so that
its memory does not depend on the number of images; `dissection_result.Dissection` answers from them.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mdlib.errors import DataError, SettingsError
from mdlib.explain.concept_masks import Masks, Source
from mdlib.explain.dissection_result import RULES, Dissection, rule_thresholds
from mdlib.explain.hooks import find_layer, replaced
from mdlib.explain.other_films import OtherFilms
from mdlib.explain.targets import evaluating
from mdlib.explain.top_patches import TopPatchesSoFar
from mdlib.explain.unit_histograms import ResolutionCeiling, UnitHistograms


def dissect(model: nn.Module, layer: str | nn.Module, batches: Iterable[dict[str, Any]], masks: Source | None = None,
            concepts: Sequence[str] = (), *, groups: Sequence | np.ndarray | None = None, draws: int = 20, k: int = 64,
            label_grid: int = 4, seed: int = 0) -> Dissection:
    """Dissect the units of a layer of any network whose output there is maps (B, units, h, w).

    batches: dicts with `image` (B, C, H, W), of which the model is called, and `index` int64 (B,), by which the top
    images are named and `masks` and `groups` are found. Iterated once, in the order that decides ties.
    masks: an array (N, concepts, H', W') or a function of indices (n,) on the CPU that returns (n, concepts, H', W'),
    not 0 where a concept is; `concepts` names them. None: top images only. See `concept_masks.Masks`.
    groups: the film or patient of each image, by index, for the null: the same concept of other groups, `draws` times
    (see `other_films.OtherFilms`). None: no null.
    k: top images per unit. label_grid: how many times finer than the maps the grid is on which maps, upsampled
    bilinearly, and masks are compared; the factors of the chapter are 4, and 2 for AlexNet (ours).

    The model runs in evaluation mode on the device of its weights; modes and hooks are as before afterwards. Memory
    for 2,048 units with maps of 8 x 8: 6 MB per concept, 17 MB of top maps for k = 64, and about 50 MB at work,
    whatever the number of images.

    Raises SettingsError for an unknown layer or one without maps, masks of a wrong shape, groups all alike, and k
    larger than the number of images; DataError for activations that are not finite, maps that change their size, and
    no images.
    """
    name, _ = find_layer(model, layer)
    if k < 1 or label_grid < 1 or draws < 1:
        raise SettingsError(f"k={k}, label_grid={label_grid}, draws={draws}", "parameters", "Each is at least 1.")
    device, state = next(model.parameters(), torch.empty(0)).device, None
    with torch.inference_mode(), evaluating(model):
        for batch in batches:
            if not {"image", "index"} <= batch.keys():
                raise SettingsError(f"a batch has only {', '.join(batch)}", "parameter batches",
                                    "Give dicts with `image` (B, C, H, W) and `index` (B,).")
            maps, index = maps_of(model, name, batch["image"].to(device)), torch.as_tensor(batch["index"]).cpu()
            if state is None:
                source = Masks(masks, tuple(concepts), tuple(size * label_grid for size in maps.shape[2:]))
                state = _State(name, maps, source, k)
                if groups is not None:
                    state.null = OtherFilms(source, np.asarray(groups), len(maps), len(RULES), draws, seed)
            with torch.autocast(device.type, enabled=False):
                state.add(maps, index)
    if state is None:
        raise DataError("it holds no images", "parameter batches", "Give at least one batch.")
    return state.result()


def maps_of(model: nn.Module, layer: str, images: Tensor) -> Tensor:
    """What `layer` puts out for images (B, C, H, W), as float32 (units, B, h, w).

    A layer that is called several times counts as at its last call. Raises SettingsError where the output is no maps,
    DataError where it is not finite.
    """
    where, found = f"layer {layer!r}", {}

    def keep(output: Any) -> Any:
        if not isinstance(output, Tensor) or output.ndim != 4:
            shape = f"of shape {tuple(output.shape)}" if isinstance(output, Tensor) else f"a {type(output).__name__}"
            raise SettingsError(f"its output is {shape}, not maps (B, units, h, w)", where,
                                "Choose a convolutional layer.")
        copied = output.detach().transpose(0, 1).clone(memory_format=torch.contiguous_format)   # of what a later ReLU
        found["maps"] = copied.float()                                                          # may overwrite
        return output

    with replaced(model, layer, keep):
        model(images)
    if not found:
        raise SettingsError("the network does not call it", where, "Choose a layer of the forward pass.")
    if not found["maps"].isfinite().all():
        raise DataError("it puts out values that are not finite", where,
                        "Look for NaN in the weights and the images; a network in float16 may need float32.")
    return found["maps"]


class _State:
    """All that is accumulated of a layer, from the first maps on."""

    def __init__(self, layer: str, maps: Tensor, masks: Masks, k: int):
        units, _, *size = maps.shape
        self.layer, self.masks, self.size = layer, masks, size
        self.null: OtherFilms | None = None
        grids = size, masks.grid[0] // size[0], maps.device
        self.histograms = UnitHistograms(units, len(masks.concepts), *grids)
        self.ceiling = ResolutionCeiling(len(masks.concepts), *grids)
        self.top = TopPatchesSoFar(units, k, size, maps.device)

    def add(self, maps: Tensor, index: Tensor) -> None:
        if list(maps.shape[2:]) != self.size:
            raise DataError(f"its maps are {tuple(maps.shape[2:])}, in the first batch they were {tuple(self.size)}",
                            f"layer {self.layer!r}", "Give all images the same size.")
        labels = self.masks(index).to(maps.device).transpose(0, 1)
        present = labels.flatten(2).any(dim=2)                                                           # (C, B)
        drawn = None if self.null is None else self.null.draw(index.numpy())
        for part, values in self.histograms.add(maps, labels, present):
            if self.null is not None:
                scale = {name: of[part] for name, of in self._scale().items()}
                thresholds = rule_thresholds(self.histograms.values[part, 0].cpu().numpy(), **scale)
                self.null.add(part, values, torch.from_numpy(thresholds.T).to(values), drawn)
        self.ceiling.add(labels, present)
        self.top.add(maps, index.to(maps.device))

    def _scale(self) -> dict[str, np.ndarray]:
        return {name: getattr(self.histograms, name).numpy() for name in ("low", "width", "smallest", "largest")}

    def result(self) -> Dissection:
        """Raises SettingsError where there are fewer images than k."""
        scale, of = self._scale(), self.histograms
        images, k = int(of.peaks[0, 0].sum()), self.top.index.shape[1]
        if k > images:
            raise SettingsError(f"{k} top images were asked for, of {images}", "parameter k", f"At most {images}.")
        return Dissection(self.layer, self.masks.concepts, of.values.cpu().numpy(), of.peaks.cpu().numpy(), **scale,
                          ceiling_resolution=self.ceiling.result().numpy(), top=self.top.result(),
                          null_counts=None if self.null is None else self.null.result())
