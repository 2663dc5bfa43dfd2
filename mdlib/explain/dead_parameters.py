"""Parameters that the logits do not depend on: training never changes them, so they only look like capacity."""

from collections.abc import Callable, Mapping

import pandas as pd
import torch
from torch import Tensor, nn
from torch.func import functional_call

from mdlib.explain.targets import evaluating, logits_of

Groups = Callable[[str, Tensor], Mapping[str, Tensor]]


def dead_parameters(model: nn.Module, batch: Tensor | dict[str, Tensor], groups: Groups | None = None,
                    tolerance: float = 1e-9) -> pd.DataFrame:
    """One row per group of parameters: `group` (index), `weights` (number), `largest gradient`, `dead`.

    The gradients are those of the sum of all logits of `batch`, in evaluation mode. A group is dead when none of its
    gradients exceeds `tolerance` times the largest gradient of the network. Use random weights in float64: a gradient
    that the mathematics makes zero is then about 1e-16, and no gradient is small because of training.

    groups(name, gradient): the parts of the gradient of the parameter `name` by the group that each belongs to; a
    parameter may be split, its parts are counted apart. None: one group per module.
    The parameters, their `grad` and the modes of the model stay as they are. Raises SettingsError for a model without
    logits.
    """
    split = groups or _by_module
    args, inputs = ((), batch) if isinstance(batch, dict) else ((batch,), {})
    with evaluating(model), torch.inference_mode(False), torch.enable_grad():
        weights = {name: weight.detach().clone().requires_grad_() for name, weight in model.named_parameters()}
        logits = logits_of(functional_call(model, weights, args, inputs))
        gradients = torch.autograd.grad(logits.sum(), list(weights.values()), allow_unused=True, materialize_grads=True)
    rows = [(group, part.numel(), part.abs().max().item()) for name, gradient in zip(weights, gradients, strict=True)
            for group, part in split(name, gradient).items()]
    table = pd.DataFrame(rows, columns=["group", "weights", "largest gradient"]).groupby("group", sort=False).agg(
        {"weights": "sum", "largest gradient": "max"})
    return table.assign(dead=table["largest gradient"] <= tolerance * table["largest gradient"].max())


def _by_module(name: str, gradient: Tensor) -> dict[str, Tensor]:
    return {name.rpartition(".")[0]: gradient}
