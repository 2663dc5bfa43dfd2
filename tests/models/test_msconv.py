"""Eq. 1 of Li et al. against loops in float64, and the shapes that follow from the published image sizes."""

import math

import numpy as np
import pytest
import torch

from mdlib.errors import SettingsError
from mdlib.models.msconv import Magnitude, MSConv, Primary, resize


def bilinear(x, height, width):
    """(C, h, w) -> (C, height, width): each new pixel's centre, mapped back, between its four neighbours."""
    out = np.zeros((len(x), height, width))
    for i in range(height):
        for j in range(width):
            v = min(max((i + 0.5) * x.shape[1] / height - 0.5, 0), x.shape[1] - 1)
            u = min(max((j + 0.5) * x.shape[2] / width - 0.5, 0), x.shape[2] - 1)
            top, left = int(v), int(u)
            bottom, right = min(top + 1, x.shape[1] - 1), min(left + 1, x.shape[2] - 1)
            above = (1 - (u - left)) * x[:, top, left] + (u - left) * x[:, top, right]
            below = (1 - (u - left)) * x[:, bottom, left] + (u - left) * x[:, bottom, right]
            out[:, i, j] = (1 - (v - top)) * above + (v - top) * below
    return out


def convolve(x, kernel, dilation):
    """(C, h, w) and (n, C, s, s) -> (n, h', w'), where the kernel fits."""
    span = (kernel.shape[-1] - 1) * dilation + 1
    out = np.zeros((len(kernel), x.shape[1] - span + 1, x.shape[2] - span + 1))
    for n in range(len(kernel)):
        for i in range(out.shape[1]):
            for j in range(out.shape[2]):
                out[n, i, j] = (kernel[n] * x[:, i:i + span:dilation, j:j + span:dilation]).sum()
    return out


def eq_1(x, layer, training):
    """y_ij = sw_ij BN_ij(F_j(Resize_i(x))), channel by channel; x (S, C, h, w)."""
    groups = []
    for kernel, norms in zip(layer.kernels, layer.magnitude, strict=True):
        pathways = [(scale, dilation) for scale in layer.scales for dilation in layer.dilations]
        group = []
        for (scale, dilation), norm in zip(pathways, norms, strict=True):
            size = [math.floor(length * scale) for length in x.shape[2:]]
            y = np.stack([convolve(bilinear(image, *size), kernel.weight.detach().numpy(), dilation) for image in x])
            for j in range(y.shape[1]) if isinstance(norm, Magnitude) else ():
                mean, var = norm.norm.running_mean[j].item(), norm.norm.running_var[j].item()
                if training:
                    mean, var = y[:, j].mean(), y[:, j].var()
                gamma, beta, sw = (part[j].item() for part in (norm.norm.weight, norm.norm.bias, norm.sw))
                y[:, j] = sw * (gamma * (y[:, j] - mean) / math.sqrt(var + 1e-5) + beta)
            group.append(y)
        groups.append(group)
    return groups


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("options", [
    dict(kernels={2: 2, 3: 3}), dict(kernels={1: 2, 2: 1}, normalise=False),
    dict(kernels={3: 2}, scales=(1,), dilations=(1, 2, 3)), dict(kernels={2: 2}, scales=(2, 0.4), dilations=(1, 2))])
def test_secondary_maps_are_eq_1_computed_by_loops(options, training):
    torch.manual_seed(0)
    layer = MSConv(3, **options).double().train(training)
    for name, value in [*layer.named_parameters(), *layer.named_buffers()]:
        if "magnitude" in name and "num_batches" not in name:
            value.data.uniform_(0.5, 2)
    x = torch.randn(3, 3, 8, 11, dtype=torch.float64)
    expected = eq_1(x.numpy(), layer, training)
    for ours, theirs in zip(layer([x]), expected, strict=True):
        for y, truth in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(y.detach().numpy(), truth, rtol=0, atol=1e-12)


OCT, MMD, CRC = {2: 8, 3: 10}, {2: 10, 3: 10}, {1: 20, 2: 40}


@pytest.mark.parametrize("kernels, size, resized", [
    (OCT, (16, 32), [(8, 16), (12, 24), (16, 32)]), (OCT, (16, 24), [(8, 12), (12, 18), (16, 24)]),
    (MMD, (19, 29), [(9, 14), (14, 21), (19, 29)]), (CRC, (7, 7), [(3, 3), (5, 5), (7, 7)])])
def test_maps_of_the_published_images_have_these_sizes(kernels, size, resized):
    groups = MSConv(4, kernels)([torch.randn(2, 4, *size)])
    for (kernel, channels), maps in zip(kernels.items(), groups, strict=True):
        assert [tuple(y.shape) for y in maps] == [(2, channels, h - kernel + 1, w - kernel + 1) for h, w in resized]


def test_the_layer_is_shared_by_all_scales_and_each_scale_has_its_own_magnitude():
    names = {name: value.shape for name, value in MSConv(4, {2: 5, 3: 7}).named_parameters()}
    assert names["kernels.0.weight"] == (5, 4, 2, 2) and names["kernels.1.weight"] == (7, 4, 3, 3)
    assert sum(name.startswith("kernels") for name in names) == 2
    assert sum(name.endswith("sw") for name in names) == 6


def test_a_pyramid_of_images_takes_one_magnitude_a_scale_and_is_not_resized_again():
    layer = MSConv(4, {2: 5}, scales=(1,), inputs=3)
    (maps,) = layer([torch.randn(2, 4, n, n) for n in (4, 6, 8)])
    assert [y.shape[-1] for y in maps] == [3, 5, 7] and len(layer.magnitude[0]) == 3
    maps = [torch.randn(2, 4, 3, 3)]
    assert Primary(4)(maps) == [maps]


def test_padding_keeps_the_size_of_kernel_3():
    (maps,) = MSConv(4, {3: 2}, scales=(1,), padding=1)([torch.randn(2, 4, 5, 6)])
    assert maps[0].shape == (2, 2, 5, 6)


def test_a_map_smaller_than_the_kernel_is_named_with_its_size_and_scale():
    with pytest.raises(SettingsError, match=r"maps of 2 x 4 \(at scale 0.5\) .* spans 3 x 3"):
        MSConv(4, OCT)([torch.randn(2, 4, 4, 8)])
    with pytest.raises(SettingsError, match=r"maps of 6 x 6 \(at scale 1\) .* spans 7 x 7"):
        MSConv(4, {3: 2}, scales=(1,), dilations=(1, 2, 3))([torch.randn(2, 4, 6, 6)])


def test_scale_one_is_the_map_itself_and_no_map_vanishes():
    x = torch.randn(1, 2, 5, 3)
    assert resize(x, 1) is x
    assert resize(x, 0.1).shape == (1, 2, 1, 1)
