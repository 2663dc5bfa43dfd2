"""The figures that the book quotes: AUCs with intervals, and how units agree with concepts."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from mdlib.evaluate import baseline, classification
from mdlib.evaluate.units import detectors
from mdlib.explain.dissection_result import RULES
from mdlib.papers.mammography import units
from mdlib.papers.mammography.exhibits import NAMES, TABLE_1, exhibit
from mdlib.papers.mammography.networks import Run
from mdlib.study import results, tables
from mdlib.study.study import Study

EVALUATION = ("label", "part", "auc", "low", "high", "seeds", "patches", "positive", "patients")
DETECTORS = ("network", "rule", "concept", "detectors", "unit", "iou", "null 95 %", "prevalence", "ceiling",
             "resolution")
TWO_NUMBERS = "mean and spread"
POOLED = {"all": "all 64 positions", "first7": "the authors' 49 positions"}


def evaluate(study: Study, name: str, part: str = "val") -> pd.DataFrame:
    """AUC of the trainings of an exhibit: mean over seeds, 95 % interval over patients and seeds.

    One row per label: label, part, auc, low, high, seeds, patches, positive, patients; last the row TWO_NUMBERS,
    `two_numbers`. Computed where the settings of the run train the exhibit; else, on the phantoms of the book, as
    published; else empty.
    """
    if name in study.settings.exhibits:
        of = study.predict(exhibit(name, study), part)
        scores = {_label(run, name): values for run, values in of.stacked().items()}
        first = next(iter(of.stacked()))
        scores[TWO_NUMBERS] = np.concatenate([two_numbers(study, replace(first, fold=fold), part)
                                              for fold in of.folds])[None]
        return pd.DataFrame([_row(study, label, part, values, of) for label, values in scores.items()],
                            columns=list(EVALUATION))
    found = results.read("mammography", "grid/embedded")
    if study.data.is_phantom and results.same_data(found, study.run):
        return results.table(found["evaluation"].get(f"{name} {part}", []), EVALUATION)
    return pd.DataFrame(columns=list(EVALUATION))


def _row(study: Study, label: str, part: str, scores: np.ndarray, of: Any) -> tuple:
    options = {"n_bootstrap": study.settings.n_bootstrap, "seed": study.seed, "names": of.names}
    found = classification.bootstrap(of.targets, scores, of.patients, **options).iloc[0]
    return (label, part, *found[["auroc", "low", "high"]], len(scores), len(of.targets), int(of.targets.sum()),
            len(set(of.patients)))


def _label(run: Run, name: str) -> str:
    return POOLED[run.pool] if name == "pool" else NAMES[run.network]


def two_numbers(study: Study, run: Run, part: str) -> np.ndarray:
    """Scores (N, 1) of a logistic regression that knows mean and standard deviation of each patch only."""
    values = {name: _mean_and_spread(study, run, name) for name in ("train", part)}
    targets = study.data.labels("train", run)["malignant"].to_numpy(np.int64)
    return baseline.class_baseline(values["train"], targets, values[part], 2)[:, 1:]


def _mean_and_spread(study: Study, run: Run, part: str) -> np.ndarray:
    images = (batch["image"].flatten(1) for batch in units.batches(study, run, part))
    return np.concatenate([np.column_stack([image.mean(dim=1), image.std(dim=1)]) for image in images])


def metrics(study: Study, run: Run, part: str = "test") -> pd.DataFrame:
    """The AUC of one training, and beside it that of `two_numbers`: measure, value, low, high, baseline."""
    of = study.predict([run], part)
    scores = of.stacked()[run.series]
    rows = [_row(study, "", part, values, of) for values in (scores, two_numbers(study, run, part)[None])]
    return pd.DataFrame([("AUC", *rows[0][2:5], rows[1][2])], columns=["measure", "value", "low", "high", "baseline"])


def detected(study: Study, runs: Sequence[Run], part: str = "val") -> pd.DataFrame:
    """How the units of trained networks agree with each concept, by both rules: columns DETECTORS."""
    rows = []
    for run in runs:
        of = units.dissected(study, run, part)
        for rule in RULES:
            found = units.with_null(detectors(of.iou(rule), of.concepts), of, rule)
            ceiling = of.bound(rule)[found["unit"].clip(lower=0), np.arange(len(found))]
            rows.append(found.assign(network=run.network, rule=rule, prevalence=of.prevalence, ceiling=ceiling,
                                     resolution=of.ceiling_resolution))
    return pd.concat(rows, ignore_index=True)[list(DETECTORS)]


def publish(study: Study) -> dict[str, Any]:
    """The figures of a run, JSON-able; no image, no name of one."""
    study.train(study.planned)
    evaluation = {f"{name} {part}": results.records(evaluate(study, name, part), digits=4)
                  for name in study.settings.exhibits for part in ("val", "test")}
    first = [run for run in exhibit("table1", study) if run.seed == study.seed]
    return {"evaluation": evaluation, "detectors": results.records(detected(study, first), digits=4)}


def beside_paper(table: pd.DataFrame) -> pd.DataFrame:
    """Table 1: the AUC that the paper prints, without interval, and ours with its interval; one row per network."""
    ours = table.set_index("label")
    rows = {}
    for network, label in {**NAMES, "": TWO_NUMBERS}.items():
        own = ours.loc[label, ["auc", "low", "high"]] if label in ours.index else None
        rows[label] = {"paper": TABLE_1.get(network, "–"),
                       "here": "–" if own is None else tables.with_interval(*own, digits=3)}
    return pd.DataFrame(rows).T.rename_axis("network")
