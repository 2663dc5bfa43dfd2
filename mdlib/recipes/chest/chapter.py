"""One run of chapter 1: which collection, which images train, validate and test, and where the run is kept."""

import functools
import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mdlib import reproducible, runs
from mdlib.data import cache, chestxray14, images, samples, splits
from mdlib.data.phantoms import chest as phantom_chest
from mdlib.errors import DataError, SettingsError
from mdlib.files import fingerprint
from mdlib.recipes.chest.settings import Chest, choose

run_folder = functools.partial(runs.folder_of, "chest")


def default_phantoms() -> Path:
    """Where the phantoms of this book are."""
    return runs.home() / "data" / "phantoms" / "chest"


def phantoms(folder: Path | None = None, seed: int = 0) -> Path:
    """The folder of phantom X-rays, drawn now where they are not there yet."""
    folder = folder or default_phantoms()
    phantom_chest.write(folder, seed=seed)
    return folder


@dataclass(frozen=True)
class Chapter:
    """One run of the chapter: its run folder, settings, device, and the collection."""

    run: runs.Run
    settings: Chest
    seed: int
    device: str
    cache_dir: Path
    xrays: chestxray14.ChestXray14

    @property
    def classes(self) -> tuple[str, ...]:
        """The 15 classes in the authors' order, No Finding first."""
        return chestxray14.CLASSES

    @property
    def seeds(self) -> list[int]:
        """The seeds of the trainings of each network."""
        return [self.seed + i for i in range(self.settings.seeds)]

    @functools.cached_property
    def _parts(self) -> tuple[pd.DataFrame, list[dict[str, np.ndarray]]]:
        """The rows of the collection that take part, and for each split which of them are in which part."""
        named = _splits(self.xrays.table, self.settings, self.seed)
        for part, names in named[0].items():
            if not names:
                raise DataError(f"no image is left for {part}", str(self.xrays.data_dir),
                                "Look at the two lists and at which images are there, or use --set split=patient.")
        everything = [*itertools.chain(*named[0].values())]
        table = self.xrays.table.iloc[np.unique(splits.rows(self.xrays.table, everything))].reset_index(drop=True)
        return table, [{part: splits.rows(table, names) for part, names in parts.items()} for parts in named]

    @property
    def table(self) -> pd.DataFrame:
        """The rows of the collection that take part, in its order; all rows below are counted in it."""
        return self._parts[0]

    @property
    def rows(self) -> dict[str, np.ndarray]:
        """The rows of `train`, `val` and `test` in the first split."""
        return self._parts[1][0]

    def part(self, name: str, split: int = 0) -> np.ndarray:
        """The rows of a part of `plan.PREDICTS` in one of the splits."""
        parts = self._parts[1][split]
        if name in parts:
            return parts[name]
        train_val = np.sort(np.concatenate([parts["train"], parts["val"]]))
        if name == "train_val":
            return train_val
        if name not in ("leaky", "grouped", "held_out"):
            raise SettingsError("no such part", f"part {name!r}",
                                f"Known: {', '.join(parts)}, train_val, leaky, grouped, held_out.")
        return splits.leak_experiment(self.table, train_val, self.settings.held_out, self.seed + split)[name]

    @functools.cached_property
    def targets(self) -> np.ndarray:
        """(N, classes) float32, a row an image of `table`."""
        return chestxray14.targets(self.table, self.classes)

    @functools.cached_property
    def pixels(self) -> np.ndarray:
        """(N, resize, resize) uint8, a row an image of `table`, memory-mapped; decoded on first use."""
        paths, side = self.xrays.paths(self.table["image"]), self.settings.resize
        return cache.open_cache(paths, (side, side), self.cache_dir, lambda row: images.read_square(paths[row], side))

    @functools.cached_property
    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of each picture as the networks see it, (N,) each, [0, 1]."""
        pairs = [(crop.mean() / 255, crop.std() / 255) for crop in images.centre_crop(self.pixels, self.settings.crop)]
        return tuple(np.array(pairs).T)

    def samples(self, part: str, split: int = 0, classes: int = 15) -> samples.Samples:
        """The samples of a part; with 14 classes, without No Finding."""
        return samples.Samples(self.pixels, self.part(part, split), self.targets[:, -classes:],
                               samples.nonimage(self.table), self.settings.crop)


def start(profile: str = "embedded", data_dir: str = "", cache_dir: str = "", seed: int = 0, device: str = "auto",
          run_dir: str = "", overrides: dict[str, Any] | None = None) -> Chapter:
    """Open the run these parameters ask for, and the collection it is about (phantoms without `data_dir`).

    Raises SettingsError for a parameter, and DataError for a collection, that cannot be used.
    """
    settings = choose(profile, overrides or {})
    device = reproducible.choose_device(device)
    runs.check_seed(seed)
    folder = runs.absolute(data_dir) if data_dir else phantoms()
    lists = settings.split == "official" or settings.subset
    xrays = chestxray14.ChestXray14(folder, missing=settings.missing, lists=lists,
                                     invalid_ages=settings.absurd_ages)
    table = fingerprint(xrays.table.drop(columns=["follow_up"], errors="ignore").to_csv(index=False))
    run = runs.begin("chest", profile, seed, settings, table, run_folder(profile, data_dir, seed, run_dir, overrides),
                     folder, device, images=len(xrays.table))
    return Chapter(run, settings, seed, device, runs.absolute(cache_dir) if cache_dir else run.folder / "cache", xrays)


def _by_image(settings: Chest) -> bool:
    """Whether train and val are the paper's: drawn by image, so that patients are in both."""
    return settings.subset and settings.split == "official"


def _splits(table: pd.DataFrame, settings: Chest, seed: int) -> list[dict[str, list[str]]]:
    """For each split, image names for train, val and test: the paper's selection and splits, or by patient (ours)."""
    train_val, test = (table["image"][table["split"] == part].tolist() for part in ("train_val", "test"))
    if settings.subset:
        chosen = splits.paper_subset(table, train_val, test, n_splits=settings.splits if _by_image(settings) else 0,
                                     val_fraction=settings.validation)
        train_val, test = chosen.train_val, chosen.test
        if _by_image(settings):
            return [{"train": train, "val": val, "test": test} for train, val in chosen.splits]
    elif settings.split == "patient":
        train_val, test = splits.patient_split(table, settings.test, seed)
    rest = table.iloc[splits.rows(table, train_val)]
    pairs = [splits.patient_split(rest, settings.validation, seed + split) for split in range(settings.splits)]
    return [{"train": train, "val": val, "test": test} for train, val in pairs]
