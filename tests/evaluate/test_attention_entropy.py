import math

import numpy as np
import pytest
from scipy.stats import entropy as scipy_entropy

from mdlib.errors import DataError, SettingsError
from mdlib.evaluate.attention_entropy import entropy, share_of_image, uniform_bits


def maps(*shape, seed=0, sharp=2.0):
    """Softmax attention over the last axis."""
    weights = np.exp(sharp * np.random.default_rng(seed).normal(size=shape))
    return weights / weights.sum(axis=-1, keepdims=True)


class TestEntropy:
    def test_it_is_scipys(self):
        attention = maps(3, 4, 196)
        np.testing.assert_allclose(entropy(attention), scipy_entropy(attention, axis=-1, base=2), atol=1e-12)

    def test_one_place_is_0_and_everywhere_is_the_highest(self):
        one, everywhere = np.eye(196)[7], np.full(196, 1 / 196)
        assert entropy(one) == 0 and math.copysign(1, entropy(one)) == 1
        assert entropy(everywhere) == pytest.approx(uniform_bits(196)) and uniform_bits(8) == 3
        assert (entropy(maps(500, 196)) < uniform_bits(196)).all()

    def test_a_place_is_as_good_as_another_and_the_sum_does_not_matter(self):
        attention = maps(5, 49)
        shuffled = np.random.default_rng(1).permuted(attention, axis=1)
        np.testing.assert_allclose(entropy(7 * shuffled), entropy(attention), atol=1e-12)
        np.testing.assert_allclose(entropy(attention.reshape(5, 7, 7), axes=2), entropy(attention), atol=1e-12)

    def test_half_of_the_places_is_one_bit_less(self):
        assert entropy(np.repeat([1.0, 0.0], 98)) == pytest.approx(uniform_bits(196) - 1)

    def test_sharper_attention_has_fewer_bits(self):
        bits = [entropy(maps(20, 196, sharp=sharp)).mean() for sharp in (0.1, 1, 3, 9)]
        assert bits == sorted(bits, reverse=True)

    def test_words_that_are_not_there_and_empty_maps_have_none(self):
        attention = maps(4, 9)
        attention[1], attention[2] = np.nan, 0
        attention[3, 0] = -5
        assert np.isnan(entropy(attention)).tolist() == [False, True, True, False]
        clipped = np.where(attention[3] > 0, attention[3], 0)
        assert entropy(attention[3]) == pytest.approx(entropy(clipped))

    def test_wrong_input_is_named(self):
        broken = maps(2, 9)
        broken[0, 3] = np.nan
        with pytest.raises(DataError, match="1 values are not finite"):
            entropy(broken)
        with pytest.raises(DataError, match="not finite"):
            entropy([np.inf, 0])
        with pytest.raises(SettingsError, match="axes=2"):
            entropy(maps(2, 9), axes=3)
        with pytest.raises(SettingsError, match="axes=1"):
            entropy(np.zeros((3, 0)))


def naive_share(attention):
    """The docstring, word by word and image by image."""
    images, words, places = attention.shape
    between = total = 0.0
    for t in range(words):
        mean = [sum(attention[n, t, p] for n in range(images)) / images for p in range(places)]
        for n in range(images):
            between += sum((attention[n, t, p] - mean[p]) ** 2 for p in range(places))
            total += sum((attention[n, t, p] - 1 / places) ** 2 for p in range(places))
    return between / total


class TestShareOfImage:
    def test_it_is_its_definition(self):
        attention = maps(5, 3, 8)
        assert share_of_image(attention) == pytest.approx(naive_share(attention), abs=1e-12)

    def test_the_parts_add_up_to_the_whole(self):
        attention = maps(6, 2, 9)
        mean = attention.mean(axis=0)
        shared = 6 * ((mean - 1 / 9) ** 2).sum() / ((attention - 1 / 9) ** 2).sum()
        assert share_of_image(attention) == pytest.approx(1 - shared)

    def test_the_same_map_in_every_image_is_0_however_sharp(self):
        assert share_of_image(np.tile(maps(1, 4, 49, sharp=5), (10, 1, 1))) == pytest.approx(0, abs=1e-12)

    def test_maps_that_have_nothing_in_common_are_all_but_1(self):
        """Each image at a place of its own, every place once: the mean is uniform, so all is due to the image."""
        assert share_of_image(np.eye(49)[:, None]) == pytest.approx(1)
        assert share_of_image(maps(200, 3, 49)) == pytest.approx(1 - 1 / 200, abs=0.002)

    def test_it_falls_as_the_maps_come_to_agree(self):
        alone, common = maps(30, 4, 49), maps(1, 4, 49, seed=1)
        shares = [share_of_image((1 - w) * alone + w * common) for w in (0, 0.3, 0.7, 1)]
        assert shares == sorted(shares, reverse=True) and shares[-1] == pytest.approx(0, abs=1e-12)

    def test_neither_the_order_of_images_nor_that_of_places_matters(self):
        attention, chance = maps(8, 3, 25), np.random.default_rng(2)
        turned = attention[chance.permutation(8)][:, :, chance.permutation(25)]
        assert share_of_image(turned) == pytest.approx(share_of_image(attention))

    def test_words_that_are_not_there_are_left_out(self):
        attention = maps(6, 3, 16)
        padded = np.concatenate([attention, np.full((6, 2, 16), np.nan)], axis=1)
        padded[4, 3] = maps(16)  # a word that only one image has says nothing of images
        assert share_of_image(padded) == pytest.approx(share_of_image(attention))

    def test_uniform_maps_have_no_share_and_one_image_none_either(self):
        assert math.isnan(share_of_image(np.full((5, 2, 196), 1 / 196)))
        with pytest.raises(SettingsError, match="two images or more"):
            share_of_image(maps(1, 2, 9))
