"""What changes while a network learns, by the share of all steps that are done, [0, 1), which `loop.fit` tells."""

import math
from collections.abc import Callable, Sequence

from torch.optim import Optimizer

from mdlib.errors import SettingsError

STEEP = 10      # of both curves of beta


def staircase(optimizer: Optimizer, milestones: Sequence[float], factor: float) -> Callable[[float], None]:
    """Multiplies the learning rate of every group by `factor` at each of `milestones`, shares of the training.

    WRN and EcNet: x 0.2 after 60, 120 and 160 of 200 epochs (Zhang et al., section 5.1), milestones 0.3, 0.6, 0.8.
    """
    rates = [group["lr"] for group in optimizer.param_groups]

    def set_rates(share: float) -> None:
        passed = sum(share >= milestone - 1e-9 for milestone in milestones)
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * factor**passed
    return set_rates


def cosine(optimizer: Optimizer) -> Callable[[float], None]:
    """Lowers the learning rate of every group from what it is to 0 along half a cosine (Loshchilov and Hutter 2017)."""
    rates = [group["lr"] for group in optimizer.param_groups]

    def set_rates(share: float) -> None:
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * (1 + math.cos(math.pi * share)) / 2
    return set_rates


def logistic(share: float) -> float:
    """1 / (1 + exp(-10 (share - 1/2))): 0.007 to 0.993, and 1/2 half-way (ours: the paper says "sigmoid-like")."""
    return 1 / (1 + math.exp(-STEEP * (share - 0.5)))


def ganin(share: float) -> float:
    """2 / (1 + exp(-10 share)) - 1: 0 to 1, rising at once (Ganin and Lempitsky 2015, reference [5])."""
    return 2 / (1 + math.exp(-STEEP * share)) - 1


BETAS: dict[str, Callable[[float], float]] = {"logistic": logistic, "ganin": ganin}


def fork(share: float, kind: str, eta: float, scale_down: bool = True) -> tuple[float, float]:
    """By what the gradients of the two losses are multiplied where the image model forks: 1 - beta, beta eta (eq. 12).

    kind: how beta rises, a name of BETAS, or "constant": beta stays 1/2 (ours, to compare). Without `scale_down` the
    first factor is 1: what section 6 warns of. Raises SettingsError for another name.
    """
    if kind not in (*BETAS, "constant"):
        raise SettingsError(f"unknown schedule {kind!r} of beta", "parameter kind",
                            f"Use {', '.join(BETAS)} or constant.")
    beta = 0.5 if kind == "constant" else BETAS[kind](share)
    return (1 - beta if scale_down else 1.0), beta * eta
