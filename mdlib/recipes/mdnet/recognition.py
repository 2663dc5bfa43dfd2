"""Table 1 and Fig. 4: EcNet and the networks it is compared with, on CIFAR or on drawn shapes (section 5.1)."""

import dataclasses
import functools

import numpy as np
import pandas as pd
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn import functional

from mdlib import reproducible, runs
from mdlib.data import cifar
from mdlib.data.phantoms import shapes
from mdlib.errors import SettingsError
from mdlib.files import atomic, fingerprint, write_json
from mdlib.recipes.mdnet import plan
from mdlib.recipes.mdnet.chapter import Chapter
from mdlib.recipes.mdnet.networks import recognition_network
from mdlib.recipes.mdnet.plan import Recognition
from mdlib.recipes.mdnet.settings import Settings
from mdlib.recipes.trainings import HISTORY, PREDICTIONS, folder
from mdlib.training import loop, schedules

SIDE = 32               # pixels of a drawn shape, as of CIFAR
TESTED = 1000           # drawn images that test
MILESTONES, FALL = (0.3, 0.6, 0.8), 0.2     # 60, 120 and 160 of 200 epochs


def planned(chapter: Chapter) -> list[Recognition]:
    """The trainings of Table 1 in this run."""
    return plan.recognition(chapter.settings, chapter.recognised, chapter.seeds)


def train(chapter: Chapter, training: Recognition, fabric: Fabric) -> None:
    """Train one network by the policy of WRN; its history tells the error after every epoch; keep its last answers."""
    settings = chapter.settings
    if settings.recognition_batch % fabric.world_size:
        raise SettingsError(f"{fabric.world_size} devices cannot share {settings.recognition_batch} images a step",
                            "setting recognition_batch", "Choose a multiple of the number of devices.")
    reproducible.seed_everything(training.seed)
    parts = {part: images(chapter, training.data, part) for part in ("train", "test")}
    model = build(settings, training, *parts["train"])
    if settings.compiled and fabric.device.type == "cuda":
        model.compile()
    samples, tested = (cifar.DeviceImages(*parts[part], fabric.device, training=part == "train")
                       for part in ("train", "test"))
    stepper = optimizer(model, settings)

    def error(net: nn.Module) -> dict[str, float]:
        answer = loop.predict(fabric, net, tested, batch_size=500)["logits"]
        return {"error": float((answer.argmax(axis=1) != parts["test"][1]).mean())}

    history = loop.fit(fabric, model, stepper, samples, loss, epochs=settings.recognition_epochs,
                       batch_size=settings.recognition_batch, seed=training.seed, folder=folder(chapter, training),
                       validate=error, schedule=schedules.staircase(stepper, MILESTONES, FALL),
                       channels_last=settings.channels_last,
                       settings={"run": fingerprint(chapter.run.asked), "training": dataclasses.asdict(training)})
    if fabric.is_global_zero:
        guess = loop.predict(fabric, model, tested, batch_size=500)["logits"].argmax(axis=1)
        with atomic(folder(chapter, training) / PREDICTIONS) as file:
            pd.DataFrame({"guess": guess, "target": parts["test"][1]}).to_parquet(file)
        write_json(folder(chapter, training) / HISTORY, runs.without_nan(history))
    fabric.barrier()


def optimizer(model: nn.Module, settings: Settings) -> torch.optim.Optimizer:
    """That of the authors' logs: SGD, Nesterov momentum 0.9, weight decay 5e-4."""
    return torch.optim.SGD(model.parameters(), lr=settings.recognition_rate, momentum=0.9, nesterov=True,
                           weight_decay=5e-4)


def loss(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    """Cross-entropy of the classes."""
    return functional.cross_entropy(model(batch["image"])["logits"], batch["target"])


def images(chapter: Chapter, data: str, part: str) -> tuple[np.ndarray, np.ndarray]:
    """uint8 (N, 32, 32, 3) and int64 (N,) of `train` or `test`: of CIFAR in `data_dir`, or drawn."""
    if data == "shapes":
        return drawn(chapter.settings.shapes if part == "train" else TESTED, chapter.seed, part)
    found, labels, _ = cifar.read(chapter.data_dir / data, part)
    return found, labels


@functools.lru_cache(maxsize=2)
def drawn(count: int, seed: int, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Shapes and textures in grey, of ten classes; those that test are of another seed."""
    found, labels = shapes.draw(count, (SIDE, SIDE), 2 * seed + (part == "test"))
    return np.repeat(found[..., None], 3, axis=3), labels


def build(settings: Settings, training: Recognition, found: np.ndarray, labels: np.ndarray) -> nn.Module:
    """A network of Table 1 with fresh weights, which begins by taking off the mean of the training pixels."""
    mean, std = cifar.colours(found)
    return recognition_network(settings, training.network, int(labels.max()) + 1, mean, std)


def wrong(chapter: Chapter, training: Recognition) -> np.ndarray:
    """Which test images a finished training gets wrong, 0.0 or 1.0 (N,)."""
    table = pd.read_parquet(folder(chapter, training) / PREDICTIONS)
    return (table["guess"] != table["target"]).to_numpy(float)
