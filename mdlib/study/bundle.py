"""A trained network as a folder that can be copied anywhere.

    checkpoint.pt   the weights; or weights.safetensors
    card.json       paper, run, settings, facts of the paper, training data, code, fingerprints of the other two files
    reference.npz   statistics of the training images, for the warnings about other images

These three files are all that `mdlib predict` needs, neither the collection nor the run folder. Nothing in them is
executed.
"""

import dataclasses
import functools
import hashlib
import shutil
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from torch import nn

from mdlib import reproducible, runs
from mdlib.errors import DataError, MdlibError
from mdlib.files import atomic, fingerprint, lock, read_json, write_json
from mdlib.training import checkpoints

FORMAT, CARD, REFERENCE = 2, "card.json", "reference.npz"
FURTHER = "shipped"         # the entry of the card that only networks have which come with mdlib (`study.shipped`)
KEYS = {"format", "paper", "run", "settings", "facts", "data", "reference", "code", "weights"}
AGAIN = "Copy the whole folder of the training again, or train anew."


class Origin(Protocol):
    """What is needed of a paper to use its networks: `study.paper.Paper` has it."""

    name: str
    default_run: Any                    # its class describes a run
    choose: Callable[[str, dict[str, Any]], Any]        # profile, overrides -> settings, checked
    build: Callable[[Any, Any, dict], nn.Module]        # run, settings, facts -> network; downloads nothing
    inference: str                      # the module with the paper's `Predictor` (see `study.inference`)


@dataclass(frozen=True, eq=False)
class Bundle:
    """A bundle whose card and reference have been read and checked; its weights are read when `model` is used."""

    checkpoint: Path
    paper: Origin
    run: Any                            # a RunSpec
    settings: Any
    facts: dict[str, Any]               # what the paper needs to build the network and to show its predictions
    data: dict[str, Any]                # name, phantoms and fingerprint of the collection; counts: images by part, …
    code: str
    weights: str                        # their fingerprint
    reference: dict[str, np.ndarray]

    @property
    def card(self) -> Path:
        """The file of the card."""
        return self.checkpoint.with_name(CARD)

    @functools.cached_property
    def model(self) -> nn.Module:
        """The network with its trained weights, in evaluation mode, on the CPU.

        Raises DataError for a damaged checkpoint, weights of another network, and others than those of the card.
        """
        weights = checkpoints.weights(self.checkpoint)
        if fingerprint_of(weights) != self.weights:
            raise DataError("these are not the weights that the card was written for", str(self.checkpoint), AGAIN)
        with checking(self.card):
            model = self.paper.build(self.run, self.settings, self.facts)
        try:
            model.load_state_dict(weights)
        except RuntimeError as error:
            raise DataError(f"the weights do not fit the network of the card ({str(error).splitlines()[0]})",
                            str(self.checkpoint), AGAIN) from None
        return model.eval()


def write(study, run) -> None:
    """Write card and reference beside the checkpoint of a run of a `Study`, where its paper gives it a card.

    Under torchrun call it in the first process only.
    """
    paper, data = study.paper, study.data
    facts = paper.card(study, run) if paper.card else None
    if facts is None:
        return
    train = data.labels("train", run)
    counts = {"train": len(train), "patients": int(train["patient"].nunique()),
              **{part: len(data.labels(part, run)) for part in paper.parts(run)}}
    described = data.description(run)
    key = fingerprint(described, run.fold, list(train.index), runs.table_code(paper.name))
    of_images = cached_arrays(study.folder / "references" / f"{key}.npz",
                              lambda: paper.reference(study, run) if paper.reference else {})
    write_files(study.run_folder(run), paper.name, run, study.settings, {**data.facts(run), **facts},
                {**described, "counts": counts}, of_images)


def refresh(study, trained) -> None:
    """Write again the cards of trained runs that other code has written, for instance before thresholds changed.

    Those of shipped networks stay as they came.
    """
    code = None
    for run in trained:
        card = study.run_folder(run) / CARD
        if card.exists() and FURTHER not in read_json(card):
            code = code or runs.table_code(study.paper.name)
            if read_json(card).get("card_code") != code:
                write(study, run)


def write_files(folder: Path, paper: str, run: Any, settings: Any, facts: dict[str, Any], data: dict[str, Any],
                reference: Path) -> None:
    """Write card and reference beside the checkpoint in `folder`; reference: the file that is copied.

    run, settings: dataclasses; facts, data: JSON, as in `Bundle`.
    """
    with atomic(folder / REFERENCE) as part:
        shutil.copyfile(reference, part)
    write_json(folder / CARD, {
        "format": FORMAT, "paper": paper, "run": dataclasses.asdict(run), "settings": dataclasses.asdict(settings),
        "facts": facts, "data": data, "reference": fingerprint(folder / REFERENCE),
        "code": reproducible.code_version(), "card_code": runs.table_code(paper),
        "weights": fingerprint_of(checkpoints.weights(folder / checkpoints.NAME))})


def cached_arrays(path: Path, compute: Callable[[], dict[str, np.ndarray]]) -> Path:
    """The npz file at `path` with the arrays of compute(), written by the first of several processes that need it.

    The same arrays give the same bytes, and one thread gives the same arrays in every process: decompositions by BLAS
    differ in their last bits with the number of threads.
    """
    with lock(path.with_suffix(".lock")):
        if not path.exists():
            with threadpool_limits(1, user_api="blas"):
                arrays = compute()
            with atomic(path) as part, zipfile.ZipFile(part, "w") as archive:
                for name, array in arrays.items():      # np.savez would also write the time, so never the same bytes
                    with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w") as file:
                        np.lib.format.write_array(file, np.asarray(array), allow_pickle=False)
    return path


def fingerprint_of(weights: dict[str, torch.Tensor]) -> str:
    """Sixteen hexadecimal digits that change with any weight."""
    return fingerprint({name: hashlib.sha256(value.detach().cpu().numpy().tobytes()).hexdigest()
                        for name, value in weights.items()})


def load(folder: Path | str, paper: Origin, without_card: str = "") -> Bundle:
    """The bundle in a folder, or beside a checkpoint file; the folder may also hold it one level down.

    without_card: which networks of the paper have no card, for the error. Raises DataError, naming the file, for a
    folder without checkpoint or card, a card of another paper or version, and a damaged one.
    """
    checkpoint = _checkpoint(Path(folder))
    path = checkpoint.with_name(CARD)
    if not path.exists():
        raise DataError(f"there is no {CARD} beside the checkpoint", str(checkpoint),
                        f"Name the folder of a finished training, RUN/networks/NAME. {without_card}".strip())
    card = _card(path, paper.name)
    with checking(path):
        run = _run(paper, card["run"])
        settings = paper.choose("paper", card["settings"])
        data = _data(card["data"])
        facts = dict(card["facts"])
    return Bundle(checkpoint, paper, run, settings, facts, data, str(card["code"]), str(card["weights"]),
                  _reference(checkpoint.with_name(REFERENCE), card["reference"]))


@contextmanager
def checking(card: Path) -> Iterator[None]:
    """What goes wrong while the entries of a card are interpreted becomes a DataError: the card is damaged."""
    try:
        yield
    except (MdlibError, LookupError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"a damaged card ({error})", str(card), AGAIN) from None


def _checkpoint(path: Path) -> Path:
    files = (checkpoints.NAME, checkpoints.SHIPPED)
    if path.is_dir() and not any((path / file).exists() for file in files):
        below = list(path.glob(f"*/{CARD}"))
        path = below[0].parent if len(below) == 1 else path
    if path.is_dir():
        path = next((path / file for file in files if (path / file).exists()), path / checkpoints.NAME)
    if not path.is_file():
        raise DataError("there is no checkpoint", str(path), "Name the folder of one training, RUN/networks/NAME, "
                        f"which holds {checkpoints.NAME}, {CARD} and {REFERENCE}.")
    return path


def _card(path: Path, paper: str) -> dict[str, Any]:
    card = read_json(path)
    if not isinstance(card, dict) or "format" not in card:
        raise DataError("this is not the card of a network", str(path), AGAIN)
    if card["format"] != FORMAT:
        raise DataError(f"a card of format {card['format']!r}; this version of mdlib reads format {FORMAT}", str(path),
                        "Use the version of mdlib that trained it, or train anew.")
    if missing := KEYS - set(card):
        raise DataError(f"a damaged card: {', '.join(sorted(missing))} missing", str(path), AGAIN)
    if card["paper"] != paper:
        raise DataError(f"a network of {card['paper']!r}, not of {paper!r}", str(path),
                        f"Use `mdlib predict {card['paper']}`.")
    return card


def _run(paper: Origin, values: dict[str, Any]) -> Any:
    run = type(paper.default_run)(**values)
    types = [{name: type(value) for name, value in dataclasses.asdict(one).items()} for one in (run, paper.default_run)]
    if types[0] != types[1]:
        raise ValueError(f"run {run}")
    return run


def _data(values: dict[str, Any]) -> dict[str, Any]:
    counts = {name: int(value) for name, value in values["counts"].items()}
    return {"name": str(values["name"]), "phantoms": bool(values["phantoms"]), "fingerprint": values["fingerprint"],
            "counts": counts}


def _reference(path: Path, expected: str) -> dict[str, np.ndarray]:
    try:
        if fingerprint(path) == expected:
            with np.load(path, allow_pickle=False) as arrays:
                return dict(arrays)
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise DataError(f"the statistics of the training images cannot be read ({type(error).__name__})", str(path),
                        AGAIN) from None
    raise DataError("this is not the file that the card was written with", str(path), AGAIN)
