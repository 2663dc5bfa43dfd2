"""Explanations at the pixels, against a network whose attributions are known."""

import numpy as np
import pytest
import torch
from torch import nn

from mdlib.explain import input_attribution
from mdlib.explain.gradients import grad_cam_maps
from mdlib.explain.targets import ClassPerImage

pytest.importorskip("captum")
CLASSES = 3


class Linear(nn.Module):
    """Logits that are linear in the pixels, so that every attribution is known in closed form."""

    def __init__(self, side=16):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(CLASSES, 1, side, side, generator=torch.Generator().manual_seed(0)))

    def forward(self, image):
        return {"logits": torch.einsum("bchw,kchw->bk", image, self.weight)}


@pytest.fixture
def images():
    return torch.rand(2, 1, 16, 16, generator=torch.Generator().manual_seed(1))


def test_gradient_times_input_of_a_linear_network_is_what_each_pixel_adds_averaged_over_cells(images):
    model = Linear()
    found = input_attribution.gradient_times_input_maps(model, images, cell=4).values
    adds = (model.weight[:, 0] * images).detach().reshape(2, CLASSES, 4, 4, 4, 4).mean(dim=(3, 5))
    torch.testing.assert_close(found, adds, rtol=1e-4, atol=1e-6)


def test_integrated_gradients_of_a_linear_network_are_its_weights_times_the_way_from_the_blurred_image(images):
    model = Linear()
    found = input_attribution.integrated_gradients_maps(model, images, cell=1)
    expected = model.weight[:, 0] * (images - input_attribution.blurred(images))
    torch.testing.assert_close(found.values, expected.detach(), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(found.logits, model(images)["logits"].detach())


def test_integrated_gradients_sum_to_what_the_logit_gains_over_the_blurred_image(images):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Softplus(), nn.Flatten(), nn.Linear(4 * 14 * 14, CLASSES))
    found = input_attribution.integrated_gradients_maps(model, images, n_steps=64, cell=1)
    gain = model(images) - model(input_attribution.blurred(images))
    torch.testing.assert_close(found.values.sum(dim=(2, 3)), gain.detach(), rtol=1e-3, atol=1e-4)


def test_smoothed_gradients_of_a_linear_network_are_its_absolute_weights(images):
    model = Linear()
    found = input_attribution.smooth_grad_maps(model, images, [2, 0], cell=1)
    expected = model.weight[[2, 0], 0].abs().detach().expand(2, 2, 16, 16)
    torch.testing.assert_close(found.values, expected, rtol=1e-4, atol=1e-6)


def test_occlusion_of_a_linear_network_is_what_each_window_adds(images):
    model = Linear()
    found = input_attribution.occlusion_maps(model, images, [1], window=4, stride=4, cell=4).values[:, 0].numpy()
    gain = (model.weight[1, 0] * (images - input_attribution.blurred(images))[:, 0]).detach().numpy()
    windows = gain.reshape(2, 4, 4, 4, 4).sum(axis=(2, 4))
    np.testing.assert_allclose(found, windows, rtol=1e-3, atol=1e-5)


def convolutional():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.Softplus(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                         nn.Linear(4, CLASSES))


ALL = pytest.mark.parametrize("explainer", [
    input_attribution.gradient_times_input_maps, input_attribution.integrated_gradients_maps,
    input_attribution.smooth_grad_maps, input_attribution.occlusion_maps])


@ALL
def test_the_map_of_a_class_depends_on_no_other_class_and_on_no_mode_of_torch(images, explainer):
    model = convolutional()
    every = explainer(model, images).values
    with torch.inference_mode():
        one = explainer(model, images.clone(), [2]).values
    torch.testing.assert_close(one[:, 0], every[:, 2])


def test_all_pixels_are_in_a_cell_whatever_the_size_of_the_image():
    images, model = torch.rand(1, 1, 19, 16, generator=torch.Generator().manual_seed(1)), convolutional()
    whole = input_attribution.gradient_times_input_maps(model, images, cell=1).values
    found = input_attribution.gradient_times_input_maps(model, images, cell=8).values
    assert found.shape[2:] == (2, 2)
    torch.testing.assert_close(found[..., 1, 1], whole[..., 9:, 8:].mean(dim=(2, 3)))
    assert input_attribution.gradient_times_input_maps(model, images, cell=32).values.shape[2:] == (1, 1)


@ALL
def test_one_class_per_image_gives_the_map_of_that_class_and_the_random_numbers_go_on_as_before(images, explainer):
    model, state = Linear(), torch.random.get_rng_state()
    every = explainer(model, images, cell=4)
    batch = {"image": images, "class_index": torch.tensor([2, 0])}
    own = explainer(ClassPerImage(model), batch, cell=4)
    torch.testing.assert_close(own.values[:, 0], every.values[[0, 1], [2, 0]])
    assert every.values.shape == (2, CLASSES, 4, 4) and every.signal.all()
    assert torch.equal(torch.random.get_rng_state(), state)


def test_layers_have_their_own_names_where_one_class_per_image_is_explained(images):
    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.features = convolutional()

        def forward(self, image):
            return {"logits": self.features(image)}

    batch = {"image": images, "class_index": torch.tensor([1, 1])}
    own, every = (grad_cam_maps(*asked, "features.0") for asked in ((ClassPerImage(Named()), batch), (Named(), images)))
    torch.testing.assert_close(own.values[:, 0], every.values[:, 1])
