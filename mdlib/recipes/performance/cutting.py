"""What is timed of the network that cuts instances out of pictures (Fan et al.): crops, and the local branch left out.

Measurements as in `measurements`, on one thread. Of crops, `differences` (the largest) and `mean_differences` are in
grey levels, from the same windows resized in float64, and given for ours too.
"""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchvision.models.resnet import BasicBlock

from mdlib.data.phantoms import fungi
from mdlib.models.crops import crops
from mdlib.models.instance_fusion import instance_fusion
from mdlib.recipes.clock import rounds
from mdlib.recipes.performance import opponents
from mdlib.recipes.performance.chapter import Chapter
from mdlib.recipes.performance.measurements import Measurement, remembered

ROI_ALIGN, GRID_SAMPLE = "torchvision roi_align", "grid_sample"
OTHER_FILTERS = [ROI_ALIGN, GRID_SAMPLE]        # they do not compute what an antialiased resize computes
SMALL = {"layers": (1, 1, 1, 1), "width": 8, "strides": (2, 2, 1, 2, 1, 1), "instance_layers": (1, 1, 1, 1),
         "instance_width": 8, "instance_block": BasicBlock, "instance_strides": (2, 2, 1, 2, 2, 2), "crop": 96,
         "mechanism_options": {"dilations": (1, 2)}}
# size: options of `instance_fusion`, height and width of a thumbnail, and of a picture
SIZES = {"embedded": (SMALL, (84, 112), (384, 512)), "paper": ({}, (224, 224), (1536, 2048))}


def cutting(chapter: Chapter, count: int, height: int, width: int, size: int, turns: int) -> Measurement:
    """Bytes of `count` pictures to crops of `size` pixels, float32 in [0, 1], on the CPU.

    Timed in `turns` rounds for each of the chapter's. The others need the pictures as floats, and making these counts.
    """
    def compute() -> Measurement:
        picture, boxes = pictures(count, height, width, chapter.seed), squares(chapter, count, height, width)
        extent = torch.tensor([[height, width]]).expand(count, 2)
        fractions, made = boxes / extent.repeat(1, 2)[:, None], picture.float().div_(255)
        jobs = {"mdlib": lambda: crops(picture, extent, fractions, size),
                "loop on a float batch": lambda: opponents.loop(opponents.float_batch(picture), boxes, size),
                ROI_ALIGN: lambda: opponents.roi_align(opponents.float_batch(picture), boxes, size),
                GRID_SAMPLE: lambda: opponents.grid_sample(opponents.float_batch(picture), boxes, size),
                "(loop, floats with channels last)": lambda: opponents.loop(picture.float().div_(255), boxes, size),
                "(the same, made before)": lambda: opponents.loop(made, boxes, size)}
        times, answers = rounds(jobs, turns * chapter.settings.runs, "cpu")
        exact = reference(picture, boxes, size)
        far = {name: (255 * answer - exact).abs_() for name, answer in zip(jobs, answers, strict=True)}
        return {"images": count, "times": times,
                "differences": {name: each.max().item() for name, each in far.items()},
                "mean_differences": {name: each.mean().item() for name, each in far.items()}}
    return remembered(chapter, f"cutting_{count}_{height}_{width}_{size}_{turns}", lambda: on_one_thread(compute))


def local_branch(chapter: Chapter, size: str, count: int) -> Measurement:
    """Forward passes in training without and with the local branch, of a network of SIZES and a batch of `count`.

    The differences are those of the global logits.
    """
    def compute() -> Measurement:
        options, thumbnail, (height, width) = SIZES[size]
        torch.manual_seed(chapter.seed)
        model = instance_fusion(**options).to(chapter.device)
        batch = {"image": torch.rand(count, 3, *thumbnail), "picture": pictures(count, height, width, chapter.seed),
                 "extent": torch.tensor([[height, width]]).expand(count, 2)}
        batch = {name: part.to(chapter.device) for name, part in batch.items()}
        jobs = {"mdlib, local branch left out": lambda: model(**batch, local=False)["global_logits"].detach(),
                "(with the local branch)": lambda: model(**batch)["global_logits"].detach()}
        times, (without, whole) = rounds(jobs, chapter.settings.runs, chapter.device)
        return {"images": count, "times": times, "differences": {[*jobs][1]: (whole - without).abs().max().item()}}
    return remembered(chapter, f"local_branch_{size}_{count}", lambda: on_one_thread(compute))


def pictures(count: int, height: int, width: int, seed: int) -> Tensor:
    """Four phantoms of fungi in turn, each repeated beside itself to the size asked: uint8 (count, 3, height, width).

    Their channels lie last in memory, as decoders give them and `data.pictures` keeps them.
    """
    large = [np.tile(each, (-(-height // each.shape[0]), -(-width // each.shape[1]), 1))[:height, :width]
             for each in phantoms(seed)]
    return torch.from_numpy(np.stack([large[i % len(large)] for i in range(count)])).permute(0, 3, 1, 2)


@functools.cache
def phantoms(seed: int) -> list[np.ndarray]:
    """Four pictures, uint8 (384, 512, 3)."""
    return [fungi.Slide(case, seed).draw() for case in fungi.plan(fungi.Settings(seed=seed))[:4]]


def squares(chapter: Chapter, count: int, height: int, width: int) -> Tensor:
    """Boxes (count, n, 4) int64: top, left, bottom, right in pixels of squares, 20 to 50 % of the picture's height."""
    rng = np.random.default_rng(chapter.seed)
    side = rng.integers(height // 5, height // 2, (count, chapter.settings.cut_boxes), endpoint=True)
    top, left = rng.integers(0, height - side, endpoint=True), rng.integers(0, width - side, endpoint=True)
    return torch.from_numpy(np.stack([top, left, top + side, left + side], axis=2))


def reference(picture: Tensor, boxes: Tensor, size: int) -> Tensor:
    """The crops in grey levels, float64 (B, n, C, size, size): antialiased bilinear resizing of each window."""
    return torch.cat([opponents.loop(one[None].double(), of[None], size)
                      for one, of in zip(picture, boxes, strict=True)])


def on_one_thread(compute: Callable[[], Any]) -> Any:
    """compute(), torch having one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return compute()
    finally:
        torch.set_num_threads(threads)
