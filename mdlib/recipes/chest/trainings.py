"""Training the networks of chapter 1, what they predict, and the baseline that sees no picture content."""

import dataclasses
from collections.abc import Callable, Iterable

import numpy as np
import pandas as pd
import torch
from lightning_fabric import Fabric
from torch import nn

from mdlib import reproducible
from mdlib.data import images
from mdlib.evaluate import baseline, classification
from mdlib.files import atomic, fingerprint
from mdlib.parallel import side_by_side
from mdlib.recipes.chest.chapter import Chapter
from mdlib.recipes.chest.networks import network
from mdlib.training import loop
from mdlib.training.losses import binary_cross_entropy

PREDICT = 64    # images a step when predicting
PREDICTIONS = "predictions.parquet"


def inputs(name: str) -> Callable[[dict], dict]:
    """What the network of this name is called with: a function that picks it from a batch of samples."""
    keys = ("image", "nonimage") if name.endswith("_nonimage") else ("image",)
    return lambda batch: {key: batch[key] for key in keys}


def train(chapter: Chapter, name: str, seed: int, fabric: Fabric | None = None) -> tuple[nn.Module, list[dict]]:
    """One network trained as in section 2.6 (kept in the run folder, resumed where it was killed), and its history.

    The history has a dict an epoch: the mean training loss, and the loss and mean AUROC on the validation part.
    """
    settings, val = chapter.settings, chapter.samples("val")
    fabric = fabric or loop.start(chapter.device, precision=settings.precision)
    reproducible.seed_everything(seed)
    model = network(name, settings)
    optimizer = torch.optim.SGD(model.parameters(), lr=settings.learning_rate, momentum=settings.momentum)
    truth = chapter.targets[chapter.rows["val"]]

    def loss(model: nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        return binary_cross_entropy(model(**inputs(name)(batch))["logits"], batch["target"])

    def validate(model: nn.Module) -> dict[str, float]:
        logits = loop.predict(fabric, model, val, batch=PREDICT, inputs=inputs(name))["logits"]
        mean = classification.averages(classification.auroc(truth, logits, chapter.classes))["plain"]
        return {"val_loss": binary_cross_entropy(*map(torch.from_numpy, (logits, truth))).item(), "val_auroc": mean}

    history = loop.fit(
        fabric, model, optimizer, chapter.samples("train"), loss, validate=validate, epochs=settings.epochs,
        batch=settings.batch, seed=seed, workers=settings.workers,
        folder=chapter.run.folder / "networks" / f"{name}-seed{seed}",
        name_of=chapter.table["image"].iloc.__getitem__, channels_last=settings.channels_last,
        settings={"run": fingerprint(chapter.run.asked), "network": name})
    return model, history


def train_all(chapter: Chapter) -> dict[tuple[str, int], list[dict]]:
    """The histories of all trainings, by network and seed; what they predict is kept for `predictions`.

    On a CPU the trainings run side by side, each in a process with one thread: small networks gain little from a second
    thread, and one thread adds in the same order on every machine.
    """
    jobs = [(name, seed) for seed in chapter.seeds for name in chapter.settings.networks]

    def compute() -> list[list[dict]]:
        chapter.samples("train")    # decodes the images, once for all
        histories, probabilities = zip(*_work(chapter, jobs), strict=True)
        _keep_predictions(chapter, jobs, probabilities)
        return histories
    return dict(zip(jobs, chapter.run.remember("histories", compute, jobs=jobs), strict=True))


def _work(chapter: Chapter, jobs: list[tuple[str, int]]) -> Iterable[tuple[list[dict], np.ndarray]]:
    """`train_and_predict` of each job in turn; on a CPU several at a time."""
    if chapter.device != "cpu" or torch.distributed.is_torchelastic_launched():
        fabric = loop.start(chapter.device, precision=chapter.settings.precision)
        return (train_and_predict(chapter, *job, fabric) for job in jobs)
    alone = dataclasses.replace(chapter)    # without what was computed from it: each process maps the pixels itself
    return side_by_side(_with_one_thread, [(alone, *job) for job in jobs], "trainings")


def _with_one_thread(chapter: Chapter, name: str, seed: int) -> tuple[list[dict], np.ndarray]:
    torch.set_num_threads(1)
    return train_and_predict(chapter, name, seed)


def train_and_predict(chapter: Chapter, name: str, seed: int, fabric: Fabric | None = None
                      ) -> tuple[list[dict], np.ndarray]:
    """The history of one training, and its probabilities on the test part, float32 (N, classes)."""
    fabric = fabric or loop.start(chapter.device, precision=chapter.settings.precision)
    model, history = train(chapter, name, seed, fabric)
    logits = loop.predict(fabric, model, chapter.samples("test"), batch=PREDICT, inputs=inputs(name))["logits"]
    return history, 1 / (1 + np.exp(-logits))


def _keep_predictions(chapter: Chapter, jobs: list[tuple[str, int]], probabilities: Iterable[np.ndarray]) -> None:
    images = chapter.table["image"].iloc[chapter.rows["test"]].to_numpy()
    parts = [pd.DataFrame(probability, columns=list(chapter.classes)).assign(image=images, network=name, seed=seed)
             for (name, seed), probability in zip(jobs, probabilities, strict=True)]
    with atomic(chapter.run.folder / PREDICTIONS) as part:
        pd.concat(parts, ignore_index=True)[["image", "network", "seed", *chapter.classes]].to_parquet(part)


def predictions(chapter: Chapter) -> pd.DataFrame:
    """Probabilities on the test part, a row an image, network and seed; kept as predictions.parquet."""
    jobs = list(train_all(chapter))
    if not (chapter.run.folder / PREDICTIONS).exists():
        _keep_predictions(chapter, jobs, [probability for _, probability in _work(chapter, jobs)])
    return pd.read_parquet(chapter.run.folder / PREDICTIONS)


def scores(chapter: Chapter) -> dict[str, np.ndarray]:
    """Probabilities on the test part, one a class: by network (seeds, N, classes); five numbers (1, N, classes)."""
    table, kept = predictions(chapter), {"five numbers": five_number_scores(chapter)[None]}
    for name in chapter.settings.networks:
        of_network = table[table["network"] == name].set_index("seed")
        kept[name] = np.stack([of_network.loc[seed, list(chapter.classes)].to_numpy() for seed in chapter.seeds])
    return kept


def five_number_scores(chapter: Chapter) -> np.ndarray:
    """What view, sex, age and the mean and spread of the picture alone say of the test part, (N, classes)."""
    table = chapter.table
    numbers = baseline.five_numbers(table["view"] == "AP", table["sex"] == "M", table["age"], *moments(chapter))
    train, test = (chapter.rows[part] for part in ("train", "test"))
    return baseline.five_number_baseline(numbers[train], chapter.targets[train], numbers[test])


def moments(chapter: Chapter) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each picture as the networks see it, (N,) each, [0, 1]."""
    crops = images.centre_crop(chapter.pixels, chapter.settings.crop)
    pairs = [(crop.mean() / 255, crop.std() / 255) for crop in crops]
    return tuple(np.array(pairs).T)
