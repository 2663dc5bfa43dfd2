import math

import numpy as np
import pandas as pd
import pytest
from scored import collection
from sklearn.metrics import roc_auc_score

from mdlib.errors import DataError, SettingsError
from mdlib.evaluate import classification, resampling
from mdlib.evaluate.classification import auroc, averages, bootstrap, paired_difference

NAN = math.nan


def count_pairs(truth, score):
    """The definition: the share of (positive, negative) pairs in the right order, a tie counting half."""
    pairs = [(p > n) + 0.5 * (p == n) for p in score[truth == 1] for n in score[truth == 0]]
    return sum(pairs) / len(pairs)


class TestAuroc:
    def test_a_known_answer(self):
        """Scores 1 2 3 4, truth 0 1 0 1: of the four pairs three are in order."""
        table = auroc([[0], [1], [0], [1]], [[1], [2], [3], [4]], ["Mass"])
        assert table.loc["Mass"].tolist() == [0.75, 2, 2]

    def test_a_constant_score_is_one_half_and_ties_count_half(self):
        assert auroc([[0], [1], [1]], [[7], [7], [7]], ["Mass"])["auroc"].item() == 0.5
        target, score, _ = collection(levels=1)
        table = auroc(target, score, "abcd")
        for k, name in enumerate("abcd"):
            assert table["auroc"][name] == pytest.approx(count_pairs(target[:, k], score[:, k]), abs=1e-12)

    def test_a_class_without_both_outcomes_is_nan_and_named(self):
        table = auroc([[1, 0, 1], [0, 0, 1]], [[2, 1, 1], [1, 2, 2]], ["Mass", "Hernia", "Edema"])
        assert table["auroc"].isna().tolist() == [False, True, True]
        assert averages(table) == {"plain": 1.0, "weighted": 1.0, "undefined": ["Hernia", "Edema"]}

    def test_unknown_targets_are_left_out_of_their_class_only(self):
        target, score, _ = collection()
        holes = target.copy()
        holes[:50, 1] = NAN
        table = auroc(holes, score, "abcd")
        assert table["auroc"]["b"] == roc_auc_score(target[50:, 1], score[50:, 1])
        assert table["auroc"]["a"] == roc_auc_score(target[:, 0], score[:, 0])
        assert table.loc["b", ["positives", "negatives"]].sum() == 250

    def test_the_averages_are_scikit_learn_s(self):
        target, score, _ = collection()
        means = averages(auroc(target, score, "abcd"))
        assert means["weighted"] == pytest.approx(roc_auc_score(target, score, average="weighted"), abs=1e-12)
        assert means["plain"] == pytest.approx(roc_auc_score(target, score, average="macro"), abs=1e-12)
        assert means["undefined"] == []

    def test_where_no_class_is_defined_the_averages_are_nan(self):
        means = averages(auroc([[0], [0]], [[1], [2]], ["Hernia"]))
        assert math.isnan(means["plain"]) and math.isnan(means["weighted"]) and means["undefined"] == ["Hernia"]

    def test_wrong_input_is_named(self):
        with pytest.raises(DataError, match="row 1, class Mass: the score is nan"):
            auroc([[0], [1]], [[1], [NAN]], ["Mass"])
        with pytest.raises(DataError, match="row 0, class Mass: the target is 2"):
            auroc([[2], [1]], [[1], [0]], ["Mass"])
        with pytest.raises(SettingsError, match="2 names"):
            auroc([[0], [1]], [[1], [0]], ["Mass", "Edema"])


class TestBootstrap:
    def draws(self, target, score, groups, count):
        """The library's AUROC of each draw, and how often each patient was drawn in it."""
        chunks = list(classification._resample(target, score, groups, count, seed=5))
        patients = np.unique(groups)
        chance = np.random.default_rng(5)
        chosen = [patients[chance.integers(0, len(patients), len(patients))] for _ in range(count)]
        return np.concatenate([chunk.values for chunk in chunks]), chosen

    @pytest.mark.parametrize("levels", [None, 2])
    def test_every_draw_is_the_auroc_of_really_repeated_images(self, levels):
        """A naive twin: the rows of each drawn patient, as often as it was drawn, given to scikit-learn."""
        target, score, groups = collection(levels=levels)
        target[:40, 2] = NAN
        values, chosen = self.draws(target, score, groups, 30)
        for drawn, patients in zip(values, chosen, strict=True):
            rows = np.concatenate([np.flatnonzero(groups == patient) for patient in patients])
            for k in range(4):
                known = rows[~np.isnan(target[rows, k])]
                assert drawn[k] == pytest.approx(roc_auc_score(target[known, k], score[known, k]), abs=1e-12)

    def test_a_curve_is_scikit_learn_s_with_weights(self):
        target, score, _ = collection(levels=3)
        weights = np.random.default_rng(1).integers(0, 5, (len(target), 7)).astype(np.float32)
        values, positives = classification.Curve(target[:, 0], score[:, 0]).auroc(weights)
        for draw in range(7):
            assert values[draw] == pytest.approx(
                roc_auc_score(target[:, 0], score[:, 0], sample_weight=weights[:, draw]), abs=1e-12)
            assert positives[draw] == weights[target[:, 0] == 1, draw].sum()

    def test_rows_and_columns_and_the_interval_around_the_figure(self):
        target, score, groups = collection()
        table = bootstrap(target, score, groups, names="abcd", n_bootstrap=200)
        assert list(table.index) == [*"abcd", "weighted mean", "plain mean"]
        assert (table["low"] < table["auroc"]).all() and (table["auroc"] < table["high"]).all()
        means = averages(auroc(target, score, "abcd"))
        assert table["auroc"]["weighted mean"] == means["weighted"] and table["auroc"]["plain mean"] == means["plain"]
        assert (table["draws"] == 200).all()

    def test_the_mean_rows_are_the_quantiles_of_the_means_of_the_draws(self):
        target, score, groups = collection()
        table = bootstrap(target, score, groups, names="abcd", n_bootstrap=30, seed=5)
        values, chosen = self.draws(target, score, groups, 30)
        rows = [np.concatenate([np.flatnonzero(groups == patient) for patient in patients]) for patients in chosen]
        weighted = [roc_auc_score(target[r], score[r], average="weighted") for r in rows]
        for name, drawn in (("weighted mean", weighted), ("plain mean", values.mean(axis=1)), ("c", values[:, 2])):
            np.testing.assert_allclose(table.loc[name, ["low", "high"]].astype(float),
                                       np.quantile(drawn, [0.025, 0.975]), atol=1e-12)

    def test_a_seed_repeats_and_a_chunk_does_not_matter(self, monkeypatch):
        target, score, groups = collection()
        first = bootstrap(target, score, groups, names="abcd", n_bootstrap=50)
        monkeypatch.setattr(resampling, "CHUNK", 7)
        assert bootstrap(target, score, groups, names="abcd", n_bootstrap=50).equals(first)
        assert not bootstrap(target, score, groups, names="abcd", n_bootstrap=50, seed=1).equals(first)

    def test_a_class_lost_in_some_draws_says_how_many_were_used(self):
        """One patient holds the only positives: in about 1 / e of the draws that patient is absent."""
        target, score, groups = collection(classes=2)
        target[:, 1] = groups == groups[0]
        table = bootstrap(target, score, groups, names=["Mass", "Hernia"], n_bootstrap=500)
        assert table["draws"]["Mass"] == table["draws"]["plain mean"] == 500
        assert 500 * (1 - 1 / math.e) == pytest.approx(table["draws"]["Hernia"], abs=45)

    def test_a_class_without_both_outcomes_has_no_interval(self):
        target, score, groups = collection(classes=2)
        target[:, 1] = 0
        table = bootstrap(target, score, groups, names=["Mass", "Hernia"], n_bootstrap=20)
        assert table.loc["Hernia"].isna().tolist() == [True, True, True, False] and table["draws"]["Hernia"] == 0
        assert table["auroc"]["plain mean"] == table["auroc"]["Mass"]

    def test_images_of_one_patient_are_not_independent(self):
        """Each patient's images twice over: the interval stays; images drawn one by one would shrink it by sqrt 2."""
        target, score, groups = collection(images=200, patients=200)
        options = {"names": "abcd", "n_bootstrap": 300}
        twice = bootstrap(np.tile(target, (2, 1)), np.tile(score, (2, 1)), np.tile(groups, 2), **options)
        once = bootstrap(target, score, groups, **options)
        np.testing.assert_allclose(twice[["low", "high"]], once[["low", "high"]], atol=1e-12)
        alone = bootstrap(np.tile(target, (2, 1)), np.tile(score, (2, 1)), np.arange(400), **options)
        width = (alone["high"] - alone["low"]) / (once["high"] - once["low"])
        assert width.mean() == pytest.approx(1 / math.sqrt(2), abs=0.1)

    def test_the_interval_covers_the_truth_as_often_as_it_says(self):
        """Patients share a score offset (6 images each); 95 % intervals must hold the true AUROC 85 times of 100."""
        chance = np.random.default_rng(0)
        covered = narrow = 0
        truth = 0.5 * (1 + math.erf(1 / math.sqrt(2)))  # the difference of a pair is N(sqrt 2, variance 2): Phi(1)
        for trial in range(100):
            sick = np.repeat(chance.random(60) < 0.4, 6)
            score = np.repeat(chance.normal(size=60), 6) * 0.8 + chance.normal(size=360) * 0.6 + math.sqrt(2) * sick
            target, groups = sick[:, None].astype(float), np.repeat(np.arange(60), 6)
            options = {"names": ["Mass"], "n_bootstrap": 200, "seed": trial}
            patient, image = (bootstrap(target, score[:, None], who, **options).loc["Mass"]
                              for who in (groups, np.arange(360)))
            covered += patient["low"] <= truth <= patient["high"]
            narrow += image["low"] <= truth <= image["high"]
        assert covered >= 85 and narrow < covered - 10

    def test_groups_of_another_length_are_refused(self):
        with pytest.raises(SettingsError, match="2 groups for 3 images"):
            bootstrap([[0], [1], [1]], [[1], [2], [3]], [1, 2], names=["Mass"])


    def test_several_trainings_are_averaged_and_drawn(self):
        target, score, groups = collection()
        other = score + np.random.default_rng(1).normal(size=score.shape)
        one, two, both = (bootstrap(target, scores, groups, names="abcd", n_bootstrap=100)
                          for scores in (score, other, [score, other]))
        np.testing.assert_allclose(both["auroc"], (one["auroc"] + two["auroc"]) / 2)
        pd.testing.assert_frame_equal(bootstrap(target, [score, score], groups, names="abcd", n_bootstrap=100), one)
        assert both.loc["plain mean", "high"] - both.loc["plain mean", "low"] > 0

    def test_seeds_that_differ_widen_the_interval(self):
        target, score, groups = collection()
        bad = np.random.default_rng(2).normal(size=score.shape)
        tables = [bootstrap(target, scores, groups, names="abcd", n_bootstrap=200)
                  for scores in ([score] * 2, [score, bad])]
        width = [table.loc["plain mean", "high"] - table.loc["plain mean", "low"] for table in tables]
        assert width[1] > width[0]


class TestPairedDifference:
    def test_the_same_network_twice_differs_by_exactly_0(self):
        target, score, groups = collection()
        found = paired_difference(target, [score] * 3, [score] * 3, groups, n_bootstrap=50)
        assert (found.mean, found.low, found.high, found.seeds) == (0, 0, 0, 3) and not found.decided

    @pytest.mark.parametrize("average", ["weighted", "plain"])
    def test_the_mean_is_over_seeds_of_the_difference_of_mean_aurocs(self, average):
        target, score, groups = collection()
        a, b = (score + np.random.default_rng(s).normal(size=(3, *score.shape)) * s for s in (1, 2))
        found = paired_difference(target, a, b, groups, n_bootstrap=20, average=average)
        kind = {"weighted": "weighted", "plain": "macro"}[average]
        expected = [roc_auc_score(target, x, average=kind) - roc_auc_score(target, y, average=kind)
                    for x, y in zip(a, b, strict=True)]
        assert found.mean == pytest.approx(np.mean(expected), abs=1e-12)

    def test_every_draw_takes_the_same_patients_for_both_and_pairs_of_seeds(self):
        """A naive twin with the same draws: repeated rows, chosen pairs."""
        target, score, groups = collection()
        a, b = (score + np.random.default_rng(s).normal(size=(3, *score.shape)) for s in (1, 2))
        found = paired_difference(target, a, b, groups, n_bootstrap=40, seed=3)
        chance, seeds, patients = np.random.default_rng(3), np.random.default_rng([3, 1]), np.unique(groups)
        drawn = []
        for _ in range(40):
            chosen = patients[chance.integers(0, len(patients), len(patients))]
            rows = np.concatenate([np.flatnonzero(groups == patient) for patient in chosen])
            drawn.append(np.mean([roc_auc_score(target[rows], a[s][rows], average="weighted")
                                  - roc_auc_score(target[rows], b[s][rows], average="weighted")
                                  for s in seeds.integers(0, 3, 3)]))
        assert (found.low, found.high) == pytest.approx(tuple(np.quantile(drawn, [0.025, 0.975])), abs=1e-12)

    def test_pairing_makes_the_interval_narrower_than_two_separate_ones(self):
        target, score, groups = collection()
        near = score + np.random.default_rng(1).normal(size=score.shape) * 0.2
        found = paired_difference(target, [near], [score], groups, n_bootstrap=200)
        alone = bootstrap(target, score, groups, names="abcd", n_bootstrap=200).loc["weighted mean"]
        assert found.high - found.low < 0.5 * (alone["high"] - alone["low"])

    def test_seeds_that_disagree_widen_the_interval(self):
        target, score, groups = collection()
        noise = np.random.default_rng(1).normal(size=score.shape)
        agree = paired_difference(target, [score] * 3, [score + noise] * 3, groups, n_bootstrap=300)
        other = [score + scale * noise for scale in (0, 1, 3)]
        varied = paired_difference(target, [score] * 3, other, groups, n_bootstrap=300)
        assert varied.high - varied.low > 1.5 * (agree.high - agree.low)

    def test_what_has_no_seed_stands_against_every_seed(self):
        target, score, groups = collection()
        many = score + np.random.default_rng(1).normal(size=(3, *score.shape))
        assert paired_difference(target, many, [score], groups, n_bootstrap=20) == paired_difference(
            target, many, [score] * 3, groups, n_bootstrap=20)

    def test_a_class_without_both_outcomes_counts_in_neither(self):
        target, score, groups = collection()
        worse = score + np.random.default_rng(1).normal(size=score.shape)
        empty = np.column_stack([target, np.zeros(len(target))])
        wide = [np.column_stack([x, np.ones(len(x))])[None] for x in (score, worse)]
        assert paired_difference(empty, *wide, groups, n_bootstrap=20, average="plain") == paired_difference(
            target, score[None], worse[None], groups, n_bootstrap=20, average="plain")

    def test_images_and_patients_without_any_target_are_not_counted(self):
        target, score, groups = collection()
        target[groups == groups[0]] = np.nan
        found = paired_difference(target, [score], [score], groups, n_bootstrap=5)
        assert (found.images, found.patients) == ((groups != groups[0]).sum(), len(np.unique(groups)) - 1)

    def test_shapes_that_do_not_fit_are_refused(self):
        target, score, groups = collection()
        with pytest.raises(SettingsError, match="seeds, images, classes"):
            paired_difference(target, score, score, groups)
        with pytest.raises(SettingsError, match="as many seeds each"):
            paired_difference(target, [score] * 2, [score] * 3, groups)
        with pytest.raises(SettingsError, match="average"):
            paired_difference(target, [score], [score], groups, average="median")
