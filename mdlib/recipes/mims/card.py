"""What a network of chapter 2 needs beside its weights to predict anywhere (see `study.bundle`)."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from torch import nn

from mdlib.data.bags import BagSamples
from mdlib.data.checks.bags import reference
from mdlib.data.checks.limits import evenly_spaced
from mdlib.data.phantoms.collection import is_phantom
from mdlib.recipes.mims.chapter import Chapter
from mdlib.recipes.mims.networks import network
from mdlib.recipes.mims.plan import Training
from mdlib.recipes.mims.settings import Mims, choose
from mdlib.study import bundle


def build(training: Training, settings: Mims, facts: dict[str, Any]) -> nn.Module:
    """The network of a training, to be filled with its trained weights."""
    return network(training.method, training.collection, replace(settings, pretrained="none"), training.pooling,
                   len(facts["classes"]))


ORIGIN = SimpleNamespace(name="mims", default_run=Training("mims", "cirrus"), choose=choose, build=build,
                         inference="mdlib.recipes.mims.predict")


def write(chapter: Chapter, training: Training, folder: Path, train: BagSamples, test: BagSamples) -> None:
    """Write the card of a finished training beside the checkpoint in its `folder`.

    train, test: all central slices of the bags that it was trained on, and of those that it is tested on, which give
    the limits of the warnings. Under torchrun call it in the first process only.
    """
    bags = chapter.bags(training.collection)
    files, first = bags.paths(), bags.table["first"]

    def arrays() -> dict[str, np.ndarray]:
        of_bags = [files[first.iloc[row]] for row in train.rows[evenly_spaced(len(train))]]
        return reference(train, test, of_bags, chapter.settings.fewest).arrays()

    path = chapter.run.folder / "references" / f"{training.collection}-fold{training.fold}.npz"
    data = {"name": f"{chapter.data_dir.name}/{training.collection}", "phantoms": is_phantom(bags.data_dir),
            "fingerprint": chapter.run.asked["data"][training.collection],
            "counts": {"train": len(train), "test": len(test)}}
    bundle.write_files(folder, "mims", training, chapter.settings,
                       {"classes": list(bags.classes), "colour": bags.colour}, data, bundle.cached_arrays(path, arrays))
