"""The networks of the twelve methods and seven poolings, built from the tables of `methods`, and their weights."""

from dataclasses import replace

import pandas as pd
import torch
from torch import nn
from torchvision.models.resnet import BasicBlock, Bottleneck

from mdlib.errors import SettingsError
from mdlib.models import mims, topk
from mdlib.models.backbones import count, layer_channels, resnet_features
from mdlib.models.msconv import MSConv, Primary
from mdlib.recipes.mims.methods import METHODS, ONE, POOLINGS, Method
from mdlib.recipes.mims.settings import KERNELS, PROFILES, Mims

# what the text, read with eq. 1 and 2, makes of the head with two classes, and of ResNet-101 without its FC
TEXT_WEIGHTS = {"head_oct": 250061, "head_mmd": 266467, "head_crc": 369307, "backbone": 42500160}


def network(method: str, collection: str, settings: Mims, pooling: str = "top5", classes: int = 2) -> mims.MIMSCNN:
    """One of METHODS with one of POOLINGS, as it is trained on a collection.

    A collection without kernels of its own takes methods without any. Raises SettingsError for another name."""
    for name, known in ((method, METHODS), (pooling, POOLINGS)):
        if name not in known:
            raise SettingsError("it is not known", f"network of {name!r}", f"Known: {', '.join(known)}.")
    of, pool = METHODS[method], POOLINGS[pooling]
    features = backbone(settings, of.scratch)
    secondary = {level: _layer(of, layer_channels(features.get_submodule(level)), KERNELS.get(collection, ()))
                 for level in of.levels}
    combine = mims.mean_of_slices if of.slice_by_slice else mims.max_of_slices if pool == "max_inst" else None
    pooled = topk.Mean() if pool == "mean" else topk.TopK(5 if pool == "max_inst" else pool)
    return mims.MIMSCNN(features, secondary, pooled, classes, of.image_scales, combine)


def _layer(of: Method, channels: int, pairs: tuple[tuple[int, int], ...]) -> nn.Module:
    """What makes secondary maps of a level of the backbone."""
    if of.kernels == "none":
        return Primary(channels, len(of.image_scales))
    kernels = dict(pairs) if of.kernels == "collection" else {ONE: sum(count for _, count in pairs)}
    return MSConv(channels, kernels, of.scales, of.dilations, of.normalise, inputs=len(of.image_scales))


def backbone(settings: Mims, scratch: bool = False) -> nn.Sequential:
    """The layers below: ResNet-101 with ImageNet's weights where the settings ask for them, or ResNet-34 without."""
    if scratch:
        return resnet_features(False, settings.scratch_layers, settings.width, BasicBlock, settings.strides)
    return resnet_features(settings.pretrained == "imagenet", settings.layers, settings.width, Bottleneck,
                           settings.strides)


def weights() -> pd.DataFrame:
    """One row per part: chapter, network, weights, paper, source. Built without memory for the weights."""
    settings = replace(PROFILES["paper"], pretrained="none")
    with torch.device("meta"):
        counts = {"backbone": count(backbone(settings))}
        for name, collection in (("head_oct", "cirrus"), ("head_mmd", "mmd"), ("head_crc", "crc_msi")):
            counts[name] = count(network("mims", collection, settings)) - counts["backbone"]
    return pd.DataFrame([{"chapter": "mims", "network": name, "weights": counts[name], "paper": paper,
                          "source": "counted from the text"} for name, paper in TEXT_WEIGHTS.items()])
