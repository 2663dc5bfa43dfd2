"""Summaries of units against slow twins and cases that are known."""

import math

import numpy as np
import pytest

from mdlib.errors import SettingsError
from mdlib.evaluate.units import detectors, evidence, near_duplicates, select_units, top_concepts

IOU = np.array([[0.05, 0.30, 0.01], [0.03, 0.02, math.nan], [math.nan] * 3, [0.20, 0.20, 0.0], [0.06, 0.04, 0.0]])
CONCEPTS = ("mass", "vessel", "skin")


def top_images(seed, units=60, images=500, k=12):
    chance = np.random.default_rng(seed)
    return np.stack([chance.permutation(images)[:k] for _ in range(units)])


def test_the_top_concept_of_a_unit_has_its_highest_iou():
    found = top_concepts(IOU, CONCEPTS)
    assert found["concept"].tolist() == ["vessel", "mass", "", "mass", "mass"]
    assert found["iou"].fillna(-1).tolist() == [0.30, 0.03, -1, 0.20, 0.06]
    assert found["detector"].tolist() == [True, False, False, True, True]


def test_units_are_counted_for_their_top_concept_and_the_best_unit_of_each_concept_is_named():
    found = detectors(IOU, CONCEPTS).set_index("concept")
    assert found["detectors"].to_dict() == {"mass": 2, "vessel": 1, "skin": 0}
    assert found["unit"].to_dict() == {"mass": 3, "vessel": 0, "skin": 0}
    assert found["iou"].to_dict() == {"mass": 0.20, "vessel": 0.30, "skin": 0.01}
    assert detectors(IOU, CONCEPTS, above=0.06)["detectors"].tolist() == [1, 1, 0]      # above, not at
    none = detectors(IOU * math.nan, CONCEPTS)
    assert (none["detectors"] == 0).all() and (none["unit"] == -1).all() and none["iou"].isna().all()


def slow_near_duplicates(top, above):
    kept, found = [], []
    for unit, images in enumerate(top):
        images = {image for image in images if image >= 0}
        before = [other for other, others in kept if len(images | others) and
                  len(images & others) / len(images | others) > above]
        found.append(before[0] if before else -1)
        if not before:
            kept.append((unit, images))
    return found


def test_near_duplicates_are_those_of_a_slow_twin():
    chance = np.random.default_rng(0)
    top = np.stack([chance.permutation(11)[:8] for _ in range(80)])                        # many overlaps of 7
    top[5:9, 5:] = -1
    for above in (0.4, 0.75):
        found = near_duplicates(top, above)
        assert found.tolist() == slow_near_duplicates(top, above)
        assert 0 < (found >= 0).sum() < 80


def test_of_8_images_7_in_common_are_too_many_and_6_are_not_and_a_repeated_unit_hides_no_third():
    start, with_7, with_6 = range(8), [*range(7), 20], [*range(6), 21, 22]
    assert near_duplicates(np.array([start, with_7, with_6])).tolist() == [-1, 0, -1]
    chain = np.array([range(8), range(1, 9), range(2, 10)])     # the second repeats the first, the third the second
    assert near_duplicates(chain).tolist() == [-1, 0, -1]
    assert near_duplicates(np.full((2, 8), -1)).tolist() == [-1, -1]       # no images, nothing in common


def test_half_of_the_selected_units_have_the_most_positives_and_the_others_are_random():
    top, positive, dead = top_images(1), np.arange(500) % 3 == 0, np.arange(60) % 10 == 4
    top[7] = top[3]
    found = select_units(top, positive, dead, count=21, seed=5)
    assert len(found) == 21 and found["unit"].is_monotonic_increasing and found["unit"].is_unique
    assert not dead[found["unit"]].any() and 7 not in set(found["unit"])
    counts = positive[top[:, :8]].sum(axis=1)
    assert (found["positives"] == counts[found["unit"]]).all()
    by_positives = found[found["reason"] == "positives"]
    assert len(by_positives) == 11 and (found["reason"] == "random").sum() == 10
    others = [unit for unit in range(60) if not dead[unit] and unit != 7 and unit not in set(by_positives["unit"])]
    assert by_positives["positives"].min() >= counts[others].max()
    assert found.equals(select_units(top, positive, dead, count=21, seed=5))
    assert not found["unit"].equals(select_units(top, positive, dead, count=21, seed=6)["unit"])


def test_every_unit_has_the_same_chance_to_be_drawn_whatever_its_number():
    """No positives at all: the first half is ties, so over seeds each of 20 units is chosen in half of the draws."""
    top, chosen = top_images(2, units=20), np.zeros(20)
    for seed in range(200):
        chosen[select_units(top, np.zeros(500), np.zeros(20), count=10, seed=seed)["unit"]] += 1
    assert abs(chosen - 100).max() < 30                          # 4 standard deviations are 28


def test_where_too_few_units_are_left_all_are_selected():
    top = top_images(3, units=10)
    assert select_units(top, np.ones(500), np.arange(10) < 4)["unit"].tolist() == [4, 5, 6, 7, 8, 9]
    assert select_units(top, np.ones(500), np.ones(10)).empty


def test_a_near_duplicate_of_a_dead_unit_is_kept():
    top = top_images(4, units=2)
    top[1] = top[0]
    assert select_units(top, np.ones(500), [True, False])["unit"].tolist() == [1]


def test_evidence_lists_units_by_the_size_of_what_they_add():
    found = evidence(np.array([0.5, -2.0, 0.0, 1.5]), {1: "vessel", 2: "mass"})
    assert found["unit"].tolist() == [1, 3, 0, 2] and found["label"].tolist() == ["vessel", "", "", "mass"]
    assert found["contribution"].tolist() == [-2.0, 1.5, 0.5, 0.0]
    assert found["share"].tolist() == [0.5, 0.375, 0.125, 0.0]
    assert evidence(np.zeros(2), {})["share"].isna().all()


def test_parameters_that_do_not_fit_are_refused():
    with pytest.raises(SettingsError, match=r"IoU of shape \(5, 3\) for 2 concepts"):
        top_concepts(IOU, ("mass", "skin"))
    top = top_images(0)
    for parameters in ((top[:, :7], np.ones(500), np.zeros(60)), (top, np.ones(400), np.zeros(60)),
                       (top, np.ones(500), np.zeros(59))):
        with pytest.raises(SettingsError, match="Give at least 8 of the images"):
            select_units(*parameters)
    with pytest.raises(SettingsError, match="parameter count"):
        select_units(top, np.ones(500), np.zeros(60), count=0)
