"""One run of the measurements: settings, device, and the files that are read."""

import dataclasses
import functools
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from mdlib import reproducible, runs
from mdlib.data import chestxray14, samples
from mdlib.errors import SettingsError
from mdlib.models.attention_densenet import AttentionDenseNet, att_a, att_b
from mdlib.models.backbones import Backbone, densenet121
from mdlib.progress import track
from mdlib.recipes.performance.settings import Performance, choose

run_folder = functools.partial(runs.folder_of, "performance")
NETWORKS = {"densenet121": densenet121, "att_a": att_a, "att_b": att_b}


@dataclass(frozen=True)
class Chapter:
    """One run of the measurements: its run folder, settings, seed, device, and where its files lie."""

    run: runs.Run
    settings: Performance
    seed: int
    device: str
    cache_dir: str
    data_dir: str

    @functools.cached_property
    def _temporary(self) -> tempfile.TemporaryDirectory:
        return tempfile.TemporaryDirectory(dir=self.cache_dir or None, prefix="mdlib-performance-")

    @property
    def folder(self) -> Path:
        """A folder for the files that are timed; gone with this object."""
        return Path(self._temporary.name)

    @functools.cached_property
    def files(self) -> list[Path]:
        """The image files: the first of the collection, or drawn ones."""
        if self.data_dir:
            xrays = chestxray14.ChestXray14(runs.absolute(self.data_dir), lists=False, missing="skip")
            names = xrays.table["image"].iloc[:self.settings.images]
            if len(names) < self.settings.images:
                raise SettingsError(f"{self.settings.images} images are asked for, {len(names)} are there",
                                    "setting images", f"Use --set images={len(names)}.")
            return xrays.paths(names)
        paths = [self.folder / f"{i:04}.png" for i in range(self.settings.images)]
        for i, path in enumerate(track(paths, "drawing images")):
            Image.fromarray(drawn(self.settings.pixels, self.seed, i)).save(path)
        return paths

    @functools.cached_property
    def targets(self) -> np.ndarray:
        """(images, classes) float32, 0 or 1 by chance: speed does not depend on what is learned."""
        shape = self.settings.images, self.settings.classes
        return (np.random.default_rng(self.seed).random(shape) < 0.1).astype(np.float32)

    def samples(self, pixels: np.ndarray) -> samples.Samples:
        """mdlib's samples of decoded pixels (images, resize, resize)."""
        count = len(pixels)
        return samples.Samples(pixels, np.arange(count), self.targets, np.zeros((count, 3)), self.settings.crop)

    def model(self, name: str = "densenet121") -> Backbone | AttentionDenseNet:
        """One of NETWORKS with the random weights of the seed, on the CPU."""
        torch.manual_seed(self.seed)
        s = self.settings
        return NETWORKS[name](s.classes, growth=s.growth, blocks=s.blocks, stem=s.stem)


def drawn(side: int, seed: int, number: int) -> np.ndarray:
    """Soft blobs and film grain, uint8 (side, side); at 1024 pixels a PNG about as large as NIH's, some 400 KB."""
    rng = np.random.default_rng([seed, number])
    coarse = Image.fromarray(rng.integers(0, 256, (8, 8), np.uint8))
    soft = np.asarray(coarse.resize((side, side), Image.Resampling.BICUBIC))
    return np.rint(soft + rng.normal(0, 1, (side, side))).clip(0, 255).astype(np.uint8)


def start(profile: str = "embedded", data_dir: str = "", cache_dir: str = "", seed: int = 0, device: str = "auto",
          run_dir: str = "", overrides: dict[str, Any] | None = None) -> Chapter:
    """Open the run these parameters ask for. Raises SettingsError for a parameter that makes no sense.

    `data_dir` is a collection in NIH's layout whose first images are read; drawn images without it. `cache_dir` is on
    the disk that is to be timed; default: the system's folder for temporary files.
    """
    settings, device = choose(profile, overrides or {}), reproducible.choose_device(device)
    source = runs.absolute(data_dir).name if data_dir else "drawn"
    run = runs.Run.open(run_folder(profile, data_dir, seed, run_dir, overrides),
                        {"chapter": "performance", "profile": profile, "seed": seed, "data": source,
                         "settings": dataclasses.asdict(settings)})
    run.note("start", data_dir=source, **reproducible.hardware(device))
    return Chapter(run, settings, seed, device, cache_dir, data_dir)
