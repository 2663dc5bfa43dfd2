"""Maps and masks of which tests of the dissection know the answer, and loops that compute it."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

CONCEPTS = ("mass", "vessel", "dense", "nothing")


class Given(nn.Module):
    """A network whose layer `maps` puts out its input, so that a test decides what the units do."""

    def __init__(self):
        super().__init__()
        self.maps = nn.Identity()

    def forward(self, image):
        return self.maps(image)


def batches(images, size):
    return [{"image": images[i:i + size], "index": torch.arange(i, min(i + size, len(images)))}
            for i in range(0, len(images), size)]


def up(maps, factor=4):
    return F.interpolate(maps.double(), scale_factor=factor, mode="bilinear", align_corners=False)


def example(n=60, units=6, side=4, seed=0):
    """Maps of ReLU units and of signed ones, and masks that follow some units; the last concept occurs nowhere."""
    torch.manual_seed(seed)
    maps = torch.randn(n, units, side, side)
    maps[:, ::2] = (maps[:, ::2] - 0.3).relu()
    fine = up(maps)[:, :3] + 0.3 * torch.randn(n, 3, side * 4, side * 4)
    masks = fine > torch.tensor([1.0, 1.6, 0.5])[:, None, None]
    masks[torch.rand(n, 3) < 0.4] = False
    return maps, torch.cat([masks, torch.zeros_like(masks[:, :1])], dim=1)


def naive_iou(values, masks, thresholds):
    """Boolean loops over units and concepts; values float64 (N, U, H, W), masks (N, C, H, W), thresholds (U,)."""
    found = np.full((values.shape[1], masks.shape[1]), np.nan)
    for unit, threshold in enumerate(thresholds):
        lit = values[:, unit] > threshold
        for concept in range(masks.shape[1]):
            if masks[:, concept].any() and not np.isnan(threshold):
                found[unit, concept] = (lit & masks[:, concept]).sum().item() / (lit | masks[:, concept]).sum().item()
    return found


def edges(found, bins):
    """The values (U,) at the upper edge of a bin of each unit: the bins are of signed roots."""
    place = found.low + bins * found.width
    return place * np.abs(place)
