"""Gradient x input of Li et al., appendix C: its sum by hand, its sign, Captum's, and bags of several slices."""

import pytest
import torch
from captum.attr import LayerGradientXActivation
from torch import nn

from mdlib.errors import SettingsError
from mdlib.explain.gradients import grad_cam_maps, gradient_times_input_maps
from mdlib.models.attention_densenet import att_a
from mdlib.models.backbones import densenet121, resnet50

SMALL = dict(growth=8, blocks=(2, 4, 4, 2), stem=16)
SMALL_RESNET = dict(layers=(1, 1, 1, 1), width=8)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


class Bags(nn.Module):
    """A logit a bag: the largest value of each channel over a bag's slices and positions, then a linear layer."""

    def __init__(self):
        super().__init__()
        self.input, self.features, self.head = nn.Identity(), nn.Conv2d(1, 4, 3), nn.Linear(4, 2)
        self.double()

    def forward(self, bag, sizes):
        highest = self.features(self.input(bag)).amax(dim=(2, 3))
        return {"logits": self.head(torch.stack([of.amax(dim=0) for of in highest.split(sizes.tolist())]))}


BAGS = {"sizes": torch.tensor([3, 1, 2])}


def naive_contributions(tail, x, c, step=1e-6):
    """The sum of appendix C as printed, for one image; d by central differences of the score."""
    channels, h, w = x.shape
    T = torch.zeros(h, w, dtype=torch.float64)
    for i in range(channels):
        for row in range(h):
            for column in range(w):
                up, down = x.clone(), x.clone()
                up[i, row, column] += step
                down[i, row, column] -= step
                d = (tail(up[None])[0, c] - tail(down[None])[0, c]) / (2 * step)
                T[row, column] += d * x[i, row, column]
    return T


def test_a_map_is_the_sum_of_gradient_times_input_over_channels():
    model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.Tanh(), nn.Conv2d(3, 2, 2), nn.Tanh(), nn.AdaptiveAvgPool2d(1),
                          nn.Flatten()).double()
    picture = torch.randn(2, 1, 6, 6).double()
    maps = gradient_times_input_maps(model, picture, "0").values
    with torch.no_grad():
        x = model[0](picture)
        expected = torch.stack([torch.stack([naive_contributions(model[1:], of, c) for c in range(2)]) for of in x])
    torch.testing.assert_close(maps, expected, rtol=0, atol=1e-8)


def test_the_loss_of_minus_one_taken_literally_gives_the_negative():
    model, picture = resnet50(**SMALL_RESNET).eval(), torch.rand(2, 1, 64, 64)
    maps = gradient_times_input_maps(model, picture, "features.layer3", [4]).values[:, 0]
    x = model.features[:-1](model.input(picture)).detach().requires_grad_()
    loss = -model.classifier(model.features.layer4(x).mean(dim=(2, 3)))[:, 4].sum()
    (d,) = torch.autograd.grad(loss, x)
    torch.testing.assert_close((d * x).sum(dim=1), -maps)


@pytest.mark.parametrize("layer", ["features", "input"])
def test_maps_of_a_linear_network_sum_to_the_logit_less_its_bias(layer):
    model = nn.ModuleDict({"input": nn.Identity(), "features": nn.Conv2d(1, 5, 3, bias=False)}).double()
    head = nn.Linear(5 * 16, 3).double()
    model.forward = lambda x: head(model["features"](model["input"](x)).flatten(1))
    maps = gradient_times_input_maps(model, torch.randn(4, 1, 6, 6).double(), layer)
    torch.testing.assert_close(maps.values.sum(dim=(2, 3)), maps.logits - head.bias)


@pytest.mark.parametrize("build, layer", [
    (lambda: densenet121(**SMALL), "features.transition2"), (lambda: densenet121(**SMALL), "features.norm5"),
    (lambda: att_a(**SMALL), "features.transition3"), (lambda: resnet50(**SMALL_RESNET), "features.layer3"),
    (lambda: resnet50(**SMALL_RESNET), "features.layer4"), (lambda: resnet50(**SMALL_RESNET), "input")])
def test_all_classes_of_a_batch_equal_captums_one_class_at_a_time(build, layer):
    model, picture = build().eval(), torch.rand(3, 1, 64, 64)
    maps = gradient_times_input_maps(model, picture, layer).values
    captum = LayerGradientXActivation(lambda x: model(x)["logits"], model.get_submodule(layer))
    for c in (0, 7, 14):
        expected = captum.attribute(picture, target=c).sum(dim=1)
        assert maps[:, c].shape == expected.shape
        assert (maps[:, c] - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_every_slice_of_a_bag_has_a_map_and_they_sum_to_the_logit_of_their_bag_less_its_bias():
    model, batch = Bags(), BAGS | {"bag": torch.randn(6, 1, 6, 6).double()}
    maps = gradient_times_input_maps(model, batch, "features")
    assert maps.values.shape == (6, 2, 4, 4) and maps.signal.shape == (6, 2) and maps.logits.shape == (3, 2)
    sums = torch.stack([of.sum(dim=0) for of in maps.values.sum(dim=(2, 3)).split([3, 1, 2])])
    torch.testing.assert_close(sums, maps.logits - model.head.bias)
    alone = gradient_times_input_maps(model, {"bag": batch["bag"][4:], "sizes": torch.tensor([2])}, "features")
    assert torch.equal(alone.values, maps.values[4:]) and torch.equal(alone.signal, maps.signal[4:])


@pytest.mark.parametrize("explain", [gradient_times_input_maps, grad_cam_maps])
@pytest.mark.parametrize("layer", ["features", "input"])
def test_a_slice_that_wins_nothing_has_no_signal(explain, layer):
    bag, model = torch.rand(6, 1, 6, 6).double(), Bags()
    model.features.weight.data.abs_()
    bag[1:3] *= 0.01                    # all weights are positive, so the dark slices win nowhere
    maps = explain(model, BAGS | {"bag": bag}, layer)
    assert maps.signal[:4].tolist() == [[True] * 2, [False] * 2, [False] * 2, [True] * 2]
    assert not maps.values[1:3].any()


def test_the_signal_of_a_slice_is_measured_against_the_logit_of_its_own_bag():
    model, bag = Bags(), torch.rand(6, 1, 6, 6).double()
    model.features.weight.data.abs_()
    bag[3] *= 1e12                      # a bag whose rounding is above everything the others have
    maps = gradient_times_input_maps(model, BAGS | {"bag": bag}, "features")
    assert maps.logits[1].abs().min() > 1e9 * maps.logits[[0, 2]].abs().max()
    assert maps.signal[:3].any() and maps.signal[3].all() and maps.signal[4:].any()


def test_bags_whose_slices_are_not_counted_are_refused():
    class Pairs(Bags):
        def forward(self, bag):
            return super().forward(bag, torch.tensor([2, 2]))
    with pytest.raises(SettingsError, match="parameter batch: 4 maps for 2 rows of logits"):
        gradient_times_input_maps(Pairs(), torch.rand(4, 1, 6, 6).double(), "features")
