"""Eq. 2 of Li et al. against a sorted list, bag by bag, and what must hold for bags of unequal size."""

import math

import numpy as np
import pytest
import torch

from mdlib.errors import SettingsError
from mdlib.models.topk import Mean, TopK

SIZES = [3, 1, 5]
SHAPES = [(2, 3), (4, 4), (1, 2)]


def bags_of(shapes=SHAPES, sizes=SIZES, channels=4, shift=0.0):
    torch.manual_seed(0)
    return [(torch.randn(sum(sizes), channels, *shape, dtype=torch.float64) + shift).requires_grad_()
            for shape in shapes]


def eq_2(maps, sizes, theta):
    """sum_r w_r a_r, from the sorted list of every value of a channel in a bag; w renormalised if some are missing."""
    maps = [x.detach().numpy() for x in maps]
    pooled, first = np.zeros((len(sizes), maps[0].shape[1])), 0
    for b, size in enumerate(sizes):
        for j in range(maps[0].shape[1]):
            values = sorted((v for x in maps for v in x[first:first + size, j].ravel()), reverse=True)[:len(theta)]
            w = [math.exp(t) for t in theta[:len(values)]]
            pooled[b, j] = sum(weight * value for weight, value in zip(w, values, strict=True)) / sum(w)
        first += size
    return pooled


def topk(k, random=False):
    pool = TopK(k).double()
    if random:
        pool.theta.data.normal_()
    return pool


@pytest.mark.parametrize("shapes, sizes", [(SHAPES, SIZES), (SHAPES[:1], SIZES), (SHAPES, [1]), ([(1, 1)], [2, 1, 4])])
@pytest.mark.parametrize("k", [1, 2, 5, 40])
@pytest.mark.parametrize("shift", [0, -50])
def test_pooling_is_eq_2_on_the_sorted_values_of_each_bag(k, shapes, sizes, shift):
    maps, pool = bags_of(shapes, sizes, shift=shift), topk(k, random=True)
    np.testing.assert_allclose(pool(maps, sizes).detach(), eq_2(maps, sizes, pool.theta.tolist()), rtol=0, atol=1e-12)


def test_the_weights_start_by_halving_from_rank_to_rank():
    np.testing.assert_allclose(TopK(5).weights().detach(), np.array([16, 8, 4, 2, 1]) / 31, rtol=1e-6)
    assert sum(w.numel() for w in TopK(5).parameters()) == 5


def test_k_1_is_max_and_uniform_weights_over_all_are_the_mean():
    maps = bags_of()
    everything = topk(1000)
    everything.theta.data.zero_()
    for pool, reduce in ((topk(1), torch.max), (everything, torch.mean), (Mean(), torch.mean)):
        pooled = pool(maps, SIZES)
        for b, parts in enumerate(zip(*(x.split(SIZES) for x in maps), strict=True)):
            for j in range(4):
                values = torch.cat([part[:, j].flatten() for part in parts])
                torch.testing.assert_close(pooled[b, j], reduce(values), rtol=0, atol=1e-12)


@pytest.mark.parametrize("pool", [topk(4), Mean()])
def test_neither_the_order_of_slices_nor_of_bags_matters(pool):
    maps = bags_of()
    pooled = pool(maps, SIZES)
    within = [2, 0, 1, 3, 8, 4, 6, 5, 7]
    torch.testing.assert_close(pool([x[within] for x in maps], SIZES), pooled, rtol=0, atol=1e-12)
    swapped = [4, 5, 6, 7, 8, 3, 0, 1, 2]
    torch.testing.assert_close(pool([x[swapped] for x in maps], SIZES[::-1]), pooled.flip(0), rtol=0, atol=1e-12)


@pytest.mark.parametrize("pool", [topk(4), topk(7), Mean()])
def test_a_bag_comes_out_the_same_alone_and_beside_others(pool):
    maps = bags_of([(1, 2)], shift=-100)
    together = pool(maps, SIZES)
    for b, part in enumerate(maps[0].split(SIZES)):
        torch.testing.assert_close(pool([part], [SIZES[b]])[0], together[b], rtol=0, atol=1e-12)
    assert together.max() < 0


def test_fewer_candidates_than_k_leave_finite_gradients_that_are_those_of_differences():
    maps, pool = bags_of([(1, 1), (1, 2)], [1, 2]), topk(5, random=True)
    assert torch.autograd.gradcheck(lambda *x: pool(list(x), [1, 2]), maps)
    pool(maps, [1, 2]).square().sum().backward()
    assert all(x.grad.isfinite().all() for x in [*maps, pool.theta])
    alone = topk(5, random=True)
    alone([maps[0][:1]], [1]).sum().backward()
    assert not alone.theta.grad.any()    # of one candidate no weight can be learned, least of all an absent rank's


@pytest.mark.parametrize("k", [3, 12])
def test_the_winners_point_at_the_values_that_were_pooled(k):
    sizes = [1, 3, 2]
    maps, pool = bags_of([(1, 2), (2, 3)], sizes), topk(k, random=True)
    won, first = pool.winners(maps, sizes), 0
    torch.testing.assert_close((won["weight"] * won["value"]).sum(-1), pool(maps, sizes), rtol=0, atol=1e-12)
    for b, size in enumerate(sizes):
        there = min(k, 8 * size)
        for j in range(4):
            places = torch.stack([won[name][b, j] for name in ("slice", "pathway", "y", "x")], dim=1).tolist()
            assert len(set(map(tuple, places[:there]))) == there
            for (s, p, y, x), value in zip(places[:there], won["value"][b, j], strict=False):
                assert 0 <= s < size and maps[p][first + s, j, y, x] == value
            assert all(place == [-1] * 4 for place in places[there:])
            assert not won["weight"][b, j, there:].any() and not won["value"][b, j, there:].any()
        first += size


def test_mean_picks_nothing_and_k_is_at_least_one():
    with pytest.raises(SettingsError, match="mean pooling picks no instances"):
        Mean().winners(bags_of(), SIZES)
    with pytest.raises(SettingsError, match="parameter k: is 0"):
        TopK(0)
