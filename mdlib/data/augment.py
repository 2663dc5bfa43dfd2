"""Random crops, horizontal flips and quarter turns of whole batches, on the device where they are.

Images are float (B, C, H, W). Each image draws its own values, from torch's global generator of its device, and the
batch is handled as a whole: on a GPU it costs a few kernels, whatever its size.
"""

import torch
from torch import Tensor
from torch.nn import functional

from mdlib.errors import SettingsError


def crop(images: Tensor, pad: int) -> Tensor:
    """Each image shifted by -pad to pad pixels in both directions; what comes in at its edges is its reflection.

    "Clip" in Zhang et al. (section 5.2), 4 pixels for CIFAR. That MDNet's is done alike is ours.
    Raises SettingsError for a pad that is negative or reaches the other edge.
    """
    count, _, height, width = images.shape
    if not 0 <= pad < min(height, width):
        raise SettingsError(f"{pad} pixels cannot be reflected in {height} x {width}", "parameter pad",
                            "Choose 0 or more, and less than the image's side.")
    if pad == 0:
        return images
    windows = functional.pad(images, (pad, pad, pad, pad), "reflect").unfold(2, height, 1).unfold(3, width, 1)
    top, left = torch.randint(2 * pad + 1, (2, count), device=images.device)
    return windows[torch.arange(count, device=images.device), :, top, left]    # a view until here: only this copies


def hflip(images: Tensor) -> Tensor:
    """Each image flipped horizontally with probability 1/2."""
    return torch.where(_each(torch.rand(len(images), device=images.device) < 0.5), images.flip(3), images)


def quarter_turns(images: Tensor) -> Tensor:
    """Each image turned by 0, 90, 180 or 270 degrees, each equally often. Raises SettingsError where not square.

    "Rotation" in Zhang et al. (section 5.2); that it is by right angles, which need no new pixels, is ours.
    """
    height, width = images.shape[2:]
    if height != width:
        raise SettingsError(f"{height} x {width} pixels cannot be turned by a quarter", "parameter images",
                            "Use square images.")
    turns = torch.randint(4, (len(images),), device=images.device)
    turned = torch.where(_each(turns % 2 == 1), images.rot90(1, (2, 3)), images)
    return torch.where(_each(turns >= 2), turned.flip(2, 3), turned)


def _each(values: Tensor) -> Tensor:
    """(B,) -> (B, 1, 1, 1)."""
    return values[:, None, None, None]
