import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdlib.errors import DataError, SettingsError
from mdlib.evaluate.retrieval import correct_conclusion_recall


def naive(scores, query_class, image_class, own, ks, leave_out_own):
    """The definition, query by query: sort the images to be found, count the first k."""
    rows = []
    for n, line in enumerate(scores):
        pool = [m for m in range(len(line)) if not (leave_out_own and m == own[n])]
        ranked = sorted(pool, key=lambda m: (-line[m], m))
        row = []
        for k in [*ks, len(pool)]:
            first = [image_class[m] == query_class[n] for m in ranked[:k]]
            row.append(sum(first) / len(first) if first else np.nan)
        rows.append(row)
    return rows


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.integers(1, 14), st.integers(1, 5), st.booleans())
def test_it_is_the_definition_with_ties_and_short_pools(seed, queries, images, levels, leave_out_own):
    chance = np.random.default_rng(seed)
    scores = chance.integers(0, levels, (queries, images)).astype(float)
    scores[chance.random(scores.shape) < 0.1] = -np.inf
    query_class, image_class = chance.integers(0, 4, queries), chance.integers(0, 4, images)
    own = chance.integers(-1, images, queries)
    found = correct_conclusion_recall(scores, query_class, image_class, own, leave_out_own=leave_out_own)
    assert list(found) == ["Cr@1", "Cr@5", "Cr@10", "chance"]
    np.testing.assert_allclose(found, naive(scores, query_class, image_class, own, (1, 5, 10), leave_out_own))


def test_an_image_found_by_its_own_report_counts_only_where_it_may():
    scores, classes = np.array([[9.0, 1, 0], [0, 9, 1], [1, 0, 9]]), np.array([0, 1, 1])
    inside, outside = (correct_conclusion_recall(scores, classes, classes, np.arange(3), (1, 2), leave_out_own=out)
                       for out in (False, True))
    assert inside["Cr@1"].tolist() == [1, 1, 1] and outside["Cr@1"].tolist() == [0, 1, 0]
    assert inside["chance"].tolist() == pytest.approx([1 / 3, 2 / 3, 2 / 3])
    assert outside["chance"].tolist() == [0, 0.5, 0.5]


def test_scores_that_know_nothing_find_as_many_as_chance():
    chance = np.random.default_rng(0)
    classes = chance.choice(4, 300, p=[0.1, 0.4, 0.4, 0.1])
    found = correct_conclusion_recall(chance.normal(size=(300, 300)), classes, classes, np.arange(300),
                                      leave_out_own=True)
    assert (found.mean() - found["chance"].mean()).abs().max() < 0.06


def test_ties_are_broken_by_order():
    found = correct_conclusion_recall(np.zeros((1, 3)), [1], [0, 1, 1], [-1], (1, 2), leave_out_own=False)
    assert found.loc[0, ["Cr@1", "Cr@2"]].tolist() == [0, 0.5]


def test_a_class_that_is_not_there_is_never_found():
    found = correct_conclusion_recall(np.ones((1, 3)), [7], [0, 1, 1], [-1], leave_out_own=True)
    assert (found == 0).all(axis=None)


def test_wrong_input_is_named():
    with pytest.raises(DataError, match="query 0, image 1: the score is nan"):
        correct_conclusion_recall([[0.0, np.nan]], [0], [0, 1], [0], leave_out_own=True)
    with pytest.raises(DataError, match="own columns from 2 to 2"):
        correct_conclusion_recall([[0.0, 1]], [0], [0, 1], [2], leave_out_own=True)
    with pytest.raises(SettingsError, match="shapes"):
        correct_conclusion_recall([[0.0, 1]], [0], [0, 1, 1], [0], leave_out_own=True)
    with pytest.raises(SettingsError, match="from 1"):
        correct_conclusion_recall([[0.0, 1]], [0], [0, 1], [0], (0, 1), leave_out_own=True)
