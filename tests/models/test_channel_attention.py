"""The six mechanisms of Table 2: each against its formula in loops, its number of weights, and where it starts."""

import math

import pytest
import torch

from mdlib.models.backbones import count
from mdlib.models.channel_attention import MECHANISMS, Dual, GlobalContext, NonLocal, SqueezeExcitation, Trilinear
from mdlib.models.gated import GatedAttention, pooled
from mdlib.models.instance_fusion import resnet18_features

WEIGHTS = {"spatial": 526_592, "channel": 0, "dual": 328_322, "se": 32_768, "gc": 33_889, "gated": 9_216}


@pytest.mark.parametrize("name", MECHANISMS)
def test_number_of_weights_at_512_channels(name):
    with torch.device("meta"):
        assert count(MECHANISMS[name](512)) == WEIGHTS[name]


def softmax(scores):
    total = sum(math.exp(s) for s in scores)
    return [math.exp(s) / total for s in scores]


def dot(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True))


def linear(layer, vectors):
    """A 1 x 1 convolution or a linear layer, of a list of pixels, each a list of channels."""
    weight = layer.weight.flatten(1).tolist()
    bias = [0.0] * len(weight) if layer.bias is None else layer.bias.tolist()
    return [[dot(row, v) + b for row, b in zip(weight, bias, strict=True)] for v in vectors]


def attend(query, key, value):
    """For each pixel the sum of all values, by the softmax over them of the products with their keys."""
    out = []
    for q in query:
        a = softmax([dot(q, k) for k in key])
        out.append([dot(a, [v[c] for v in value]) for c in range(len(value[0]))])
    return out


def trilinear(pixels, inner=False):
    channels = [list(channel) for channel in zip(*pixels, strict=True)]
    out = attend([softmax(c) for c in channels] if inner else channels, channels, channels)
    return [list(pixel) for pixel in zip(*out, strict=True)]


def plus(a, b, weight=1.0):
    return [[x + weight * y for x, y in zip(u, v, strict=True)] for u, v in zip(a, b, strict=True)]


def naive_spatial(m, x):
    y = linear(m.out, attend(linear(m.theta, x), linear(m.phi, x), linear(m.g, x)))
    norm = m.norm
    scale = [w / math.sqrt(v + norm.eps) for w, v in zip(norm.weight.tolist(), norm.running_var.tolist(), strict=True)]
    shifted = [[s * (v - mean) + b for v, s, mean, b in zip(
        row, scale, norm.running_mean.tolist(), norm.bias.tolist(), strict=True)] for row in y]
    return plus(x, shifted)


def naive_dual(m, x):
    of_positions = attend(linear(m.query, x), linear(m.key, x), linear(m.value, x))
    return plus(plus(x, of_positions, m.gamma_position.item()), trilinear(x), m.gamma_channel.item())


def mean_of(x):
    return [sum(channel) / len(x) for channel in zip(*x, strict=True)]


def naive_se(m, x):
    (hidden,) = linear(m.gate[0], [mean_of(x)])
    (scores,) = linear(m.gate[2], [[max(0.0, h) for h in hidden]])
    return [[v / (1 + math.exp(-s)) for v, s in zip(pixel, scores, strict=True)] for pixel in x]


def naive_gc(m, x):
    a = softmax([score for (score,) in linear(m.mask, x)])
    context = [dot(a, channel) for channel in zip(*x, strict=True)]
    (hidden,) = linear(m.transform[0], [context])
    mean = sum(hidden) / len(hidden)
    spread = math.sqrt(sum((h - mean) ** 2 for h in hidden) / len(hidden) + m.transform[1].eps)
    normed = [(h - mean) / spread * w + b for h, w, b in zip(
        hidden, m.transform[1].weight.tolist(), m.transform[1].bias.tolist(), strict=True)]
    (added,) = linear(m.transform[3], [[max(0.0, h) for h in normed]])
    return plus(x, [added] * len(x))


def naive_channel(m, x):
    return trilinear(x, m.inner)


@pytest.mark.parametrize("module, naive", [
    (NonLocal(6), naive_spatial), (Trilinear(6), naive_channel), (Trilinear(6, inner=True), naive_channel),
    (Dual(6, reduction=2), naive_dual), (SqueezeExcitation(6, reduction=2), naive_se),
    (GlobalContext(6, reduction=2), naive_gc)], ids=lambda value: type(value).__name__)
def test_each_mechanism_is_its_formula(module, naive):
    torch.manual_seed(0)
    module = module.double().eval()
    for weight in [*module.parameters(), *(b for b in module.buffers() if b.is_floating_point())]:
        weight.data = torch.rand_like(weight) - (0 if weight.ndim == 1 else 0.4)
    x = torch.randn(2, 6, 3, 4, dtype=torch.float64)
    found = module(x)
    for b in range(2):
        expected = torch.tensor(naive(module, x[b].flatten(1).T.tolist()), dtype=torch.float64)     # (pixels, C)
        torch.testing.assert_close(found["features"][b].flatten(1).T, expected, rtol=0, atol=1e-10)
        torch.testing.assert_close(found["attention"][b].flatten(), expected.mean(dim=1), rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", MECHANISMS)
def test_all_have_one_signature_and_the_map_is_the_mean_of_the_refined_features(name):
    torch.manual_seed(0)
    x = torch.rand(3, 32, 5, 4)
    found = MECHANISMS[name](32)(x)
    assert found["features"].shape == x.shape
    torch.testing.assert_close(found["attention"], found["features"].mean(dim=1))
    shown = {"se": {"gates"}, "gc": {"semantic"}, "gated": {"gates", "semantic"}}.get(name, set())
    assert found.keys() == {"features", "attention"} | shown
    if "semantic" in shown:
        torch.testing.assert_close(found["semantic"].sum(dim=(1, 2)), torch.ones(3))
    if "gates" in shown:
        torch.testing.assert_close(found["features"], found["gates"][:, :, None, None] * x)
        assert found["gates"].min() >= 0 and found["gates"].max() < 1


@pytest.mark.parametrize("name", MECHANISMS)
def test_where_y_g_reads_the_refined_features_every_weight_that_is_not_behind_a_zero_gets_a_gradient(name):
    torch.manual_seed(0)
    module, x = MECHANISMS[name](128), torch.rand(3, 128, 5, 4, requires_grad=True)
    module(x)["features"].square().mean(dim=(2, 3)).sum().backward()
    silent = {weight for weight, p in module.named_parameters() if p.grad is None or not p.grad.any()}
    first = {"spatial": {"norm.weight", "norm.bias"}, "dual": {"gamma_position", "gamma_channel"},
             "gc": {"transform.3.weight", "transform.3.bias"}}
    if name in first:           # these start as X: what comes before the zeros learns from the second step on
        assert silent == {weight for weight, _ in module.named_parameters()} - first[name]
    else:
        assert silent == set()


def lit(attention):
    return attention > attention.mean(dim=(1, 2), keepdim=True)


@pytest.fixture(scope="module")
def features():
    """X of a random ResNet-18 for two pictures, (2, 512, 7, 7): 98 cells."""
    torch.manual_seed(0)
    with torch.no_grad():
        return resnet18_features().eval()(torch.rand(2, 3, 224, 224))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", ["spatial", "dual", "gc"])
def test_three_rows_of_table_2_start_as_the_plain_mean_over_channels(features, name, training):
    for seed in range(3):
        torch.manual_seed(seed)
        attention = MECHANISMS[name](512).train(training)(features)["attention"]
        assert torch.equal(attention, features.mean(dim=1))


@torch.no_grad()
def test_the_others_move_few_of_the_cells_of_the_mask_at_their_start(features):
    moved = {}
    for name in ("channel", "se", "gated"):
        torch.manual_seed(1)
        attention = MECHANISMS[name](512)(features)["attention"]
        moved[name] = int((lit(attention) != lit(features.mean(dim=1))).sum())
        assert not torch.equal(attention, features.mean(dim=1))
    assert moved["se"] < 4 < moved["channel"] < 30 and moved["gated"] < 10


def test_under_the_text_as_written_a_step_changes_no_mechanism():
    """Y_g reads X itself: whatever the mechanism, its weights have no gradient, and its map stays where it starts."""
    for name in MECHANISMS:
        torch.manual_seed(0)
        module, x = MECHANISMS[name](32), torch.rand(2, 32, 5, 5, requires_grad=True)
        pooled("written", x, module(x)).square().sum().backward()
        assert all(weight.grad is None for weight in module.parameters()) and x.grad.any()


def test_the_gated_module_is_the_sixth():
    assert list(MECHANISMS) == list(WEIGHTS) and MECHANISMS["gated"] is GatedAttention
