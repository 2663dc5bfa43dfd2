"""What a user would write without mdlib, in plain PyTorch, torchvision and Pillow."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms


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
