"""Explanations at the pixels, by captum: gradient × input, integrated and smoothed gradients, occlusion.

Each takes (model, batch, classes) and returns `gradients.Maps`, as Grad-CAM does: a map per image and class. Pixels are
averaged over squares of `cell` pixels (ours; a little larger where a side is no multiple), which makes them comparable
with maps of layers; 1 leaves them alone. A blurred copy of the image stands for its absence (ours). captum belongs to
the extra `book` and is imported on first use.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d
from torchvision.transforms.functional import gaussian_blur

from mdlib.explain.gradients import Maps, chosen_classes, has_signal
from mdlib.explain.targets import call, evaluating, logits_of
from mdlib.extras import require

BLUR = 1 / 8        # standard deviation of the blur, in sides of the image
Batch = Tensor | dict[str, Tensor]


def gradient_times_input_maps(model: nn.Module, batch: Batch, classes: Sequence[int] | None = None, *, cell: int = 8
                              ) -> Maps:
    """Gradient × input (Shrikumar et al. 2016): what each pixel adds to the logit in first order, signed."""
    def attribute(forward: Callable, image: Tensor, **options: object) -> Tensor:
        return require("captum.attr", "book").InputXGradient(forward).attribute(image, **options)
    return _maps(model, batch, classes, attribute, cell)


def integrated_gradients_maps(model: nn.Module, batch: Batch, classes: Sequence[int] | None = None, *,
                              n_steps: int = 16, cell: int = 8) -> Maps:
    """Integrated gradients (Sundararajan et al. 2017) on the way from the blurred image, signed."""
    def attribute(forward: Callable, image: Tensor, **options: object) -> Tensor:
        method = require("captum.attr", "book").IntegratedGradients(forward)
        return method.attribute(image, baselines=blurred(image), n_steps=n_steps,
                                internal_batch_size=len(image), **options)       # a step at a time, to bound the memory
    return _maps(model, batch, classes, attribute, cell)


def smooth_grad_maps(model: nn.Module, batch: Batch, classes: Sequence[int] | None = None, *, n_samples: int = 8,
                     noise: float = 0.05, cell: int = 8, seed: int = 0) -> Maps:
    """Absolute gradients, averaged over `n_samples` copies with Gaussian noise (SmoothGrad, Smilkov et al. 2017).

    noise: its standard deviation, for images in [0, 1]; drawn from `seed`, the same for every class.
    """
    def attribute(forward: Callable, image: Tensor, **options: object) -> Tensor:
        captum = require("captum.attr", "book")
        method = captum.NoiseTunnel(captum.Saliency(forward))
        with torch.random.fork_rng(devices=[image.device] if image.device.type == "cuda" else []):
            torch.manual_seed(seed)
            return method.attribute(image, nt_samples=n_samples, nt_samples_batch_size=1, stdevs=noise, abs=True,
                                    **options)
    return _maps(model, batch, classes, attribute, cell)


def occlusion_maps(model: nn.Module, batch: Batch, classes: Sequence[int] | None = None, *, window: int = 16,
                   stride: int = 8, cell: int = 8) -> Maps:
    """By how much the logit falls when a square of `window` pixels is blurred (Zeiler and Fergus 2014), signed."""
    def attribute(forward: Callable, image: Tensor, **options: object) -> Tensor:
        shape, strides = (image.shape[1], window, window), (image.shape[1], stride, stride)
        method = require("captum.attr", "book").Occlusion(forward)
        with torch.no_grad():
            return method.attribute(image, sliding_window_shapes=shape, strides=strides, baselines=blurred(image),
                                    **options)
    return _maps(model, batch, classes, attribute, cell)


def blurred(image: Tensor) -> Tensor:
    """Images (B, C, H, W) through a Gaussian whose standard deviation is BLUR of the shorter side."""
    sigma = BLUR * min(image.shape[2:])
    return gaussian_blur(image, 2 * int(3 * sigma) + 1, sigma)


def _maps(model: nn.Module, batch: Batch, classes: Sequence[int] | None, attribute: Callable[..., Tensor],
          cell: int) -> Maps:
    """The attribution of every class, summed over channels and averaged over cells."""
    with evaluating(model), torch.inference_mode(False):
        inputs = batch if isinstance(batch, dict) else {"image": batch}
        # copied here, gradients pass through tensors of inference_mode too
        inputs = {name: value.detach().clone() for name, value in inputs.items()}
        image, others = inputs.pop("image").requires_grad_(), tuple(inputs.values())    # or captum warns of it

        def forward(image: Tensor, *others: Tensor) -> Tensor:
            named = {"image": image, **dict(zip(inputs, others, strict=True))}
            return logits_of(call(model, named if isinstance(batch, dict) else image))

        with torch.no_grad():
            logits = forward(image, *others)
        chosen = chosen_classes(classes, logits)
        maps = [attribute(forward, image, target=k, additional_forward_args=others or None).detach().sum(dim=1)
                for k in chosen]
    stacked, logits = torch.stack(maps, dim=1).float(), logits[:, chosen]
    stacked = adaptive_avg_pool2d(stacked, [max(side // cell, 1) for side in stacked.shape[2:]])
    return Maps(stacked, has_signal(stacked, logits), logits)
