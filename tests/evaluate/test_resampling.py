import math

import numpy as np
import pytest
from scipy import stats

from mdlib.errors import DataError, SettingsError
from mdlib.evaluate import resampling
from mdlib.evaluate.resampling import (
    interval,
    jackknife,
    mean_interval,
    mean_of_known,
    ratio,
    weights,
    wilson_interval,
)


def test_every_image_of_a_patient_weighs_what_the_patient_was_drawn_and_all_patients_are_drawn_once_a_patient():
    groups = np.array(["b", "a", "b", "c", "a", "b"])
    drawn = np.concatenate(list(weights(groups, 250, seed=1)), axis=1)
    assert drawn.shape == (6, 250) and drawn.dtype == np.float32
    for same in ([0, 2, 5], [1, 4]):
        assert (drawn[same] == drawn[same[0]]).all()
    assert (drawn[[0, 1, 3]].sum(axis=0) == 3).all()


def test_the_size_of_a_chunk_does_not_matter(monkeypatch):
    groups = np.random.default_rng(0).integers(0, 20, 60)
    whole = np.concatenate(list(weights(groups, 50, seed=4)), axis=1)
    monkeypatch.setattr(resampling, "CHUNK", 7)
    np.testing.assert_array_equal(np.concatenate(list(weights(groups, 50, seed=4)), axis=1), whole)


def test_an_interval_leaves_nan_out_and_is_nan_where_nothing_is_left():
    low, high = interval(np.array([[0.0, math.nan], [math.nan, math.nan], [1.0, math.nan]]), 0.5)
    assert (low[0], high[0]) == (0.25, 0.75) and np.isnan([low[1], high[1]]).all()


def test_a_ratio_over_nothing_is_nan():
    np.testing.assert_array_equal(ratio(np.array([1.0, 0.0]), np.array([4.0, 0.0])), [0.25, math.nan])


class TestMeanInterval:
    def test_a_patient_drawn_twice_counts_twice(self):
        """A naive twin: the values of each drawn patient, as often as it was drawn, averaged."""
        chance = np.random.default_rng(0)
        values, groups = chance.normal(size=(80, 3)), chance.integers(0, 25, 80)
        values[chance.random(values.shape) < 0.2] = math.nan
        table = mean_interval(values, groups, n_bootstrap=60, seed=2)
        chance, patients, drawn = np.random.default_rng(2), np.unique(groups), []
        for _ in range(60):
            chosen = patients[chance.integers(0, len(patients), len(patients))]
            drawn.append(np.nanmean(np.concatenate([values[groups == patient] for patient in chosen]), axis=0))
        low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
        np.testing.assert_allclose(table["mean"], np.nanmean(values, axis=0), atol=1e-12)
        np.testing.assert_allclose(table[["low", "high"]], np.column_stack([low, high]), atol=1e-12)
        assert table["images"].tolist() == (~np.isnan(values)).sum(axis=0).tolist() and (table["draws"] == 60).all()

    def test_one_number_an_image_is_one_row(self):
        table = mean_interval([1.0, 2.0, 6.0], [1, 2, 3], n_bootstrap=20)
        assert len(table) == 1 and table["mean"].item() == 3

    def test_where_there_is_no_value_there_is_no_mean(self):
        table = mean_interval([[math.nan], [math.nan]], [1, 2], n_bootstrap=20)
        assert table[["mean", "low", "high"]].isna().all(axis=None) and table["draws"].item() == 0

    def test_with_a_patient_an_image_it_is_as_wide_as_the_normal_interval(self):
        values = np.random.default_rng(0).normal(size=2000)
        row = mean_interval(values, np.arange(2000), n_bootstrap=2000).iloc[0]
        assert row["high"] - row["low"] == pytest.approx(2 * 1.96 * values.std() / math.sqrt(2000), rel=0.05)

    def test_wrong_input_is_named(self):
        with pytest.raises(DataError, match="row 1, column 0: the value is inf"):
            mean_interval([1.0, math.inf], [1, 2])
        with pytest.raises(SettingsError, match="1 groups for 2 images"):
            mean_interval([1.0, 2.0], [1])


def test_the_mean_of_what_is_known_is_numpys_nanmean_without_its_warning():
    values = np.random.default_rng(0).normal(size=(4, 5, 6))
    values[values > 0.5] = math.nan
    for axis in (0, -1, (1, 2)):
        np.testing.assert_allclose(mean_of_known(values, axis), np.nanmean(values, axis=axis))
    values = np.array([[1.0, math.nan, 3.0], [math.nan] * 3])
    np.testing.assert_array_equal(mean_of_known(values, axis=1), [2, math.nan])


class TestJackknife:
    def test_of_a_mean_it_is_the_standard_error_and_copies_of_images_change_nothing(self):
        values = np.random.default_rng(0).normal(size=12)

        def mean(weights, values=values):
            return (values @ weights / weights.sum(axis=0))[:, None]
        error = jackknife(mean, list("abcdefghijkl"))
        assert error == pytest.approx(values.std(ddof=1) / 12**0.5)
        twice = jackknife(lambda weights: mean(weights, np.repeat(values, 2)), np.repeat(np.arange(12), 2))
        assert twice == pytest.approx(error)

    def test_it_leaves_out_one_patient_at_a_time(self):
        chance = np.random.default_rng(1)
        values, groups = chance.random(20), chance.integers(0, 6, 20)

        def range_of(weights):
            return np.array([[np.ptp(values[w > 0]), np.median(values[w > 0])] for w in weights.T])
        each = [(np.ptp(values[groups != g]), np.median(values[groups != g])) for g in range(6)]
        np.testing.assert_allclose(jackknife(range_of, groups), np.std(each, axis=0) * 5**0.5)


class TestWilson:
    @pytest.mark.parametrize("level", [0.8, 0.95])
    @pytest.mark.parametrize(("successes", "trials"), [(60, 400), (0, 7), (7, 7), (1, 1), (3, 10)])
    def test_it_is_scipys(self, successes, trials, level):
        theirs = stats.binomtest(successes, trials).proportion_ci(level, method="wilson")
        np.testing.assert_allclose(wilson_interval(successes, trials, level), [theirs.low, theirs.high], atol=1e-15)

    def test_many_at_once_and_none_without_trials(self):
        low, high = wilson_interval([60, 0, 0], [400, 0, 5])
        assert np.isnan(low).tolist() == np.isnan(high).tolist() == [False, True, False] and low[2] == 0

    def test_the_ends_are_the_shares_at_which_the_score_test_turns(self):
        for share in wilson_interval(13, 40):
            assert abs(13 / 40 - share) / math.sqrt(share * (1 - share) / 40) == pytest.approx(stats.norm.ppf(0.975))

    def test_more_successes_than_trials_are_refused(self):
        with pytest.raises(DataError, match="successes of"):
            wilson_interval(5, 4)
