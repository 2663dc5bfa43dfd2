"""Deletion, insertion and rank correlation: their definitions written out, and Quantus and SciPy."""

import numpy as np
import pytest
import torch
from torch import nn

from mdlib.errors import SettingsError
from mdlib.evaluate import faithfulness as f


@pytest.fixture
def drawn():
    chance = np.random.default_rng(0)
    images = chance.random((5, 1, 6, 4))
    return images, chance.standard_normal((5, 6, 4)), chance.random(images.shape)


def score(images):
    return (images**2).sum(axis=(1, 2, 3)) + images[:, 0, 0, 0]


def naive_deletion(images, maps, replacement, steps):
    """One image, one pixel at a time."""
    curves = []
    for image, values, other in zip(images, maps, replacement, strict=True):
        order = sorted(np.ndindex(values.shape), key=lambda at: -values[at])
        curve = []
        for step in range(steps + 1):
            picture = image.copy()
            for row, column in order[:round(step * values.size / steps)]:
                picture[:, row, column] = other[:, row, column]
            curve.append(score(picture[None])[0])
        curves.append(curve)
    return np.array(curves)


@pytest.mark.parametrize("steps", [1, 5, 24])
def test_deletion_replaces_the_highest_pixels_first_and_insertion_is_its_reverse(drawn, steps):
    images, maps, replacement = drawn
    np.testing.assert_allclose(f.deletion(score, images, maps, replacement, steps),
                               naive_deletion(images, maps, replacement, steps))
    np.testing.assert_allclose(f.insertion(score, images, maps, replacement, steps),
                               naive_deletion(replacement, maps, images, steps))


def test_equal_pixels_go_in_the_order_of_rows(drawn):
    images, maps, replacement = drawn
    maps = np.round(maps)
    np.testing.assert_allclose(f.deletion(score, images, maps, replacement, 24),
                               naive_deletion(images, maps, replacement, 24))


def test_a_map_of_what_counts_deletes_faster_than_its_opposite():
    weight = np.arange(16.0).reshape(1, 4, 4)
    images, gone = np.ones((1, 1, 4, 4)), np.zeros((1, 1, 4, 4))
    areas = [f.area(f.deletion(lambda x: (x * weight).sum(axis=(1, 2, 3)), images, order, gone, 16))[0]
             for order in (weight, -weight)]
    assert areas[0] < 60 < areas[1]
    assert sum(areas) == pytest.approx(weight.sum())    # on a sum, the two curves mirror each other


def test_the_area_of_a_straight_line_is_its_mean():
    assert f.area(np.linspace(2, 4, 9)[None]) == pytest.approx([3])


def test_quantus_flips_the_same_pixels_to_the_same_scores(drawn, quantus):
    images, maps = drawn[0].astype(np.float32), drawn[1]      # Quantus computes in float32
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(24, 8), nn.Tanh(), nn.Linear(8, 3)).eval()
    own = np.array([0, 1, 2, 1, 0])
    given = {"model": model, "x_batch": images, "y_batch": own, "a_batch": maps[:, None], "softmax": False,
             "device": "cpu"}
    options = {"features_in_step": 3, "abs": False, "normalise": False, "perturb_baseline": 0.25,
               "disable_warnings": True}

    def predict(pictures):
        with torch.no_grad():
            return model(torch.from_numpy(pictures)).numpy()[np.arange(5), own]
    curves = f.deletion(predict, images, maps, np.full_like(images, 0.25), steps=8)
    np.testing.assert_allclose(curves[:, 1:], quantus.PixelFlipping(**options)(**given), rtol=1e-6)
    # Quantus's area leaves the untouched image out and counts steps, not shares of the image
    areas = quantus.PixelFlipping(**options, return_auc_per_sample=True)(**given)
    np.testing.assert_allclose(7 * f.area(curves[:, 1:]), areas, rtol=1e-6)


@pytest.mark.parametrize("change", [{"maps": np.zeros((5, 4, 6))}, {"replacement": np.zeros((5, 3, 6, 4))},
                                    {"steps": 0}])
def test_what_does_not_fit_is_named(drawn, change):
    given = dict(zip(("images", "maps", "replacement"), drawn, strict=True)) | change
    with pytest.raises(SettingsError, match="steps"):
        f.deletion(score, **given)
