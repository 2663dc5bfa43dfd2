import math

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, recall_score, roc_auc_score

from mdlib.errors import DataError, SettingsError
from mdlib.evaluate import average_precision, classification, thresholds
from mdlib.evaluate.subgroups import MEASURES, compare

THRESHOLDS = [0.6, 0.5]


def collection(images=400, patients=120, seed=0):
    """Targets and probabilities of two classes, the view of each image, and patients, who have both views."""
    chance = np.random.default_rng(seed)
    target = (chance.random((images, 2)) < 0.35).astype(float)
    probability = 1 / (1 + np.exp(-chance.normal(size=(images, 2)) - target))
    return target, probability, np.where(chance.random(images) < 0.4, "AP", "PA"), chance.integers(0, patients, images)


def naive(truth, probability, threshold):
    """MEASURES by scikit-learn."""
    called = probability >= threshold
    return [roc_auc_score(truth, probability), average_precision_score(truth, probability),
            recall_score(truth, called), recall_score(truth, called, pos_label=0)]


def test_every_figure_is_that_of_the_part_alone():
    target, probability, view, groups = collection()
    table = compare(target, probability, THRESHOLDS, view, groups, names="ab", parts=["PA", "AP"], n_bootstrap=2)
    assert table["measure"].drop_duplicates().tolist() == list(MEASURES) and len(table) == 4 * 2 * 2
    for (part, name), found in table.groupby(["part", "class"]):
        rows, k = view == part, "ab".index(name)
        expected = naive(target[rows, k], probability[rows, k], THRESHOLDS[k])
        assert found["value"].tolist() == pytest.approx(expected, abs=1e-12)
        assert (found["positive_patients"] == len(set(groups[rows & (target[:, k] == 1)]))).all()
        assert (found["positives"] == target[rows, k].sum()).all() and (found["images"] == rows.sum()).all()


def test_every_draw_takes_the_same_patients_in_both_parts():
    """A naive twin: the rows of each drawn patient, both views, as often as it was drawn."""
    target, probability, view, groups = collection()
    table = compare(target, probability, THRESHOLDS, view, groups, names="ab", parts=["PA", "AP"], n_bootstrap=30,
                    seed=3)
    chance, patients, drawn = np.random.default_rng(3), np.unique(groups), []
    for _ in range(30):
        chosen = patients[chance.integers(0, len(patients), len(patients))]
        rows = np.concatenate([np.flatnonzero(groups == patient) for patient in chosen])
        pa, ap = (rows[view[rows] == part] for part in ("PA", "AP"))
        drawn.append([naive(target[r, 1], probability[r, 1], THRESHOLDS[1]) for r in (pa, ap)])
    pa, ap = np.moveaxis(np.array(drawn), 1, 0)
    found = table[(table["class"] == "b") & (table["part"] == "AP")]
    np.testing.assert_allclose(found[["low", "high"]].T, np.quantile(ap, [0.025, 0.975], axis=0), atol=1e-12)
    np.testing.assert_allclose(found[["difference_low", "difference_high"]].T,
                               np.quantile(ap - pa, [0.025, 0.975], axis=0), atol=1e-12)


def test_a_part_that_holds_all_images_has_the_intervals_of_the_whole():
    target, probability, _, groups = collection()
    options = {"names": "ab", "n_bootstrap": 150, "seed": 4}
    table = compare(target, probability, THRESHOLDS, ["all"] * 400, groups, parts=["all"], **options)
    ends = table.set_index(["measure", "class"])[["low", "high"]]
    areas = {"AUROC": classification.bootstrap(target, probability, groups, **options)[:2],
             "average precision": average_precision.average_precision(target, probability, groups, **options)}
    expected = {measure: of[["low", "high"]] for measure, of in areas.items()}
    rates = thresholds.at(target, probability, THRESHOLDS, groups, **options)
    expected |= {rate: rates[[f"{rate}_low", f"{rate}_high"]] for rate in ("sensitivity", "specificity")}
    for measure, values in expected.items():
        np.testing.assert_allclose(ends.loc[measure], values, atol=1e-12)
    assert (table[["difference", "difference_low", "difference_high"]] == 0).all(axis=None)


def test_a_part_of_too_few_is_left_blank_and_its_counts_are_not():
    target, probability, view, groups = collection()
    target[:, 0] = np.where((view == "AP") & (np.cumsum(target[:, 0] * (view == "AP")) > 9), 0, target[:, 0])
    table = compare(target, probability, THRESHOLDS, view, groups, names="ab", parts=["PA", "AP"], n_bootstrap=20)
    blank = (table["part"] == "AP") & (table["class"] == "a")
    columns = ["value", "low", "high", "difference", "difference_low", "difference_high"]
    assert table.loc[blank, columns].isna().all(axis=None) and table.loc[~blank, columns].notna().all(axis=None)
    assert (table.loc[blank, "positives"] == 9).all()
    several = compare(target, probability, THRESHOLDS, view, groups % 9, names="ab", parts=["PA", "AP"], n_bootstrap=20)
    assert several["value"].isna().all(), "many images of nine patients are still of nine"
    first = compare(target, probability, THRESHOLDS, view, groups, names="ab", parts=["AP", "PA"], n_bootstrap=20)
    other = first[(first["part"] == "PA") & (first["class"] == "a")]
    assert other["value"].notna().all() and other["difference"].isna().all(), "there is nothing to compare with"


def test_images_outside_all_parts_are_left_out():
    target, probability, view, groups = collection()
    view = view.astype(object)
    view[:100] = None
    table = compare(target, probability, THRESHOLDS, view, groups, names="ab", parts=["PA", "AP"], n_bootstrap=2)
    assert table.groupby(["measure", "class"])["images"].sum().eq(300).all()


def test_a_network_that_fails_in_one_part_is_found_out():
    target, probability, view, groups = collection(2000, 2000)
    probability[view == "AP"] = np.random.default_rng(1).random((sum(view == "AP"), 2))
    table = compare(target, probability, THRESHOLDS, view, groups, names="ab", parts=["PA", "AP"], n_bootstrap=200)
    auroc = table[(table["measure"] == "AUROC") & (table["part"] == "AP")]
    assert (auroc["difference_high"] < -0.1).all() and (auroc["low"] < 0.5).all()


def test_wrong_input_is_named():
    target, probability, view, groups = collection()
    with pytest.raises(SettingsError, match="3 parts for 400 images"):
        compare(target, probability, THRESHOLDS, ["PA"] * 3, groups, names="ab", parts=["PA"])
    with pytest.raises(SettingsError, match="thresholds"):
        compare(target, probability, [0.5], view, groups, names="ab", parts=["PA"])
    with pytest.raises(DataError, match="the score is nan"):
        compare(target, probability * math.nan, THRESHOLDS, view, groups, names="ab", parts=["PA"])
