"""Attention of local features by a global vector: two ways to compare them, two ways to normalise the scores.

One signature: local features L (B, C, h, w) and the global vector g (B, G) -> attended vector (B, `out`) and the
weights of its sum (B, 1, h, w).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def softmax_over_pixels(scores: Tensor) -> Tensor:
    """a_i = exp(c_i) / sum_j exp(c_j), (B, 1, h, w), sums to 1 (Tan et al., eq. 4).

    What is the same at every pixel drops out, and so does g, in eq. 2 and in eq. 3.
    """
    return scores.flatten(2).softmax(dim=2).view_as(scores)


def sigmoid_over_pixels(scores: Tensor) -> Tensor:
    """a_i = sigmoid(c_i) / n, (B, 1, h, w): eq. 5 becomes the mean of sigmoid(c_i) l_i, and g matters.

    Not in the paper: the other mode of the code it builds on, which repairs the cancelling g of the softmax.
    """
    return scores.sigmoid() / scores[0, 0].numel()


NORMALISE = {"softmax": softmax_over_pixels, "sigmoid": sigmoid_over_pixels}


class SumAttention(nn.Module):
    """attA: l_i is projected to the size of g and added to it (Tan et al., eq. 2). `out` = G.

    <u, l_i + g> is computed as <u, l_i> + <u, g>: the same number, without a copy of L that has g added everywhere.
    """

    def __init__(self, local_channels: int, global_channels: int, normalise: str = "softmax"):
        super().__init__()
        self.project = nn.Conv2d(local_channels, global_channels, 1, bias=False)
        self.score = nn.Conv2d(global_channels, 1, 1, bias=False)                         # u^s
        self.normalise = NORMALISE[normalise]
        self.out = global_channels

    def forward(self, features: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
        """features (B, C, h, w), g (B, G) -> attended (B, G), weights (B, 1, h, w)."""
        projected = self.project(features)                                                # l_i, (B, G, h, w)
        scores = self.score(projected) + self.score(g[:, :, None, None])                  # eq. 2, (B, 1, h, w)
        weights = self.normalise(scores)                                                  # eq. 4
        return torch.einsum("bxhw,bchw->bc", weights, projected), weights                 # eq. 5, (B, G)


class ConcatAttention(nn.Module):
    """attB: l_i as it is, with g behind it (Tan et al., eq. 3). `out` = C.

    <u, {l_i, g}> is computed as <u_l, l_i> + <u_g, g>, u = {u_l, u_g}.
    """

    def __init__(self, local_channels: int, global_channels: int, normalise: str = "softmax"):
        super().__init__()
        self.score = nn.Conv2d(local_channels + global_channels, 1, 1, bias=False)     # u^s
        self.normalise = NORMALISE[normalise]
        self.out = local_channels

    def forward(self, features: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
        """features (B, C, h, w), g (B, G) -> attended (B, C), weights (B, 1, h, w)."""
        u_local, u_global = self.score.weight.split([features.shape[1], g.shape[1]], dim=1)
        scores = F.conv2d(features, u_local) + F.conv2d(g[:, :, None, None], u_global)    # eq. 3, (B, 1, h, w)
        weights = self.normalise(scores)                                                  # eq. 4
        return torch.einsum("bxhw,bchw->bc", weights, features), weights                  # eq. 5, (B, C)
