"""One run of chapter 2: which collections, which bags train, tune and test, and where the run is kept."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mdlib import reproducible, runs
from mdlib.data import folders, splits, volumes
from mdlib.data.bags import Bags, BagSamples
from mdlib.data.phantoms import oct as phantom_oct
from mdlib.data.phantoms import tiles as phantom_tiles
from mdlib.data.phantoms.oct_places import Knobs
from mdlib.errors import DataError, SettingsError
from mdlib.files import fingerprint
from mdlib.recipes.mims.plan import ONE_SIZE, REAL, THREE_D
from mdlib.recipes.mims.settings import KERNELS, Mims, choose, shape_of

run_folder = functools.partial(runs.folder_of, "mims")
ONE_WIDTH = (9.0, 15.0)     # (ours) pixels: of the lesions of `one_size`, and of what looks like them
TESTED = {"cirrus": "cirrus_test", "spectralis": "spectralis_test", "mmd": "mmd_test"}    # the setting of its share


def default_phantoms() -> Path:
    """Where the phantoms of this book are."""
    return runs.home() / "data" / "phantoms" / "mims"


def phantoms(folder: Path | None = None, seed: int = 0, collections: tuple[str, ...] = tuple(KERNELS)) -> Path:
    """The folder of phantom volumes and tiles, those of `collections` drawn now where they are not there yet."""
    folder = folder or default_phantoms()
    if set(THREE_D) & set(collections):
        phantom_oct.write(folder / "oct", seed=seed)
    if "crc_msi" in collections:
        phantom_tiles.write(folder / "crc_msi", seed=seed)
    if ONE_SIZE in collections:
        phantom_oct.write(folder / ONE_SIZE, patients=220, seed=seed + 1, knobs=Knobs(width=ONE_WIDTH))
    return folder


@dataclass(frozen=True)
class Chapter:
    """One run of the chapter: its run folder, settings, device, and the collections by name."""

    run: runs.Run
    settings: Mims
    seed: int
    device: str
    cache_dir: Path
    data_dir: Path
    found: dict[str, Bags]

    @property
    def collections(self) -> tuple[str, ...]:
        """The collections that are there and asked for, in the paper's order; without `one_size`, which only trains."""
        return tuple(name for name in self.found if name != ONE_SIZE)

    @property
    def seeds(self) -> list[int]:
        """The seeds of the trainings of each network."""
        return [self.seed + i for i in range(self.settings.seeds)]

    def bags(self, collection: str) -> Bags:
        """A collection. Raises SettingsError for one that is no part of this run."""
        if collection not in self.found:
            raise SettingsError("it is no part of this run", f"collection {collection!r}",
                                f"There are {', '.join(self.found)}.")
        return self.found[collection]

    def part(self, collection: str, part: str, fold: int = 0) -> np.ndarray:
        """The rows of `train`, `test` or, of the CRC tiles, `tuning`; of real scans, those of one of the folds."""
        parts = self._parts(collection, fold)
        if part not in parts:
            raise SettingsError("no such part", f"part {part!r} of {collection}", f"Known: {', '.join(parts)}.")
        return parts[part]

    @functools.cached_property
    def _kept_parts(self) -> dict[tuple[str, int], dict[str, np.ndarray]]:
        return {}

    def _parts(self, collection: str, fold: int) -> dict[str, np.ndarray]:
        key = (collection, fold)
        if key not in self._kept_parts:
            self._kept_parts[key] = divide(self.bags(collection), collection, self.settings, self.seed, fold)
        return self._kept_parts[key]

    def shape(self, collection: str) -> tuple[int, int]:
        """Height and width of the pictures of a collection as the networks see them."""
        return shape_of(self.settings, collection)

    def pixels(self, collection: str) -> np.ndarray:
        """(slices, H, W) or (slices, H, W, 3) uint8, one row per slice of the collection, memory-mapped."""
        return self.bags(collection).pixels(self.shape(collection), self.cache_dir / collection)

    def samples(self, collection: str, part: str, fold: int = 0, training: bool = False) -> BagSamples:
        """The bags of a part: all central slices; in training, some of them, drawn anew each time."""
        settings = self.settings
        return BagSamples(self.pixels(collection), self.bags(collection), self.part(collection, part, fold),
                          central=settings.central, draw=(settings.fewest, settings.most) if training else None)


def divide(bags: Bags, collection: str, settings: Mims, seed: int, fold: int) -> dict[str, np.ndarray]:
    """The rows of each part of a collection. No patient is in two of them, but in `tuning` and `test` of the tiles."""
    if collection == ONE_SIZE:
        return {"train": np.arange(len(bags.table))}
    if collection in REAL:
        return dict(zip(("train", "test"), splits.folds(bags.table, settings.folds, seed)[fold], strict=True))
    if collection != "crc_msi":
        parts = splits.bag_split(bags.table, getattr(settings, TESTED[collection]), seed)
        return dict(zip(("train", "test"), parts, strict=True))
    train, test = (np.flatnonzero(bags.table["part"] == part) for part in ("train", "test"))
    tuning, rest, _ = splits.tuning(bags.table, test, settings.tuning, seed)
    return {"train": train, "tuning": tuning, "test": rest}


def find(folder: Path, wanted: tuple[str, ...], central: int) -> dict[str, Bags]:
    """The wanted collections of a folder: in subfolders oct, mmd, crc_msi, oct_dme, or the folder is one of them.

    Of volumes the `central` slices are taken. Raises DataError when there is none.
    """
    readers: dict[str, Callable[[Path], dict[str, Bags]]] = {
        "oct": lambda path: _devices(path, central), "mmd": lambda path: {"mmd": folders.class_folders(path)},
        "crc_msi": lambda path: {"crc_msi": folders.crc_msi(path)}, "oct_dme": _eyes,
        ONE_SIZE: lambda path: {ONE_SIZE: _devices(path, central)["cirrus"]}}
    there = {name: folder / name for name in readers
             if (folder / name).is_dir() and (name != ONE_SIZE or name in wanted)} or _itself(folder)
    found = {name: bags for kind, path in there.items() for name, bags in readers[kind](path).items()}
    found = {name: found[name] for name in wanted if name in found}
    if not found:
        raise DataError(f"none of {', '.join(wanted)} is here", str(folder),
                        "It needs a subfolder oct, mmd, crc_msi or oct_dme; data/README.md tells the layouts.")
    if "spectralis" in found and "cirrus" not in found:
        raise DataError("spectralis is fine-tuned from a network of cirrus (appendix A), which is not here",
                        str(folder), "Add volumes of the Cirrus, or leave spectralis out (--set collections=…).")
    return found


def _itself(folder: Path) -> dict[str, Path]:
    """Which collection a folder is."""
    if (folder / "CRC_DX_TRAIN").is_dir():
        return {"crc_msi": folder}
    if (folder / "labels.csv").is_file():
        header = (folder / "labels.csv").read_text(encoding="utf-8-sig").partition("\n")[0].split(",")
        return {"oct_dme" if "DME" in header else "oct": folder}
    return {}


def _devices(folder: Path, central: int) -> dict[str, Bags]:
    bags = volumes.oct_volumes(folder)
    devices = bags.table["device"].str.lower()
    if other := set(devices) - set(THREE_D):
        raise DataError(f"no such device: {', '.join(sorted(other))}", str(folder / "labels.csv"),
                        f"Known: {', '.join(THREE_D)}.")
    refuse_both = bags.table.groupby(devices.to_numpy()).indices    # Spectralis begins with the network of Cirrus
    splits.refuse_shared_patients(bags.table, refuse_both, str(folder / "labels.csv"))
    return {device: bags.only(np.flatnonzero(devices == device)).central(central) for device in devices.unique()}


def _eyes(folder: Path) -> dict[str, Bags]:
    bags = volumes.oct_eyes(folder)
    if "matched_subset" not in bags.table:
        return {"oct_dme": bags}
    return {"oct_dme": bags, "oct_dme_matched": bags.only(np.flatnonzero(bags.table["matched_subset"] == 1))}


def start(profile: str = "embedded", data_dir: str = "", cache_dir: str = "", seed: int = 0, device: str = "auto",
          run_dir: str = "", overrides: dict[str, Any] | None = None) -> Chapter:
    """Open the run these parameters ask for, and the collections it is about (phantoms without `data_dir`).

    Raises SettingsError for a parameter, and DataError for a collection, that cannot be used.
    """
    settings = choose(profile, overrides or {})
    device = reproducible.choose_device(device)
    runs.check_seed(seed)
    folder = runs.absolute(data_dir) if data_dir else phantoms(collections=settings.collections)
    found = find(folder, settings.collections, settings.central)
    data = {name: fingerprint(bags.table.to_csv(index=False)) for name, bags in found.items()}
    run = runs.begin("mims", profile, seed, settings, data, run_folder(profile, data_dir, seed, run_dir, overrides),
                     folder, device, bags={name: len(bags.table) for name, bags in found.items()})
    return Chapter(run, settings, seed, device, runs.absolute(cache_dir) if cache_dir else run.folder / "cache",
                   folder, found)
