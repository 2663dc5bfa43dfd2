"""The four networks of Wu et al. against torchvision's, and small ones of the same kinds."""

from contextlib import nullcontext

import pytest
import torch
import torchvision
from torch import nn

from mdlib.errors import SettingsError
from mdlib.models import patch_networks
from mdlib.models.patch_networks import LAYERS, NETWORKS

WEIGHTS = {"alexnet": 57_012_034, "vgg16": 134_268_738, "inception_v3": 21_789_666, "resnet152": 58_147_906,
           "small_alexnet": 63_450, "small_vgg": 66_882, "small_inception": 18_998, "small_resnet": 33_254}
SIZES = {"alexnet": 227, "vgg16": 227, "inception_v3": 299, "resnet152": 227}
MAPS = {"alexnet": [(256, 13, 13)], "vgg16": [(512, 14, 14)], "inception_v3": [(2048, 8, 8)],
        "resnet152": [(2048, 8, 8), (1024, 15, 15)], "small_alexnet": [(64, 8, 8)], "small_vgg": [(64, 8, 8)],
        "small_inception": [(96, 8, 8)], "small_resnet": [(128, 8, 8), (64, 8, 8)]}
SMALL = [name for name in NETWORKS if name.startswith("small")]
MEANS = ["inception_v3", "resnet152", "small_inception", "small_resnet"]    # that end in a mean over positions
AUXILIARY = 3_326_696


def weights(model):
    return sum(weight.numel() for weight in model.parameters())


def outputs_of(model, image, *layers):
    """The outputs of layers in one forward pass, as the next layer leaves them."""
    kept = {}
    handles = [model.get_submodule(name).register_forward_hook(
        lambda module, inputs, output, name=name: kept.update({name: output})) for name in layers]
    answer = model(image)
    for handle in handles:
        handle.remove()
    return answer, [kept[name] for name in layers]


@pytest.mark.parametrize("name", NETWORKS)
def test_weights_and_dissected_maps_are_as_published(name):
    side = SIZES.get(name, 64)
    with torch.device("meta"):
        model = NETWORKS[name]().eval()
        answer, maps = outputs_of(model, torch.empty(1, 1, side, side), *LAYERS[name])
    assert weights(model) == WEIGHTS[name]
    assert [tuple(output.shape[1:]) for output in maps] == MAPS[name]
    assert answer["logits"].shape == (1, 2)


def test_the_small_networks_take_less_than_3_megabytes_in_half_precision():
    assert sum(WEIGHTS[name] for name in SMALL) * 2 < 3e6


def test_inception_as_coded_by_the_authors_has_a_dead_auxiliary_classifier():
    with torch.device("meta"):
        coded = torchvision.models.inception_v3(init_weights=False)      # of 1,000 classes, as it is loaded
        coded.aux_logits, coded.fc = False, nn.Linear(2048, 2)
        two = torchvision.models.inception_v3(num_classes=2, init_weights=False)
    assert weights(coded) == 25_116_362 and weights(two) == 24_348_900
    assert weights(coded.AuxLogits) == AUXILIARY == weights(coded) - WEIGHTS["inception_v3"]


class Logits(nn.Module):
    """What torchvision's networks do with normalised RGB, behind torchvision's own normalisation."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, grey):
        return self.network(torchvision.transforms.functional.normalize(
            grey.repeat(1, 3, 1, 1), [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))


@pytest.mark.parametrize("name", SIZES)
@torch.no_grad()
def test_networks_are_torchvisions_with_the_loaded_weights_and_a_new_last_layer(name, monkeypatch):
    """The file of weights is replaced by a random start; that of Inception has a classifier beside."""
    torch.manual_seed(0)
    loaded = []

    def imagenet(build, stored):
        assert stored.name == "IMAGENET1K_V1" and build.__name__ == name
        options = {"transform_input": True, "init_weights": False} if name == "inception_v3" else {}
        loaded.append(build(**options))
        for layer in loaded[0].modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight)       # so that what the input changes does not fade on its way
        return loaded[0]

    monkeypatch.setattr(patch_networks, "imagenet", imagenet)
    ours = NETWORKS[name](pretrained=True).eval()
    theirs = loaded[0].eval()
    if name in MEANS:
        theirs.fc = ours.classifier[-1] if name == "inception_v3" else ours.classifier
    grey = torch.rand(1, 1, SIZES[name], SIZES[name])
    torch.testing.assert_close(ours(grey)["logits"], Logits(theirs)(grey))
    assert (ours(grey)["logits"] - ours(1 - grey)["logits"]).abs().max() > 1e-3


def test_normalisation_and_transform_input_together_make_twice_the_image_less_one():
    grey = torch.rand(2, 1, 5, 4)
    model = NETWORKS["small_inception"]()
    seen = model.features.transform_input(model.input(grey))
    torch.testing.assert_close(seen, (2 * grey - 1).repeat(1, 3, 1, 1))


@pytest.mark.parametrize("name", ["small_inception", "small_resnet"])
@torch.no_grad()
def test_networks_that_end_in_a_mean_are_linear_in_the_means_of_their_maps(name):
    torch.manual_seed(0)
    model = NETWORKS[name]().double().eval()
    image = torch.rand(3, 1, 64, 64, dtype=torch.float64)
    answer, (maps,) = outputs_of(model, image, LAYERS[name][0])
    for b in range(3):
        for c in range(2):
            expected = model.classifier.bias[c].item() + sum(
                model.classifier.weight[c, k].item() * maps[b, k].sum().item() / 64 for k in range(maps.shape[1]))
            assert answer["logits"][b, c].item() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("name", [name for name in NETWORKS if name not in MEANS])
def test_what_is_dissected_is_the_output_before_the_relu(name):
    torch.manual_seed(0)
    with torch.device("meta") if name in SIZES else nullcontext():
        model = NETWORKS[name]().eval()
    place = int(LAYERS[name][0].rpartition(".")[2])
    kind = nn.Conv2d if name in SIZES else nn.BatchNorm2d
    assert isinstance(model.features[place], kind) and not model.features[place + 1].inplace
    assert not any(isinstance(layer, nn.Conv2d) for layer in model.features[place + 1:])
    if name in SMALL:
        with torch.no_grad():
            _, (maps,) = outputs_of(model, torch.rand(2, 1, 64, 64), *LAYERS[name])
        assert maps.min() < 0


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", SMALL)
def test_every_small_network_goes_forward_and_backward(name, channels):
    torch.manual_seed(0)
    model = NETWORKS[name](classes=3, width=2)
    logits = model(torch.rand(4, channels, 64, 64))["logits"]
    assert logits.shape == (4, 3) and logits.abs().max() < 30
    logits.square().sum().backward()
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in model.parameters())


@pytest.mark.parametrize("name", SMALL)
def test_every_small_network_learns_bright_spots(name):
    """Spots of 6 pixels at random places in noise, in half of 128 images: AUC above 0.95 on others of the kind."""
    torch.manual_seed(0)
    spotted = torch.arange(256) % 2
    images = 0.3 + 0.1 * torch.rand(256, 1, 64, 64)
    for image, (y, x) in zip(images[1::2], torch.randint(0, 58, (128, 2)).tolist(), strict=True):
        image[:, y:y + 6, x:x + 6] += 0.4
    model = NETWORKS[name]()
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(8):
        for rows in torch.randperm(128).split(16):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images[rows])["logits"], spotted[rows]).backward()
            optimizer.step()
    with torch.no_grad():
        logits = model.eval()(images[128:])["logits"]
    score = logits[:, 1] - logits[:, 0]
    assert (score[1::2, None] > score[None, ::2]).double().mean() > 0.95


@torch.no_grad()
def test_first7_ignores_15_of_64_positions():
    maps = torch.zeros(1, 1, 8, 8)
    with torch.device("meta"):
        pools = {pool: NETWORKS["resnet152"](pool=pool).pool for pool in ("all", "first7")}
    ignored = 0
    for place in range(64):
        maps.zero_().view(-1)[place] = 1
        assert pools["all"](maps).item() == pytest.approx(1 / 64)
        assert pools["first7"](maps).item() in (0, pytest.approx(1 / 49))
        ignored += pools["first7"](maps).item() == 0
    assert ignored == 15
    with pytest.raises(SettingsError, match=r"parameter pool: unknown value 'mean'\. Use one of all, first7"):
        NETWORKS["small_resnet"](pool="mean")
