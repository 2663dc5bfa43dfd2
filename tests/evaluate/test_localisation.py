"""Maps against masks: each measure equals its definition, written out, and Quantus where there are no ties."""

import numpy as np
import pytest

from mdlib.errors import DataError, SettingsError
from mdlib.evaluate import localisation as loc

MEASURES = tuple(loc.MEASURES.values())


def naive(maps, masks, share=0.5):
    """The four measures as defined, an image and a pixel at a time; ties share by trying every order's mean."""
    rows = []
    for values, mask in zip(maps.tolist(), masks.tolist(), strict=True):
        v = [max(0.0, x) for row in values for x in row]
        m = [x for row in mask for x in row]
        top = [i for i in range(len(v)) if v[i] == max(v)]
        lit = [x >= share * max(v) for x in v]
        ranked, size, won = sorted(set(v), reverse=True), sum(m), 0.0
        left = size
        for level in ranked:
            at = [i for i in range(len(v)) if v[i] == level]
            taken = min(left, len(at))
            won += taken * sum(m[i] for i in at) / len(at)
            left -= taken
        rows.append((sum(m[i] for i in top) / len(top),
                     sum(map(min, lit, m)) / sum(map(max, lit, m)),
                     sum(x for x, inside in zip(v, m, strict=True) if inside) / sum(v), won / size))
    return np.array(rows)


@pytest.fixture
def drawn():
    chance = np.random.default_rng(0)
    masks = chance.random((30, 7, 6)) < 0.3
    masks[:, 0, 0] = True
    return chance.standard_normal((30, 7, 6)), masks


@pytest.mark.parametrize("ties", [False, True])
def test_each_measure_is_its_definition(drawn, ties):
    maps, masks = drawn
    maps = np.round(maps) if ties else maps
    found = np.stack([measure(maps, masks) for measure in MEASURES], axis=1)
    np.testing.assert_allclose(found, naive(maps, masks), atol=1e-12)


def test_quantus_says_the_same_where_pixels_do_not_tie(drawn, quantus):
    maps, masks = np.abs(drawn[0]), drawn[1]
    given = {"model": None, "x_batch": np.zeros((30, 1, 7, 6)), "y_batch": np.zeros(30, int), "a_batch": maps[:, None],
             "s_batch": masks[:, None]}
    for ours, theirs in ((loc.pointing_game, quantus.PointingGame), (loc.mass_accuracy, quantus.RelevanceMassAccuracy),
                         (loc.rank_accuracy, quantus.RelevanceRankAccuracy)):
        metric = theirs(abs=False, normalise=False, disable_warnings=True)
        np.testing.assert_allclose(ours(maps, masks), metric(**given), rtol=1e-12)


def test_the_mask_itself_is_perfect_and_its_opposite_is_worthless(drawn):
    masks = drawn[1]
    for measure in MEASURES:
        np.testing.assert_array_equal(measure(masks.astype(float), masks), 1)
        np.testing.assert_array_equal(measure(1.0 - masks, masks), 0)


def test_a_uniform_map_scores_chance_in_every_measure(drawn):
    masks = drawn[1]
    for measure in MEASURES:
        np.testing.assert_allclose(measure(np.full(masks.shape, 0.3), masks), loc.chance(masks))


def test_random_maps_score_chance_on_average():
    chance = np.random.default_rng(1)
    masks = np.zeros((4000, 8, 8), bool)
    masks[:, 2:5, 1:6] = True
    for measure in (loc.pointing_game, loc.mass_accuracy, loc.rank_accuracy):
        assert measure(chance.random(masks.shape), masks).mean() == pytest.approx(15 / 64, abs=0.02)


def test_no_measure_minds_how_large_the_values_are(drawn):
    maps, masks = drawn
    for measure in MEASURES:
        np.testing.assert_allclose(measure(1e-7 * maps, masks), measure(maps, masks))


def test_a_map_with_nothing_above_0_is_a_miss_and_an_empty_mask_is_undefined(drawn):
    maps, masks = drawn
    maps[0], maps[1], masks[2] = 0, -1, False
    for measure in MEASURES:
        score = measure(maps, masks)
        assert score[0] == score[1] == 0 and np.isnan(score[2]) and not np.isnan(score[3:]).any()
    assert loc.shown(maps).tolist() == [False, False] + [True] * 28


@pytest.mark.parametrize("maps, masks", [(np.ones((2, 3, 3)), np.ones((2, 4, 3), bool)),
                                         (np.ones((3, 3)), np.ones((3, 3), bool)), (np.ones((2, 3, 3)),) * 2])
def test_what_does_not_fit_is_named(maps, masks):
    with pytest.raises(SettingsError, match="maps"):
        loc.mass_accuracy(maps, masks)


def test_a_map_that_is_not_finite_is_refused(drawn):
    maps, masks = drawn
    maps[3, 2, 1] = np.nan
    with pytest.raises(DataError, match="not finite"):
        loc.pointing_game(maps, masks)
