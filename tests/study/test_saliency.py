"""Measurements of maps whose result is known: chance, the mask itself, a planted effect, loops written out."""

from functools import partial
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import spearmanr
from torch import nn

from mdlib.evaluate import localisation
from mdlib.evaluate.per_class import MEAN
from mdlib.explain import gradients, overlay
from mdlib.study import saliency

CHANCE = np.random.default_rng(0)
PAIRS = pd.DataFrame({"finding": ["a"] * 5 + ["b"] * 7, "patient": [1, 1, 2, 3, 4, 1, 2, 5, 6, 7, 8, 8]})
OPTIONS = {"network": "net", "n_bootstrap": 10, "seed": 3}


def masks(side: int = 16) -> np.ndarray:
    """A square in each image, at another place in each."""
    found = np.zeros((len(PAIRS), side, side), bool)
    for i, mask in enumerate(found):
        mask[i:i + 4, 2:2 + 3 + i % 2] = True
    return found


def means_of(table: pd.DataFrame, finding: str = MEAN) -> pd.Series:
    return table[table["finding"] == finding].set_index(["method", "measure"])["mean"]


class Small(nn.Module):
    """Two convolutions; three classes that see the mean of three channels each, and an attention map."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential()
        self.features.add_module("first", nn.Conv2d(1, 4, 3, stride=2))
        self.features.add_module("second", nn.Conv2d(4, 5, 3))
        self.classifier = nn.Linear(5, 3)

    def forward(self, image: torch.Tensor) -> dict:
        features = self.features(image)
        weights = features.mean(dim=1).flatten(1).softmax(dim=1).unflatten(1, features.shape[2:])[:, None]
        return {"logits": self.classifier(features.mean(dim=(2, 3))), "attention": (weights,)}


@pytest.fixture
def network() -> Small:
    torch.manual_seed(0)
    return Small().eval()


def own_class(network: nn.Module, images: torch.Tensor, classes: torch.Tensor,
              explainer=gradients.grad_cam_maps) -> dict[str, np.ndarray]:
    batches = [{"image": images[part], "class_index": classes[part]} for part in (slice(0, 7), slice(7, None))]
    return saliency.own_class_maps(network, batches, {"Grad-CAM first": partial(explainer, layer="features.first")})


def test_own_class_maps_are_those_of_each_image_and_class_alone(network):
    images, classes = torch.rand(12, 1, 16, 16), torch.arange(12) % 3
    found = own_class(network, images, classes)
    assert list(found) == ["Grad-CAM first", "attention 1"]
    for i, k in enumerate(classes.tolist()):
        alone = gradients.grad_cam_maps(network, images[[i]], "features.first", [k])
        assert alone.signal.all()
        np.testing.assert_allclose(found["Grad-CAM first"][i], alone.values[0, 0], rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(found["attention 1"][i], network(images[[i]])["attention"][0][0, 0].detach(),
                                   rtol=1e-4)
    other = own_class(network, images, classes, explainer=gradients.gradient_times_input_maps)
    assert not np.allclose(other["Grad-CAM first"], found["Grad-CAM first"])
    nn.init.zeros_(network.classifier.weight)       # no class gets a gradient
    assert (own_class(network, images, classes)["Grad-CAM first"] == 0).all()
    assert saliency.own_class_maps(network, [], {}) == {}


def test_the_mask_scores_one_and_a_uniform_map_chance():
    inside = masks()
    maps = {"mask": inside.astype(float), "flat": np.full((12, 2, 2), 0.3), "nothing": np.zeros((12, 4, 4))}
    table = saliency.localisation(maps, inside, PAIRS, np.ones(inside.shape), **OPTIONS)
    assert tuple(table.columns) == saliency.COLUMNS
    of = means_of(table)
    chance = PAIRS.assign(share=inside.mean(axis=(1, 2))).groupby("finding")["share"].mean()
    for measure in saliency.MEASURES:
        assert of["mask", measure] == 1 and of["nothing", measure] == 0
        assert of["flat", measure] == pytest.approx(chance.mean())
        assert of["flat", f"{measure} beyond uniform"] == pytest.approx(0, abs=1e-12)
        assert of["mask", f"{measure} beyond location prior"] == pytest.approx(1 - chance.mean())
        assert means_of(table, "b")["uniform", measure] == pytest.approx(chance["b"])
    assert of["mask", "shown"] == 1 and of["nothing", "shown"] == 0
    networks = table.groupby("method")["network"].first()
    assert networks.to_dict() == {"uniform": "no image", "location prior": "no image", "ceiling 2 × 2": "no image",
                                  "ceiling 4 × 4": "no image", "mask": "net", "flat": "net", "nothing": "net"}
    assert table[table["finding"] == "a"]["pairs"].eq(5).all()


def test_the_ceiling_is_the_mask_averaged_over_the_cells_of_a_map():
    inside = np.zeros((2, 16, 16), bool)
    inside[0, :8, :8] = True            # one cell of 2 × 2
    inside[1, 4:12, 4:12] = True        # a quarter of each
    maps = {"fine": np.ones((2, 16, 16)), "coarse": np.ones((2, 2, 2))}
    found = saliency.ceilings(maps, inside)
    assert list(found) == ["ceiling 2 × 2"]
    np.testing.assert_array_equal(found["ceiling 2 × 2"], [[[1, 0], [0, 0]], [[0.25, 0.25], [0.25, 0.25]]])
    np.testing.assert_array_equal(saliency.coarser(inside.astype(np.float32), 2), found["ceiling 2 × 2"])


def test_maps_are_measured_as_one_by_one_and_in_any_number_at_once(monkeypatch):
    inside, raw = masks(), CHANCE.normal(size=(12, 3, 5))
    expected = [[of(overlay.upsample(raw[[i]], (16, 16)), inside[[i]])[0] for of in localisation.MEASURES.values()]
                for i in range(12)]
    np.testing.assert_array_equal(saliency.measures(raw, inside)[[*saliency.MEASURES]], expected)
    monkeypatch.setattr(saliency, "UPSAMPLED_AT_ONCE", 5)
    np.testing.assert_array_equal(saliency.measures(raw, inside)[[*saliency.MEASURES]], expected)


def test_tables_of_networks_can_be_joined_without_repeating_the_references():
    inside = masks()
    tables = [saliency.localisation({"m": CHANCE.random((12, 4, 4))}, inside, PAIRS, np.ones(inside.shape),
                                    **OPTIONS | {"network": name}) for name in ("one", "two")]
    joined = pd.concat(tables).drop_duplicates()
    assert not joined.duplicated(["network", "method", "measure", "finding"]).any()
    assert len(joined) == 2 * len(tables[0]) - (tables[0]["network"] == "no image").sum()


def test_the_location_prior_is_the_mean_mask_of_a_finding():
    inside = masks()
    prior = saliency.location_prior(inside, PAIRS["finding"], ["b", "a", "c", "b"])
    np.testing.assert_allclose(prior[1], inside[:5].mean(axis=0), atol=1e-7)
    np.testing.assert_allclose(prior[0], inside[5:].mean(axis=0), atol=1e-7)
    assert (prior[3] == prior[0]).all() and (prior[2] == 1).all()


def test_without_training_masks_the_prior_is_the_mean_over_other_patients():
    pairs = pd.concat([PAIRS, pd.DataFrame({"finding": ["c"] * 2, "patient": [9, 9]})], ignore_index=True)
    inside = np.concatenate([masks(), masks()[:2]])
    found = saliency.leave_one_patient_out_prior(inside, pairs)
    for i, (finding, patient) in enumerate(pairs.itertuples(index=False)):
        others = (pairs["finding"] == finding) & (pairs["patient"] != patient)
        np.testing.assert_allclose(found[i], inside[others].mean(axis=0) if others.any() else 1, atol=1e-6)
    assert (found[-2:] == 1).all()


def test_a_map_of_what_the_score_rests_on_gains_and_its_reverse_loses():
    inside = masks()
    images = np.where(inside, 1.0, CHANCE.random(inside.shape) / 4)[:, None]

    def predict(pictures: np.ndarray) -> np.ndarray:
        return (pictures[:, 0] * inside).sum(axis=(1, 2)) / inside.sum(axis=(1, 2))

    maps = {"right": inside.astype(float), "wrong": 1.0 - inside, "silent": np.zeros((12, 4, 4))}
    table = saliency.faithfulness(predict, images, maps, PAIRS, steps=8, **OPTIONS)
    assert tuple(table.columns) == saliency.COLUMNS and "silent" not in set(table["method"])
    of = means_of(table)
    for kind in ("deletion", "insertion"):
        assert of["right", kind] > 0.1 and of["wrong", kind] < -0.1
        curve = {order: [of["right", f"{kind} {order} {step}"] for step in range(9)] for order in ("map", "random")}
        areas = {order: np.mean([(a + b) / 2 for a, b in pairwise(points)])
                 for order, points in curve.items()}
        sign = -1 if kind == "deletion" else 1
        assert of["right", kind] == pytest.approx(sign * (areas["map"] - areas["random"]))
        assert curve["map"][0] == curve["random"][0] and curve["map"][-1] == pytest.approx(curve["random"][-1])
    assert of["right", "deletion map 0"] == pytest.approx(of["right", "insertion map 8"])
    assert set(table[table["measure"].str.contains("map")]["finding"]) == {MEAN}


def test_the_random_order_is_drawn_on_the_grid_of_the_map():
    images = CHANCE.random((12, 1, 16, 16))
    asked = []

    def predict(pictures: np.ndarray) -> np.ndarray:
        asked.append(pictures)
        return pictures.mean(axis=(1, 2, 3))

    saliency.faithfulness(predict, images, {"m": CHANCE.random((12, 2, 2))}, PAIRS, steps=4, **OPTIONS)
    replaced = asked[1][:, 0] != images[:, 0]                 # a quarter of the pixels, in the order of the random map
    coarse = overlay.upsample(np.random.default_rng(3).random((12, 2, 2)), (16, 16))
    assert (replaced.sum(axis=(1, 2)) == 64).all()
    assert all(coarse[i][of].min() >= coarse[i][~of].max() for i, of in enumerate(replaced))


def test_maps_without_signal_leave_their_pairs_out_of_faithfulness():
    images, raw = CHANCE.random((12, 1, 16, 16)), CHANCE.random((12, 4, 4))
    raw[[0, 11]] = 0
    table = saliency.faithfulness(lambda pictures: pictures[:, 0, 0, 0], images, {"m": raw}, PAIRS, **OPTIONS)
    count = table[table["measure"] == "deletion"].set_index("finding")["pairs"]
    assert count.to_dict() == {"a": 4, "b": 6, MEAN: 10}


def test_randomisation_compares_with_the_network_losing_its_weights(network):
    torch.manual_seed(1)
    fresh, images, classes = Small(), torch.rand(12, 1, 16, 16), torch.arange(12) % 3
    weights = {name: value.clone() for name, value in network.state_dict().items()}
    before = own_class(network, images, classes)
    table = saliency.randomisation(lambda model: own_class(model, images, classes), network, fresh, PAIRS, **OPTIONS)
    assert all(torch.equal(value, weights[name]) for name, value in network.state_dict().items())
    of = table.set_index(["method", "part"])["mean"]
    assert table.sort_values("step")["part"].unique().tolist() == ["another image", "classifier", "features.second",
                                                                   "features.first"]
    assert of["attention 1", "classifier"] == pytest.approx(1)          # attention is made before the classifier
    after = own_class(fresh.eval(), images, classes)
    for method, raw in before.items():
        each = PAIRS.assign(value=[spearmanr(a.ravel(), b.ravel()).statistic
                                   for a, b in zip(raw, after[method], strict=True)])
        assert of[method, "features.first"] == pytest.approx(each.groupby("finding")["value"].mean().mean())
    other = [2, 2, 3, 4, 0, 6, 7, 8, 9, 10, 5, 5]       # the next pair of the finding that is of another patient
    each = PAIRS.assign(value=[spearmanr(before["attention 1"][i].ravel(), before["attention 1"][j].ravel()).statistic
                               for i, j in enumerate(other)])
    assert of["attention 1", "another image"] == pytest.approx(each.groupby("finding")["value"].mean().mean())


def test_a_finding_of_one_patient_has_no_other_image(network):
    pairs = PAIRS.assign(patient=1)
    images, classes = torch.rand(12, 1, 16, 16), torch.zeros(12, dtype=torch.int64)
    table = saliency.randomisation(lambda model: own_class(model, images, classes), network, Small(), pairs, **OPTIONS)
    assert table[table["part"] == "another image"]["pairs"].eq(0).all()


def test_mass_that_is_planted_to_follow_the_effect_correlates_with_it():
    inside, effect = masks(), CHANCE.normal(size=12)
    follows = inside * (10 + effect)[:, None, None]
    maps = {"follows": follows, "silent": np.zeros((12, 4, 4)), "against": inside * (10 - effect)[:, None, None]}
    without = {"follows": 0 * follows, "silent": np.zeros((12, 4, 4)), "against": 0 * follows}
    size = inside.sum(axis=(1, 2))
    maps = {name: raw / size[:, None, None] for name, raw in maps.items()}     # the mass, not the size
    table = saliency.counterfactuals(effect, maps, without, inside, PAIRS, **OPTIONS)
    assert tuple(table.columns) == saliency.COLUMNS
    of = means_of(table)
    for measure in ("mass in the cause", "its change"):
        assert of["follows", measure] == pytest.approx(1) and of["against", measure] == pytest.approx(-1)
        assert np.isnan(of["silent", measure])
    assert means_of(table, "a")["no image", "effect"] == pytest.approx(effect[:5].mean())
    expected = [spearmanr(effect[of], size[of]).statistic for of in (slice(0, 5), slice(5, 12))]
    assert of["no image", "size of the cause"] == pytest.approx(np.mean(expected))


def test_the_mass_is_counted_in_the_cells_of_the_map():
    inside = np.zeros((12, 16, 16), bool)
    inside[:, :8, :8] = True
    raw = np.zeros((12, 2, 2))
    raw[:, 0, 0], raw[:, 1, 1] = 3, -5
    fine = raw.repeat(8, axis=1).repeat(8, axis=2)
    found = saliency.amounts({"fine": fine, "coarse": raw}, {"fine": fine / 3, "coarse": raw / 3}, inside)
    np.testing.assert_allclose(found["fine", "mass in the cause"], 3 * 64)
    np.testing.assert_allclose(found["fine", "its change"], 2 * 64)
    upsampled = overlay.upsample(raw[0], (16, 16)).clip(min=0)
    np.testing.assert_allclose(found["coarse", "mass in the cause"], upsampled[:8, :8].sum() * 4 / 256)
    np.testing.assert_array_equal(found["no image", "size of the cause"], 0.25)


def test_without_pairs_every_table_is_empty_and_has_its_columns(network):
    none, pictures = PAIRS[:0], np.empty((0, 1, 16, 16), np.float32)
    empty = np.empty((0, 16, 16), bool)
    tables = [saliency.localisation({}, empty, none, empty.astype(float), **OPTIONS),
              saliency.faithfulness(lambda _: np.empty(0), pictures, {}, none, **OPTIONS),
              saliency.counterfactuals(np.empty(0), {}, {}, empty, none, **OPTIONS)]
    assert all(table.empty and tuple(table.columns) == saliency.COLUMNS for table in tables)
    table = saliency.randomisation(lambda _: {}, network, Small(), none, **OPTIONS)
    assert table.empty and tuple(table.columns) == (*saliency.COLUMNS, "step", "part")
    assert saliency.location_prior(empty, [], []).shape == saliency.leave_one_patient_out_prior(empty, none).shape


def test_findings_of_few_pairs_are_not_averaged():
    """The mean over findings is shown where each has enough pairs, else the finding that has most."""
    inside = masks()
    table = saliency.localisation({}, inside, PAIRS, np.ones(inside.shape), **OPTIONS)
    assert saliency.focus(table, min_pairs=5) == MEAN and saliency.focus(table, min_pairs=6) == "b"
    assert saliency.focus(table[:0]) == MEAN
