"""Phantom microscopy of five species of Aspergillus, a folder for each: drawn, not patients, every head known.

    write("fungi")                                      # fumigatus/P012_03.jpg ..., truth/
    truth = Truth("fungi")
    truth.labels("P012_03")                             # uint8 (H, W): 0, or the number of the conidial head
    truth.mask("P012_03", "phialides")                  # bool (H, W)
    twin("fungi", "P012_03", without=(2,))              # uint8 (H, W, 3): the same picture without its second head

The species follows from the conidial heads alone: how much of the vesicle bears phialides, in one row or two, and which
way the chains of conidia run. Bare vesicles, hyphae, spores, bubbles, stain and light are drawn for all alike.
`mdlib.data.folders.class_folders(folder, CLASSES)` reads a collection.
"""

import csv
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cache, cached_property, partial
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from scipy.ndimage import find_objects

from mdlib.data.phantoms import drawing, fungi_heads, fungi_ink, fungi_slide
from mdlib.data.phantoms.collection import complete, description, write_csv
from mdlib.data.phantoms.drawing import Array, stream
from mdlib.data.phantoms.fungi_heads import PARTS, SPECIES
from mdlib.data.phantoms.fungi_slide import Case, Slide
from mdlib.errors import DataError, SettingsError
from mdlib.files import fingerprint
from mdlib.parallel import side_by_side

CLASSES = tuple(SPECIES)
HEADS, BARE = (2, 3, 4, 5), (1, 2, 3)       # in a picture: heads, and vesicles that bear nothing
QUALITY = 92

NOTICE = """These pictures of Aspergillus are drawn by mdlib.data.phantoms.fungi. They show no patient.

A folder is a species; P012_03.jpg is the third picture of patient P012, who has one species. truth/heads/*.png holds
the number of the conidial head in each pixel, 0 where there is none; truth/parts/*.png its parts, a bit for each: 1
vesicle, 2 metulae, 4 phialides, 8 conidia, 16 what lies below it (Huelle cells in nidulans, else clumps of conidia),
32 stipe. truth/boxes.csv has the box of each head, without its stipe, and of each bare vesicle: first column and row in
it, first column and row beyond it, in pixels.
"""


class Box(NamedTuple):
    """A conidial head (kind "head", numbered as in the label map) or a bare vesicle (kind "bare"), in pixels."""
    kind: str
    number: int
    left: int
    top: int
    right: int
    bottom: int


@dataclass(frozen=True)
class Settings:
    """What decides every pixel of a collection: patients of each species, pictures of each patient."""
    patients: int = 30
    pictures: int = 5
    seed: int = 0

    def __post_init__(self):
        if self.patients < 1 or self.pictures < 1 or self.seed < 0:
            raise SettingsError(f"{self} cannot be drawn", "parameters patients, pictures, seed",
                                "Use at least 1 patient of each species, 1 picture and a seed of 0 or more.")


def plan(settings: Settings) -> tuple[Case, ...]:
    """Every picture of a collection, patient by patient; each species has as many of each number of heads."""
    rng, count = stream(settings.seed, "plan"), settings.patients * settings.pictures
    labels = rng.permutation(np.repeat(CLASSES, settings.patients))
    heads, bare = ({label: iter(rng.permutation(np.resize(numbers, count)).tolist()) for label in CLASSES}
                   for numbers in (HEADS, BARE))
    return tuple(Case(f"P{patient:03d}_{picture:02d}", f"P{patient:03d}", label, next(heads[label]), next(bare[label]))
                 for patient, label in enumerate(labels.tolist(), 1) for picture in range(1, settings.pictures + 1))


def write(folder: Path | str, patients: int = 30, pictures: int = 5, seed: int = 0,
          workers: int | None = None) -> Path:
    """Draw a collection into `folder`: SPECIES/P012_03.jpg and truth/; returns the folder.

    It appears under its name only when complete; where the same collection already is, nothing is done. `workers`
    processes draw (None: one a core; 1: this process). Raises DataError where `folder` holds anything else.
    """
    settings = Settings(patients, pictures, seed)
    told = {"what": "drawn by mdlib.data.phantoms.fungi; no patients", "settings": asdict(settings), "code": _code()}
    return complete(folder, told, partial(_write_all, settings=settings, workers=workers))


def _write_all(folder: Path, settings: Settings, workers: int | None) -> None:
    cases = plan(settings)
    (folder / "README.txt").write_text(NOTICE, encoding="utf-8")
    for inside in (*CLASSES, "truth/heads", "truth/parts"):
        (folder / inside).mkdir()
    jobs = [(folder, cases[i:i + 10], settings.seed) for i in range(0, len(cases), 10)]
    boxes = [row for rows in side_by_side(_write_some, jobs, "drawing fungi, 10 pictures at a time", workers)
             for row in rows]
    write_csv(folder / "truth" / "boxes.csv", ",".join(("image", *Box._fields)), boxes)


def _write_some(folder: Path, cases: tuple[Case, ...], seed: int) -> list[tuple]:
    return [(case.image, *box) for case in cases for box in _write_case(folder, case, seed)]


def _write_case(folder: Path, case: Case, seed: int) -> list[Box]:
    slide = Slide(case, seed)
    (folder / case.label / f"{case.image}.jpg").write_bytes(_jpeg(slide.draw()))
    heads, parts = slide.labels()
    Image.fromarray(heads).save(folder / "truth" / "heads" / f"{case.image}.png", compress_level=2)
    Image.fromarray(parts).save(folder / "truth" / "parts" / f"{case.image}.png", compress_level=2)
    return [*boxes("head", heads), *boxes("bare", slide.vesicles())]


def _jpeg(picture: Array) -> bytes:
    file = BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=QUALITY)
    return file.getvalue()


def boxes(kind: str, labels: Array) -> Iterator[Box]:
    """The box of each number of a label map (H, W), in order."""
    for number, place in enumerate(find_objects(labels), 1):
        if place:
            rows, columns = place
            yield Box(kind, number, columns.start, rows.start, columns.stop, rows.stop)


@cache
def _code() -> str:
    """Changes when any line that draws changes."""
    return fingerprint(*(Path(module.__file__) for module in (drawing, fungi_ink, fungi_heads, fungi_slide)),
                       Path(__file__))


@cache
def _cases(settings: Settings) -> dict[str, Case]:
    return {case.image: case for case in plan(settings)}


class Truth:
    """Reader of what a phantom collection knows: where the heads lie, and of what parts they are."""

    def __init__(self, folder: Path | str):
        self.folder, self.settings = Path(folder), Settings(**description(folder, __name__)["settings"])

    def case(self, image: str) -> Case:
        """Who and what a picture, as P012_03, shows. Raises DataError for one that is not in the collection."""
        if image not in _cases(self.settings):
            raise DataError("no such picture among the phantoms", image,
                            f"Choose one of {self.folder / 'truth' / 'boxes.csv'}.")
        return _cases(self.settings)[image]

    def labels(self, image: str) -> Array:
        """The number of the head in each pixel, uint8 (H, W), without its stipe; 0 where there is none."""
        return np.asarray(Image.open(self.folder / "truth" / "heads" / f"{self.case(image).image}.png"))

    def mask(self, image: str, part: str) -> Array:
        """Where one of PARTS of the heads lies, bool (H, W); parts may cover one another."""
        if part not in PARTS:
            raise SettingsError(f"a head has no {part!r}", "parameter part", f"Choose one of {', '.join(PARTS)}.")
        parts = np.asarray(Image.open(self.folder / "truth" / "parts" / f"{self.case(image).image}.png"))
        return parts & (1 << PARTS.index(part)) > 0

    def boxes(self, image: str) -> list[Box]:
        """The heads of a picture, then its bare vesicles, as in truth/boxes.csv."""
        return list(self._boxes.get(self.case(image).image, ()))

    @cached_property
    def _boxes(self) -> dict[str, list[Box]]:
        found: dict[str, list[Box]] = {}
        with (self.folder / "truth" / "boxes.csv").open(encoding="utf-8", newline="") as file:
            for image, kind, *numbers in islice(csv.reader(file), 1, None):
                found.setdefault(image, []).append(Box(kind, *map(int, numbers)))
        return found


def twin(folder: Path | str, image: str, without: tuple[int, ...] = (), bare: tuple[int, ...] = ()) -> Array:
    """The picture drawn again as uint8 (H, W, 3), stored as the original is: the rest stays as it is.

    The heads `without` are gone, each with its stipe; of those `bare` the vesicle and the stipe are left. JPEG spreads
    a change over the blocks of 16 pixels that it touches. Raises DataError for a picture or a head that is not there.
    """
    truth = Truth(folder)
    case = truth.case(image)
    if unknown := {*without, *bare} - {*range(1, case.heads + 1)}:
        raise DataError(f"this picture has no head {sorted(unknown)}", image, f"It has heads 1 to {case.heads}.")
    return np.array(Image.open(BytesIO(_jpeg(Slide(case, truth.settings.seed).draw(without, bare)))))
