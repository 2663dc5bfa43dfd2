"""Training one network of Tan et al., and what it predicts."""

from dataclasses import asdict

import numpy as np
import pandas as pd
import torch
from lightning_fabric import Fabric
from scipy.special import expit
from torch import Tensor, nn

from mdlib import reproducible
from mdlib.data.samples import Samples
from mdlib.evaluate import classification
from mdlib.files import fingerprint
from mdlib.papers.chest.networks import Run, inputs, network
from mdlib.study.study import Study
from mdlib.training import loop, schedules
from mdlib.training.losses import binary_cross_entropy

PREDICTED_AT_ONCE = 64      # images per step when predicting


def fit(study: Study, run: Run, fabric: Fabric) -> tuple[nn.Module, list[dict]]:
    """One network trained as in section 2.6, resumed where it was interrupted, and its history.

    The history has a dict per epoch: the mean training loss and, of a network fitted to `train`, the loss and mean
    AUROC on `val`.
    """
    settings = study.settings
    reproducible.seed_everything(run.seed)
    model = network(run.network, settings, run.n_classes, run.normalise)
    optimizer = torch.optim.SGD(model.parameters(), lr=getattr(settings, run.rate), momentum=settings.momentum,
                                weight_decay=settings.weight_decay)

    def loss(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:                                  # eq. 8
        return binary_cross_entropy(model(**inputs(batch, run.network))["logits"], batch["target"])

    def validate(model: nn.Module) -> dict[str, float]:
        val = study.samples("val", run)
        logits, truth = predict_logits(fabric, model, run.network, val), val.targets[val.rows]
        aurocs = classification.auroc(truth, logits, study.data.classes(run))
        return {"val_loss": binary_cross_entropy(*map(torch.from_numpy, (logits, truth))).item(),
                "val_auroc": classification.averages(aurocs)["plain"]}

    history = loop.fit(
        fabric, model, optimizer, study.samples(run.part, run), loss,
        validate=validate if run.part == "train" else None, epochs=getattr(settings, run.epochs),
        batch_size=settings.batch_size, seed=run.seed, num_workers=settings.num_workers,
        schedule=schedules.cosine(optimizer) if settings.schedule == "cosine" else None,
        folder=study.run_folder(run), name_of=study.data.table["image"].iloc.__getitem__,
        channels_last=settings.channels_last,
        settings={"run": fingerprint(study.run.asked), "training": asdict(run)})
    return model, history


def predict(study: Study, run: Run, model: nn.Module, fabric: Fabric, part: str) -> pd.DataFrame:
    """The probability of each class for every image of a part, one row per image, indexed by its name."""
    logits = predict_logits(fabric, model, run.network, study.samples(part, run))
    return pd.DataFrame(expit(logits), columns=list(study.data.classes(run)), index=study.data.labels(part, run).index)


def predict_logits(fabric: Fabric, model: nn.Module, name: str, samples: Samples) -> np.ndarray:
    """The logits of the network called `name`, float32 (N, K)."""
    return loop.predict(fabric, model, samples, batch_size=PREDICTED_AT_ONCE,
                        inputs=lambda batch: inputs(batch, name))["logits"]
