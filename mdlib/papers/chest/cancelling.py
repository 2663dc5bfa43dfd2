"""Finding 1: the global vector g cancels in eq. 2-4, so it has no influence and what computes it is never trained."""

import copy
from collections.abc import Mapping
from functools import partial

import pandas as pd
import torch
from torch import Tensor, nn

from mdlib.explain import hooks
from mdlib.explain.dead_parameters import Groups

NOISE = 10.0        # (ours) standard deviation of the noise that replaces relu5, whose mean over pixels is g


def effect_of_noise(models: Mapping[str, nn.Module], image: Tensor, seed: int = 0) -> pd.DataFrame:
    """How far logits change when g is noise: the largest change over images and classes, in float32 and float64.

    models: by name, on the CPU; image (B, 1, H, W). One row per network and type.
    """
    rows = []
    for name, model in models.items():
        for dtype in (torch.float32, torch.float64):
            typed, x = copy.deepcopy(model).to(dtype), image.to(dtype)
            with torch.inference_mode(), hooks.recorded(typed, "features.relu5") as outputs:
                logits = typed(x)["logits"]
            generator = torch.Generator().manual_seed(seed)
            noise = NOISE * torch.randn(outputs["features.relu5"].shape, generator=generator, dtype=dtype)
            with torch.inference_mode(), hooks.replaced(typed, "features.relu5", noise.expand_as):
                change = (typed(x)["logits"] - logits).abs().max().item()
            rows.append((name, str(dtype).removeprefix("torch."), change, logits.abs().max().item()))
    columns = ["network", "type", "largest change of a logit", "largest logit"]
    return pd.DataFrame(rows, columns=columns).set_index(columns[:2])


def parts(model: nn.Module) -> Groups:
    """How `explain.dead_parameters` groups the weights of attA and attB: by part, such as `features.denseblock4`.

    attB's u is in two halves, that which multiplies l and that which multiplies g (eq. 3).
    """
    return partial(_part, norm5=model.features.norm5.num_features)


def _part(name: str, gradient: Tensor, norm5: int) -> dict[str, Tensor]:
    local = gradient.shape[1] - norm5 if gradient.ndim == 4 else 0
    if name.endswith("score.weight") and local > 0:
        return {"attention, u for l": gradient[:, :local], "attention, u for g": gradient[:, local:]}
    return {".".join(name.split(".")[:2]) if name.startswith("features") else name.split(".")[0]: gradient}
