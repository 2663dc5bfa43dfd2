"""Bags of images that share one class (multiple-instance learning): volumes of slices, eyes of scans, single images."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from mdlib.data.cache import open_cache
from mdlib.data.images import read_colour, read_grey, resized
from mdlib.data.samples import Mapped
from mdlib.errors import DataError, SettingsError


@dataclass(frozen=True, eq=False)
class Bags:
    """A collection of bags: where it lies, its classes, one row per bag, one row per slice; no pixels.

    `table`: bag (its name), patient, label (a class), first (its first row in `slices`), count (its slices), and what
    else the collection says (device, eye, part, …). `slices`, bag after bag in order: path, relative to `data_dir`,
    and frame, counted from 0 in a file of several frames. `classes`: the class of interest is the last. `truth`: the
    folder `truth/` of a phantom collection, or None. `colour`: whether images are read as red, green and blue.

    Raises DataError for a label that is no class, a name that occurs twice, and a bag without slices.
    """

    data_dir: Path
    classes: tuple[str, ...]
    table: pd.DataFrame
    slices: pd.DataFrame
    truth: Path | None = None
    colour: bool = False

    def __post_init__(self):
        names = self.table["bag"]
        faults = {"has no slices": self.table["count"] < 1, "occurs twice": names.duplicated(),
                  f"has a class that is none of {', '.join(self.classes)}": ~self.table["label"].isin(self.classes)}
        for fault, rows in faults.items():
            if rows.any():
                raise DataError(f"bag {names[rows].iloc[0]!r} {fault}; {rows.sum():,} such bags", str(self.data_dir),
                                "Correct or remove these bags.")

    @property
    def targets(self) -> np.ndarray:
        """int64 (N,): the place of each bag's label in `classes`."""
        return pd.Index(self.classes).get_indexer(self.table["label"]).astype(np.int64)

    def paths(self) -> list[Path]:
        """The file of each row of `slices`."""
        return [Path(self.data_dir, path) for path in self.slices["path"]]

    def read(self, row: int) -> np.ndarray:
        """The image of one row of `slices`, uint8 (H, W), or (H, W, 3) in colour. Raises DataError."""
        path = Path(self.data_dir, self.slices["path"].iat[row])
        return read_colour(path) if self.colour else read_grey(path, int(self.slices["frame"].iat[row]))

    def pixels(self, shape: tuple[int, int], folder: Path | str) -> np.memmap:
        """All slices in `shape` = (height, width) by `resized`, from the cache in `folder`; decoded where needed.

        uint8 (slices, H, W), or (slices, H, W, 3) in colour, one row per row of `slices`. Raises as `open_cache`.
        """
        whole = (*shape, 3) if self.colour else tuple(shape)
        return open_cache(self.paths(), whole, folder, lambda row: resized(self.read(row), shape))

    def central(self, slices: int = 30) -> "Bags":
        """The same bags with their `slices` middle slices only: of 128 slices a cache then holds a quarter."""
        return self._with(self.table, *middle(self.table, slices))

    def only(self, rows: np.ndarray) -> "Bags":
        """The bags in these rows, with their slices."""
        table = self.table.iloc[rows].reset_index(drop=True)
        return self._with(table, table["first"].to_numpy(np.int64), table["count"].to_numpy(np.int64))

    def _with(self, table: pd.DataFrame, first: np.ndarray, count: np.ndarray) -> "Bags":
        """The bags of `table`, of which each has `count` slices from row `first` on."""
        new = np.cumsum(count) - count
        kept = np.arange(count.sum()) + np.repeat(first - new, count)
        return replace(self, table=table.assign(first=new, count=count),
                       slices=self.slices.iloc[kept].reset_index(drop=True))


def middle(table: pd.DataFrame, slices: int) -> tuple[np.ndarray, np.ndarray]:
    """First row and number, int64 (N,) each, of the `slices` middle slices of each bag: all, if it has fewer."""
    if slices < 1:
        raise SettingsError(f"{slices} is no number of slices", "parameter central", "The paper's is 30.")
    whole = table["count"].to_numpy(np.int64)
    count = np.minimum(whole, slices)
    return table["first"].to_numpy(np.int64) + (whole - count) // 2, count


class BagSamples(Mapped):
    """Some bags of a collection, for training or prediction (Li et al., supplementary A).

    A batch of B bags with S slices altogether: bag float32 (S, C, H, W) in [0, 1], slice after slice in order and bag
    after bag, C 1 or 3; sizes int64 (B,), slices of each bag; target int64 (B,); index int64 (B,), the row in the
    collection's table. There is no padding. A single sample is a batch of one bag.

    `pixels` uint8 (slices, H, W[, 3]) has one row per row of `bags.slices`, usually `Bags.pixels`. Of the `central`
    middle slices of a volume, a number from `draw`, both ends included, is drawn anew whenever the bag is asked for,
    every number equally often (ours), all of them where a bag has no more; `draw=None` gives them all, as for testing.
    Draws come from torch's global generator. Only the batch is in memory.
    Raises DataError when pixels or rows do not fit, SettingsError when `central` or `draw` makes no sense.
    """

    def __init__(self, pixels: np.ndarray, bags: Bags, rows: Sequence[int] | np.ndarray, central: int = 30,
                 draw: tuple[int, int] | None = (12, 18)):
        if len(pixels) != len(bags.slices):
            raise DataError(f"{len(pixels):,} rows of pixels for {len(bags.slices):,} slices", "parameter pixels",
                            "Give one row per slice of the collection.")
        if draw is not None and not 1 <= draw[0] <= draw[1]:
            raise SettingsError(f"{draw} is no range of numbers of slices", "parameter draw",
                                "The paper's is (12, 18).")
        super().__init__(pixels, rows, len(bags.table))
        self.first, self.count = middle(bags.table, central)
        self.targets, self.draw = bags.targets, draw

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return self.__getitems__([index])

    def __getitems__(self, indices: Sequence[int]) -> dict[str, Tensor]:
        rows = self.rows[np.asarray(indices, dtype=np.int64)]
        chosen = [self.slices_of(row) for row in rows]
        images = torch.from_numpy(np.asarray(self.pixels[np.concatenate(chosen)]))
        bag = images.unsqueeze(1) if images.ndim == 3 else images.permute(0, 3, 1, 2)
        return {"bag": bag.float().div_(255).contiguous(), "sizes": torch.tensor([len(each) for each in chosen]),
                "target": torch.from_numpy(self.targets[rows]), "index": torch.from_numpy(rows)}

    def slices_of(self, row: int) -> np.ndarray:
        """The rows in `pixels` that stand for a bag this time, ascending."""
        count = int(self.count[row])
        if self.draw is None or count <= self.draw[0]:
            return self.first[row] + np.arange(count)
        number = int(torch.randint(self.draw[0], self.draw[1] + 1, ()))
        return self.first[row] + np.sort(torch.randperm(count)[:number].numpy())
