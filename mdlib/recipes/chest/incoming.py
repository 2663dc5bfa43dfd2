"""An image from outside any collection on its way to a network: the geometry of the training, and what is strange."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from mdlib.data import headers, images, samples
from mdlib.data.checks import radiographs
from mdlib.errors import DataError
from mdlib.recipes.chest.card import Card
from mdlib.recipes.chest.plan import NONIMAGE
from mdlib.recipes.chest.trainings import inputs

LONGEST = 20        # long side over short side: more is no film, and would need any amount of memory


class Beside(NamedTuple):
    """The non-image features (section 2.3), as far as they are known."""

    view: str = ""          # PA or AP
    sex: str = ""           # M or F
    age: float = np.nan     # years


class Seen(NamedTuple):
    """One image as it goes to the network and to its page."""

    name: str
    picture: np.ndarray         # uint8 (H, H), what the network sees, in up to 512 pixels a side
    crop: np.ndarray            # uint8 (crop, crop), what the network sees
    warnings: dict[str, str]    # a sentence by the name of the check
    beside: Beside


def look(card: Card, file: Path, name: str, given: Beside) -> Seen:
    """One image in the geometry of the training, and what is strange about it.

    What the file (DICOM) does not say of view, sex and age is taken from `given`. Raises DataError for a file that is
    no image, and where a network with non-image features would lack one of them.
    """
    grey, header, settings = images.read_grey(file), headers.read_header(file), card.settings
    if max(grey.shape) > LONGEST * min(grey.shape):
        raise DataError(f"{grey.shape[0]} x {grey.shape[1]} pixels are no radiograph", str(file), "Cut out the film.")
    crop = images.seen(grey, settings.resize, settings.crop)
    picture = images.shown(grey, settings.resize, settings.crop)
    beside = Beside(header.view if header.view in ("PA", "AP") else given.view, header.sex or given.sex,
                    given.age if np.isnan(header.age) else header.age)
    if card.training.network.endswith(NONIMAGE):
        _refuse_gaps(beside, file)
    warnings = (radiographs.warnings_of_file(header, grey.shape, settings.crop)
                | radiographs.warnings_of(crop, card.reference))
    return Seen(name, picture, crop, warnings, beside)


def _refuse_gaps(beside: Beside, file: Path) -> None:
    known = {"view": bool(beside.view), "sex": bool(beside.sex), "age": not np.isnan(beside.age)}
    lacking = [name for name, there in known.items() if not there]
    if lacking:
        raise DataError(f"this network also needs {', '.join(lacking)}, which the file does not tell", str(file),
                        "Give --view PA or AP, --sex M or F, --age in years; they hold for all files that do not tell.")


def batch_of(card: Card, images_seen: Sequence[Seen]) -> dict[str, torch.Tensor]:
    """What the network of the card is called with for these images."""
    pixels = np.stack([seen.crop for seen in images_seen])
    beside = samples.nonimage(pd.DataFrame([seen.beside for seen in images_seen]))
    rows = np.arange(len(pixels))
    everything = samples.Samples(pixels, rows, np.empty((len(pixels), 0)), beside, card.settings.crop)
    return inputs(card.training.network)(everything.__getitems__(rows))
