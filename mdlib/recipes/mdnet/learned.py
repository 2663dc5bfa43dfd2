"""What the training page of chapter 5 tells of its networks: how they differ, and how they learned.

Its figures are in `learned_figures`, Table 1 in `recognised`.
"""

import numpy as np
import pandas as pd
import torch
from IPython.display import Markdown
from torch import nn

from mdlib.evaluate import resampling
from mdlib.evaluate.tables import interval
from mdlib.models.backbones import count
from mdlib.models.ecnet import NO_MEAN, NO_STD
from mdlib.recipes.mdnet import networks, plan
from mdlib.recipes.mdnet.chapter import Chapter
from mdlib.recipes.mdnet.plan import Recognition, Training
from mdlib.recipes.mdnet.rows import EVERY, IMAGE_MODELS
from mdlib.recipes.mdnet.settings import PROFILES, Settings
from mdlib.recipes.mdnet.trainings import LOSSES, begins_with, predictions, train_all, trained
from mdlib.training import schedules

ATTENDS = {"aas": "c by the class's own weights (AAS)", "original": "c by weights of its own",
           "local": "c, and each place by its features", "none": "none"}
STEPS = 1000        # of a training, to find where both factors of eq. 12 are equal


def live(chapter: Chapter) -> list[Training | Recognition]:
    """All trainings that the pages of this chapter do: of the first fold and seed, Table 1 among them."""
    settings, seeds = chapter.settings, [chapter.seed]
    return [*plan.plan(settings, [0], seeds), *plan.recognition(settings, chapter.recognised, seeds)]


def of_reports(chapter: Chapter) -> list[Training]:
    """Those of `live` that learn from images and reports."""
    return [one for one in live(chapter) if isinstance(one, Training)]


def maps(chapter: Chapter) -> pd.DataFrame:
    """Channels x height x width behind each part of EcNet, of this run and of the paper's 38-8 on 224 pixels."""
    return pd.DataFrame({"this run": shapes(chapter.settings), "paper profile": shapes(PROFILES["paper"])}
                        ).rename_axis("behind")


def shapes(settings: Settings) -> dict[str, str]:
    """The shape of the maps behind each part of EcNet; nothing is computed."""
    found = {}
    with torch.device("meta"):
        x = torch.zeros(1, 3, settings.side, settings.side)
        for name, part in networks.image_model(settings, "ecnet", 4, NO_MEAN, NO_STD).features.named_children():
            x = part(x)
            if name not in ("norm", "relu"):
                found[name] = " × ".join(str(size) for size in x.shape[1:])
    return found


def weights(chapter: Chapter) -> pd.DataFrame:
    """Weights of the image and the language model of each row of Table 2, in this run and at the paper's size.

    Both with the words of this run's first fold, for those of the paper's reports are not known.
    """
    found = {}
    for name in EVERY:
        for size, settings in (("this run", chapter.settings), ("paper profile", PROFILES["paper"])):
            model = _unfilled(chapter, settings, name)
            for part, of in (("image model", model.image_model), ("language model", model.language)):
                found.setdefault(EVERY[name].name, {})[size, part] = count(of)
    return pd.DataFrame(found).T.rename_axis("row")


def _unfilled(chapter: Chapter, settings: Settings, row: str) -> nn.Module:
    with torch.device("meta"):
        return networks.network(settings, row, len(chapter.vocabulary()), len(chapter.reports.parts),
                                len(chapter.reports.classes), NO_MEAN, NO_STD)


def rows(chapter: Chapter) -> pd.DataFrame:
    """In what the rows of Table 2 differ, and the two of ours: the code builds and trains them from this very table."""
    settings, found = chapter.settings, {}
    for name, of in EVERY.items():
        learns = of.joint or of.tuned
        rate = settings.image_rate * (settings.tuned_rate if of.tuned else 1)
        found[of.name] = {"image model": IMAGE_MODELS[of.image], "P": _tick(of.pretrained), "F": _tick(of.tuned),
                          "J": _tick(of.joint), "sentences": "one per part" if of.split else "one for the whole",
                          "attention": ATTENDS[of.attention], "rate of the image model": f"{rate:g}" if learns else "–",
                          "rate of the LSTM": f"{settings.report_rate:g}", "this run": _tick(name in settings.rows)}
    return pd.DataFrame(found).T.rename_axis("row")


def _tick(value: bool) -> str:
    return "✓" if value else ""


def planned(chapter: Chapter) -> Markdown:
    """How many trainings this run has in its first fold, and how long each of them is, in words."""
    settings, of = chapter.settings, of_reports(chapter)
    kinds = {"image models that learn the conclusion alone": sum(one.row in IMAGE_MODELS for one in of),
             "networks that write reports": sum(one.row in EVERY for one in of),
             "networks of Table 1": len(live(chapter)) - len(of)}
    begun = sum(begins_with(one) is not None for one in of)
    told = ", ".join(f"{name} ({number})" for name, number in kinds.items() if number)
    images, patients = _counts(chapter, "train")
    return Markdown(f"Trained for these pages: {told}. Those of the first two kinds see {images:,} images of "
                    f"{patients} patients {settings.epochs} times, {settings.batch} a step; {begun} of the networks "
                    "that write begin with one of the image models.")


def _counts(chapter: Chapter, part: str) -> tuple[int, int]:
    rows = chapter.part(part)
    return len(rows), int(chapter.reports.table["patient"].iloc[rows].nunique())


def places(chapter: Chapter) -> dict[str, np.ndarray]:
    """W_att (P, P) after training, by the name of the row: of MDNet, and of MDNet with the original attention."""
    names = [name for name in ("mdnet", "mdnet_original") if name in chapter.settings.rows]
    found = {}
    for name in names:
        weight = trained(chapter, Training(name, seed=chapter.seed)).language.attend.score.weight
        found[EVERY[name].name] = weight.detach().cpu().numpy()
    return found


def diagonal(weight: np.ndarray) -> tuple[float, float]:
    """Of W_att (P, P): the mean of its diagonal, and the share of the squared weights that lies there, [0, 1]."""
    on = np.diagonal(weight)
    return float(on.mean()), float((on**2).sum() / (weight**2).sum())


def sharpest(positions: int, weight: float = 1.0) -> float:
    """The most attention that one of P places can have where W_att is `weight` times the identity.

    There is a tanh within: a score lies between -weight and weight.
    """
    return 1 / (1 + (positions - 1) * np.exp(-2 * weight))


def places_said(chapter: Chapter) -> Markdown:
    """What became of the identity that W_att began as, and how much attention one place can have, in words."""
    sentences = []
    for name, weight in places(chapter).items():
        mean, share = diagonal(weight)
        sentences.append(f"{name}: the mean of the diagonal went from 1 to {mean:.2f}, and {1 - share:.0%} of the "
                         "squared weights now lies off it.")
    positions = len(weight)
    return Markdown(f"There are {positions} places. With *W_att* as it begins, one of them can have at most "
                    f"{sharpest(positions):.1%} of the attention; equal shares are {1 / positions:.1%}. "
                    + " ".join(sentences))


def class_said(chapter: Chapter) -> Markdown:
    """Of which class w^c is, in training and on the test part, in words."""
    table, (images, patients) = predictions(chapter, Training("mdnet", seed=chapter.seed)), _counts(chapter, "test")
    right = table["guess"].to_numpy() == chapter.reports.targets[table["row"]]
    found = resampling.mean_interval(right, chapter.reports.table["patient"].iloc[table["row"]].tolist(),
                                     n_bootstrap=chapter.settings.draws, seed=chapter.seed).iloc[0]
    which = "the image model predicts" if chapter.settings.class_of_c == "predicted" else "is true"
    return Markdown(f"In training, c is the class that {which}. On the {images} test images ({patients} patients) "
                    f"it is always the predicted one, which is the true one in {100 * found['mean']:.0f} % of them "
                    f"({interval(100 * found['low'], 100 * found['high'], digits=0)}).")


def fork_said(chapter: Chapter) -> Markdown:
    """How the two factors of eq. 12 move in this run, in words."""
    settings = chapter.settings
    factors = np.array([schedules.fork(step / STEPS, settings.beta, settings.eta) for step in range(STEPS)])
    first, last = (f"{row[0]:.2g} and {row[1]:.2g}" for row in factors[[0, -1]])
    if settings.beta == "constant":
        return Markdown(f"In this run the factors are {first} throughout.")
    equal = float(np.argmax(factors[:, 1] >= factors[:, 0])) / STEPS
    return Markdown(f"In this run 1 − β and βη begin as {first}, are equal after {equal:.0%} of the "
                    f"steps, and end as {last}.")


def losses(chapter: Chapter) -> pd.DataFrame:
    """The mean training loss by epoch of all trainings on images and reports: loss, name, epoch, value."""
    trainings = of_reports(chapter)
    histories = train_all(chapter, trainings)
    return pd.DataFrame([{"loss": kind(one), "name": title(one), "epoch": entry["epoch"], "value": entry["loss"]}
                         for one in trainings for entry in histories[one]])


def kind(training: Training) -> str:
    """Which loss a training makes smaller (eq. 11)."""
    of = EVERY.get(training.row)
    return "L_M" if of is None else "L_M + L_L" if of.joint else "L_L"


def title(training: Training) -> str:
    """What a training is called in a figure."""
    if training.row in IMAGE_MODELS:
        return IMAGE_MODELS[training.row]
    eta, up = f", η = {training.eta:g}" if training.eta else "", ", without 1 − β" if training.scaled == "up" else ""
    return EVERY[training.row].name + eta + up


def gradients(chapter: Chapter) -> pd.DataFrame:
    """The mean size of a gradient of both losses in a weight of MDNet's image model, one row per epoch: M, L."""
    training = Training("mdnet", seed=chapter.seed)
    history = train_all(chapter, [training])[training]
    return pd.DataFrame([{loss: entry[f"gradient_{loss}"] for loss in LOSSES} for entry in history],
                        index=pd.Index([entry["epoch"] for entry in history], name="epoch"))


def gradients_said(table: pd.DataFrame, eta: float) -> Markdown:
    """How the two gradients of `gradients` compare, and which eta would make them equal, in words."""
    ratio, smaller = table["M"] / table["L"], int((table["L"] < table["M"]).sum())
    return Markdown(f"The gradient of L_L is the smaller one after {smaller} of {len(table)} epochs. "
                    f"That of L_M is {ratio.iloc[0]:.2g} times as large after the first, "
                    f"{ratio.iloc[-1]:.2g} times after the last, {ratio.median():.2g} times in the median: that is the "
                    f"η that would make both alike. The setting is {eta:g}.")
