"""Maps against masks: each measure equals its definition, written out, and Quantus where there are no ties."""

import numpy as np
import pytest
import torch

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


class TestTable:
    def test_the_columns_are_the_measures_and_whether_the_map_shows_anything(self, drawn):
        maps, masks = drawn
        maps[3] = -1
        table = loc.measures(maps, masks)
        assert list(table) == [*loc.MEASURES, "shown"]
        for name, measure in loc.MEASURES.items():
            np.testing.assert_array_equal(table[name], measure(maps, masks))
        assert table["shown"].tolist() == [1.0] * 3 + [0.0] + [1.0] * 26

    def test_maps_that_do_not_exist_have_no_row_of_numbers_and_one_mask_serves_all(self, drawn):
        maps, mask = drawn[0], drawn[1][0]
        missing = maps.copy()
        missing[[1, 7]] = np.nan
        names = ["pointing game", "mass accuracy"]
        table, each = loc.measures(missing, mask, names), loc.measures(maps, np.tile(mask, (30, 1, 1)))
        assert list(table) == [*names, "shown"] and table.loc[[1, 7]].isna().all(axis=None)
        rest = np.delete(np.arange(30), [1, 7])
        np.testing.assert_array_equal(table.loc[rest, names], each.loc[rest, names])
        assert loc.measures(maps[:2], np.zeros_like(mask), names)[names].isna().all(axis=None)

    def test_what_does_not_fit_is_named(self, drawn):
        maps, masks = drawn
        with pytest.raises(SettingsError, match="upsample the maps first"):
            loc.measures(maps[:, :3], masks)
        maps[0, 0, 0] = np.nan
        with pytest.raises(DataError, match="1 values are not finite"):
            loc.measures(maps, masks)


class TestMass:
    def test_it_is_the_sum_above_0_within_the_mask(self, drawn):
        maps, masks = drawn
        expected = [sum(value for value, inside in zip(v.ravel(), m.ravel(), strict=True) if inside and value > 0)
                    for v, m in zip(maps, masks, strict=True)]
        np.testing.assert_allclose(loc.mass(maps, masks), expected)

    def test_with_cells_it_is_that_of_the_map_before_it_was_enlarged(self):
        small = np.arange(8.0).reshape(2, 2, 2)
        mask = np.array([[True, False], [False, True]])
        large, masks = np.kron(small, np.ones((5, 3))), np.tile(np.kron(mask, np.ones((5, 3), bool)), (2, 1, 1))
        np.testing.assert_allclose(loc.mass(large, masks, cells=4), [0 + 3, 4 + 7])

    def test_the_change_is_that_less_the_twins_in_the_same_pixels(self, drawn):
        maps, masks = drawn
        maps[2], maps[3] = 0, -1
        table = loc.mass_change(maps, 0.25 * maps, masks, cells=6)
        assert np.isnan(table.loc[2]).all() and (table.loc[3] == 0).all()
        rest = np.delete(np.arange(30), 2)
        np.testing.assert_allclose(table["mass in the cause"][rest], loc.mass(maps, masks, 6)[rest])
        np.testing.assert_allclose(table["its change"][rest], 0.75 * loc.mass(maps, masks, 6)[rest])


class TestCoverage:
    @pytest.mark.parametrize(("size", "shape"), [((64, 48), (8, 8)), ((50, 37), (7, 5)), ((5, 9), (5, 9)),
                                                 ((3, 4), (7, 6))])
    def test_it_is_torchs_adaptive_average(self, size, shape):
        masks = np.random.default_rng(0).random((3, *size)) < 0.4
        theirs = torch.nn.functional.adaptive_avg_pool2d(torch.from_numpy(masks.astype(float)), shape).numpy()
        np.testing.assert_array_equal(loc.coverage(masks, shape), theirs)
        np.testing.assert_array_equal(loc.coverage(masks[0], shape), theirs[0])

    def test_as_a_map_it_points_at_its_mask_and_a_uniform_one_by_chance(self):
        mask = np.kron(np.eye(4, dtype=bool), np.ones((16, 16), bool))
        cells = loc.coverage(mask, (4, 4))
        assert (cells == np.eye(4)).all()
        table = loc.measures(np.kron([cells, np.ones((4, 4))], np.ones((16, 16))), mask)
        assert table["pointing game"].tolist() == [1, 0.25] and table["mass accuracy"].tolist() == [1, 0.25]
