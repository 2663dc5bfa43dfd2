"""The card of a trained network, of any chapter: what has to be known beside its weights to predict anywhere.

    FOLDER/checkpoint.pt   the weights
    FOLDER/card.json       network, settings, classes, training data, code, fingerprint of the weights
    FOLDER/reference.npz   what the training images look like, for the warnings

The three files are all that `mdlib predict` needs: neither the collection nor the run folder. Nothing in them is run.
"""

import hashlib
import shutil
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import nn

from mdlib import reproducible
from mdlib.errors import DataError, MdlibError
from mdlib.files import atomic, fingerprint, lock, read_json, write_json
from mdlib.training import checkpoints

Of = TypeVar("Of")
FORMAT, CARD, REFERENCE = 1, "card.json", "reference.npz"
AGAIN = "Copy the whole folder of the training again, or train anew."
KEYS = {"format", "chapter", "training", "settings", "data", "reference", "code", "weights"}


def fingerprint_of(weights: dict[str, torch.Tensor]) -> str:
    """Sixteen digits that change with any weight."""
    return fingerprint({name: hashlib.sha256(value.detach().cpu().numpy().tobytes()).hexdigest()
                        for name, value in weights.items()})


def write(folder: Path, chapter: str, told: Callable[[], tuple[Path, dict[str, Any]]]) -> None:
    """Write the card beside the checkpoint in `folder`, unless that of the same weights is there already.

    told() gives the file of the reference, which is copied, and what the card says beyond the code and the
    fingerprints. Under torchrun call it in the first process only.
    """
    weights = fingerprint_of(checkpoints.weights(folder / checkpoints.NAME))
    if (folder / CARD).exists() and read_json(folder / CARD).get("weights") == weights:
        return
    reference, facts = told()
    shutil.copyfile(reference, folder / REFERENCE)
    write_json(folder / CARD, {"format": FORMAT, "chapter": chapter, **facts,
                               "reference": fingerprint(folder / REFERENCE), "code": reproducible.code_version(),
                               "weights": weights})


def read(checkpoint: Path | str, chapter: str, further: set[str], lacking: str) -> tuple[Path, dict[str, Any]]:
    """The file of a checkpoint, given by itself or by its folder, and what its card says, not yet checked.

    A folder may also hold the checkpoint one level down, beside the only card there. further: entries that the
    chapter's cards have beyond KEYS; lacking: what to do where there is no card. Raises DataError for a folder without
    checkpoint or card, a card of another chapter, and a damaged one.
    """
    checkpoint = _file(Path(checkpoint))
    path = checkpoint.with_name(CARD)
    if not path.exists():
        raise DataError(f"there is no {CARD} beside the checkpoint", str(checkpoint), lacking)
    told = read_json(path)
    if not isinstance(told, dict) or not {"format", "chapter"} <= set(told):
        raise DataError("this is not the card of a network", str(path), AGAIN)
    if (told["format"], told["chapter"]) != (FORMAT, chapter):
        raise DataError(f"a card of chapter {told['chapter']!r}, format {told['format']!r}; this is {chapter}, format "
                        f"{FORMAT}", str(path), "Use the chapter and the version of mdlib that trained it.")
    if missing := (KEYS | further) - set(told):
        raise DataError(f"a damaged card: {', '.join(sorted(missing))} missing", str(path), AGAIN)
    return checkpoint, told


def _file(checkpoint: Path) -> Path:
    if checkpoint.is_dir() and not (checkpoint / checkpoints.NAME).exists():
        below = list(checkpoint.glob(f"*/{CARD}"))
        checkpoint = below[0].parent if len(below) == 1 else checkpoint
    checkpoint = checkpoint / checkpoints.NAME if checkpoint.is_dir() else checkpoint
    if not checkpoint.is_file():
        raise DataError("there is no checkpoint", str(checkpoint), "Name the folder of one training: "
                        f"RUN/networks/NAME, which holds {checkpoints.NAME}, {CARD} and {REFERENCE}.")
    return checkpoint


@contextmanager
def checking(checkpoint: Path) -> Iterator[None]:
    """What goes wrong while the entries of a card are checked becomes a DataError: the card is damaged."""
    try:
        yield
    except (MdlibError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"a damaged card ({error})", str(checkpoint.with_name(CARD)), AGAIN) from None


def data_of(told: dict[str, Any], *counts: str) -> dict[str, Any]:
    """What a card says of the collection: name, phantoms, fingerprint, and these counts. Raises as `checking` takes."""
    data = told["data"]
    return {"name": str(data["name"]), "phantoms": bool(data["phantoms"]), "fingerprint": str(data["fingerprint"]),
            **{name: int(data[name]) for name in counts}}


def kept_once(path: Path, arrays: Callable[[], dict[str, Any]]) -> Path:
    """The file of a run that holds what arrays() gives, written by the first of several processes that ask for it."""
    with lock(path.with_suffix(".lock")):
        if not path.exists():
            found = arrays()
            with atomic(path) as part, part.open("wb") as file:
                np.savez(file, **found)
    return path


def read_reference(checkpoint: Path, expected: str, opened: Callable[[dict[str, np.ndarray]], Of]) -> Of:
    """What `opened` makes of the arrays beside a checkpoint. Raises DataError for another file than the card's."""
    path = checkpoint.with_name(REFERENCE)
    try:
        if fingerprint(path) == expected:
            with np.load(path, allow_pickle=False) as kept:
                return opened(dict(kept))
    except (OSError, KeyError, ValueError, TypeError, zipfile.BadZipFile) as error:
        raise DataError(f"the reference images cannot be read ({type(error).__name__})", str(path), AGAIN) from None
    raise DataError("this is not the file that the card was written with", str(path), AGAIN)


def load(checkpoint: Path, expected: str, build: Callable[[], nn.Module]) -> nn.Module:
    """The network that build() makes with the weights of a checkpoint, in evaluation mode.

    Raises DataError for a damaged checkpoint, one that does not fit the network, and other weights than `expected`.
    """
    weights = checkpoints.weights(checkpoint)
    if fingerprint_of(weights) != expected:
        raise DataError("these are not the weights that the card was written for", str(checkpoint), AGAIN)
    try:
        model = build()
        model.load_state_dict(weights)
    except (RuntimeError, ValueError) as error:
        raise DataError(f"the weights do not fit the network of the card ({str(error).splitlines()[0]})",
                        str(checkpoint), AGAIN) from None
    return model.eval()
