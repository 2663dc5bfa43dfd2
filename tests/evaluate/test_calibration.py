import math

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss

from mdlib.errors import DataError, SettingsError
from mdlib.evaluate.calibration import errors, reliability

NAN = math.nan


def calibrated(images=1000, classes=3, patients=300, seed=0):
    """Probabilities, targets drawn with just these probabilities, and patients."""
    chance = np.random.default_rng(seed)
    probability = chance.beta(1, 3, (images, classes))
    target = (chance.random((images, classes)) < probability).astype(float)
    return target, probability, chance.integers(0, patients, images)


class TestReliability:
    @pytest.mark.parametrize("images, decimals", [(1000, 9), (1001, 9), (1000, 1)])
    def test_the_points_are_scikit_learns_with_quantiles(self, images, decimals):
        target, probability, groups = calibrated(images)
        probability = probability.round(decimals)
        table = reliability(target, probability, groups, names="abc", n_bins=10, n_bootstrap=2)
        for k, name in enumerate("abc"):
            share, mean = calibration_curve(target[:, k], probability[:, k], n_bins=10, strategy="quantile")
            of = table[table["class"] == name]
            np.testing.assert_allclose(of["share"], share, atol=1e-12)
            np.testing.assert_allclose(of["probability"], mean, atol=1e-12)
            assert of["images"].sum() == images and of["positives"].sum() == target[:, k].sum()

    def test_bins_hold_as_many_images_each_and_equal_probabilities_stay_together(self):
        target, probability, groups = calibrated()
        assert (reliability(target, probability, groups, names="abc", n_bins=10, n_bootstrap=2)["images"] == 100).all()
        same = reliability([[0], [1], [1]], [[0.2], [0.2], [0.2]], [1, 2, 3], names=["Mass"], n_bootstrap=2)
        assert same[["images", "positives", "probability"]].values.tolist() == [pytest.approx([3, 2, 0.2])]

    def test_a_patient_drawn_twice_counts_twice(self):
        """A naive twin: each image in its bin as before, as often as its patient was drawn."""
        target, probability, groups = calibrated(200, 1, 60)
        table = reliability(target, probability, groups, names=["Mass"], n_bins=4, n_bootstrap=30, seed=3)
        order = np.argsort(probability[:, 0]).reshape(4, 50)
        chance, drawn = np.random.default_rng(3), []
        patients = np.unique(groups)
        for _ in range(30):
            chosen = patients[chance.integers(0, len(patients), len(patients))].tolist()
            times = [[chosen.count(groups[i]) for i in images] for images in order]
            drawn.append([np.average(target[images, 0], weights=t) for images, t in zip(order, times, strict=True)])
        np.testing.assert_allclose(table[["low", "high"]].T, np.quantile(drawn, [0.025, 0.975], axis=0), atol=1e-12)

    def test_of_a_calibrated_network_about_95_of_100_intervals_hold_the_mean_probability(self):
        target, probability, groups = calibrated(6000, 5, 6000)
        table = reliability(target, probability, groups, names="abcde", n_bootstrap=400)
        holds = (table["low"] <= table["probability"]) & (table["probability"] <= table["high"])
        assert len(table) == 50 and holds.sum() >= 43

    def test_unknown_targets_are_left_out_of_their_class_only(self):
        target, probability, groups = calibrated()
        holes = target.copy()
        holes[:500, 0], holes[:, 1] = NAN, NAN
        table = reliability(holes, probability, groups, names="abc", n_bootstrap=2).set_index("class")
        alone = reliability(target[500:], probability[500:], groups[500:], names="abc", n_bootstrap=2)
        alone = alone.set_index("class")
        columns = ["images", "positives", "probability", "share"]
        np.testing.assert_allclose(table.loc["a", columns], alone.loc["a", columns])
        assert "b" not in table.index and table.loc["c", "images"].sum() == 1000

    def test_wrong_input_is_named(self):
        with pytest.raises(DataError, match=r"row 1, class Mass: the probability is 1\.5.*no logits"):
            reliability([[0], [1]], [[1], [1.5]], [1, 2], names=["Mass"])
        with pytest.raises(DataError, match="the score is nan"):
            reliability([[0], [1]], [[1], [NAN]], [1, 2], names=["Mass"])
        with pytest.raises(SettingsError, match="1 bins"):
            reliability([[0], [1]], [[1], [0]], [1, 2], names=["Mass"], n_bins=1)
        with pytest.raises(SettingsError, match="3 groups for 2 images"):
            reliability([[0], [1]], [[1], [0]], [1, 2, 3], names=["Mass"])


class TestErrors:
    def test_the_brier_score_is_scikit_learns(self):
        target, probability, groups = calibrated()
        table = errors(target, probability, groups, names="abc", n_bootstrap=2)
        for k, name in enumerate("abc"):
            assert table["brier"][name] == pytest.approx(brier_score_loss(target[:, k], probability[:, k]), abs=1e-12)

    def test_the_calibration_error_is_the_mean_gap_of_the_reliability_curve(self):
        target, probability, groups = calibrated()
        table = errors(target, probability, groups, names="abc", n_bins=7, n_bootstrap=2)
        curve = reliability(target, probability, groups, names="abc", n_bins=7, n_bootstrap=2)
        for name in "abc":
            of = curve[curve["class"] == name]
            naive = sum(row.images / 1000 * abs(row.probability - row.share) for row in of.itertuples())
            assert table["ece"][name] == pytest.approx(naive, abs=1e-12)

    def test_a_patient_drawn_twice_counts_twice(self):
        """A naive twin of the intervals: as often as each patient was drawn, every image in its bin as before."""
        target, probability, groups = calibrated(200, 1, 60)
        row = errors(target, probability, groups, names=["Mass"], n_bins=4, n_bootstrap=30, seed=3).iloc[0]
        order, gap = np.argsort(probability[:, 0]).reshape(4, 50), (probability - target)[:, 0]
        chance, patients, means, briers, off = np.random.default_rng(3), np.unique(groups), [], [], []
        for _ in range(30):
            chosen = patients[chance.integers(0, len(patients), len(patients))].tolist()
            times = np.array([chosen.count(group) for group in groups])
            means.append(np.average(gap, weights=times))
            briers.append(np.average(gap ** 2, weights=times))
            off.append(sum(abs((gap * times)[i].sum() / times.sum() - gap[i].sum() / 200) for i in order))
        for name, drawn in (("gap", means), ("brier", briers)):
            assert (row[f"{name}_low"], row[f"{name}_high"]) == pytest.approx(
                tuple(np.quantile(drawn, [0.025, 0.975])), abs=1e-12)
        assert row["ece_chance"] == pytest.approx(np.quantile(off, 0.95), abs=1e-12)
        assert row["ece_high"] == row["ece"] + row["ece_chance"]

    def test_a_perfect_network_has_0_of_all_and_one_that_gives_the_prevalence_is_calibrated_and_useless(self):
        target, _, groups = calibrated()
        perfect = errors(target, target, groups, names="abc", n_bootstrap=5)
        assert (perfect[["gap", "brier", "brier_high", "ece", "ece_high", "ece_chance"]] == 0).all(axis=None)
        useless = errors(target, np.tile(target.mean(axis=0), (1000, 1)), groups, names="abc", n_bootstrap=5)
        np.testing.assert_allclose(useless["brier"], useless["brier_prevalence"], atol=1e-12)
        np.testing.assert_allclose(useless[["gap", "ece"]], 0, atol=1e-12)

    @pytest.mark.parametrize("images_of_a_patient", [1, 4])
    def test_of_calibrated_networks_at_most_about_5_of_100_seem_not_to_be(self, images_of_a_patient):
        """200 drawings of the targets, equal within a patient: the interval of the calibration error must hold 0."""
        chance = np.random.default_rng(1)
        probability = np.repeat(chance.beta(1, 3, (250, 1)), 200, axis=1)
        target = (chance.random(probability.shape) < probability).astype(float)
        target, probability = (np.repeat(values, images_of_a_patient, axis=0) for values in (target, probability))
        groups = np.repeat(np.arange(250), images_of_a_patient)
        table = errors(target, probability, groups, names=range(200), n_bootstrap=200)
        assert (table["ece_low"] > 0).mean() <= 0.09
        if images_of_a_patient > 1:
            alone = errors(target, probability, np.arange(1000), names=range(200), n_bootstrap=200)
            assert (alone["ece_low"] > 0).mean() > 0.5, "four images of one patient are not four patients"

    def test_the_interval_holds_the_true_calibration_error(self):
        """Probabilities that are off by a tenth everywhere, to both sides: the error is 0.1, 95 times of 100 inside."""
        chance = np.random.default_rng(2)
        probability = np.repeat(chance.choice([0.2, 0.4, 0.6, 0.8], 500)[:, None], 200, axis=1)
        truth = probability + np.where((probability == 0.2) | (probability == 0.6), 0.1, -0.1)
        table = errors(chance.random(truth.shape) < truth, probability, np.arange(500), names=range(200),
                       n_bootstrap=200)
        assert ((table["ece_low"] <= 0.1) & (table["ece_high"] >= 0.1)).mean() >= 0.95

    def test_probabilities_that_are_twice_too_high_show(self):
        target, probability, groups = calibrated()
        row = errors(target, np.minimum(2 * probability, 1), groups, names="abc", n_bootstrap=100).iloc[0]
        assert row["ece_low"] > row["ece_chance"] and row["gap_low"] > 0.1

    def test_unknown_targets_are_left_out_and_where_all_are_there_is_no_figure(self):
        target, probability, groups = calibrated()
        target[:, 1], target[:500, 0] = NAN, NAN
        table = errors(target, probability, groups, names="abc", n_bootstrap=5)
        assert table.loc["b"].drop("images").isna().all() and table["images"].tolist() == [500, 0, 1000]
        alone = errors(target[500:], probability[500:], groups[500:], names="abc", n_bootstrap=5)
        columns = ["gap", "brier", "brier_prevalence", "ece", "prevalence", "images"]
        np.testing.assert_allclose(table.loc["a", columns], alone.loc["a", columns])
