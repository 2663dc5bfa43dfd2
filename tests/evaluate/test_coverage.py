"""Coverage of boxes: each measure against its definition, one box, one pixel and one shift at a time."""

import numpy as np
import pytest

from mdlib.errors import DataError, SettingsError
from mdlib.evaluate import coverage as cov

H, W = 12, 17


def naive_inside(mask, box):
    """The share of the box that lies in the mask: overlaps with its pixels, summed."""
    height, width = mask.shape
    top, left, bottom, right = box[0] * height, box[1] * width, box[2] * height, box[3] * width
    total = 0.0
    for y in range(height):
        for x in range(width):
            down, across = min(bottom, y + 1) - max(top, y), min(right, x + 1) - max(left, x)
            total += mask[y, x] * max(0.0, down) * max(0.0, across)
    return total / ((bottom - top) * (right - left))


def naive_iou(a, b):
    both = max(0, min(a[2], b[2]) - max(a[0], b[0])) * max(0, min(a[3], b[3]) - max(a[1], b[1]))
    area = [(c[2] - c[0]) * (c[3] - c[1]) for c in (a, b)]
    return both / (sum(area) - both)


def boxes_of(count, chance):
    ends = np.sort(chance.random((count, 2, 2)), axis=1)
    return ends.reshape(count, 4)


@pytest.fixture
def drawn():
    chance = np.random.default_rng(0)
    masks = chance.random((5, H, W)) < 0.45
    return masks, boxes_of(40, chance), chance.integers(0, 5, 40)


def test_the_share_inside_is_the_sum_of_overlaps(drawn):
    masks, boxes, images = drawn
    expected = [naive_inside(masks[i], box) for i, box in zip(images, boxes, strict=True)]
    np.testing.assert_allclose(cov.inside(masks, boxes, images), expected, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(cov.covered(masks, boxes, images), np.array(expected) >= 0.5)
    np.testing.assert_array_equal(cov.covered(masks, boxes, images, 0.3), np.array(expected) >= 0.3)


def test_pixels_in_boxes_have_their_centre_in_one(drawn):
    _, boxes, images = drawn
    found = cov.pixels_in_boxes(boxes, images, (5, H, W))
    for image, y, x in np.ndindex(5, H, W):
        inside = [top <= (y + 0.5) / H < bottom and left <= (x + 0.5) / W < right
                  for top, left, bottom, right in boxes[images == image]]
        assert found[image, y, x] == any(inside)


def test_a_box_that_is_half_inside_is_covered():
    mask = np.zeros((1, 10, 10), bool)
    mask[:, :, :5] = True
    boxes = np.array([[0.1, 0.3, 0.9, 0.7], [0.1, 0.301, 0.9, 0.701], [0.1, 0.1, 0.3, 0.5], [0.1, 0.5, 0.3, 0.9]])
    assert cov.covered(mask, boxes, np.zeros(4, int)).tolist() == [1, 0, 1, 0]
    assert cov.area(mask).tolist() == [0.5]


def test_chance_is_the_mask_rolled_around_the_picture(drawn):
    masks, boxes, images = (part[:12] for part in drawn)
    shifts = np.random.default_rng(7).integers(0, (H, W), (9, 5, 2))
    expected = np.mean([[naive_inside(np.roll(masks[i], shift[i], axis=(0, 1)), box) >= 0.5
                         for i, box in zip(images, boxes, strict=True)] for shift in shifts], axis=0)
    np.testing.assert_array_equal(cov.chance(masks, boxes, images, n_shifts=9, seed=7), expected)


def test_over_all_shifts_the_mean_share_inside_is_the_area_that_is_lit():
    chance = np.random.default_rng(1)
    mask, box = chance.random((1, H, W)) < 0.3, np.array([[0.1, 0.2, 0.37, 0.9]])
    every = np.stack(np.mgrid[:H, :W], axis=-1).reshape(-1, 1, 2)
    shares = cov._inside(mask, box, np.array([0]), every)
    assert shares.mean() == pytest.approx(mask.mean(), abs=1e-12)


def test_a_mask_of_everything_covers_everything_and_so_does_chance(drawn):
    _, boxes, images = drawn
    for value in (True, False):
        masks = np.full((5, H, W), value)
        assert (cov.covered(masks, boxes, images) == value).all()
        assert (cov.chance(masks, boxes, images, n_shifts=10) == value).all()


def test_covered_minus_chance_is_large_for_the_boxes_themselves_and_none_for_others():
    chance = np.random.default_rng(2)
    corners = chance.random((60, 2)) * 0.7
    boxes, images = np.concatenate([corners, corners + 0.2], axis=1), np.arange(60)
    masks = np.zeros((60, 40, 40), bool)
    for mask, (top, left, bottom, right) in zip(masks, (40 * boxes).round().astype(int), strict=True):
        mask[top:bottom, left:right] = True
    own, other = (cov.measures(m, boxes[:, None], boxes, images) for m in (masks, masks[::-1]))
    assert own["covered"].mean() == 1 and own["covered minus chance"].mean() > 0.9
    assert abs(other["covered minus chance"].mean()) < 0.1
    np.testing.assert_allclose(own["mask area"], 0.04, atol=0.01)


class TestCrops:
    def test_recall_and_centres_are_their_definitions(self, drawn):
        masks, boxes, images = drawn
        chance = np.random.default_rng(3)
        crops, found = boxes_of(15, chance).reshape(5, 3, 4), chance.random((5, 3)) < 0.6
        found[2] = False
        best, inside = [], []
        for box, i in zip(boxes, images, strict=True):
            own = [crop for crop, there in zip(crops[i], found[i], strict=True) if there]
            y, x = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
            best.append(max((naive_iou(box, crop) for crop in own), default=0))
            inside.append(any(c[0] <= y <= c[2] and c[1] <= x <= c[3] for c in own))
        np.testing.assert_allclose(cov.best_iou(crops, boxes, images, found), best, atol=1e-12)
        np.testing.assert_array_equal(cov.centre_in_crop(crops, boxes, images, found), inside)
        table = cov.measures(masks, crops, boxes, images, found)
        np.testing.assert_array_equal(table["recall at IoU 0.5"], np.array(best) >= 0.5)
        np.testing.assert_array_equal(table["recall at IoU 0.3"], np.array(best) >= 0.3)
        assert 0 < table["recall at IoU 0.3"].mean() < 1 and 0 < table["centre in crop"].mean() < 1
        assert {len(column) for column in table.values()} == {len(boxes)}

    def test_without_found_all_count_and_the_box_itself_is_a_perfect_crop(self):
        boxes = np.array([[0.1, 0.1, 0.4, 0.5], [0.5, 0.5, 0.9, 1.0]])
        assert cov.best_iou(boxes[None], boxes, np.zeros(2, int)).tolist() == [1, 1]
        assert cov.best_iou(boxes[None, :1], boxes, np.zeros(2, int)).tolist() == [1, 0]
        for measure in (cov.best_iou, cov.centre_in_crop):
            assert measure(np.zeros((1, 0, 4)), boxes, np.zeros(2, int)).tolist() == [0, 0]


class TestCurve:
    def test_the_highest_pixels_are_lit_as_many_as_asked_for(self):
        maps = np.random.default_rng(4).permutation(200.0 * np.arange(3 * 10 * 10)).reshape(3, 10, 10)
        masks = cov.highest(maps, 0.23)
        assert masks.sum(axis=(1, 2)).tolist() == [23] * 3
        for values, mask in zip(maps, masks, strict=True):
            assert values[mask].min() > values[~mask].max()

    def test_ties_and_flat_maps_light_less(self):
        assert not cov.highest(np.ones((1, 4, 4)), 0.5).any()
        steps = np.array([[[3.0, 2, 2, 1]]])
        assert cov.highest(steps, 0.5).tolist() == [[[True, False, False, False]]]
        assert cov.highest(steps, 0.75).tolist() == [[[True, True, True, False]]]

    def test_each_level_is_the_measure_at_that_level_and_covered_grows_with_what_is_lit(self, drawn):
        _, boxes, images = drawn
        maps = np.random.default_rng(5).standard_normal((5, H, W))
        found = cov.curve(maps, boxes, images, n_shifts=20, seed=3)
        assert found["mask area"].shape == (12, 5) and found["covered"].shape == (12, 40)
        np.testing.assert_allclose(found["mask area"][:, 0], cov.LEVELS, atol=0.5 / H / W)
        np.testing.assert_array_equal(found["covered"][4], cov.covered(cov.highest(maps, 0.25), boxes, images))
        np.testing.assert_array_equal(found["chance"][4], cov.chance(cov.highest(maps, 0.25), boxes, images,
                                                                     n_shifts=20, seed=3))
        assert (np.diff(found["covered"], axis=0) >= 0).all() and np.ptp(found["covered"].mean(axis=1)) > 0.3


@pytest.mark.parametrize("box", [[0.5, 0.1, 0.4, 0.3], [0.1, 0.1, 0.1, 0.3], [0.2, -0.1, 0.5, 0.3], [0, 0, 1, 1.01],
                                 [np.nan, 0, 1, 1]])
def test_a_box_that_is_reversed_or_outside_is_named(drawn, box):
    masks, boxes, images = drawn
    boxes[3] = box
    with pytest.raises(DataError, match=r"box 3: the box .* is reversed, empty or outside"):
        cov.covered(masks, boxes, images)


def test_what_does_not_fit_is_named(drawn):
    masks, boxes, images = drawn
    with pytest.raises(SettingsError, match="parameter masks"):
        cov.area(masks.astype(float))
    with pytest.raises(SettingsError, match="parameter images: has shape"):
        cov.inside(masks, boxes, images[1:])
    with pytest.raises(SettingsError, match="parameter images: holds 0 to 4 for 4 pictures"):
        cov.inside(masks[:4], boxes, images)
    with pytest.raises(SettingsError, match="parameter n_shifts"):
        cov.chance(masks, boxes, images, n_shifts=0)
    with pytest.raises(SettingsError, match="parameter found"):
        cov.best_iou(np.tile(boxes[:5, None], (1, 2, 1)), boxes, images, np.ones((5, 3), bool))
    with pytest.raises(SettingsError, match="parameter share"):
        cov.highest(np.ones((1, 2, 2)), 1)
    with pytest.raises(DataError, match="1 values are not finite"):
        cov.highest(np.array([[[1, np.nan]]]), 0.5)
