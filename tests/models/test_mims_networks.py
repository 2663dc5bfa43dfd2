"""The methods of Li et al., Table 1, as networks: their weights, bags of unequal size, and the instances they pick."""

import pytest
import torch

from mdlib.errors import SettingsError
from mdlib.models.backbones import BasicBlock, layer_channels, resnet_features
from mdlib.models.mims import MIMSCNN, max_of_slices, mean_of_slices
from mdlib.models.msconv import MSConv, Primary
from mdlib.models.topk import Mean, TopK

OCT, SCALES = {2: 8, 3: 10}, (1 / 2, 3 / 4, 1)
SIZES = torch.tensor([2, 1, 3])
PARTS = {    # method: (secondary maps of layer4 with C channels, other settings of MIMSCNN)
    "MI-Pre": (Primary, {}),
    "Pyramid MI-Pre": (lambda c: Primary(c, inputs=3), dict(image_scales=SCALES)),
    "MI-Pre-Conv": (lambda c: MSConv(c, {3: 18}, (1,)), {}),
    "MIMS": (lambda c: MSConv(c, OCT), {}),
    "MIMS-NoResizing": (lambda c: MSConv(c, OCT, (1,)), {}),
    "Pyramid MIMS": (lambda c: MSConv(c, OCT, (1,), inputs=3), dict(image_scales=SCALES)),
    "MI-Pre-Trident": (lambda c: MSConv(c, {3: 18}, (1,), dilations=(1, 2, 3)), {}),
    "SI-CNN": (lambda c: MSConv(c, OCT, normalise=False), {}),
    "MIMS-patchcls": (lambda c: MSConv(c, OCT), dict(combine=mean_of_slices)),
    "max-inst": (lambda c: MSConv(c, OCT), dict(combine=max_of_slices)),
}


def small(method="MIMS", pool=None, classes=2, **options):
    features = resnet_features(False, (1, 1, 1, 1), 4, strides=(2, 2, 1, 2, 1, 1))
    secondary, settings = PARTS[method]
    parts = {"layer4": secondary(layer_channels(features.layer4))}
    return MIMSCNN(features, parts, pool or TopK(5), classes, **{**settings, **options})


def feature_pyramid():
    features = resnet_features(False, (1, 1, 1, 1), 4, strides=(2, 2, 1, 2, 1, 1))
    parts = {name: MSConv(layer_channels(features.get_submodule(name)), {3: 9}, (1,)) for name in ("layer3", "layer4")}
    return MIMSCNN(features, parts, TopK(5))


BUILD = {**{name: lambda name=name: small(name) for name in PARTS}, "FeatPyra-4,5": feature_pyramid,
         "mean": lambda: small(pool=Mean())}


def count(module):
    return sum(weight.numel() for weight in module.parameters())


@pytest.mark.parametrize("kernels, head", [(OCT, 250_061), ({2: 10, 3: 10}, 266_467), ({1: 20, 2: 40}, 369_307)])
def test_weights_beside_the_body_of_resnet_101_are_few(kernels, head):
    with torch.device("meta"):
        features = resnet_features(False, (3, 4, 23, 3), 64)
        model = MIMSCNN(features, {"layer4": MSConv(2048, kernels)}, TopK(5))
    assert layer_channels(features.layer4) == 2048 and layer_channels(features.layer3) == 1024
    assert count(features) == 42_500_160
    assert count(model) - count(features) == head


def test_resnet_34_from_scratch_has_the_weights_of_torchvisions_and_five_of_the_pooling():
    with torch.device("meta"):
        features = resnet_features(False, (3, 4, 6, 3), 64, BasicBlock)
        model = MIMSCNN(features, {"layer4": Primary(512)}, TopK(5))
    assert count(model) == 21_285_698 + 5


def bag(slices=6, channels=1, dtype=torch.float64):
    torch.manual_seed(1)
    return torch.rand(slices, channels, 64, 128, dtype=dtype)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("method", BUILD)
def test_every_method_goes_forward_and_backward_on_bags_of_unequal_size(method, channels):
    torch.manual_seed(0)
    model = BUILD[method]().double()
    out = model(bag(channels=channels), SIZES)
    assert out["logits"].shape == (3, 2)
    assert ("slice_logits" in out) == (method in ("MIMS-patchcls", "max-inst"))
    torch.nn.functional.cross_entropy(out["logits"], torch.tensor([0, 1, 1])).backward()
    for name, weight in model.named_parameters():
        assert weight.grad is not None and weight.grad.isfinite().all() and weight.grad.any(), name


@pytest.mark.parametrize("method", BUILD)
def test_a_bag_gets_the_same_logits_alone_in_any_order_and_in_any_memory_layout(method):
    torch.manual_seed(0)
    model, x = BUILD[method]().double().eval(), bag()
    together = model(x, SIZES)["logits"]
    same = dict(rtol=0, atol=1e-10)
    for b, part in enumerate(x.split(SIZES.tolist())):
        torch.testing.assert_close(model(part, SIZES[b:b + 1])["logits"][0], together[b], **same)
        torch.testing.assert_close(model(part.flip(0), SIZES[b:b + 1])["logits"][0], together[b], **same)
    model, x = (part.to(memory_format=torch.channels_last) for part in (model, x))
    torch.testing.assert_close(model(x, SIZES)["logits"], together, **same)


def test_patchcls_gives_the_log_of_the_mean_probability_of_the_slices():
    model = small("MIMS-patchcls", classes=3).double()
    out = model(bag(), SIZES)
    for b, part in enumerate(out["slice_logits"].softmax(1).split(SIZES.tolist())):
        torch.testing.assert_close(out["logits"][b].exp(), part.mean(0), rtol=0, atol=1e-12)


def test_max_inst_gives_the_probability_of_the_most_suspicious_slice():
    for classes in (2, 3):
        out = small("max-inst", classes=classes).double()(bag(), SIZES)
        for b, part in enumerate(out["slice_logits"].softmax(1).split(SIZES.tolist())):
            torch.testing.assert_close(out["logits"][b].softmax(0), part[part[:, -1].argmax()], rtol=0, atol=1e-12)


@pytest.mark.parametrize("method", ["MIMS", "MI-Pre", "Pyramid MIMS", "MI-Pre-Trident", "FeatPyra-4,5"])
def test_instances_come_for_every_channel_and_rank_and_make_the_logits(method):
    model = BUILD[method]().double().eval()
    out = model(bag(), SIZES, instances=True)
    won, channels = out["instances"], model.classifier.in_features
    assert all(value.shape[:3] == (3, channels, 5) for value in won.values())
    pooled = (won["weight"] * won["value"]).sum(-1)
    torch.testing.assert_close(model.classifier(pooled), out["logits"], rtol=0, atol=1e-12)
    assert (won["slice"] >= 0).all() and (won["slice"] < SIZES[:, None, None]).all()


def test_a_box_covers_what_the_value_saw_of_the_primary_map():
    # One bright cell of an 8 x 16 map, a kernel of size 2 that adds up: the box of each winner must hold that cell.
    features = torch.nn.Sequential()
    features.add_module("layer4", torch.nn.AvgPool2d(8))
    model = MIMSCNN(features, {"layer4": MSConv(3, {2: 1}, normalise=False)}, TopK(5)).double()
    model.secondary["layer4"].kernels[0].data.fill_(1)
    image = torch.zeros(2, 3, 64, 128, dtype=torch.float64)
    image[1, :, 40:48, 24:32] = 1                                              # cell (5, 3) of slice 1
    won = model(image, torch.tensor([2]), instances=True)["instances"]
    assert (won["slice"] == 1).all() and set(won["pathway"].flatten().tolist()) == {1, 2}
    for (top, left, bottom, right), pathway in zip(won["box"].view(-1, 4), won["pathway"].flatten(), strict=True):
        height = model.secondary["layer4"].scales[pathway] * 8
        assert top < 5.5 / 8 < bottom and left < 3.5 / 16 < right
        assert bottom - top == pytest.approx(2 / height) and right - left == pytest.approx(1 / height)


def test_a_box_stays_inside_the_slice_and_an_absent_rank_has_none():
    model = small(pool=TopK(500)).double()
    model.secondary["layer4"] = MSConv(128, {3: 2}, padding=1).double()
    model.classifier = torch.nn.Linear(2, 2).double()
    won = model(bag(2), torch.tensor([1, 1]), instances=True)["instances"]
    there = won["slice"] >= 0
    assert (there.sum(-1) == 8 * 16 + 6 * 12 + 4 * 8).all()
    assert won["box"].min() >= 0 and won["box"].max() <= 1 and not won["box"][~there].any()
    whole = won["box"][there][:, 2:] - won["box"][there][:, :2]
    assert (whole > 0).all()


@pytest.mark.parametrize("sizes", [[2, 3], [6, 1], [0, 6], [7, -1], []])
def test_sizes_that_do_not_fit_the_slices_are_refused(sizes):
    with pytest.raises(SettingsError, match=r"sizes: is \["):
        small()(bag(dtype=torch.float32), torch.tensor(sizes, dtype=torch.int64))


def test_a_layer_that_is_not_there_is_named():
    with pytest.raises(SettingsError, match="no layer of the network is called conv5"):
        MIMSCNN(resnet_features(False, (1, 1, 1, 1), 4), {"conv5": Primary(128)}, TopK(5))


def test_training_on_float32_changes_running_statistics_of_every_scale():
    model = small()
    before = {name: value.clone() for name, value in model.secondary.named_buffers() if "running" in name}
    model(bag(dtype=torch.float32), SIZES)
    after = dict(model.secondary.named_buffers())
    assert len(before) == 12 and all((after[name] != value).any() for name, value in before.items())


def test_pathways_are_named_by_their_scale_and_dilation():
    assert small().pathways() == [["0.5", "0.75", "1"]] * 18
    assert small("Pyramid MI-Pre").pathways()[0] == ["0.5", "0.75", "1"]
    assert small("MI-Pre-Trident").pathways()[0] == ["1, dilation 1", "1, dilation 2", "1, dilation 3"]
    assert feature_pyramid().pathways() == [["1"]] * 18
