"""What several trainings predict for the same samples, row-aligned with targets and patients."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mdlib.errors import SettingsError
from mdlib.study.spec import RunSpec, labels


@dataclass(frozen=True, eq=False)
class Predictions:
    """Predictions by run and the labels of the samples by fold, both with one row per sample, in the same order.

    tables: index the name of the sample, a column per output. truth: index the same, `patient`, a column per target.
    """

    part: str
    tables: dict[RunSpec, pd.DataFrame]
    truth: dict[int, pd.DataFrame]

    def __post_init__(self) -> None:
        for run, table in self.tables.items():
            if not table.index.equals(self.truth[run.fold].index):
                raise SettingsError(f"its predictions are not of the images of the part {self.part!r}", run.slug,
                                    "The collection has changed since: delete the folder of this training.")

    @property
    def folds(self) -> list[int]:
        return sorted(self.truth)

    @property
    def labels(self) -> pd.DataFrame:
        """Name, patient and targets of the samples of all folds, one fold after another."""
        return pd.concat([self.truth[fold] for fold in self.folds])

    @property
    def patients(self) -> np.ndarray:
        """The patient of each sample, (N,)."""
        return self.labels["patient"].to_numpy()

    @property
    def names(self) -> list[str]:
        """The outputs that all runs and the targets have in common, in the order of the targets."""
        shared = set.intersection(*(set(table) for table in self.tables.values())) if self.tables else None
        targets = self.truth[self.folds[0]].columns.drop("patient")
        return [name for name in targets if shared is None or name in shared]

    @property
    def targets(self) -> np.ndarray:
        """(N, K), for the outputs in `names`."""
        return self.labels[self.names].to_numpy()

    def select(self, **values: object) -> "Predictions":
        """The runs whose fields have these values, for instance network="att_a"."""
        chosen = {run: table for run, table in self.tables.items()
                  if all(getattr(run, field) == value for field, value in values.items())}
        folds = {run.fold for run in chosen} or set(self.truth)
        return Predictions(self.part, chosen, {fold: table for fold, table in self.truth.items() if fold in folds})

    def stacked(self, columns: Sequence[str] | None = None) -> dict[RunSpec, np.ndarray]:
        """By training whatever its fold and seed: (S, N, K), S seeds, the N samples of all folds. None: `names`.

        Raises SettingsError where a seed lacks one of the folds.
        """
        columns = self.names if columns is None else list(columns)
        series: dict[RunSpec, dict[int, dict[int, pd.DataFrame]]] = {}
        for run, table in self.tables.items():
            series.setdefault(run.series, {}).setdefault(run.seed, {})[run.fold] = table
        return {one: np.stack([self._all_folds(one, seed, seeds[seed], columns) for seed in sorted(seeds)])
                for one, seeds in series.items()}

    def _all_folds(self, run: RunSpec, seed: int, tables: dict[int, pd.DataFrame], columns: list[str]) -> np.ndarray:
        if missing := set(self.folds) - set(tables):
            raise SettingsError(f"seed {seed} was not predicted for fold {', '.join(map(str, sorted(missing)))}",
                                run.slug, "Give the same folds for every seed.")
        return np.concatenate([tables[fold][columns].to_numpy() for fold in self.folds])

    @property
    def scores(self) -> dict[str, np.ndarray]:
        """By label, (S, N, K): `stacked`, named by the fields in which the trainings differ."""
        named = labels(self.tables)
        return {named[one]: values for one, values in self.stacked().items()}
