"""Grad-CAM by three other libraries, with one interface, to compare their maps and their speed with ours.

Each takes (model, image, layer, classes) and returns what the library computes before it scales the map
for display: raw values (B, K, h, w). captum's and pytorch-grad-cam's are signed; torchcam sets negative values to 0
itself (eq. 7). `scaled` makes all comparable.

The libraries belong to the extra `book` and are imported on first use.
"""

from collections.abc import Callable, Sequence
from importlib import metadata

import numpy as np
import torch
from torch import Tensor, nn

from mdlib.explain.targets import logits_of
from mdlib.extras import require


class Logits(nn.Module):
    """A network that returns its logits as a Tensor, which is what the libraries expect."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, image: Tensor) -> Tensor:
        return logits_of(self.model(image))


def captum(model: nn.Module, image: Tensor, layer: str, classes: Sequence[int]) -> Tensor:
    """Maps (B, K, h, w) by captum's LayerGradCam, signed; a forward and a backward pass per class."""
    cam = require("captum.attr", "book").LayerGradCam(Logits(model), model.get_submodule(layer))
    return torch.cat([cam.attribute(image, target=k) for k in classes], dim=1).detach()


def pytorch_grad_cam(model: nn.Module, image: Tensor, layer: str, classes: Sequence[int]) -> Tensor:
    """Maps (B, K, h, w) by pytorch-grad-cam's GradCAM, signed; a forward and a backward pass per class.

    Its answer is resized to the image and scaled; the map is computed by its `get_cam_image`, the step before that,
    from the activations and gradients that it recorded.
    """
    library = require("pytorch_grad_cam", "book")
    target_of = require("pytorch_grad_cam.utils.model_targets", "book").ClassifierOutputTarget
    maps, target = [], model.get_submodule(layer)
    with library.GradCAM(Logits(model), [target]) as cam:
        for k in classes:
            cam(image, [target_of(k)] * len(image))
            seen = cam.activations_and_grads
            maps.append(cam.get_cam_image(image, target, [], seen.activations[0].numpy(), seen.gradients[0].numpy()))
    model.zero_grad()    # its backward pass leaves the gradient of the last class in every weight
    return torch.from_numpy(np.stack(maps, axis=1)).to(image.device)


def torchcam(model: nn.Module, image: Tensor, layer: str, classes: Sequence[int]) -> Tensor:
    """Maps (B, K, h, w) by torchcam's GradCAM, 0 where negative; one forward pass, a backward pass per class."""
    grad_cam = require("torchcam.methods", "book").GradCAM
    with grad_cam(Logits(model), f"model.{layer}") as cam, torch.enable_grad():
        scores = logits_of(model(image))
        maps = [cam(k, scores, normalized=False, retain_graph=True)[0] for k in classes]
    return torch.stack(maps, dim=1)


LIBRARIES: dict[str, Callable[[nn.Module, Tensor, str, Sequence[int]], Tensor]] = {
    "captum": captum, "grad-cam": pytorch_grad_cam, "torchcam": torchcam}    # by their names as packages


def with_version(package: str) -> str:
    """The package with its installed version: `captum 0.9.0`."""
    return f"{package} {metadata.version(package)}"


def scaled(maps: Tensor) -> Tensor:
    """Maps (..., h, w) with negative values set to 0 (eq. 7), each divided by its maximum; all 0 without a maximum."""
    positive = maps.clamp(min=0)
    top = positive.amax(dim=(-2, -1), keepdim=True)
    return positive / top.where(top > 0, 1)
