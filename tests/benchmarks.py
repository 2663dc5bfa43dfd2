"""Speed as ratios measured in one run, against what a user would otherwise use: `make bench`.

Grad-CAM of all 15 classes against a loop over pytorch-grad-cam, and the decoded-image cache against Pillow. Medians of
several runs; the machine should have nothing else to do.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import nn

from mdlib.data.cache import open_cache
from mdlib.data.images import fit_square, read_grey
from mdlib.data.samples import Samples
from mdlib.explain.gradients import grad_cam
from mdlib.models.attention_densenet import att_a
from mdlib.models.backbones import densenet121


def seconds(compute: Callable, runs: int) -> float:
    """Median wall time, after one run that is not counted."""
    times = []
    for _ in range(runs + 1):
        start = time.perf_counter()
        compute()
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


class Logits(nn.Module):
    """pytorch-grad-cam takes networks that return a tensor."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.model(x)["logits"]


def all_classes_grad_cam() -> None:
    """Batch 8, 15 classes, 224 pixels, norm5."""
    x = torch.rand(8, 3, 224, 224)
    for model in (densenet121().eval(), att_a().eval()):
        with torch.no_grad():
            forward = seconds(lambda model=model: model(x), 5)
        ours = seconds(lambda model=model: grad_cam(model, x, "features.norm5"), 5)
        print(f"{type(model).__name__}: forward {forward:.3f} s, "
              f"Grad-CAM of 15 classes {ours:.3f} s: {ours / forward:.2f} forward passes")
        with GradCAM(Logits(model), [model.features.norm5]) as cam:
            one = seconds(lambda cam=cam: cam(x, [ClassifierOutputTarget(0)] * 8), 2)
        print(f"  pytorch-grad-cam {one:.3f} s a class, {15 * one:.1f} s for 15: {15 * one / ours:.0f} times ours")


def cache_against_pillow() -> None:
    """60 PNGs of 1024 pixels: decoding and resizing again, against reading them from the cache."""
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder, f"{i}.png") for i in range(60)]
        for path in paths:
            coarse = Image.fromarray(rng.integers(0, 256, (64, 64), np.uint8))
            soft = coarse.resize((1024, 1024), Image.Resampling.BICUBIC)
            noisy = np.asarray(soft) + rng.normal(0, 3, (1024, 1024))
            Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(path)
        again = seconds(lambda: [fit_square(read_grey(path), 256) for path in paths], 2)
        start = time.perf_counter()
        pixels = open_cache(paths, 256, Path(folder, "cache"))
        first = time.perf_counter() - start
        samples = Samples(pixels, np.arange(60), np.zeros((60, 15)), np.zeros((60, 3)), 224)
        later = seconds(lambda: [samples.__getitems__(range(i, i + 15)) for i in range(0, 60, 15)], 20)
    print(f"Pillow again {60 / again:.0f} images/s, one core; cache: first epoch {60 / first:.0f} images/s, all cores; "
          f"later {60 / later:.0f} images/s: {again / later:.0f} times Pillow")


if __name__ == "__main__":
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    all_classes_grad_cam()
    cache_against_pillow()
