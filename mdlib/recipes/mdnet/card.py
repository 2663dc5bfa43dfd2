"""What a network of chapter 5 that writes reports needs beside its weights to predict anywhere (see `study.bundle`)."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from mdlib.data.checks.colour_images import reference
from mdlib.data.checks.limits import evenly_spaced
from mdlib.data.phantoms.collection import is_phantom
from mdlib.data.vocabulary import Vocabulary
from mdlib.models.mdnet import MDNet
from mdlib.recipes.mdnet.chapter import Chapter
from mdlib.recipes.mdnet.networks import network
from mdlib.recipes.mdnet.plan import Training
from mdlib.recipes.mdnet.rows import EVERY
from mdlib.recipes.mdnet.settings import Settings, choose
from mdlib.study import bundle


def build(training: Training, settings: Settings, facts: dict[str, Any]) -> MDNet:
    """The network of a training, to be filled with its trained weights."""
    return network(settings, training.row, len(Vocabulary(tuple(facts["words"]))), len(facts["parts"]),
                   len(facts["classes"]), *facts["colours"])


ORIGIN = SimpleNamespace(name="mdnet", default_run=Training("mdnet"), choose=choose, build=build,
                         inference="mdlib.recipes.mdnet.predict")


def write(chapter: Chapter, training: Training, folder: Path) -> None:
    """Write the card of a finished training beside the checkpoint in its `folder`.

    An image model writes no report, and gets none. The limits of the warnings are of the test part, which no network of
    the fold has learned from. Under torchrun call it in the first process only.
    """
    if training.row not in EVERY:
        return
    reports, fold = chapter.reports, training.fold
    train, test = (chapter.part(part, fold) for part in ("train", "test"))

    def arrays() -> dict[str, np.ndarray]:
        some, others = (rows[evenly_spaced(len(rows))] for rows in (train, test))
        files = reports.paths()
        return reference((chapter.pixels[row] for row in some), (chapter.pixels[row] for row in others),
                         [files[row] for row in some]).arrays()

    facts = {"words": list(chapter.vocabulary(fold).words), "parts": list(reports.parts),
             "classes": list(reports.classes), "colours": chapter.colour(fold)}
    counts = {"train": len(train), "test": len(test),
              "patients": int(reports.table["patient"].iloc[train].nunique())}
    data = {"name": chapter.data_dir.name, "phantoms": is_phantom(chapter.data_dir),
            "fingerprint": chapter.run.asked["data"], "counts": counts}
    bundle.write_files(folder, "mdnet", training, chapter.settings, facts, data, bundle.cached_arrays(
        chapter.run.folder / "references" / f"fold{fold}.npz", arrays))
