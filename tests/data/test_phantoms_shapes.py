"""The pretext task: classes, sizes, and that brightness does not tell the class."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from mdlib.data.phantoms import shapes
from mdlib.data.phantoms.drawing import stream


@pytest.fixture(scope="module")
def drawn():
    return shapes.draw(2000, (64, 96), seed=0)


def test_every_class_is_as_frequent_as_any_other(drawn):
    images, labels = drawn
    assert images.shape == (2000, 64, 96) and images.dtype == np.uint8 and labels.dtype == np.int64
    assert np.bincount(labels).tolist() == [200] * len(shapes.CLASSES) and len(shapes.CLASSES) == 10


def test_the_same_seed_gives_the_same_images_and_another_seed_does_not(drawn):
    again = shapes.draw(2000, (64, 96), seed=0)
    np.testing.assert_array_equal(again[0], drawn[0])
    np.testing.assert_array_equal(again[1], drawn[1])
    assert (shapes.draw(100, (64, 96), seed=1)[0] != drawn[0][:100]).mean() > 0.9


def test_sizes_are_widely_spread_and_every_shape_is_there():
    labels = np.repeat(np.arange(10), 100)
    inside = shapes._inside(labels, (64, 96), stream(0, "test"))
    assert (inside.max(axis=(1, 2)) > 0.4).all()
    width = (inside > 0.5).any(axis=1).sum(axis=1)[labels == 0]
    assert np.percentile(width, 90) > 4 * np.percentile(width, 10)


def test_brightness_does_not_tell_the_class(drawn):
    images, labels = drawn
    moments = np.stack([images.mean(axis=(1, 2)), images.std(axis=(1, 2))])
    scores = np.array([[roc_auc_score(labels == k, moment) for k in range(10)] for moment in moments])
    assert (np.abs(scores - 0.5) < 0.15).all(), scores.round(2)


@pytest.mark.parametrize("count", [1, 2, 251])
def test_any_number_of_images_can_be_drawn(count):
    images, labels = shapes.draw(count, (20, 30), seed=0)
    assert len(images) == len(labels) == count and images.std() > 0
