"""attA and attB as networks: what reaches the logits, and what the softmax keeps from them."""

import pytest
import torch

from mdlib.errors import SettingsError
from mdlib.models.attention_densenet import AttentionDenseNet, att_a, att_b

SMALL = dict(growth=8, blocks=(2, 4, 4, 2), stem=16)


@pytest.mark.parametrize("build", [att_a, att_b])
def test_three_maps_come_at_three_scales_and_sum_to_one(build):
    answer = build(**SMALL)(torch.rand(2, 1, 64, 64))
    assert [tuple(a.shape) for a in answer["attention"]] == [(2, 1, 8, 8), (2, 1, 4, 4), (2, 1, 2, 2)]
    for a in answer["attention"]:
        torch.testing.assert_close(a.sum(dim=(2, 3)), torch.ones(2, 1))


def test_at_full_size_local_features_are_28_14_and_7_pixels_wide():
    with torch.device("meta"):
        answer = att_b().eval()(torch.rand(1, 1, 224, 224))
    assert [a.shape[-1] for a in answer["attention"]] == [28, 14, 7]


@torch.no_grad()
@pytest.mark.parametrize("variant", ["attA", "attB"])
@pytest.mark.parametrize("normalise, matters", [("softmax", False), ("sigmoid", True)])
def test_the_global_vector_cancels_under_the_softmax_and_not_under_the_sigmoid(variant, normalise, matters):
    torch.manual_seed(0)
    model = AttentionDenseNet(variant, normalise=normalise, **SMALL).double().eval()
    image = torch.rand(4, 1, 64, 64, dtype=torch.float64)
    before = model(image)["logits"]
    model.features.relu5.register_forward_hook(lambda layer, inputs, output: 10 * torch.randn_like(output))
    change = (model(image)["logits"] - before).abs().max()
    assert change > 1e-3 if matters else change < 1e-12


def without_gradient(model):
    """Which weights have a gradient of zero, up to rounding in float64: bool, by parameter."""
    model(torch.rand(4, 1, 64, 64, dtype=torch.float64))["logits"].square().sum().backward()
    scale = max(weight.grad.abs().max() for weight in model.parameters())
    return {name: weight.grad.abs() <= 1e-12 * scale for name, weight in model.named_parameters()}


def behind_g(name):
    return name.startswith(("features.denseblock4", "features.norm5"))


@pytest.mark.parametrize("variant", ["attA", "attB"])
def test_denseblock4_and_norm5_and_nothing_else_get_no_gradient_under_the_softmax(variant):
    torch.manual_seed(0)
    model = AttentionDenseNet(variant, **SMALL).double().eval()
    zero = without_gradient(model)
    assert {name for name, silent in zero.items() if silent.all()} == set(filter(behind_g, zero))
    if variant == "attB":                  # and the part of u that g meets
        for s, part in enumerate(model.attention):
            silent = zero[f"attention.{s}.score.weight"].flatten()
            assert silent[part.out:].all() and not silent[:part.out].any()


@pytest.mark.parametrize("variant", ["attA", "attB"])
def test_every_block_gets_a_gradient_under_the_sigmoid(variant):
    torch.manual_seed(0)
    model = AttentionDenseNet(variant, normalise="sigmoid", **SMALL).double().eval()
    assert not [name for name, silent in without_gradient(model).items() if silent.all()]


def test_at_full_size_2_160_128_weights_are_behind_the_cancelling_vector():
    with torch.device("meta"):
        features = att_b().features
    dead = [weight.numel() for part in (features.denseblock4, features.norm5) for weight in part.parameters()]
    assert sum(dead) == 2_160_128


@pytest.mark.parametrize("options, message", [
    (dict(variant="attC"), "parameter variant: unknown value 'attC'. Use one of attA, attB."),
    (dict(variant="attA", normalise="max"), "parameter normalise: unknown value 'max'. Use one of softmax, sigmoid.")])
def test_unknown_variants_are_named(options, message):
    with pytest.raises(SettingsError) as caught:
        AttentionDenseNet(**options)
    assert str(caught.value) == message
