import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from mdlib.errors import SettingsError
from mdlib.evaluate.baseline import metadata_baseline, metadata_features


def some_numbers(count, seed):
    chance = np.random.default_rng(seed)
    x = metadata_features(chance.integers(0, 2, count), chance.integers(0, 2, count), chance.uniform(1, 90, count),
                          chance.normal(0.5, 0.1, count), chance.normal(0.2, 0.05, count))
    y = np.column_stack([chance.random(count) < 1 / (1 + np.exp(-(x[:, 2] - 45) / 10)), chance.random(count) < 0.3])
    return x, y.astype(float)


def test_metadata_features_are_the_columns_in_order():
    np.testing.assert_array_equal(metadata_features([1, 0], [0, 1], [50, np.nan], [0.5, 0.4], [0.2, 0.1]),
                                  [[1, 0, 50, 0.5, 0.2], [0, 1, np.nan, 0.4, 0.1]])
    with pytest.raises(SettingsError, match="one number per image"):
        metadata_features([1, 0], [0, 1], [50], [0.5, 0.4], [0.2, 0.1])


def test_it_finds_what_age_tells_and_nothing_in_chance():
    score, (_, truth) = metadata_baseline(*some_numbers(2000, 0), some_numbers(2000, 1)[0]), some_numbers(2000, 1)
    assert roc_auc_score(truth[:, 0], score[:, 0]) > 0.85
    assert 0.45 < roc_auc_score(truth[:, 1], score[:, 1]) < 0.55
    assert score.shape == (2000, 2) and (score > 0).all() and (score < 1).all()


def test_it_is_logistic_regression_on_standardised_columns():
    (x, y), (test, _) = some_numbers(300, 2), some_numbers(50, 3)
    expected = LogisticRegression(max_iter=1000).fit((x - x.mean(0)) / x.std(0), y[:, 0]).predict_proba(
        (test - x.mean(0)) / x.std(0))[:, 1]
    np.testing.assert_allclose(metadata_baseline(x, y, test)[:, 0], expected, atol=1e-6)


def test_the_unit_does_not_matter():
    (x, y), (test, _) = some_numbers(300, 2), some_numbers(50, 3)
    scale, shift = np.array([1, 1, 12, 255, 255]), np.array([0, 0, -7, 3, 0])
    np.testing.assert_allclose(metadata_baseline(x * scale + shift, y, test * scale + shift),
                               metadata_baseline(x, y, test), atol=1e-5)


def test_unknown_ages_become_the_training_mean_and_unknown_targets_are_left_out():
    (x, y), (test, _) = some_numbers(300, 4), some_numbers(20, 5)
    holes, filled = test.copy(), test.copy()
    holes[:5, 2], filled[:5, 2] = np.nan, x[:, 2].mean()
    np.testing.assert_allclose(metadata_baseline(x, y, holes), metadata_baseline(x, y, filled))
    unknown = y.copy()
    unknown[200:, 0] = np.nan
    np.testing.assert_allclose(metadata_baseline(x, unknown, test)[:, 1], metadata_baseline(x, y, test)[:, 1])
    np.testing.assert_allclose(metadata_baseline(x, unknown, test)[:, 0],
                               metadata_baseline(np.concatenate([x[:200], x[:200]]), np.tile(y[:200], (2, 1)),
                                                 test)[:, 0], atol=0.05)


def test_a_class_with_one_outcome_gets_a_constant_score():
    x, y = some_numbers(100, 6)
    y = np.column_stack([y, np.zeros(100), np.ones(100), np.full(100, np.nan)])
    score = metadata_baseline(x, y, x[:7])
    assert score[:, 2:].tolist() == [[0.0, 1.0, 0.5]] * 7
