"""ResNet-50 and DenseNet-121 against Table 2 and against torchvision."""

import pytest
import torch
import torchvision

from mdlib.errors import SettingsError
from mdlib.models.attention_densenet import att_a, att_b
from mdlib.models.backbones import (
    BasicBlock,
    Bottleneck,
    Classifier,
    ImageNetInput,
    densenet121,
    layer_channels,
    resnet50,
    resnet_features,
)

SMALL = dict(growth=8, blocks=(2, 4, 4, 2), stem=16)
SMALL_RESNET = dict(layers=(1, 1, 1, 1), width=8)
NETWORKS = [(resnet50, SMALL_RESNET), (densenet121, SMALL), (att_a, SMALL), (att_b, SMALL)]


def weights(model):
    return sum(weight.numel() for weight in model.parameters())


@pytest.mark.parametrize("build, nonimage, published", [
    (resnet50, False, 23_538_767), (densenet121, False, 6_969_231), (att_a, False, 7_920_527),
    (att_b, False, 6_971_279), (densenet121, True, 6_969_288), (att_a, True, 7_920_584)])
def test_number_of_weights_is_table_2_and_the_authors_notebooks(build, nonimage, published):
    with torch.device("meta"):
        assert weights(build(nonimage=nonimage)) == published


@pytest.mark.parametrize("build, per_class", [(resnet50, 2049), (densenet121, 1025), (att_a, 3073), (att_b, 897)])
def test_a_class_less_takes_its_row_of_the_classifier_away(build, per_class):
    with torch.device("meta"):
        assert weights(build(15)) - weights(build(14)) == per_class


@pytest.mark.parametrize("channels, nonimage", [(1, False), (1, True), (3, False)])
@pytest.mark.parametrize("build, size", NETWORKS)
def test_every_network_goes_forward_and_backward_at_64_pixels(build, size, channels, nonimage):
    torch.manual_seed(0)
    model = build(14, nonimage=nonimage, **size)
    patient = (torch.randn(2, 3),) if nonimage else ()
    logits = model(torch.rand(2, channels, 64, 64), *patient)["logits"]
    assert logits.shape == (2, 14)
    logits.square().sum().backward()
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in model.parameters())


@pytest.mark.parametrize("build, size", NETWORKS)
def test_memory_layout_changes_no_logit(build, size):
    torch.manual_seed(0)
    model, image = build(**size).double().eval(), torch.rand(2, 1, 64, 64, dtype=torch.float64)
    plain = model(image)["logits"]
    model = model.to(memory_format=torch.channels_last)
    last = model(image.to(memory_format=torch.channels_last))["logits"]
    torch.testing.assert_close(last, plain, rtol=0, atol=1e-12)


def imagenet_rgb(grey):
    return torchvision.transforms.functional.normalize(
        grey.repeat(1, 3, 1, 1), [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])


def test_grey_becomes_the_rgb_that_torchvision_normalises():
    grey = torch.rand(2, 1, 5, 4)
    torch.testing.assert_close(ImageNetInput()(grey), imagenet_rgb(grey))
    torch.testing.assert_close(ImageNetInput()(grey.repeat(1, 3, 1, 1)), imagenet_rgb(grey))
    with pytest.raises(SettingsError, match=r"image: has shape \(1, 2, 8, 8\)"):
        ImageNetInput()(torch.rand(1, 2, 8, 8))


def test_the_input_step_leaves_nothing_in_a_checkpoint():
    assert not ImageNetInput().state_dict()


def randomise_statistics(model):
    for layer in model.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.running_mean.normal_(0, 0.1)
            layer.running_var.uniform_(0.5, 2)


@torch.no_grad()
def test_densenet121_is_torchvisions_with_the_same_weights():
    torch.manual_seed(0)
    theirs = torchvision.models.densenet121(num_classes=15)
    randomise_statistics(theirs)
    ours = densenet121()
    ours.features.load_state_dict(theirs.features.state_dict())
    ours.classifier.linear.load_state_dict(theirs.classifier.state_dict())
    grey = torch.rand(2, 1, 64, 64)
    torch.testing.assert_close(ours.eval()(grey)["logits"], theirs.eval()(imagenet_rgb(grey)))


@torch.no_grad()
def test_resnet50_is_torchvisions_with_the_same_weights():
    torch.manual_seed(0)
    theirs = torchvision.models.resnet50(num_classes=15)
    randomise_statistics(theirs)
    ours = resnet50()
    stored = theirs.state_dict()
    ours.classifier.linear.load_state_dict({"weight": stored.pop("fc.weight"), "bias": stored.pop("fc.bias")})
    ours.features.load_state_dict(stored)
    grey = torch.rand(2, 1, 64, 64)
    torch.testing.assert_close(ours.eval()(grey)["logits"], theirs.eval()(imagenet_rgb(grey)))


RESNETS = [(BasicBlock, (3, 4, 6, 3), torchvision.models.resnet34, "resnet34-b627a593.pth"),
           (Bottleneck, (3, 4, 23, 3), torchvision.models.resnet101, "resnet101-63fe2227.pth")]


@torch.no_grad()
@pytest.mark.parametrize("block, layers, build, file", RESNETS)
def test_other_resnets_are_torchvisions_up_to_layer4_with_the_same_weights(block, layers, build, file):
    torch.manual_seed(0)
    theirs = build(num_classes=2)
    randomise_statistics(theirs)
    ours = resnet_features(False, layers, 64, block)
    ours.load_state_dict({name: value for name, value in theirs.state_dict().items() if not name.startswith("fc.")})
    theirs.avgpool = theirs.fc = torch.nn.Identity()
    image = torch.rand(2, 3, 70, 64)
    torch.testing.assert_close(ours.eval()(image).flatten(1), theirs.eval()(image))
    assert layer_channels(ours.layer4) == ours(image).shape[1] == 512 * block.expansion


@pytest.mark.parametrize("block", [BasicBlock, Bottleneck])
def test_smaller_strides_keep_larger_maps(block):
    image = torch.rand(1, 3, 64, 128)
    for strides, size in (((2, 2, 1, 2, 2, 2), (2, 4)), ((2, 2, 1, 2, 1, 1), (8, 16)), ((1, 1, 1, 1, 1, 2), (32, 64))):
        features = resnet_features(False, (1, 1, 1, 1), 4, block, strides)
        assert features(image).shape[2:] == size
        assert hasattr(features, "maxpool") == (strides[1] > 1)


@pytest.mark.parametrize("build, size", NETWORKS)
def test_a_smaller_output_stride_keeps_the_weights_and_enlarges_the_last_maps(build, size):
    x, sides, stored = torch.rand(1, 3, 64, 64), {}, build(**size).state_dict()
    for stride in (32, 16, 8):
        network = build(**size, output_stride=stride).eval()
        network.load_state_dict(stored)
        sides[stride] = network.features(network.input(x)).shape[2]
    assert sides == {32: 2, 16: 4, 8: 8}
    with pytest.raises(SettingsError, match="output_stride"):
        build(**size, output_stride=4)


def test_norm5_is_not_overwritten_by_the_relu_behind_it():
    model, seen = densenet121(**SMALL), []
    model.features.norm5.register_forward_hook(lambda layer, inputs, output: seen.append(output))
    model(torch.rand(2, 1, 64, 64))
    assert seen[0].min() < 0


def test_nonimage_features_pass_their_branch_and_meet_the_image_at_the_classifier():
    head = Classifier(features=4, classes=2, nonimage=True).double()
    features, patient = torch.randn(3, 4).double(), torch.randn(3, 3).double()
    (V, v), (W, b) = (layer.parameters() for layer in (head.branch, head.linear))
    v.data.normal_()
    b.data.normal_()
    for n, logits in enumerate(head(features, patient)):
        hidden = [max(0.0, sum(V[i, j] * patient[n, j] for j in range(3)) + v[i]) for i in range(3)]
        seen = [*features[n], *hidden]
        for c in range(2):
            torch.testing.assert_close(logits[c], sum(W[c, k] * seen[k] for k in range(7)) + b[c])


@pytest.mark.parametrize("built_with, patient, message", [
    (False, torch.zeros(2, 3), "given to a network without"), (True, None, "missing, but the network has"),
    (True, torch.zeros(2, 4), r"of shape \(2, 4\)"), (True, torch.zeros(3), r"of shape \(3,\)")])
def test_a_branch_and_its_input_come_together(built_with, patient, message):
    with pytest.raises(SettingsError, match=f"nonimage: {message}"):
        densenet121(nonimage=built_with, **SMALL)(torch.rand(2, 1, 64, 64), patient)


@pytest.mark.parametrize("build, layers", [
    (densenet121, ["classifier.linear"]), (att_a, ["classifier.linear", "attention.0.project", "attention.0.score"]),
    (att_b, ["classifier.linear", "attention.0.score"])])
def test_new_weights_are_xavier_normal(build, layers):
    torch.manual_seed(0)
    model = build()
    for layer in map(model.get_submodule, layers):
        fan_out, fan_in = layer.weight.shape[:2]
        expected = (2 / (fan_in + fan_out)) ** 0.5
        assert layer.weight.std().item() == pytest.approx(expected, rel=4 / (2 * layer.weight.numel()) ** 0.5)
        assert layer.bias is None or not layer.bias.any()


@pytest.fixture
def hub(tmp_path):
    before = torch.hub.get_dir()
    torch.hub.set_dir(tmp_path)
    yield tmp_path / "checkpoints"
    torch.hub.set_dir(before)


@pytest.fixture
def no_network(monkeypatch):
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")     # nobody listens on the discard port


@pytest.mark.parametrize("build, file", [
    (densenet121, "densenet121-a639ec97.pth"), (att_a, "densenet121-a639ec97.pth"),
    (resnet50, "resnet50-0676ba61.pth")])
def test_imagenet_weights_that_cannot_be_downloaded_tell_where_to_put_the_file(hub, no_network, build, file):
    with pytest.raises(SettingsError, match="ImageNet weights cannot be downloaded") as caught:
        build(pretrained=True)
    assert str(hub / file) in str(caught.value) and "pretrained=False" in str(caught.value)
    assert f"https://download.pytorch.org/models/{file}" in str(caught.value)


def test_a_damaged_file_of_imagenet_weights_is_named(hub):
    hub.mkdir()
    (hub / "resnet50-0676ba61.pth").write_bytes(b"half a file")
    with pytest.raises(SettingsError, match="the file of ImageNet weights is damaged"):
        resnet50(pretrained=True)


@pytest.mark.parametrize("build, size", [(densenet121, SMALL), (att_b, dict(growth=16)), (resnet50, dict(width=32))])
def test_other_sizes_have_no_imagenet_weights(build, size):
    with pytest.raises(SettingsError, match="parameter pretrained: ImageNet weights exist for"):
        build(pretrained=True, **size)


@pytest.mark.parametrize("options", [dict(width=32), dict(strides=(2, 2, 1, 2, 1, 1)), dict(layers=(3, 4, 23, 3)),
                                     dict(block=Bottleneck, layers=(1, 1, 1, 1))])
def test_a_resnet_of_other_sizes_has_no_imagenet_weights_and_the_published_are_listed(options):
    sizes = dict(block=BasicBlock, layers=(3, 4, 6, 3), width=64)
    with pytest.raises(SettingsError, match=r"BasicBlock, \(3, 4, 6, 3\), 64, .* or \(Bottleneck, \(3, 4, 23, 3\)"):
        resnet_features(True, **{**sizes, **options})


@pytest.mark.parametrize("block, layers, build, file", RESNETS)
def test_published_weights_of_other_resnets_are_loaded(hub, no_network, block, layers, build, file):
    with pytest.raises(SettingsError, match="ImageNet weights cannot be downloaded"):
        resnet_features(True, layers, 64, block)
    hub.mkdir(exist_ok=True)
    stored = build().state_dict()
    torch.save(stored, hub / file)
    loaded = resnet_features(True, layers, 64, block).state_dict()
    assert all(torch.equal(value, stored[name]) for name, value in loaded.items())


@pytest.mark.parametrize("build, theirs, file", [
    (densenet121, torchvision.models.densenet121, "densenet121-a639ec97.pth"),
    (att_a, torchvision.models.densenet121, "densenet121-a639ec97.pth"),
    (resnet50, torchvision.models.resnet50, "resnet50-0676ba61.pth")])
def test_a_file_put_in_place_by_hand_is_loaded(hub, no_network, build, theirs, file):
    hub.mkdir()
    stored = {name: value for name, value in theirs().state_dict().items() if not name.endswith("batches_tracked")}
    # The published DenseNet file has the names of its time, with a dot: denselayer1.norm.1.weight.
    old_names = {name if "denselayer" not in name else name.replace("norm", "norm.").replace("conv", "conv."): value
                 for name, value in stored.items()}
    torch.save(old_names, hub / file)
    model = build(pretrained=True)
    loaded = model.features.state_dict()
    for name, value in stored.items():
        if not name.startswith(("classifier.", "fc.")):
            assert torch.equal(loaded[name.removeprefix("features.")], value), name
