"""The films of a run, the patches that are cut from them, and which train, validate and test."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mdlib import runs
from mdlib.data import cbis, ddsm, film_patches, mias, splits
from mdlib.data.films import Films
from mdlib.data.phantoms import collection as phantom_collection
from mdlib.data.phantoms import mammogram
from mdlib.errors import DataError, SettingsError
from mdlib.files import atomic, fingerprint, lock
from mdlib.papers.mammography import networks
from mdlib.papers.mammography.networks import Run
from mdlib.papers.mammography.settings import Mammography

PARTS = ("train", "val", "test")
CLASSES = ("malignant",)
PATIENTS = 120      # of the phantoms: with 60, small networks know those of the training part by heart
READERS: Mapping[str, tuple[str, Callable[[Path], Films]]] = {      # collection: what its folder holds, reader
    "DDSM": ("cases", ddsm.ddsm), "CBIS-DDSM": ("*_case_description_*.csv", cbis.cbis),
    "mini-MIAS": ("Info.txt", mias.mias)}


def write_phantoms(folder: Path | None = None, seed: int = 0) -> Path:
    """The folder of phantom mammograms, by default that of the book; drawn now where they are not there yet."""
    return mammogram.write(folder or runs.home() / "data" / "phantoms" / "mammography", patients=PATIENTS, seed=seed)


def open_data(settings: Mammography, folder: Path | None, cache_dir: Path, seed: int) -> "MammographyData":
    """Open DDSM, CBIS-DDSM or mini-MIAS in its published layout, or the phantoms. Raises DataError."""
    folder = folder or write_phantoms()
    for _, (holds, read) in READERS.items():
        if next(folder.glob(holds), None):
            return MammographyData(folder, read(folder), settings, seed, cache_dir)
    raise DataError(f"this is none of the known collections ({', '.join(READERS)})", str(folder), "Name a folder that "
                    f"holds {', or '.join(holds for holds, _ in READERS.values())}.")


@dataclass(frozen=True, eq=False)
class MammographyData:
    """Films divided into parts by patient; rows are counted in `patches`."""

    folder: Path
    films: Films
    settings: Mammography
    seed: int
    cache_dir: Path

    def __getstate__(self) -> dict[str, Any]:
        """Without what was computed: a worker maps the pixels itself."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    @property
    def is_phantom(self) -> bool:
        """Whether these are phantoms, whose truth is known."""
        return phantom_collection.is_phantom(self.folder)

    def fingerprint(self) -> str:
        """Changes with any row of the tables of films and findings."""
        return fingerprint(self.films.table.to_csv(index=False), self.films.findings.to_csv(index=False))

    def description(self, run: Run) -> dict[str, Any]:
        """Of the collection: name, whether it is phantoms, and its fingerprint."""
        return {"name": self.folder.name, "phantoms": self.is_phantom, "fingerprint": self.fingerprint()}

    @cached_property
    def patches(self) -> pd.DataFrame:
        """One row per window of the films whose findings all have outlines, as `film_patches.patch_table`.

        `positive` and `kept` follow from the shares in the settings. Read from the cache where it is there: the films
        are read at full resolution for it.
        """
        path, code = self.cache_dir / "patches.parquet", self.fingerprint()
        with lock(path.with_suffix(".lock")):
            table = pd.read_parquet(path) if path.exists() else None
            if table is None or table.attrs.get("films") != code:
                outlined = np.flatnonzero(~self.films.table["film"].isin(self.films.without_outline()))
                table = film_patches.patch_table(self.films.only(outlined), workers=None)
                table.attrs["films"] = code
                with atomic(path) as part:
                    table.to_parquet(part)
        of = self.settings
        positive = (table["lesion_share"] >= of.lesion_share) | (table["covered_share"] >= of.covered_share)
        return table.assign(positive=positive, kept=table["breast_share"] >= of.breast_share)

    def prepare(self, runs: Sequence[Run]) -> None:
        """Decode the films, once for all workers."""
        for size in {networks.size(run, self.settings) for run in runs}:
            self.pixels(size)

    def pixels(self, size: int) -> np.memmap:
        """All films with windows of `size` pixels, uint8 (films, H, W)."""
        return film_patches.film_pixels(self.films, size, self.cache_dir / f"films-{size}")

    def facts(self, run: Run) -> dict[str, Any]:
        """What a network needs to know of the collection to be built: nothing."""
        return {}

    def classes(self, run: Run) -> tuple[str, ...]:
        """The names of the outputs of a network."""
        return CLASSES

    def film_parts(self, fold: int = 0) -> pd.Series:
        """The part of each film, in the films' order: no patient is in two.

        With `n_folds`, `fold` is tested; else, where the collection names a test part, all films of its patients; else
        10 % are drawn. From the rest 10 % are drawn for validation (section 2.1). Patients with a malignant finding are
        alike in all drawn parts.
        """
        table, of = self.films.table, self.settings
        malignant = self.films.findings["film"][self.films.findings["malignant"]]
        table = table.assign(label=np.where(table["film"].isin(malignant), "malignant", "other"))
        if of.n_folds:
            if not 0 <= fold < of.n_folds:
                raise SettingsError(f"there is no fold {fold} of {of.n_folds}", "field fold")
            tested = splits.folds(table, of.n_folds, self.seed)[fold][1]
        elif "part" in table:
            tested = np.flatnonzero(table["patient"].isin(table.loc[table["part"] == "test", "patient"]))
        else:
            tested = splits.bag_split(table, of.test, self.seed)[1]
        rest = np.setdiff1d(np.arange(len(table)), tested)
        share = of.validation * len(table) / len(rest)
        validating = rest[splits.bag_split(table.iloc[rest].reset_index(drop=True), share, self.seed)[1]]
        part = pd.Series("train", table.index)
        part.iloc[tested], part.iloc[validating] = "test", "val"
        return part

    def rows(self, part: str, run: Run) -> np.ndarray:
        """The rows of `patches` that show breast and are in a part. Raises SettingsError for an unknown part."""
        if part not in PARTS:
            raise SettingsError("no such part", f"part {part!r}", f"Known: {', '.join(PARTS)}.")
        films = self.films.table["film"][self.film_parts(run.fold) == part]
        return np.flatnonzero(self.patches["kept"] & self.patches["film"].isin(films))

    def samples(self, part: str, run: Run, augment: bool = False) -> film_patches.FilmPatches:
        """The patches of a part as a network sees them. `augment` does nothing: training reflects whole batches."""
        size = networks.size(run, self.settings)
        return film_patches.FilmPatches(self.pixels(size), self.films, self.patches, self.rows(part, run), size)

    def labels(self, part: str, run: Run) -> pd.DataFrame:
        """One row per patch of a part: index film, y and x; patient; whether it is malignant, 0 or 1."""
        patches = self.patches.iloc[self.rows(part, run)]
        names = patches["film"] + " " + patches["y"].astype(str) + " " + patches["x"].astype(str)
        columns = {"patient": patches["patient"].to_numpy(), "malignant": patches["positive"].to_numpy(np.float64)}
        return pd.DataFrame(columns, index=pd.Index(names, name="patch"))
