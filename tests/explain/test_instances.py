"""Instances that a bag's pooling picked: contributions that add up to the logit, as a table and as maps."""

import numpy as np
import pytest
import torch
from small_networks import MIMS_KINDS, SLICES, mims_network

from mdlib.explain.instances import SliceLogits, contrast, instance_maps, picked_instances
from mdlib.models import mims

S = len(SLICES)
BAG = {"bag": SLICES, "sizes": torch.ones(S, dtype=int)}


def test_contrast_is_a_class_against_the_mean_of_the_others():
    weight = torch.tensor([[1.0, 2.0], [4.0, 0.0], [7.0, 4.0]])
    torch.testing.assert_close(contrast(weight)[0], weight[0] - (weight[1] + weight[2]) / 2)
    assert float(contrast(torch.tensor([0.5, 2.0]))[1]) == 1.5


@pytest.mark.parametrize("kind", MIMS_KINDS)
def test_a_map_sums_to_the_log_odds_less_the_biases(kind):
    model = mims_network(**kind)
    found = instance_maps(model, BAG)
    assert found.values.shape == (S, 2, 8, 12) and found.signal.all()
    expected = contrast(found.logits.T - model.classifier.bias.detach()[:, None]).T
    torch.testing.assert_close(found.values.sum(dim=(2, 3)), expected)
    assert instance_maps(model, BAG, cell=16).values.shape == (S, 2, 4, 6)


@pytest.mark.parametrize("kind", MIMS_KINDS[:4])
def test_the_instances_of_a_bag_sum_to_its_log_odds_less_the_biases(kind):
    model = mims_network(**kind)
    with torch.no_grad():
        logits = model(SLICES, torch.tensor([S]))["logits"][0]
    for k in (0, 1):
        found = picked_instances(model, SLICES, k)
        expected = float(contrast(logits - model.classifier.bias.detach())[k])
        assert found["contribution"].sum() == pytest.approx(expected, abs=1e-5)
        assert found["contribution"].is_monotonic_decreasing and set(found["rank"]) == {1, 2, 3, 4, 5}
        assert found["slice"].between(0, S - 1).all() and set(found["scale"]) <= {*model.pathways()[0]}
    assert len(found) == 5 * model.classifier.in_features


def test_where_slices_are_classified_each_has_instances_of_its_own():
    model = mims_network(combine=mims.mean_of_slices)
    found = picked_instances(model, SLICES)
    with torch.no_grad():
        logits = model(**BAG)["slice_logits"]
    expected = contrast((logits - model.classifier.bias.detach()).T)[-1]
    np.testing.assert_allclose(found.groupby("slice")["contribution"].sum(), expected, atol=1e-5)


def test_a_map_spreads_each_instance_over_its_receptive_field():
    """The definition as loops: overlap of box and cell over the area of the box."""
    model = mims_network()
    with torch.no_grad():
        found = model(**BAG, instances=True)["instances"]
    expected = np.zeros((8, 12))
    for channel in range(7):
        for rank in range(5):
            top, left, bottom, right = found["box"][2, channel, rank].tolist()
            weight = (model.classifier.weight[1] - model.classifier.weight[0]).detach()
            amount = float(weight[channel] * found["weight"][2, channel, rank] * found["value"][2, channel, rank])
            for row in range(8):
                for column in range(12):
                    high = max(0, min(bottom, (row + 1) / 8) - max(top, row / 8))
                    wide = max(0, min(right, (column + 1) / 12) - max(left, column / 12))
                    expected[row, column] += amount * high * wide / ((bottom - top) * (right - left))
    np.testing.assert_allclose(instance_maps(model, BAG).values[2, 1], expected, atol=1e-5)


def test_logits_are_those_of_slices_where_a_network_has_such():
    joined, plain = mims_network(combine=mims.mean_of_slices), mims_network()
    with torch.no_grad():
        assert SliceLogits(joined)(bag=SLICES, sizes=torch.tensor([S]))["logits"].shape == (S, 2)
        assert SliceLogits(plain)(bag=SLICES, sizes=torch.tensor([S]))["logits"].shape == (1, 2)
