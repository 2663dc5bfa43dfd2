"""What the text of Fan et al. does not say: how the mechanisms start, what the gates shut, what the schedule leaves."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from mdlib.models.channel_attention import MECHANISMS
from mdlib.models.gated import BEFORE, GatedAttention
from mdlib.models.instances import lit_pixels
from mdlib.papers.gated.training import RATE_STEPS, global_weight

NEAR = 1e-6         # gates that differ by less are the same


@torch.no_grad()
def at_start(features: Tensor, seed: int = 0) -> pd.DataFrame:
    """Each mechanism of Table 2 before any training, beside the plain mean of X over its channels.

    features X (B, C, H, W). One row per mechanism; identical: bit by bit; cells moved: of the thresholded map, of
    `cells` in all; correlation: of the two maps, the mean over pictures.
    """
    plain, rows = features.mean(dim=1), {}
    before = lit_pixels(plain.numpy(), upsample=1)[1]
    for name, mechanism in MECHANISMS.items():
        torch.manual_seed(seed)
        attention = mechanism(features.shape[1]).eval()(features)["attention"]
        pairs = torch.stack([plain.flatten(1), attention.flatten(1)], dim=1)
        rows[name] = {"identical": bool(torch.equal(attention, plain)),
                      "cells moved": int((lit_pixels(attention.numpy(), upsample=1)[1] != before).sum()),
                      "cells": before.size,
                      "correlation": float(np.mean([torch.corrcoef(pair)[0, 1] for pair in pairs.double()]))}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("mechanism")


@torch.no_grad()
def gates(before_relu: Tensor, seed: int = 0) -> pd.DataFrame:
    """What the ReLU of eq. 2 does, one row for each choice of what S is compared with.

    before_relu (B, C, H, W): X before its last ReLU. shut: share of gates that are 0; changed: whether the ReLU of the
    gates changes any of them; dead: share of channels of X that are 0 everywhere, so that their gates are 0 whatever is
    done.
    """
    x, rows = before_relu.relu(), {}
    dead = (x == 0).all(dim=3).all(dim=2).float().mean().item()
    for before in BEFORE:
        torch.manual_seed(seed)
        module = GatedAttention(x.shape[1], before=before)
        compared = {"relu": x, "prerelu": before_relu, "centred": x - x.mean(dim=(2, 3), keepdim=True)}[before]
        agreement = torch.einsum("bchw,bhw->bc", compared, module.semantic(x)).tanh()
        found = module(before_relu if before == "prerelu" else x)["gates"]
        rows[before] = {"shut": (found == 0).float().mean().item(), "dead": dead,
                        "changed": bool((found - agreement).abs().max() > NEAR), "lowest": found.min().item(),
                        "highest": found.max().item()}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("compared with S")


def saturation(features: Tensor, seed: int = 0) -> pd.DataFrame:
    """How concentrated S is for each way to sum over channels, and the gradient that is left for the dilated blocks.

    features X (B, C, H, W). One row per `normalise` and size of the blocks, and one with a ReLU behind each block:
    standard deviation over the pixels of M as it is normalised, largest value of S, its entropy in bits (means over the
    pictures), and the norm of the gradient of the blocks' weights, the loss being the sum of squares of the global
    vectors, the means of X' over the pixels.
    """
    features, rows = features.double(), []
    for full, relu, normalise in ((True, False, "sum"), (True, True, "sum"), (True, False, "mean"),
                                  (True, False, "standard"), (False, False, "sum"), (False, False, "standard")):
        torch.manual_seed(seed)
        module = GatedAttention(features.shape[1], full=full, block_relu=relu, normalise=normalise).double()
        s = module.semantic(features).flatten(1)
        module(features)["features"].mean(dim=(2, 3)).square().sum().backward()
        norm = math.sqrt(sum(block.weight.grad.square().sum().item() for block in module.blocks))
        rows.append({"blocks": "C → C" if full else "C → 1", "M": f"{normalise}, behind a ReLU" if relu else normalise,
                     "std of M": s.log().std(dim=1, correction=0).mean().item(),    # S is its softmax
                     "largest S": s.amax(dim=1).mean().item(),
                     "bits": -(s * s.clamp(min=1e-30).log2()).sum(dim=1).mean().item(), "gradient": norm})
    return pd.DataFrame(rows).set_index(["blocks", "M"])


def taps_inside(cells: int = 7, rates: Sequence[int] = (1, 2, 3, 4, 6)) -> pd.Series:
    """The share of the nine taps of a 3 x 3 kernel inside a map, by dilation; the mean over its cells x cells."""
    found = {}
    for rate in rates:
        conv = nn.Conv2d(1, 1, 3, padding=rate, dilation=rate, bias=False)
        nn.init.ones_(conv.weight)
        found[rate] = conv(torch.ones(1, 1, cells, cells)).mean().item() / 9
    return pd.Series(found, name="taps inside").rename_axis("dilation")


def schedule(epochs: int = 200, learning_rate: float = 0.05) -> pd.DataFrame:
    """The schedule of section 3, one row per epoch from 0: lambda, rate, global, fusion.

    global, fusion: the weight of each loss of eq. 3 times the learning rate, as a share of the sum of the rates of all
    epochs: how much of the training is for this loss.
    """
    shares = np.arange(epochs) / epochs
    weight = np.array([global_weight(share, "paper") for share in shares])
    rate = learning_rate * 0.1 ** np.searchsorted(RATE_STEPS, shares + 1e-9)
    return pd.DataFrame({"lambda": weight, "rate": rate, "global": weight * rate / rate.sum(),
                         "fusion": (1 - weight) * rate / rate.sum()}, index=pd.RangeIndex(epochs, name="epoch"))
