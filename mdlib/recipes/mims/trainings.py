"""Training the networks of chapter 2 (Li et al., appendix A), and what they predict."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn import functional

from mdlib import reproducible, runs
from mdlib.data.bags import BagSamples
from mdlib.errors import SettingsError
from mdlib.evaluate import baseline
from mdlib.files import atomic, fingerprint, write_json
from mdlib.models.mims import MIMSCNN
from mdlib.progress import track
from mdlib.recipes import trainings as shared
from mdlib.recipes.mims import card, pretext
from mdlib.recipes.mims.chapter import Chapter
from mdlib.recipes.mims.methods import METHODS
from mdlib.recipes.mims.networks import network
from mdlib.recipes.mims.plan import ONE_SIZE, THREE_D, Training, plan
from mdlib.recipes.mims.settings import Mims
from mdlib.recipes.trainings import HISTORY, PREDICTIONS, folder
from mdlib.training import checkpoints, loop

PRETEXT = Training("mi_pre", pretext.COLLECTION, "mean")    # the body of every network but the one from scratch
SLICES = 240        # at most, a step when predicting


class Stage(NamedTuple):
    """One part of a training; `epochs` or `iterations`."""

    part: str
    rate: float
    epochs: int = 0
    iterations: int = 0


def stages(settings: Mims, collection: str) -> tuple[Stage, ...]:
    """How a network is trained on a collection (appendix A); that MMD and real scans are as Cirrus is ours."""
    s = settings
    if collection == pretext.COLLECTION:
        return (Stage("train", s.shapes_rate, epochs=s.shapes_epochs),)
    if collection == "crc_msi":
        return (Stage("train", s.learning_rate, epochs=s.epochs), Stage("tuning", s.learning_rate, epochs=1),
                Stage("tuning", s.last_rate, epochs=1))
    return (Stage("train", s.learning_rate, iterations=s.finetune if collection == "spectralis" else s.iterations),)


def planned(chapter: Chapter) -> list[Training]:
    """All trainings of this run."""
    return plan(chapter.settings, tuple(chapter.found), chapter.seeds)


def begins_with(settings: Mims, training: Training) -> Training | None:
    """The training whose weights another one starts from, or None: random weights, or ImageNet's."""
    if training.collection == "spectralis":
        return dataclasses.replace(training, collection="cirrus")
    if settings.pretrained != "shapes" or METHODS[training.method].scratch or training == PRETEXT:
        return None
    return PRETEXT


def train_all(chapter: Chapter, trainings: Sequence[Training] | None = None) -> dict[Training, list[dict]]:
    """The histories of some trainings (None: all that are planned), done now where they are not kept.

    What others begin with comes first, then all that do not wait for one another, side by side.
    """
    trainings = planned(chapter) if trainings is None else trainings
    waiting = shared.missing(chapter, trainings)
    if before := {begins_with(chapter.settings, training) for training in waiting} - {None}:
        train_all(chapter, sorted(before, key=lambda training: training.slug))
    waiting = shared.missing(chapter, waiting)
    for collection in {training.collection for training in waiting}:
        samples_of(chapter, Training("mims", collection), "train")      # decodes the slices, once for all
    if waiting:
        shared.do(chapter, waiting, train_and_predict)
    return shared.histories(chapter, trainings)


def train_and_predict(chapter: Chapter, training: Training, fabric: Fabric) -> None:
    """Train one network stage by stage; keep what it says of the test part, its card and its history."""
    reproducible.seed_everything(training.seed)
    settings, history = chapter.settings, []
    if bags_a_step(settings, training.collection) % fabric.world_size:
        raise SettingsError(f"{fabric.world_size} devices cannot share {bags_a_step(settings, training.collection)} "
                            f"bags of {training.collection} a step", "settings volumes, batch",
                            f"As --set volumes={fabric.world_size}; it makes a step larger than the paper's.")
    model = build(chapter, training)
    if before := begins_with(settings, training):
        _start_from(model, weights_of(chapter, before), body_only=before == PRETEXT)
    for number, stage in enumerate(stages(settings, training.collection)):
        samples = samples_of(chapter, training, stage.part, drawn=True)
        history += [{"stage": stage.part, "rate": stage.rate, **epoch} for epoch in loop.fit(
            fabric, model, optimizer(model, stage.rate, settings), samples, loss_of(training), epochs=stage.epochs,
            iterations=stage.iterations, batch_size=bags_a_step(settings, training.collection),
            seed=training.seed + 1000 * number,     # the stages do not go through the bags in the same order
            num_workers=settings.workers, folder=stage_folder(chapter, training, number),
            name_of=lambda row: name_of(chapter, training, row), channels_last=settings.channels_last,
            settings={"run": fingerprint(chapter.run.asked), "training": dataclasses.asdict(training)})]
    if fabric.is_global_zero:
        with atomic(folder(chapter, training) / PREDICTIONS) as file:
            predicted(chapter, training, model, fabric).to_parquet(file)
        if training.collection != pretext.COLLECTION:
            card.write(chapter, training, last_folder(chapter, training),
                       *(samples_of(chapter, training, part) for part in ("train", "test")))
        write_json(folder(chapter, training) / HISTORY, runs.without_nan(history))
    fabric.barrier()


def build(chapter: Chapter, training: Training) -> MIMSCNN:
    """The network of a training, with fresh weights (or ImageNet's)."""
    classes = int(samples_of(chapter, training, "train").targets.max()) + 1
    return network(training.method, training.collection, chapter.settings, training.pooling, classes)


def samples_of(chapter: Chapter, training: Training, part: str, drawn: bool = False) -> BagSamples:
    """The bags of a part of a training's collection; the pretext task has one of its own."""
    if training.collection == pretext.COLLECTION:
        return pretext.samples(chapter.settings, chapter.seed, part)
    if (training.collection, part) == (ONE_SIZE, "test"):
        return chapter.samples("cirrus", "test")
    return chapter.samples(training.collection, part, training.fold, drawn)


def bags_a_step(settings: Mims, collection: str) -> int:
    """Volumes, or images, an iteration."""
    return settings.volumes if collection in (*THREE_D, ONE_SIZE) else settings.batch


def optimizer(model: MIMSCNN, rate: float, settings: Mims) -> torch.optim.Optimizer:
    """SGD or Adam with two learning rates: the layers below learn at `backbone_rate` of it (appendix A)."""
    below = list(model.features.parameters())
    known = set(map(id, below))
    top = [weight for weight in model.parameters() if id(weight) not in known]
    groups = [{"params": below, "lr": settings.backbone_rate * rate}, {"params": top}]
    if settings.optimizer == "adam":
        return torch.optim.AdamW(groups, lr=rate, weight_decay=settings.weight_decay)
    return torch.optim.SGD(groups, lr=rate, momentum=settings.momentum, weight_decay=settings.weight_decay)


def loss_of(training: Training):
    """Cross-entropy of the bags; where a method classifies slices, of the slices, each with its bag's class."""
    def loss(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        answer = model(batch["bag"], batch["sizes"])
        if METHODS[training.method].slice_by_slice:
            return functional.cross_entropy(answer["slice_logits"], batch["target"].repeat_interleave(batch["sizes"]))
        return functional.cross_entropy(answer["logits"], batch["target"])
    return loss


def stage_folder(chapter: Chapter, training: Training, number: int) -> Path:
    """Where one stage keeps its checkpoint."""
    return folder(chapter, training) / f"stage{number}"


def last_folder(chapter: Chapter, training: Training) -> Path:
    """Where the last stage keeps its checkpoint, and the network's card."""
    return stage_folder(chapter, training, len(stages(chapter.settings, training.collection)) - 1)


def weights_of(chapter: Chapter, training: Training) -> dict[str, Tensor]:
    """The weights at the end of a finished training."""
    return checkpoints.weights(last_folder(chapter, training) / checkpoints.NAME)


def _start_from(model: MIMSCNN, weights: dict[str, Tensor], body_only: bool) -> None:
    if body_only:
        prefix = "features."
        model.features.load_state_dict({name.removeprefix(prefix): value for name, value in weights.items()
                                        if name.startswith(prefix)})
    else:
        model.load_state_dict(weights)


def name_of(chapter: Chapter, training: Training, row: int) -> str:
    """The bag in a row, to name it in an error."""
    return f"row {row}" if training.collection == pretext.COLLECTION else str(
        chapter.bags(training.collection).table["bag"].iloc[row])


def predicted(chapter: Chapter, training: Training, model: MIMSCNN, fabric: Fabric) -> pd.DataFrame:
    """One row per bag of the test part: its row in the collection, and its log-odds of the last class."""
    samples = samples_of(chapter, training, "test")
    longest = int(samples.count[samples.rows].max())
    logits = loop.predict(fabric, model, samples, batch_size=max(1, SLICES // longest),
                          inputs=lambda batch: {"bag": batch["bag"], "sizes": batch["sizes"]})["logits"]
    others = np.logaddexp.reduce(logits[:, :-1], axis=1)
    return pd.DataFrame({"row": samples.rows, "score": logits[:, -1] - others, "guess": logits.argmax(axis=1)})


def predictions(chapter: Chapter, training: Training) -> pd.DataFrame:
    """What one training says of its test part, as `predicted`; trained now if need be."""
    train_all(chapter, [training])
    return pd.read_parquet(folder(chapter, training) / PREDICTIONS)


def trained(chapter: Chapter, training: Training) -> MIMSCNN:
    """A trained network in evaluation mode, on the chapter's device; trained now if need be."""
    train_all(chapter, [training])
    model = build(chapter, training)
    model.load_state_dict(weights_of(chapter, training))
    return model.to(chapter.device).eval()


def grey_scores(chapter: Chapter, collection: str, fold: int = 0) -> np.ndarray:
    """What mean and spread of the pictures, and their number, say of the test part, (N,): to be beaten (ours)."""
    numbers = moments(chapter, collection)
    train, test = (chapter.part(collection, part, fold) for part in ("train", "test"))
    target = chapter.bags(collection).targets[:, None].astype(np.float32)
    return baseline.metadata_baseline(numbers[train], target[train], numbers[test])[:, 0]


def moments(chapter: Chapter, collection: str) -> np.ndarray:
    """Of each bag: mean and spread of each channel over its central slices, and how many slices it has, (N, ...)."""
    samples = BagSamples(chapter.pixels(collection), chapter.bags(collection),
                         np.arange(len(chapter.bags(collection).table)), central=chapter.settings.central, draw=None)
    found = []
    for i in track(range(len(samples)), "grey of the bags"):
        bag = samples[i]["bag"]
        found.append([*bag.mean(dim=(0, 2, 3)), *bag.std(dim=(0, 2, 3)), len(bag)])
    return np.array(found, dtype=np.float64)
