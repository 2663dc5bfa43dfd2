"""One pass gives what loops over units, concepts and images give: IoU at any threshold, top images, AUROC, ceilings."""

import gc

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchvision
from dissection_examples import CONCEPTS, Given, batches, edges, example, naive_iou, up
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score
from torch import nn

from mdlib.explain.concept_masks import Masks
from mdlib.explain.dissection import dissect
from mdlib.explain.dissection_result import prevalence_bound
from mdlib.explain.other_films import OtherFilms
from mdlib.explain.unit_histograms import bilinear


@pytest.mark.parametrize("batch_size", [1, 7, 60])
def test_at_the_edge_of_a_bin_iou_is_that_of_boolean_loops(batch_size):
    maps, masks = example()
    found = dissect(Given(), "maps", batches(maps, batch_size), masks, CONCEPTS, k=1)
    for bins in (60, 200, 240, 300, 350):
        thresholds = edges(found, bins)
        np.testing.assert_allclose(found.iou(thresholds), naive_iou(up(maps), masks, thresholds), rtol=1e-12)
        lit = [(up(maps)[:, unit] > threshold).double().mean() for unit, threshold in enumerate(thresholds)]
        np.testing.assert_allclose(found.lit(thresholds), lit, rtol=1e-12)
    np.testing.assert_allclose(found.prevalence, masks.double().mean(dim=(0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(found.presence, masks.flatten(2).any(dim=2).double().mean(dim=0), rtol=1e-12)
    assert found.n_images == 60 and (found.values[:, 0].sum(axis=1) == up(maps)[:, 0].numel()).all()


def test_by_both_rules_iou_is_that_of_boolean_loops_within_a_thousandth():
    maps, masks = example(n=800, side=8)
    found = dissect(Given(), "maps", batches(maps, 50), masks, CONCEPTS, k=1)
    maximum = 0.2 * maps.amax(dim=(0, 2, 3)).double().numpy()
    quantile = np.quantile(up(maps).transpose(0, 1).flatten(1).numpy(), 0.995, axis=1)
    for rule, thresholds in (("maximum", maximum), ("quantile", quantile)):
        np.testing.assert_allclose(found.thresholds(rule), thresholds, rtol=2e-3)
        np.testing.assert_allclose(found.iou(rule), naive_iou(up(maps), masks, thresholds), atol=1e-3)
    np.testing.assert_allclose(found.lit("quantile"), 0.005, rtol=1e-9)
    np.testing.assert_allclose(found.thresholds("maximum"), maximum, rtol=1e-6)
    assert found.iou("maximum")[0, 0] > 0.3 > 0.05 > found.iou("quantile")[0, 2]


def test_a_scale_grows_by_six_orders_of_magnitude_up_and_down_and_loses_no_value():
    maps, masks = example(n=40)
    factors = 10 ** torch.linspace(-3, 3, 40)[:, None, None, None]
    grown = dissect(Given(), "maps", batches(maps * factors, 2), masks, CONCEPTS, k=1)
    shrunk = dissect(Given(), "maps", batches((maps * factors).flip(0), 2), masks.flip(0), CONCEPTS, k=1)
    for found in (grown, shrunk):
        assert (found.values[:, 0].sum(axis=1) == up(maps)[:, 0].numel()).all()
        for rule, atol in (("maximum", 3e-3), ("quantile", 0.02)):       # 0.5 % are 51 positions here
            np.testing.assert_allclose(
                found.iou(rule), naive_iou(up(maps * factors), masks, found.thresholds(rule)), atol=atol)


def test_a_unit_that_is_seldom_above_zero_is_lit_where_it_is():
    maps = torch.zeros(50, 2, 4, 4)
    maps[3, 0, 1, 1], maps[:, 1, 0, 0] = 2.0, torch.linspace(1, 2, 50)
    found = dissect(Given(), "maps", batches(maps, 5), k=1)
    assert found.thresholds("quantile")[0] == 0 and found.lit("quantile")[0] == (up(maps)[:, 0] > 0).double().mean()
    assert found.lit("quantile")[1] == pytest.approx(0.005)
    assert found.top.index.tolist() == [[3], [49]]


def test_units_that_are_dead_or_nowhere_positive_are_flagged_and_get_no_iou():
    maps, masks = example(n=20, units=4)
    maps[:, 0], maps[:, 1], maps[:, 2] = 0, -1.5, -maps[:, 1].abs() - 0.1
    found = dissect(Given(), "maps", batches(maps, 6), masks, CONCEPTS, k=1)
    assert found.dead.tolist() == [True, True, False, False] and found.negative.tolist() == [True, True, True, False]
    assert np.isnan(found.thresholds("maximum")).tolist() == [True, True, True, False]
    assert np.isnan(found.iou("quantile")[:, 0]).tolist() == [True, True, False, False]
    assert np.isnan(found.iou("quantile")[:, 3]).all()                    # the concept that occurs nowhere


def test_top_images_are_those_of_a_stable_sort_with_their_maps():
    maps = torch.randint(-3, 4, (50, 5, 3, 3)).float() * torch.tensor([1e-9, 1, 7, 1e3, 1e9])[:, None, None]
    found = dissect(Given(), "maps", batches(maps, 8), k=20).top
    order = (-maps.amax(dim=(2, 3)).T).sort(dim=1, stable=True)[1][:, :20]
    assert np.array_equal(found.index, order) and found.index.shape == (5, 20)
    assert np.array_equal(found.score, maps.amax(dim=(2, 3)).T.gather(1, order)) and found.maps.dtype == np.float16
    for unit in range(5):
        np.testing.assert_allclose(found.map_of(unit, 19), maps[order[unit, 19], unit], rtol=1e-3)


def test_auroc_of_the_maximum_is_that_of_scikit_learn():
    maps, masks = example(n=300)
    found = dissect(Given(), "maps", batches(maps, 32), masks, CONCEPTS, k=1)
    auroc = found.auroc()
    present, scores = masks.flatten(2).any(dim=2).numpy(), maps.amax(dim=(2, 3)).numpy()
    for unit in range(6):
        for concept in range(3):
            have = found.peaks[unit, 1 + concept].astype(float)
            lack = found.peaks[unit, 0] - have
            ties = (have * lack).sum() / 2 / have.sum() / lack.sum()               # the most that the bins can hide
            expected = roc_auc_score(present[:, concept], scores[:, unit])
            assert ties < 0.02 and auroc[unit, concept] == pytest.approx(expected, abs=ties)
    assert np.isnan(auroc[:, 3]).all()


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1))
def test_the_iou_of_two_sets_is_at_most_the_ratio_of_their_sizes(pixels):
    A, B = np.array(pixels).T
    if A.any() and B.any():
        assert (A & B).sum() / (A | B).sum() <= prevalence_bound(A.mean(), B.mean()) + 1e-12


@given(st.floats(0, 3), st.integers(0, 3))
def test_no_iou_exceeds_its_bound(threshold, seed):
    maps, masks = example(n=4, seed=seed)
    found = dissect(Given(), "maps", batches(maps, 4), masks, CONCEPTS, k=1)
    for rule in ("maximum", "quantile", np.full(6, threshold)):
        assert not (found.iou(rule) > found.bound(rule) + 1e-12).any()


def test_a_frequent_concept_cannot_pass_004_where_half_a_percent_is_lit():
    assert prevalence_bound(0.005, np.array([0.138, 0.125, 0.0002])) == pytest.approx([0.036, 0.04, 0.04], abs=5e-4)
    maps, masks = example(n=200)
    masks[:, 3] = up(maps)[:, 0] > np.quantile(up(maps)[:, 0], 0.862)      # the unit itself, at another threshold
    found = dissect(Given(), "maps", batches(maps, 50), masks, CONCEPTS, k=1)
    assert found.iou("quantile")[0, 3] == pytest.approx(found.ceiling_prevalence[3], rel=0.01) and (
        found.ceiling_prevalence[3] == pytest.approx(0.036, abs=5e-4))
    assert found.iou(np.full(6, np.quantile(up(maps)[:, 0], 0.862)))[0, 3] == pytest.approx(1, abs=0.01)


def test_the_ceiling_of_the_resolution_is_the_best_threshold_of_the_averaged_mask():
    torch.manual_seed(0)
    masks = torch.zeros(30, 3, 32, 32, dtype=torch.bool)
    masks[:, 0, 8:24, 4:20], masks[:, 1], masks[5, 2, :, 9] = True, torch.rand(30, 32, 32) < 0.3, True
    found = dissect(Given(), "maps", batches(torch.rand(30, 2, 8, 8), 7), masks, CONCEPTS[:3], k=1)
    smooth = up(F.avg_pool2d(masks.double(), 4))
    best = [max(naive_iou(smooth[:, [c]], masks[:, [c]], [t])[0, 0] for t in np.linspace(0, 0.99, 100))
            for c in range(3)]
    np.testing.assert_allclose(found.ceiling_resolution, best, atol=0.01)
    assert found.ceiling_resolution[0] > 0.8 > 0.51 > found.ceiling_resolution[2]       # a block, a thin line


def test_the_null_is_the_iou_with_the_masks_of_other_films():
    maps, masks = torch.zeros(40, 2, 4, 4), torch.zeros(40, 1, 16, 16, dtype=torch.bool)
    film = torch.arange(40) // 20
    maps[film == 0, 0, :, :2], maps[film == 1, 0, :, 2:] = 1.0, 1.0        # lit where the concept is
    maps[:, 1] = 1 - maps[:, 0]                                            # lit where it is in the other film
    masks[film == 0, :, :, :8], masks[film == 1, :, :, 8:] = True, True
    found = dissect(Given(), "maps", batches(maps, 10), masks, ("mass",), groups=film, draws=5, k=1)
    assert found.null("maximum").shape == (2, 1, 5)
    for iou, of in ((found.iou("maximum"), masks), (found.null("maximum").mean(axis=2), ~masks)):
        np.testing.assert_allclose(iou, naive_iou(up(maps), of, [0.2, 0.2]), rtol=1e-6)
    assert found.iou("maximum")[0, 0] > 0.85 > 0.1 > found.null("maximum")[0].max()


def test_partners_are_of_other_films_and_each_is_as_likely():
    groups = np.array(["a", "b", "a", "c", "b", "a"])
    null = OtherFilms(Masks(np.eye(6, dtype=bool).reshape(6, 1, 2, 3), ("mass",), (2, 3)), groups, 1, 2, 3000, seed=1)
    for image, group in enumerate(groups):
        [(drawn_masks, _)] = null.draw(np.array([image]))
        drawn, count = np.unique(drawn_masks.argmax(dim=0), return_counts=True)          # a mask shows whose it is
        assert drawn.tolist() == np.flatnonzero(groups != group).tolist()
        assert count == pytest.approx(3000 / len(drawn), rel=0.15)


def test_memory_does_not_depend_on_the_number_of_images_and_is_below_150_mb_for_2048_units():
    sizes = []

    def measured():
        for i in range(0, 24, 2):
            sizes.append(sum(of.untyped_storage().nbytes() for of in gc.get_objects() if type(of) is torch.Tensor))
            yield {"image": torch.rand(2, 2048, 8, 8), "index": torch.arange(i, i + 2)}

    gc.collect()
    masks = np.random.default_rng(0).random((24, 11, 32, 32)) < 0.05
    dissect(Given(), "maps", measured(), masks, [f"concept {i}" for i in range(11)], groups=np.arange(24), k=20)
    assert max(sizes[3:]) - sizes[0] < 120e6 and abs(sizes[-1] - sizes[3]) < 1e6


@pytest.mark.parametrize("build, layer, size, shape", [
    (lambda: torchvision.models.alexnet(num_classes=2), "features.10", 227, (256, 13, 13)),
    (lambda: torchvision.models.vgg11(num_classes=2, init_weights=False), "features.18", 64, (512, 4, 4)),
    (lambda: torchvision.models.resnet50(num_classes=2), "layer3", 64, (1024, 4, 4)),
    (lambda: torchvision.models.inception_v3(num_classes=2, init_weights=False), "Mixed_7c", 139, (2048, 3, 3))])
def test_layers_of_torchvision_are_dissected_and_the_network_is_left_as_it_was(build, layer, size, shape):
    torch.manual_seed(0)
    model, images = build(), torch.rand(4, 3, size, size)
    masks = torch.rand(4, 1, 2 * shape[1], 2 * shape[2]) < 0.2
    found = dissect(model, layer, batches(images, 2), masks, ("mass",), k=3, label_grid=2)
    assert found.top.maps.shape == (shape[0], 3, *shape[1:]) and found.values.shape[:2] == (shape[0], 2)
    assert model.training and not any(module._forward_hooks for module in model.modules())
    outputs = []
    model.eval().get_submodule(layer).register_forward_hook(lambda m, i, output: outputs.append(output.clone()))
    with torch.no_grad():
        model(images)
    np.testing.assert_allclose(found.largest, outputs[0].amax(dim=(0, 2, 3)), rtol=1e-4, atol=1e-5)
    assert (found.top.score[:, 0] == found.largest.astype(np.float32)).all()


def test_the_null_of_random_masks_is_that_of_naive_draws():
    torch.manual_seed(0)
    maps, masks = torch.randn(400, 3, 4, 4), F.interpolate(torch.rand(400, 1, 4, 4), scale_factor=4) < 0.3
    maps[:, 0] += 2 * masks[:, 0, ::4, ::4]
    films, random = np.arange(400) // 20, np.random.default_rng(0)
    found = dissect(Given(), "maps", batches(maps, 50), masks, ("mass",), groups=films, k=1)
    for rule in ("maximum", "quantile"):
        others = [[random.choice(np.flatnonzero(films != film)) for film in films] for _ in range(20)]
        naive = np.stack([naive_iou(up(maps), masks[rows], found.thresholds(rule)) for rows in others], axis=-1)
        null = found.null(rule)
        error = np.sqrt((null.var(axis=2) + naive.var(axis=2)) / 20)
        assert (abs(null.mean(axis=2) - naive.mean(axis=2)) < 3 * error).all()
        assert (error < 0.06 * null.mean(axis=2)).all()
        np.testing.assert_allclose(null.std(axis=2), naive.std(axis=2), rtol=0.6)
        assert found.iou(rule)[0, 0] > 2 * null[0].max()


def test_half_precision_is_added_up_in_float32():
    torch.manual_seed(0)
    model, images = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU()), torch.rand(40, 3, 8, 8)
    masks = torch.rand(40, 1, 24, 24) < 0.3
    whole = dissect(model, "1", batches(images, 10), masks, ("mass",), k=3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = dissect(model, "1", batches(images, 10), masks, ("mass",), k=3)
    np.testing.assert_allclose(half.largest, whole.largest, rtol=0.02)
    np.testing.assert_allclose(half.iou("maximum"), whole.iou("maximum"), atol=0.02)
    assert (half.largest != whole.largest).any() and (half.values[:, 0].sum(axis=1) == 40 * 24 * 24).all()


def test_finer_masks_are_reduced_by_the_majority_of_the_area_and_may_come_from_a_function():
    maps, masks = example(n=12)
    fine = masks.repeat_interleave(3, dim=2).repeat_interleave(3, dim=3)
    fine[..., ::3, ::3] = False                                                        # a ninth of each cell
    source = fine.byte() * 255
    found = [dissect(Given(), "maps", batches(maps, 5), of, CONCEPTS, k=1)
             for of in (masks, source.numpy(), lambda rows: source[rows])]
    assert all(np.array_equal(found[0].values, other.values) for other in found[1:])


@pytest.mark.parametrize("size, factor", [(4, 4), (7, 2), (13, 3)])
def test_two_matrix_products_are_bilinear_upsampling(size, factor):
    torch.manual_seed(0)
    maps, matrix = torch.randn(2, 3, size, size), bilinear(size, factor)
    torch.testing.assert_close((matrix @ maps @ matrix.T).double(), up(maps, factor), rtol=1e-5, atol=1e-5)
