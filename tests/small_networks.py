"""Small networks with random weights, for tests of how networks are explained."""

import torch
from torch import nn
from torchvision.models.resnet import BasicBlock

from mdlib.models import mims, topk
from mdlib.models.backbones import densenet121, layer_channels, resnet_features
from mdlib.models.msconv import MSConv, Primary

DENSENET = {"growth": 4, "blocks": (1, 2, 2, 1), "stem": 8}
# how the MIMS networks of the paper differ, as `mims_network` builds them
MIMS_KINDS = [{}, {"primary": True}, {"scales": (1,)}, {"image_scales": (1 / 2, 1), "scales": (1,)},
              {"combine": mims.mean_of_slices}]
SLICES = torch.rand(6, 1, 64, 96, generator=torch.Generator().manual_seed(1))


def densenet() -> nn.Module:
    """A DenseNet of 15 classes in float64; the ReLU behind norm5 has something to clip, as after training."""
    torch.manual_seed(0)
    built = densenet121(15, **DENSENET).double().eval()
    nn.init.normal_(built.features.norm5.bias)
    return built


def mims_network(scales=(1 / 2, 3 / 4, 1), image_scales=(1,), combine=None, primary=False) -> nn.Module:
    """A MIMS network of two classes."""
    torch.manual_seed(0)
    features = resnet_features(False, (1, 1, 1, 1), 8, BasicBlock, (2, 2, 1, 2, 1, 1))
    channels = layer_channels(features.layer4)
    layer = (Primary(channels, len(image_scales)) if primary else
             MSConv(channels, {2: 3, 3: 4}, scales, inputs=len(image_scales)))
    return mims.MIMSCNN(features, {"layer4": layer}, topk.TopK(5), 2, image_scales, combine).eval()
