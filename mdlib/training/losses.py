"""Losses: functions of logits and targets, the mean over what is known."""

import torch
from torch import Tensor
from torch.nn import functional


def binary_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    r"""The mean binary cross-entropy over all known entries, a scalar (Tan et al., section 2.6, eq. 8).

    L = -[y log p + (1 - y) log(1 - p)],   p = sigmoid(logits)

    Equation 8 as printed lacks the minus sign: minimised as it stands it would teach the opposite of the labels.
    It sums over the classes of one image; the mean over images and classes taken here is that of torch's `BCELoss`,
    which the authors used. Computed from the logits, so it stays finite where p rounds to 0 or 1.

    logits and target (B, K); target in [0, 1], NaN where unknown. Unknown entries are left out of the mean (ours: the
    paper's labels are complete); a batch in which nothing is known costs 0.
    """
    known = ~torch.isnan(target)
    each = functional.binary_cross_entropy_with_logits(logits, target.nan_to_num(), reduction="none")
    return (each * known).sum() / known.sum().clamp(min=1)
