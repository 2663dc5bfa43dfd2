"""Explanations from gradients: Grad-CAM (Tan et al., section 2.5), for every class from one forward pass."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from mdlib.errors import SettingsError
from mdlib.explain.recorder import find_layer, replaced


class NoSignalWarning(UserWarning):
    """Some maps hold nothing but rounding: they are no explanation and must not be shown as one."""


class Maps(NamedTuple):
    """What an explainer knows: raw maps, which of them mean anything, and the logits they explain."""

    values: Tensor    # (B, K, h, w), signed, never normalised
    signal: Tensor    # (B, K), False where the map is below the rounding of its logit
    logits: Tensor    # (B, K)


def grad_cam(model: nn.Module, batch: Tensor | dict[str, Tensor], layer: str | nn.Module,
             classes: Sequence[int] | None = None) -> Tensor:
    """Raw Grad-CAM maps (B, K, h, w) of `layer` (Tan et al., eq. 6-7), one a class; `grad_cam_maps` tells more.

    Warns (NoSignalWarning) when maps hold only rounding. Eq. 7 sets negative values to 0: maps.clamp(min=0).
    """
    maps = grad_cam_maps(model, batch, layer, classes)
    silent = int((~maps.signal).sum())
    if silent:
        name, _ = find_layer(model, layer)
        warnings.warn(f"{silent} of {maps.signal.numel()} Grad-CAM maps at {name!r} hold no signal: they are below "
                      "the rounding of their own logit, which gets no gradient through this layer. "
                      "grad_cam_maps(...).signal tells which.", NoSignalWarning, stacklevel=2)
    return maps.values


def grad_cam_maps(model: nn.Module, batch: Tensor | dict[str, Tensor], layer: str | nn.Module,
                  classes: Sequence[int] | None = None) -> Maps:
    """Grad-CAM at `layer` with its signal and logits, all classes from one forward pass.

    A       = output of the layer, before anything behind it can overwrite it    (B, C, h, w)
    Gbar_j  = mean over pixels of d logit_c / d A_j                              (B, C)          eq. 6
    h_i     = sum_j Gbar_j A_ij, signed: the ReLU of eq. 7 is left to the reader  (B, h, w)       eq. 7

    `batch` is a Tensor (called model(batch)) or a dict of the model's inputs (model(**batch)); the model returns
    logits (B, classes) or a dict with `logits`. `classes` are indices, None for all. Maps are float32 at least.
    The model is run in evaluation mode; modes, weights and their `grad` are as before afterwards. Raises
    SettingsError when there is no such layer, or class, or the layer's output is no map.
    """
    with _evaluating(model), torch.inference_mode(False):
        activation, logits = _cut(model, batch, layer)
        chosen = _chosen(classes, logits)
        dtype = torch.promote_types(activation.dtype, torch.float32)
        values = activation.detach().to(dtype)
        maps = []
        for c in chosen:
            # Images do not see one another, so the gradient of the sum over the batch is each image's own.
            (gradient,) = torch.autograd.grad(logits[:, c].sum(), activation, retain_graph=True)
            weights = gradient.mean(dim=(2, 3), keepdim=True, dtype=dtype)         # eq. 6: (B, C, 1, 1)
            maps.append((weights * values).sum(dim=1))                             # eq. 7: (B, h, w)
        stacked, logits = torch.stack(maps, dim=1), logits.detach()[:, chosen]
    return Maps(stacked, has_signal(stacked, logits), logits)


def has_signal(maps: Tensor, logits: Tensor) -> Tensor:
    """Which maps (B, K, h, w) could have moved their logits (B, K) by more than rounding: bool (B, K) (ours).

    The sum of |h_i| over the pixels of a Grad-CAM map bounds, to first order, what the layer adds to the logit: where
    the logit is linear in the mean of A, the map sums to the logit less its bias. A logit is a log-odds, so its
    natural unit is 1. No signal: the sum is at most sqrt(eps) max(1, |logit|), half of the digits of the coarser of
    the two types. In float32 that is 3.5e-4, a change of probability below 1e-4. Measured in float32: where the
    gradient cancels (attA, attB at norm5) the sum is 1e-9 to 3e-6, 9e-5 with weights scaled up eightfold; everywhere
    else it is 2e-2 or more.
    """
    eps = max(torch.finfo(maps.dtype).eps, torch.finfo(logits.dtype).eps)
    return maps.abs().sum(dim=(2, 3)) > eps**0.5 * logits.abs().clamp(min=1)


def _cut(model: nn.Module, batch: Tensor | dict[str, Tensor], layer: str | nn.Module) -> tuple[Tensor, Tensor]:
    """The layer's output A, as a leaf of the graph, and the logits computed from it.

    Only what lies behind the layer builds a graph: the part before it runs without, as fast as a plain prediction.
    """
    leaves = []

    def cut(output: Any) -> Tensor:
        if not isinstance(output, Tensor) or output.ndim != 4:
            found = f"of shape {tuple(output.shape)}" if isinstance(output, Tensor) else f"a {type(output).__name__}"
            raise SettingsError(f"its output is {found}, not maps (B, C, h, w)", where, "Choose a convolutional layer.")
        leaves.append(output.detach().clone().requires_grad_())
        torch.set_grad_enabled(True)           # until no_grad below ends and restores what was set before
        return leaves[-1].clone()              # a ReLU that writes in place must not overwrite A

    where = f"layer {find_layer(model, layer)[0]!r}"
    with torch.no_grad(), replaced(model, layer, cut):
        answer = model(**batch) if isinstance(batch, dict) else model(batch)
    logits = _logits(answer)
    if len(leaves) != 1:
        raise SettingsError(f"it is called {len(leaves)} times in a forward pass", where,
                            "Choose a layer that is called once.")
    return leaves[0], logits + 0 * leaves[0].sum()     # a layer that the logits do not use has gradient 0, no error


def _logits(answer: Any) -> Tensor:
    logits = answer["logits"] if isinstance(answer, dict) and "logits" in answer else answer
    if not isinstance(logits, Tensor) or logits.ndim != 2:
        raise SettingsError(f"it returns a {type(answer).__name__} without logits (B, classes)", "parameter model",
                            'Pass a model that returns logits, or a dict with "logits".')
    return logits


def _chosen(classes: Sequence[int] | None, logits: Tensor) -> list[int]:
    count = logits.shape[1]
    chosen = list(range(count)) if classes is None else [int(c) for c in classes]
    if not chosen or not all(0 <= c < count for c in chosen):
        raise SettingsError(f"{chosen} asked for, but the model has classes 0 to {count - 1}", "parameter classes",
                            "Pass their indices, or None for all.")
    return chosen


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode within the block: the statistics of batch norm are used, not updated."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
