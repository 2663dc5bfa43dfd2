"""The figures of a run that the book quotes: AUROCs, differences and map measures, written once and read as tables."""

from dataclasses import asdict
from typing import Any

import pandas as pd

from mdlib.evaluate import classification
from mdlib.files import read_json
from mdlib.papers.chest.exhibits import FITTED, PANELS, RUNS, exhibit, pairs, planned, predicted_parts
from mdlib.papers.chest.networks import Run
from mdlib.papers.chest.training import metadata_baseline
from mdlib.study import results, tables
from mdlib.study.spec import labels
from mdlib.study.study import Study

METADATA = "metadata baseline"


def evaluated(study: Study, name: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """AUROCs and differences of an exhibit, as its page computes them panel by panel."""
    options = {"n_bootstrap": study.settings.n_bootstrap, "seed": study.seed}
    aurocs, differences = [], []
    for title, part, networks in PANELS[name]:
        runs = [run for run in exhibit(name, study, part) if run.body in networks]
        of = study.predict(runs, part)
        scores = {METADATA: metadata_baseline(study, FITTED[part][-1], part, of.names), **of.scores}
        compared = compared_labels(name, runs)
        if name == "fig9":
            compared += [(label, METADATA) for label in of.scores]
        told = {"targets": of.targets, "patients": of.patients, "panel": title, **options}
        aurocs.append(tables.aurocs(scores, names=of.names, **told))
        differences.append(tables.differences(scores, compared, **told))
    return pd.concat(aurocs, ignore_index=True), pd.concat(differences, ignore_index=True)


def compared_labels(name: str, runs: list[Run]) -> list[tuple[str, str]]:
    """What an exhibit compares, as pairs of the labels that these trainings have in `Predictions.scores`."""
    named = labels(runs)
    return [(named[a], named[b]) for a, b in pairs(name, runs)]


def publish(study: Study) -> dict[str, Any]:
    """The figures of a run, JSON-able; no image, no image name."""
    study.train(study.planned)
    found = {name: evaluated(study, name) for name in study.settings.exhibits if exhibit(name, study)}
    return {"parts": {part: {"images": len(rows), "patients": int(study.data.table["patient"].iloc[rows].nunique())}
                      for part, rows in study.data.parts.items()},
            "aurocs": {name: results.records(aurocs) for name, (aurocs, _) in found.items()},
            "differences": {name: results.records(differences) for name, (_, differences) in found.items()}}


def read(name: str, what: str, exhibit: str) -> pd.DataFrame:
    """The `aurocs` or `differences` of an exhibit in a published run, or one of its tables of `maps`."""
    return results.table(results.read("chest", f"runs/{name}", needs=what)[what][exhibit])


def publish_grid(study: Study) -> dict[str, Any]:
    """The AUROCs of every training of a grid: one row per training and part that it predicts, a column per class."""
    study.train(study.planned)
    rows = []
    for run in planned(study):
        for part in predicted_parts(run):
            of = study.predict([run], part)
            found = classification.auroc(of.targets, of.stacked()[run.series][0], of.names)["auroc"]
            rows.append({**asdict(run), "predicted": part, **found.round(4)})
    return {"aurocs": results.records(pd.DataFrame(rows))}


def grid_differences(name: str, exhibits: tuple[str, ...] = tuple(PANELS)) -> pd.DataFrame:
    """What each exhibit compares, over all trainings of a published grid: one row per panel and pair.

    Each difference is of plain means over the classes that both have, between two trainings of the same split and seed.
    """
    grid = results.table(results.read("chest", f"grid/{name}", needs="aurocs")["aurocs"])
    parts = []
    for one in exhibits:
        for title, part, networks in PANELS[one]:
            runs = [run for run in RUNS[one] if run.part in FITTED[part] and run.body in networks]
            parts.append(tables.grid_differences(grid, pairs(one, runs), part, panel=title))
    return pd.concat(parts, ignore_index=True)


def literature() -> pd.DataFrame:
    """Published AUROCs on ChestX-ray14's test part, (classes x studies); NaN where no source is at hand."""
    studies = read_json(results.folder("chest") / "literature.json")
    return pd.DataFrame({study: of["auroc"] for study, of in studies.items()}, dtype=float)
