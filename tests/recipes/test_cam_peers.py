"""Three CAM libraries at norm5: which reading of the paper each follows, on weights that we know in two networks."""

import pytest
import torch
from torch import nn

from mdlib.models.backbones import densenet121
from mdlib.recipes import chest
from mdlib.recipes.chest import peers

SIZES = chest.choose("embedded", {"growth": 4, "blocks": [1, 2, 2, 1], "stem": 8})


@pytest.fixture
def model():
    torch.manual_seed(0)
    built = densenet121(15, growth=SIZES.growth, blocks=SIZES.blocks, stem=SIZES.stem).double().eval()
    nn.init.normal_(built.features.norm5.bias)    # as after training: the ReLU behind norm5 has something to clip
    return built


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
    ("the text", False, False), ("the authors' code", True, True), ("neither", False, True)])
def test_each_reading_is_what_its_name_says(reading, gradient_after, map_after, model, image):
    maps = peers.readings(model, image)[reading]
    for k in (0, 9):
        torch.testing.assert_close(maps[:, k], naive_reading(model, image, k, gradient_after, map_after))


def test_behind_torchvisions_in_place_relu_each_library_follows_another_reading(model, image):
    maps = peers.all_maps(model, peers.torchvision_twin(model, SIZES), image)
    for library, reading in {"mdlib": "the text", "captum": "the text", "torchcam": "the authors' code",
                             "grad-cam": "neither"}.items():
        found = maps[peers.IN_PLACE, library]
        torch.testing.assert_close(found, maps["", reading], rtol=0, atol=peers.ROUNDING)
        others = [values for (network, name), values in maps.items() if not network and name != reading]
        assert all((found - values).abs().max() > 0.01 for values in others)
        torch.testing.assert_close(maps[peers.OWN, library], maps["", "the text"], rtol=0, atol=peers.ROUNDING)


def test_the_table_is_the_experiment_on_trained_weights_and_is_kept(tiny):
    table = peers.three_libraries(tiny)
    assert [network for network, _ in table.index] == [peers.IN_PLACE] * 4 + [peers.OWN] * 4
    assert (table.loc[peers.OWN, "max |Δ| the text"] < peers.ROUNDING).all()
    assert table.loc[peers.IN_PLACE, "follows"].iloc[:2].str.contains("the text").all()
    assert (tiny.run.folder / "answers/three_libraries.json").exists()
    assert peers.check_libraries(tiny, table).startswith("captum follows the text")
    assert len(peers.figure(tiny).axes) == 5
