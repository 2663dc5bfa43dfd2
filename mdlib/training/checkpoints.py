"""The state of a training after its last whole epoch: written whole or not at all, read without running any code."""

import json
import zipfile
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from mdlib.errors import DataError, SettingsError
from mdlib.files import atomic

NAME, SHIPPED = "checkpoint.pt", "weights.safetensors"
AGAIN = "Delete it to train again from the beginning."


def write(folder: Path, model: nn.Module, optimizer: Optimizer, history: list[dict], settings: dict) -> None:
    """Replace the checkpoint in `folder` by the present state, atomically; clear away what killed writers have left.

    No random state is kept: `fit` seeds every epoch anew, so the next epoch's chance depends on no earlier one.
    """
    for part in folder.glob(f".{NAME}.*.part"):
        part.unlink(missing_ok=True)
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "history": history,
             "settings": _text(settings)}
    with atomic(folder / NAME) as part:
        torch.save(state, part)


def resume(folder: Path, model: nn.Module, optimizer: Optimizer, settings: dict, epochs: int) -> list[dict]:
    """Bring model and optimizer to the checkpoint in `folder`; return its history, empty where there is none.

    Only tensors and plain values are read (`weights_only`): a file that carries code is refused as damaged. Raises
    DataError for a damaged file, SettingsError for one trained otherwise or for more than `epochs`.
    """
    path = folder / NAME
    if not path.exists():
        return []
    state = _read(path)
    _compare(json.loads(state["settings"]), json.loads(_text(settings)), path)
    if len(state["history"]) > epochs:
        raise SettingsError(f"{len(state['history'])} epochs are trained already, {epochs} are asked for", str(path),
                            f"Use another folder. {AGAIN}")
    try:
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
    except (RuntimeError, ValueError, KeyError) as error:
        first = str(error).splitlines()[0]
        raise SettingsError(f"these are the weights of another network ({first})", str(path),
                            f"Use another folder. {AGAIN}") from error
    return state["history"]


def weights(path: Path) -> dict[str, Tensor]:
    """The weights in a checkpoint file or a safetensors file, by name, on the CPU, in single precision.

    Raises DataError for a damaged file.
    """
    if path.suffix != ".safetensors":
        return _read(path)["model"]
    try:
        stored = load_file(path)
    except (OSError, SafetensorError) as error:
        raise DataError(f"these are no weights, or damaged ones ({type(error).__name__})", str(path),
                        "Copy the file again.") from error
    return {name: value.float() if value.is_floating_point() else value for name, value in stored.items()}


def write_half(path: Path, weights: dict[str, Tensor]) -> None:
    """Write weights in half precision as a safetensors file: the same bytes for the same weights."""
    with atomic(path) as part:
        save_file({name: (value.half() if value.is_floating_point() else value).contiguous()
                   for name, value in weights.items()}, part)


def write_weights(folder: Path, weights: dict[str, Tensor]) -> None:
    """Write a checkpoint in `folder` that can be loaded, but from which no training goes on."""
    with atomic(folder / NAME) as part:
        torch.save({"model": weights, "optimizer": {}, "history": [], "settings": _text({})}, part)


def load(model: nn.Module, folder: Path) -> nn.Module:
    """`model` with the weights of the checkpoint in `folder`, in the order of memory in which they were trained.

    Raises DataError for a damaged file, SettingsError for the weights of another network.
    """
    path = folder / NAME
    try:
        model.load_state_dict(weights(path), assign=True)
    except RuntimeError as error:
        raise SettingsError(f"these are the weights of another network ({str(error).splitlines()[0]})", str(path),
                            f"Use another folder. {AGAIN}") from error
    return model


def _read(path: Path) -> dict[str, Any]:
    try:
        with zipfile.ZipFile(path) as archive:  # torch reads without looking at the checksums it wrote
            broken = archive.testzip()
        state = None if broken else torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged bytes make torch.load raise almost any kind
        raise DataError(f"this is not a checkpoint, or a damaged one ({type(error).__name__})", str(path),
                        AGAIN) from error
    if broken:
        raise DataError(f"a damaged checkpoint: the checksum of {broken} is wrong", str(path), AGAIN)
    missing = {"model", "optimizer", "history", "settings"} - set(state if isinstance(state, dict) else ())
    if missing:
        raise DataError(f"this is not a checkpoint of fit: {', '.join(sorted(missing))} missing", str(path), AGAIN)
    return state


def _compare(kept: dict, asked: dict, path: Path) -> None:
    differing = [f"{key} (there {kept.get(key, 'not set')}, asked {asked.get(key, 'not set')})"
                 for key in sorted(kept.keys() | asked.keys())
                 if (key in kept, kept.get(key)) != (key in asked, asked.get(key))]
    if differing:
        raise SettingsError(f"trained with other settings: {'; '.join(differing)}", str(path),
                            f"Ask for the same settings or use another folder. {AGAIN}")


def _text(settings: dict) -> str:
    return json.dumps(settings, sort_keys=True, default=str)
