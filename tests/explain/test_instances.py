"""Instances that a bag's pooling picked: contributions that add up to the logit, as a table and as maps."""

import numpy as np
import pytest
import torch
from torchvision.models.resnet import BasicBlock

from mdlib.explain.instances import SliceLogits, contrast, instance_maps, picked_instances
from mdlib.models import mims, topk
from mdlib.models.backbones import layer_channels, resnet_features
from mdlib.models.msconv import MSConv, Primary

S = 6
KINDS = [{}, {"primary": True}, {"scales": (1,)}, {"image_scales": (1 / 2, 1), "scales": (1,)},
         {"combine": mims.mean_of_slices}]


def network(scales=(1 / 2, 3 / 4, 1), image_scales=(1,), combine=None, primary=False):
    torch.manual_seed(0)
    features = resnet_features(False, (1, 1, 1, 1), 8, BasicBlock, (2, 2, 1, 2, 1, 1))
    channels = layer_channels(features.layer4)
    layer = (Primary(channels, len(image_scales)) if primary else
             MSConv(channels, {2: 3, 3: 4}, scales, inputs=len(image_scales)))
    return mims.MIMSCNN(features, {"layer4": layer}, topk.TopK(5), 2, image_scales, combine).eval()


@pytest.fixture
def slices():
    return torch.rand(S, 1, 64, 96, generator=torch.Generator().manual_seed(1))


def of_slices(slices):
    return {"bag": slices, "sizes": torch.ones(len(slices), dtype=int)}


def test_contrast_is_a_class_against_the_mean_of_the_others():
    weight = torch.tensor([[1.0, 2.0], [4.0, 0.0], [7.0, 4.0]])
    torch.testing.assert_close(contrast(weight)[0], weight[0] - (weight[1] + weight[2]) / 2)
    assert float(contrast(torch.tensor([0.5, 2.0]))[1]) == 1.5


@pytest.mark.parametrize("kind", KINDS)
def test_a_map_sums_to_the_log_odds_less_the_biases(kind, slices):
    model = network(**kind)
    found = instance_maps(model, of_slices(slices))
    assert found.values.shape == (S, 2, 8, 12) and found.signal.all()
    expected = contrast(found.logits.T - model.classifier.bias.detach()[:, None]).T
    torch.testing.assert_close(found.values.sum(dim=(2, 3)), expected)
    assert instance_maps(model, of_slices(slices), cell=16).values.shape == (S, 2, 4, 6)


@pytest.mark.parametrize("kind", KINDS[:4])
def test_the_instances_of_a_bag_sum_to_its_log_odds_less_the_biases(kind, slices):
    model = network(**kind)
    with torch.no_grad():
        logits = model(slices, torch.tensor([S]))["logits"][0]
    for k in (0, 1):
        found = picked_instances(model, slices, k)
        expected = float(contrast(logits - model.classifier.bias.detach())[k])
        assert found["contribution"].sum() == pytest.approx(expected, abs=1e-5)
        assert found["contribution"].is_monotonic_decreasing and set(found["rank"]) == {1, 2, 3, 4, 5}
        assert found["slice"].between(0, S - 1).all() and set(found["scale"]) <= {*model.pathways()[0]}
    assert len(found) == 5 * model.classifier.in_features


def test_where_slices_are_classified_each_has_instances_of_its_own(slices):
    model = network(combine=mims.mean_of_slices)
    found = picked_instances(model, slices)
    with torch.no_grad():
        logits = model(**of_slices(slices))["slice_logits"]
    expected = contrast((logits - model.classifier.bias.detach()).T)[-1]
    np.testing.assert_allclose(found.groupby("slice")["contribution"].sum(), expected, atol=1e-5)


def test_a_map_spreads_each_instance_over_its_receptive_field(slices):
    """The definition as loops: overlap of box and cell over the area of the box."""
    model = network()
    with torch.no_grad():
        found = model(**of_slices(slices), instances=True)["instances"]
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
    np.testing.assert_allclose(instance_maps(model, of_slices(slices)).values[2, 1], expected, atol=1e-5)


def test_logits_are_those_of_slices_where_a_network_has_such(slices):
    joined, plain = network(combine=mims.mean_of_slices), network()
    with torch.no_grad():
        assert SliceLogits(joined)(bag=slices, sizes=torch.tensor([S]))["logits"].shape == (S, 2)
        assert SliceLogits(plain)(bag=slices, sizes=torch.tensor([S]))["logits"].shape == (1, 2)
