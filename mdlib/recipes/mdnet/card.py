"""The card of a network of chapter 5 that writes: its row, settings, words, parts, classes, and what it has seen."""

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mdlib.data.phantoms.collection import is_phantom
from mdlib.data.vocabulary import Vocabulary
from mdlib.models.mdnet import MDNet
from mdlib.recipes import cards, unlike
from mdlib.recipes.mdnet import reference
from mdlib.recipes.mdnet.chapter import Chapter
from mdlib.recipes.mdnet.networks import Colour, network
from mdlib.recipes.mdnet.plan import Training
from mdlib.recipes.mdnet.rows import EVERY
from mdlib.recipes.mdnet.settings import Settings, choose


@dataclass(frozen=True, eq=False)
class Card:
    """What a card says, checked."""

    checkpoint: Path
    training: Training
    settings: Settings
    vocabulary: Vocabulary
    parts: tuple[str, ...]
    classes: tuple[str, ...]
    colours: tuple[Colour, Colour]   # mean and spread of the training pixels
    data: dict[str, Any]             # name, phantoms, fingerprint of the collection; train, test: images; patients
    code: str
    weights: str
    reference: reference.Reference

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of an image as the network sees it."""
        return self.settings.side, self.settings.side

    @property
    def columns(self) -> tuple[str, ...]:
        """What its sentences are called: the parts, or `report` where it writes one for the whole."""
        return self.parts if EVERY[self.training.row].split else ("report",)

    @property
    def longest(self) -> int:
        """Words of a sentence, at most."""
        return self.settings.longest if EVERY[self.training.row].split else self.settings.longest_report


def write(chapter: Chapter, training: Training, folder: Path) -> None:
    """Write the card of a finished training beside the checkpoint in its `folder`, unless it is there already.

    An image model writes no report, and gets none. Under torchrun call it in the first process only.
    """
    if training.row in EVERY:
        cards.write(folder, "mdnet", lambda: _told(chapter, training))


def _told(chapter: Chapter, training: Training) -> tuple[Path, dict[str, Any]]:
    """The file of the reference, and what the card says."""
    reports, fold = chapter.reports, training.fold
    train, test = (chapter.part(part, fold) for part in ("train", "test"))
    return _reference(chapter, fold), {
        "training": dataclasses.asdict(training), "settings": dataclasses.asdict(chapter.settings),
        "words": list(chapter.vocabulary(fold).words), "parts": list(reports.parts), "classes": list(reports.classes),
        "colours": chapter.colour(fold),
        "data": {"name": chapter.data_dir.name, "phantoms": is_phantom(chapter.data_dir),
                 "fingerprint": chapter.run.asked["data"], "train": len(train), "test": len(test),
                 "patients": int(reports.table["patient"].iloc[train].nunique())}}


def _reference(chapter: Chapter, fold: int) -> Path:
    """The file in the run folder that says what the training images look like, once for all networks of a fold.

    The limits of the warnings are of the test part, which no network of the fold has learned from.
    """
    def arrays() -> dict[str, np.ndarray]:
        train, test = (rows[unlike.spread(len(rows))] for rows in (chapter.part(part, fold) for part in ("train",
                                                                                                         "test")))
        files = chapter.reports.paths()
        return reference.reference((chapter.pixels[row] for row in train), (chapter.pixels[row] for row in test),
                                   [files[row] for row in train]).arrays()
    return cards.kept_once(chapter.run.folder / "references" / f"fold{fold}.npz", arrays)


def read(checkpoint: Path | str) -> Card:
    """The card beside a checkpoint, which is given by its file or its folder. Nothing in it is run.

    Raises DataError for a folder without checkpoint or card, a card of another chapter, and a damaged one.
    """
    checkpoint, told = cards.read(checkpoint, "mdnet", {"words", "parts", "classes", "colours"},
                                  "Name a finished training that writes, RUN/networks/mdnet-fold0-seed0: the image "
                                  "models alone, ecnet and googlenet, write no report and have no card.")
    with cards.checking(checkpoint):
        settings, training = choose("paper", told["settings"]), Training(**told["training"])
        if training.row not in EVERY or {type(training.fold), type(training.seed)} != {int}:
            raise ValueError(f"training {training}")
        parts, classes = (_names(told, name) for name in ("parts", "classes"))
        vocabulary, colours = Vocabulary(_names(told, "words")), _colours(told["colours"])
        data = cards.data_of(told, "train", "test", "patients")
    return Card(checkpoint, training, settings, vocabulary, parts, classes, colours, data, str(told["code"]),
                str(told["weights"]), cards.read_reference(checkpoint, told["reference"], reference.opened))


def _names(told: dict[str, Any], what: str) -> tuple[str, ...]:
    names = told[what]
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names) or not (
            len(set(names)) == len(names) > 1):
        raise ValueError(f"{what} must be two names or more, each once")
    return tuple(names)


def _colours(told: Any) -> tuple[Colour, Colour]:
    mean, std = (tuple(map(float, of)) for of in told)
    if not len(mean) == len(std) == 3 or not all(map(math.isfinite, mean)) or not all(0 < of < math.inf for of in std):
        raise ValueError(f"colours {told}")
    return mean, std


def load(card: Card) -> MDNet:
    """The network of a card with its weights, in evaluation mode. Raises DataError as `cards.load`."""
    return cards.load(card.checkpoint, card.weights,
                      lambda: network(card.settings, card.training.row, len(card.vocabulary), len(card.parts),
                                      len(card.classes), *card.colours))
