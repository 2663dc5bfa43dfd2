"""What a MIMS network says of slices and where: contributions that add up, slices alone and in their volume."""

import numpy as np
import pytest
import torch
from torchvision.models.resnet import BasicBlock

from mdlib.models import mims, topk
from mdlib.models.backbones import layer_channels, resnet_features
from mdlib.models.msconv import MSConv, Primary
from mdlib.recipes.mims import explained


def network(scales=(1 / 2, 3 / 4, 1), image_scales=(1,), combine=None, primary=False):
    """A small network of the chapter with weights as they start, but for what tells scales and channels apart."""
    torch.manual_seed(0)
    features = resnet_features(False, (1, 1, 1, 1), 8, BasicBlock, (2, 2, 1, 2, 1, 1))
    channels = layer_channels(features.layer4)
    layer = (Primary(channels, len(image_scales)) if primary else
             MSConv(channels, {2: 3, 3: 4}, scales, inputs=len(image_scales)))
    return mims.Mims(features, {"layer4": layer}, topk.TopK(5), 2, image_scales, combine).eval()


@pytest.fixture
def slices():
    return torch.rand(6, 1, 64, 96, generator=torch.Generator().manual_seed(1))


KINDS = [{}, {"primary": True}, {"scales": (1,)}, {"image_scales": (1 / 2, 1), "scales": (1,)},
         {"combine": mims.mean_of_slices}]


@pytest.mark.parametrize("kind", KINDS)
def test_the_map_of_the_picked_instances_sums_to_the_logit_less_its_bias(kind, slices):
    model = network(**kind)
    found = explained.maps(model, slices)[explained.PICKED]
    assert found.values.shape == (6, 2, 8, 12) and found.signal.all()
    torch.testing.assert_close(found.values.sum(dim=(2, 3)), found.logits - model.classifier.bias.detach())
    torch.testing.assert_close(explained.said(model, slices)[1], found.logits)


@pytest.mark.parametrize("kind", KINDS[:4])
def test_the_picks_of_a_volume_sum_to_its_logit_less_its_bias(kind, slices):
    model = network(**kind)
    whole, _ = explained.said(model, slices)
    for k in (0, 1):
        found = explained.picks(model, slices, k)
        assert found["contribution"].sum() == pytest.approx(float(whole[k] - model.classifier.bias[k]), abs=1e-5)
        assert found["contribution"].is_monotonic_decreasing and set(found["rank"]) == {1, 2, 3, 4, 5}
    assert len(found) == 5 * model.classifier.in_features
