"""How fast a network trains, and what share of the device's own rate that is.

    share = 3 flops images_per_second / rate

flops are those of a forward pass of one image; the backward pass takes twice as many (each product of it has two
gradients), so a training step takes three times as many. rate is what the device reaches in a large product.
"""

from collections.abc import Callable

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.flop_counter import FlopCounterMode

from mdlib.errors import SettingsError
from mdlib.reproducible import now

WARM_UP = 3         # steps and products that are not counted: kernels are chosen in them, networks compiled
PRODUCTS = 10       # a round of `matmul_rate`, which takes the best of ROUNDS
ROUNDS = 5
Batch = dict[str, Tensor]


def throughput(fabric: Fabric, model: nn.Module, batch: Batch, loss: Callable[[nn.Module, Batch], Tensor],
               optimizer: Optimizer, steps: int) -> float:
    """Images a second of whole training steps, as `loop.fit` takes them, in Fabric's precision.

    Forward, backward and the optimizer's step on the same `batch`, moved to the device before: reading is not timed.
    The weights change; the model's mode is put back. Raises SettingsError for less than one step.
    """
    if steps < 1:
        raise SettingsError(f"{steps} steps cannot be timed", "parameter steps", "Take 1 or more.")
    training = model.training
    network, stepper = fabric.setup(model, optimizer)
    batch = fabric.to_device(batch)
    model.train()
    for step in range(WARM_UP + steps):
        if step == WARM_UP:
            start = now(fabric.device)
        value = loss(network, batch)
        stepper.zero_grad()
        fabric.backward(value)
        stepper.step()
    seconds = now(fabric.device) - start
    model.train(training)
    return steps * len(batch["image"]) / seconds


def matmul_rate(device: torch.device | str, dtype: torch.dtype, size: int = 8192) -> float:
    """TFLOP/s of the product of two random matrices (size, size): the best of some rounds of products.

    float32 is multiplied as the process is set to (`torch.set_float32_matmul_precision`). 8192 is for a GPU; on a
    processor 1024 is enough.
    """
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    out, seconds = torch.empty_like(a), []
    for _ in range(WARM_UP):
        torch.mm(a, b, out=out)
    for _ in range(ROUNDS):
        start = now(device)
        for _ in range(PRODUCTS):
            torch.mm(a, b, out=out)
        seconds.append(now(device) - start)
    return 2 * size ** 3 * PRODUCTS / min(seconds) / 1e12


def flops_of(model: nn.Module, image: Tensor) -> int:
    """Floating-point operations of the forward pass of one image: twice the multiply-adds of its products.

    image (1, C, H, W). Convolutions and matrix products are counted, nothing else, in evaluation mode; the model's
    mode is put back. Raises SettingsError for more than one image.
    """
    if len(image) != 1:
        raise SettingsError(f"has shape {tuple(image.shape)}", "image", "Pass one image, (1, C, H, W).")
    training = model.training
    model.eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(image)
    model.train(training)
    return counter.get_total_flops()


def share(flops: int, images_per_second: float, rate: float) -> float:
    """The share of `rate` TFLOP/s, [0, 1], that a training of networks of `flops` an image makes use of."""
    return 3 * flops * images_per_second / (rate * 1e12)
