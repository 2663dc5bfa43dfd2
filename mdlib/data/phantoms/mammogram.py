"""Phantom mammograms in the layout of DDSM: drawn, not patients, with every concept's pixels known.

    write("mammograms")                                 # cases/{cancers,benigns,normals}/…/case0001/, truth/
    truth = Truth("mammograms")
    truth.mask("cancer_01-A_0002_1.LEFT_CC", "mass")    # bool (320, 256)
    twin("mammograms", "cancer_01-A_0002_1.LEFT_CC")    # uint8 (320, 256): the same film without any finding

Four films of each patient. Cancers have spiculated masses, grouped calcifications and architectural distortions in one
breast, and like benign patients circumscribed masses, benign calcifications and calcified vessels; normal patients have
none. Both views of a breast show the same findings. Density and exposure do not depend on the label. `mdlib.data.ddsm`
reads a collection; films are named as there.
"""

from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np
from PIL import Image

from mdlib.data.phantoms import (
    drawing,
    mammogram_anatomy,
    mammogram_ddsm,
    mammogram_film,
    mammogram_findings,
    mammogram_tissue,
)
from mdlib.data.phantoms.collection import complete, description
from mdlib.data.phantoms.drawing import Array, stream
from mdlib.data.phantoms.mammogram_anatomy import SIDES, VIEWS
from mdlib.data.phantoms.mammogram_film import CONCEPTS, Case, Film, Patient
from mdlib.data.phantoms.mammogram_findings import BENIGN, MALIGNANT, Finding
from mdlib.errors import DataError, SettingsError
from mdlib.files import fingerprint
from mdlib.parallel import side_by_side

LABELS = {"cancer": 0.40, "benign": 0.33, "normal": 0.27}       # shares of the patients
DENSITIES = (0.20, 0.40, 0.30, 0.10)                            # shares of each density from 1 to 4, for every label

NOTICE = """These mammograms are drawn by mdlib.data.phantoms.mammogram. They show no patient.

The layout is that of DDSM, with PNG in the place of LJPEG. truth/films/*.png has a bit for each concept, in the order
of "concepts" in truth/phantoms.json: 1 mass, 2 spiculation, 4 malignant calcification, and so on; then one for the
whole breast.
"""


@dataclass(frozen=True)
class Settings:
    """What decides every pixel of a collection."""
    patients: int = 60
    seed: int = 0

    def __post_init__(self):
        if not 3 <= self.patients <= 9999 or self.seed < 0:
            raise SettingsError(f"{self} cannot be drawn", "parameters patients, seed",
                                "Use at least 3 patients, at most 9,999, and a seed of 0 or more.")


def plan(settings: Settings) -> tuple[Case, ...]:
    """Every film of a collection, patient by patient; the patients of each label are alike in density and exposure."""
    rng = stream(settings.seed, "plan")
    patients, numbers = [], iter(rng.permutation(settings.patients) + 1)
    for label, count in _counts(settings.patients).items():
        # Ranks in place of free draws: the labels do not differ in density and exposure by chance either.
        dense, gain = ((rng.permutation(count) + 0.5) / count for _ in range(2))
        density = 1 + np.searchsorted(np.cumsum(DENSITIES)[:-1], dense, side="right")
        for k in range(count):
            number, age = int(next(numbers)), int(np.clip(rng.normal(56, 11), 35, 86))
            findings = _findings(stream(settings.seed, number, "findings"), label)
            patients.append(Patient(number, label, int(density[k]), age, float(gain[k]), findings))
    return tuple(Case(patient, side, view) for patient in sorted(patients, key=lambda each: each.number)
                 for side in SIDES for view in VIEWS)


def _counts(patients: int) -> dict[str, int]:
    counts = {label: max(1, round(share * patients)) for label, share in LABELS.items()}
    counts["normal"] = patients - counts["cancer"] - counts["benign"]
    return counts


def _findings(rng: np.random.Generator, label: str) -> tuple[Finding, ...]:
    """Cancers: one to three malignant findings in one breast; cancers and benign patients: benign ones in either."""
    if label == "normal":
        return ()
    shown = []
    if label == "cancer":
        side, count = SIDES[rng.integers(2)], rng.choice([1, 2, 3], p=[0.08, 0.42, 0.50])
        shown = [(kind, side) for kind in rng.choice(MALIGNANT, count, p=[0.38, 0.34, 0.28]).tolist()]
    shown += [(kind, side) for side in SIDES for kind in BENIGN
              if rng.random() < (0.22 if label == "cancer" else 0.42)]
    shown = shown or [(BENIGN[rng.integers(len(BENIGN))], SIDES[rng.integers(2)])]
    return tuple(Finding(kind, side, *rng.random(2).tolist()) for kind, side in shown)


def write(folder: Path | str, patients: int = 60, seed: int = 0, workers: int | None = None) -> Path:
    """Draw a collection into `folder`, in the layout of DDSM with truth/ beside it, and return the folder.

    It appears under its name only when complete; where the same collection already is, nothing is done. `workers`
    processes draw (None: one per core; 1: this process). Raises DataError where `folder` holds anything else.
    """
    settings = Settings(patients, seed)
    told = {"what": "drawn by mdlib.data.phantoms.mammogram; no patients", "settings": asdict(settings),
            "concepts": list(CONCEPTS), "code": _code()}
    return complete(folder, told, partial(_write_all, settings=settings, workers=workers))


def _write_all(folder: Path, settings: Settings, workers: int | None) -> None:
    (folder / "README.txt").write_text(NOTICE, encoding="utf-8")
    (folder / "truth" / "films").mkdir()
    cases = plan(settings)
    jobs = [(folder, cases[i:i + 4], settings.seed) for i in range(0, len(cases), 4)]
    for _ in side_by_side(_write_patient, jobs, "drawing mammograms, 4 films of a patient at a time", workers):
        pass


def _write_patient(folder: Path, cases: tuple[Case, ...], seed: int) -> None:
    patient = cases[0].patient
    place, code = folder / patient.home, patient.exam.replace("_", "-")
    place.mkdir(parents=True)
    films = [(f"{case.side}_{case.view}", bool(case.findings)) for case in cases]
    (place / f"{code}.ics").write_text(mammogram_ddsm.ics(code, patient.age, patient.density, films), encoding="ascii")
    for case in cases:
        film = Film(case, seed)
        Image.fromarray(film.develop()).save(place / f"{case.file}.png", compress_level=2)
        bits = sum(mask.astype(np.uint16) << bit for bit, mask in enumerate(film.masks().values()))
        Image.fromarray(bits).save(folder / "truth" / "films" / f"{case.film}.png")
        if case.findings:
            text = mammogram_ddsm.overlay(case.findings, film.contours())
            (place / f"{case.file}.OVERLAY").write_text(text, encoding="ascii")


@cache
def _code() -> str:
    """Changes when any line that draws changes."""
    modules = (drawing, mammogram_anatomy, mammogram_ddsm, mammogram_film, mammogram_findings, mammogram_tissue)
    return fingerprint(*(Path(path) for path in (__file__, *(module.__file__ for module in modules))))


@cache
def _cases(settings: Settings) -> dict[str, Case]:
    return {case.film: case for case in plan(settings)}


class Truth:
    """Reader of what a phantom collection knows: which pixels show which concept."""

    def __init__(self, folder: Path | str):
        self.folder, self.settings = Path(folder), Settings(**description(folder, __name__)["settings"])

    def case(self, film: str) -> Case:
        """Whose a film is and what it shows. Raises DataError for one that is not in the collection."""
        if film not in _cases(self.settings):
            raise DataError("no such film among the phantoms", film, "A name is like cancer_01-A_0002_1.LEFT_CC.")
        return _cases(self.settings)[film]

    def mask(self, film: str, concept: str) -> Array:
        """Where one of CONCEPTS, or the "breast", is to be seen, bool (320, 256); nowhere in a film without it."""
        known = (*CONCEPTS, "breast")
        if concept not in known:
            raise SettingsError(f"unknown concept {concept!r}", "parameter concept", f"Known: {', '.join(known)}.")
        return (self._bits(film) >> known.index(concept) & 1).astype(bool)

    def masks(self, film: str) -> Array:
        """The masks of all CONCEPTS in their order, bool (11, 320, 256)."""
        return (self._bits(film) >> np.arange(len(CONCEPTS))[:, None, None] & 1).astype(bool)

    def _bits(self, film: str) -> Array:
        bits = np.asarray(Image.open(self.folder / "truth" / "films" / f"{self.case(film).film}.png"))
        return bits.astype(np.uint16)


def twin(folder: Path | str, film: str) -> Array:
    """The film drawn again as uint8 (320, 256), without any finding: all pixels outside the outlines stay as they are.

    Raises DataError for a film that is not in the collection.
    """
    truth = Truth(folder)
    return Film(truth.case(film), truth.settings.seed).develop(findings=False)
