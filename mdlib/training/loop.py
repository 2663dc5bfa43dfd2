"""One training loop for every paper: device, precision and processes through Lightning Fabric, resumable to the bit.

What makes it repeatable: the order of the data and every draw of an epoch follow from (seed, epoch, process) alone, and
a checkpoint is written after each whole epoch. A killed run repeats its broken epoch and comes to the same weights.
"""

import math
import os
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader, Dataset, DistributedSampler

from mdlib.errors import SettingsError
from mdlib.progress import track
from mdlib.reproducible import choose_device, seed_everything
from mdlib.training import checkpoints
from mdlib.training.watch import LossWatch

PRECISIONS = ("32-true", "bf16-mixed")
Batch = dict[str, Tensor]


def start(device: str = "auto", precision: str = "32-true") -> Fabric:
    """A launched Fabric: one process on `device`, or this process's part under torchrun.

    device: auto, cpu, cuda, cuda:1, mps. Raises SettingsError for a device that is not there, or a precision other than
    `32-true` and `bf16-mixed`.
    """
    if precision not in PRECISIONS:
        raise SettingsError(f"unknown precision {precision!r}", "parameter precision",
                            f"Use {' or '.join(PRECISIONS)}.")
    kind, _, number = choose_device(device).partition(":")
    devices, nodes = 1, 1
    if torch.distributed.is_available() and torch.distributed.is_torchelastic_launched():
        devices = int(os.environ["LOCAL_WORLD_SIZE"])
        nodes = int(os.environ["WORLD_SIZE"]) // devices
    several = devices * nodes > 1
    fabric = Fabric(accelerator=kind, devices=[int(number)] if number and not several else devices, num_nodes=nodes,
                    strategy="ddp" if several else "auto", precision=precision)
    fabric.launch()
    return fabric


def fit(fabric: Fabric, model: nn.Module, optimizer: Optimizer, samples: Dataset,
        loss: Callable[[nn.Module, Batch], Tensor], *, epochs: int = 0, iterations: int = 0, batch_size: int,
        seed: int, folder: Path | str, validate: Callable[[nn.Module], dict[str, float]] | None = None,
        num_workers: int = 0, name_of: Callable[[int], str] | None = None, channels_last: bool = False,
        schedule: Callable[[float], None] | None = None, settings: dict | None = None) -> list[dict]:
    """Train `model` in place; return one dict per epoch: `epoch` (from 1), `loss` (mean over samples), `validate`'s.

    How long: `epochs`, or `iterations`, a number of steps with which the last epoch may end early.
    samples: dicts of tensors, `index` among them; `batch_size` of them per step, shared out over the processes.
    A last batch of one sample is dropped, for batch normalisation cannot use it (ours).
    loss(model, batch) -> scalar. validate(model) -> floats, in evaluation mode, in the first process only.
    name_of(index) -> the file to name when the loss is not finite.
    schedule(share), before each step, sets rates or weights of losses; share: of all steps, those done, [0, 1).
    folder: gets `checkpoint.pt` after each epoch; training goes on from one that is there, if it was trained with the
    same numbers and `settings` (whatever else decides the weights, as JSON). The number of epochs may have grown where
    no schedule depends on it.
    Raises TrainingError for a loss that is not finite; SettingsError or DataError for a checkpoint that does not fit.
    """
    if (epochs > 0) == (iterations > 0):
        raise SettingsError(f"epochs = {epochs} and iterations = {iterations}", "parameters epochs, iterations",
                            "Give one of them.")
    folder, batches = Path(folder), _batches(fabric, samples, batch_size, seed, num_workers)
    model.to(memory_format=torch.channels_last if channels_last else torch.preserve_format)
    asked = _settings(fabric, optimizer, settings, samples=len(samples), batch=batch_size, seed=seed,
                      channels_last=channels_last, **({"iterations": iterations} if iterations else {}),
                      **({"epochs": epochs} if schedule and epochs else {}))
    steps = iterations or epochs * len(batches)
    epochs = math.ceil(steps / len(batches))
    network, stepper = fabric.setup(model, optimizer)
    history = checkpoints.resume(folder, model, optimizer, asked, epochs)
    with track(what="training", total=steps, initial=min(steps, len(history) * len(batches)),
               disable=not fabric.is_global_zero or len(history) == epochs) as bar:
        for epoch in range(len(history), epochs):
            seed_everything(_seed(seed, epoch, fabric.global_rank))
            batches.sampler.set_epoch(epoch)
            watch = LossWatch(fabric, epoch + 1, name_of, folder / checkpoints.NAME if history else None)
            model.train()
            done = epoch * len(batches)
            for rows, inputs in islice(_on_device(fabric, batches, channels_last), steps - done):
                if schedule is not None:
                    schedule(done / steps)
                done += 1
                value = loss(network, inputs)
                stepper.zero_grad()
                fabric.backward(value)
                stepper.step()
                watch.add(rows, value)
                bar.set_postfix_str(f"epoch {epoch + 1}/{epochs}, loss {watch.last:.4f}", refresh=False)
                bar.update()
            history.append({"epoch": epoch + 1, "loss": watch.mean(), **_validated(fabric, model, validate)})
            if fabric.is_global_zero:
                checkpoints.write(folder, model, optimizer, history, asked)
    return history


def predict(fabric: Fabric, model: nn.Module, samples: Dataset, *, batch_size: int, num_workers: int = 0,
            inputs: Callable[[Batch], Batch] = lambda batch: {"image": batch["image"]},
            outputs: tuple[str, ...] = ("logits",)) -> dict[str, np.ndarray]:
    """What `model` answers to every sample, in the order of `samples`: name -> float32 (N, ...).

    inputs: of a batch, what the model is called with, by name; outputs: the entries of its answer to keep.
    Evaluation mode, no gradients, Fabric's precision; the model's mode is put back. One batch at a time is held. Every
    process computes the whole: under torchrun call it in the first. Raises SettingsError without samples.
    """
    if len(samples) == 0:
        raise SettingsError("there is nothing to predict", "parameter samples", "Choose a subset with images.")
    loader = DataLoader(samples, batch_size, num_workers=num_workers, collate_fn=getattr(samples, "collate", None),
                        pin_memory=_pinned(fabric, samples))
    model.to(fabric.device)
    training, kept, done = model.training, {}, 0
    model.eval()
    try:
        with torch.inference_mode(), fabric.autocast():
            for rows, entries in _on_device(fabric, track(loader, "predicting", disable=not fabric.is_global_zero)):
                answer = model(**inputs(entries))
                for name in outputs:
                    part = answer[name].float().cpu().numpy()
                    everything = kept.setdefault(name, np.empty((len(samples), *part.shape[1:]), np.float32))
                    everything[done:done + len(rows)] = part
                done += len(rows)
    finally:
        model.train(training)
    return kept


def _batches(fabric: Fabric, samples: Dataset, batch_size: int, seed: int, num_workers: int) -> DataLoader:
    """This process's share of the samples in the order of (seed, epoch).

    Fabric's own `setup_dataloaders` is not used: it numbers the epochs by how often the loader was iterated, which
    begins at 0 again after a resume. Workers live for one epoch, so that their seeds follow from the epoch's as well.
    """
    sampler = DistributedSampler(samples, fabric.world_size, fabric.global_rank, shuffle=True, seed=seed)
    share, rest = divmod(batch_size, fabric.world_size)
    if rest or share < 1:
        raise SettingsError(f"{batch_size} samples per step cannot be shared out over {fabric.world_size} processes",
                            "parameter batch_size", "Choose a multiple of the number of processes.")
    last_is_single = len(sampler) % share == 1 and len(sampler) > 1
    if len(sampler) == 0:
        raise SettingsError("there is nothing to train on", "parameter samples", "Choose a subset with images.")
    return DataLoader(samples, share, sampler=sampler, num_workers=num_workers, drop_last=last_is_single,
                      collate_fn=getattr(samples, "collate", None), pin_memory=_pinned(fabric, samples))


def _pinned(fabric: Fabric, samples: Dataset) -> bool:
    """Whether batches go through page-locked memory: not where `samples` cuts them on the device, as DeviceImages."""
    return fabric.device.type == "cuda" and not getattr(samples, "on_device", False)


def _on_device(fabric: Fabric, batches: DataLoader, channels_last: bool = False) -> Iterator[tuple[Tensor, Batch]]:
    """The rows of each batch, on the host for its names, and the batch on the device."""
    for batch in batches:
        moved = fabric.to_device(batch)
        if channels_last:
            moved = {name: value.to(memory_format=torch.channels_last) if value.ndim == 4 else value
                     for name, value in moved.items()}
        yield batch["index"], moved


def _validated(fabric: Fabric, model: nn.Module, validate: Callable | None) -> dict[str, float]:
    """The figures of `validate`, in every process; first, all take over the first process's batch statistics."""
    if fabric.world_size > 1:
        for buffer in model.buffers():
            torch.distributed.broadcast(buffer, src=0)
    figures = {}
    if validate is not None and fabric.is_global_zero:
        model.eval()
        figures = {name: float(value) for name, value in validate(model).items()}  # NumPy's are refused by weights_only
    return fabric.broadcast(figures)


def _seed(seed: int, epoch: int, process: int) -> int:
    return int(np.random.SeedSequence([seed, epoch, process]).generate_state(1)[0])


def _settings(fabric: Fabric, optimizer: Optimizer, settings: dict | None, **own: Any) -> dict:
    """All that decides the weights; of the optimizer, the numbers it has before any schedule changes them.

    Not the number of processes, though it changes the last bits: what several trained, one may read or go on with.
    """
    groups = [{name: value for name, value in group.items() if name not in ("params", "initial_lr")}
              for group in optimizer.state_dict()["param_groups"]]
    return {**(settings or {}), **own, "precision": fabric.strategy.precision.precision,
            "optimizer": type(optimizer).__name__, "optimizer_groups": groups}
