"""What the training tests share: samples in memory, a tiny network with batch normalisation, and one training of it."""

import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import Dataset

from mdlib.training.loop import fit, start
from mdlib.training.losses import binary_cross_entropy


class Rows(Dataset):
    """Samples from two tensors."""

    def __init__(self, image, target):
        self.image, self.target = image, target

    def __len__(self):
        return len(self.image)

    def __getitem__(self, index):
        return {"image": self.image[index], "target": self.target[index], "index": torch.tensor(index)}


class Batched(Rows):
    """The same, a whole batch at a time."""

    def __getitems__(self, indices):
        chosen = torch.tensor(indices)
        return {"image": self.image[chosen], "target": self.target[chosen], "index": chosen}

    @staticmethod
    def collate(batch):
        return batch


class Logits(nn.Module):
    """A network that answers as mdlib's do: a dict with `logits`."""

    def __init__(self, body):
        super().__init__()
        self.body = body

    def forward(self, image):
        return {"logits": self.body(image)}


def random_rows(count=48, side=8, kind=Rows):
    chance = torch.Generator().manual_seed(3)
    return kind(torch.rand(count, 1, side, side, generator=chance),
                torch.randint(0, 2, (count, 2), generator=chance).float())


def convolutional(dropout=0.2):
    """Convolution, batch normalisation, dropout: everything a resume could get wrong."""
    torch.manual_seed(1)
    return Logits(nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(dropout),
                                nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)))


def linear(inputs=64, outputs=2):
    torch.manual_seed(1)
    return Logits(nn.Sequential(nn.Flatten(), nn.Linear(inputs, outputs)))


def momentum(model, rate=0.1):
    return torch.optim.SGD(model.parameters(), lr=rate, momentum=0.9)


def cross_entropy(model, batch):
    return binary_cross_entropy(model(batch["image"])["logits"], batch["target"])


def squared(model, batch):
    return functional.mse_loss(model(batch["image"])["logits"], batch["target"])


def train(folder, model=None, samples=None, loss=cross_entropy, fabric=None, rate=0.1, **options):
    """A training with small numbers, any of which may be given; returns the model and the history."""
    model = convolutional() if model is None else model
    options = {"epochs": 3, "batch_size": 8, "seed": 0, **options}
    history = fit(fabric or start("cpu"), model, momentum(model, rate), random_rows() if samples is None else samples,
                  loss, folder=folder, **options)
    return model, history
