"""The three findings on a few tiny phantoms and on weights that are known: what follows from the mathematics holds."""

import dataclasses

import numpy as np
import pytest
import torch
from small_networks import DENSENET, densenet
from torch import nn

from mdlib.explain.dead_parameters import dead_parameters
from mdlib.papers import chest
from mdlib.papers.chest import cancelling, libraries

SIZES = dataclasses.replace(chest.PROFILES["embedded"], **DENSENET)


@pytest.mark.parametrize("name", ["att_a", "att_b"])
def test_noise_for_g_changes_no_logit_under_the_softmax_and_every_one_under_the_sigmoid(name):
    torch.manual_seed(0)
    models = {normalise: chest.network(name, SIZES, normalise=normalise).eval() for normalise in ("softmax", "sigmoid")}
    effect = cancelling.effect_of_noise(models, torch.rand(3, 1, 64, 64))["largest change of a logit"]
    assert effect["softmax", "float64"] < 1e-10 < 1e-4 < effect["sigmoid", "float64"]
    assert effect["softmax", "float32"] < 1e-4 < effect["sigmoid", "float32"]
    assert all(weight.dtype == torch.float32 for model in models.values() for weight in model.parameters())


def test_without_attention_networks_there_is_no_effect_to_show():
    effect = cancelling.effect_of_noise({}, torch.rand(3, 1, 64, 64))
    assert effect.empty and effect.query("type == 'float64'")[["largest change of a logit"]].empty


@pytest.mark.parametrize("name, weights, without", [("att_a", 7_920_527, 2_160_128), ("att_b", 6_971_279, 2_163_200)])
@pytest.mark.parametrize("normalise", ["softmax", "sigmoid"])
def test_the_dead_parts_of_the_papers_networks(name, normalise, weights, without):
    """The last block, its norm, and the half of attB's u that multiplies g: those that the text of the page names."""
    torch.manual_seed(0)
    paper = dataclasses.replace(chest.PROFILES["paper"], pretrained=False)
    model = chest.network(name, paper, normalise=normalise).double()
    table = dead_parameters(model, torch.rand(1, 1, 64, 64).double(), cancelling.parts(model))
    dead = table[table["dead"]]
    assert table["weights"].sum() == weights
    if normalise == "sigmoid":
        assert dead.empty
    else:
        of_u = {"attention, u for g"} if name == "att_b" else set()
        assert dead["weights"].sum() == without and set(dead.index) == {"features.denseblock4", "features.norm5"} | of_u


@pytest.fixture
def model():
    return densenet()


@pytest.fixture
def image():
    return torch.rand(3, 1, 96, 96, dtype=torch.float64)


def naive_reading(model, image, k, gradient_after, map_after):
    """Equations 6 and 7, one image and one channel at a time; the head behind norm5 is linear in relu(A)."""
    with torch.no_grad():
        A = model.features[:-1](model.input(image))
        weight = model.classifier.linear.weight[k] / A[0, 0].numel()                # d logit / d relu(A), all pixels
        maps = torch.zeros(len(A), *A.shape[2:], dtype=A.dtype)
        for b in range(len(A)):
            for j in range(A.shape[1]):
                passes = torch.ones_like(A[b, j]) if gradient_after else (A[b, j] > 0).to(A.dtype)
                maps[b] += (weight[j] * passes).mean() * (A[b, j].relu() if map_after else A[b, j])
    return maps


@pytest.mark.parametrize("reading, gradient_after, map_after", [
    (libraries.TEXT, False, False), (libraries.CODE, True, True), (libraries.NEITHER, False, True)])
def test_each_reading_is_what_its_name_says(reading, gradient_after, map_after, model, image):
    maps = libraries.readings(model, image)[reading]
    for k in (0, 9):
        torch.testing.assert_close(maps[:, k], naive_reading(model, image, k, gradient_after, map_after))


def test_behind_torchvisions_in_place_relu_each_library_follows_another_reading(model, image):
    for library in ("captum", "pytorch_grad_cam", "torchcam"):
        pytest.importorskip(library)
    maps = libraries.all_maps(model, libraries.torchvision_twin(model, SIZES), image)
    for library, reading in {"mdlib": "the text", "captum": "the text", "torchcam": "the authors' code",
                             "grad-cam": "neither"}.items():
        found = maps[libraries.IN_PLACE, library]
        np.testing.assert_allclose(found, maps["", reading], rtol=0, atol=libraries.ROUNDING)
        others = [values for (network, name), values in maps.items() if not network and name != reading]
        assert all(np.abs(found - values).max() > 0.01 for values in others)
        np.testing.assert_allclose(maps[libraries.OWN, library], maps["", "the text"], rtol=0, atol=libraries.ROUNDING)
    table = libraries.agreement(maps)
    assert [network for network, _ in table.index] == [libraries.IN_PLACE] * 4 + [libraries.OWN] * 4
    assert (table.loc[libraries.OWN, "max |Δ| the text"] < libraries.ROUNDING).all()
    assert table.loc[libraries.IN_PLACE, "follows"].tolist() == ["the text", "the text", "neither", "the authors' code"]
    assert table.loc[(libraries.IN_PLACE, "mdlib"), "correlation with the text"] == pytest.approx(1)


def test_networks_that_differ_are_not_compared(model, image):
    twin = libraries.torchvision_twin(model, SIZES)
    nn.init.zeros_(twin.classifier.weight)
    with pytest.raises(AssertionError):
        libraries.all_maps(model, twin, image)


def map_of(*maxima):
    """Maps (1, K, 2, 2), each with one pixel above 0."""
    maps = np.zeros((1, len(maxima), 2, 2))
    maps[0, :, 0, 0] = maxima
    return maps


def test_the_finding_that_is_mapped_most_differently_is_one_that_all_libraries_map():
    maps = {(libraries.IN_PLACE, "a"): map_of(0, 1, 1, 1), (libraries.IN_PLACE, "b"): map_of(1, 0.1, 0.5, 0.2),
            (libraries.OWN, "a"): map_of(1, 1, 0, 1), ("", libraries.TEXT): map_of(0, 0, 0, 0)}
    assert libraries.most_different(maps, np.array([[1, 0, 1, 1]])) == (0, 3), "1 is absent, 0 is mapped by b only"
