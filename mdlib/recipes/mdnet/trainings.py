"""Training the rows of Table 2 and the image models they begin with, and what they write about the test part."""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn import functional

from mdlib import reproducible, runs
from mdlib.data.report_samples import ReportSamples
from mdlib.errors import SettingsError
from mdlib.files import atomic, fingerprint, write_json
from mdlib.models.mdnet import MDNet
from mdlib.models.report_lstm import PAD
from mdlib.recipes import trainings as shared
from mdlib.recipes.mdnet import card, recognition, writing
from mdlib.recipes.mdnet.chapter import Chapter
from mdlib.recipes.mdnet.networks import image_model, network
from mdlib.recipes.mdnet.plan import Recognition, Training, plan
from mdlib.recipes.mdnet.rows import EVERY, IMAGE_MODELS
from mdlib.recipes.mdnet.settings import Settings
from mdlib.recipes.trainings import HISTORY, PREDICTIONS, folder
from mdlib.training import checkpoints, loop, schedules

RETRIEVAL = "retrieval.npy"     # log-likelihoods (queries, images) of the test part
LOSSES = ("M", "L")             # of the AAS module, and of the language model (eq. 11)


def planned(chapter: Chapter) -> list[Training]:
    """All trainings on images and reports of this run, in every fold."""
    return plan(chapter.settings, list(range(chapter.settings.folds)), chapter.seeds)


def begins_with(training: Training) -> Training | None:
    """The image model whose weights a row starts from, shared by all rows of the fold; None: fresh weights."""
    of = EVERY.get(training.row)
    return Training(of.image, fold=training.fold, seed=training.seed) if of and of.pretrained else None


def train_all(chapter: Chapter, trainings: Sequence[Training | Recognition] | None = None) -> dict:
    """The histories of some trainings (None: all of this run, Table 1 among them), done now where they are not kept.

    What others begin with comes first, then all that do not wait for one another, side by side.
    """
    trainings = [*planned(chapter), *recognition.planned(chapter)] if trainings is None else trainings
    waiting = shared.missing(chapter, trainings)
    before = {begins_with(one) for one in waiting if isinstance(one, Training)} - {None}
    if before:
        train_all(chapter, sorted(before, key=lambda one: one.slug))
    waiting = shared.missing(chapter, waiting)
    if any(isinstance(one, Training) for one in waiting):
        _ = chapter.pixels      # decodes the images, once for all
    if waiting:
        shared.do(chapter, waiting, one_of)
    return shared.histories(chapter, trainings)


def one_of(chapter: Chapter, training: Training | Recognition, fabric: Fabric) -> None:
    """Do one training of either kind."""
    do = recognition.train if isinstance(training, Recognition) else train_and_write
    do(chapter, training, fabric)


def train_and_write(chapter: Chapter, training: Training, fabric: Fabric) -> None:
    """Train one network; keep what it says about the test part, its card and its history."""
    settings = chapter.settings
    if settings.batch % fabric.world_size:
        raise SettingsError(f"{fabric.world_size} devices cannot share {settings.batch} images a step",
                            "setting batch", f"As --set batch={fabric.world_size * 8}.")
    reproducible.seed_everything(training.seed)
    model = build(chapter, training)
    if before := begins_with(training):
        model.image_model.load_state_dict(weights_of(chapter, before))
    if settings.compiled and fabric.device.type == "cuda":
        image_part(model).features.compile()    # what MDNet calls, and the image model itself
    stepper = optimizer(model, training, settings)
    loss = loss_of(model, training, settings)
    lower = schedules.staircase(stepper, settings.falls, 0.2)

    def schedule(share: float) -> None:
        lower(share)
        loss.share = share

    history = loop.fit(fabric, model, stepper, samples_of(chapter, training, "train", drawn=True), loss,
                       epochs=settings.epochs, batch_size=settings.batch, seed=training.seed,
                       num_workers=settings.workers, folder=folder(chapter, training), schedule=schedule,
                       validate=magnitudes(chapter, training) if is_compared(training) else None,
                       name_of=lambda row: chapter.reports.table["image"].iloc[row],
                       channels_last=settings.channels_last,
                       settings={"run": fingerprint(chapter.run.asked), "training": dataclasses.asdict(training)})
    if fabric.is_global_zero:
        _keep(chapter, training, model, fabric)
        card.write(chapter, training, folder(chapter, training))
        write_json(folder(chapter, training) / HISTORY, runs.without_nan(history))
    fabric.barrier()


def _keep(chapter: Chapter, training: Training, model: nn.Module, fabric: Fabric) -> None:
    """What a network writes about the test part, and how well each report of it fits each image."""
    written, fits = writing.written(chapter, training, model, fabric)
    with atomic(folder(chapter, training) / PREDICTIONS) as file:
        written.to_parquet(file)
    if fits is not None:
        with atomic(folder(chapter, training) / RETRIEVAL) as file, file.open("wb") as stream:
            np.save(stream, fits.astype(np.float32))


def build(chapter: Chapter, training: Training) -> nn.Module:
    """The network of a training with fresh weights: an image model, or a MDNet."""
    settings, reports = chapter.settings, chapter.reports
    classes, (mean, std) = len(reports.classes), chapter.colour(training.fold)
    if training.row in IMAGE_MODELS:
        return image_model(settings, training.row, classes, mean, std)
    return network(settings, training.row, len(chapter.vocabulary(training.fold)), len(reports.parts), classes, mean,
                   std)


def image_part(model: nn.Module) -> nn.Module:
    """The image model of a network, which may be one itself."""
    return model.image_model if isinstance(model, MDNet) else model


def samples_of(chapter: Chapter, training: Training, part: str, drawn: bool = False) -> ReportSamples:
    """The images of a part with the sentences that a row learns to write."""
    whole = training.row in EVERY and not EVERY[training.row].split
    return chapter.samples(part, training.fold, drawn, whole)


def is_compared(training: Training) -> bool:
    """Whether the gradients of both losses are measured while it learns (Fig. 7, left)."""
    return training == Training("mdnet", fold=training.fold, seed=training.seed)


def optimizer(model: nn.Module, training: Training, settings: Settings) -> torch.optim.Optimizer:
    """AdamW, with a rate each for the image model and the language model, whose gradients are clipped (ours).

    Eq. 12 is written as plain descent; AdamW keeps the mix of both gradients that it asks for. A fine-tuned image model
    learns at `tuned_rate` of its rate, a frozen one not at all.
    """
    of = EVERY.get(training.row)
    groups = []
    if of is None or of.joint or of.tuned:
        rate = settings.image_rate * (settings.tuned_rate if of and of.tuned else 1)
        groups.append({"params": list(image_part(model).parameters()), "lr": rate,
                       "weight_decay": settings.weight_decay})
    if of is not None:
        groups.append({"params": list(model.language.parameters()), "lr": settings.report_rate, "weight_decay": 0.0})
    stepper = torch.optim.AdamW(groups)
    if of is not None:
        stepper.register_step_pre_hook(lambda *_: nn.utils.clip_grad_value_(model.language.parameters(),
                                                                            settings.clip_gradient))
    return stepper


class Loss:
    """The loss of a step; `share` of the training is done, which eq. 12 asks for."""

    def __init__(self, of: Callable[[nn.Module, dict[str, Tensor], float], Tensor]):
        self.of, self.share = of, 0.0

    def __call__(self, model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        return self.of(model, batch, self.share)


def loss_of(model: nn.Module, training: Training, settings: Settings) -> Loss:
    """L_M of an image model; L_L of a language model; their sum, forked by eq. 12, where both learn at once."""
    of = EVERY.get(training.row)
    if of is None:
        return Loss(lambda net, batch, _: functional.cross_entropy(net(batch["image"])["logits"], batch["target"]))
    if not of.joint:    # L_L does not reach the classifier: several processes would wait for its gradients
        (image_part(model).classifier if of.tuned else image_part(model)).requires_grad_(False)

    def reports(net: nn.Module, batch: dict[str, Tensor], share: float) -> Tensor:
        if not of.joint and not of.tuned:
            image_part(model).eval()        # frozen: its batch normalisation, too
        chosen = batch["target"] if settings.class_of_c == "true" else None
        if not of.joint:
            return language_loss(net(batch["image"], batch["words"], chosen=chosen)["words"], batch["words"])
        fork = schedules.fork(share, settings.beta, training.eta or settings.eta, training.scaled == "both")
        answer = net(batch["image"], batch["words"], chosen=chosen, fork=fork)
        return functional.cross_entropy(answer["logits"], batch["target"]) + language_loss(answer["words"],
                                                                                          batch["words"])
    return Loss(reports)


def language_loss(logits: Tensor, words: Tensor) -> Tensor:
    """L_L: the mean negative log-likelihood of a word (eq. 7, 11); logits (B, K, T, V), words (B, K, T)."""
    return functional.cross_entropy(logits.flatten(0, 2), words.flatten(), ignore_index=PAD)


def magnitudes(chapter: Chapter, training: Training) -> Callable[[nn.Module], dict[str, float]]:
    """After an epoch: mean size of the gradient of either loss in a weight of the image model (Fig. 7, left).

    Of the first images of the training part, without eq. 12's factors.
    """
    samples = samples_of(chapter, training, "train")
    batch = samples.__getitems__(range(min(2 * chapter.settings.batch, len(samples))))

    def measure(model: nn.Module) -> dict[str, float]:
        on = {name: value.to(next(model.parameters()).device) for name, value in batch.items()}
        answer = model(on["image"], on["words"])
        losses = (functional.cross_entropy(answer["logits"], on["target"]), language_loss(answer["words"], on["words"]))
        weights = [weight for name, weight in model.image_model.named_parameters() if "classifier" not in name]
        found = {}
        for name, loss in zip(LOSSES, losses, strict=True):
            gradients = torch.autograd.grad(loss, weights, retain_graph=True, allow_unused=True)
            sizes = [gradient.abs().sum() for gradient in gradients if gradient is not None]
            found[f"gradient_{name}"] = float(sum(sizes)) / sum(weight.numel() for weight in weights)
        return found
    return measure


def weights_of(chapter: Chapter, training: Training) -> dict[str, Tensor]:
    """The weights at the end of a finished training."""
    return checkpoints.weights(folder(chapter, training) / checkpoints.NAME)


def trained(chapter: Chapter, training: Training) -> nn.Module:
    """A trained network in evaluation mode, on the chapter's device; trained now if need be."""
    train_all(chapter, [training])
    model = build(chapter, training)
    model.load_state_dict(weights_of(chapter, training))
    return model.to(chapter.device).eval()


def predictions(chapter: Chapter, training: Training) -> pd.DataFrame:
    """What a network says about each image of its test part, as `writing.written`; trained now if need be."""
    train_all(chapter, [training])
    return pd.read_parquet(folder(chapter, training) / PREDICTIONS)


def likelihoods(chapter: Chapter, training: Training) -> np.ndarray:
    """(queries, images) of the test part: log-likelihood of the report of each, as `writing.written`."""
    train_all(chapter, [training])
    return np.load(folder(chapter, training) / RETRIEVAL)


