"""Three CAM libraries called alike: our map where no ReLU writes in place, and nothing left behind in the network."""

import pytest
import torch
from small_networks import densenet

from mdlib.explain import cam_libraries
from mdlib.explain.gradients import grad_cam

LAYER = "features.norm5"


@pytest.fixture
def model():
    return densenet()


@pytest.fixture
def image():
    return torch.rand(3, 1, 96, 96, dtype=torch.float64)


@pytest.mark.parametrize("library", cam_libraries.LIBRARIES)
def test_without_an_in_place_relu_every_library_gives_our_map(library, model, image):
    maps = cam_libraries.LIBRARIES[library](model, image, LAYER, [0, 7, 14])
    ours = grad_cam(model, image, LAYER, [0, 7, 14])
    expected = ours.clamp(min=0) if library == "torchcam" else ours
    torch.testing.assert_close(maps, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("library", cam_libraries.LIBRARIES)
def test_a_library_leaves_no_hook_and_no_gradient(library, model, image):
    cam_libraries.LIBRARIES[library](model, image, "features.transition2", [1])
    assert not any(module._forward_hooks or module._backward_hooks for module in model.modules())
    assert all(weight.grad is None for weight in model.parameters())


def test_scaled_maps_have_a_maximum_of_1_and_an_empty_map_stays_empty():
    maps = torch.tensor([[[-1.0, 2.0], [4.0, 0.0]], [[-1.0, -2.0], [-3.0, 0.0]]])
    assert cam_libraries.scaled(maps).tolist() == [[[0, 0.5], [1, 0]], [[0, 0], [0, 0]]]


def test_a_library_is_named_with_its_version():
    assert cam_libraries.with_version("captum").startswith("captum 0.")
