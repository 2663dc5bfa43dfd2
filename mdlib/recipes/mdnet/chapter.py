"""One run of chapter 5: its images and reports, which train and test, what words there are, and where it is kept."""

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mdlib import reproducible, runs
from mdlib.data import splits
from mdlib.data.phantoms import histology
from mdlib.data.report_samples import ReportSamples, words_of
from mdlib.data.reports import Reports, read_collection, refuse_missing_classes
from mdlib.data.vocabulary import Vocabulary
from mdlib.errors import DataError, SettingsError
from mdlib.files import fingerprint
from mdlib.recipes.mdnet.networks import Colour
from mdlib.recipes.mdnet.settings import Settings, choose

run_folder = functools.partial(runs.folder_of, "mdnet")
CIFAR = ("cifar10", "cifar100")     # subfolders of data_dir


def default_phantoms() -> Path:
    """Where the phantoms of this book are."""
    return runs.home() / "data" / "phantoms" / "mdnet"


def phantoms(folder: Path | None = None, seed: int = 0) -> Path:
    """The folder of phantom images with reports, drawn now where they are not there yet."""
    return histology.write(folder or default_phantoms(), seed=seed)


@dataclass(frozen=True)
class Chapter:
    """One run of the chapter: its run folder, settings, device, and the collection it is about."""

    run: runs.Run
    settings: Settings
    seed: int
    device: str
    cache_dir: Path
    data_dir: Path
    reports: Reports | None      # None: a run of Table 1 alone

    @property
    def seeds(self) -> list[int]:
        """The seeds of the trainings of each row and fold."""
        return [self.seed + i for i in range(self.settings.seeds)]

    @property
    def recognised(self) -> tuple[str, ...]:
        """The collections of section 5.1 that are asked for and there: drawn shapes, and CIFAR in `data_dir`."""
        return tuple(name for name in self.settings.recognition_data
                     if name not in CIFAR or (self.data_dir / name).is_dir())

    def part(self, part: str, fold: int = 0) -> np.ndarray:
        """The rows of `train` or `test` in a fold; a patient is in one of them. Each image is tested in one fold.

        Raises SettingsError for another part or fold, DataError where a conclusion is not in the training part.
        """
        if part not in ("train", "test") or not 0 <= fold < self.settings.folds:
            raise SettingsError("no such part", f"part {part!r} of fold {fold}",
                                f"Known: train and test of folds 0 to {self.settings.folds - 1}.")
        return self._folds[fold][part]

    @functools.cached_property
    def _folds(self) -> list[dict[str, np.ndarray]]:
        table = self.reports.table.assign(label=self.reports.table["conclusion"])
        parts = [dict(zip(("train", "test"), rows, strict=True))
                 for rows in splits.folds(table, self.settings.folds, self.seed)]
        for fold, of in enumerate(parts):
            refuse_missing_classes(self.reports.targets, of["train"], self.reports.classes, f"fold {fold}")
        return parts

    @functools.cached_property
    def pixels(self) -> np.ndarray:
        """(N, side, side, 3) uint8, one row per image, memory-mapped; decoded on first use."""
        return self.reports.pixels((self.settings.side, self.settings.side), self.cache_dir)

    def colour(self, fold: int = 0) -> tuple[Colour, Colour]:
        """Mean and spread of red, green and blue over the training pixels of a fold, [0, 1] (section 5.2: the mean)."""
        rows, total, squares = np.sort(self.part("train", fold)), np.zeros(3), np.zeros(3)
        for start in range(0, len(rows), 256):
            block = self.pixels[rows[start:start + 256]].reshape(-1, 3) / 255
            total += block.sum(axis=0)
            squares += (block**2).sum(axis=0)
        count = len(rows) * self.settings.side**2
        mean = total / count
        return tuple(mean.tolist()), tuple(np.sqrt((squares / count - mean**2).clip(1e-6)).tolist())

    @functools.cached_property
    def _vocabularies(self) -> dict[int, Vocabulary]:
        return {}

    def vocabulary(self, fold: int = 0) -> Vocabulary:
        """The words of the training reports of a fold."""
        if fold not in self._vocabularies:
            texts = [text for row in self.part("train", fold) for text in self.reports.full(row)]
            self._vocabularies[fold] = Vocabulary.of(texts)
        return self._vocabularies[fold]

    def words(self, fold: int = 0, whole: bool = False) -> np.ndarray:
        """int64 (N, R, K, T): every report as word ids of a fold; `whole`: as one sentence, K = 1."""
        longest = self.settings.longest_report if whole else self.settings.longest
        return words_of(self.reports, self.vocabulary(fold), longest, whole)

    def samples(self, part: str, fold: int = 0, training: bool = False, whole: bool = False) -> ReportSamples:
        """The images of a part with their reports; in training moved, mirrored and turned, with one of the reports."""
        return ReportSamples(self.pixels, self.part(part, fold), self.reports.targets, self.words(fold, whole),
                             training, self.settings.clip)


def start(profile: str = "embedded", data_dir: str = "", cache_dir: str = "", seed: int = 0, device: str = "auto",
          run_dir: str = "", overrides: dict[str, Any] | None = None) -> Chapter:
    """Open the run these parameters ask for, and the collection it is about (phantoms without `data_dir`).

    Raises SettingsError for a parameter, and DataError for a collection, that cannot be used.
    """
    settings = choose(profile, overrides or {})
    device = reproducible.choose_device(device)
    runs.check_seed(seed)
    folder = runs.absolute(data_dir) if data_dir else phantoms()
    reports = read_collection(folder)
    if len(reports.texts[0]) < 2:
        raise DataError("one report per image", str(folder / "reports.json"), "Table 2 scores each report against the "
                        "others of its image: give two or more.")
    data = fingerprint(reports.table.to_csv(index=False), reports.texts)
    run = runs.begin("mdnet", profile, seed, settings, data, run_folder(profile, data_dir, seed, run_dir, overrides),
                     folder, device, images=len(reports.table))
    return Chapter(run, settings, seed, device, runs.absolute(cache_dir) if cache_dir else run.folder / "cache", folder,
                   reports)


def start_recognition(profile: str, data_dir: str, seed: int = 0, device: str = "auto", run_dir: str = "",
                      overrides: dict[str, Any] | None = None) -> Chapter:
    """Open a run of Table 1 alone, on the CIFAR in the subfolders cifar10 and cifar100 of `data_dir`; no reports.

    Raises SettingsError for a parameter that cannot be used, DataError where neither subfolder is there.
    """
    folder, device = runs.absolute(data_dir), reproducible.choose_device(device)
    there = [name for name in CIFAR if (folder / name).is_dir()]
    if not there:
        raise DataError("neither cifar10 nor cifar100 is here", str(folder), "data/README.md tells the layouts.")
    settings = choose(profile, {"recognition_data": there, **(overrides or {})})
    runs.check_seed(seed)
    files = {name: sorted(path.name for path in (folder / name).iterdir()) for name in there}
    run = runs.begin("mdnet", profile, seed, settings, files,
                     run_folder(f"{profile}-table1", data_dir, seed, run_dir, overrides), folder, device)
    return Chapter(run, settings, seed, device, run.folder / "cache", folder, None)
