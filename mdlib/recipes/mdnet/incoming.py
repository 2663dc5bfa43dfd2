"""An image from outside any collection on its way to a network of chapter 5, and what is strange about it."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from mdlib.data import headers, images
from mdlib.recipes import answers, unlike
from mdlib.recipes.mdnet import reference
from mdlib.recipes.mdnet.card import Card

MODALITY = "SM"     # DICOM: slide microscopy


class Seen(NamedTuple):
    """One image as it goes to the network and to its page."""

    name: str
    picture: np.ndarray         # uint8 (h, w, 3), for the eye
    pixels: np.ndarray          # uint8 (side, side, 3), what the network sees: the whole image, as `Reports.pixels`
    warnings: dict[str, str]    # a sentence by the name of the check


def look(card: Card, file: Path, name: str) -> Seen:
    """One image in the geometry of the training, and what is strange about it. Raises DataError for no image."""
    image, known = images.read_colour(file), card.reference
    pixels = images.resized(image, card.shape)
    warnings = (unlike.of_header(headers.read_header(file), MODALITY, known.coloured)
                | unlike.of_size(image.shape[:2], card.shape, known.stretch)
                | reference.warnings_of(pixels, known))
    return Seen(name, answers.shown(image), pixels, warnings)
