"""Phantom OCT volumes of two devices: drawn, not patients, with every cyst's voxels known.

    write("oct")                                    # labels.csv, VOLUME/000.png ..., truth/
    truth = Truth("oct")
    truth.mask("P003_OD")                           # uint8 (S, H, W): 0, or the number of the lesion
    twin("oct", "P003_OD")                          # uint8 (S, H, W): the same eye without its cysts
"""

from dataclasses import asdict, dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from mdlib.data.phantoms import drawing, oct_places, oct_scan
from mdlib.data.phantoms.collection import complete, description, write_csv
from mdlib.data.phantoms.drawing import Array, stream
from mdlib.data.phantoms.oct_places import Knobs
from mdlib.data.phantoms.oct_scan import Case, Scan
from mdlib.errors import DataError, SettingsError
from mdlib.files import fingerprint
from mdlib.parallel import side_by_side

CIRRUS = 0.7        # of the patients; the others are seen by the Spectralis
BOTH_EYES = 0.42    # of the patients
SAME_EYES = 0.85    # of the second eyes of patients with DME have it too

NOTICE = """These OCT volumes are drawn by mdlib.data.phantoms.oct. They show no patient.

A folder is a volume, its slices numbered. truth/VOLUME.png, for volumes with cysts, holds the slices' label maps below
one another: 0, or the number of the lesion, as in truth/lesions.csv.
"""


class Lesion(NamedTuple):
    """A cyst with its rim: first and last slice, then width, height and area in pixels of its largest slice."""
    lesion: int
    first: int
    last: int
    width: int
    height: int
    area: int


@dataclass(frozen=True)
class Settings:
    """What decides every voxel of a collection."""
    patients: int = 300
    seed: int = 0
    knobs: Knobs = field(default_factory=Knobs)

    def __post_init__(self):
        if self.patients < 4 or self.seed < 0:
            raise SettingsError(f"{self.patients} patients with seed {self.seed} cannot be drawn",
                                "parameters patients, seed", "Use at least 4 patients and a seed of 0 or more.")


def plan(settings: Settings) -> tuple[Case, ...]:
    """Every volume of a collection: patients with one eye or two, each seen by one device."""
    first, cases = round(CIRRUS * settings.patients), []
    rng = stream(settings.seed, "plan")
    for device, start, stop in (("cirrus", 0, first), ("spectralis", first, settings.patients)):
        ranks = (rng.permutation(stop - start) + 0.5) / (stop - start)
        for number, rank in zip(range(start, stop), ranks, strict=True):
            cases += _eyes(settings, number + 1, device, rank < settings.knobs.dme)
    return tuple(cases)


def _eyes(settings: Settings, number: int, device: str, ill: bool) -> list[Case]:
    patient = f"P{number:03d}"
    rng = stream(settings.seed, patient, "eyes")
    eyes = rng.permutation(["OD", "OS"])[:2 if rng.random() < BOTH_EYES else 1]
    has = [ill, ill and rng.random() < SAME_EYES]
    return [Case(f"{patient}_{eye}", patient, "DME" if there else "normal", device, str(eye))
            for eye, there in zip(eyes, has, strict=False)]


def write(folder: Path | str, patients: int = 300, seed: int = 0, knobs: Knobs | None = None,
          workers: int | None = None) -> Path:
    """Draw a collection into `folder`: labels.csv, a folder of grey PNGs a volume, truth/; returns the folder.

    It appears under its name only when complete; where the same collection already is, nothing is done. `workers`
    processes draw (None: one a core; 1: this process). Raises DataError where `folder` holds anything else.
    """
    settings = Settings(patients, seed, knobs or Knobs())
    told = {"what": "drawn by mdlib.data.phantoms.oct; no patients", "settings": asdict(settings), "code": _code()}
    return complete(folder, told, partial(_write_all, settings=settings, workers=workers))


def _write_all(folder: Path, settings: Settings, workers: int | None) -> None:
    cases = plan(settings)
    (folder / "README.txt").write_text(NOTICE, encoding="utf-8")
    jobs = [(folder, cases[i:i + 8], settings) for i in range(0, len(cases), 8)]
    lesions = [row for rows in side_by_side(_write_some, jobs, "drawing OCT volumes, 8 at a time", workers)
               for row in rows]
    write_csv(folder / "truth" / "lesions.csv", ",".join(("volume", *Lesion._fields)), lesions)
    write_csv(folder / "labels.csv", "volume,patient,class,device,eye",
              [(case.volume, case.patient, case.label, case.device, case.eye) for case in cases])


def _write_some(folder: Path, cases: tuple[Case, ...], settings: Settings) -> list[tuple]:
    return [(case.volume, *lesion) for case in cases for lesion in _write_case(folder, case, settings)]


def _write_case(folder: Path, case: Case, settings: Settings) -> list[Lesion]:
    scan = Scan(case, settings.knobs, settings.seed)
    (folder / case.volume).mkdir()
    for number, picture in enumerate(scan.draw()):
        Image.fromarray(picture).save(folder / case.volume / f"{number:03d}.png", compress_level=1)
    labels = scan.lesions()
    if not labels.any():
        return []
    Image.fromarray(labels.reshape(-1, labels.shape[2])).save(folder / "truth" / f"{case.volume}.png")
    return measured(labels)


def measured(labels: Array) -> list[Lesion]:
    """The lesions of a label map (S, H, W), in order."""
    return [_measure(labels == number, int(number)) for number in np.unique(labels[labels > 0])]


def _measure(body: Array, number: int) -> Lesion:
    areas = body.sum(axis=(1, 2))
    slices, largest = np.flatnonzero(areas), body[areas.argmax()]
    return Lesion(number, int(slices[0]), int(slices[-1]), int(np.ptp(np.flatnonzero(largest.any(axis=0)))) + 1,
                  int(np.ptp(np.flatnonzero(largest.any(axis=1)))) + 1, int(areas.max()))


@cache
def _code() -> str:
    """Changes when any line that draws changes."""
    return fingerprint(*(Path(path) for path in (__file__, drawing.__file__, oct_places.__file__, oct_scan.__file__)))


@cache
def _cases(settings: Settings) -> dict[str, Case]:
    return {case.volume: case for case in plan(settings)}


class Truth:
    """Reader of what a phantom collection knows: which voxels belong to which cyst."""

    def __init__(self, folder: Path | str):
        told = description(folder, __name__)["settings"]
        knobs = Knobs(**{name: tuple(value) if isinstance(value, list) else value
                         for name, value in told["knobs"].items()})
        self.folder, self.settings = Path(folder), Settings(**{**told, "knobs": knobs})

    def case(self, volume: str) -> Case:
        """Who and what a volume shows. Raises DataError for one that is not in the collection."""
        if volume not in _cases(self.settings):
            raise DataError("no such volume among the phantoms", volume, f"Choose one of {self.folder / 'labels.csv'}.")
        return _cases(self.settings)[volume]

    def mask(self, volume: str) -> Array:
        """The number of the lesion in each voxel, uint8 (S, H, W); 0 where there is none."""
        self.case(volume)
        count, path = len(list((self.folder / volume).glob("*.png"))), self.folder / "truth" / f"{volume}.png"
        if path.exists():
            labels = np.asarray(Image.open(path))
            return labels.reshape(count, -1, labels.shape[1])
        width, height = Image.open(self.folder / volume / "000.png").size
        return np.zeros((count, height, width), np.uint8)

    def lesions(self, volume: str) -> list[Lesion]:
        """The cysts of a volume, as in truth/lesions.csv; none in a normal one."""
        return measured(self.mask(volume))


def twin(folder: Path | str, volume: str, without: tuple[int, ...] | None = None) -> Array:
    """The volume drawn again as uint8 (S, H, W), `without` these lesions (None: any): the rest stays as it is.

    The swelling of the retina over a cyst goes with it. Raises DataError for a volume or lesion that is not there.
    """
    truth = Truth(folder)
    scan = Scan(truth.case(volume), truth.settings.knobs, truth.settings.seed)
    there = {place.lesion for place in scan.places if place.lesion}
    if unknown := set(without or ()) - there:
        raise DataError(f"this volume has no lesion {sorted(unknown)}", volume,
                        f"It has: {', '.join(map(str, sorted(there))) or 'none'}.")
    return scan.draw(there if without is None else without)
