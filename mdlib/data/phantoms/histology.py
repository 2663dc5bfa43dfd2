"""Phantom bladder histology with five reports per image, in the layout of `mdlib.data.reports`: drawn, not patients.

    write("histology")                          # images/*.png, reports.json, truth/
    twin("histology", "P003_07.png", without="mitosis")     # uint8 (H, W, 3): the same image without its mitoses

The conclusion follows from the five grades, each 0, 1 or 2, by their sum: up to 2 normal, 3 to 6 low grade, from 7 on
high grade; where less than 8 % of the area is urothelium or the image is out of focus it is insufficient information.
In NOISE of the images that can be assessed another class, one further up or down, is reported. The grades of a patient
go together, and so do those of an image.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.special import ndtr

from mdlib.data.phantoms import drawing, histology_reports, histology_tissue
from mdlib.data.phantoms.collection import complete, description, write_csv
from mdlib.data.phantoms.drawing import Array, stream
from mdlib.data.phantoms.histology_reports import GRADES, UNSEEN, WRITERS, describe
from mdlib.data.phantoms.histology_tissue import ELEMENTS, Look, Section
from mdlib.data.reports import CLASSES
from mdlib.errors import DataError, SettingsError
from mdlib.files import fingerprint, write_json
from mdlib.parallel import side_by_side

LOW, HIGH = 3, 7        # the smallest sums of grades of a low and of a high grade
NOISE = 0.05
SPOILED = 0.15          # of the images show too little urothelium, or are out of focus
OTHER_KIND = 0.2        # of the images of a patient are of a kind that is one worse or better than his
KINDS = (0.19, 0.34, 0.47)          # of the patients: most of their images normal, low grade, high grade
# The chance of grades 0, 1 and 2 in an image of each kind.
CHANCES = ((0.85, 0.15, 0.00), (0.20, 0.65, 0.15), (0.00, 0.20, 0.80))
HABIT = 0.6             # how much a grade is the patient's, and not only the image's

NOTICE = """These images of bladder tissue are drawn by mdlib.data.phantoms.histology, and nobody wrote their reports.
They show no patient.

truth/urothelium/*.png is 255 where the urothelium lies; truth/mitosis/*.png and truth/nucleoli/*.png hold the number of
the mitosis or nucleolus in each pixel, 0 where there is none. truth/grades.csv has the five grades, the conclusion that
follows from them, the one that was reported, and the share of the area that is urothelium.
"""


@dataclass(frozen=True)
class Settings:
    """What decides every pixel and word of a collection."""
    patients: int = 40
    images: int = 15
    side: int = 96
    seed: int = 0

    def __post_init__(self):
        if self.patients < 4 or self.images < 1 or self.side < 32 or self.seed < 0:
            raise SettingsError(f"{self} cannot be drawn", "parameters patients, images, side, seed",
                                "Use at least 4 patients, 1 image, 32 pixels and a seed of 0 or more.")


@dataclass(frozen=True)
class Case:
    """An image: its file, whose it is, its grades from 0 to 2, whether spoiled (as `Look`), both conclusions."""
    image: str
    patient: str
    grades: tuple[int, ...]
    spoiled: str
    rule: str
    reported: str

    @property
    def stated(self) -> dict[str, str]:
        """For each part the grade that can be seen: UNSEEN where the image is spoiled."""
        return {part: UNSEEN if self.spoiled else names[grade]
                for (part, names), grade in zip(GRADES.items(), self.grades, strict=True)}

    def look(self, settings: Settings) -> Look:
        """What decides the pixels of this image."""
        return Look(self.image, self.patient, self.grades, self.spoiled, settings.side, settings.seed)


def conclusion(grades: tuple[int, ...], spoiled: str = "") -> str:
    """The class that follows from the five grades, each 0, 1 or 2."""
    if spoiled:
        return CLASSES[3]
    return CLASSES[int(sum(grades) >= LOW) + int(sum(grades) >= HIGH)]


def plan(settings: Settings) -> tuple[Case, ...]:
    """Every image of a collection, patient by patient."""
    rng, count = stream(settings.seed, "plan"), settings.patients * settings.images
    kinds = np.searchsorted(np.cumsum(KINDS)[:2], _ranks(rng, settings.patients))
    spoiled = np.array(["scarce", "blurred", ""])[np.searchsorted([SPOILED / 2, SPOILED], _ranks(rng, count))]
    noisy = _ranks(rng, count) < NOISE
    cases = []
    for number, kind in enumerate(kinds.tolist()):
        own = slice(number * settings.images, (number + 1) * settings.images)
        cases += _patient(settings, f"P{number + 1:03d}", kind, spoiled[own].tolist(), noisy[own].tolist())
    return tuple(cases)


def _ranks(rng: np.random.Generator, count: int) -> Array:
    """Numbers from 0 to 1 in random order, evenly spread: shares come out as they are asked for."""
    return (rng.permutation(count) + 0.5) / count


def _patient(settings: Settings, patient: str, kind: int, spoiled: list[str], noisy: list[bool]) -> Iterator[Case]:
    rng = stream(settings.seed, patient, "grades")
    habit = rng.standard_normal(len(GRADES))
    for number, (spoil, wrong) in enumerate(zip(spoiled, noisy, strict=True), start=1):
        up_or_down = rng.choice(_neighbours(kind)) if rng.random() < OTHER_KIND else kind
        level = ndtr(HABIT * habit + (1 - HABIT ** 2) ** 0.5 * rng.standard_normal(len(GRADES)))
        grades = tuple(np.searchsorted(np.cumsum(CHANCES[up_or_down])[:2], level).tolist())
        rule = conclusion(grades, spoil)
        other = rule if spoil else CLASSES[rng.choice(_neighbours(CLASSES.index(rule)))]
        yield Case(f"{patient}_{number:02d}.png", patient, grades, spoil, rule, other if wrong else rule)


def _neighbours(kind: int) -> list[int]:
    """The kinds, or the classes that can be assessed, one worse and one better."""
    return [other for other in (kind - 1, kind + 1) if 0 <= other < len(KINDS)]


def write(folder: Path | str, patients: int = 40, images: int = 15, side: int = 96, seed: int = 0,
          workers: int | None = None) -> Path:
    """Draw a collection into `folder`: images/, reports.json (see `mdlib.data.reports`), truth/; returns the folder.

    It appears under its name only when complete; where the same collection already is, nothing is done. `workers`
    processes draw (None: one a core; 1: this process). Raises DataError where `folder` holds anything else.
    """
    settings = Settings(patients, images, side, seed)
    told = {"what": "drawn by mdlib.data.phantoms.histology; no patients", "settings": asdict(settings),
            "code": _code()}
    return complete(folder, told, partial(_write_all, settings=settings, workers=workers))


def _write_all(folder: Path, settings: Settings, workers: int | None) -> None:
    (folder / "README.txt").write_text(NOTICE, encoding="utf-8")
    (folder / "images").mkdir()
    for kind in ("urothelium", *ELEMENTS):
        (folder / "truth" / kind).mkdir()
    cases = plan(settings)
    jobs = [(folder, cases[i:i + 50], settings) for i in range(0, len(cases), 50)]
    areas = [area for found in side_by_side(_write_some, jobs, "drawing histology, 50 images at a time", workers)
             for area in found]
    header = ",".join(("image", "patient", *GRADES, "rule", "reported", "urothelium"))
    write_csv(folder / "truth" / "grades.csv", header,
              [(case.image, case.patient, *case.stated.values(), case.rule, case.reported, f"{area:.4f}")
               for case, area in zip(cases, areas, strict=True)])
    write_json(folder / "reports.json", [{"image": case.image, "patient": case.patient, "conclusion": case.reported,
                                          "reports": _reports(case, settings.seed)} for case in cases])


def _reports(case: Case, seed: int) -> list[dict[str, str]]:
    """What the writers say, in their order."""
    return [describe(case.stated, case.reported, writer, stream(seed, case.image, "report", writer))
            for writer in range(WRITERS)]


def _write_some(folder: Path, cases: tuple[Case, ...], settings: Settings) -> list[float]:
    """Draw images and their masks; returns the share of urothelium in each."""
    return [_write_case(folder, Section(case.look(settings)), case.image) for case in cases]


def _write_case(folder: Path, section: Section, name: str) -> float:
    masks = {"urothelium": section.urothelium * np.uint8(255), **{kind: section.instances(kind) for kind in ELEMENTS}}
    Image.fromarray(section.draw()).save(folder / "images" / name, compress_level=1)
    for kind, mask in masks.items():
        Image.fromarray(mask).save(folder / "truth" / kind / name)
    return float(section.urothelium.mean())


@cache
def _code() -> str:
    """Changes when any line that draws or writes changes."""
    return fingerprint(*(Path(module.__file__) for module in (drawing, histology_tissue, histology_reports)),
                       Path(__file__))


@cache
def _cases(settings: Settings) -> dict[str, Case]:
    return {case.image: case for case in plan(settings)}


def twin(collection: Path | str | Settings, image: str, without: str) -> Array:
    """The image drawn again as uint8 (H, W, 3), without all of one of ELEMENTS: everywhere else it stays as it is.

    `collection` is a folder that was written, or its settings. Raises DataError for an image that is not in it.
    """
    settings = collection if isinstance(collection, Settings) else Settings(
        **description(collection, __name__)["settings"])
    if image not in _cases(settings):
        raise DataError("no such image among the phantoms", image, "Choose one of truth/grades.csv.")
    if without not in ELEMENTS:
        raise SettingsError(f"{without!r} cannot be left out", "parameter without", f"Choose {' or '.join(ELEMENTS)}.")
    return Section(_cases(settings)[image].look(settings)).draw(without=(without,))
