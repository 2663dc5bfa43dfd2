"""What a unit's overlap with a concept is worth by chance: the same concept, as it lies in other films (ours)."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mdlib.errors import SettingsError
from mdlib.explain.concept_masks import Masks

POOL = 4096                  # images whose masks are held, spread evenly over the collection


@dataclass(frozen=True, eq=False)
class NullCounts:
    """Cells of the maps, for T thresholds, U units, C concepts and D draws; see `OtherFilms`.

    lit (T, U): above the threshold. hits (T, U, C, D): the part of them that the concept of another film covers.
    labelled (C, D): what it covers in all. cells (): all.
    """

    lit: np.ndarray
    hits: np.ndarray
    labelled: np.ndarray
    cells: np.ndarray


class OtherFilms:
    """The null of an IoU: every image is given the masks of a random image of another group, anew for each draw.

    Held are, for at most POOL images, the share of each cell of the map that a concept covers, float16 (C, h, w). They
    are compared with the units at the resolution of the map: how a mask of another film lies in a cell says nothing.
    Thresholds are those of the histograms so far, so the null of a few batches is that of slightly other thresholds:
    what is taken from it is which share of a unit's cells a concept of other films covers, and the IoU is that of a
    unit that lights its own number of pixels with that share.

    groups: the film or patient of each image, by its index. Raises SettingsError where all are of one group.
    """

    def __init__(self, masks: Masks, groups: np.ndarray, draws: int, factor: int, seed: int):
        rows = np.unique(np.linspace(0, len(groups) - 1, min(len(groups), POOL)).astype(np.int64))
        self.codes = np.unique(groups, return_inverse=True)[1]
        rows = rows[np.argsort(self.codes[rows], kind="stable")]
        self.first, self.stop = (np.searchsorted(self.codes[rows], np.arange(self.codes.max() + 1), side)
                                 for side in ("left", "right"))
        if (self.stop - self.first).max() == len(rows):
            raise SettingsError("all images are of one group", "parameter groups",
                                "Name the film or patient of each image, or leave groups out for no null.")
        parts = [masks(torch.from_numpy(part)) for part in np.array_split(rows, -(-len(rows) // 64))]
        self.pool = torch.cat([F.avg_pool2d(part.float(), factor).half() for part in parts])           # (M, C, h, w)
        self.draws, self.random = draws, np.random.default_rng(seed)
        self.lit = self.hits = None
        self.labelled, self.cells = torch.zeros(self.pool.shape[1], draws, dtype=torch.float64), 0

    def partners(self, index: np.ndarray) -> np.ndarray:
        """For images (B,) places in the pool (B, D), uniform over those of other groups."""
        first, stop = (of[self.codes[index]][:, None] for of in (self.first, self.stop))
        place = self.random.integers(0, len(self.pool) - (stop - first), (len(index), self.draws))
        return np.where(place >= first, place + stop - first, place)

    def add(self, maps: Tensor, index: np.ndarray, thresholds: Tensor) -> None:
        """Compare maps (U, B, h, w) of the images `index` (B,) with masks of others, at the thresholds (T, U)."""
        others = self.pool[torch.from_numpy(self.partners(index))].transpose(1, 2)                # (B, C, D, h, w)
        others = others.float().permute(0, 3, 4, 1, 2).to(maps.device)                            # (B, h, w, C, D)
        if self.hits is None:
            self.lit = torch.zeros_like(thresholds, dtype=torch.float64)
            self.hits = self.lit.new_zeros(*thresholds.shape, *others.shape[3:])
        for rule, threshold in enumerate(thresholds):
            lit = (maps > threshold[:, None, None, None]).float()                                 # (U, B, h, w)
            self.lit[rule] += lit.sum(dim=(1, 2, 3))
            self.hits[rule] += torch.tensordot(lit, others, dims=3)
        self.labelled += others.sum(dim=(0, 1, 2)).cpu()
        self.cells += maps[0].numel()

    def result(self) -> NullCounts:
        return NullCounts(self.lit.cpu().numpy(), self.hits.cpu().numpy(), self.labelled.cpu().numpy(),
                          np.asarray(self.cells))
