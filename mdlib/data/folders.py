"""Collections of single images whose class is the folder they lie in: tissue tiles (CRC-MSI), fundus photographs."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from mdlib.data.bags import Bags
from mdlib.data.images import image_names
from mdlib.data.splits import refuse_shared_patients
from mdlib.errors import DataError

PARTS = {"train": "CRC_DX_TRAIN", "test": "CRC_DX_TEST"}
TILES = ("MSS", "MSIMUT")
TCGA = re.compile(r"TCGA-[0-9A-Z]{2}-[0-9A-Z]{4}")    # project, centre and participant: a patient


def crc_msi(folder: Path | str) -> Bags:
    """The tiles of colorectal cancer, Zenodo record 2530835, in its layout, one tile per bag; `table` also has part.

        CRC_DX_TRAIN/{MSIMUT,MSS}/*.png      part train
        CRC_DX_TEST/{MSIMUT,MSS}/*.png       part test

    The patient is the TCGA code in a tile's name. No file is looked at: 192,312 tiles are listed in seconds.
    Raises DataError for a folder that is missing or empty, a name without such a code, a name that occurs twice, and
    a patient in both parts.
    """
    folder = Path(folder)
    tiles = pd.concat([_listed(folder, f"{inside}/{label}", label).assign(part=part)
                       for part, inside in PARTS.items() for label in TILES], ignore_index=True)
    tiles["patient"] = tiles["path"].str.extract(f"({TCGA.pattern})", expand=False)
    if tiles["patient"].isna().any():
        raise DataError("no TCGA code in the name, so the patient is not known",
                        str(folder / tiles["path"][tiles["patient"].isna()].iloc[0]),
                        "Keep the published names, as blk-AAAFIYHTSVIE-TCGA-G4-6309-01Z-00-DX1.png.")
    bags = _bags(folder, TILES, tiles)
    refuse_shared_patients(bags.table, bags.table.groupby("part").indices, str(folder))
    return bags


def class_folders(folder: Path | str, classes: Sequence[str] = ("healthy", "MMD")) -> Bags:
    """A folder of images for each class, one image per bag; the class of interest is the last of `classes` (ours).

    The patient is what stands before the first underscore of a name, as P0012 in P0012_left.jpg; a name without one
    is a patient of its own. No file is looked at. Raises DataError for a folder of an unknown class, one that is
    missing or empty, a class of one image, and a name that occurs twice.
    """
    folder = Path(folder)
    unknown = sorted(path.name for path in folder.glob("*/") if path.is_dir() and path.name[0] != "."
                     and path.name not in (*classes, "truth"))
    if unknown:
        raise DataError(f"{unknown[0]!r} is no known class", str(folder / unknown[0]),
                        f"Known are {', '.join(classes)}; rename or remove the folder, or name the classes.")
    images = pd.concat([_listed(folder, label, label) for label in classes], ignore_index=True)
    alone = ~images["label"].duplicated(keep=False)
    if alone.any():
        path, label = images.loc[alone.idxmax(), ["path", "label"]]
        raise DataError(f"this is the only image of class {label}", str(folder / path), "A class needs two or more, to "
                        "train and to test on.")
    images["patient"] = images["bag"].str.split("_", n=1).str[0]
    return _bags(folder, tuple(classes), images)


def _listed(folder: Path, inside: str, label: str) -> pd.DataFrame:
    """bag, path and label of each image of a folder, sorted by name."""
    names = image_names(folder / inside)
    if not names:
        raise DataError("there are no images in this folder", str(folder / inside), "Unpack them there.")
    return pd.DataFrame({"bag": [name.rpartition(".")[0] for name in names],
                         "path": [f"{inside}/{name}" for name in names], "label": label})


def _bags(folder: Path, classes: tuple[str, ...], images: pd.DataFrame) -> Bags:
    """One bag per image. Raises DataError where two images have one name, that is, two classes or two parts."""
    twice = images["bag"].duplicated(keep=False)
    if twice.any():
        first, second = images["path"][images["bag"] == images["bag"][twice].iloc[0]].iloc[:2]
        raise DataError(f"the same name as {first}; {twice.sum():,} images share theirs with another",
                        str(folder / second), "An image has one class and one part: remove one of the two.")
    table = images.drop(columns="path").assign(first=np.arange(len(images)), count=1)
    truth = folder / "truth"
    return Bags(folder, classes, table, images[["path"]].assign(frame=0), truth if truth.is_dir() else None,
                colour=True)
