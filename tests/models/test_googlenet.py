"""GoogLeNet against torchvision's own."""

import pytest
import torch
import torchvision

from mdlib.errors import SettingsError
from mdlib.models.googlenet import googlenet

MEAN, STD = (0.7, 0.4, 0.6), (0.2, 0.25, 0.125)


def theirs(classes):
    return torchvision.models.googlenet(num_classes=classes, aux_logits=False, init_weights=False)


def weights(model):
    return sum(weight.numel() for weight in model.parameters())


@pytest.mark.parametrize("classes", [4, 1000])
def test_number_of_weights_is_torchvisions(classes):
    with torch.device("meta"):
        assert weights(googlenet(classes)) == weights(theirs(classes)) == 5_599_904 + 1025 * classes


@torch.no_grad()
def test_it_is_torchvisions_with_the_same_weights():
    torch.manual_seed(0)
    their, our = theirs(4), googlenet(4, mean=MEAN, std=STD)
    for layer in their.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.running_mean.normal_(0, 0.1)
            layer.running_var.uniform_(0.5, 2)
    stored = their.state_dict()
    our.classifier.load_state_dict({"weight": stored.pop("fc.weight"), "bias": stored.pop("fc.bias")})
    missing, unexpected = our.features.load_state_dict(stored, strict=False)
    assert missing == ["input.mean", "input.std"] and not unexpected
    for size in (224, 65):
        image = torch.rand(2, 3, size, size)
        expected = their.eval()(torchvision.transforms.functional.normalize(image, MEAN, STD))
        torch.testing.assert_close(our.eval()(image)["logits"], expected)


def test_shape_of_the_last_map():
    with torch.device("meta"):
        model = googlenet(4)
        out = model(torch.empty(2, 3, 224, 224))
    assert out["features"].shape == (2, 1024, 7, 7) and model.channels == 1024


@pytest.mark.parametrize("width", [0.01, 0.25])
@pytest.mark.parametrize("size", [32, 48, 96])
def test_a_narrow_one_goes_forward_and_backward(width, size):
    torch.manual_seed(0)
    model = googlenet(4, width=width)
    out = model(torch.rand(4, 3, size, size))
    assert out["logits"].shape == (4, 4) and out["features"].shape[:2] == (4, model.channels)
    assert model.channels == {0.01: 4 + 4 + 1 + 1, 0.25: 256}[width]
    out["logits"].square().sum().backward()
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in model.parameters())


@pytest.mark.parametrize("width", [0, -1, float("nan")])
def test_a_width_that_makes_no_sense_is_refused(width):
    with pytest.raises(SettingsError, match="no share of the channels"):
        googlenet(4, width=width)
