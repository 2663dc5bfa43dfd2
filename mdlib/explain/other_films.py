"""What a unit's overlap with a concept is worth by chance: the same concept, as it lies in other films (ours)."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mdlib.errors import SettingsError
from mdlib.explain.concept_masks import Masks

POOL = 4096                  # images whose masks are held, spread evenly over the collection


@dataclass(frozen=True, eq=False)
class NullCounts:
    """Positions of the maps, for U units, T rules, C concepts and D draws; see `OtherFilms`.

    lit (U, T): above the threshold. hits (U, T, C, D): the part of them that the concept of another film covers.
    labelled (C, D): what it covers in all. positions (): all.
    """

    lit: np.ndarray
    hits: np.ndarray
    labelled: np.ndarray
    positions: np.ndarray


class OtherFilms:
    """The null of an IoU: every image is given the masks of a random image of another group, anew for each draw.

    The masks of at most POOL images are held, one bit per position. Thresholds are those of the histograms so far, and
    so are slightly other ones in the first batches: what is taken from the null is which share of a unit's lit
    positions a concept of other films covers, and its IoU is that of a unit which lights its own number of positions.
    Images are drawn independently, although patches of one film resemble one another: the spread of the draws is, if
    anything, too small.

    groups: the film or patient of each image, by its index. Raises SettingsError where all are of one group.
    """

    def __init__(self, masks: Masks, groups: np.ndarray, units: int, rules: int, draws: int, seed: int):
        rows = np.unique(np.linspace(0, len(groups) - 1, min(len(groups), POOL)).astype(np.int64))
        self.codes = np.unique(groups, return_inverse=True)[1]
        rows = rows[np.argsort(self.codes[rows], kind="stable")]
        self.first, self.stop = (np.searchsorted(self.codes[rows], np.arange(self.codes.max() + 1), side)
                                 for side in ("left", "right"))
        if (self.stop - self.first).max() == len(rows):
            raise SettingsError("all images are of one group", "parameter groups",
                                "Name the film or patient of each image, or leave groups out for no null.")
        packed, self.place, held = [], np.full((len(rows), len(masks.concepts)), -1), 0
        for part in np.array_split(np.arange(len(rows)), -(-len(rows) // 64)):
            found = masks(torch.from_numpy(rows[part])).flatten(2).numpy()                      # (n, C, P)
            image, concept = found.any(axis=2).nonzero()                                        # most masks are empty
            self.place[part[image], concept] = held + np.arange(len(image))
            packed.append(np.packbits(found[image, concept], axis=1))
            held += len(image)
        self.packed, self.size = np.concatenate(packed), masks.grid[0] * masks.grid[1]
        self.random, self.draws = np.random.default_rng(seed), draws
        self.lit = torch.zeros(units, rules, dtype=torch.float64)
        self.hits = torch.zeros(units, rules, len(masks.concepts) * draws, dtype=torch.float64)
        self.labelled, self.positions = torch.zeros(len(masks.concepts) * draws, dtype=torch.float64), 0

    def partners(self, index: np.ndarray) -> np.ndarray:
        """For images (B,) places in the pool (B, D), uniform over those of other groups."""
        first, stop = (of[self.codes[index]][:, None] for of in (self.first, self.stop))
        place = self.random.integers(0, len(self.place) - (stop - first), (len(index), self.draws))
        return np.where(place >= first, place + stop - first, place)

    def draw(self, index: np.ndarray) -> list[tuple[Tensor, Tensor]]:
        """For each of the images (B,): masks of others float32 (P, n), without the empty ones, and where in `hits`."""
        places = self.place[self.partners(index)].transpose(0, 2, 1).reshape(len(index), -1)           # (B, C * D)
        image, column = (places >= 0).nonzero()
        masks = torch.from_numpy(np.unpackbits(self.packed[places[image, column]], axis=1, count=self.size)).float()
        column = torch.from_numpy(column)
        self.labelled.index_add_(0, column, masks.sum(dim=1).double())
        self.positions += len(index) * self.size
        counts = np.bincount(image, minlength=len(index)).tolist()
        return [(of.T, where) for of, where in zip(masks.split(counts), column.split(counts), strict=True)]

    def add(self, part: slice, values: Tensor, thresholds: Tensor, drawn: list[tuple[Tensor, Tensor]]) -> None:
        """Compare a part of the units, values (u, B * P) at thresholds (u, T), with the masks drawn for the images."""
        lit = (values[:, None] > thresholds[:, :, None]).float().flatten(0, 1)                        # (u * T, B * P)
        self.lit[part] += lit.sum(dim=1).view_as(thresholds).cpu()
        hits = self.hits[part].flatten(0, 1)
        for image, (masks, column) in zip(lit.split(self.size, dim=1), drawn, strict=True):
            hits.index_add_(1, column, (image @ masks.to(image)).cpu().double())

    def result(self) -> NullCounts:
        shape = -1, self.draws
        return NullCounts(self.lit.numpy(), self.hits.unflatten(2, shape).numpy(),
                          self.labelled.unflatten(0, shape).numpy(), np.asarray(self.positions))
