"""The figures of a run that the book quotes: AUROCs, differences and map measures, written once and read as tables."""

import functools
from dataclasses import asdict, fields, replace
from typing import Any

import pandas as pd

from mdlib.evaluate import classification, paired
from mdlib.files import read_json
from mdlib.papers.chest import annotations, maps
from mdlib.papers.chest.exhibits import FITTED, PANELS, compared_runs, exhibit, planned, predicted_parts, runs_of
from mdlib.papers.chest.metadata import metadata_baseline
from mdlib.papers.chest.networks import Run
from mdlib.study import plots, results, saliency, tables
from mdlib.study.spec import labels
from mdlib.study.study import Study

BOOK = "embedded"           # the published run that the pages quote
METADATA = "metadata baseline"
NETWORKS = ("densenet121", "att_a", "att_b")     # whose maps are measured
WEAK = Run("densenet121", epochs="demo_epochs")  # and those of one that has hardly learned
MAP_TABLES = ("localisation", "counterfactuals", "faithfulness", "randomisation")
COARSER = (4, 2)                                 # cells per side to which maps of norm5 are averaged


def evaluate(study: Study, name: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """AUROCs and differences of an exhibit, panel by panel.

    Those of this run where its settings train the exhibit; else, on the phantoms of the book, as they are published
    (see the number of seeds); else empty.
    """
    if name not in study.settings.exhibits and _is_of_book(study):
        return read(BOOK, "aurocs", name), read(BOOK, "differences", name)
    options = {"n_bootstrap": study.settings.n_bootstrap, "seed": study.seed}
    aurocs, differences = [pd.DataFrame(columns=list(tables.AUROCS))], [pd.DataFrame(columns=list(tables.DIFFERENCES))]
    for title, part, networks in PANELS[name] if name in study.settings.exhibits else ():
        runs = [run for run in exhibit(name, study, part) if run.body in networks]
        if not runs:
            continue
        of = study.predict(runs, part)
        scores = {METADATA: metadata_baseline(study, FITTED[part][-1], part, of.names), **of.scores}
        compared = compared_labels(name, runs)
        if name == "fig9":
            compared += [(label, METADATA) for label in of.scores]
        arguments = {"targets": of.targets, "patients": of.patients, "panel": title, **options}
        aurocs.append(tables.aurocs(scores, names=of.names, **arguments))
        differences.append(tables.differences(scores, compared, **arguments))
    return tuple(pd.concat(found[1:] or found, ignore_index=True) for found in (aurocs, differences))


def _is_of_book(study: Study) -> bool:
    return results.same_data(results.read("chest", f"runs/{BOOK}"), study.run)


def metrics(study: Study, run: Run, part: str = "test") -> pd.DataFrame:
    """AUROCs of one training beside the metadata baseline, both means first: measure, value, low, high, baseline."""
    of = study.predict([run], part)
    options = {"names": of.names, "n_bootstrap": study.settings.n_bootstrap, "seed": study.seed}
    found, blind = (classification.bootstrap(of.targets, scores, of.patients, **options)
                    for scores in (of.stacked()[run.series], metadata_baseline(study, run.part, part, of.names)))
    table = found.assign(baseline=blind["auroc"]).rename(columns={"auroc": "value"}).drop(columns="draws")
    table = table.loc[[classification.PLAIN, classification.WEIGHTED, *of.names]].reset_index(names="measure")
    return table.assign(measure="AUROC, " + table["measure"].map(plots.words))


def compared_labels(name: str, runs: list[Run]) -> list[tuple[str, str]]:
    """What an exhibit compares, as pairs of the labels that these trainings have in `Predictions.scores`."""
    named = labels(runs)
    return [(named[a], named[b]) for a, b in compared_runs(name, runs)]


def publish(study: Study) -> dict[str, Any]:
    """The figures of a run, JSON-able; no image, no image name."""
    study.train(study.planned)
    found = {name: evaluate(study, name) for name in study.settings.exhibits if exhibit(name, study)}
    return {"parts": {part: {"images": len(rows), "patients": int(study.data.table["patient"].iloc[rows].nunique())}
                      for part, rows in study.data.parts.items()},
            "curves": [{**asdict(run), **epoch} for run, epochs in curves(study).items() for epoch in epochs]
            if "fig7" in found else [],
            "aurocs": {name: results.records(aurocs) for name, (aurocs, _) in found.items()},
            "differences": {name: results.records(differences) for name, (_, differences) in found.items()},
            "maps": {name: results.records(table, digits=4) for name, table in map_measures(study).items()}}


def curves(study: Study) -> dict[Run, list[dict]]:
    """The histories of the trainings of Fig. 7a, first seed: of this study, or as published for those of the book."""
    if "fig7" in study.settings.exhibits:
        return study.train([run for run in exhibit("fig7", study, "val") if run.seed == study.seed])
    if not _is_of_book(study):
        return {}
    names, found = {field.name for field in fields(Run)}, {}
    for row in results.read("chest", f"runs/{BOOK}", needs="curves")["curves"]:
        run = Run(**{name: value for name, value in row.items() if name in names})
        found.setdefault(run, []).append({name: value for name, value in row.items() if name not in names})
    return found


def map_measures(study: Study) -> dict[str, pd.DataFrame]:
    """What the page "Measured" shows of the maps of all DenseNets, by every explainer; means over findings.

    `localisation` also of a network that has hardly learned (WEAK), and of the maps at norm5 averaged to fewer cells;
    of the pointing game also each finding. Computed in some minutes, once for a run and the same code.
    """
    measured = functools.cache(lambda: _measure_maps(study))
    return {name: study.cached(f"maps-{name}", lambda name=name: measured()[name]) for name in MAP_TABLES}


def _measure_maps(study: Study) -> dict[str, pd.DataFrame]:
    options = {"n_bootstrap": study.settings.n_bootstrap, "seed": study.seed}
    known, few, twinned = (annotations.pairs(study, *of) for of in (
        (20 if study.data.is_phantom else 200,), (4, "test", "label"), (10, "test", "twin")))
    masks, images = annotations.masks(study, known), maps.pair_images(study, few).numpy()
    prior, twins = annotations.location_prior(study, known, masks), annotations.twins(study, twinned)
    layers = maps.grad_cams() | maps.hires_cams()
    every = layers | maps.input_attributions()
    found: dict[str, list[pd.DataFrame]] = {}
    weak = replace(WEAK, seed=study.seed)
    for run in (*(Run(name, seed=study.seed) for name in NETWORKS if name in study.settings.networks), weak):
        name, model = run.network, study.model(run)
        of = functools.partial(maps.pair_maps, study, name=name)
        arguments = {"network": run.label(["epochs"] if run == weak else []), **options}
        located = of(model, pairs=known, methods=every)
        located |= {f"Grad-CAM norm5 as {size} × {size}": saliency.coarser(located["Grad-CAM norm5"], size)
                    for size in COARSER if name == "densenet121" and len(known)}
        effect = maps.logits(study, model, name, twinned) - maps.logits(study, model, name, twinned, twins)
        own = {"localisation": saliency.localisation(located, masks, known, prior, **arguments),
               "counterfactuals": saliency.counterfactuals(
                   effect, of(model, pairs=twinned, methods=layers),
                   of(model, pairs=twinned, methods=layers, pictures=twins),
                   annotations.masks(study, twinned), twinned, **arguments)}
        if run != weak:
            own |= {"faithfulness": saliency.faithfulness(maps.predictor(study, model, name, few), images,
                                                          of(model, pairs=few, methods=every), few, **arguments),
                    "randomisation": saliency.randomisation(functools.partial(of, pairs=few, methods=layers), model,
                                                            maps.untrained(study, run), few, **arguments)}
        for what, table in own.items():
            found.setdefault(what, []).append(table)
    tables_of = {what: pd.concat(of, ignore_index=True).drop_duplicates() for what, of in found.items()}
    place, gains = tables_of["localisation"], tables_of["faithfulness"]
    return tables_of | {
        "localisation": place[(place["measure"] == "pointing game") | (place["finding"] == saliency.focus(place))],
        "faithfulness": gains[gains["measure"].isin(saliency.EXCHANGES) & (gains["finding"] == saliency.MEAN)]}


def map_verdicts(name: str) -> pd.DataFrame:
    """How many maps of a published run are higher or lower than their reference, or undecided, by 95 % intervals.

    Of the networks in NETWORKS, at the size that their maps have.
    """
    place, gains, moves = (read(name, "maps", what) for what in ("localisation", "faithfulness", "counterfactuals"))
    place = place[place["finding"] == saliency.focus(place)]
    asked = {"mass accuracy: map − uniform": place[place["measure"] == "mass accuracy beyond uniform"],
             "mass accuracy: map − location prior": place[place["measure"] == "mass accuracy beyond location prior"],
             "deletion: order of the map − random order": gains[gains["measure"] == "deletion"],
             "insertion: order of the map − random order": gains[gains["measure"] == "insertion"],
             "mass in the cause: correlation with the effect − 0": moves[moves["measure"] == "mass in the cause"]}
    rows = {}
    for question, of in asked.items():
        of = of[of["network"].isin(NETWORKS) & ~of["method"].str.contains(" as ")].dropna(subset="mean")
        verdicts = pd.Series([paired.verdict(*ends) for ends in of[["low", "high"]].to_numpy()], dtype=object)
        rows[question] = {verdict: int((verdicts == verdict).sum()) for verdict in ("higher", "lower", "undecided")}
    return pd.DataFrame(rows).T.assign(maps=lambda table: table.sum(axis=1))


def read(name: str, what: str, exhibit: str) -> pd.DataFrame:
    """The `aurocs` or `differences` of an exhibit in a published run, or one of its tables of `maps`."""
    columns = {"aurocs": tables.AUROCS, "differences": tables.DIFFERENCES, "maps": saliency.COLUMNS}[what]
    return results.table(results.read("chest", f"runs/{name}", needs=what)[what][exhibit], columns)


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
    kept = results.read("chest", f"grid/{name}", needs="aurocs")
    grid, few_epochs = results.table(kept["aurocs"]), kept["manifest"]["asked"]["settings"]["few_epochs"]
    parts = []
    for one in exhibits:
        for title, part, networks in PANELS[one]:
            runs = [run for run in runs_of(one, few_epochs) if run.part in FITTED[part] and run.body in networks]
            parts.append(tables.grid_differences(grid, compared_runs(one, runs), part, panel=title))
    return pd.concat(parts, ignore_index=True)


def literature() -> pd.DataFrame:
    """Published AUROCs on ChestX-ray14's test part, (classes x studies); NaN where no source is at hand."""
    studies = read_json(results.folder("chest") / "literature.json")
    return pd.DataFrame({study: of["auroc"] for study, of in studies.items()}, dtype=float)
