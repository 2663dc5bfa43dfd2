"""The two attention mechanisms against their equations, written as loops."""

import math

import pytest
import torch

from mdlib.models.attention import ConcatAttention, SumAttention


def naive_attention(L, g, u, normalise, project=None):
    """Equations 2-5 as printed, for one image: L[i] the local vector at pixel i; `project` makes eq. 2 of eq. 3."""
    if project is not None:                                         # attA: l_i is projected, then added to g
        L = [[sum(row[k] * l[k] for k in range(len(l))) for row in project] for l in L]
        joined = [[l[k] + g[k] for k in range(len(g))] for l in L]
    else:                                                           # attB: l_i with g behind it
        joined = [[*l, *g] for l in L]
    c = [sum(u[k] * v[k] for k in range(len(u))) for v in joined]   # eq. 2, 3
    if normalise == "softmax":
        a = [math.exp(c_i) / sum(math.exp(c_j) for c_j in c) for c_i in c]      # eq. 4
    else:
        a = [1 / (1 + math.exp(-c_i)) / len(c) for c_i in c]
    return [sum(a[i] * L[i][k] for i in range(len(L))) for k in range(len(L[0]))], a    # eq. 5


@pytest.mark.parametrize("normalise", ["softmax", "sigmoid"])
@pytest.mark.parametrize("build", [SumAttention, ConcatAttention])
def test_attention_is_equations_2_to_5(build, normalise):
    torch.manual_seed(0)
    part = build(3, 5, normalise).double()
    L, g = torch.randn(2, 3, 4, 6, dtype=torch.float64), torch.randn(2, 5, dtype=torch.float64)
    attended, weights = part(L, g)
    assert attended.shape == (2, part.out) and weights.shape == (2, 1, 4, 6)
    project = part.project.weight.flatten(1).tolist() if build is SumAttention else None
    for b in range(2):
        pixels = L[b].flatten(1).T.tolist()
        expected, a = naive_attention(pixels, g[b].tolist(), part.score.weight.flatten().tolist(), normalise, project)
        torch.testing.assert_close(attended[b], torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-12)
        torch.testing.assert_close(weights[b].flatten(), torch.tensor(a, dtype=torch.float64), rtol=0, atol=1e-12)


@pytest.mark.parametrize("build", [SumAttention, ConcatAttention])
def test_softmax_weights_sum_to_one_and_sigmoid_weights_stay_below_one_nth(build):
    L, g = 3 * torch.randn(4, 3, 7, 7), torch.randn(4, 5)
    _, softmax = build(3, 5)(L, g)
    torch.testing.assert_close(softmax.sum(dim=(2, 3)), torch.ones(4, 1))
    _, sigmoid = build(3, 5, "sigmoid")(L, g)
    assert sigmoid.min() > 0 and sigmoid.max() < 1 / 49


@pytest.mark.parametrize("build", [SumAttention, ConcatAttention])
def test_the_order_of_pixels_does_not_matter(build):
    part = build(3, 5).double()
    L, g = torch.randn(2, 3, 4, 6).double(), torch.randn(2, 5).double()
    shuffled = L.flatten(2)[:, :, torch.randperm(24)].view_as(L)
    torch.testing.assert_close(part(shuffled, g)[0], part(L, g)[0], rtol=0, atol=1e-12)
