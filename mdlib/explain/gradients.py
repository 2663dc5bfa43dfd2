"""Explanations from gradients, for every class from one forward pass: Grad-CAM and gradient x input.

Grad-CAM is Tan et al., section 2.5; gradient x input is Li et al., appendix C. They differ in one line.
"""

import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from mdlib.errors import SettingsError
from mdlib.explain.hooks import find_layer, replaced
from mdlib.explain.targets import call, evaluating, logits_of


class NoSignalWarning(UserWarning):
    """Some maps hold nothing but rounding: they are no explanation and must not be shown as one."""


class Maps(NamedTuple):
    """The answer of an explainer: raw maps, which of them have signal, and the logits they explain.

    A model of bags has B logits and a map for each of the S slices of all bags, in their order; else S = B.
    """

    values: Tensor    # (S, K, h, w), signed, never normalised
    signal: Tensor    # (S, K), False where the map is below the rounding of its logit
    logits: Tensor    # (B, K)


def grad_cam(model: nn.Module, batch: Tensor | dict[str, Tensor], layer: str | nn.Module,
             classes: Sequence[int] | None = None) -> Tensor:
    """Raw Grad-CAM maps (B, K, h, w) of `layer` (Tan et al., eq. 6-7), one per class; see `grad_cam_maps`.

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
    Where bags of S slices give B logits, `batch` holds `sizes` (B,), the slices of each bag, and there are S maps.
    The model is run in evaluation mode; modes, weights and their `grad` are as before afterwards. Raises
    SettingsError when there is no such layer, or class, or the layer's output is no map.
    """
    return _maps(model, batch, layer, classes, lambda gradient: gradient.mean(dim=(2, 3), keepdim=True))     # eq. 6


def gradient_times_input_maps(model: nn.Module, batch: Tensor | dict[str, Tensor], layer: str | nn.Module,
                              classes: Sequence[int] | None = None) -> Maps:
    """Contributions T_hw = sum_i d_ihw x_ihw at the output of `layer` (Li et al., appendix C, step 1).

    x is what `layer` puts out, which is the input of what follows it, and d = + d logit_c / dx, pixel by pixel: no mean
    over pixels, unlike Grad-CAM. The paper gives the class a loss of -1 and the others 0; taken literally that is
    d = - d logit / dx, whose positive part would show what speaks against the class, so the sign is turned (ours).
    At a model's `input` x is the normalised picture, where 0 is ImageNet's mean grey. Everything else is as in
    `grad_cam_maps`; steps 2 and 3 are `overlay.normalize` and `overlay.over_slice`.
    """
    return _maps(model, batch, layer, classes, lambda gradient: gradient)


def _maps(model: nn.Module, batch: Tensor | dict[str, Tensor], layer: str | nn.Module, classes: Sequence[int] | None,
          weigh: Callable[[Tensor], Tensor]) -> Maps:
    """The sum over channels of weigh(gradient) times the layer's output, one map per class."""
    with evaluating(model), torch.inference_mode(False):
        activation, logits = cut_at(model, batch, layer)
        chosen = chosen_classes(classes, logits)
        values = activation.detach().to(torch.promote_types(activation.dtype, torch.float32))
        maps = []
        for c in chosen:
            # Images do not see one another, so the gradient of the sum over the batch is each image's own.
            (gradient,) = torch.autograd.grad(logits[:, c].sum(), activation, retain_graph=True)
            maps.append((weigh(gradient.to(values.dtype)) * values).sum(dim=1))                # (S, h, w)
        stacked, logits = torch.stack(maps, dim=1), logits.detach()[:, chosen]
    return Maps(stacked, has_signal(stacked, _of_each_map(logits, stacked, batch)), logits)


def _of_each_map(logits: Tensor, maps: Tensor, batch: Tensor | dict[str, Tensor]) -> Tensor:
    """The logits (S, K) that the maps explain: those of a bag stand for each of its slices."""
    if len(maps) == len(logits):
        return logits
    sizes = batch.get("sizes") if isinstance(batch, dict) else None
    if sizes is None or sizes.sum() != len(maps):
        raise SettingsError(f"{len(maps)} maps for {len(logits)} rows of logits", "parameter batch",
                            "Name the slices of each bag in `sizes` (B,), or choose a layer behind the pooling.")
    return logits.repeat_interleave(sizes, dim=0)


def has_signal(maps: Tensor, logits: Tensor) -> Tensor:
    """Which maps (B, K, h, w) could have moved their logits (B, K) by more than rounding: bool (B, K) (ours).

    The sum of |h_i| over the pixels of a map bounds, to first order, what the layer adds to the logit: where the logit
    is linear in the mean of A (Grad-CAM) or in A (gradient x input), the map sums to the logit less its bias. A logit
    is a log-odds, so its natural unit is 1. No signal: the sum is at most sqrt(eps) max(1, |logit|), half of the digits
    of the coarser of the two types. In float32 that is 3.5e-4, a change of probability below 1e-4. Measured for
    Grad-CAM in float32: where the gradient cancels (attA, attB at norm5) the sum is 1e-9 to 3e-6, 9e-5 with weights
    scaled up eightfold; everywhere else it is 2e-2 or more.
    """
    eps = max(torch.finfo(maps.dtype).eps, torch.finfo(logits.dtype).eps)
    return maps.abs().sum(dim=(2, 3)) > eps**0.5 * logits.abs().clamp(min=1)


def cut_at(model: nn.Module, batch: Tensor | dict[str, Tensor], layer: str | nn.Module) -> tuple[Tensor, Tensor]:
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
        logits = logits_of(call(model, batch))
    if len(leaves) != 1:
        raise SettingsError(f"it is called {len(leaves)} times in a forward pass", where,
                            "Choose a layer that is called once.")
    return leaves[0], logits + 0 * leaves[0].sum()     # a layer that the logits do not use has gradient 0, no error


def chosen_classes(classes: Sequence[int] | None, logits: Tensor) -> list[int]:
    """The indices of the classes to explain, of logits (B, K); None: all. Raises SettingsError for one of no class."""
    count = logits.shape[1]
    chosen = list(range(count)) if classes is None else [int(c) for c in classes]
    if not chosen or not all(0 <= c < count for c in chosen):
        raise SettingsError(f"{chosen} asked for, but the model has classes 0 to {count - 1}", "parameter classes",
                            "Pass their indices, or None for all.")
    return chosen
