"""Crops against antialiased bilinear resizing in float64, one output pixel at a time."""

import numpy as np
import pytest
import torch

from mdlib.errors import DataError, SettingsError
from mdlib.models.crops import crops


def weights(length, size):
    """The triangle filter of each output pixel over a line of input pixels, (size, length), widened when it shrinks."""
    scale = length / size
    support = max(scale, 1.0)
    rows = np.zeros((size, length))
    for i in range(size):
        centre = (i + 0.5) * scale
        for j in range(length):
            rows[i, j] = max(0.0, 1 - abs((j + 0.5 - centre) / support))
        rows[i] /= rows[i].sum()
    return rows


def naive(picture, extent, box, size):
    """One crop of one picture, in float64 grey levels."""
    top, left, bottom, right = (round(edge * side) for edge, side in zip(box, [*extent, *extent], strict=True))
    window = picture[:, top:bottom, left:right].astype(np.float64)
    return np.stack([weights(bottom - top, size) @ channel @ weights(right - left, size).T for channel in window])


BOXES = [[[0, 0, 1, 1], [0.1, 0.2, 0.4, 0.7], [0.5, 0.5, 0.55, 0.57]],
         [[0.25, 0, 0.75, 1], [0.9, 0.9, 1, 1], [0.3, 0.31, 0.8, 0.62]]]


@pytest.fixture
def drawn():
    chance = np.random.default_rng(0)
    return torch.from_numpy(chance.integers(0, 256, (2, 3, 97, 131), dtype=np.uint8)), torch.tensor([[97, 100],
                                                                                                      [80, 131]])


@pytest.mark.parametrize("size", [8, 16, 40])
def test_crops_of_bytes_are_within_one_grey_level_of_float64(drawn, size):
    picture, extent = drawn
    found = crops(picture, extent, torch.tensor(BOXES), size)
    assert found.shape == (2, 3, 3, size, size) and found.dtype == torch.float32
    for b in range(2):
        for i in range(3):
            expected = naive(picture[b].numpy(), extent[b].tolist(), BOXES[b][i], size)
            levels = (255 * found[b, i].double().numpy()).round()
            assert np.abs(levels - expected.round()).max() <= 1 and np.abs(levels - expected).mean() < 0.4


def test_crops_of_numbers_are_float64s(drawn):
    picture, extent = drawn
    found = crops(picture.double() / 255, extent, torch.tensor(BOXES), 16)
    expected = [[naive(picture[b].numpy(), extent[b].tolist(), box, 16) / 255 for box in BOXES[b]] for b in range(2)]
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-12)


def test_how_the_picture_lies_in_memory_does_not_matter(drawn):
    picture, extent = drawn
    last = picture.contiguous(memory_format=torch.channels_last)
    assert torch.equal(crops(last, extent, torch.tensor(BOXES), 16), crops(picture, extent, torch.tensor(BOXES), 16))


def test_the_padding_is_never_seen(drawn):
    picture, extent = drawn
    other = picture.clone()
    other[0, :, :, 100:], other[1, :, 80:] = 255, 0
    assert torch.equal(crops(picture, extent, torch.tensor(BOXES), 16), crops(other, extent, torch.tensor(BOXES), 16))


def test_a_window_of_the_size_of_a_crop_is_the_picture_itself(drawn):
    picture, extent = drawn
    box = torch.tensor([[[10 / 97, 20 / 100, 42 / 97, 52 / 100]], [[0, 0, 32 / 80, 32 / 131]]])
    found = (255 * crops(picture, extent, box, 32)).round().byte()
    assert torch.equal(found[0, 0], picture[0, :, 10:42, 20:52]) and torch.equal(found[1, 0], picture[1, :, :32, :32])


def test_a_box_of_less_than_a_pixel_is_a_pixel(drawn):
    picture, extent = drawn
    found = crops(picture, extent, torch.tensor([[[0.5, 0.5, 0.5001, 0.5001]], [[0.9999, 0.9999, 1, 1]]]), 4)
    assert (255 * found[0, 0] - picture[0, :, 48, 50, None, None]).abs().max() < 0.01
    assert (255 * found[1, 0] - picture[1, :, 79, 130, None, None]).abs().max() < 0.01


def test_no_box_is_lost_to_rounding():
    extent = torch.tensor([[357, 411]])
    generator = torch.Generator().manual_seed(0)
    start = torch.rand(1, 500, 2, generator=generator) * 0.8
    boxes = torch.cat([start, start + 0.2 * torch.rand(1, 500, 2, generator=generator)], dim=2).clamp(max=1)
    found = crops(torch.full((1, 1, 400, 411), 7, dtype=torch.uint8), extent, boxes, 3)
    assert (found == torch.tensor(7) / 255).all()


@pytest.mark.parametrize("box", [[0.5, 0.1, 0.4, 0.3], [-0.1, 0, 1, 1], [0, 0, 1, 1.1], [0, float("nan"), 1, 1]])
def test_a_box_reversed_or_outside_is_named(drawn, box):
    picture, extent = drawn
    boxes = torch.tensor(BOXES)
    boxes[1, 2] = torch.tensor(box)
    with pytest.raises(DataError, match=r"picture 1 of the batch: box 2 is .* reversed or outside"):
        crops(picture, extent, boxes, 8)


def test_what_does_not_fit_is_named(drawn):
    picture, extent = drawn
    boxes = torch.tensor(BOXES)
    with pytest.raises(DataError, match=r"picture 1 of the batch: the extent is \[98, 131\] in a batch of \(97, 131\)"):
        crops(picture, torch.tensor([[97, 100], [98, 131]]), boxes, 8)
    for arguments in ((picture[0], extent, boxes, 8), (picture, extent[:1], boxes, 8), (picture, extent, boxes[0], 8),
                      (picture.long(), extent, boxes, 8)):
        with pytest.raises(SettingsError, match="parameters picture, extent, boxes"):
            crops(*arguments)
    with pytest.raises(SettingsError, match="parameter size: is 0"):
        crops(picture, extent, boxes, 0)
