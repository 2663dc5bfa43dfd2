"""Pictures of maps with a known answer."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from mdlib.errors import DataError, SettingsError
from mdlib.explain.overlay import blend, colour, contour, normalize, over_slice, palette, upsample


def test_normalize_keeps_zero_at_zero_and_puts_the_maximum_at_255():
    assert normalize([[-2.0, 0.0], [1.0, 4.0]]).tolist() == [[0, 0], [64, 255]]


def test_each_map_of_a_stack_has_its_own_maximum():
    maps = np.array([[[1.0, 2.0]], [[10.0, 5.0]]])
    assert normalize(maps).tolist() == [[[128, 255]], [[255, 128]]]


@pytest.mark.parametrize("silent", [np.zeros((3, 3)), -np.ones((3, 3))])
def test_a_map_without_positive_values_stays_dark(silent):
    assert not normalize(silent).any()


def test_a_map_without_signal_is_never_normalized():
    maps = np.array([[[1e-9, 2e-9]], [[1.0, 2.0]]])
    assert normalize(maps, signal=[False, True]).tolist() == [[[0, 0]], [[128, 255]]]
    assert not normalize(torch.tensor(maps), torch.tensor([False, False])).any()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_no_numbers_are_refused(value):
    with pytest.raises(DataError, match="1 values are not finite"):
        normalize([[1.0, value]])


@pytest.mark.parametrize("shape", [(28, 21), (7, 7), (3, 5), (1, 1)])
def test_upsample_is_torchs_bilinear(shape):
    maps = np.random.default_rng(0).normal(size=(2, 4, 7, 7))
    expected = torch.nn.functional.interpolate(torch.tensor(maps), shape, mode="bilinear", align_corners=False)
    np.testing.assert_allclose(upsample(maps, shape), expected, atol=1e-12)


def test_upsample_of_two_pixels_by_hand():
    np.testing.assert_allclose(upsample([[0.0, 4.0]], (1, 4)), [[0, 1, 3, 4]])


def test_a_lone_peak_stays_at_its_place():
    peak = np.zeros((7, 7))
    peak[2, 5] = 1
    row, column = np.unravel_index(upsample(peak, (70, 70)).argmax(), (70, 70))
    assert 20 <= row < 30 and 50 <= column < 60


def test_colours_are_matplotlibs_and_grow_lighter():
    import matplotlib
    expected = [round(255 * part) for part in matplotlib.colormaps["inferno"](200)[:3]]
    assert np.abs(colour(np.array([200], dtype=np.uint8))[0].astype(int) - expected).max() <= 1
    lightness = palette() @ np.array([0.2126, 0.7152, 0.0722])
    assert palette().shape == (256, 3) and (np.diff(lightness) > -1).all() and lightness[-1] > 230
    with pytest.raises(SettingsError, match="unknown colormap 'rainbows'"):
        palette("rainbows")


def test_where_the_map_is_zero_the_image_shows_unchanged():
    image = np.arange(256, dtype=np.uint8).reshape(16, 16)
    picture = blend(image, np.zeros((4, 4), dtype=np.uint8), opacity=1.0)
    assert picture.dtype == np.uint8 and (picture == image[..., None]).all()


def test_a_full_map_at_opacity_one_hides_the_image_and_at_zero_leaves_it():
    image, heat = np.full((2, 2), 0.4), np.full((2, 2), 255, dtype=np.uint8)
    assert (blend(image, heat, opacity=1.0) == palette()[255]).all()
    assert (blend(image, heat, opacity=0.0) == 102).all()
    half = 0.5 * 102 + 0.5 * palette()[255].astype(float)
    assert np.abs(blend(image, heat, opacity=0.5)[0, 0] - half).max() <= 0.5


def test_blend_takes_two_pictures_and_no_stack():
    with pytest.raises(SettingsError, match="blend"):
        blend(np.zeros((1, 4, 4)), np.zeros((4, 4), dtype=np.uint8))


def area(line):
    x, y = line.T
    return 0.5 * abs(np.dot(x[:-1], y[1:]) - np.dot(x[1:], y[:-1]))


def test_a_contour_goes_along_the_edges_of_the_pixels():
    mask = np.zeros((20, 30), dtype=bool)
    mask[5:15, 10:25] = True
    (line,) = contour(mask)
    assert (line[0] == line[-1]).all()
    assert line[:, 0].min() == 10 and line[:, 0].max() == 25 and line[:, 1].min() == 5 and line[:, 1].max() == 15
    assert abs(area(line) - 150) < 1           # corners are cut


def test_a_mask_at_the_edge_is_closed_along_the_edge_and_two_masks_give_two_lines():
    mask = np.zeros((8, 8))
    mask[:, :2] = mask[3:5, 5:] = 1
    lines = contour(mask)
    assert len(lines) == 2
    assert min(line.min() for line in lines) == 0 and max(line.max() for line in lines) == 8
    assert contour(np.zeros((8, 8))) == []


def test_pictures_need_no_torch():
    code = "import sys, mdlib.explain.overlay; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_over_a_slice_lies_three_tenths_of_the_colours_and_six_tenths_of_the_picture():
    picture = np.array([[0, 100], [200, 255]], np.uint8)
    heat = np.array([[0, 128], [255, 255]], np.uint8)
    got = over_slice(picture, heat)
    assert got.dtype == np.uint8 and got.shape == (2, 2, 3)
    for at in np.ndindex(2, 2):
        expected = [round(0.6 * int(picture[at]) + 0.3 * int(part)) for part in palette()[heat[at]]]
        assert got[at].tolist() == expected
    assert (over_slice(np.stack([picture] * 3, axis=-1), heat) == got).all()


def test_over_a_slice_nothing_is_clipped_and_a_small_map_is_upsampled():
    white = over_slice(np.full((8, 8), 255, np.uint8), np.full((2, 2), 255, np.uint8))
    assert white.max() <= 0.9 * 255 and white.shape == (8, 8, 3)
    small, large = np.array([[0, 255]], np.uint8), np.array([[0, 64, 191, 255]], np.uint8)
    picture = np.arange(4, dtype=np.uint8)[None]
    assert (over_slice(picture, small) == over_slice(picture, large)).all()
    with pytest.raises(SettingsError, match="uint8"):
        over_slice(picture / 255, small)
