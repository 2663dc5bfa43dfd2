"""Applying the networks of chapter 2 to volumes and images: reading as in training, and what a page shows."""

import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from lightning_fabric import Fabric

from mdlib.data.checks.bags import Reference
from mdlib.recipes.mims import card, explained, incoming, viewing
from mdlib.recipes.mims.incoming import Volume
from mdlib.recipes.mims.methods import NAMES
from mdlib.recipes.mims.plan import THREE_D
from mdlib.recipes.mims.settings import KERNELS, ONE_SIZE, shape_of
from mdlib.study import inference, pages
from mdlib.study.bundle import Bundle
from mdlib.study.inference import Source, cell, number

SLICES = ("slices", "used", "slice", "file", "log_odds")    # columns behind the classes


class Prediction(NamedTuple):
    """What a network predicts for a volume, and which of its slices it finds most suspicious."""

    probability: np.ndarray     # (K,)
    most: int                   # the most suspicious slice, among those that the network sees
    log_odds: float             # of the class of interest, of that slice alone


class Predictor(inference.Predictor):
    """Volumes one by one, or single images where the network was trained on them."""

    unit, batch_size = "volume", 1
    without_card = "The network that others start from (mi_pre-shapes-…) has no card."

    def __init__(self, bundle: Bundle):
        super().__init__(bundle)
        training, facts = bundle.run, bundle.facts
        self.classes, self.colour = tuple(facts["classes"]), facts["colour"]     # the class of interest is the last
        if len(self.classes) < 2 or not all(isinstance(name, str) for name in self.classes) \
                or type(self.colour) is not bool:
            raise ValueError(f"classes {self.classes}, colour {self.colour}")
        self.collection, self.n_central = training.collection, bundle.settings.central
        if self.collection not in KERNELS:
            raise ValueError(f"collection {self.collection!r}")
        self.name = f"{training.slug} ({NAMES[training.method]})"
        self.shape = shape_of(bundle.settings, self.collection)
        self.reference = Reference.from_arrays(bundle.reference)
        self.of_volumes = self.collection in (*THREE_D, ONE_SIZE)       # not of single images
        self.n_train = bundle.data["counts"]["train"]

    @property
    def columns(self) -> Sequence[str]:
        """Slices are counted from 1 in the whole volume."""
        return *map(cell, self.classes), *SLICES

    def find(self, paths: Iterable[Path | str]) -> list[Source]:
        return incoming.find(paths, apart=not self.of_volumes)

    def read(self, source: Source, name: str, given: Mapping[str, Any]) -> Volume:
        return incoming.read(self, source, name)

    def predict(self, fabric: Fabric, volumes: Sequence[Volume], with_maps: bool) -> Iterator[Prediction]:
        """All slices in one bag, and each in a bag of its own (appendix C); `case` computes the maps."""
        for volume in volumes:
            with fabric.autocast():
                whole, alone = explained.said(self.bundle.model, volume.slices)
            suspicion = explained.suspicion(alone.double()).numpy()
            most = int(suspicion.argmax())
            yield Prediction(whole.double().softmax(dim=0).numpy(), most, float(suspicion[most]))

    def rows(self, volume: Volume, prediction: Prediction) -> list[list]:
        return [[*map(number, prediction.probability), volume.count, len(volume.places),
                 volume.places[prediction.most][2] + 1, cell(volume.where(prediction.most)),
                 number(prediction.log_odds)]]

    def case(self, volume: Volume, prediction: Prediction) -> dict[str, Any]:
        """The slices with their maps; what is true of the volume is not known."""
        name = pages.plain(volume.name)
        return viewing.answers(self.bundle.model, self.classes, volume.slices) | {
            "image": volume.images, "probability": prediction.probability, "truth": np.full(len(self.classes), np.nan),
            "name": name, "alt": f"The volume {name}, as far as the network sees it"}

    def text(self, volume: Volume, prediction: Prediction) -> str:
        """The probability of each class, and the most suspicious slice."""
        return (pages.probabilities(self.classes, prediction.probability, "; the paper gives no threshold")
                + pages.paragraph(self._slices(volume, prediction)))

    def _slices(self, volume: Volume, prediction: Prediction) -> str:
        if volume.count == 1:
            return "It has a single slice."
        first, last = (volume.places[i][2] + 1 for i in (0, -1))
        return (f"The network sees slices {first} to {last} of {volume.count}; below they are counted from 1. Applied "
                f"to each slice alone, it finds slice {prediction.most + 1} of these "
                f"({pages.plain(volume.where(prediction.most))}) the most suspicious of {self.classes[-1]}: log-odds "
                f"{prediction.log_odds:.2f}.")

    def description(self) -> str:
        bags = "volumes" if self.of_volumes else "images or eyes"
        origin = pages.origin(self.name, f"{self.n_train:,} {bags}", self.bundle.data, "images")
        return (f"{origin} It sees {self.shape[0]} x {self.shape[1]} pixels of at most {self.n_central} central "
                "slices.")


predict = functools.partial(inference.predict, card.ORIGIN)
description = functools.partial(inference.description, card.ORIGIN)
