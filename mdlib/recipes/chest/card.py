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
from lightning_fabric import Fabric
from torch import nn

from mdlib import reproducible, runs
from mdlib.data import checks, chestxray14
from mdlib.errors import DataError, SettingsError
from mdlib.evaluate import operating
from mdlib.files import alone, atomic, fingerprint, read_json, write_json
from mdlib.recipes.chest.chapter import Chapter
from mdlib.recipes.chest.networks import inputs, network
from mdlib.recipes.chest.settings import PROFILES, Chest
from mdlib.training import checkpoints, loop

FORMAT, CARD, REFERENCE = 1, "card.json", "reference.npz"
AGAIN = "Copy the whole folder of the training again, or train anew."
KEYS = {"format", "chapter", "network", "seed", "settings", "classes", "operating_points", "data", "reference", "code",
        "weights"}


@dataclass(frozen=True, eq=False)
class Card:
    """What a card says, checked."""

    checkpoint: Path
    network: str
    seed: int
    settings: Chest
    operating_points: pd.DataFrame   # a row a class: threshold, sensitivity, specificity, positives, negatives
    data: dict[str, Any]             # name, phantoms, fingerprint, train, validation: of the collection, images
    code: str
    weights: str
    reference: checks.Reference

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(self.operating_points.index)


def write(chapter: Chapter, folder: Path, name: str, seed: int, model: nn.Module, fabric: Fabric) -> None:
    """Write the card of a network beside its checkpoint in `folder`, unless it is there already.

    name: of the network, as in PAPER_WEIGHTS. Operating points and limits come from the validation part of `chapter`:
    give no card to a network that has learned from it. Under torchrun call it in the first process only.
    """
    weights = fingerprint_of(model.state_dict())
    if (folder / CARD).exists() and read_json(folder / CARD).get("weights") == weights:
        return
    shutil.copyfile(_reference(chapter), folder / REFERENCE)
    logits = loop.predict(fabric, model, chapter.samples("val"), batch=64, inputs=inputs(name))["logits"]
    points = operating.choose(chapter.targets[chapter.rows["val"]], 1 / (1 + np.exp(-logits)), chapter.classes)
    write_json(folder / CARD, {
        "format": FORMAT, "chapter": "chest", "network": name, "seed": seed,
        "settings": dataclasses.asdict(chapter.settings), "classes": list(chapter.classes),
        "operating_points": {row.Index: [_plain(value) for value in row[1:]] for row in points.itertuples()},
        "data": {"name": chapter.xrays.data_dir.name, "phantoms": chapter.xrays.truth is not None,
                 "fingerprint": chapter.run.asked["data"], "train": len(chapter.rows["train"]),
                 "validation": len(chapter.rows["val"])},
        "reference": fingerprint(folder / REFERENCE), "code": reproducible.code_version(), "weights": weights})


def _plain(value: Any) -> float | int | None:
    """JSON knows neither NumPy's numbers nor NaN."""
    value = value.item() if isinstance(value, np.generic) else value
    return None if math.isnan(value) else value


def _reference(chapter: Chapter) -> Path:
    """The file in the run folder that says what its training images look like; made once for all its networks."""
    train, val = (chapter.rows[part] for part in ("train", "val"))
    of = fingerprint(train.tolist(), val.tolist(), chapter.settings.resize, chapter.settings.crop)
    path = chapter.run.folder / "references" / f"{of}.npz"
    with alone(path.with_suffix(".lock")):
        if not path.exists():
            found = checks.reference(chapter.pixels, train, val, chapter.settings.crop)
            arrays = {field.name: getattr(found, field.name) for field in dataclasses.fields(found)}
            with atomic(path) as part, part.open("wb") as file:
                np.savez(file, **arrays | {"limits": [found.limits[name] for name in checks.CHECKS]})
    return path


def reference(chapter: Chapter) -> checks.Reference:
    """What the training images of the chapter look like, with limits from its validation part."""
    return _opened(_reference(chapter))


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
                        "Run the chapter again: what is trained is kept, and the card is added. A network that has "
                        "learned from the validation part has none: nothing is left to choose its thresholds on.")
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
        classes = chestxray14.CLASSES[-settings.classes:]
        if tuple(told["classes"]) != classes:
            raise ValueError(f"classes {told['classes']}")
        points = pd.DataFrame.from_dict({name: told["operating_points"][name] for name in classes}, orient="index",
                                        columns=["threshold", *operating.RATES[:2], "positives", "negatives"],
                                        dtype=float)
        data = {"name": str(told["data"]["name"]), "phantoms": bool(told["data"]["phantoms"]),
                "fingerprint": str(told["data"]["fingerprint"]), "train": int(told["data"]["train"]),
                "validation": int(told["data"]["validation"])}
    except (SettingsError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"a damaged card ({error})", str(path), AGAIN) from None
    return Card(checkpoint, str(told["network"]), told["seed"], settings, points, data, str(told["code"]),
                str(told["weights"]), _read_reference(path.with_name(REFERENCE), told["reference"]))


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
        model = network(card.network, card.settings)
        model.load_state_dict(weights)
    except (RuntimeError, SettingsError) as error:
        raise DataError(f"the weights do not fit the network of the card ({str(error).splitlines()[0]})",
                        str(card.checkpoint), AGAIN) from None
    return model.eval()
