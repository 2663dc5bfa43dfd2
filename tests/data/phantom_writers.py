"""The writers of phantom collections, one by one: what they are asked for, read by and compared with."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from PIL import Image
from scipy.ndimage import binary_dilation

from mdlib.data.bach import bach
from mdlib.data.chestxray14 import ChestXray14
from mdlib.data.ddsm import ddsm
from mdlib.data.folders import class_folders, crc_msi
from mdlib.data.phantoms import breast, chest, fungi, histology, mammogram, oct, tiles
from mdlib.data.phantoms.fungi_slide import SOFT, Slide
from mdlib.data.phantoms.histology_reports import GRADES
from mdlib.data.phantoms.oct_places import Knobs
from mdlib.data.phantoms.oct_scan import Scan
from mdlib.data.reports import read_collection
from mdlib.data.volumes import oct_volumes


class Twin(NamedTuple):
    """An image or volume, the same drawn again without something, where both may differ, and where they should."""

    original: np.ndarray
    again: np.ndarray
    may: np.ndarray
    should: np.ndarray


@dataclass(frozen=True)
class Writer:
    """A module that draws a collection."""

    module: ModuleType
    small: dict[str, Any]       # arguments of `write`: the collection that most tests look at
    few: dict[str, Any]         # what makes it smaller
    other: dict[str, Any]       # what makes that another collection
    many: dict[str, Any]        # what makes it large enough to be interrupted
    refused: dict[str, Any]     # what cannot be drawn
    why: str
    read: Callable[[Path], Any]                             # the published reader
    rows: Callable[[Any], pd.DataFrame]                     # of what was read: a row per image or volume
    planned: Callable[[Any], list[tuple]]                   # of a case of the plan: its rows
    twins: Callable[[Path], Iterator[Twin]] | None = None
    share: float = 1.0                                      # of the places that should differ, at least this one does

    @property
    def settings(self) -> Any:
        return self.module.Settings(**self.small)

    def write(self, folder: Path, workers: int = 1, **changes: Any) -> Path:
        return self.module.write(folder, **{**self.small, **changes}, workers=workers)


def picture(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def chest_twins(folder: Path) -> Iterator[Twin]:
    truth = chest.Truth(folder)
    for case in chest.plan(truth.settings):
        original = picture(folder / "images" / case.image)
        nowhere = np.zeros(original.shape, bool)
        yield Twin(original, chest.twin(folder, case.image), nowhere, nowhere)
        for finding in case.findings:
            mask = truth.mask(case.image, finding)
            yield Twin(original, chest.twin(folder, case.image, without=finding), mask, mask)


def oct_twins(folder: Path) -> Iterator[Twin]:
    """A cyst swells the retina over it, which goes with the cyst."""
    truth = oct.Truth(folder)
    for case in oct.plan(truth.settings):
        original = np.stack([picture(path) for path in sorted((folder / case.volume).iterdir())])
        nowhere, mask = np.zeros(original.shape, bool), truth.mask(case.volume) > 0
        yield Twin(original, oct.twin(folder, case.volume, without=()), nowhere, nowhere)
        scan = Scan(case, truth.settings.knobs, truth.settings.seed)
        thin = scan._thickness([place for place in scan.places if not place.lesion])
        swollen = np.broadcast_to((scan._thickness(list(scan.places)) > thin)[:, None], mask.shape)
        yield Twin(original, oct.twin(folder, case.volume), mask | swollen, mask)


def histology_twins(folder: Path) -> Iterator[Twin]:
    """Elements at the border that cover no pixel by half have no number."""
    grades = pd.read_csv(folder / "truth" / "grades.csv", keep_default_na=False).set_index("image")
    for element in ("mitosis", "nucleoli"):
        has, none = grades[element].isin(GRADES[element][1:]), grades[element] == GRADES[element][0]
        for name in [*grades.index[has][:10], *grades.index[none][:5]]:
            mask = picture(folder / "truth" / element / name) > 0
            near = binary_dilation(mask, np.ones((3, 3)), iterations=4)
            if has[name]:
                near |= np.pad(np.zeros((90, 90), bool), 3, constant_values=element == "nucleoli")
            original = picture(folder / "images" / name)
            yield Twin(original, histology.twin(folder, name, element), near, mask)


def fungi_twins(folder: Path) -> Iterator[Twin]:
    """JPEG spreads a change over the blocks of 16 pixels that it touches, and its colour a little further."""
    truth = fungi.Truth(folder)
    for case in fungi.plan(truth.settings)[::4]:
        original = picture(folder / case.label / f"{case.image}.jpg")
        nowhere = np.zeros(original.shape[:2], bool)
        yield Twin(original, fungi.twin(folder, case.image), nowhere, nowhere)
        slide, labels = Slide(case, truth.settings.seed), truth.labels(case.image)
        near = binary_dilation(slide.body(1), np.ones((3, 3)), iterations=SOFT + 2)
        blocks = near.reshape(24, 16, 32, 16).any(axis=(1, 3)).repeat(16, axis=0).repeat(16, axis=1)
        may = binary_dilation(blocks, np.ones((3, 3)), iterations=2)
        yield Twin(original, fungi.twin(folder, case.image, without=(1,)), may, labels == 1)
        conidia = (labels == 1) & truth.mask(case.image, "conidia")
        yield Twin(original, fungi.twin(folder, case.image, bare=(1,)), may, conidia)


def breast_twins(folder: Path) -> Iterator[Twin]:
    """What surrounds a nest is a little paler; pictures that are not invasive stay as they are."""
    truth = breast.Truth(folder)
    for case in breast.plan(truth.settings):
        if case.image.endswith("1") or case.label == "Invasive":
            changed = truth.mask(case.image, "gap") | truth.mask(case.image, "nests")
            near = binary_dilation(changed, np.ones((3, 3)), iterations=9)
            original = picture(folder / breast.HOME / "Photos" / case.label / f"{case.image}.tif")
            yield Twin(original, breast.twin(folder, case.image), near, changed)


def mammogram_twins(folder: Path) -> Iterator[Twin]:
    """Findings that are faint in bright tissue, or under a mass, change no pixel here and there."""
    truth, films = mammogram.Truth(folder), ddsm(folder)
    for row, film in enumerate(films.table["film"]):
        should = truth.mask(film, "mass") | truth.mask(film, "spiculation")
        yield Twin(films.read(row), mammogram.twin(folder, film), films.mask(film), should)


WRITERS = {
    "chest": Writer(
        chest, {"patients": 60, "side": 128, "seed": 3}, {"patients": 3}, {"patients": 4}, {},
        {"patients": 0}, "at least 2 patients", ChestXray14,
        lambda collection: collection.table[["image", "labels", "split"]],
        lambda case: [(case.image, "|".join(case.findings) or "No Finding", case.split)], chest_twins),
    "oct": Writer(
        oct, {"patients": 12, "seed": 3}, {"patients": 4}, {"knobs": Knobs(rim=0.1)}, {"patients": 40},
        {"patients": 1}, "at least 4 patients", oct_volumes,
        lambda collection: collection.table[["bag", "patient", "label", "device"]],
        lambda case: [(case.volume, case.patient, case.label, case.device)], oct_twins, 0.85),
    "tiles": Writer(
        tiles, {"train": 60, "test": 100}, {"train": 10, "test": 10}, {"test": 11}, {},
        {"train": 0}, "at least 5 tiles", crc_msi,
        lambda collection: collection.table[["patient", "label", "part"]],
        lambda patient: [(patient.code, patient.label, patient.part)] * patient.tiles),
    "histology": Writer(
        histology, {"patients": 8, "images": 10}, {"patients": 4, "images": 1}, {"images": 2}, {},
        {"patients": 3}, "at least 4 patients", read_collection,
        lambda collection: collection.table[["image", "patient", "conclusion"]],
        lambda case: [(case.image, case.patient, case.reported)], histology_twins, 0.9),
    "fungi": Writer(
        fungi, {"patients": 2, "pictures": 2}, {"patients": 1, "pictures": 1}, {"pictures": 2}, {"patients": 8},
        {"patients": 0}, "at least 1 patient", partial(class_folders, classes=fungi.CLASSES),
        lambda collection: collection.table[["bag", "patient", "label"]],
        lambda case: [(case.image, case.patient, case.label)], fungi_twins, 0.9),
    "breast": Writer(
        breast, {"patients": 3, "pictures": 2, "height": 256, "width": 320}, {"patients": 1, "pictures": 1},
        {"width": 300}, {}, {"height": 200}, "256 pixels", bach,
        lambda collection: collection.table[["bag", "label", "patient"]],
        lambda case: [(case.image, case.label, str(case.patient))], breast_twins, 0.9),
    "mammogram": Writer(
        mammogram, {"patients": 6, "seed": 3}, {"patients": 3}, {"patients": 4}, {"patients": 30},
        {"patients": 2}, "at least 3 patients", ddsm,
        lambda collection: collection.table[["film", "patient", "side", "view", "density"]],
        lambda case: [(case.film, case.patient.exam[:6], case.side.lower(), case.view, case.patient.density)],
        mammogram_twins, 0.9),
}
