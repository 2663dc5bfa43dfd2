"""Phantom tissue tiles in the layout of CRC-MSI as Zenodo publishes it: drawn, not patients.

    write("tiles")          # CRC_DX_TRAIN/{MSIMUT,MSS}/*.png, CRC_DX_TEST/..., truth/tiles.csv

A patient has one class and one part; a few tiles look like the other class, as in a real tumour. Slides
are stained in batches, one patient of each class in each while there are any; the test part's laboratory is another.
"""

from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path
from string import ascii_uppercase

from PIL import Image

from mdlib.data.phantoms import drawing, tiles_tissue
from mdlib.data.phantoms.collection import complete, write_csv
from mdlib.data.phantoms.drawing import stream
from mdlib.errors import SettingsError
from mdlib.files import fingerprint
from mdlib.parallel import side_by_side

CLASSES = ("MSS", "MSIMUT")
FOLDERS = {"train": "CRC_DX_TRAIN", "test": "CRC_DX_TEST"}
MSI_IN_TEST = 0.4       # tiles for each one of MSS, as published: 28,335 to 70,569
A_PATIENT = 10          # tiles, at most
ODD = 0.06              # of the tiles look like the other class

NOTICE = """These tissue tiles are drawn by mdlib.data.phantoms.tiles. They show no patient; site ZZ is none of
TCGA's.

truth/tiles.csv says what each tile looks like: a few look like the other class than their patient has.
"""


@dataclass(frozen=True)
class Settings:
    """What decides every pixel of a collection: tiles of each class to train on, of class MSS to test on."""
    train: int = 600
    test: int = 1000
    side: int = 48
    seed: int = 0

    def __post_init__(self):
        if min(self.train, self.test) < 5 or self.side < 16 or self.seed < 0:
            raise SettingsError(f"{self} cannot be drawn", "parameters train, test, side, seed",
                                "Use at least 5 tiles, 16 pixels and a seed of 0 or more.")


@dataclass(frozen=True)
class Patient:
    """Whose tiles: `code` as in TCGA's names, `tiles` of them; slides of a `batch` have one stain."""
    code: str
    part: str
    label: str
    batch: int
    tiles: int


def plan(settings: Settings) -> tuple[Patient, ...]:
    """Every patient of a collection, those to train on first."""
    wanted = {("train", "MSS"): settings.train, ("train", "MSIMUT"): settings.train,
              ("test", "MSS"): settings.test, ("test", "MSIMUT"): round(MSI_IN_TEST * settings.test)}
    shares = [(part, label, start // A_PATIENT, min(A_PATIENT, tiles - start))
              for (part, label), tiles in wanted.items()
              for start in range(0, tiles, A_PATIENT)]
    codes = stream(settings.seed, "codes").permutation(9999)[:len(shares)] + 1
    return tuple(Patient(f"TCGA-ZZ-{code:04d}", *share) for code, share in zip(codes, shares, strict=True))


def write(folder: Path | str, train: int = 600, test: int = 1000, side: int = 48, seed: int = 0,
          workers: int | None = None) -> Path:
    """Draw a collection into `folder`, in Zenodo's layout with truth/ beside it, and return the folder.

    It appears under its name only when complete; where the same collection already is, nothing is done. `workers`
    processes draw (None: one a core; 1: this process). Raises DataError where `folder` holds anything else.
    """
    settings = Settings(train, test, side, seed)
    told = {"what": "drawn by mdlib.data.phantoms.tiles; no patients", "settings": asdict(settings), "code": _code()}
    return complete(folder, told, partial(_write_all, settings=settings, workers=workers))


def _write_all(folder: Path, settings: Settings, workers: int | None) -> None:
    (folder / "README.txt").write_text(NOTICE, encoding="utf-8")
    for part in FOLDERS.values():
        for label in CLASSES:
            (folder / part / label).mkdir(parents=True)
    patients = plan(settings)
    jobs = [(folder, patients[i:i + 8], settings) for i in range(0, len(patients), 8)]
    rows = [row for found in side_by_side(_write_some, jobs, "drawing tissue, 8 patients at a time", workers)
            for row in found]
    write_csv(folder / "truth" / "tiles.csv", "tile,part,class,patient,looks", rows)


def _write_some(folder: Path, patients: tuple[Patient, ...], settings: Settings) -> list[tuple]:
    return [row for patient in patients for row in _write_patient(folder, patient, settings)]


def _write_patient(folder: Path, patient: Patient, settings: Settings) -> list[tuple]:
    rng, rows = stream(settings.seed, patient.code), []
    colour = tiles_tissue.stain(patient.part, stream(settings.seed, patient.part, patient.batch))
    for _ in range(patient.tiles):
        name = f"blk-{''.join(rng.choice(list(ascii_uppercase), 12))}-{patient.code}-01Z-00-DX1.png"
        looks = CLASSES[CLASSES.index(patient.label) ^ int(rng.random() < ODD)]
        picture = tiles_tissue.tile(looks, settings.side, colour, rng)
        path = folder / FOLDERS[patient.part] / patient.label / name
        Image.fromarray(picture).save(path, compress_level=1)
        rows.append((name, patient.part, patient.label, patient.code, looks))
    return rows


@cache
def _code() -> str:
    """Changes when any line that draws changes."""
    return fingerprint(*(Path(path) for path in (__file__, drawing.__file__, tiles_tissue.__file__)))
