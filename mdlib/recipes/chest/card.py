"""The card of a trained network: what has to be known beside its weights to predict anywhere.

    networks/<training>/checkpoint.pt   the weights
    networks/<training>/card.json       network, settings, classes, operating points, training data, code
    networks/<training>/reference.npz   what the training images look like, for the warnings

The three files are all that `mdlib predict` needs: neither the collection nor the run folder.
"""

import dataclasses
import hashlib
import math
import shutil
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from mdlib import reproducible, runs
from mdlib.data import checks, chestxray14
from mdlib.errors import DataError, SettingsError
from mdlib.evaluate import operating
from mdlib.files import alone, atomic, fingerprint, read_json, write_json
from mdlib.recipes.chest.chapter import Chapter
from mdlib.recipes.chest.networks import network
from mdlib.recipes.chest.plan import Training
from mdlib.recipes.chest.settings import PAPER_WEIGHTS, PROFILES, Chest
from mdlib.training import checkpoints

FORMAT, CARD, REFERENCE = 1, "card.json", "reference.npz"
AGAIN = "Copy the whole folder of the training again, or train anew."
KEYS = {"format", "chapter", "training", "settings", "operating_points", "data", "reference", "code", "weights"}


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
    reference: checks.Reference

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(self.operating_points.index)


def write(chapter: Chapter, training: Training, folder: Path, predictions: pd.DataFrame) -> None:
    """Write the card of a finished training beside the checkpoint in its `folder`, unless it is there already.

    predictions: as `trainings.predictions` gives them. Operating points and limits come from the part `val`; without it
    (a network that has learned from it) no card is written. Under torchrun call it in the first process only.
    """
    val = predictions[predictions["part"] == "val"]
    weights = fingerprint_of(checkpoints.weights(folder / checkpoints.NAME))
    if val.empty or ((folder / CARD).exists() and read_json(folder / CARD).get("weights") == weights):
        return
    shutil.copyfile(_reference(chapter, training.split), folder / REFERENCE)
    rows, classes = chapter.part("val", training.split), chapter.classes[-training.classes:]
    points = operating.choose(chapter.targets[rows][:, -training.classes:], val[list(classes)].to_numpy(), classes)
    write_json(folder / CARD, {
        "format": FORMAT, "chapter": "chest", "training": dataclasses.asdict(training),
        "settings": dataclasses.asdict(chapter.settings),
        "operating_points": {row.Index: [_plain(value) for value in row[1:]] for row in points.itertuples()},
        "data": {"name": chapter.xrays.data_dir.name, "phantoms": chapter.xrays.truth is not None,
                 "fingerprint": chapter.run.asked["data"], "validation": len(rows),
                 "train": len(chapter.part("train", training.split))},
        "reference": fingerprint(folder / REFERENCE), "code": reproducible.code_version(), "weights": weights})


def _plain(value: Any) -> float | int | None:
    """JSON knows neither NumPy's numbers nor NaN."""
    value = value.item() if isinstance(value, np.generic) else value
    return None if math.isnan(value) else value


def _reference(chapter: Chapter, split: int) -> Path:
    """The file in the run folder that says what the training images look like, once for all networks of a split."""
    path = chapter.run.folder / "references" / f"split{split}.npz"
    with alone(path.with_suffix(".lock")):
        if not path.exists():
            train, val = (chapter.part(part, split) for part in ("train", "val"))
            found = checks.reference(chapter.pixels, train, val, chapter.settings.crop)
            arrays = {field.name: getattr(found, field.name) for field in dataclasses.fields(found)}
            with atomic(path) as part, part.open("wb") as file:
                np.savez(file, **arrays | {"limits": [found.limits[name] for name in checks.CHECKS]})
    return path


def reference(chapter: Chapter) -> checks.Reference:
    """What the training images of the chapter's first split look like, with limits from its validation part."""
    return _opened(_reference(chapter, 0))


def fingerprint_of(weights: dict[str, torch.Tensor]) -> str:
    """Sixteen digits that change with any weight."""
    return fingerprint({name: hashlib.sha256(value.detach().cpu().numpy().tobytes()).hexdigest()
                        for name, value in weights.items()})


def read(checkpoint: Path | str) -> Card:
    """The card beside a checkpoint, which is given by its file or its folder. Nothing in it is run.

    Raises DataError for a folder without checkpoint or card, a card of another chapter, and a damaged one.
    """
    checkpoint = Path(checkpoint)
    checkpoint = checkpoint / checkpoints.NAME if checkpoint.is_dir() else checkpoint
    if not checkpoint.is_file():
        raise DataError("there is no checkpoint", str(checkpoint), "Name the folder of one training: "
                        f"RUN/networks/NAME, which holds {checkpoints.NAME}, {CARD} and {REFERENCE}.")
    path = checkpoint.with_name(CARD)
    if not path.exists():
        raise DataError(f"there is no {CARD} beside the checkpoint", str(checkpoint),
                        "Name a training on the part `train` alone (RUN/networks/NETWORK-train-seed0): one that has "
                        "learned from the validation part too has no card, for no images are left to choose its "
                        "thresholds on.")
    told = read_json(path)
    if not isinstance(told, dict) or not {"format", "chapter"} <= set(told):
        raise DataError("this is not the card of a network", str(path), AGAIN)
    if (told["format"], told["chapter"]) != (FORMAT, "chest"):
        raise DataError(f"a card of chapter {told['chapter']!r}, format {told['format']!r}; this is chest, format "
                        f"{FORMAT}", str(path), "Use the chapter and the version of mdlib that trained it.")
    if KEYS - set(told):
        raise DataError(f"a damaged card: {', '.join(sorted(KEYS - set(told)))} missing", str(path), AGAIN)
    return _checked(told, checkpoint, path)


def _checked(told: dict, checkpoint: Path, path: Path) -> Card:
    try:
        settings = replace(runs.check_overrides(PROFILES["paper"], told["settings"]), pretrained=False)
        training = Training(**told["training"])
        if training.classes not in (14, 15) or type(training.seed) is not int or training.network not in PAPER_WEIGHTS:
            raise ValueError(f"training {training}")
        classes = chestxray14.CLASSES[-training.classes:]
        points = pd.DataFrame.from_dict({name: told["operating_points"][name] for name in classes}, orient="index",
                                        columns=["threshold", *operating.RATES[:2], "positives", "negatives"],
                                        dtype=float)
        data = {"name": str(told["data"]["name"]), "phantoms": bool(told["data"]["phantoms"]),
                "fingerprint": str(told["data"]["fingerprint"]), "train": int(told["data"]["train"]),
                "validation": int(told["data"]["validation"])}
    except (SettingsError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"a damaged card ({error})", str(path), AGAIN) from None
    return Card(checkpoint, training, settings, points, data, str(told["code"]), str(told["weights"]),
                _read_reference(path.with_name(REFERENCE), told["reference"]))


def _read_reference(path: Path, expected: str) -> checks.Reference:
    try:
        if fingerprint(path) == expected:
            return _opened(path)
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise DataError(f"the reference images cannot be read ({type(error).__name__})", str(path), AGAIN) from None
    raise DataError("this is not the file that the card was written with", str(path), AGAIN)


def _opened(path: Path) -> checks.Reference:
    with np.load(path, allow_pickle=False) as kept:
        limits = dict(zip(checks.CHECKS, kept["limits"].tolist(), strict=True))
        return checks.Reference(kept["mean"], kept["patterns"], kept["variance"], limits, int(kept["trained"]),
                                int(kept["held_out"]))


def load(card: Card) -> nn.Module:
    """The network of a card with its weights, in evaluation mode.

    Raises DataError for a damaged checkpoint, one that does not fit the network, and other weights than the card's.
    """
    weights = checkpoints.weights(card.checkpoint)
    if fingerprint_of(weights) != card.weights:
        raise DataError("these are not the weights that the card was written for", str(card.checkpoint), AGAIN)
    try:
        model = network(card.training.network, card.settings, card.training.classes, card.training.normalise)
        model.load_state_dict(weights)
    except (RuntimeError, ValueError) as error:
        raise DataError(f"the weights do not fit the network of the card ({str(error).splitlines()[0]})",
                        str(card.checkpoint), AGAIN) from None
    return model.eval()
