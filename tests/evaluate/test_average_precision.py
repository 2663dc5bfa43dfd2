import math

import numpy as np
import pytest
from scored import collection
from sklearn.metrics import average_precision_score

from mdlib.errors import DataError, SettingsError
from mdlib.evaluate.average_precision import PrecisionRecall, average_precision

NAN = math.nan


def naive(truth, score):
    """For each positive the precision among the images at or above it; the mean of these."""
    shares = [sum(truth[score >= own]) / sum(score >= own) for own in score[truth == 1]]
    return sum(shares) / len(shares)


@pytest.mark.parametrize("levels", [None, 1])
def test_it_is_the_definition_and_scikit_learns(levels):
    target, score, groups = collection(levels=levels)
    table = average_precision(target, score, groups, names="abcd", n_bootstrap=2)
    for k, name in enumerate("abcd"):
        assert table["average_precision"][name] == pytest.approx(naive(target[:, k], score[:, k]), abs=1e-12)
        assert table["average_precision"][name] == pytest.approx(
            average_precision_score(target[:, k], score[:, k]), abs=1e-12)


def test_a_known_answer():
    """Positives in places 1 and 3 of 4: the mean of 1/1 and 2/3."""
    table = average_precision([[1], [0], [1], [0]], [[4], [3], [2], [1]], [1, 2, 3, 4], names=["Mass"], n_bootstrap=5)
    assert table["average_precision"].item() == pytest.approx(5 / 6)


def test_a_perfect_network_has_1_and_a_useless_one_the_prevalence():
    target, _, groups = collection()
    perfect = average_precision(target, target, groups, names="abcd", n_bootstrap=5)
    assert (perfect[["average_precision", "low", "high"]] == 1).all(axis=None)
    same = average_precision(target, np.zeros_like(target), groups, names="abcd", n_bootstrap=5)
    np.testing.assert_allclose(same["average_precision"], target.mean(axis=0), atol=1e-12)
    np.testing.assert_allclose(same["prevalence"], target.mean(axis=0), atol=1e-12)


@pytest.mark.parametrize("levels", [None, 2])
def test_under_weights_it_is_scikit_learns_with_weights(levels):
    target, score, _ = collection(levels=levels)
    target[:50, 0] = NAN
    weights = np.random.default_rng(1).integers(0, 4, (len(target), 7)).astype(np.float32)
    found, known = PrecisionRecall(target[:, 0], score[:, 0]).average_precision(weights), ~np.isnan(target[:, 0])
    for draw in range(7):
        assert found[draw] == pytest.approx(average_precision_score(
            target[known, 0], score[known, 0], sample_weight=weights[known, draw]), abs=1e-12)


@pytest.mark.parametrize("levels", [None, 2])
def test_a_patient_drawn_twice_counts_twice(levels):
    """A naive twin: the rows of each drawn patient, as often as it was drawn, given to scikit-learn."""
    target, score, groups = collection(levels=levels)
    target[:40, 2] = NAN
    table = average_precision(target, score, groups, names="abcd", n_bootstrap=40, seed=3)
    chance, patients, drawn = np.random.default_rng(3), np.unique(groups), []
    for _ in range(40):
        chosen = patients[chance.integers(0, len(patients), len(patients))]
        rows = np.concatenate([np.flatnonzero(groups == patient) for patient in chosen])
        known = [rows[~np.isnan(target[rows, k])] for k in range(4)]
        drawn.append([average_precision_score(target[r, k], score[r, k]) for k, r in enumerate(known)])
    np.testing.assert_allclose(table[["low", "high"]].T, np.quantile(drawn, [0.025, 0.975], axis=0), atol=1e-12)


def test_a_class_without_both_outcomes_has_none_and_lost_draws_are_counted():
    target, score, groups = collection()
    target[:, 1], target[:, 2] = 0, groups == groups[0]
    table = average_precision(target, score, groups, names="abcd", n_bootstrap=500)
    assert table.loc["b", ["average_precision", "low", "high"]].isna().all() and table["draws"]["b"] == 0
    assert table["draws"]["a"] == 500 and 500 * (1 - 1 / math.e) == pytest.approx(table["draws"]["c"], abs=45)
    assert table["positives"]["b"] == 0 and table["negatives"]["b"] == 300


def test_wrong_input_is_named():
    with pytest.raises(DataError, match="the score is nan"):
        average_precision([[0], [1]], [[1], [NAN]], [1, 2], names=["Mass"])
    with pytest.raises(SettingsError, match="1 groups for 2 images"):
        average_precision([[0], [1]], [[1], [0]], [1], names=["Mass"])
