"""Phantom chest X-rays in the layout of ChestX-ray14: drawn, not patients, with every finding's pixels known.

    write("phantoms")                                       # images/, Data_Entry_2017.csv, the lists, the boxes, truth/
    truth = Truth("phantoms")
    truth.mask("00000003_000.png", "Effusion")              # bool (256, 256)
    twin("phantoms", "00000003_000.png", "Effusion")        # uint8 (256, 256): the same film without it
"""

import os
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.ndimage import find_objects, label, maximum_filter

from mdlib.data.phantoms import chest_anatomy, chest_film, chest_findings, chest_skeleton, drawing
from mdlib.data.phantoms.chest_film import Case, Film, draw
from mdlib.data.phantoms.collection import complete, description, write_csv
from mdlib.data.phantoms.collection import is_phantom as is_phantom
from mdlib.data.phantoms.drawing import Array, stream
from mdlib.errors import DataError, SettingsError
from mdlib.files import fingerprint
from mdlib.parallel import side_by_side
from mdlib.progress import track

# Images of each finding among the 112,120 of ChestX-ray14 (Data_Entry_2017_v2020.csv).
PUBLISHED = {"Cardiomegaly": 2776, "Emphysema": 2516, "Effusion": 13317, "Hernia": 227, "Infiltration": 19894,
             "Mass": 5782, "Nodule": 6331, "Atelectasis": 11559, "Pneumothorax": 5302, "Pleural_Thickening": 3385,
             "Pneumonia": 1431, "Fibrosis": 1686, "Edema": 2303, "Consolidation": 4667}
FINDINGS = tuple(PUBLISHED)
IMAGES = 112_120

ENTRY = ("Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
         "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]")
BOXES = "Image Index,Finding Label,Bbox [x,y,w,h],,,"
NOTICE = """These chest X-rays are drawn by mdlib.data.phantoms.chest. They show no patient.

The layout is that of ChestX-ray14 as NIH publishes it. Two things differ: boxes are given for all 14 findings (NIH: 8),
and truth/ holds, for each image with findings, a 16-bit PNG in which bit k is set where the image differs from the same
image drawn without finding k, in the order of "findings" in truth/phantoms.json.
"""
FIELD_OF_VIEW = 360         # mm across the film: gives the pixel spacing


@dataclass(frozen=True)
class Settings:
    """What decides every pixel of a collection."""
    patients: int = 1100
    side: int = 256
    seed: int = 0

    def __post_init__(self):
        if self.patients < 2 or self.side < 32 or self.seed < 0:
            raise SettingsError(f"{self} cannot be drawn", "parameters patients, side, seed",
                                "Use at least 2 patients, 32 pixels and a seed of 0 or more.")


def prevalence(finding: str) -> float:
    """The share of patients that are drawn with a finding: 0.165 times the fourth root of the published share.

    The published shares span a factor of 88 (Infiltration 17.7 %, Hernia 0.2 %); these span a factor of 3.
    """
    return 0.165 * (PUBLISHED[finding] / IMAGES) ** 0.25


def plan(settings: Settings) -> tuple[Case, ...]:
    """Every image of a collection: patients with 1 to 4 films each, the last 36 % of the patients for the test.

    A finding stays with a patient in 85 % of the films. AP films and old patients have somewhat more of them.
    """
    n = settings.patients
    first_test = max(1, int(0.64 * n))
    rng = stream(settings.seed, "plan")
    # Ranks in place of free draws: both parts of the collection get each finding's share almost exactly.
    u = np.concatenate([np.stack([(rng.permutation(size) + 0.5) / size for _ in FINDINGS], axis=1)
                        for size in (first_test, n - first_test)])
    splits = ["train_val"] * first_test + ["test"] * (n - first_test)
    return tuple(case for i in range(n) for case in _films(settings.seed, i + 1, u[i], splits[i]))


def _films(seed: int, patient: int, u: Array, split: str) -> list[Case]:
    rng = stream(seed, patient, "person")
    age, sex = int(np.clip(rng.normal(48, 17), 3, 92)), "M" if rng.random() < 0.56 else "F"
    bedridden = rng.random() < 0.40
    lean = (1.12 if bedridden else 0.92) * (1 + 0.003 * (age - 48))
    has = [name for name, draw_ in zip(FINDINGS, u, strict=True) if draw_ < prevalence(name) * lean]
    films = []
    for follow_up in range(rng.choice([1, 2, 3, 4], p=[0.35, 0.30, 0.20, 0.15])):
        view = "AP" if (rng.random() < 0.9) == bedridden else "PA"
        shown = tuple(name for name, kept in zip(FINDINGS, rng.random(len(FINDINGS)) < 0.85, strict=True)
                      if kept and name in has)
        films.append(Case(patient, follow_up, min(age + follow_up // 2, 94), sex, view, shown, split))
    return films


def write(folder: Path | str, patients: int = 1100, side: int = 256, seed: int = 0, workers: int | None = None) -> Path:
    """Draw a collection into `folder`, in NIH's layout with truth/ beside it, and return the folder.

    It appears under its name only when complete; where the same collection already is, nothing is done: of two
    processes that ask for it at once, the second waits. `workers` processes draw (None: one a core; 1: this process).
    Raises DataError where `folder` holds anything else.
    """
    settings = Settings(patients, side, seed)
    return complete(folder, _description(settings), lambda part: _write_all(part, settings, workers))


def _write_all(folder: Path, settings: Settings, workers: int | None) -> None:
    cases = plan(settings)
    (folder / "images").mkdir()
    (folder / "README.txt").write_text(NOTICE, encoding="utf-8")
    boxes = [box for found in _each(folder, settings, cases, workers) for box in found]
    for split in ("train_val", "test"):
        names = [case.image for case in cases if case.split == split]
        (folder / f"{split}_list.txt").write_text("\n".join(names) + "\n", encoding="utf-8")
    write_csv(folder / "BBox_List_2017.csv", BOXES, boxes)
    spacing = round(FIELD_OF_VIEW / settings.side, 4)
    write_csv(folder / "Data_Entry_2017.csv", ENTRY, [
        (case.image, "|".join(case.findings) or "No Finding", case.follow_up, case.patient, case.age, case.sex,
         case.view, settings.side, settings.side, spacing, spacing) for case in cases])


def _each(folder: Path, settings: Settings, cases: tuple[Case, ...], workers: int | None):
    """The boxes of each case in turn, its files written, by `workers` processes."""
    jobs = [(folder, case, settings.side, settings.seed) for case in cases]
    count = workers or os.cpu_count() or 1
    if count == 1 or len(cases) < 64:
        yield from track(map(_write_case, jobs), "drawing X-rays", total=len(jobs))
        return
    chunks = [(jobs[i:i + 16],) for i in range(0, len(jobs), 16)]
    for boxes in side_by_side(_write_cases, chunks, "drawing X-rays, 16 at a time", count):
        yield from boxes


def _write_cases(jobs: list[tuple[Path, Case, int, int]]) -> list[list[tuple]]:
    return [_write_case(job) for job in jobs]


def _write_case(job: tuple[Path, Case, int, int]) -> list[tuple]:
    folder, case, side, seed = job
    film = Film(case, side, seed)
    picture = film.develop()
    Image.fromarray(picture).save(folder / "images" / case.image, compress_level=1)
    if not case.findings:
        return []
    bits, boxes = np.zeros(picture.shape, np.uint16), []
    for name in case.findings:
        mask = film.develop(without=name) != picture
        bits |= mask.astype(np.uint16) << FINDINGS.index(name)
        boxes += [(case.image, name.replace("Infiltration", "Infiltrate"), *box) for box in _boxes(mask)]
    Image.fromarray(bits).save(folder / "truth" / case.image)
    return boxes


def _boxes(mask: Array) -> list[tuple[float, ...]]:
    """x, y, w, h in NIH's 1024-pixel units of each part of a mask that is at least a quarter of the largest part.

    Parts less than a thirtieth of the side apart are one.
    """
    side = len(mask)
    parts, count = label(maximum_filter(mask.view(np.uint8), 2 * (side // 60) + 1))
    parts = parts * mask
    areas = np.bincount(parts.ravel(), minlength=count + 1)[1:]
    return [tuple(round(1024 / side * value, 3) for value in (x.start, y.start, x.stop - x.start, y.stop - y.start))
            for area, (y, x) in zip(areas, find_objects(parts, count), strict=True) if 4 * area >= areas.max() > 0]


@cache
def _code() -> str:
    """Changes when any line that draws changes."""
    modules = (chest_anatomy, chest_film, chest_findings, chest_skeleton, drawing)
    return fingerprint(*(Path(path) for path in (__file__, *(module.__file__ for module in modules))))


def _description(settings: Settings) -> dict:
    return {"what": "drawn by mdlib.data.phantoms.chest; no patients", "settings": asdict(settings),
            "findings": list(FINDINGS), "code": _code()}


@cache
def _cases(settings: Settings) -> dict[str, Case]:
    return {case.image: case for case in plan(settings)}


def twin(folder: Path | str | Settings, image: str, without: str | None = None) -> Array:
    """The image drawn again as uint8 (side, side), `without` one finding: all other pixels stay as they are.

    Raises DataError for an image that is not in the collection or does not show the finding.
    """
    settings = folder if isinstance(folder, Settings) else Truth(folder).settings
    case = _cases(settings).get(image)
    if case is None:
        raise DataError("no such image among the phantoms", image, "Choose one of Data_Entry_2017.csv.")
    if without is not None and without not in case.findings:
        raise DataError(f"this image does not show {without!r}", image,
                        f"It shows: {', '.join(case.findings) or 'nothing'}.")
    return draw(case, settings.side, settings.seed, without)


class Truth:
    """Reader of what a phantom collection knows: which pixels each finding changes."""

    def __init__(self, folder: Path | str):
        told = description(folder, __name__)
        self.folder = Path(folder)
        self.settings, self.findings = Settings(**told["settings"]), tuple(told["findings"])

    def mask(self, image: str, finding: str) -> Array:
        """Where `image` differs from its twin without `finding`, bool (H, W); nowhere when it does not show it."""
        if finding not in self.findings:
            raise DataError(f"unknown finding {finding!r}", str(self.folder), f"Known: {', '.join(self.findings)}.")
        path = self.folder / "truth" / image
        if path.exists():
            return (np.asarray(Image.open(path)).astype(np.uint16) >> self.findings.index(finding) & 1).astype(bool)
        if not (self.folder / "images" / image).exists():
            raise DataError("no such image", image, f"Choose one in {self.folder / 'images'}.")
        return np.zeros((self.settings.side, self.settings.side), bool)
