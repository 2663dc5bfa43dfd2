"""Hooks read and replace what a layer puts out, and none stays behind."""

import pytest
import torch
from torch import nn

from mdlib.errors import SettingsError
from mdlib.explain.hooks import find_layer, recorded, replaced


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.ReLU(inplace=True), nn.Linear(4, 2))


def hooks(model):
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) + len(m._backward_hooks) for m in model.modules())


def test_a_recorded_output_is_what_the_layer_gave_not_what_the_relu_behind_it_made_of_it(model):
    x = torch.randn(5, 3)
    with recorded(model, "0", "2") as outputs:
        answer = model(x)
    torch.testing.assert_close(outputs["0"], x @ model[0].weight.T + model[0].bias)
    assert outputs["0"].min() < 0 and not outputs["0"].requires_grad
    assert torch.equal(outputs["2"], answer)


def test_a_replaced_output_is_what_the_next_layer_sees(model):
    x, other = torch.randn(5, 3), torch.randn(5, 4)
    with replaced(model, model[1], lambda output: other):
        torch.testing.assert_close(model(x), model[2](other))


@pytest.mark.parametrize("use", [lambda m: recorded(m, "0", "1"), lambda m: replaced(m, "0", torch.tanh)])
def test_no_hook_stays_behind(model, use):
    before = model(torch.ones(1, 3))
    with use(model):
        assert hooks(model) > 0
    assert hooks(model) == 0
    with pytest.raises(KeyboardInterrupt), use(model):
        raise KeyboardInterrupt
    assert hooks(model) == 0
    assert torch.equal(model(torch.ones(1, 3)), before)


def test_no_hook_stays_behind_when_the_second_layer_does_not_exist(model):
    with pytest.raises(SettingsError, match="Sequential has no layer '7'"), recorded(model, "0", "7"):
        pass
    assert hooks(model) == 0


def test_a_layer_is_found_by_name_or_as_itself(model):
    assert find_layer(model, "2") == find_layer(model, model[2]) == ("2", model[2])
    with pytest.raises(SettingsError, match="this Linear is no part of Sequential"):
        find_layer(model, nn.Linear(1, 1))


def test_a_misspelt_layer_is_answered_with_its_neighbours():
    model = nn.ModuleDict({"features": nn.ModuleDict({"norm5": nn.BatchNorm2d(1)})})
    with pytest.raises(SettingsError, match=r"no layer 'features.norm_5'. Perhaps features.norm5"):
        find_layer(model, "features.norm_5")
