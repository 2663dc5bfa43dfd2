"""Training the networks of chapter 1, what they predict, and the baseline that sees no picture content."""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import torch
from lightning_fabric import Fabric
from scipy.special import expit
from torch import nn

from mdlib import reproducible, runs
from mdlib.data.samples import Samples
from mdlib.errors import DataError
from mdlib.evaluate import baseline, classification
from mdlib.files import atomic, fingerprint, write_json
from mdlib.recipes import trainings as shared
from mdlib.recipes.chest import card
from mdlib.recipes.chest.chapter import Chapter
from mdlib.recipes.chest.networks import network
from mdlib.recipes.chest.plan import NONIMAGE, PREDICTS, Training, exhibit, plan
from mdlib.recipes.trainings import HISTORY, PREDICTIONS, folder
from mdlib.training import loop
from mdlib.training.losses import binary_cross_entropy

PREDICT = 64    # images a step when predicting


def left_out(chapter: Chapter, name: str) -> str:
    """Why an exhibit is no part of this run, in words; empty where it is one."""
    if name not in chapter.settings.exhibits:
        return f"{name} is not among the `exhibits` of this run's settings, so its networks are not trained."
    if not exhibit(name, chapter.settings.networks):
        return f"None of the networks of {name} is among this run's `networks`."
    if name == "leak":
        try:
            chapter.part("leaky")
        except DataError as error:
            return f"There is no leak to measure: {error}"
    return ""


def planned(chapter: Chapter) -> list[Training]:
    """All trainings of this run: what its exhibits need, for every seed and split of the settings."""
    exhibits = tuple(name for name in chapter.settings.exhibits if not left_out(chapter, name))
    return plan(exhibits, chapter.settings.networks, chapter.settings.splits, chapter.seeds)


def inputs(name: str) -> Callable[[dict], dict]:
    """What the network of this name is called with: a function that picks it from a batch of samples."""
    keys = ("image", "nonimage") if name.endswith(NONIMAGE) else ("image",)
    return lambda batch: {key: batch[key] for key in keys}


def train(chapter: Chapter, training: Training, fabric: Fabric | None = None) -> tuple[nn.Module, list[dict]]:
    """One network trained as in section 2.6 (kept in the run folder, resumed where it was killed), and its history.

    The history has a dict an epoch: the mean training loss and, of a network fitted to `train`, the loss and mean
    AUROC on `val`.
    """
    settings, name = chapter.settings, training.network
    fabric = fabric or loop.start(chapter.device, precision=settings.precision)
    reproducible.seed_everything(training.seed)
    model = network(name, settings, training.classes, training.normalise)
    optimizer = torch.optim.SGD(model.parameters(), lr=getattr(settings, training.rate), momentum=settings.momentum)

    def loss(model: nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        return binary_cross_entropy(model(**inputs(name)(batch))["logits"], batch["target"])

    def validate(model: nn.Module) -> dict[str, float]:
        val = chapter.samples("val", training.split, training.classes)
        logits, truth = _logits(fabric, model, name, val), val.targets[val.rows]
        aurocs = classification.auroc(truth, logits, chapter.classes[-training.classes:])
        return {"val_loss": binary_cross_entropy(*map(torch.from_numpy, (logits, truth))).item(),
                "val_auroc": classification.averages(aurocs)["plain"]}

    history = loop.fit(
        fabric, model, optimizer, chapter.samples(training.part, training.split, training.classes), loss,
        validate=validate if training.part == "train" else None, epochs=getattr(settings, training.epochs),
        batch_size=settings.batch, seed=training.seed, num_workers=settings.workers, folder=folder(chapter, training),
        name_of=chapter.table["image"].iloc.__getitem__, channels_last=settings.channels_last,
        settings={"run": fingerprint(chapter.run.asked), "training": dataclasses.asdict(training)})
    return model, history


def train_all(chapter: Chapter, trainings: Sequence[Training] | None = None) -> dict[Training, list[dict]]:
    """The histories of some trainings (None: all that are planned), done now where they are not kept."""
    trainings = planned(chapter) if trainings is None else trainings
    missing = shared.missing(chapter, trainings)
    if missing:
        chapter.samples("train")    # decodes the images, once for all
        shared.do(chapter, missing, train_and_predict)
    return shared.histories(chapter, trainings)


def train_and_predict(chapter: Chapter, training: Training, fabric: Fabric) -> None:
    """Train one network; keep its probabilities on the parts it is to predict, and its history, in its folder."""
    model, history = train(chapter, training, fabric)
    if fabric.is_global_zero:
        names, tables = list(chapter.classes[-training.classes:]), []
        for part in PREDICTS[training.part]:
            logits = _logits(fabric, model, training.network, chapter.samples(part, training.split))
            images = chapter.table["image"].iloc[chapter.part(part, training.split)]
            tables.append(pd.DataFrame(expit(logits), columns=names).assign(part=part, image=images.array))
        table = pd.concat(tables, ignore_index=True)[["part", "image", *names]]
        with atomic(folder(chapter, training) / PREDICTIONS) as file:
            table.to_parquet(file)
        card.write(chapter, training, folder(chapter, training), table)
        write_json(folder(chapter, training) / HISTORY, runs.without_nan(history))
    fabric.barrier()


def _logits(fabric: Fabric, model: nn.Module, name: str, samples: Samples) -> np.ndarray:
    return loop.predict(fabric, model, samples, batch_size=PREDICT, inputs=inputs(name))["logits"]


def predictions(chapter: Chapter, training: Training) -> pd.DataFrame:
    """What one training predicts: columns part, image, and the probability of each class; trained now if need be."""
    train_all(chapter, [training])
    return pd.read_parquet(folder(chapter, training) / PREDICTIONS)


def probabilities(chapter: Chapter, training: Training, part: str) -> np.ndarray:
    """The probabilities of a training on a part that it predicts, (N, classes)."""
    table = predictions(chapter, training)
    return table.loc[table["part"] == part].drop(columns=["part", "image"]).to_numpy()


def five_number_scores(chapter: Chapter, fit: str, part: str) -> np.ndarray:
    """What view, sex, age and the mean and spread of the picture alone say of a part, (1, N, 15); fitted to `fit`."""
    table, moments = chapter.table, chapter.moments
    numbers = baseline.metadata_features(table["view"] == "AP", table["sex"] == "M", table["age"], *moments)
    fitted, predicted = chapter.part(fit), chapter.part(part)
    return baseline.metadata_baseline(numbers[fitted], chapter.targets[fitted], numbers[predicted])[None]
