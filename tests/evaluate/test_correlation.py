"""Correlations against SciPy and NumPy, and weights against repeated pairs."""

import numpy as np
import pytest
from scipy import stats

from mdlib.evaluate.correlation import pearson, spearman, weighted_spearman


@pytest.mark.parametrize(("ours", "theirs"), [(pearson, stats.pearsonr), (spearman, stats.spearmanr)])
def test_each_map_has_scipys_correlation_and_a_constant_one_has_none(ours, theirs):
    a, b = np.random.default_rng(0).integers(0, 5, (2, 2, 3, 4, 5)).astype(float)
    b[1, 2] = 0.1       # whose mean is not 0.1 to the last bit
    found = ours(a, b, axes=2)
    pairs = zip(a.reshape(6, 20)[:5], b.reshape(6, 20)[:5], strict=True)
    expected = [theirs(x, y)[0] for x, y in pairs]
    assert found.shape == (2, 3)
    np.testing.assert_allclose(found.ravel()[:5], expected, atol=1e-12)
    assert np.isnan(found[1, 2]) and np.isnan(ours(b, a, axes=2)[1, 2])
    np.testing.assert_array_equal(ours(a.reshape(2, 3, 20), b.reshape(2, 3, 20)), found)


def test_whatever_the_unit_a_map_correlates_with_itself():
    a = np.random.default_rng(1).random((3, 6, 6))
    np.testing.assert_allclose(pearson(a, 1e-9 * a + 7e-9, axes=2), 1)
    np.testing.assert_allclose(pearson(a, -a, axes=2), -1)
    np.testing.assert_allclose(spearman(a, np.exp(5 * a), axes=2), 1)


def test_what_varies_by_less_than_min_spread_has_none():
    a = np.random.default_rng(2).random((2, 9))
    a[1] *= 1e-9
    assert np.isnan(pearson(a, a, min_spread=1e-12)).tolist() == [False, True]


def test_weights_are_pairs_repeated_so_often():
    chance = np.random.default_rng(3)
    x, y, weights = chance.integers(0, 6, 30).astype(float), chance.random(30).round(1), chance.integers(0, 4, (30, 8))
    y[4:7] = np.nan
    known = ~np.isnan(y)
    expected = [stats.spearmanr(np.repeat(x[known], w[known]), np.repeat(y[known], w[known]))[0] for w in weights.T]
    np.testing.assert_allclose(weighted_spearman(x, y, weights), expected, atol=1e-12)
    assert np.isnan(weighted_spearman(x, np.ones(30), weights)).all()
