"""The figures that the book quotes: accuracies, differences and coverage of trainings, written once, read as tables."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from mdlib.evaluate import baseline, multiclass, paired, resampling
from mdlib.models.channel_attention import MECHANISMS
from mdlib.papers.gated import coverage_tables
from mdlib.papers.gated.data import PARTS
from mdlib.papers.gated.exhibits import ACCURACY, REFERENCE, RUNS, TESTED, exhibit
from mdlib.papers.gated.networks import Run
from mdlib.study import results, tables
from mdlib.study.study import Study

FILES = {"bccd": "bccd"}            # exhibit or collection: its file under data/results/gated/grid; else `embedded`
DIFFERENCE = "difference of accuracy"
COLUMNS = {"evaluation": ("label", "collection", "measure", "value", "low", "high", "seeds", "pictures", "patients"),
           "coverage": ("label", "measure", "value", "low", "high", "boxes", "pictures", "seeds"),
           "fig1": ("collection", "pictures", "measure", "value", "low", "high")}
COLOUR = "colour alone"
COLOURED = ("table1", "breast", "bccd")     # exhibits that have COLOUR beside the networks
COVERED = ("table1", "table2", "breast", "bccd", "attention")      # exhibits whose attention is measured


def evaluate(study: Study, name: str) -> pd.DataFrame:
    """The measures of the trainings of an exhibit, and their differences of accuracy: one row per measure.

    Columns: label, collection, measure, value, low, high, seeds, pictures, patients. The measure DIFFERENCE is the
    accuracy less that of REFERENCE, where the exhibit has it and both are tested on the same pictures. The row COLOUR
    of the exhibits in COLOURED is `colour_baseline`. Computed where the settings of the run train the exhibit; else, on
    the phantoms of the book, as published; else empty.
    """
    options, rows, first = {"n_bootstrap": study.settings.n_bootstrap, "seed": study.seed}, [], None
    for label, runs in (exhibit(name, study) if name in study.settings.exhibits else {}).items():
        of = study.predict(runs)
        (scores,) = of.scores.values()
        found = multiclass.measures(scores, of.targets, of.patients, **options)
        right = multiclass.correct(scores, of.targets)
        if label == REFERENCE:      # the first
            first = (of.labels.index, right)
        elif first and of.labels.index.equals(first[0]):
            apart = paired.difference(right, first[1], of.patients, **options)
            found.loc[len(found)] = [DIFFERENCE, apart.mean, apart.low, apart.high]
        rows.append(found.assign(label=label, collection=runs[0].collection, seeds=len(runs), pictures=len(of.targets),
                                 patients=len(set(of.patients))))
    if rows and name in COLOURED:
        scores = colour_baseline(study, replace(runs[0], colour=True))[None]
        found = multiclass.measures(scores, of.targets, of.patients, **options)
        rows.append(found.assign(**rows[-1].iloc[-1][["collection", "pictures", "patients"]], label=COLOUR, seeds=1))
    return _joined(study, "evaluation", name, rows)


def _joined(study: Study, part: str, name: str, found: list[pd.DataFrame]) -> pd.DataFrame:
    """The tables one below the other; without any, the published one of the book's phantoms, else an empty one."""
    if found:
        return pd.concat(found, ignore_index=True)[list(COLUMNS[part])]
    phantoms = all(study.data.is_phantom(Run("gated", collection=collection)) for collection in study.data.names)
    if phantoms and results.same_data(results.read("gated", _file(name)), study.run):
        return read(part, name)
    return pd.DataFrame(columns=list(COLUMNS[part]))


def metrics(study: Study, run: Run, part: str = "test") -> pd.DataFrame:
    """`multiclass.measures` of one training, and beside each what `colour_baseline` reaches: a further column."""
    of = study.predict([run], part)
    options = {"n_bootstrap": study.settings.n_bootstrap, "seed": study.seed}
    found = multiclass.measures(of.stacked()[run.series], of.targets, of.patients, **options)
    blind = multiclass.measures(colour_baseline(study, run, part)[None], of.targets, of.patients, **options)
    return found.assign(baseline=blind["value"])


def colour_baseline(study: Study, run: Run, part: str = "test") -> np.ndarray:
    """Probabilities (N, K) for a part, from mean and standard deviation of each channel of the thumbnails.

    These are six numbers where `run` sees colour and two where it sees grey; they know no shape.
    """
    train, test = (study.data.rows(name, run) for name in ("train", part))
    pixels = study.data.thumbnails(run)
    return baseline.class_baseline(baseline.colour_features(pixels[train]), study.data.of(run).targets[train],
                                   baseline.colour_features(pixels[test]), len(study.data.classes(run)))


def publish(study: Study) -> dict[str, Any]:
    """The figures of a run, JSON-able; no image, no image name."""
    study.train(study.planned)
    names = [name for name in study.settings.exhibits if exhibit(name, study)]
    return {"parts": parts(study),
            "fig1": {name: results.records(fig1(study, name), digits=4) for name in study.data.names},
            "evaluation": {name: results.records(evaluate(study, name), digits=4) for name in names},
            "coverage": {name: results.records(coverage(study, name), digits=4) for name in names if name in COVERED}}


def coverage(study: Study, name: str) -> pd.DataFrame:
    """`coverage_tables.measures` of the trainings of an exhibit, by label; computed, published or empty as `evaluate`.

    Also empty where nothing is known of the instances.
    """
    found = [coverage_tables.measures(study, runs).assign(label=label)
             for label, runs in (exhibit(name, study) if name in study.settings.exhibits else {}).items()
             if runs[0].network in MECHANISMS and runs[0].sampler != "truth"
             and len(coverage_tables.known_boxes(study, runs[0]))]
    return _joined(study, "coverage", name, found)


def parts(study: Study) -> list[dict[str, Any]]:
    """Pictures and patients of each part of each collection."""
    rows = []
    for name in study.data.names:
        run = Run("gated", collection=name)
        for part in PARTS:
            labels = study.data.labels(part, run)
            rows.append({"collection": name, "part": part, "pictures": len(labels),
                         "patients": int(labels["patient"].nunique())})
    return rows


def fig1(study: Study, name: str) -> pd.DataFrame:
    """Fig. 1: how many instances decide the class of a picture, and what share of it they cover; one row per measure.

    Columns: collection, pictures (those with known instances), measure, value (median over the pictures), low and high
    (smallest and largest). Measures: `instances`, their number; `largest`, the area of the largest box as a share of
    the picture; `together`, the sum of the areas (boxes may overlap). Empty where nothing is known of the instances.
    """
    boxes = study.data.boxes(Run("gated", collection=name)).query("decides")
    if boxes.empty:
        return pd.DataFrame(columns=list(COLUMNS["fig1"]))
    area = (boxes["bottom"] - boxes["top"]) * (boxes["right"] - boxes["left"])
    of_picture = area.groupby(boxes["row"]).agg(instances="size", largest="max", together="sum")
    ends = of_picture.agg(["median", "min", "max"]).T.set_axis(["value", "low", "high"], axis=1)
    return ends.rename_axis("measure").reset_index().assign(collection=name, pictures=len(of_picture))


def with_verdicts(table: pd.DataFrame) -> pd.DataFrame:
    """The differences of accuracy of an exhibit to REFERENCE with their verdicts, for people: one row per label."""
    own = table[table["measure"] == DIFFERENCE] if len(table) else pd.DataFrame(
        columns=["label", "value", "low", "high", "seeds"])
    own = own[["label", "seeds", "value", "low", "high"]].astype({"seeds": int})
    return tables.with_verdicts(own.rename(columns={"label": f"minus {REFERENCE}"}), "value").set_index(
        f"minus {REFERENCE}")


def read(part: str, name: str) -> pd.DataFrame:
    """A published table: part `evaluation` or `coverage`, and the exhibit, or `fig1` and the collection; else empty."""
    return results.table(results.read("gated", _file(name), needs=part)[part].get(name, []), COLUMNS[part])


def _file(name: str) -> str:
    return f"grid/{FILES.get(name, 'embedded')}"


def beside_paper(table: pd.DataFrame, name: str, measure: str = "accuracy") -> pd.DataFrame:
    """Tables 1 to 3: what the paper prints with its 95 % interval (Wilson), and ours beside it, one row per method.

    The paper gives no interval; it follows from the number of test pictures, TESTED.
    """
    printed, ours = ACCURACY[name], table[table["measure"] == measure].set_index("label")
    total = TESTED[name]
    rows = {}
    for label in dict.fromkeys([*printed, *ours.index]):
        own = ours.loc[label] if label in ours.index else None
        paper = "–"
        if label in printed:
            low, high = resampling.wilson_interval(np.array([printed[label] * total]), np.array([total]))
            paper = tables.with_interval(printed[label], float(low[0]), float(high[0]), digits=3)
        absent = "not trained" if label in RUNS[name] or label == REFERENCE else "not rebuilt"
        rows[label] = {f"paper, {total} pictures": paper, "here": absent if own is None else
                       tables.with_interval(own["value"], own["low"], own["high"], digits=3)}
    return pd.DataFrame(rows).T.rename_axis("method")
