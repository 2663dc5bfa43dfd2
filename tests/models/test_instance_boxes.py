"""Boxes of instances: components against a flood fill, thresholds against their definitions, squares by their rules."""

import math

import numpy as np
import pytest
import torch

from mdlib.errors import DataError, SettingsError
from mdlib.models.instances import THRESHOLDS, component_boxes, otsu_threshold, squares

EXTENT = torch.tensor([[384, 512], [200, 300], [300, 200], [64, 64], [100, 1000], [77, 91]])


def components(lit):
    """8-connected components by flood fill: a list of lists of pixels."""
    seen, found = set(), []
    for start in zip(*np.nonzero(lit), strict=True):
        if start in seen:
            continue
        seen.add(start)
        stack, pixels = [start], []
        while stack:
            y, x = stack.pop()
            pixels.append((y, x))
            for near in [(y + a, x + b) for a in (-1, 0, 1) for b in (-1, 0, 1)]:
                if 0 <= near[0] < lit.shape[0] and 0 <= near[1] < lit.shape[1] and lit[near] and near not in seen:
                    seen.add(near)
                    stack.append(near)
        found.append(pixels)
    return found


def naive(values, extent, n, threshold, upsample, margin, min_cells):
    """The boxes of one map and how many were found, a component at a time, in pixels of the picture."""
    large = torch.nn.functional.interpolate(torch.tensor(values)[None, None], scale_factor=upsample, mode="bilinear")
    large = large[0, 0].numpy()
    parts = [part for part in components(large > threshold(large[None])[0]) if len(part) >= min_cells * upsample**2]
    parts.sort(key=lambda part: -sum(large[pixel] for pixel in part))
    boxes = []
    for part in parts[:n]:
        ends = [(min(p[axis] for p in part), max(p[axis] for p in part) + 1) for axis in (0, 1)]
        (top, bottom), (left, right) = ([end * extent[axis] / large.shape[axis] for end in ends[axis]]
                                        for axis in (0, 1))
        side = min(max(bottom - top, right - left) * (1 + 2 * margin), *extent)
        y, x = (top + bottom) / 2 - side / 2, (left + right) / 2 - side / 2
        y, x = min(max(y, 0), extent[0] - side), min(max(x, 0), extent[1] - side)
        boxes.append([y / extent[0], x / extent[1], (y + side) / extent[0], (x + side) / extent[1]])
    return boxes, len(boxes)


@pytest.fixture
def maps():
    torch.manual_seed(0)
    return torch.rand(6, 7, 9, dtype=torch.float64) ** 3


@pytest.mark.parametrize("threshold", THRESHOLDS)
@pytest.mark.parametrize("options", [{}, {"upsample": 1, "margin": 0}, {"min_cells": 3, "upsample": 2, "margin": 0.3}])
@pytest.mark.parametrize("n", [1, 4, 12])
def test_boxes_are_those_of_a_flood_fill(maps, n, options, threshold):
    found = component_boxes(maps, EXTENT, n, threshold=threshold, **options)
    assert found.boxes.shape == (6, n, 4) and found.boxes.dtype == torch.float32 and found.found.shape == (6, n)
    settings = {"upsample": 4, "margin": 0.1, "min_cells": 1, **options}
    for values, extent, boxes, there in zip(maps.numpy(), EXTENT.tolist(), *found, strict=True):
        expected, count = naive(values, extent, n, THRESHOLDS[threshold], **settings)
        assert there.tolist() == [i < count for i in range(n)]
        expected = [*expected, *[expected[0] if count else [0, 0, 1, 1]] * (n - count)]
        np.testing.assert_allclose(boxes.numpy(), expected, atol=1e-6)


def test_a_map_below_zero_gives_the_boxes_of_the_map_raised_to_zero(maps):
    raised = maps - maps.amin(dim=(1, 2), keepdim=True)
    for expected, found in zip(component_boxes(raised, EXTENT), component_boxes(raised - 2, EXTENT), strict=True):
        torch.testing.assert_close(found, expected)


def test_the_larger_of_two_components_below_zero_comes_first():
    values = torch.full((1, 8, 8), -3.0)
    values[0, 0:2, 0:2], values[0, 5:8, 5:8] = -1.0, -1.0
    first = component_boxes(values, EXTENT[3:4], n=2, threshold="mean", margin=0).boxes[0, 0]
    assert first[0] > 0.5 and first[2] == 1


def test_boxes_are_squares_of_pixels_inside_the_picture(maps):
    boxes = component_boxes(maps, EXTENT, 4).boxes.double()
    assert boxes.min() >= 0 and boxes.max() <= 1
    sides = (boxes[..., 2:] - boxes[..., :2]) * EXTENT[:, None]
    torch.testing.assert_close(sides[..., 0], sides[..., 1], rtol=1e-5, atol=1e-3)


def test_a_batch_is_its_maps_one_at_a_time(maps):
    together = component_boxes(maps, EXTENT)
    for i in range(len(maps)):
        alone = component_boxes(maps[i:i + 1], EXTENT[i:i + 1])
        assert all(torch.equal(part[0], whole[i]) for part, whole in zip(alone, together, strict=True))


def spots(*places, size=12):
    values = torch.zeros(1, size, size)
    for y, x, value in places:
        values[0, y:y + 2, x:x + 2] = value
    return values


def test_several_instances_are_found_and_the_strongest_comes_first():
    found = component_boxes(spots((1, 1, 0.5), (8, 2, 2.0), (5, 9, 1.0)), torch.tensor([[120, 120]]), margin=0)
    assert found.found.tolist() == [[True, True, True, False]]
    for box, (y, x) in zip(found.boxes[0].tolist(), [(8, 2), (5, 9), (1, 1), (8, 2)], strict=True):
        assert box == pytest.approx([y / 12, x / 12, (y + 2) / 12, (x + 2) / 12], abs=0.05)


def test_pixels_that_touch_at_a_corner_are_one_component():
    values = torch.zeros(1, 6, 6)
    values[0, 1, 1] = values[0, 2, 2] = 1
    found = component_boxes(values, torch.tensor([[60, 60]]), upsample=1, margin=0)
    assert found.found.sum() == 1
    torch.testing.assert_close(found.boxes[0, 0], torch.tensor([1, 1, 3, 3]) / 6)


def test_components_do_not_run_from_one_map_of_the_batch_into_the_next():
    values = torch.zeros(2, 5, 5)
    values[:, 2, 2] = 1
    assert component_boxes(values, EXTENT[:2]).found.sum(dim=1).tolist() == [1, 1]


@pytest.mark.parametrize("value", [0.0, 0.3, -2.0, 1e-12, 1e9])
def test_a_flat_map_has_the_whole_picture_and_says_so(value):
    values = torch.stack([torch.full((7, 7), value), spots((3, 3, 1.0), size=7)[0]])
    found = component_boxes(values, EXTENT[:2])
    assert found.found.tolist() == [[False] * 4, [True, False, False, False]]
    assert (found.boxes[0] == torch.tensor([0, 0, 1, 1])).all()


def test_a_map_that_is_flat_up_to_rounding_is_flat():
    values = 0.7 + 1e-8 * torch.rand(1, 7, 7, dtype=torch.float64)
    assert not component_boxes(values, EXTENT[:1]).found.any()


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_map_that_is_not_finite_is_refused(value, maps):
    maps[3, 2, 2] = value
    with pytest.raises(DataError, match="picture 3 of the batch: the attention map is not finite"):
        component_boxes(maps, EXTENT)


def test_what_makes_no_sense_is_named(maps):
    with pytest.raises(SettingsError, match="parameter n: is 0"):
        component_boxes(maps, EXTENT, 0)
    with pytest.raises(SettingsError, match="parameter threshold: unknown value 'median'"):
        component_boxes(maps, EXTENT, threshold="median")
    with pytest.raises(SettingsError, match="parameter maps: has shape"):
        component_boxes(maps[None], EXTENT)


def test_no_gradient_passes_through_the_boxes(maps):
    assert not component_boxes(maps.requires_grad_(), EXTENT).boxes.requires_grad


def test_otsu_separates_two_groups_best():
    chance = np.random.default_rng(0)
    maps = np.concatenate([chance.normal(1, 0.2, (3, 60)), chance.normal(3, 0.4, (3, 40))], axis=1).reshape(3, 10, 10)
    for values, threshold in zip(maps, otsu_threshold(maps), strict=True):
        flat = values.ravel()

        def between(t, flat=flat):
            low, high = flat[flat <= t], flat[flat > t]
            return len(low) * len(high) * (low.mean() - high.mean()) ** 2
        best = max(between(t) for t in np.sort(flat)[:-1])
        assert between(threshold) == pytest.approx(best, rel=0.01)


def test_otsu_of_a_flat_map_is_its_value():
    assert otsu_threshold(np.full((1, 4, 4), 0.3))[0] == 0.3


def test_a_box_wider_than_the_picture_is_high_becomes_as_large_as_fits():
    found = squares(np.array([[[0.4, 0.1], [0.6, 0.9]]]), np.array([[100, 1000]]), 0.1)
    np.testing.assert_allclose(found, [[0, 0.45, 1, 0.55]])
