"""Batches for training and prediction, cut from mapped pixels: no image is ever decoded here."""

import mmap
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.utils.data import Dataset

from mdlib.data.images import centre_crop
from mdlib.errors import DataError

AGE_MEAN, AGE_STD = 46.63, 16.6  # years; section 2.3


def collate(batch: Any) -> Any:
    """What a `Mapped` set gives for a list of indices is a batch already: it passes through."""
    return batch


class Mapped(Dataset):
    """Some rows of a collection whose pixels are mapped from a file: what all sets of samples have in common.

    `rows` says which rows of a table of `count` rows are in the set, in what order. A worker process opens the mapped
    file anew and copies none of it. Raises DataError for a row that the table does not have.
    """

    def __init__(self, pixels: np.ndarray, rows: Sequence[int] | np.ndarray, count: int):
        self.pixels, self.rows = pixels, np.asarray(rows, dtype=np.int64)
        if len(self.rows) and not (self.rows.min() >= 0 and self.rows.max() < count):
            raise DataError(f"rows {self.rows.min()} to {self.rows.max()} of {count}", "parameter rows",
                            "Rows count from 0 in the collection's table.")

    collate = staticmethod(collate)

    def __len__(self) -> int:
        return len(self.rows)

    def batch(self, which: int | Sequence[int]) -> dict[str, Any]:
        """One batch: the first `which` samples, or those at these places."""
        return self.__getitems__(range(min(which, len(self))) if isinstance(which, int) else which)

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        if _is_whole_map(self.pixels):
            state["pixels"] = {"filename": self.pixels.filename, "dtype": self.pixels.dtype, "mode": "r",
                               "offset": self.pixels.offset, "shape": self.pixels.shape}
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if isinstance(self.pixels, dict):
            self.pixels = np.memmap(**self.pixels)


class Samples(Mapped):
    """Some rows of a collection as dicts of tensors (Tan et al., sections 2.3 and 2.4).

    A sample: image float32 (1, crop, crop) in [0, 1], the centre of the resized image; target float32 (K,), 0, 1 or
    NaN where unknown; nonimage float32 (3,); index int64, the row in the collection's table. A batch has the same
    keys with B in front. `pixels` uint8 (N, H, W), usually the map of `open_cache`, `targets` (N, K) and `nonimage`
    (N, 3) all have one row per table row; `rows` says which of them are in the set, in what order.

    Give `collate` to the DataLoader: a batch is cut out in one piece. Only the batch is in memory; a worker process
    opens the mapped file anew and copies none of it. RGB and ImageNet's normalisation are the network's first step.
    Raises DataError when lengths or rows do not fit, SettingsError when the crop does not.
    """

    def __init__(self, pixels: np.ndarray, rows: Sequence[int] | np.ndarray, targets: np.ndarray, nonimage: np.ndarray,
                 crop: int):
        centre_crop(pixels, crop)
        lengths = {"pixels": len(pixels), "targets": len(targets), "nonimage": len(nonimage)}
        if len(set(lengths.values())) > 1:
            raise DataError(f"{lengths} are not of one length", "parameters of Samples", "Give one row per table row.")
        super().__init__(pixels, rows, len(pixels))
        self.crop = crop
        self.targets = np.asarray(targets, dtype=np.float32)
        self.nonimage = np.asarray(nonimage, dtype=np.float32)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {name: value[0] for name, value in self.__getitems__([index]).items()}

    def __getitems__(self, indices: Sequence[int]) -> dict[str, Tensor]:
        rows = self.rows[np.asarray(indices, dtype=np.int64)]
        window = centre_crop(self.pixels, self.crop)
        grey = torch.from_numpy(np.asarray(window[rows]))  # (B, crop, crop): the cut is all that is read and copied
        return {"image": grey.unsqueeze(1).float().div_(255), "target": torch.from_numpy(self.targets[rows]),
                "nonimage": torch.from_numpy(self.nonimage[rows]), "index": torch.from_numpy(rows)}


def nonimage(table: pd.DataFrame) -> np.ndarray:
    """float32 (N, 3): age as (age - 46.63) / 16.6, sex M = 1, view AP = 1, else 0 (section 2.3).

    Which sex and which view is the 1 is ours; so is 0, the mean, for an age that is not known.
    """
    age = ((table["age"] - AGE_MEAN) / AGE_STD).fillna(0.0)
    return np.stack([age, table["sex"] == "M", table["view"] == "AP"], axis=1).astype(np.float32)


def _is_whole_map(pixels: np.ndarray) -> bool:
    """Whether this is a mapped file as it was opened: a view of a map does not know its own offset."""
    return (isinstance(pixels, np.memmap) and isinstance(pixels.base, mmap.mmap) and pixels.filename is not None
            and pixels.flags.c_contiguous)
