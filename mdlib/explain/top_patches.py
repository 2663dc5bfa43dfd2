"""The images that excite each unit of a layer most, with the unit's maps of them, from one pass (Wu et al., 2.3)."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class TopPatches:
    """The k images with the largest maximum of each unit's map, the largest first; ties in the order of the images.

    index int64 (U, k), what the batches call `index`; score float32 (U, k), the maximum of the unit's map; scale
    float32 (U, k), the largest absolute value of the map; maps float16 (U, k, h, w), divided by that scale, so that
    neither large nor small activations leave the range of float16.
    """

    index: np.ndarray
    score: np.ndarray
    scale: np.ndarray
    maps: np.ndarray

    def map_of(self, unit: int, rank: int = 0) -> np.ndarray:
        """The map float32 (h, w) of a unit for its image of this rank, in the layer's own values."""
        return self.maps[unit, rank].astype(np.float32) * self.scale[unit, rank]


class TopPatchesSoFar:
    """What `TopPatches` holds, of the images seen so far; index is -1 and score -inf where there are fewer than k."""

    def __init__(self, units: int, k: int, size: tuple[int, int], device: torch.device):
        self.index = torch.full((units, k), -1, device=device)
        self.score = torch.full((units, k), -torch.inf, device=device)
        self.scale = torch.zeros(units, k, device=device)
        self.maps = torch.zeros(units, k, *size, dtype=torch.float16, device=device)

    def add(self, maps: Tensor, index: Tensor) -> None:
        """Take account of maps float32 (U, B, h, w) of the images `index` (B,)."""
        scores, k = maps.amax(dim=(2, 3)), self.score.shape[1]
        better = (scores > self.score[:, -1:]).any(dim=1).nonzero()[:, 0]      # a tie leaves the earlier image in place
        for rows in better.split(64):                                          # bounds the memory of the copies
            order = torch.cat([self.score[rows], scores[rows]], 1).sort(dim=1, descending=True, stable=True)[1][:, :k]
            of = maps[rows]
            scale = of.abs().amax(dim=(2, 3))
            new = {"score": scores[rows], "scale": scale, "index": index.expand(len(rows), -1),
                   "maps": (of / scale.clamp(min=torch.finfo(scale.dtype).tiny)[..., None, None]).half()}
            unit = torch.arange(len(rows), device=order.device)[:, None]
            for name, values in new.items():
                held = getattr(self, name)
                held[rows] = torch.cat([held[rows], values], 1)[unit, order]

    def result(self) -> TopPatches:
        return TopPatches(**{name: getattr(self, name).cpu().numpy() for name in ("index", "score", "scale", "maps")})
