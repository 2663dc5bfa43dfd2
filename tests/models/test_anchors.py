"""Anchors of NTS-Net: how many there are, how they score, and non-maximum suppression against torchvision's."""

import math

import numpy as np
import pytest
import torch
from torchvision.ops import nms

from mdlib.errors import DataError, SettingsError
from mdlib.models.anchors import anchor_boxes, anchors, suppress

EXTENT = torch.tensor([[384, 512]] * 5)


@pytest.fixture
def maps():
    torch.manual_seed(0)
    return torch.rand(5, 7, 9, dtype=torch.float64) ** 3


def test_there_are_as_many_as_in_nts_net():
    boxes = anchors()
    assert boxes.shape == (1614, 4) == (14 * 14 * 6 + 7 * 7 * 6 + 4 * 4 * 9, 4)
    assert boxes.min() == 0 and boxes.max() == 1 and (boxes[:, :2] < boxes[:, 2:]).all()
    inner = boxes[((boxes > 0) & (boxes < 1)).all(axis=1)]
    areas = 448**2 * (inner[:, 2:] - inner[:, :2]).prod(axis=1)
    assert set(np.sqrt(areas).round().astype(int)) == {60, 76, 121, 152, 192, 242, 305}


def naive_score(values, box):
    """What a map has above its mean in a box, cell by cell, over the root of the box's area in cells."""
    height, width = len(values), len(values[0])
    mean, total = sum(map(sum, values)) / (height * width), 0.0
    top, left, bottom, right = box[0] * height, box[1] * width, box[2] * height, box[3] * width
    for y in range(int(top), math.ceil(bottom)):
        for x in range(int(left), math.ceil(right)):
            share = (min(bottom, y + 1) - max(top, y)) * (min(right, x + 1) - max(left, x))
            total += (values[y][x] - mean) * share
    return total / math.sqrt((bottom - top) * (right - left))


def test_the_boxes_are_those_that_torchvision_keeps(maps):
    found = anchor_boxes(maps[:2], EXTENT[:2])
    boxes = anchors()
    for values, chosen, there in zip(maps.tolist(), *found, strict=False):
        scores = np.array([naive_score(values, box) for box in boxes.tolist()])
        kept = nms(torch.tensor(boxes[:, [1, 0, 3, 2]]), torch.tensor(scores), 0.25)[:4].numpy()
        assert there.all() and (scores[kept] > 0).all()
        np.testing.assert_allclose(chosen, boxes[kept], atol=1e-6)


@pytest.mark.parametrize("iou", [0.1, 0.25, 0.6])
def test_suppression_is_torchvisions(iou):
    chance = np.random.default_rng(0)
    boxes = np.sort(chance.random((40, 2, 2)), axis=1).reshape(40, 4)
    scores = chance.standard_normal((6, 40))
    found = suppress(scores, boxes, 5, iou)
    for row, chosen, there in zip(scores, *found, strict=True):
        kept = nms(torch.tensor(boxes[:, [1, 0, 3, 2]]), torch.tensor(row), iou)[:5].numpy()
        np.testing.assert_allclose(chosen[:len(kept)], boxes[kept], atol=1e-6)
        assert there.tolist() == [i < len(kept) for i in range(5)]
        assert (chosen[len(kept):] == chosen[0]).all()


def test_it_finds_the_spots_of_a_map():
    values = torch.zeros(1, 14, 14)
    for y, x in ((2, 2), (2, 10), (10, 6)):
        values[0, y:y + 3, x:x + 3] = 1
    found = anchor_boxes(values, EXTENT[:1], 3)
    middles = (found.boxes[0, :, :2] + found.boxes[0, :, 2:]) / 2 * 14
    assert found.found.all()
    assert {tuple(m) for m in middles.round(decimals=3).tolist()} == {(3.5, 3.5), (3.5, 11.5), (11.5, 7.5)}


def test_a_flat_map_has_the_whole_picture_and_one_that_is_not_finite_is_refused(maps):
    maps[2] = 0.3
    found = anchor_boxes(maps, EXTENT)
    assert found.found.all(dim=1).tolist() == [True, True, False, True, True] and not found.found[2].any()
    assert (found.boxes[2] == torch.tensor([0, 0, 1, 1])).all()
    maps[4, 0, 0] = torch.nan
    with pytest.raises(DataError, match="picture 4 of the batch"):
        anchor_boxes(maps, EXTENT)
    with pytest.raises(SettingsError, match="parameter n"):
        anchor_boxes(maps, EXTENT, 0)
