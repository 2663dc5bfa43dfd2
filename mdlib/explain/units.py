"""What the units (channels) of a layer contribute to a decision, and what the decision is without some of them."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from mdlib.errors import SettingsError
from mdlib.explain.gradients import chosen_classes, cut_at
from mdlib.explain.hooks import find_layer, recorded, replaced
from mdlib.explain.targets import call, evaluating, logits_of


class Contributions(NamedTuple):
    """What U units add to the logit, or difference of logits, of each of B images: logits = values.sum(1) + rest."""

    values: Tensor              # (B, U), signed
    rest: Tensor                # (B,), what the units do not account for
    logits: Tensor              # (B,)
    max_times_weight: Tensor    # (B, U), the measure of DeepMiner


def unit_contributions(model: nn.Module, batch: Tensor | dict[str, Tensor], layer: str | nn.Module,
                       target: int | tuple[int, int] = (1, 0)) -> Contributions:
    """Gradient x activation at the output of `layer`, summed over the map of each unit.

    target: the class whose logit is explained, or (a, b): logit of class a minus logit of class b; with two classes
    the log-odds of a.

    A          = output of the layer                                            (B, U, h, w)
    G          = d target / d A                                                 (B, U, h, w)
    c_k        = sum over pixels of G_k A_k                                     (B, U)      values
    rest       = target - sum_k c_k                                             (B,)
    max x w    = (maximum of A_k) x (sum over pixels of G_k)                    (B, U)      max_times_weight

    Where the mean of each map is all that a linear layer sees (global average pooling), G is w_k / (h w), c_k is
    exactly w_k mean(A_k), and `rest` the bias, the same for every image. Where ReLUs and max pooling follow, `rest` is
    what the biases add through the positions that are active in this image; elsewhere c is of first order, and nothing
    says that `rest` is small: report it beside the contributions. The last is the influence by which DeepMiner (Wu et
    al. 2018, of which the weight is w_k there) ranks units: it takes the maximum for the mean, so it does not sum to
    anything.

    `batch` as in `gradients.grad_cam_maps`, and so is what becomes of model and modes. Raises SettingsError when there
    is no such layer, or class, when the layer's output is no maps, or does not hold one row per image, and for a target
    that is not finite.
    """
    classes = list(target) if isinstance(target, tuple) else [target]
    with evaluating(model), torch.inference_mode(False):
        activation, logits = cut_at(model, batch, layer)
        if len(activation) != len(logits):
            raise SettingsError(f"{len(activation)} maps for {len(logits)} rows of logits", "parameter layer",
                                "Choose a layer that puts out one row per image.")
        explained = logits[:, chosen_classes(classes, logits)] @ _signs(classes, logits)           # (B,)
        if not explained.isfinite().all():
            raise SettingsError("the logits are not finite", "parameter model", "Train the network again.")
        # Images do not see one another, so the gradient of the sum over the batch is each image's own.
        (gradient,) = torch.autograd.grad(explained.sum(), activation)
    wide = torch.promote_types(activation.dtype, torch.float32)
    activation, gradient, explained = activation.detach().to(wide), gradient.to(wide), explained.detach().to(wide)
    values = (gradient * activation).sum(dim=(2, 3))
    return Contributions(values, explained - values.sum(dim=1), explained,
                         activation.amax(dim=(2, 3)) * gradient.sum(dim=(2, 3)))


def ablated_logits(model: nn.Module, batch: Tensor | dict[str, Tensor], layer: str | nn.Module,
                   groups: Sequence[Sequence[int]] | None = None, value: float | Tensor = 0.0, at_once: int = 16
                   ) -> Tensor:
    """The logits (G, B, K) of B images when the maps of the units in each of G groups are replaced by a constant.

    groups: units to replace together, such as [[3], [5], [3, 5]]; None: each unit alone, so G = U. value: 0, or one
    value per unit (U,), such as its mean over a set of images. The network is run once up to `layer`, and what follows
    `layer` for `at_once` groups at a time: memory grows with at_once x B.

    Raises SettingsError for a unit or layer that does not exist, for an output that is no maps, and where what follows
    the layer takes more than its output, as within a residual block: choose a layer that everything passes through.
    """
    with evaluating(model), torch.no_grad():
        name, _ = find_layer(model, layer)
        with recorded(model, name) as outputs:
            logits = logits_of(call(model, batch))
        maps = outputs[name]                                                                       # (B, U, h, w)
        if maps.ndim != 4:
            raise SettingsError(f"its output is of shape {tuple(maps.shape)}, not maps (B, U, h, w)", f"layer {name!r}",
                                "Choose a convolutional layer.")
        units = maps.shape[1]
        groups = [[unit] for unit in range(units)] if groups is None else [list(group) for group in groups]
        if not all(0 <= unit < units for group in groups for unit in group):
            raise SettingsError(f"the layer has units 0 to {units - 1}", "parameter groups", "Pass their indices.")
        constants = torch.as_tensor(value, dtype=maps.dtype, device=maps.device).expand(units)
        nothing = {name: part[:0] for name, part in batch.items()} if isinstance(batch, dict) else batch[:0]
        return torch.cat([_without(model, nothing, name, maps, groups[i:i + at_once], constants)
                          .view(-1, *logits.shape) for i in range(0, len(groups), at_once)])


def _without(model: nn.Module, nothing: Tensor | dict[str, Tensor], layer: str, maps: Tensor,
             groups: list[list[int]], constants: Tensor) -> Tensor:
    """Logits (groups x B, K): the network is called with no images, and `layer` passes on the ablated maps of all."""
    ablated = maps.repeat(len(groups), 1, 1, 1).unflatten(0, (len(groups), len(maps)))
    for part, group in zip(ablated, groups, strict=True):
        part[:, group] = constants[group, None, None]
    try:
        with replaced(model, layer, lambda output: ablated.flatten(0, 1)):
            logits = logits_of(call(model, nothing))
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        raise SettingsError(f"what follows it does not work with its output alone ({error})", f"layer {layer!r}",
                            "Choose a layer that everything passes through.") from error
    if len(logits) != len(groups) * len(maps):
        raise SettingsError("the logits do not follow from its output alone", f"layer {layer!r}",
                            "Choose a layer that everything passes through.")
    return logits


def _signs(classes: list[int], logits: Tensor) -> Tensor:
    return torch.tensor([1, -1][:len(classes)], dtype=logits.dtype, device=logits.device)
