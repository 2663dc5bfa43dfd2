"""The collection of a run, and which of its images train, validate and test."""

import functools
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mdlib import runs
from mdlib.data import cache, chestxray14, images, samples, splits
from mdlib.data.phantoms import chest as phantom_chest
from mdlib.errors import DataError, SettingsError
from mdlib.files import fingerprint
from mdlib.papers.chest.networks import Run
from mdlib.papers.chest.settings import Chest

CLASSES = chestxray14.CLASSES       # the 15 classes in the authors' order, No Finding first


def write_phantoms(folder: Path | None = None, seed: int = 0) -> Path:
    """The folder of phantom X-rays, by default that of the book; drawn now where they are not there yet."""
    folder = folder or runs.home() / "data" / "phantoms" / "chest"
    phantom_chest.write(folder, seed=seed)
    return folder


def open_data(settings: Chest, folder: Path | None, cache_dir: Path, seed: int) -> "ChestData":
    """Open a collection in NIH's layout, or the phantoms. Raises DataError for one that cannot be used."""
    lists = settings.split == "official" or settings.subset
    xrays = chestxray14.ChestXray14(folder or write_phantoms(), missing=settings.missing, lists=lists,
                                    invalid_ages=settings.invalid_ages)
    return ChestData(xrays, settings, seed, cache_dir)


@dataclass(frozen=True)
class ChestData:
    """A collection divided into parts; rows are counted in `table`, the rows that take part."""

    xrays: chestxray14.ChestXray14
    settings: Chest
    seed: int
    cache_dir: Path

    def __getstate__(self) -> dict[str, Any]:
        """Without what was computed: a worker maps the pixels itself."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @property
    def folder(self) -> Path:
        return self.xrays.data_dir

    @property
    def is_phantom(self) -> bool:
        """Whether these are phantoms, whose truth is known."""
        return phantom_chest.is_phantom(self.folder)

    def fingerprint(self) -> str:
        """Changes with any row of the label table."""
        return fingerprint(self.xrays.table.drop(columns=["follow_up"], errors="ignore").to_csv(index=False))

    def description(self, run: Run) -> dict[str, Any]:
        """Of the collection: name, whether it is phantoms, and its fingerprint."""
        return {"name": self.folder.name, "phantoms": self.is_phantom, "fingerprint": self.fingerprint()}

    def prepare(self, runs: Sequence[Run]) -> None:
        """Decode the images, once for all workers."""
        _ = self.pixels

    def facts(self, run: Run) -> dict[str, Any]:
        """What a network needs to know of the collection to be built: nothing."""
        return {}

    def classes(self, run: Run) -> tuple[str, ...]:
        """The names of the outputs of a network."""
        return CLASSES[-run.n_classes:]

    @functools.cached_property
    def _parts(self) -> tuple[pd.DataFrame, list[dict[str, np.ndarray]]]:
        """The rows of the collection that take part, and for each split which of them are in which part."""
        named = _splits(self.xrays.table, self.settings, self.seed)
        for part, names in named[0].items():
            if not names:
                raise DataError(f"no image is left for {part}", str(self.folder),
                                "Look at the two lists and at which images are there, or use --set split=patient.")
        everything = [*itertools.chain(*named[0].values())]
        table = self.xrays.table.iloc[np.unique(splits.rows(self.xrays.table, everything))].reset_index(drop=True)
        return table, [{part: splits.rows(table, names) for part, names in parts.items()} for parts in named]

    @property
    def table(self) -> pd.DataFrame:
        """The rows of the collection that take part, in its order."""
        return self._parts[0]

    @property
    def parts(self) -> dict[str, np.ndarray]:
        """The rows of `train`, `val` and `test` in the first split."""
        return self._parts[1][0]

    def rows(self, part: str, fold: int = 0) -> np.ndarray:
        """The rows of train, val, test, train_val, or a part of `splits.leak_experiment`, in one of the splits."""
        parts = self._parts[1][fold]
        if part in parts:
            return parts[part]
        train_val = np.sort(np.concatenate([parts["train"], parts["val"]]))
        if part == "train_val":
            return train_val
        if part not in ("leaky", "grouped", "held_out"):
            raise SettingsError("no such part", f"part {part!r}",
                                f"Known: {', '.join(parts)}, train_val, leaky, grouped, held_out.")
        return splits.leak_experiment(self.table, train_val, self.settings.held_out, self.seed + fold)[part]

    @functools.cached_property
    def targets(self) -> np.ndarray:
        """(N, 15) float32, one row per image of `table`."""
        return chestxray14.targets(self.table, CLASSES)

    @functools.cached_property
    def pixels(self) -> np.ndarray:
        """(N, resize, resize) uint8, one image per row of `table`, memory-mapped; decoded on first use."""
        paths, side = self.xrays.paths(self.table["image"]), self.settings.resize
        return cache.open_cache(paths, (side, side), self.cache_dir, lambda row: images.read_square(paths[row], side))

    @functools.cached_property
    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of each image as the networks see it, (N,) each, [0, 1]."""
        pairs = [(crop.mean() / 255, crop.std() / 255) for crop in images.centre_crop(self.pixels, self.settings.crop)]
        return tuple(np.array(pairs).T)

    def samples(self, part: str, run: Run, augment: bool = False) -> samples.Samples:
        """The samples of a part; with 14 classes, without No Finding. The paper augments nothing."""
        return samples.Samples(self.pixels, self.rows(part, run.fold), self.targets[:, -run.n_classes:],
                               samples.nonimage(self.table), self.settings.crop)

    def labels(self, part: str, run: Run) -> pd.DataFrame:
        """One row per image of a part: index its name, its patient, and 0 or 1 for each class."""
        rows = self.rows(part, run.fold)
        table = pd.DataFrame(self.targets[rows], columns=list(CLASSES)).set_index(
            pd.Index(self.table["image"].iloc[rows].to_numpy(), name="image"))
        table.insert(0, "patient", self.table["patient"].iloc[rows].to_numpy())
        return table


def _splits(table: pd.DataFrame, settings: Chest, seed: int) -> list[dict[str, list[str]]]:
    """For each split, image names for train, val and test: the paper's selection and splits, or by patient (ours)."""
    train_val, test = (table["image"][table["split"] == part].tolist() for part in ("train_val", "test"))
    if settings.subset:
        by_image = settings.split == "official"     # the paper's: patients are in both train and val
        chosen = splits.paper_subset(table, train_val, test, n_splits=settings.n_splits if by_image else 0,
                                     val_fraction=settings.validation)
        train_val, test = chosen.train_val, chosen.test
        if by_image:
            return [{"train": train, "val": val, "test": test} for train, val in chosen.splits]
    elif settings.split == "patient":
        train_val, test = splits.patient_split(table, settings.test, seed)
    rest = table.iloc[splits.rows(table, train_val)]
    pairs = [splits.patient_split(rest, settings.validation, seed + split) for split in range(settings.n_splits)]
    return [{"train": train, "val": val, "test": test} for train, val in pairs]
