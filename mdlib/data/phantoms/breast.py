"""Phantom breast histology (haematoxylin and eosin) in the layout of BACH: drawn, not patients.

    write("breast")         # ICIAR2018_BACH_Challenge/Photos/{Normal,Benign,InSitu,Invasive}/*.tif, its csv, truth/
    truth = Truth("breast")
    truth.labels("iv012")                   # uint8 (H, W): 0, or the number of the duct
    truth.mask("iv012", "gap")              # bool (H, W): where the membrane is missing
    truth.boxes("iv012", shows=True)        # the ducts that show the class: Box(kind, number, shows, left, top, …)
    twin("breast", "iv012")                 # uint8 (H, W, 3): the same picture, gaps closed and nests gone

Normal: ducts of two layers of cells round a lumen that is empty or holds a secretion. Benign: more ducts, nearer one
another, their epithelium of several layers of regular nuclei. In situ: ducts filled with tumour cells, the membrane
closed. Invasive: the same ducts and nuclei, each membrane with one gap of 6 to 14 pixels, and nests outside. All but
benign pictures may show normal ducts as well, and pictures of all classes lobules, lymphocytes, vessels and fat. Mean
and spread of red, green and blue do not depend on the class.
"""

import csv
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache, cached_property, partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from mdlib.data.phantoms import breast_cells, breast_layout, breast_stain, breast_stroma, breast_tissue, drawing
from mdlib.data.phantoms.breast_layout import Look
from mdlib.data.phantoms.breast_tissue import PARTS, Section
from mdlib.data.phantoms.collection import complete, description, write_csv
from mdlib.data.phantoms.drawing import Array, stream
from mdlib.errors import DataError, SettingsError
from mdlib.files import fingerprint
from mdlib.parallel import side_by_side

PREFIXES = {"Normal": "n", "Benign": "b", "InSitu": "is", "Invasive": "iv"}
CLASSES = tuple(PREFIXES)
HOME = "ICIAR2018_BACH_Challenge"

NOTICE = """These pictures of breast tissue are drawn by mdlib.data.phantoms.breast. They show no patient.

truth/ducts/*.png holds the number of the duct in each pixel, 0 where there is none; truth/boxes.csv has the box of
each: first column and row in it, first column and row beyond it, in pixels; what fills the duct, and whether it shows
the class of its picture. truth/parts/*.png has a bit for each part: 1 basement membrane, 2 gaps in it, 4 nests of
tumour cells outside the ducts, 8 nuclei of the epithelium.
"""


class Box(NamedTuple):
    """A duct: what fills it, its number in the label map, whether it shows the class of its picture; in pixels."""
    kind: str
    number: int
    shows: bool
    left: int
    top: int
    right: int
    bottom: int


@dataclass(frozen=True)
class Settings:
    """What decides every pixel of a collection: patients of each class, pictures of each patient, size."""
    patients: int = 40
    pictures: int = 5
    height: int = 384
    width: int = 512
    seed: int = 0

    def __post_init__(self):
        if min(self.patients, self.pictures) < 1 or min(self.height, self.width) < 256 or self.seed < 0:
            raise SettingsError(f"{self} cannot be drawn", "parameters patients, pictures, height, width, seed",
                                "Use at least 1 patient, 1 picture, 256 pixels and a seed of 0 or more.")


@dataclass(frozen=True)
class Case:
    """A picture: its name, its class, whose it is."""
    image: str
    label: str
    patient: int

    def look(self, settings: Settings) -> Look:
        """What decides the pixels of this picture."""
        return Look(self.image, str(self.patient), self.label, (settings.height, settings.width), settings.seed)


def plan(settings: Settings) -> tuple[Case, ...]:
    """Every picture of a collection, class by class; a patient has one class."""
    numbers = stream(settings.seed, "patients").permutation(len(CLASSES) * settings.patients) + 1
    return tuple(Case(f"{prefix}{number + 1:03d}", label,
                      int(numbers[rank * settings.patients + number // settings.pictures]))
                 for rank, (label, prefix) in enumerate(PREFIXES.items())
                 for number in range(settings.patients * settings.pictures))


def write(folder: Path | str, patients: int = 40, pictures: int = 5, height: int = 384, width: int = 512,
          seed: int = 0, workers: int | None = None) -> Path:
    """Draw a collection into `folder`, in the layout of BACH with truth/ beside it, and return the folder.

    It appears under its name only when complete; where the same collection already is, nothing is done. `workers`
    processes draw (None: one per core; 1: this process). Raises DataError where `folder` holds anything else.
    """
    settings = Settings(patients, pictures, height, width, seed)
    told = {"what": "drawn by mdlib.data.phantoms.breast; no patients", "settings": asdict(settings), "code": _code()}
    return complete(folder, told, partial(_write_all, settings=settings, workers=workers))


def _write_all(folder: Path, settings: Settings, workers: int | None) -> None:
    (folder / "README.txt").write_text(NOTICE, encoding="utf-8")
    home, cases = folder / HOME, plan(settings)
    for label in CLASSES:
        (home / "Photos" / label).mkdir(parents=True)
    for kind in ("ducts", "parts"):
        (folder / "truth" / kind).mkdir()
    jobs = [(folder, cases[i:i + 10], settings) for i in range(0, len(cases), 10)]
    boxes = [row for found in side_by_side(_write_some, jobs, "drawing breast tissue, 10 pictures at a time", workers)
             for row in found]
    write_csv(folder / "truth" / "boxes.csv", ",".join(("image", *Box._fields)), boxes)
    first, *others = [(f"{case.image}.tif", case.label) for case in cases]
    write_csv(home / "Photos" / "microscopy_ground_truth.csv", ",".join(first), others)         # it has no header
    write_csv(home / "ICIAR2018_BACH_dataset_micro_patient.csv", "Histology,Label,Patient",
              [(f"{case.image}.tif", case.label, case.patient) for case in cases])


def _write_some(folder: Path, cases: Sequence[Case], settings: Settings) -> list[tuple]:
    return [(case.image, *box) for case in cases for box in _write_case(folder, case, settings)]


def _write_case(folder: Path, case: Case, settings: Settings) -> list[tuple]:
    section, name = Section(case.look(settings)), f"{case.image}.png"
    path = folder / HOME / "Photos" / case.label / f"{case.image}.tif"
    Image.fromarray(section.draw()).save(path, compression="tiff_adobe_deflate")
    bits = sum(mask.astype(np.uint8) << bit for bit, mask in enumerate(section.masks().values()))
    Image.fromarray(bits).save(folder / "truth" / "parts" / name)
    Image.fromarray(section.labels).save(folder / "truth" / "ducts" / name)
    return [(duct.filling, number, int(duct.shows), *_box(section.labels == number))
            for number, duct in enumerate(section.layout.ducts, start=1) if (section.labels == number).any()]


def _box(mask: Array) -> tuple[int, int, int, int]:
    y, x = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    return int(x[0]), int(y[0]), int(x[-1]) + 1, int(y[-1]) + 1


@cache
def _code() -> str:
    """Changes when any line that draws changes."""
    modules = (breast_cells, breast_layout, breast_stain, breast_stroma, breast_tissue, drawing)
    return fingerprint(*(Path(path) for path in (__file__, *(module.__file__ for module in modules))))


@cache
def _cases(settings: Settings) -> dict[str, Case]:
    return {case.image: case for case in plan(settings)}


def _case(settings: Settings, image: str) -> Case:
    if image not in _cases(settings):
        raise DataError("no such picture among the phantoms", image, "Choose one of microscopy_ground_truth.csv.")
    return _cases(settings)[image]


class Truth:
    """Reader of what a phantom collection knows: which pixels belong to which duct, and to membranes and nests."""

    def __init__(self, folder: Path | str):
        self.folder, self.settings = Path(folder), Settings(**description(folder, __name__)["settings"])

    def case(self, image: str) -> Case:
        """Whose and of which class a picture is. Raises DataError for one that is not in the collection."""
        return _case(self.settings, image)

    def labels(self, image: str) -> Array:
        """The number of the duct in each pixel, with what pours out of it, uint8 (H, W); 0 where there is none."""
        return self._read("ducts", image)

    def mask(self, image: str, part: str) -> Array:
        """Where one of PARTS is to be seen, bool (H, W)."""
        if part not in PARTS:
            raise SettingsError(f"unknown part {part!r}", "parameter part", f"Known are {', '.join(PARTS)}.")
        return (self._read("parts", image) >> PARTS.index(part) & 1).astype(bool)

    def boxes(self, image: str, shows: bool | None = None) -> list[Box]:
        """The ducts of a picture, as in truth/boxes.csv; with `shows`, only those that (do not) show its class."""
        self.case(image)
        return [box for box in self._boxes.get(image, []) if shows is None or box.shows == shows]

    @cached_property
    def _boxes(self) -> dict[str, list[Box]]:
        found: dict[str, list[Box]] = {}
        with (self.folder / "truth" / "boxes.csv").open(newline="", encoding="utf-8") as file:
            for image, kind, number, shows, *corners in islice(csv.reader(file), 1, None):
                box = Box(kind, int(number), shows == "1", *map(int, corners))
                found.setdefault(image, []).append(box)
        return found

    def _read(self, kind: str, image: str) -> Array:
        self.case(image)
        return np.asarray(Image.open(self.folder / "truth" / kind / f"{image}.png"))


def twin(collection: Path | str | Settings, image: str) -> Array:
    """The picture drawn again as uint8 (H, W, 3), its gaps closed and nests gone: the rest stays as it is.

    So do pictures that are not invasive. `collection` is a folder that was written, or its settings. Raises DataError
    for a picture that is not in it.
    """
    settings = collection if isinstance(collection, Settings) else Truth(collection).settings
    return Section(_case(settings, image).look(settings)).draw(invasion=False)
