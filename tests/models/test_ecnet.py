"""EcNet and what it is compared with: weights to the unit, and equations 3 to 6."""

import itertools

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mdlib.errors import SettingsError
from mdlib.models.ecnet import BASIC, BOTTLENECK, Block, ColourInput, ecnet, preact_resnet, wide_resnet

SMALL = [lambda **options: ecnet(11, 1, 4, **options), lambda **options: ecnet(20, 1, 4, **options),
         lambda **options: ecnet(11, 2, 4, **options), lambda **options: preact_resnet(11, 4, **options),
         lambda **options: wide_resnet(10, 1, 4, **options), lambda **options: wide_resnet(10, 2, 4, 0.3, **options)]


def weights(model):
    return sum(weight.numel() for weight in model.parameters())


@pytest.mark.parametrize("build, published", [
    (lambda: ecnet(56, 12, 10), 7_918_362), (lambda: ecnet(56, 12, 100), 7_987_572),    # the authors' logs
    (lambda: ecnet(110, 4, 10), 1_841_818), (lambda: ecnet(110, 4, 100), 1_864_948),
    (lambda: ecnet(38, 8, 4), 2_265_428), (lambda: ecnet(38, 8, 4, stem="bcidr"), 2_267_348),
    (lambda: wide_resnet(40, 4, 10), 8_949_210), (lambda: wide_resnet(40, 4, 100), 8_972_340),
    (lambda: preact_resnet(164, 10), 1_703_258), (lambda: preact_resnet(164, 100), 1_726_388)])
def test_number_of_weights(build, published):
    with torch.device("meta"):
        assert weights(build()) == published


@pytest.mark.parametrize("build, size, shape", [
    (lambda: ecnet(38, 8, 4, stem="bcidr"), 224, (512, 14, 14)), (lambda: ecnet(56, 12, 10), 32, (768, 8, 8)),
    (lambda: wide_resnet(40, 4, 10), 32, (256, 8, 8)), (lambda: preact_resnet(164, 10), 32, (256, 8, 8))])
def test_shape_of_the_last_map(build, size, shape):
    with torch.device("meta"):
        model = build()
        out = model(torch.empty(2, 3, size, size))
    assert out["features"].shape == (2, *shape) and model.channels == shape[0] == model.classifier.in_features


@pytest.mark.parametrize("stem, factor", [("cifar", 4), ("bcidr", 16)])
@pytest.mark.parametrize("size", [32, 48, 96])
@pytest.mark.parametrize("build", SMALL)
def test_small_networks_go_forward_and_backward(build, size, stem, factor):
    torch.manual_seed(0)
    model = build(stem=stem)
    image = torch.rand(2, 3, size, size)
    out = model(image)
    assert out["logits"].shape == (2, 4) and out["features"].shape == (2, model.channels, size // factor,
                                                                       size // factor)
    assert out["features"].min() >= 0
    out["logits"].square().sum().backward()
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in model.parameters())


@pytest.mark.parametrize("build", SMALL)
def test_memory_layout_changes_no_logit(build):
    torch.manual_seed(0)
    model, image = build().double().eval(), torch.rand(2, 3, 32, 32, dtype=torch.float64)
    plain = model(image)["logits"]
    model = model.to(memory_format=torch.channels_last)
    torch.testing.assert_close(model(image.to(memory_format=torch.channels_last))["logits"], plain, rtol=0, atol=1e-12)


def normalised(y, layer):
    """Batch normalisation by the definition, in training mode, and its ReLU."""
    mean, spread = y.mean((0, 2, 3), keepdim=True), y.var((0, 2, 3), unbiased=False, keepdim=True)
    y = (y - mean) / (spread + 1e-5).sqrt() * layer.weight.view(1, -1, 1, 1) + layer.bias.view(1, -1, 1, 1)
    return y.clamp(min=0)


def naive_network(model, image, mean, std, strides, concat):
    """Equations 1, 3 and 6 as printed, one layer after the other; `strides` of the stem and of the three groups."""
    layers = model.features
    y = (image - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    y = F.conv2d(y, layers.stem.weight, stride=strides[0], padding=layers.stem.weight.shape[-1] // 2)
    for group, stride in zip((layers.group1, layers.group2, layers.group3), strides[1:], strict=True):
        for number, block in enumerate(group):
            steps, x = (stride if number == 0 else 1), y
            norms = [block.norm, *(part for part in block.body if isinstance(part, nn.BatchNorm2d))]
            kernels = [part.weight for part in block.body if isinstance(part, nn.Conv2d)]
            for i, (norm, kernel) in enumerate(zip(norms, kernels, strict=True)):
                x = F.conv2d(normalised(x, norm), kernel, stride=steps if i == 0 else 1, padding=kernel.shape[-1] // 2)
            if number == 0 and concat:
                y = torch.cat([x, F.conv2d(y, block.skip.weight, stride=steps)], 1)        # eq. 6
            elif block.skip is not None:
                y = x + F.conv2d(normalised(y, block.norm), block.skip.weight, stride=steps)
            else:
                y = x + y                                                                  # eq. 1
    last = normalised(y, layers.norm)
    pooled = last.sum((2, 3)) / last[0, 0].numel()
    return pooled @ model.classifier.weight.T + model.classifier.bias                      # eq. 3


@pytest.mark.parametrize("build, concat", [
    (lambda **options: ecnet(20, 1, 3, **options), True), (lambda **options: ecnet(11, 2, 3, **options), True),
    (lambda **options: preact_resnet(20, 3, **options), False),
    (lambda **options: wide_resnet(16, 2, 3, **options), False)])
@pytest.mark.parametrize("stem, strides", [("cifar", (1, 1, 2, 2)), ("bcidr", (4, 1, 2, 2))])
def test_a_network_is_what_the_equations_say(build, concat, stem, strides):
    torch.manual_seed(0)
    mean, std = (0.7, 0.4, 0.6), (0.2, 0.25, 0.125)
    model = build(stem=stem, mean=mean, std=std).double()
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.weight, 0.5, 1.5)
            nn.init.uniform_(layer.bias, -0.5, 0.5)
    nn.init.normal_(model.classifier.bias)
    image = torch.rand(3, 3, 48, 32, dtype=torch.float64)
    expected = naive_network(model, image, mean, std, strides, concat)
    torch.testing.assert_close(model(image)["logits"], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kernels", [BOTTLENECK, BASIC])
def test_a_block_without_change_of_shape_is_y_when_f_is_nothing(kernels):
    block, y = Block(8, 8, kernels), torch.randn(2, 8, 6, 6)
    nn.init.zeros_(block.body[-1].weight)
    assert torch.equal(block(y), y) and block.skip is None


def opening(model):
    """The input and output of the block that opens the last group, and the last map before its normalisation."""
    block, seen = model.features.group3[0], {}
    block.register_forward_hook(lambda layer, inputs, output: seen.update(y=inputs[0], out=output))
    model.features.norm.register_forward_hook(lambda layer, inputs, output: seen.update(last=inputs[0]))
    model.eval()(torch.rand(2, 3, 32, 32, dtype=torch.float64))
    return block, seen


def test_where_a_group_opens_the_identity_path_stands_unchanged_beside_f():
    """Depth 11, one block a group: the last half of the last map, before its BN and ReLU, is a linear map of y."""
    torch.manual_seed(0)
    model = ecnet(11, 2, 4).double()
    block, seen = opening(model)
    half = model.channels // 2
    way = F.conv2d(seen["y"], block.skip.weight, stride=2)
    assert torch.equal(seen["out"][:, half:], way) and torch.equal(seen["last"], seen["out"])


def test_with_more_blocks_the_group_adds_to_it_by_equation_1():
    torch.manual_seed(0)
    model = ecnet(29, 1, 4).double()
    _, seen = opening(model)
    residuals, y = 0, seen["out"]
    for later in model.features.group3[1:]:
        residuals, y = residuals + later.body(later.relu(later.norm(y))), later(y)
    torch.testing.assert_close(seen["last"], seen["out"] + residuals, rtol=0, atol=1e-12)


def test_the_score_of_a_class_is_a_sum_over_the_outputs_with_weights_of_their_own():
    """Eq. 5: p^c = sum (w_1^c y + w_2^c F(y)), a term an output, of one of which the weights can be changed alone."""
    torch.manual_seed(0)
    model = ecnet(11, 2, 4).double()
    block, seen = opening(model)
    half, norm = model.channels // 2, model.features.norm
    own, way = block.body(block.relu(block.norm(seen["y"]))), F.conv2d(seen["y"], block.skip.weight, stride=2)
    scores = {}
    for name, part, place in (("own", own, slice(None, half)), ("way", way, slice(half, None))):
        active = F.batch_norm(part, norm.running_mean[place], norm.running_var[place], norm.weight[place],
                              norm.bias[place]).relu()
        scores[name] = active.mean((2, 3)) @ model.classifier.weight[:, place].T
    whole = model.classifier(norm(seen["last"]).relu().mean((2, 3)))
    torch.testing.assert_close(scores["own"] + scores["way"] + model.classifier.bias, whole, rtol=0, atol=1e-12)
    with torch.no_grad():
        model.classifier.weight[:, half:] = 0
    silent = model.classifier(norm(seen["last"]).relu().mean((2, 3)))
    torch.testing.assert_close(silent, scores["own"] + model.classifier.bias, rtol=0, atol=1e-12)


@pytest.mark.parametrize("build", [lambda: preact_resnet(11, 4), lambda: wide_resnet(10, 2, 4)])
def test_with_the_adding_skip_the_outputs_share_their_weights(build):
    """Eq. 4: what the last map holds is the sum; no channel of it is that of the skip, nor that of F alone."""
    torch.manual_seed(0)
    block, seen = opening(build().double())
    active = block.relu(block.norm(seen["y"]))
    own, way = block.body(active), block.skip(active)
    torch.testing.assert_close(seen["last"], own + way, rtol=0, atol=1e-12)
    for channel, part in itertools.product(range(seen["last"].shape[1]), (own, way)):
        assert not (seen["last"][:, channel, None] - part).abs().amax((0, 2, 3)).lt(1e-3).any()


@pytest.mark.parametrize("build", [lambda: ecnet(38, 8, 4), lambda: wide_resnet(16, 4, 4)])
def test_convolutions_start_as_msr_and_the_classifier_without_bias(build):
    torch.manual_seed(0)
    model = build()
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d):
            out, _, height, width = layer.weight.shape
            expected = (2 / (out * height * width)) ** 0.5
            assert layer.weight.std().item() == pytest.approx(expected, rel=5 / (2 * layer.weight.numel()) ** 0.5)
            assert layer.bias is None
        elif isinstance(layer, nn.BatchNorm2d):
            assert (layer.weight == 1).all() and not layer.bias.any()
    assert model.classifier.weight.any() and not model.classifier.bias.any()


def test_mean_and_std_are_of_the_network_and_stand_in_its_checkpoint():
    model = ecnet(11, 1, 4, mean=(0.1, 0.2, 0.3), std=(1, 2, 4))
    image = torch.tensor([0.1, 0.2, 0.3]).view(1, 3, 1, 1) + torch.tensor([1.0, 2, 4]).view(1, 3, 1, 1)
    torch.testing.assert_close(model.features.input(image), torch.ones(1, 3, 1, 1))
    other = ecnet(11, 1, 4)
    other.load_state_dict(model.state_dict())
    image = torch.rand(2, 3, 32, 32)
    assert torch.equal(other.eval()(image)["logits"], model.eval()(image)["logits"])


def test_dropout_stands_between_the_convolutions_of_a_wide_network():
    torch.manual_seed(0)
    model, image = wide_resnet(10, 1, 4, dropout=0.5), torch.rand(2, 3, 32, 32)
    assert not torch.equal(model(image)["logits"], model(image)["logits"])
    assert torch.equal(model.eval()(image)["logits"], model(image)["logits"])
    assert [name for name, _ in model.features.group1[0].body.named_children()] == ["conv1", "norm2", "relu2",
                                                                                    "dropout2", "conv2"]


def test_the_last_relu_does_not_overwrite_the_map_before_it():
    model, seen = ecnet(11, 1, 4), []
    model.features.norm.register_forward_hook(lambda layer, inputs, output: seen.append(output))
    model(torch.rand(2, 3, 32, 32))
    assert seen[0].min() < 0


@pytest.mark.parametrize("build, message", [
    (lambda: ecnet(40, 8, 4), r"depth 40 is not 9 n \+ 2. Use 38 or 47"),
    (lambda: ecnet(2, 8, 4), r"depth 2 is not 9 n \+ 2. Use 11 or 20"),
    (lambda: preact_resnet(110 + 1, 4), r"depth 111 is not 9 n \+ 2"),
    (lambda: wide_resnet(38, 4, 10), r"depth 38 is not 6 n \+ 4. Use 34 or 40"),
    (lambda: ecnet(11, 0, 4), "0 is no width"), (lambda: wide_resnet(10, 0.5, 4), "0.5 is no width"),
    (lambda: ecnet(11, 1, 4, stem="imagenet"), "parameter stem: unknown stem 'imagenet'. Use cifar or bcidr"),
    (lambda: ecnet(11, 1, 4, mean=(0.5,)), "parameters mean, std"),
    (lambda: ColourInput((0, 0, 0), (1, 0, 1)), "std above 0"),
    (lambda: ecnet(11, 1, 4)(torch.rand(2, 1, 32, 32)), r"image: has shape \(2, 1, 32, 32\)")])
def test_what_makes_no_sense_is_refused(build, message):
    with pytest.raises(SettingsError, match=message):
        build()
