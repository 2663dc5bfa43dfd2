"""The gated attention module against equations 1 and 2, written as loops, and what the text of the paper implies."""

import math

import pytest
import torch

from mdlib.errors import SettingsError
from mdlib.models.backbones import count
from mdlib.models.gated import BEFORE, NORMALISE, READINGS, GatedAttention, pooled


def naive_blocks(X, kernels, dilations, block_relu):
    """M before it is normalised: every tap of every dilated kernel that lies in the map, summed over all channels."""
    C, H, W = len(X), len(X[0]), len(X[0][0])
    M = [[0.0] * W for _ in range(H)]
    for kernel, d in zip(kernels, dilations, strict=True):
        for out in kernel:
            for i in range(H):
                for j in range(W):
                    y = sum(out[c][a][b] * X[c][i + (a - 1) * d][j + (b - 1) * d]
                            for c in range(C) for a in range(3) for b in range(3)
                            if 0 <= i + (a - 1) * d < H and 0 <= j + (b - 1) * d < W)
                    M[i][j] += max(y, 0.0) if block_relu else y
    return M


def naive_gated(X, M, normalise, before):
    """Equations 1 and 2 as printed, for one image; X is what is given, before its ReLU if that is so."""
    C, H, W = len(X), len(M), len(M[0])
    pixels = [(i, j) for i in range(H) for j in range(W)]
    if normalise == "mean":
        M = [[m / C for m in row] for row in M]
    elif normalise == "standard":
        mean = sum(M[i][j] for i, j in pixels) / (H * W)
        spread = math.sqrt(sum((M[i][j] - mean) ** 2 for i, j in pixels) / (H * W) + 1e-8)
        M = [[(m - mean) / spread for m in row] for row in M]
    total = sum(math.exp(M[i][j]) for i, j in pixels)
    S = [[math.exp(m) / total for m in row] for row in M]                                  # eq. 1
    gates = []
    for k in range(C):
        centre = sum(X[k][i][j] for i, j in pixels) / (H * W) if before == "centred" else 0.0
        gates.append(max(0.0, math.tanh(sum((X[k][i][j] - centre) * S[i][j] for i, j in pixels))))
    if before == "prerelu":
        X = [[[max(0.0, x) for x in row] for row in channel] for channel in X]
    Omega = [[sum(gates[k] * X[k][i][j] for k in range(C)) / C for j in range(W)] for i in range(H)]     # eq. 2
    return S, gates, Omega


@pytest.mark.parametrize("before", BEFORE)
@pytest.mark.parametrize("normalise", NORMALISE)
@pytest.mark.parametrize("blocks", [{}, {"full": True}, {"full": True, "block_relu": True, "dilations": (1, 2)}])
def test_the_module_is_equations_1_and_2(blocks, normalise, before):
    torch.manual_seed(0)
    module = GatedAttention(3, normalise=normalise, before=before, **blocks).double()
    given = torch.randn(2, 3, 4, 5, dtype=torch.float64)
    x = given.relu() if before == "prerelu" else given
    found = module(given)
    kernels = [block.weight.tolist() for block in module.blocks]
    for b in range(2):
        M = naive_blocks(x[b].tolist(), kernels, blocks.get("dilations", (2, 3)), "block_relu" in blocks)
        S, gates, Omega = naive_gated(given[b].tolist(), M, normalise, before)
        for name, expected in (("semantic", S), ("gates", gates), ("attention", Omega)):
            torch.testing.assert_close(found[name][b], torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-12)
        torch.testing.assert_close(found["features"][b], found["gates"][b][:, None, None] * x[b])


@pytest.mark.parametrize("full, weights", [(False, 9_216), (True, 4_718_592)])
def test_number_of_weights(full, weights):
    with torch.device("meta"):
        assert count(GatedAttention(512, full=full)) == weights
        assert count(GatedAttention(512, full=full, learned_scale=True)) == weights + 1


def test_linear_blocks_of_c_outputs_are_blocks_of_one_whose_kernels_are_their_sums():
    torch.manual_seed(0)
    full, single = GatedAttention(6, full=True).double(), GatedAttention(6).double()
    for large, small in zip(full.blocks, single.blocks, strict=True):
        small.weight.data = large.weight.data.sum(dim=0, keepdim=True)
    x = torch.rand(2, 6, 7, 7, dtype=torch.float64)
    for name, expected in full(x).items():
        torch.testing.assert_close(single(x)[name], expected)


def test_a_channel_that_disagrees_with_the_map_is_shut():
    x = torch.stack([torch.ones(4, 4), -torch.ones(4, 4)])[None]
    assert GatedAttention(2)(x)["gates"].tolist() == [[pytest.approx(math.tanh(1)), 0]]


def after_a_resnet(seed=0):
    """Features as those of a random network: before its last ReLU, channels with means and scales of their own."""
    torch.manual_seed(seed)
    low = torch.randn(4, 64, 4, 4)
    smooth = torch.nn.functional.interpolate(low, size=(7, 7), mode="bilinear")
    return 0.7 * smooth + 0.5 * torch.randn(1, 64, 1, 1)


@pytest.mark.parametrize("normalise", NORMALISE)
def test_behind_a_relu_the_relu_of_the_gates_never_acts(normalise):
    x = after_a_resnet().relu()
    module = GatedAttention(64, normalise=normalise)
    argument = torch.einsum("bchw,bhw->bc", x, module.semantic(x)).tanh()
    assert torch.equal(module(x)["gates"], argument)


def test_before_the_relu_and_centred_it_does():
    before, after = after_a_resnet(), after_a_resnet().relu()
    torch.manual_seed(1)
    modules = {name: GatedAttention(64, before=name) for name in BEFORE}
    for module in modules.values():
        module.load_state_dict(modules["relu"].state_dict())
    shut = {name: (module(before if name == "prerelu" else after)["gates"] == 0).float().mean().item()
            for name, module in modules.items()}
    dead = (after == 0).all(dim=3).all(dim=2).float().mean().item()
    assert shut["relu"] == dead and shut["prerelu"] > dead + 0.1 and 0.3 < shut["centred"] < 0.8


def test_the_sum_saturates_the_mean_is_uniform_and_standardising_lies_between():
    """How concentrated S is, how many bits it has, and the gradient that is left for its blocks."""
    torch.manual_seed(0)
    x = 1.4 * torch.rand(2, 512, 7, 7)
    highest, bits, gradient = {}, {}, {}
    for normalise in NORMALISE:
        torch.manual_seed(1)
        module = GatedAttention(512, full=True, normalise=normalise)
        s = module.semantic(x).flatten(1)
        highest[normalise] = s.amax(dim=1).mean().item()
        bits[normalise] = -(s * s.clamp(min=1e-30).log2()).sum(dim=1).mean().item()
        module(x)["features"].mean(dim=(2, 3)).square().sum().backward()
        gradient[normalise] = sum(block.weight.grad.norm() ** 2 for block in module.blocks).sqrt().item()
    assert highest["sum"] > 0.4 > 0.2 > highest["standard"] > 0.05 > 0.022 > highest["mean"]
    assert bits["sum"] < 2.5 < 4.5 < bits["standard"] < 5.3 and bits["mean"] == pytest.approx(math.log2(49), abs=0.01)
    assert gradient["mean"] < 0.05 * gradient["standard"] and gradient["mean"] < 0.05 * gradient["sum"]


@pytest.mark.parametrize("rate, share", [(1, 0.82), (2, 0.66), (3, 0.51), (4, 0.38), (6, 0.18), (7, 1 / 9)])
def test_the_share_of_the_taps_that_lie_inside_a_map_of_7_x_7(rate, share):
    module = GatedAttention(1, dilations=(rate,))
    torch.nn.init.ones_(module.blocks[0].weight)
    taps = module.blocks[0](torch.ones(1, 1, 7, 7)).mean().item() / 9
    assert taps == pytest.approx(share, abs=0.005) and (rate == 7 or taps == pytest.approx((1 - 2 * rate / 21) ** 2))


def test_a_map_that_is_the_same_everywhere_gives_uniform_s_and_finite_gradients():
    x = torch.zeros(2, 4, 5, 5, requires_grad=True)
    module = GatedAttention(4)
    found = module(x)
    torch.testing.assert_close(found["semantic"], torch.full((2, 5, 5), 1 / 25))
    sum(value.sum() for value in found.values()).backward()
    assert x.grad.isfinite().all() and all(block.weight.grad.isfinite().all() for block in module.blocks)


def test_the_scale_sharpens_s():
    module, x = GatedAttention(8, learned_scale=True), torch.rand(1, 8, 6, 6)
    plain = module.semantic(x)
    module.scale.data.fill_(4)
    assert module.semantic(x).max() > 2 * plain.max()


class TestReadings:
    def naive(self, reading, x, refined):
        C, pixels = x.shape[0], [(i, j) for i in range(x.shape[1]) for j in range(x.shape[2])]
        X, Omega, S = x.tolist(), refined["attention"].tolist(), refined["semantic"].tolist()
        if reading in ("written", "gated"):
            g = refined["gates"].tolist() if reading == "gated" else [1.0] * C
            return [g[k] * sum(X[k][i][j] for i, j in pixels) / len(pixels) for k in range(C)]
        total = sum(math.exp(Omega[i][j]) for i, j in pixels)
        a = {(i, j): S[i][j] if reading == "semantic" else math.exp(Omega[i][j]) / total for i, j in pixels}
        return [sum(a[p] * X[k][p[0]][p[1]] for p in pixels) for k in range(C)]

    @pytest.mark.parametrize("reading", READINGS)
    def test_each_is_its_definition(self, reading):
        torch.manual_seed(0)
        x = torch.rand(2, 3, 4, 5, dtype=torch.float64)
        refined = GatedAttention(3).double()(x)
        for b in range(2):
            expected = self.naive(reading, x[b], {name: value[b] for name, value in refined.items()})
            torch.testing.assert_close(pooled(reading, x, refined)[b], torch.tensor(expected, dtype=torch.float64))

    @pytest.mark.parametrize("reading", READINGS)
    def test_as_written_no_gradient_reaches_the_blocks(self, reading):
        torch.manual_seed(0)
        module, x = GatedAttention(8), torch.rand(2, 8, 7, 7, requires_grad=True)
        pooled(reading, x, module(x)).square().sum().backward()
        assert x.grad.any()
        gradients = [block.weight.grad for block in module.blocks]
        if reading == "written":
            assert gradients == [None, None]
        else:
            assert all(gradient.norm() > 1e-4 for gradient in gradients)


def test_unknown_settings_are_named():
    for name in ("normalise", "before"):
        with pytest.raises(SettingsError, match=f"parameter {name}: unknown value 'none'"):
            GatedAttention(4, **{name: "none"})
    with pytest.raises(SettingsError, match="parameter reading: unknown value"):
        pooled("none", torch.ones(1, 1, 1, 1), {})
    with pytest.raises(SettingsError, match="parameter reading: this mechanism has no semantic map"):
        pooled("semantic", torch.ones(1, 1, 1, 1), {"features": torch.ones(1, 1, 1, 1)})
    with pytest.raises(SettingsError, match="parameter learned_scale: needs normalise='standard', not 'sum'"):
        GatedAttention(4, normalise="sum", learned_scale=True)
