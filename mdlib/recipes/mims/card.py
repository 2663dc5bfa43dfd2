"""The card of a trained network of chapter 2: method, collection, classes, settings, and what it has seen."""

import dataclasses
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from mdlib.data.bags import BagSamples
from mdlib.data.phantoms.collection import is_phantom
from mdlib.recipes import cards, unlike
from mdlib.recipes.mims import reference
from mdlib.recipes.mims.chapter import Chapter
from mdlib.recipes.mims.methods import METHODS, POOLINGS
from mdlib.recipes.mims.networks import network
from mdlib.recipes.mims.plan import THREE_D, Training
from mdlib.recipes.mims.settings import KERNELS, ONE_SIZE, Mims, choose, shape_of


@dataclass(frozen=True, eq=False)
class Card:
    """What a card says, checked."""

    checkpoint: Path
    training: Training
    settings: Mims
    classes: tuple[str, ...]         # the class of interest is the last
    colour: bool                     # whether pictures are read as red, green and blue
    data: dict[str, Any]             # name, phantoms, fingerprint, train, test: of the collection, bags
    code: str
    weights: str
    reference: reference.Reference

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of a picture as the network sees it."""
        return shape_of(self.settings, self.training.collection)

    @property
    def volumes(self) -> bool:
        """Whether it has learned from volumes of slices, not from single pictures."""
        return self.training.collection in (*THREE_D, ONE_SIZE)


def write(chapter: Chapter, training: Training, folder: Path, train: BagSamples, test: BagSamples) -> None:
    """Write the card of a finished training beside the checkpoint in its `folder`, unless it is there already.

    train, test: all central slices of the bags that it has learned from, and of those that it is tested on, which give
    the limits of the warnings. Under torchrun call it in the first process only.
    """
    cards.write(folder, "mims", lambda: _told(chapter, training, train, test))


def _told(chapter: Chapter, training: Training, train: BagSamples, test: BagSamples) -> tuple[Path, dict[str, Any]]:
    """The file of the reference, and what the card says."""
    bags = chapter.bags(training.collection)
    return _reference(chapter, training, train, test), {
        "training": dataclasses.asdict(training), "settings": dataclasses.asdict(chapter.settings),
        "classes": list(bags.classes), "colour": bags.colour,
        "data": {"name": f"{chapter.data_dir.name}/{training.collection}", "phantoms": is_phantom(bags.data_dir),
                 "fingerprint": chapter.run.asked["data"][training.collection], "train": len(train),
                 "test": len(test)}}


def _reference(chapter: Chapter, training: Training, train: BagSamples, test: BagSamples) -> Path:
    """The file in the run folder that says what the training pictures look like, once for all networks of a part."""
    def arrays() -> dict[str, np.ndarray]:
        bags = chapter.bags(training.collection)
        files, first = bags.paths(), bags.table["first"]
        of_bags = [files[first.iloc[row]] for row in train.rows[unlike.spread(len(train))]]
        return reference.reference(train, test, of_bags, chapter.settings.fewest).arrays()
    return cards.kept_once(chapter.run.folder / "references" / f"{training.collection}-fold{training.fold}.npz", arrays)


def read(checkpoint: Path | str) -> Card:
    """The card beside a checkpoint, given by its file, its folder, or the folder of the training. Nothing in it is run.

    Raises DataError for a folder without checkpoint or card, a card of another chapter, and a damaged one.
    """
    checkpoint, told = cards.read(checkpoint, "mims", {"classes", "colour"},
                                  "Name the folder of a finished training, RUN/networks/METHOD-COLLECTION-seed0.")
    with cards.checking(checkpoint):
        settings = replace(choose("paper", told["settings"]), pretrained="none")    # its weights come from the file
        training, classes = Training(**told["training"]), tuple(told["classes"])
        if (training.method not in METHODS or training.pooling not in POOLINGS or training.collection not in KERNELS
                or {type(training.fold), type(training.seed)} != {int}):
            raise ValueError(f"training {training}")
        if len(classes) < 2 or not all(isinstance(name, str) for name in classes) or type(told["colour"]) is not bool:
            raise ValueError(f"classes {classes}, colour {told['colour']}")
        data = cards.data_of(told, "train", "test")
    return Card(checkpoint, training, settings, classes, told["colour"], data, str(told["code"]), str(told["weights"]),
                cards.read_reference(checkpoint, told["reference"], reference.opened))


def load(card: Card) -> nn.Module:
    """The network of a card with its weights, in evaluation mode. Raises DataError as `cards.load`."""
    of = card.training
    return cards.load(card.checkpoint, card.weights,
                      lambda: network(of.method, of.collection, card.settings, of.pooling, len(card.classes)))
