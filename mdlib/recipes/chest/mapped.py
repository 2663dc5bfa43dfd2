"""The maps that are measured: all methods of all DenseNets of a run, for many pairs of image and finding at once."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
import torch

from mdlib.explain import gradients
from mdlib.explain.targets import ClassPerImage
from mdlib.progress import track
from mdlib.recipes.chest.chapter import Chapter
from mdlib.recipes.chest.viewing import inputs_of, trained

NETWORKS = ("densenet121", "att_a", "att_b")
LAYERS = ("norm5", "relu5", "transition3", "transition2", "transition1")    # norm5: the paper's text; relu5: its code
BATCH = 64          # pairs at once


def names(chapter: Chapter) -> list[str]:
    """Which networks of this run are measured: its DenseNets."""
    return [name for name in NETWORKS if name in chapter.settings.networks]


def network_of(chapter: Chapter, name: str) -> ClassPerImage:
    """A network of this run, trained, on the chapter's device."""
    return ClassPerImage(trained(chapter, name).to(chapter.device))


def networks(chapter: Chapter) -> Iterator[tuple[str, ClassPerImage]]:
    """All that are measured, one after the other."""
    for name in track(names(chapter), "networks"):
        yield name, network_of(chapter, name)


def batches(chapter: Chapter, name: str, table: pd.DataFrame) -> Iterator[tuple[pd.DataFrame, dict[str, torch.Tensor]]]:
    """The pairs, BATCH at a time, and the inputs of a `ClassPerImage` network for them, on the chapter's device."""
    for begin in range(0, len(table), BATCH):
        of = table.iloc[begin:begin + BATCH]
        inputs = inputs_of(chapter, name, of["row"]) | {"class_index": torch.tensor(of["k"].to_numpy())}
        yield of, {key: value.to(chapter.device) for key, value in inputs.items()}


def own_maps(model: ClassPerImage, batch: dict[str, torch.Tensor]) -> dict[str, np.ndarray]:
    """Raw maps (B, h, w) by method: Grad-CAM at each layer, of each image's own class; attention. 0 without signal."""
    found = {}
    for layer in LAYERS:
        maps = gradients.grad_cam_maps(model, batch, f"model.features.{layer}")
        found[f"Grad-CAM {layer}"] = (maps.values * maps.signal[..., None, None])[:, 0].cpu().numpy()
    with torch.inference_mode():
        attention = model(**batch).get("attention", ())
    return found | {f"attention {stage}": weights[:, 0].cpu().numpy() for stage, weights in enumerate(attention, 1)}


def signal(raw: np.ndarray) -> np.ndarray:
    """Which maps of `own_maps` have signal, bool (B,)."""
    return (raw != 0).any(axis=(1, 2))
