"""The six attention mechanisms of Fan et al., Table 2, with one signature.

    mechanism = MECHANISMS[name](channels)
    mechanism(features X (B, C, H, W)) -> `features` X' (B, C, H, W), `attention` (B, H, W), the mean of X' over its
    channels, and where the mechanism has them `gates` (B, C) and a `semantic` map (B, H, W)

The paper names the mechanisms and cites them; it does not say how a map is made of them. That the map is the mean of
X', which is eq. 2 with another X', is ours. As their papers start them, three leave X as it is: `spatial` and `gc` end
in a layer of zeros, and `dual` weighs its branches by zeros. Their maps are then the plain mean of X over its channels.
"""

import torch
from torch import Tensor, nn

from mdlib.models.gated import GatedAttention


class NonLocal(nn.Module):
    """Spatial attention (Wang et al. 2018): each pixel adds what it finds at all others (embedded Gaussian, BN).

    y_i = sum_j softmax_j(<theta(x_i), phi(x_j)>) g(x_j),   X' = X + BN(W y), BN starting at zero.
    """

    def __init__(self, channels: int, reduction: int = 2):
        super().__init__()
        inner = _reduced(channels, reduction)
        self.theta, self.phi, self.g = (nn.Conv2d(channels, inner, 1) for _ in range(3))
        self.out, self.norm = nn.Conv2d(inner, channels, 1), nn.BatchNorm2d(channels)
        nn.init.zeros_(self.norm.weight)

    def forward(self, features: Tensor) -> dict[str, Tensor]:
        """features (B, C, H, W) -> `features` and `attention`."""
        y = _attend(self.theta(features), self.phi(features), self.g(features))
        return _answer(features + self.norm(self.out(y)))


class Trilinear(nn.Module):
    """Channel-wise attention (Zheng et al. 2019): each channel becomes a mean of those that are like it. No weights.

    X' = softmax(X X^T) X, X as a C x HW matrix, softmax over the second index. inner: softmax(softmax(X) X^T) X, the
    inner softmax over the pixels, as Zheng et al. have it.
    """

    def __init__(self, channels: int, inner: bool = False):
        super().__init__()
        self.inner = inner

    def forward(self, features: Tensor) -> dict[str, Tensor]:
        """features (B, C, H, W) -> `features` and `attention`."""
        x = features.flatten(2)                                                            # (B, C, H W)
        relation = (x.softmax(dim=2) if self.inner else x) @ x.mT
        return _answer((relation.softmax(dim=2) @ x).view_as(features))


class Dual(nn.Module):
    """Dual attention (Fu et al. 2019): of pixels among pixels, and of channels among channels, each weighed from zero.

    X' = X + gamma_p sum_j softmax_j(<q(x_i), k(x_j)>) v(x_j) + gamma_c softmax(X X^T) X. Fu et al. add the branches
    with X in each of them, behind convolutions of a segmentation head, which a classifier does not have (ours).
    """

    def __init__(self, channels: int, reduction: int = 8):
        super().__init__()
        inner = _reduced(channels, reduction)
        self.query, self.key = nn.Conv2d(channels, inner, 1), nn.Conv2d(channels, inner, 1)
        self.value = nn.Conv2d(channels, channels, 1)
        self.channel_branch = Trilinear(channels)
        self.gamma_position, self.gamma_channel = (nn.Parameter(torch.zeros(())) for _ in range(2))

    def forward(self, features: Tensor) -> dict[str, Tensor]:
        """features (B, C, H, W) -> `features` and `attention`."""
        of_positions = _attend(self.query(features), self.key(features), self.value(features))
        of_channels = self.channel_branch(features)["features"]
        return _answer(features + self.gamma_position * of_positions + self.gamma_channel * of_channels)


class SqueezeExcitation(nn.Module):
    """Squeeze-and-excitation (Hu et al. 2018): a gate per channel from the means of all channels.

    gates = sigmoid(W_2 relu(W_1 GAP(X))), without biases;   X' = gates X.
    """

    def __init__(self, channels: int, reduction: int = 16):
        super().__init__()
        inner = _reduced(channels, reduction)
        self.gate = nn.Sequential(nn.Linear(channels, inner, bias=False), nn.ReLU(),
                                  nn.Linear(inner, channels, bias=False), nn.Sigmoid())

    def forward(self, features: Tensor) -> dict[str, Tensor]:
        """features (B, C, H, W) -> `features`, `attention`, `gates` (B, C) in (0, 1)."""
        gates = self.gate(features.mean(dim=(2, 3)))
        return _answer(gates[:, :, None, None] * features, gates=gates)


class GlobalContext(nn.Module):
    """Global context (Cao et al. 2019): one map for all pixels, and the features under it added to every pixel.

    S = softmax of a 1 x 1 convolution of X, over the pixels;   X' = X + W_2 relu(LN(W_1 sum_j S_j x_j)), W_2 = 0 first.
    """

    def __init__(self, channels: int, reduction: int = 16):
        super().__init__()
        inner = _reduced(channels, reduction)
        self.mask = nn.Conv2d(channels, 1, 1)
        self.transform = nn.Sequential(nn.Linear(channels, inner), nn.LayerNorm(inner), nn.ReLU(),
                                       nn.Linear(inner, channels))
        nn.init.zeros_(self.transform[-1].weight)
        nn.init.zeros_(self.transform[-1].bias)

    def forward(self, features: Tensor) -> dict[str, Tensor]:
        """features (B, C, H, W) -> `features`, `attention`, `semantic`."""
        semantic = self.mask(features).flatten(1).softmax(dim=1)                           # (B, H W)
        context = torch.einsum("bcp,bp->bc", features.flatten(2), semantic)
        refined = features + self.transform(context)[:, :, None, None]
        return _answer(refined, semantic=semantic.view(-1, *features.shape[2:]))


# As Table 2 has them, from its first row to its last. A mechanism takes the number of channels, and options.
MECHANISMS: dict[str, type[nn.Module]] = {"spatial": NonLocal, "channel": Trilinear, "dual": Dual,
                                          "se": SqueezeExcitation, "gc": GlobalContext, "gated": GatedAttention}


def _answer(refined: Tensor, **shown: Tensor) -> dict[str, Tensor]:
    return {"features": refined, "attention": refined.mean(dim=1), **shown}                # eq. 2 with another X'


def _attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Dot-product attention of all pixels among all, unscaled: (B, D, H, W) twice, (B, V, H, W) -> (B, V, H, W)."""
    weights = (query.flatten(2).mT @ key.flatten(2)).softmax(dim=2)                        # (B, H W, H W)
    return (value.flatten(2) @ weights.mT).unflatten(2, value.shape[2:])


def _reduced(channels: int, reduction: int) -> int:
    return max(1, channels // reduction)
