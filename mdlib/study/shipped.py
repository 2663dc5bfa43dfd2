"""Networks that come with mdlib: trained once by `mdlib publish`, kept under data/results/<paper>/networks/<slug>.

    weights.safetensors   in half precision
    card.json             that of a bundle; also how it was trained, and its metrics beside an image-blind baseline
    reference.npz         statistics of the training images

Each is a bundle (`study.bundle`): `mdlib predict` uses it as it is. A study whose settings and data are the same takes
the weights from there for a training that it has not planned itself (`adopt`).
"""

import dataclasses
import shutil
import time
from pathlib import Path
from typing import Any

import pandas as pd

from mdlib import reproducible, runs
from mdlib.errors import DataError
from mdlib.files import read_json, write_json
from mdlib.models.backbones import count
from mdlib.study import bundle, results
from mdlib.study.bundle import CARD, FURTHER, REFERENCE, Bundle, Origin
from mdlib.study.spec import RunSpec
from mdlib.study.tables import with_interval
from mdlib.training import checkpoints

HISTORY, DURATION = "history.json", "duration.json"     # of a finished training, beside its checkpoint


def folder(paper: str) -> Path:
    """Where the shipped networks of a paper are: in the checkout, else those that were installed with mdlib."""
    own, installed = results.folder(paper) / "networks", runs.PACKAGE / "results" / paper / "networks"
    return installed if installed.is_dir() and not own.is_dir() else own


def load(paper: Origin, name: str) -> Bundle:
    """A shipped network by its slug, such as `att_a`. Raises DataError, listing what there is."""
    path = folder(paper.name) / name
    if not path.is_dir():
        raise DataError("no such network is shipped", str(path), f"Shipped: {', '.join(names(paper.name)) or 'none'}.")
    return bundle.load(path, paper)


def names(paper: str) -> list[str]:
    """The slugs of the shipped networks of a paper."""
    return sorted(card.parent.name for card in folder(paper).glob(f"*/{CARD}"))


def table(paper: str) -> pd.DataFrame:
    """One row per shipped network: its main metric (95 % interval), the baseline, weights, kB, CPU seconds, and code.

    code: the commit that trained it, and whether the code that decides the weights has changed since.
    """
    rows, code = {}, runs.training_code(paper)
    for name in names(paper):
        card = read_json(folder(paper) / name / CARD)
        own = card[FURTHER]
        summary = results.table(own["metrics"]).iloc[0]
        changed = own["training_code"] != code
        rows[name] = {summary["measure"]: with_interval(*summary[["value", "low", "high"]], digits=3),
                      "without the image": round(summary["baseline"], 3), "weights": own["weights"],
                      "kB": round(own["bytes"] / 1000), "CPU seconds": round(own["seconds"]["cpu"]),
                      "code": card["code"] + (", changed since" if changed else "")}
    return pd.DataFrame(rows).T.rename_axis("network")


def adopt(study, run: RunSpec) -> bool:
    """Put a shipped network and its card into the run folder of a study as if trained there; False if none fits.

    It fits a run that the study has not planned to train itself, where all settings that decide weights, the data, and
    the seed, which also draws their parts, are those of its card. Raises DataError for a damaged one.
    """
    if run in study.planned or run.seed != study.seed or run.slug not in names(study.paper.name):
        return False
    net = load(study.paper, run.slug)
    if (net.run != run or deciding(net.settings) != deciding(study.settings)
            or net.data["fingerprint"] != study.data.description(run)["fingerprint"]):
        return False
    weights = net.model.state_dict()
    study.run_folder(run).mkdir(parents=True, exist_ok=True)
    for path in (net.card, net.card.with_name(REFERENCE)):
        shutil.copyfile(path, study.run_folder(run) / path.name)
    install(study, run, weights, read_json(net.card)[FURTHER]["history"])
    return True


def install(study, run: RunSpec, weights: dict, history: list[dict]) -> None:
    """Write weights and history as those of a finished training of a study."""
    checkpoints.write_weights(study.run_folder(run), weights)
    write_json(study.run_folder(run) / HISTORY, history)


def deciding(settings: Any) -> dict[str, Any]:
    """The settings that decide the weights of a network."""
    left_out = getattr(settings, "NOT_TRAINING", ())
    return {name: value for name, value in dataclasses.asdict(settings).items() if name not in left_out}


def ship(study, run: RunSpec, command: str) -> Path:
    """Write a trained network of a study with its card, measured as it is shipped: with weights in half precision.

    command: what trains and writes it again. Nothing that is shipped changes before all is measured.
    """
    rounded = dataclasses.replace(study, run=dataclasses.replace(study.run, folder=study.folder / "shipped"))
    made, target = rounded.run_folder(run), folder(study.paper.name) / run.slug
    shutil.rmtree(made, ignore_errors=True)
    history = read_json(study.run_folder(run) / HISTORY)
    checkpoints.write_half(made / checkpoints.SHIPPED, checkpoints.weights(study.run_folder(run) / checkpoints.NAME))
    install(rounded, run, checkpoints.weights(made / checkpoints.SHIPPED), history)
    for part in study.paper.parts(run):
        rounded.predict([run], part)
    bundle.write(rounded, run)
    card = read_json(made / CARD) | {"code": study.run.manifest["code"]}     # that trained it
    card[FURTHER] = {
        "metrics": results.records(study.paper.metrics(rounded, run), digits=4), "history": history,
        "weights": count(rounded.model(run)), "bytes": (made / checkpoints.SHIPPED).stat().st_size,
        "seconds": read_json(study.run_folder(run) / DURATION), "command": command,
        "training_code": study.run.manifest["training_code"], "hardware": reproducible.hardware(study.device),
        "versions": reproducible.versions(), "date": time.strftime("%Y-%m-%d", time.gmtime())}
    target.mkdir(parents=True, exist_ok=True)
    for name in (checkpoints.SHIPPED, REFERENCE):
        shutil.copyfile(made / name, target / name)
    write_json(target / CARD, card)
    return target
