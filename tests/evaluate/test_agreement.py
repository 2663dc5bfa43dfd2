"""Agreement of two readers against scikit-learn, hand-counted tables and a slow bootstrap."""

import math

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import cohen_kappa_score, jaccard_score

from mdlib.errors import DataError, SettingsError
from mdlib.evaluate.agreement import MEASURES, binary_agreement, jaccard


def answers(seed, units=40):
    chance = np.random.default_rng(seed)
    truth = chance.random((units, 3)) < (0.5, 0.1, 0.8)
    return [pd.DataFrame(np.where(chance.random(truth.shape) < 0.2, ~truth, truth), columns=["mass", "skin", "vessel"])
            for _ in range(2)]


def of(table, measure, column="value"):
    return table[table["measure"] == measure].set_index("term")[column]


def test_kappa_is_scikit_learns():
    first, second = answers(0)
    found = binary_agreement(first, second, n_bootstrap=2)
    for term in first:
        assert of(found, "kappa")[term] == pytest.approx(cohen_kappa_score(first[term], second[term]), abs=1e-12)


def test_measures_are_those_of_a_table_counted_by_hand():
    """20 both yes, 5 and 10 only one, 15 both no: p = .70, e = .5 .6 + .5 .4 = .50, kappa = .40 (Cohen 1960)."""
    first = pd.DataFrame({"mass": [1] * 25 + [0] * 25})
    second = pd.DataFrame({"mass": [1] * 20 + [0] * 5 + [1] * 10 + [0] * 15})
    found = binary_agreement(first, second, n_bootstrap=10).set_index("measure")
    assert list(found.index) == list(MEASURES) and (found["units"] == 50).all()
    np.testing.assert_allclose(found["value"], [0.7, 0.55, 0.4, 0.4], atol=1e-12)


def test_intervals_are_those_of_units_drawn_with_replacement():
    first, second = answers(1, units=15)
    found = binary_agreement(first, second, n_bootstrap=80, seed=3)
    chance, drawn = np.random.default_rng(3), {"mass": [], "skin": []}
    for _ in range(80):
        rows = chance.integers(0, 15, 15)
        for term, values in drawn.items():
            a, b = first[term].to_numpy()[rows], second[term].to_numpy()[rows]
            one_answer = len({*a, *b}) == 1
            values.append(math.nan if one_answer else cohen_kappa_score(a, b, labels=[False, True]))
    for term, values in drawn.items():
        low, high = np.nanquantile(values, [0.025, 0.975])
        assert of(found, "kappa", "low")[term] == pytest.approx(low, abs=1e-12)
        assert of(found, "kappa", "high")[term] == pytest.approx(high, abs=1e-12)
        assert of(found, "kappa", "draws")[term] == np.isfinite(values).sum()
    assert (of(found, "agreement", "draws") == 80).all()


def test_kappa_is_undefined_where_both_say_the_same_of_all_and_0_where_one_does():
    constant, mixed = pd.DataFrame({"mass": [1, 1, 1, 1]}), pd.DataFrame({"mass": [1, 0, 1, 1]})
    same = binary_agreement(constant, constant, n_bootstrap=5).set_index("measure")
    assert np.isnan(same.loc["kappa", ["value", "low", "high"]].astype(float)).all() and same.loc["kappa", "draws"] == 0
    assert same.loc["PABAK", "value"] == 1 and same.loc["prevalence", "value"] == 1
    assert binary_agreement(constant, mixed, n_bootstrap=5).set_index("measure").loc["kappa", "value"] == 0


def test_answers_that_cannot_be_compared_are_refused():
    first, second = answers(2)
    for other in (second.iloc[1:], second[["skin", "mass", "vessel"]]):
        with pytest.raises(SettingsError, match="parameters first, second"):
            binary_agreement(first, other)
    with pytest.raises(SettingsError, match="one at least"):
        binary_agreement(first.iloc[:0], second.iloc[:0])
    second = second.astype(float)
    second.loc[4, "skin"] = math.nan
    with pytest.raises(DataError, match=r"second, row 4, column 'skin': the answer is nan"):
        binary_agreement(first, second)


def test_jaccard_of_sets_is_scikit_learns_and_undefined_where_both_are_empty():
    sets = [({"a", "b"}, {"b", "c"}), (["a"], frozenset({"a"})), ({"a"}, set()), (set(), ()), ({"a"}, {"c"})]
    found = jaccard(*zip(*sets, strict=True))
    for share, (one, two) in zip(found, sets, strict=True):
        if one or two:
            assert share == jaccard_score(*([name in part for name in "abc"] for part in (one, two)))
    assert np.isnan(found[3]) and np.isnan(found).sum() == 1 and found[0] == pytest.approx(1 / 3)
    with pytest.raises(SettingsError, match="2 and 1 units"):
        jaccard([{1}, {2}], [{1}])
