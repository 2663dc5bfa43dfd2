"""Sums over pairs by finding: every draw is the plain computation on copied pairs."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from mdlib.errors import SettingsError
from mdlib.evaluate import per_class as pc


@pytest.fixture
def pairs():
    chance = np.random.default_rng(0)
    findings, groups = np.repeat(["Mass", "Edema", "Hernia"], (20, 12, 8)), chance.integers(0, 15, 40)
    values = pd.DataFrame({"a": chance.random(40), "b": chance.integers(0, 4, 40) / 4})
    values.loc[3:6, "b"] = np.nan
    return values, findings, groups


def copied(groups, draws, seed):
    """The rows of each draw, patients copied as often as they are drawn."""
    patients = np.unique(groups)
    chosen = np.random.default_rng(seed).integers(0, len(patients), (draws, len(patients)))
    return [np.concatenate([np.flatnonzero(groups == patients[i]) for i in row]) for row in chosen]


def test_class_means_and_their_intervals_are_those_of_copied_patients(pairs):
    values, findings, groups = pairs
    found = pc.class_means(values, findings, groups, n_bootstrap=50, seed=1).set_index(["measure", "finding"])
    drawn = []
    for rows in copied(groups, 50, 1):
        each = values.iloc[rows].groupby(findings[rows])["b"].mean().reindex(["Mass", "Edema", "Hernia"])
        drawn.append([*each, each.mean()])
    plain = values["b"].groupby(findings).mean().reindex(["Mass", "Edema", "Hernia"])
    np.testing.assert_allclose(found.loc["b", "mean"], [*plain, plain.mean()])
    np.testing.assert_allclose(found.loc["b"][["low", "high"]].T, np.nanquantile(drawn, [0.025, 0.975], axis=0))
    assert found.loc["b", "pairs"].tolist() == [16, 12, 8, 36] and pc.MEAN in found.loc["b"].index


def test_each_finding_counts_once_however_many_pairs_it_has():
    values, findings = pd.DataFrame({"hit": [1.0] * 99 + [0.0]}), ["Mass"] * 99 + ["Hernia"]
    found = pc.class_means(values, findings, range(100), n_bootstrap=10).set_index("finding")
    assert found.loc[pc.MEAN, "mean"] == 0.5


def test_rank_agreement_is_the_mean_of_spearmans_within_findings(pairs):
    values, findings, groups = pairs
    effect = np.random.default_rng(2).standard_normal(40)
    found = pc.rank_agreement(effect, values, findings, groups, n_bootstrap=40, seed=3)

    def correlation(rows, name):
        each = []
        for finding in ("Mass", "Edema", "Hernia"):
            of = [row for row in rows if findings[row] == finding and not np.isnan(values[name][row])]
            if len({effect[row] for row in of}) > 1 and len({values[name][row] for row in of}) > 1:
                each.append(stats.spearmanr(effect[of], values[name].to_numpy()[of])[0])
        return np.mean(each)
    for name in ("a", "b"):
        assert found.loc[name, "correlation"] == pytest.approx(correlation(range(40), name))
        drawn = [correlation(rows, name) for rows in copied(groups, 40, 3)]
        np.testing.assert_allclose(found.loc[name, ["low", "high"]].astype(float), np.quantile(drawn, [0.025, 0.975]))
    assert found["pairs"].tolist() == [40, 36]


def test_a_finding_with_larger_effects_and_larger_maps_counts_for_nothing():
    effect, amount = np.array([1.0, 2, 3, 11, 12, 13]), pd.DataFrame({"mass": [3.0, 2, 1, 13, 12, 11]})
    found = pc.rank_agreement(effect, amount, ["Mass"] * 3 + ["Edema"] * 3, range(6), n_bootstrap=5)
    assert found.loc["mass", "correlation"] == pytest.approx(-1)
    assert stats.spearmanr(effect, amount["mass"])[0] > 0.5


def test_what_nobody_measured_is_not_a_number(pairs):
    values, findings, groups = pairs
    nothing = values.assign(a=np.nan)[["a"]]
    assert np.isnan(pc.class_means(nothing, findings, groups, n_bootstrap=5)["mean"]).all()
    agreement = pc.rank_agreement(np.arange(40.0), nothing, findings, groups, n_bootstrap=5)
    assert np.isnan(agreement.loc["a", "correlation"])


def test_other_groups_than_pairs_are_refused(pairs):
    with pytest.raises(SettingsError, match="groups"):
        pc.class_means(pairs[0], pairs[1], [1, 2])
