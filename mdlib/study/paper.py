"""What a paper must give, so that the study layer and the command line can work with it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
from torch import nn
from torch.utils.data import Dataset

from mdlib.study.spec import RunSpec


class Data(Protocol):
    """An opened collection, divided into parts. Small enough to be sent to a worker: pixels are mapped anew there."""

    folder: Path            # of the collections

    def fingerprint(self) -> Any:
        """What tells these collections from others, as JSON."""

    def description(self, run: RunSpec) -> dict[str, Any]:
        """Of the collection that a run is trained on: name, phantoms (bool) and fingerprint."""

    def prepare(self, runs: Sequence[RunSpec]) -> None:
        """Decode the images that these trainings need, once for all workers."""

    def samples(self, part: str, run: RunSpec, augment: bool) -> Dataset:
        """The samples of a part as `run` trains on them or predicts them."""

    def labels(self, part: str, run: RunSpec) -> pd.DataFrame:
        """One row per sample of a part, in the order of `samples`: index its name, `patient`, and its targets.

        Where patients are not known, each sample is a patient of its own.
        """

    def classes(self, run: RunSpec) -> tuple[str, ...]:
        """The names of the outputs of a network."""

    def facts(self, run: RunSpec) -> dict[str, Any]:
        """What a network needs to know of the collection to be built, as JSON: it goes into the card."""


@dataclass(frozen=True)
class Paper:
    """One paper: plain functions, and its settings by profile. `study` stands for a `study.Study` of the paper."""

    name: str
    profiles: Mapping[str, Any]
    choose: Callable[[str, dict[str, Any]], Any]            # profile, overrides -> settings, checked
    open_data: Callable[..., Data]                          # settings, folder or None, cache_dir, seed
    write_phantoms: Callable[..., Path]                     # folder or None, seed -> folder
    planned: Callable[..., list[RunSpec]]                   # study -> every training of a run
    build: Callable[[RunSpec, Any, dict], nn.Module]        # run, settings, facts -> network, fresh weights
    fit: Callable[..., tuple[nn.Module, list[dict]]]        # study, run, fabric: one training, resumable
    predict: Callable[..., pd.DataFrame]                    # study, run, model, fabric, part: one row per sample; may
                                                            # write further files to study.run_folder(run)
    parts: Callable[[RunSpec], Sequence[str]]               # that a finished training predicts
    weights: Callable[[], pd.DataFrame]                     # one row per network: its weights, the paper's number
    default_run: RunSpec                                    # whose samples are meant where no run is named
    starts_from: Callable[[RunSpec, Any], RunSpec | None] | None = None     # run, settings -> whose weights it takes
    card: Callable[..., dict[str, Any] | None] | None = None                # study, run -> facts for prediction
    reference: Callable[..., dict[str, np.ndarray]] | None = None           # study, run -> statistics of its training
    inference: str = ""                                     # the module with its `Predictor`, for `mdlib predict`
    shipped: Callable[..., Sequence[RunSpec]] | None = None     # study -> which networks of these collections come with
                                                                # mdlib (`study.shipped`)
    metrics: Callable[..., pd.DataFrame] | None = None      # study, run -> what their cards say: columns measure,
                                                            # value, low, high, baseline; first the summary
    publish: Callable[..., dict[str, Any]] | None = None    # study -> tables for data/results, as JSON
    grid: Mapping[str, Any] | None = None                   # settings of `mdlib publish`
    publish_grid: Callable[..., dict[str, Any]] | None = None   # the same, of its many trainings
