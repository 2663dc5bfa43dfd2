import math

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, precision_score, recall_score, roc_curve

from mdlib.errors import DataError, SettingsError
from mdlib.evaluate.thresholds import RATES, at, choose

NAN = math.nan


def collection(images=300, classes=3, patients=90, seed=0, levels=None):
    """Targets, probabilities that know something of them, and patients; of few `levels` there are ties."""
    chance = np.random.default_rng(seed)
    target = (chance.random((images, classes)) < chance.uniform(0.1, 0.6, classes)).astype(float)
    probability = 1 / (1 + np.exp(-chance.normal(size=(images, classes)) - target))
    probability = probability if levels is None else np.round(probability * levels) / levels
    return target, probability, chance.integers(0, patients, images)


def naive_rates(truth, called):
    """Counted one image at a time."""
    cells = {(t, c): sum(1 for x, y in zip(truth, called, strict=True) if (x, y) == (t, c))
             for t in (0, 1) for c in (False, True)}

    def share(part, other):
        return part / (part + other) if part + other else NAN
    hit, missed, alarm, rest = cells[1, True], cells[1, False], cells[0, True], cells[0, False]
    return [share(hit, missed), share(rest, alarm), share(hit, alarm), share(rest, missed)]


class TestChoose:
    def test_a_known_answer(self):
        """From 0.4 up all positives and one of two negatives are called; from 0.6 up one of two positives: J is 1/2."""
        table = choose([[0], [0], [1], [1]], [[0.1], [0.5], [0.4], [0.6]], ["Mass"])
        assert table.loc["Mass"].tolist() == [0.6, 0.5, 1, 2, 2]

    @pytest.mark.parametrize("levels", [None, 5])
    def test_no_probability_as_threshold_has_a_higher_j_and_no_higher_one_the_same(self, levels):
        target, probability, _ = collection(levels=levels)
        table = choose(target, probability, "abc")
        for k, name in enumerate("abc"):
            candidates = np.unique(probability[:, k])
            j = np.array([sum(naive_rates(target[:, k], probability[:, k] >= c)[:2]) - 1 for c in candidates])
            expected = candidates[np.flatnonzero(np.isclose(j, j.max(), atol=1e-12))[-1]]
            assert table["threshold"][name] == expected
            assert table.loc[name, ["sensitivity", "specificity"]].sum() - 1 == pytest.approx(j.max(), abs=1e-12)

    def test_it_is_the_corner_of_scikit_learns_roc_curve(self):
        target, probability, _ = collection()
        for k in range(3):
            alarms, hits, thresholds = roc_curve(target[:, k], probability[:, k])
            best = np.argmax(hits - alarms)
            row = choose(target[:, [k]], probability[:, [k]], ["x"]).iloc[0]
            assert row["threshold"] == thresholds[best]
            assert (row["sensitivity"], row["specificity"]) == pytest.approx((hits[best], 1 - alarms[best]), abs=1e-12)

    def test_a_perfect_network_has_sensitivity_and_specificity_1(self):
        target, _, _ = collection()
        assert (choose(target, 0.2 + 0.5 * target, "abc")[["sensitivity", "specificity"]] == 1).all(axis=None)

    def test_a_network_that_says_the_same_of_every_image_calls_them_all(self):
        row = choose([[0], [1], [1]], [[0.3]] * 3, ["Mass"]).iloc[0]
        assert (row["threshold"], row["sensitivity"], row["specificity"]) == (0.3, 1, 0)

    def test_unknown_targets_are_left_out_of_their_class_only(self):
        target, probability, _ = collection()
        holes = target.copy()
        holes[:100, 1] = NAN
        table, all_known = choose(holes, probability, "abc"), choose(target, probability, "abc")
        assert table.loc["b"].tolist() == choose(target[100:], probability[100:], "abc").loc["b"].tolist()
        assert table.loc[["a", "c"]].equals(all_known.loc[["a", "c"]])

    def test_a_class_without_both_outcomes_has_no_threshold_but_its_counts(self):
        table = choose([[1, 0, NAN], [0, 0, NAN]], [[0.2] * 3, [0.1] * 3], ["Mass", "Hernia", "Edema"])
        assert table["threshold"].isna().tolist() == [False, True, True]
        assert table.loc["Hernia", ["positives", "negatives"]].tolist() == [0, 2]
        assert table.loc["Edema", ["positives", "negatives"]].tolist() == [0, 0]

    def test_wrong_input_is_named(self):
        with pytest.raises(DataError, match="row 1, class Mass: the score is nan"):
            choose([[0], [1]], [[1], [NAN]], ["Mass"])
        with pytest.raises(SettingsError, match="2 names"):
            choose([[0], [1]], [[1], [0]], ["Mass", "Edema"])


class TestAt:
    def test_the_rates_are_counted_and_are_scikit_learns(self):
        target, probability, groups = collection(levels=10)
        table = at(target, probability, [0.5, 0.6, 0.4], groups, names="abc", n_bootstrap=5)
        for k, (name, threshold) in enumerate(zip("abc", [0.5, 0.6, 0.4], strict=True)):
            truth, called = target[:, k], probability[:, k] >= threshold
            assert table.loc[name, list(RATES)].tolist() == pytest.approx(naive_rates(truth, called), abs=1e-12)
            assert table["sensitivity"][name] == pytest.approx(recall_score(truth, called))
            assert table["specificity"][name] == pytest.approx(recall_score(truth, called, pos_label=0))
            assert table["ppv"][name] == pytest.approx(precision_score(truth, called))
            assert table["called"][name] == confusion_matrix(truth, called)[:, 1].sum()

    def test_a_patient_drawn_twice_counts_twice(self):
        """A naive twin: the rows of each drawn patient, as often as it was drawn, counted one by one."""
        target, probability, groups = collection()
        target[:40, 2] = NAN
        table = at(target, probability, [0.5, 0.6, 0.4], groups, names="abc", n_bootstrap=40, seed=3)
        chance, patients, drawn = np.random.default_rng(3), np.unique(groups), []
        for _ in range(40):
            chosen = patients[chance.integers(0, len(patients), len(patients))]
            rows = np.concatenate([np.flatnonzero(groups == patient) for patient in chosen])
            drawn.append([naive_rates(target[rows, k], probability[rows, k] >= t) for k, t in enumerate([.5, .6, .4])])
        low, high = np.quantile(drawn, [0.025, 0.975], axis=0)  # (classes, rates)
        for r, rate in enumerate(RATES):
            np.testing.assert_allclose(table[f"{rate}_low"], low[:, r], atol=1e-12)
            np.testing.assert_allclose(table[f"{rate}_high"], high[:, r], atol=1e-12)

    def test_the_validation_part_gives_the_figures_of_choose_back(self):
        target, probability, groups = collection()
        chosen = choose(target, probability, "abc")
        table = at(target, probability, chosen["threshold"], groups, names="abc", n_bootstrap=5)
        np.testing.assert_allclose(table[["sensitivity", "specificity"]], chosen[["sensitivity", "specificity"]])

    def test_a_perfect_network_has_sensitivity_and_specificity_1_in_every_draw(self):
        target, _, groups = collection()
        table = at(target, target, [0.5] * 3, groups, names="abc", n_bootstrap=50)
        assert (table[[rate + end for rate in RATES for end in ("", "_low", "_high")]] == 1).all(axis=None)

    def test_a_probability_equal_to_the_threshold_is_called(self):
        assert at([[1], [0]], [[0.3], [0.2]], [0.3], [1, 2], names=["Mass"], n_bootstrap=2)["sensitivity"].item() == 1

    def test_what_is_not_defined_is_nan_and_never_0(self):
        table = at([[1, 0, 1], [0, 0, 0]], [[0.2] * 3, [0.1] * 3], [0.9, 0.1, NAN], [1, 2], names="abc", n_bootstrap=5)
        assert np.isnan(table["ppv"]["a"]) and table["sensitivity"]["a"] == 0
        assert np.isnan(table["sensitivity"]["b"]) and table["specificity"]["b"] == 0
        assert table.loc["c", list(RATES)].isna().all() and table["called"]["c"] == 0

    def test_a_seed_repeats(self):
        target, probability, groups = collection()
        tables = [at(target, probability, [0.5] * 3, groups, names="abc", n_bootstrap=120, seed=s) for s in (0, 0, 1)]
        assert tables[0].equals(tables[1]) and not tables[0].equals(tables[2])

    def test_images_of_one_patient_are_not_independent(self):
        """Each image twice over, of the same patient: the interval stays."""
        target, probability, groups = collection()
        options = {"names": "abc", "n_bootstrap": 200}
        once = at(target, probability, [0.5] * 3, groups, **options)
        twice = at(np.tile(target, (2, 1)), np.tile(probability, (2, 1)), [0.5] * 3, np.tile(groups, 2), **options)
        columns = ["sensitivity_low", "sensitivity_high", "specificity_low", "specificity_high"]
        np.testing.assert_allclose(twice[columns], once[columns], atol=1e-12)

    def test_the_interval_covers_the_truth_as_often_as_it_says(self):
        """Four images a patient share what decides; 95 % intervals must hold the true sensitivity 90 times of 100."""
        chance, covered, alone = np.random.default_rng(0), 0, 0
        for trial in range(100):
            called = np.repeat(chance.random(80) < 0.7, 4) ^ (chance.random(320) < 0.05)  # 0.7 x 0.95 + 0.3 x 0.05
            truth = 0.68
            rows = [at(np.ones((320, 1)), called[:, None].astype(float), [0.5], who, names=["Mass"], n_bootstrap=200,
                       seed=trial).iloc[0] for who in (np.repeat(np.arange(80), 4), np.arange(320))]
            hold = [row["sensitivity_low"] <= truth <= row["sensitivity_high"] for row in rows]
            covered, alone = covered + hold[0], alone + hold[1]
        assert covered >= 90 and alone < covered - 10

    def test_shapes_that_do_not_fit_are_refused(self):
        target, probability, groups = collection()
        with pytest.raises(SettingsError, match="thresholds"):
            at(target, probability, [0.5] * 2, groups, names="abc")
        with pytest.raises(SettingsError, match="2 groups for 300 images"):
            at(target, probability, [0.5] * 3, [1, 2], names="abc")
        with pytest.raises(DataError, match="score is inf"):
            at([[1.0]], [[math.inf]], [0.5], [1], names=["Mass"])
