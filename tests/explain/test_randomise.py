"""A network loses its training part by part and has it again afterwards."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from mdlib.errors import SettingsError
from mdlib.evaluate.correlation import spearman
from mdlib.explain.randomise import parts, randomised
from mdlib.models.attention_densenet import att_a
from mdlib.models.backbones import densenet121

SMALL = {"growth": 4, "blocks": (1, 1, 1, 1), "stem": 8}


def state(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


@pytest.fixture
def pair():
    torch.manual_seed(0)
    return att_a(3, **SMALL), att_a(3, **SMALL)


def test_parts_are_named_from_the_last_to_the_first():
    assert parts(att_a(3, **SMALL)) == ["classifier", "attention", *(f"features.{name}" for name in (
        "norm5", "denseblock4", "transition3", "denseblock3", "transition2", "denseblock2", "transition1",
        "denseblock1", "norm0", "conv0"))]
    assert parts(densenet121(3, **SMALL))[:2] == ["classifier", "features.norm5"]


def test_each_step_makes_one_more_part_fresh_and_leaves_the_rest(pair):
    model, fresh = pair
    fresh(torch.rand(4, 1, 32, 32))     # its batch norm has other statistics, too
    own, other = state(model), state(fresh)
    gone = []
    with randomised(model, fresh, parts(model)) as steps:
        for name in steps:
            gone.append(f"{name}.")
            for key, value in model.state_dict().items():
                torch.testing.assert_close(value, (other if key.startswith(tuple(gone)) else own)[key], rtol=0, atol=0)
    assert len(gone) == 12


@pytest.mark.parametrize("stop", [0, 1, 12])
def test_the_training_is_back_afterwards_also_after_an_error(pair, stop):
    model, fresh = pair
    own, start = state(model), state(fresh)
    with pytest.raises(ZeroDivisionError), randomised(model, fresh, parts(model)) as steps:
        for _, _name in zip(range(stop), steps, strict=False):
            pass
        raise ZeroDivisionError
    for before, network in ((own, model), (start, fresh)):
        for name, value in network.state_dict().items():
            torch.testing.assert_close(value, before[name], rtol=0, atol=0)


def test_the_logits_are_those_of_the_fresh_network_in_the_end(pair):
    model, fresh = (network.eval() for network in pair)
    image = torch.rand(2, 1, 32, 32)
    with torch.no_grad(), randomised(model, fresh, parts(model)) as steps:
        assert not torch.equal(model(image)["logits"], fresh(image)["logits"])
        list(steps)
        torch.testing.assert_close(model(image)["logits"], fresh(image)["logits"], rtol=0, atol=0)


def test_what_does_not_fit_is_named(pair):
    model, fresh = pair
    with pytest.raises(SettingsError, match="no layer"), randomised(model, fresh, ["features.conv9"]):
        pass
    with pytest.raises(SettingsError, match=r"classifier\.linear"), randomised(model, att_a(4, **SMALL), ["features"]):
        pass


def test_quantus_randomises_the_same_layers_to_the_same_correlations(quantus):
    """Its MPRT on the gradient of a small network: we are given the weights that it draws."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(144, 8), nn.Tanh(), nn.Linear(8, 3))
    model = model.double().eval()
    images, own = np.random.default_rng(0).standard_normal((4, 1, 8, 8)), np.array([0, 1, 2, 1])

    def gradient(model, inputs, targets, **_):
        image = torch.as_tensor(inputs, dtype=torch.float64).requires_grad_()
        model(image).gather(1, torch.as_tensor(targets)[:, None]).sum().backward()
        return image.grad.numpy()
    before = gradient(model, images, own)
    metric = quantus.MPRT(abs=False, normalise=False, disable_warnings=True, seed=5)
    theirs = metric(model=model, x_batch=images, y_batch=own, a_batch=before, explain_func=gradient, device="cpu")

    fresh = copy.deepcopy(model)
    for name in parts(model):
        torch.manual_seed(6)        # Quantus gives each layer its seed + 1
        fresh.get_submodule(name).reset_parameters()
    with randomised(model, fresh, parts(model)) as steps:
        ours = {name: spearman(before[:, 0], gradient(model, images, own)[:, 0], axes=2) for name in steps}
    assert list(ours) == list(theirs)[1:]
    for name, values in ours.items():
        np.testing.assert_allclose(values, theirs[name], rtol=1e-9)
