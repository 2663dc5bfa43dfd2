"""The losses of an epoch, watched without making an accelerator wait."""

import math
from collections.abc import Callable
from pathlib import Path

import torch
from lightning_fabric import Fabric
from torch import Tensor

from mdlib.errors import TrainingError


class LossWatch:
    """Sums the losses of an epoch and stops training, in every process, at the first that is not finite.

    A loss is read one step late: its copy to the host was queued with its own step, so reading it does not wait for
    the step that runs now. The checkpoint is safe from that one step, for it is written after `mean`, which reads all.
    """

    def __init__(self, fabric: Fabric, epoch: int, name_of: Callable[[int], str] | None, checkpoint: Path | None):
        self.fabric, self.epoch, self.checkpoint = fabric, epoch, checkpoint
        self.name_of = name_of or (lambda index: f"sample {index}")
        self.last = math.nan  # of the latest step that was read, mean over processes
        self._waiting: tuple | None = None
        self._steps = self._count = 0
        self._total = 0.0

    def add(self, rows: Tensor, loss: Tensor) -> None:
        """Take the loss of one step, of the samples `rows`; look at the one before."""
        every = self.fabric.all_gather(loss.detach()).reshape(-1).to("cpu", non_blocking=True)  # (processes,)
        copied = torch.cuda.Event() if loss.is_cuda else None
        if copied is not None:
            copied.record()
        before, self._waiting = self._waiting, (rows, every, copied)
        if before is not None:
            self._read(*before)

    def mean(self) -> float:
        """The mean loss over all samples, all processes together."""
        if self._waiting is not None:
            self._read(*self._waiting)
            self._waiting = None
        return self._total / self._count

    def _read(self, rows: Tensor, every: Tensor, copied: torch.cuda.Event | None) -> None:
        if copied is not None:
            copied.synchronize()
        self._steps += 1
        self.last = float(every.double().mean())
        if not math.isfinite(self.last):
            self._stop(rows, every)
        self._total += self.last * len(rows)
        self._count += len(rows)

    def _stop(self, rows: Tensor, every: Tensor) -> None:
        """Every process comes here at the same step, as all read the losses of all; each adds its own names."""
        bad = not math.isfinite(every[self.fabric.global_rank])
        names = [self.name_of(int(index)) for index in rows] if bad else []
        if self.fabric.world_size > 1:
            shares: list = [None] * self.fabric.world_size
            torch.distributed.all_gather_object(shares, names)
            names = [name for share in shares for name in share]
        kept = f"The checkpoint of epoch {self.epoch - 1} is kept: {self.checkpoint}." if self.checkpoint else ""
        raise TrainingError(
            f"the loss is {self.last}; the batch was {', '.join(names)}", f"epoch {self.epoch}, step {self._steps}",
            f"Look at these files; if they are sound, lower the learning rate. {kept}".rstrip())
