"""What test_processes.py starts under torchrun: one file of findings a process."""

import sys
from pathlib import Path

import torch
from nets import convolutional, cross_entropy, linear, random_rows, train

from mdlib.errors import TrainingError
from mdlib.training.loop import start


def main(folder):
    torch.set_num_threads(1)
    fabric = start("cpu")
    rank = fabric.global_rank
    found = {"world": fabric.world_size}
    rows = random_rows()
    model, found["history"] = train(folder / "linear", linear(), rows, fabric=fabric, batch_size=8)
    found["linear"] = model.state_dict()
    validate = {"validate": lambda model: {"rank": rank}}
    model, found["norm_history"] = train(folder / "norm", convolutional(), rows, fabric=fabric, batch_size=8,
                                         **validate)
    found["norm"] = model.state_dict()
    train(folder / "resumed", convolutional(), rows, fabric=fabric, batch_size=8, epochs=1, **validate)
    model, _ = train(folder / "resumed", convolutional(), rows, fabric=fabric, batch_size=8, **validate)
    found["resumed"] = model.state_dict()
    found["rows"], found["drawn"] = [], []

    def poison(model, batch):
        found["drawn"].append(torch.rand(1).item())
        found["rows"].append(batch["index"].tolist())
        bad = rank == 1 and len(found["rows"]) == 2
        return cross_entropy(model, batch) * (torch.nan if bad else 1.0)

    try:
        train(folder / "poisoned", linear(), rows, poison, fabric=fabric, batch_size=8,
              name_of=lambda index: f"{index}.png")
    except TrainingError as error:
        found["error"] = str(error)
    torch.save(found, folder / f"found_{rank}.pt")


main(Path(sys.argv[1]))
