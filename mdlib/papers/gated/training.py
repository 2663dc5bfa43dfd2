"""Training one network of Fan et al. (section 2.2), and what it predicts."""

from collections.abc import Callable
from dataclasses import asdict

import numpy as np
import pandas as pd
import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies import DDPStrategy
from scipy.special import softmax
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer
from torch.utils.data import Dataset

from mdlib import reproducible
from mdlib.files import fingerprint
from mdlib.papers.gated.networks import Run, inputs, network
from mdlib.study.study import Study
from mdlib.training import loop, schedules

PREDICTED_AT_ONCE = 32      # pictures per step when predicting
STEPS = 10                  # in which lambda falls from 1 to 0: by 0.1 after every 20 epochs of 200
RATE_STEPS = (0.25, 0.5, 0.75)      # shares of the training after which the rate is multiplied by 0.1


def global_weight(share: float, kind: str) -> float:
    """Lambda of eq. 3, the weight of the global loss, when this share of the training is done, [0, 1).

    "paper": from 1, less 0.1 after every tenth of it (section 3); "reversed": the opposite, from 0 (ours); "constant":
    1/2 throughout (ours).
    """
    step = int(share * STEPS + 1e-9) / STEPS
    return {"paper": 1 - step, "reversed": step, "constant": 0.5}[kind]


class Loss:
    """Eq. 3: lambda L_G + (1 - lambda) L_F, with lambda and the learning rate as the training goes on."""

    def __init__(self, weight: str, set_rate: Callable[[float], None]):
        self.weight, self.set_rate, self.lambda_ = weight, set_rate, 1.0

    def schedule(self, share: float) -> None:
        """Set lambda and the rates for a step."""
        self.lambda_ = global_weight(share, self.weight)
        self.set_rate(share)

    def __call__(self, model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        """The loss of a batch; no crop is cut while the fusion loss has the weight 0."""
        local = self.lambda_ < 1
        called = inputs(batch, _plain(model))
        out = model(**called, local=local) if "picture" in called else model(**called)
        fused = F.cross_entropy(out["logits"], batch["target"])                                        # L_F
        if "boxes" not in out:
            return fused                                                                # one output only
        return self.lambda_ * F.cross_entropy(out["global_logits"], batch["target"]) + (1 - self.lambda_) * fused


def rate_schedule(optimizer: Optimizer, kind: str) -> Callable[[float], None]:
    """The learning rate by the share of the training that is done: "paper" or "cosine" (ours)."""
    return schedules.staircase(optimizer, RATE_STEPS, 0.1) if kind == "paper" else schedules.cosine(optimizer)


def fit(study: Study, run: Run, fabric: Fabric) -> tuple[nn.Module, list[dict]]:
    """One network trained as in section 2.2, resumed where it was interrupted, and its history: the loss per epoch."""
    settings = study.settings
    if isinstance(fabric.strategy, DDPStrategy):    # at lambda = 1, and as written, some weights have no gradient
        fabric.strategy._ddp_kwargs["find_unused_parameters"] = True
    reproducible.seed_everything(run.seed)
    model = network(run, settings, len(study.data.classes(run)))
    optimizer = torch.optim.SGD(model.parameters(), lr=settings.learning_rate, momentum=settings.momentum,
                                weight_decay=settings.weight_decay)
    loss = Loss(run.weight, rate_schedule(optimizer, run.rate))
    history = loop.fit(
        fabric, model, optimizer, study.samples("train", run, augment=True), loss,
        epochs=getattr(settings, run.epochs), batch_size=settings.batch_size, seed=run.seed,
        num_workers=settings.num_workers, schedule=loss.schedule, folder=study.run_folder(run),
        name_of=study.data.of(run).table["bag"].iloc.__getitem__, channels_last=settings.channels_last,
        settings={"run": fingerprint(study.run.asked), "training": asdict(run)})
    return model, history


def parts(_run: Run) -> tuple[str, ...]:
    """The parts that a training predicts once it is complete."""
    return ("test",)


def predict(study: Study, run: Run, model: nn.Module, fabric: Fabric, part: str) -> pd.DataFrame:
    """The probability of each class for every picture of a part, one row per picture, indexed by its name."""
    logits = outputs(fabric, model, study.samples(part, run))["logits"]
    return pd.DataFrame(softmax(logits, axis=1), columns=list(study.data.classes(run)),
                        index=study.data.labels(part, run).index)


def outputs(fabric: Fabric, model: nn.Module, samples: Dataset,
            names: tuple[str, ...] = ("logits",)) -> dict[str, np.ndarray]:
    """What a network gives for samples, by name (see `models.instance_fusion`)."""
    return loop.predict(fabric, model, samples, batch_size=PREDICTED_AT_ONCE, outputs=names,
                        inputs=lambda batch: inputs(batch, _plain(model)))


def _plain(model: nn.Module) -> nn.Module:
    """The network without what Fabric wraps it in."""
    return getattr(model, "module", model)
