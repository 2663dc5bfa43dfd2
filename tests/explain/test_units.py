"""Contributions of units against their definition, Captum and finite differences; ablation against slow twins."""

import pytest
import torch
from captum.attr import LayerGradientXActivation
from torch import nn

from mdlib.errors import SettingsError
from mdlib.explain.hooks import replaced
from mdlib.explain.units import ablated_logits, unit_contributions
from mdlib.models.patch_networks import LAYERS, NETWORKS

SMALL = [(name, layer) for name, layers in LAYERS.items() if name.startswith("small") for layer in layers]
LINEAR = [("small_inception", "features.Mixed_7c"), ("small_resnet", "features.layer4")]    # behind these layers


def network(name):
    """With biases that are not zero, as after training."""
    torch.manual_seed(0)
    model = NETWORKS[name]().eval()
    for weight in model.parameters():
        if weight.ndim == 1:
            nn.init.normal_(weight, 1, 0.3)
    return model


def images(count=3):
    return torch.rand(count, 1, 64, 64, generator=torch.Generator().manual_seed(1))


def maps_of(model, layer, batch):
    kept = []
    handle = model.get_submodule(layer).register_forward_hook(lambda *found: kept.append(found[-1].clone()))
    with torch.no_grad():
        model(batch)
    handle.remove()
    return kept[0]


@pytest.mark.parametrize("name, layer", LINEAR)
def test_contributions_are_weight_times_mean_and_sum_to_the_difference_of_logits(name, layer):
    model, batch = network(name), images()
    found = unit_contributions(model, batch, layer)
    maps, weight, bias = maps_of(model, layer, batch).double(), model.classifier.weight, model.classifier.bias
    for b in range(3):
        for k in range(maps.shape[1]):
            w = (weight[1, k] - weight[0, k]).item()
            assert found.values[b, k].item() == pytest.approx(w * maps[b, k].sum().item() / 64, abs=1e-6)
            assert found.max_times_weight[b, k].item() == pytest.approx(w * maps[b, k].max().item(), abs=1e-5)
    logits = model(batch)["logits"].detach()
    torch.testing.assert_close(found.logits, logits[:, 1] - logits[:, 0], rtol=0, atol=1e-6)
    torch.testing.assert_close(found.values.sum(dim=1) + (bias[1] - bias[0]).detach(), found.logits, rtol=0, atol=1e-5)
    torch.testing.assert_close(found.rest, (bias[1] - bias[0]).detach().expand(3), rtol=0, atol=1e-5)


@pytest.mark.parametrize("name, layer", SMALL)
def test_contributions_are_captums_gradient_times_activation_and_what_is_missing_is_reported(name, layer):
    model, batch = network(name).double(), images().double()
    for target, weights in ((0, (1, 0)), ((0, 1), (1, -1))):
        found = unit_contributions(model, batch, layer, target)

        class Explained(nn.Module):
            def __init__(self):
                super().__init__()
                self.model = model

            def forward(self, x):
                return self.model(x)["logits"] @ torch.tensor(weights, dtype=x.dtype)    # noqa: B023, used at once

        theirs = LayerGradientXActivation(Explained(), model.get_submodule(layer)).attribute(batch).sum(dim=(2, 3))
        torch.testing.assert_close(found.values, theirs.detach(), rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(found.values.sum(dim=1) + found.rest, found.logits)
    assert (found.rest.std() < 1e-9) == ((name, layer) in LINEAR)        # the same for every image: the bias


class Curved(nn.Module):
    """Something behind the layer that is not linear."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(1, 3, 3).double()

    def after(self, maps):
        return torch.stack([maps.tanh().sum(dim=(1, 2, 3)), maps.square().mean(dim=(1, 2, 3))], dim=1)

    def forward(self, image):
        return self.after(self.layer(image))


def test_contributions_are_the_definition_with_gradients_by_finite_differences():
    torch.manual_seed(0)
    model, batch, step = Curved(), torch.rand(1, 1, 5, 5).double(), 1e-6
    found = unit_contributions(model, batch, "layer")
    maps = model.layer(batch).detach()
    for k in range(3):
        gradient = torch.zeros(3, 3).double()
        for y in range(3):
            for x in range(3):
                ends = []
                for sign in (1, -1):
                    moved = maps.clone()
                    moved[0, k, y, x] += sign * step
                    benign, malignant = model.after(moved)[0].tolist()
                    ends.append(malignant - benign)
                gradient[y, x] = (ends[0] - ends[1]) / (2 * step)
        assert found.values[0, k].item() == pytest.approx((gradient * maps[0, k]).sum().item(), abs=1e-8)
        influence = (maps[0, k].max() * gradient.sum()).item()
        assert found.max_times_weight[0, k].item() == pytest.approx(influence, abs=1e-8)


def test_with_a_pool_that_ignores_positions_contributions_still_sum_to_the_logit():
    torch.manual_seed(0)
    model = NETWORKS["small_resnet"](pool="first7").eval()
    found = unit_contributions(model, images(), "features.layer4", 1)
    torch.testing.assert_close(found.rest, model.classifier.bias[1].detach().expand(3), rtol=0, atol=1e-5)


def slow_ablation(model, batch, layer, units, constants):
    """One forward pass of everything for one group of units."""
    def change(output):
        output = output.clone()
        for unit in units:
            output[:, unit] = constants[unit]
        return output
    with torch.no_grad(), replaced(model, layer, change):
        return model(batch)["logits"]


@pytest.mark.parametrize("name, layer", SMALL)
def test_ablation_is_a_forward_pass_with_the_units_replaced(name, layer):
    model, batch = network(name).double(), images().double()
    units = maps_of(model, layer, batch).shape[1]
    means = maps_of(model, layer, batch).mean(dim=(0, 2, 3))
    groups = [[0], [units - 1], [1, 2, 5], []]
    for value, constants in ((0.0, torch.zeros(units)), (means, means)):
        found = ablated_logits(model, batch, layer, groups, value, at_once=3)
        expected = torch.stack([slow_ablation(model, batch, layer, group, constants) for group in groups])
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)
    torch.testing.assert_close(found[3], model(batch)["logits"].detach())
    every = ablated_logits(model, batch, layer)
    assert every.shape == (units, 3, 2)
    alone = slow_ablation(model, batch, layer, [7], torch.zeros(units))
    torch.testing.assert_close(every[7], alone, rtol=0, atol=1e-10)


@pytest.mark.parametrize("name, layer", LINEAR)
def test_without_a_unit_the_difference_of_logits_is_less_by_its_contribution(name, layer):
    model, batch = network(name), images()
    found = unit_contributions(model, batch, layer)
    without = ablated_logits(model, batch, layer)
    torch.testing.assert_close(found.logits - (without[..., 1] - without[..., 0]), found.values.T, rtol=0, atol=1e-5)


def test_batches_of_named_inputs_are_taken():
    model, batch = network("small_resnet"), images()
    for function in (unit_contributions, ablated_logits):
        by_name, plain = (function(model, of, "features.layer4") for of in ({"image": batch}, batch))
        torch.testing.assert_close(by_name[0], plain[0])


def test_nothing_of_the_network_changes():
    model, batch = network("small_resnet").train(), images()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    unit_contributions(model, batch, "features.layer4")
    ablated_logits(model, batch, "features.layer4", [[0]])
    assert model.training and all(module.training for module in model.modules())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(weight.grad is None for weight in model.parameters())
    assert not any(module._forward_hooks for module in model.modules())


def broken(model):
    nn.init.constant_(model.classifier.weight, torch.nan)
    return model


@pytest.mark.parametrize("function", [unit_contributions, ablated_logits])
@pytest.mark.parametrize("layer, message", [("classifier", "not maps"), ("features.layer5", "has no layer")])
def test_layers_that_have_no_units_are_refused(function, layer, message):
    with pytest.raises(SettingsError, match=message):
        function(network("small_resnet"), images(), layer)


def test_what_cannot_be_explained_is_refused():
    model, batch = network("small_resnet"), images()
    with pytest.raises(SettingsError, match="classes 0 to 1"):
        unit_contributions(model, batch, "features.layer4", (2, 0))
    with pytest.raises(SettingsError, match="logits are not finite"):
        unit_contributions(broken(network("small_resnet")), batch, "features.layer4")
    with pytest.raises(SettingsError, match="units 0 to 127"):
        ablated_logits(model, batch, "features.layer4", [[128]])


@pytest.mark.parametrize("count", [1, 3])
def test_ablation_beside_a_residual_connection_is_refused(count):
    with pytest.raises(SettingsError, match="Choose a layer that everything passes through"):
        ablated_logits(network("small_resnet"), images(count), "features.layer4.0.conv2", [[0]])
