"""The card of a trained network of chapter 1: network, settings, operating points, and what its images look like."""

import dataclasses
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from torch import nn

from mdlib import runs
from mdlib.data import chestxray14
from mdlib.data.checks import radiographs
from mdlib.evaluate import thresholds
from mdlib.recipes import cards
from mdlib.recipes.chest.chapter import Chapter
from mdlib.recipes.chest.networks import network
from mdlib.recipes.chest.plan import Training
from mdlib.recipes.chest.settings import PAPER_WEIGHTS, PROFILES, Chest


@dataclass(frozen=True, eq=False)
class Card:
    """What a card says, checked."""

    checkpoint: Path
    training: Training
    settings: Chest
    operating_points: pd.DataFrame   # a row a class: threshold, sensitivity, specificity, positives, negatives
    data: dict[str, Any]             # name, phantoms, fingerprint, train, validation: of the collection, images
    code: str
    weights: str
    reference: radiographs.Reference

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(self.operating_points.index)


def write(chapter: Chapter, training: Training, folder: Path, predictions: pd.DataFrame) -> None:
    """Write the card of a finished training beside the checkpoint in its `folder`, unless it is there already.

    predictions: as `trainings.predictions` gives them. Operating points and limits come from the part `val`; without it
    (a network that has learned from it) no card is written. Under torchrun call it in the first process only.
    """
    val = predictions[predictions["part"] == "val"]
    if not val.empty:
        cards.write(folder, "chest", lambda: _told(chapter, training, val))


def _told(chapter: Chapter, training: Training, val: pd.DataFrame) -> tuple[Path, dict[str, Any]]:
    """The file of the reference, and what the card says."""
    rows, classes = chapter.part("val", training.split), chapter.classes[-training.classes:]
    points = thresholds.choose(chapter.targets[rows][:, -training.classes:], val[list(classes)].to_numpy(), classes)
    return _reference(chapter, training.split), {
        "training": dataclasses.asdict(training), "settings": dataclasses.asdict(chapter.settings),
        "operating_points": {row.Index: [_plain(value) for value in row[1:]] for row in points.itertuples()},
        "data": {"name": chapter.xrays.data_dir.name, "phantoms": chapter.xrays.truth is not None,
                 "fingerprint": chapter.run.asked["data"], "validation": len(rows),
                 "train": len(chapter.part("train", training.split))}}


def _plain(value: Any) -> float | int | None:
    """JSON knows neither NumPy's numbers nor NaN."""
    value = value.item() if isinstance(value, np.generic) else value
    return None if math.isnan(value) else value


def _reference(chapter: Chapter, split: int) -> Path:
    """The file in the run folder that says what the training images look like, once for all networks of a split."""
    def arrays() -> dict[str, Any]:
        train, val = (chapter.part(part, split) for part in ("train", "val"))
        return radiographs.reference(chapter.pixels, train, val, chapter.settings.crop).arrays()
    return cards.kept_once(chapter.run.folder / "references" / f"split{split}.npz", arrays)


def reference(chapter: Chapter) -> radiographs.Reference:
    """What the training images of the chapter's first split look like, with limits from its validation part."""
    with np.load(_reference(chapter, 0), allow_pickle=False) as kept:
        return _opened(dict(kept))


def read(checkpoint: Path | str) -> Card:
    """The card beside a checkpoint, which is given by its file or its folder. Nothing in it is run.

    Raises DataError for a folder without checkpoint or card, a card of another chapter, and a damaged one.
    """
    return _checked(*cards.read(
        checkpoint, "chest", {"operating_points"}, "Name a training on the part `train` alone "
        "(RUN/networks/NETWORK-train-seed0): one that has learned from the validation part too has no card, for no "
        "images are left to choose its thresholds on."))


def _checked(checkpoint: Path, told: dict[str, Any]) -> Card:
    with cards.checking(checkpoint):
        settings = replace(runs.check_overrides(PROFILES["paper"], told["settings"]), pretrained=False)
        training = Training(**told["training"])
        if training.classes not in (14, 15) or type(training.seed) is not int or training.network not in PAPER_WEIGHTS:
            raise ValueError(f"training {training}")
        classes = chestxray14.CLASSES[-training.classes:]
        points = pd.DataFrame.from_dict({name: told["operating_points"][name] for name in classes}, orient="index",
                                        columns=["threshold", *thresholds.RATES[:2], "positives", "negatives"],
                                        dtype=float)
        data = cards.data_of(told, "train", "validation")
    return Card(checkpoint, training, settings, points, data, str(told["code"]), str(told["weights"]),
                cards.read_reference(checkpoint, told["reference"], _opened))


def _opened(kept: dict[str, np.ndarray]) -> radiographs.Reference:
    return radiographs.Reference.from_arrays(kept)


def load(card: Card) -> nn.Module:
    """The network of a card with its weights, in evaluation mode. Raises DataError as `cards.load`."""
    asked = card.training
    return cards.load(card.checkpoint, card.weights,
                      lambda: network(asked.network, card.settings, asked.classes, asked.normalise))
