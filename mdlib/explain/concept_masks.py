"""Masks of concepts, from an array or a function, on the grid on which units are compared with them."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mdlib.errors import DataError, SettingsError

Source = np.ndarray | Tensor | Callable[[Tensor], np.ndarray | Tensor]


@dataclass(frozen=True, eq=False)
class Masks:
    """Called with indices int64 (B,) on the CPU: masks bool (B, C, H, W) of these images, one for each concept.

    source: an array (N, C, H', W') that the indices point into, or a function of the indices that returns
    (B, C, H', W'). A mask is where it is not 0. Masks finer than the grid are reduced to it by the majority of the
    area of each cell (half is enough). Thin structures vanish that way: reduce them beforehand, by any(), to keep them.

    Raises SettingsError for a wrong shape or masks coarser than the grid, DataError for an index without masks.
    """

    source: Source | None
    concepts: tuple[str, ...]
    grid: tuple[int, int]

    def __post_init__(self):
        if (self.source is None) != (not self.concepts) or len(set(self.concepts)) < len(self.concepts):
            raise SettingsError(f"{list(self.concepts)} name {'no masks' if self.source is None else 'the masks'}",
                                "parameter concepts", "Give each mask a name of its own, or neither masks nor names.")

    def __call__(self, indices: Tensor) -> Tensor:
        if self.source is None:
            return torch.zeros(len(indices), 0, *self.grid, dtype=torch.bool)
        try:
            found = self.source(indices) if callable(self.source) else self.source[indices.numpy()]
        except IndexError as error:
            raise DataError(f"there is no mask for one of the images {indices.tolist()[:5]}... ({error})",
                            "parameter masks", "Give masks for all images, by the index in the batches.") from None
        found = torch.as_tensor(found)
        found = found if found.dtype == torch.bool else found != 0
        if found.ndim != 4 or found.shape[:2] != (len(indices), len(self.concepts)) or any(
                have < want for have, want in zip(found.shape[2:], self.grid, strict=True)):
            raise SettingsError(
                f"masks of shape {tuple(found.shape)} for {len(indices)} images and {len(self.concepts)} concepts, "
                f"on a grid of {self.grid[0]} x {self.grid[1]}", "parameter masks",
                "Give (images, concepts, height, width), at least as fine as the grid, or choose a smaller label_grid.")
        if found.shape[2:] == self.grid:
            return found
        return F.adaptive_avg_pool2d(found.float(), self.grid) >= 0.5
