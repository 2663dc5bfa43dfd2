"""Batched augmentation: the same as image by image, drawn evenly, each image for itself."""

import numpy as np
import pytest
import torch

from mdlib.data.augment import crop, hflip, quarter_turns
from mdlib.errors import SettingsError


def batch(count: int, height: int, width: int) -> torch.Tensor:
    """Every pixel of every image and channel has a value of its own."""
    return torch.arange(count * 3 * height * width, dtype=torch.float32).reshape(count, 3, height, width)


def places(result: torch.Tensor, choices: list[torch.Tensor]) -> np.ndarray:
    """Which of the choices, each (B, C, H, W), each image of the result is; it must be one and one only."""
    same = torch.stack([(result == choice).flatten(1).all(1) for choice in choices])
    assert (same.sum(0) == 1).all()
    return same.int().argmax(0).numpy()


def test_a_crop_is_one_of_all_windows_of_the_reflected_image():
    torch.manual_seed(0)
    images = batch(3000, 5, 4)
    padded = np.pad(images.numpy(), ((0, 0), (0, 0), (2, 2), (2, 2)), mode="reflect")    # NumPy knows how to reflect
    windows = [torch.from_numpy(padded[:, :, top:top + 5, left:left + 4]) for top in range(5) for left in range(5)]
    drawn = np.bincount(places(crop(images, 2), windows), minlength=25)
    assert np.abs(drawn / 3000 - 1 / 25).max() < 0.015
    assert torch.equal(crop(images, 0), images)


def test_half_of_the_images_are_flipped():
    torch.manual_seed(0)
    images = batch(2000, 3, 5)
    assert abs(places(hflip(images), [images, images.flip(3)]).mean() - 0.5) < 0.04


def test_a_quarter_of_the_images_has_each_of_four_turns():
    torch.manual_seed(0)
    images = batch(2000, 4, 4)
    choices = [torch.from_numpy(np.rot90(images.numpy(), turns, (2, 3)).copy()) for turns in range(4)]
    drawn = np.bincount(places(quarter_turns(images), choices), minlength=4)
    assert np.abs(drawn / 2000 - 0.25).max() < 0.04


@pytest.mark.parametrize("change", [lambda x: crop(x, 2), hflip, quarter_turns])
def test_draws_follow_from_torchs_seed_and_the_batch_stays_as_it_was(change):
    images = batch(64, 6, 6)
    before, results = images.clone(), []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        results.append(change(images))
    assert torch.equal(results[0], results[1]) and not torch.equal(results[0], results[2])
    assert torch.equal(images, before) and results[0].shape == images.shape


def test_what_cannot_be_done_is_refused():
    for pad in (-1, 4):
        with pytest.raises(SettingsError, match="parameter pad"):
            crop(batch(2, 4, 6), pad)
    with pytest.raises(SettingsError, match="4 x 6 pixels cannot be turned"):
        quarter_turns(batch(2, 4, 6))
