"""Training one network of Wu et al. (section 2.2), and what it predicts."""

from dataclasses import asdict

import numpy as np
import pandas as pd
import torch
from lightning_fabric import Fabric
from scipy.special import expit
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import Dataset

from mdlib import reproducible
from mdlib.data import augment
from mdlib.files import fingerprint
from mdlib.papers.mammography.networks import Run, epochs, inputs, network
from mdlib.study.study import Study
from mdlib.training import loop, schedules

PREDICTED_AT_ONCE = 64      # patches per step when predicting
LAST = {"resnet152": 0.8}   # share of the training after which the authors divide the rate by ten: the last of 5 epochs


def fit(study: Study, run: Run, fabric: Fabric) -> tuple[nn.Module, list[dict]]:
    """One network trained as in section 2.2, resumed where it was interrupted, and its history.

    The history has a dict per epoch: the mean training loss, and the AUROC on the validation part.
    """
    settings = study.settings
    reproducible.seed_everything(run.seed)
    model = network(run, settings)
    options = {"lr": settings.learning_rate, "weight_decay": settings.weight_decay}
    optimizer = (torch.optim.AdamW(model.parameters(), **options) if settings.optimizer == "adamw"
                 else torch.optim.SGD(model.parameters(), momentum=settings.momentum, **options))
    schedule = (schedules.cosine(optimizer) if settings.schedule == "cosine"
                else schedules.staircase(optimizer, [LAST[run.network]] if run.network in LAST else [], 0.1))

    def loss(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        images = augment.quarter_turns(augment.hflip(batch["image"])) if settings.turn else batch["image"]
        return F.cross_entropy(model(image=images)["logits"], batch["target"])

    def validate(model: nn.Module) -> dict[str, float]:
        val = study.samples("val", run)
        truth = val.targets[val.rows]
        return {"val_auroc": float(roc_auc_score(truth, log_odds(fabric, model, val))) if 0 < truth.mean() < 1
                else np.nan}

    history = loop.fit(
        fabric, model, optimizer, study.samples("train", run), loss, validate=validate, epochs=epochs(run, settings),
        batch_size=settings.batch_size, seed=run.seed, num_workers=settings.num_workers, schedule=schedule,
        folder=study.run_folder(run), name_of=lambda row: study.data.patches["film"].iloc[row],
        channels_last=settings.channels_last,
        settings={"run": fingerprint(study.run.asked), "training": asdict(run)})
    return model, history


def parts(_run: Run) -> tuple[str, ...]:
    """The parts that a training predicts once it is complete."""
    return ("val", "test")


def predict(study: Study, run: Run, model: nn.Module, fabric: Fabric, part: str) -> pd.DataFrame:
    """The probability that a patch is malignant, one row per patch of a part."""
    scores = log_odds(fabric, model, study.samples(part, run))
    return pd.DataFrame({"malignant": expit(scores.astype(np.float64))}, index=study.data.labels(part, run).index)


def log_odds(fabric: Fabric, model: nn.Module, samples: Dataset) -> np.ndarray:
    """The logit of malignant less that of benign, float32 (N,): its logistic function is the softmax of two classes."""
    logits = loop.predict(fabric, model, samples, batch_size=PREDICTED_AT_ONCE, inputs=inputs)["logits"]
    return logits[:, 1] - logits[:, 0]
