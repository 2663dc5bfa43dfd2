"""Differences of means: against loops, and what patients and seeds do to the interval."""

import numpy as np
import pytest

from mdlib.errors import DataError, SettingsError
from mdlib.evaluate import paired


def naive(a, b, groups, draws, seed):
    """The same draws by loops over patients and seeds."""
    patients = sorted(set(groups))
    chance, of_seeds, found = np.random.default_rng(seed), np.random.default_rng([seed, 1]), []
    chosen = chance.integers(0, len(patients), (draws, len(patients)))
    rows = of_seeds.integers(0, len(a), (len(a), draws))
    for draw in range(draws):
        images = [i for of in chosen[draw] for i, patient in enumerate(groups) if patient == patients[of]]
        found.append(np.mean([np.mean([a[s][i] - b[s][i] for i in images]) for s in rows[:, draw]]))
    return np.quantile(found, [0.025, 0.975])


def test_the_interval_is_that_of_drawn_patients_and_drawn_pairs_of_seeds():
    rng = np.random.default_rng(0)
    groups = list("aaabbcdddd")
    a, b = rng.random((3, 10)), rng.random((3, 10))
    found = paired.difference(a, b, groups, n_bootstrap=50, seed=4)
    np.testing.assert_allclose([found.low, found.high], naive(a, b, groups, 50, 4))
    assert found.mean == pytest.approx((a - b).mean())
    assert (found.seeds, found.images, found.patients) == (3, 10, 4)


def test_what_has_no_seed_stands_against_each_seed():
    a = np.array([[1.0, 1, 0], [1, 0, 0]])
    alone = paired.difference(a, np.ones((1, 3)), list("abc"), n_bootstrap=20)
    assert alone == paired.difference(a, np.ones((2, 3)), list("abc"), n_bootstrap=20)
    assert alone.mean == pytest.approx(-0.5)


def test_a_difference_that_every_patient_shows_is_decided_and_said_so():
    found = paired.difference(np.ones((3, 6)), np.zeros((3, 6)), list("aabbcc"), n_bootstrap=30)
    assert found.decided and (found.low, found.high) == (1, 1)
    assert found.sentence("DCA", "one", "another") == (
        "DCA of one is 1.000 above that of another (95% interval of the difference 1.000–1.000; 6 images of 3 patients,"
        " 3 seeds).")


def test_few_seeds_and_an_open_interval_are_told():
    found = paired.difference([[1.0, 0]], [[0.0, 1]], ["a", "b"], n_bootstrap=30)
    assert "includes 0" in found.sentence("DCA", "a", "b") and "One seed only" in found.sentence("DCA", "a", "b")


@pytest.mark.parametrize(("low", "high", "expected"), [
    (0.1, 0.2, "higher"), (-0.2, -0.1, "lower"), (-0.1, 0.2, "undecided"), (0, 0.2, "undecided"),
    (-0.2, 0, "undecided"), (0, 0, "undecided"), (np.nan, np.nan, "undecided"),
    (np.nan, -1, "undecided"), (1, np.nan, "undecided")])
def test_the_verdict_is_that_of_an_interval_without_0(low, high, expected):
    assert paired.verdict(low, high) == expected
    found = paired.Difference(0.1, low, high, 3, 10, 4)
    assert found.verdict == expected and found.decided == (expected != "undecided")


def test_the_interval_has_the_level_asked_for():
    rng = np.random.default_rng(1)
    a, groups = rng.normal(size=(2, 40)), np.arange(40)
    wide, narrow = (paired.difference(a, np.zeros((1, 40)), groups, level=level) for level in (0.99, 0.5))
    assert wide.low < narrow.low < narrow.high < wide.high and wide.mean == narrow.mean


def test_numbers_that_cannot_be_paired_are_refused():
    with pytest.raises(SettingsError, match="shapes"):
        paired.difference(np.ones((2, 3)), np.ones((3, 3)), list("abc"))
    with pytest.raises(DataError, match="not finite"):
        paired.difference([[np.nan, 1]], [[0, 1]], ["a", "b"])
    with pytest.raises(SettingsError, match="groups"):
        paired.difference(np.ones((1, 3)), np.ones((1, 3)), ["a", "b"])
