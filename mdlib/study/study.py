"""One study: settings, data and a run folder, and what is done with them: train, predict, cache tables.

    networks/<slug>/checkpoint.pt               after each epoch
    networks/<slug>/predictions-<part>.parquet  what the trained network predicts
    networks/<slug>/duration.json               seconds of the process that finished the training
    networks/<slug>/history.json                last: with it the training is complete
    tables/<name>.parquet                       cached tables
"""

import json
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from lightning_fabric import Fabric
from torch import nn
from torch.utils.data import Dataset

from mdlib import parallel, reproducible, runs
from mdlib.errors import SettingsError
from mdlib.files import atomic, fingerprint, lock, read_json, write_json
from mdlib.progress import track
from mdlib.study import bundle, shipped
from mdlib.study.paper import Data, Paper
from mdlib.study.predictions import Predictions
from mdlib.study.spec import RunSpec
from mdlib.training import checkpoints, loop

HISTORY, DURATION = shipped.HISTORY, shipped.DURATION


def open(paper: Paper, profile: str = "embedded", data_dir: str = "", cache_dir: str = "", seed: int = 0,
         device: str = "auto", run_dir: str = "", overrides: dict[str, Any] | None = None) -> "Study":
    """Open the run these parameters ask for, and the collection it is about (phantoms without `data_dir`).

    Raises SettingsError for a parameter, and DataError for a collection, that cannot be used.
    """
    settings = paper.choose(profile, overrides or {})
    device = reproducible.choose_device(device)
    runs.check_seed(seed)
    folder = runs.folder_of(paper.name, profile, data_dir, seed, run_dir, overrides)
    data = paper.open_data(settings, runs.absolute(data_dir) if data_dir else None,
                           runs.absolute(cache_dir) if cache_dir else folder / "cache", seed)
    run = runs.begin(paper.name, profile, seed, settings, data.fingerprint(), folder, data.folder, device)
    return Study(paper, run, settings, seed, device, data)


@dataclass(frozen=True)
class Study:
    """One run of a paper: its settings (a frozen dataclass), first seed, device and data."""

    paper: Paper
    run: runs.Run
    settings: Any
    seed: int
    device: str
    data: Data

    @property
    def folder(self) -> Path:
        """The run folder."""
        return self.run.folder

    @property
    def seeds(self) -> list[int]:
        """The seeds of the trainings of each network: `n_seeds` of the settings, from the first on."""
        return [self.seed + i for i in range(self.settings.n_seeds)]

    @property
    def planned(self) -> list[RunSpec]:
        """Every training of this run."""
        return self.paper.planned(self)

    def samples(self, part: str, run: RunSpec | None = None, augment: bool = False) -> Dataset:
        """The samples of a part, as `run` is trained on them; None: the paper's default network, first fold."""
        return self.data.samples(part, run or self.paper.default_run, augment)

    def run_folder(self, run: RunSpec) -> Path:
        """Where a training keeps its checkpoint, history and predictions."""
        return self.folder / "networks" / run.slug

    def is_trained(self, run: RunSpec) -> bool:
        """Whether a training is complete."""
        return (self.run_folder(run) / HISTORY).exists()

    def train(self, runs: Sequence[RunSpec], executor: Executor | None = None, adopt: bool = True
              ) -> dict[RunSpec, list[dict]]:
        """Train each run once and return its history, one dict per epoch; what was trained before is read.

        adopt: a run that is not `planned` is not trained where mdlib ships its network (`shipped.adopt`). An
        interrupted training resumes with its last finished epoch. executor: any `concurrent.futures.Executor` that runs
        one job at a time in a process (trainings seed the random numbers of their process); None: on a CPU local
        processes with one thread each (small networks gain little from a second thread, and one thread adds in the same
        order on every machine), on another device this process. What a run starts from is trained first. Raises
        SettingsError for an executor of several threads.
        """
        if isinstance(executor, ThreadPoolExecutor) and executor._max_workers > 1:
            raise SettingsError("several trainings in one process would share its random numbers", "parameter executor",
                                "Use processes, or one thread.")
        waiting = [run for run in dict.fromkeys(runs)
                   if not (self.is_trained(run) or (adopt and shipped.adopt(self, run)))]
        starts_from = self.paper.starts_from or (lambda run, settings: None)
        if before := {starts_from(run, self.settings) for run in waiting} - {None}:
            self.train(sorted(before, key=lambda run: run.slug), executor, adopt)
        waiting = [run for run in waiting if not self.is_trained(run)]
        if waiting:
            self.data.prepare(waiting)
            if executor is None and (self.device != "cpu" or torch.distributed.is_torchelastic_launched()):
                fabric = self.fabric()
                for run in track(waiting, "trainings", len(waiting), disable=not fabric.is_global_zero):
                    train_one(self, run, fabric)
            else:
                parallel.complete(_train_with_one_thread, [(self, run) for run in waiting], "trainings", executor)
        if not torch.distributed.is_torchelastic_launched():
            bundle.refresh(self, dict.fromkeys(runs))
        return {run: read_json(self.run_folder(run) / HISTORY) for run in runs}

    def fabric(self) -> Fabric:
        """A launched Fabric on the study's device, in the precision of the settings."""
        return loop.start(self.device, precision=self.settings.precision)

    def model(self, run: RunSpec) -> nn.Module:
        """The network of a run with its trained weights, in evaluation mode on the study's device."""
        self.train([run])
        model = self.paper.build(run, self.settings, self.data.facts(run))
        return checkpoints.load(model, self.run_folder(run)).to(self.device).eval()

    def predict(self, runs: Sequence[RunSpec], part: str = "test") -> Predictions:
        """What these runs predict for the samples of a part, beside the targets and patients; trained first if need be.

        Each is predicted once and read afterwards. Runs of several folds: the parts of all folds, one after another.
        """
        self.train(runs)
        tables = {run: self._predicted(run, part) for run in dict.fromkeys(runs)}
        labels: dict[int, pd.DataFrame] = {}
        for run in tables or [self.paper.default_run]:
            own = self.data.labels(part, run)
            if not labels.setdefault(run.fold, own).index.equals(own.index):
                raise SettingsError("these runs are predicted on different samples", f"run {run.slug}, part {part!r}",
                                    "Predict them in separate calls.")
        return Predictions(part, tables, labels)

    def _predicted(self, run: RunSpec, part: str) -> pd.DataFrame:
        path = self.run_folder(run) / f"predictions-{part}.parquet"
        if not path.exists():
            write_predictions(self, run, self.model(run), self.fabric(), part)
        return pd.read_parquet(path)

    def cached(self, name: str, compute: Callable[[], pd.DataFrame], **key: Any) -> pd.DataFrame:
        """The table compute() gives, from the run folder where it was computed before for the same key and code."""
        asked = json.loads(json.dumps(key, default=str))
        path = self.folder / "tables" / f"{name}-{fingerprint(asked)[:8]}.parquet"
        code = runs.table_code(self.paper.name)
        with lock(path.with_suffix(".lock")):
            if path.exists() and (table := pd.read_parquet(path)).attrs.get("code") == code:
                return table
            table = compute().copy()
            table.attrs |= {"key": asked, "code": code}
            with atomic(path) as part:
                table.to_parquet(part)
            return table


def train_one(study: Study, run: RunSpec, fabric: Fabric) -> None:
    """Train one network, unless it is trained by now; write what it predicts, its card, and last its history.

    Where another program trains it in the same run folder, for instance a second notebook, this one waits.
    """
    with lock(study.run_folder(run) / "training.lock") if fabric.world_size == 1 else nullcontext():
        if not study.is_trained(run):
            _train_one(study, run, fabric)


def _train_one(study: Study, run: RunSpec, fabric: Fabric) -> None:
    begin, own = time.perf_counter(), time.process_time()
    model, history = study.paper.fit(study, run, fabric)
    if fabric.is_global_zero:
        write_json(study.run_folder(run) / DURATION, {"wall": round(time.perf_counter() - begin, 1),
                                                      "cpu": round(time.process_time() - own, 1)})
        for part in study.paper.parts(run):
            write_predictions(study, run, model, fabric, part)
        bundle.write(study, run)
        write_json(study.run_folder(run) / HISTORY, runs.without_nan(history))
    fabric.barrier()


def write_predictions(study: Study, run: RunSpec, model: nn.Module, fabric: Fabric, part: str) -> None:
    """Write what a network predicts for a part, one row per sample."""
    table = study.paper.predict(study, run, model, fabric, part)
    with atomic(study.run_folder(run) / f"predictions-{part}.parquet") as file:
        table.to_parquet(file)


def _train_with_one_thread(study: Study, run: RunSpec) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        train_one(study, run, study.fabric())
    finally:
        torch.set_num_threads(threads)


