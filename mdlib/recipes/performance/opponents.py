"""What a user would write without mdlib, in plain PyTorch, torchvision and Pillow."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from torchvision import ops, transforms


def decode(path: Path, side: int) -> np.ndarray:
    """A grey image file as uint8 (side, side), by Pillow."""
    with Image.open(path) as image:
        return np.asarray(image.convert("L").resize((side, side), Image.Resampling.BILINEAR))


class ImageFiles(Dataset):
    """Image files decoded at each access, as in most tutorials: {"image": (1, crop, crop) in [0, 1], "target"}."""

    def __init__(self, files: Sequence[Path], targets: np.ndarray, resize: int, crop: int):
        self.files, self.targets = files, torch.from_numpy(targets)
        self.prepare = transforms.Compose(
            [transforms.Resize(resize), transforms.CenterCrop(crop), transforms.ToTensor()])

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        with Image.open(self.files[index]) as image:
            return {"image": self.prepare(image.convert("L")), "target": self.targets[index]}


def train(model: nn.Module, optimizer: torch.optim.Optimizer, loader: Iterable[dict[str, Tensor]], loss: Callable,
          device: str) -> None:
    """One epoch of the plain fp32 loop."""
    model.to(device).train()
    for batch in loader:
        value = loss(model, {name: part.to(device) for name, part in batch.items()})
        optimizer.zero_grad()
        value.backward()
        optimizer.step()


@torch.no_grad()
def predict(model: nn.Module, files: ImageFiles, batch: int, device: str) -> np.ndarray:
    """Probabilities (N, classes) of image files, `batch` at a time."""
    model.to(device).eval()
    loader = DataLoader(files, batch)
    return torch.cat([model(part["image"].to(device))["logits"].sigmoid().cpu() for part in loader]).numpy()


def float_batch(picture: Tensor) -> Tensor:
    """Bytes (B, C, H, W) as float32 in [0, 1], as ToTensor makes them of each image and a DataLoader stacks them."""
    return torch.stack([transforms.functional.to_tensor(one.permute(1, 2, 0).numpy()) for one in picture])


def loop(batch: Tensor, boxes: Tensor, size: int) -> Tensor:
    """Windows of a float batch (B, C, H, W), each resized with antialias: (B, n, C, size, size).

    boxes: int (B, n, 4), top, left, bottom, right in pixels.
    """
    return torch.stack([torch.cat([
        F.interpolate(one[None, :, top:bottom, left:right], (size, size), mode="bilinear", antialias=True)
        for top, left, bottom, right in row]) for one, row in zip(batch, boxes.tolist(), strict=True)])


def roi_align(batch: Tensor, boxes: Tensor, size: int) -> Tensor:
    """As `loop` by torchvision: the plain mean of bilinear samples, about as many as pixels of the window."""
    corners = boxes[..., [1, 0, 3, 2]].to(batch.dtype)
    return ops.roi_align(batch, [*corners], size, aligned=True).unflatten(0, boxes.shape[:2])


def grid_sample(batch: Tensor, boxes: Tensor, size: int) -> Tensor:
    """As `loop`, each pixel of a crop from the four pixels of the window round its middle: not antialiased."""
    start, stop = boxes[..., None].to(batch.dtype).split(2, dim=2)                             # (B, n, 2, 1)
    middle = start + (torch.arange(size) + 0.5) / size * (stop - start)                        # (B, n, 2, size)
    y, x = (2 * middle / torch.tensor(batch.shape[2:])[:, None] - 1).unbind(dim=2)
    shape = (*boxes.shape[:2], size, size)
    grid = torch.stack([x[..., None, :].expand(shape), y[..., None].expand(shape)], dim=-1).flatten(1, 2)
    found = F.grid_sample(batch, grid, padding_mode="border", align_corners=False)             # (B, C, n size, size)
    return found.unflatten(2, shape[1:3]).transpose(1, 2)
