"""The gated chapter on the study layer: its settings, weights, trainings and exhibits."""

import dataclasses

import pytest
import torch
from torchvision.models import Inception_V3_Weights

from mdlib.errors import SettingsError
from mdlib.models.channel_attention import MECHANISMS
from mdlib.papers import gated
from mdlib.papers.gated import data, exhibits, networks
from mdlib.papers.gated.settings import COLLECTIONS, EXHIBITS
from mdlib.study import spec

NAN, INF = float("nan"), float("inf")
FOUR, SIX = ([1, 1, 1], [1, 1, 1, 0], [1, 1, 1, 1.5], [1, 1, 1, True], 4), ([1] * 5, [1] * 7, [1] * 5 + [3], [0] * 6, 2)
COUNT, SIZE = (0, -1, 1.5, "3", True), (NAN, -0.1, INF, "0.1", True)
WRONG = {           # setting: values that make no sense
    **dict.fromkeys(("exhibits", "one_seed"), (["table4"], "table1", [1], [["table1"]])),
    "test": (0, 0.6, NAN, "0.25", True), "thumbnail": ([224], [224, 224, 3], [31, 224], [224, 31], [96.0, 128.0], 224),
    "crop": COUNT, "grey": (["funghi"], "fungi", [True]), "upside_down": (["skin"], "breast"), "tone": SIZE,
    "pretrained": (1, "yes"), "dilations": ([], [0, 1], [-1], [1.5], ["2"], 2), "layers": FOUR, "width": COUNT,
    "strides": SIX, "instance_block": ("residual", 1), "instance_layers": FOUR, "instance_width": COUNT,
    "instance_strides": SIX, "learning_rate": (*SIZE, 0), "momentum": (1.0, *SIZE), "weight_decay": SIZE,
    "epochs": COUNT, "demo_epochs": COUNT, "batch_size": COUNT, "n_seeds": COUNT, "n_bootstrap": COUNT,
    "precision": ("16-true", 32), "channels_last": (0, "no"), "num_workers": (-1, 0.5, "all")}


def test_an_unmarked_setting_is_the_papers_number():
    paper = gated.PROFILES["paper"]
    assert (paper.exhibits, paper.test, paper.thumbnail, paper.crop, paper.pretrained, paper.learning_rate,
            paper.batch_size, paper.n_seeds) == (EXHIBITS, 0.25, (224, 224), 336, True, 0.05, 16, 1)
    assert (paper.layers, paper.width, paper.strides) == ((2, 2, 2, 2), 64, (2, 2, 1, 2, 2, 2)), "ResNet-18"
    assert (paper.instance_block, paper.instance_layers, paper.instance_width, paper.instance_strides) == (
        "bottleneck", (3, 4, 6, 3), 64, (2, 2, 1, 2, 2, 2)), "ResNet-50"


@pytest.mark.parametrize("field", dataclasses.fields(gated.Gated), ids=lambda field: field.name)
@pytest.mark.parametrize("profile", gated.PROFILES)
def test_a_setting_that_makes_no_sense_is_named(profile, field):
    for value in WRONG[field.name]:
        with pytest.raises(SettingsError, match=rf"\b{field.name}\b"):
            gated.PAPER.choose(profile, {field.name: value})


@pytest.mark.parametrize("profile, overrides, said", [
    ("papr", {}, "papr.*paper"), ("embedded", {"crops": 3}, "crops.*crop"), ("embedded", "epochs=3", "dict")])
def test_an_unknown_profile_or_setting_is_named(profile, overrides, said):
    with pytest.raises(SettingsError, match=said):
        gated.PAPER.choose(profile, overrides)


def test_exhibits_need_each_training_once_ordered_by_seed_and_what_they_have_of_the_paper_is_there(tiny_gated):
    study = dataclasses.replace(tiny_gated, settings=dataclasses.replace(
        tiny_gated.settings, exhibits=EXHIBITS, n_seeds=2, one_seed=("attention",)))
    runs = exhibits.planned(study)
    assert len(runs) == len({run.slug for run in runs})
    assert [run.seed for run in runs] == sorted(run.seed for run in runs)
    wanted = {dataclasses.replace(run, seed=seed) for name, labelled in exhibits.RUNS.items() for run in
              labelled.values() for seed in ((0,) if name == "attention" else (0, 1)) if run.collection != "bccd"}
    assert set(runs) == wanted
    assert exhibits.RUNS.keys() == set(EXHIBITS)
    for name, labelled in exhibits.RUNS.items():
        assert exhibits.exhibit(name, study).keys() == (labelled.keys() if name != "bccd" else set())
        assert exhibits.REFERENCE not in labelled or next(iter(labelled)) == exhibits.REFERENCE
    rebuilt = {name: [label for label in printed if label in exhibits.RUNS[name]]
               for name, printed in exhibits.ACCURACY.items()}
    assert rebuilt["table1"] == ["ResNet-50", "NTS network", exhibits.REFERENCE]
    assert rebuilt["table2"] == list(exhibits.ACCURACY["table2"])
    assert rebuilt["table3"] == ["VGG19", "Inception-v3", "DenseNet-161", "AlexNet", "ResNet-152"]


def test_the_overview_counts_trainings_of_one_seed_once(tiny_gated):
    table = exhibits.overview(tiny_gated)
    assert table["trained here"].to_dict() == {name: "yes" if name == "table1" else "no" for name in EXHIBITS}
    assert table.loc["table1", ["collection", "trainings", "new"]].tolist() == ["fungi", 5, 5]
    assert table.loc["table2", ["trainings", "new"]].tolist() == [6, 5], "gated attention is in both"
    assert table["new"].sum() == len({run for runs in exhibits.RUNS.values() for run in runs.values()})


def test_networks_of_the_collections_that_are_there_are_shipped(tiny_gated):
    runs = exhibits.shipped(tiny_gated)
    assert {run.network for run in runs} == set(MECHANISMS) and {run.collection for run in runs} == {"fungi", "breast"}
    assert len({run.slug for run in runs}) == len(runs) and exhibits.OURS in runs and exhibits.THUMBNAIL in runs
    assert any((run.weight, run.rate) == ("paper", "paper") for run in runs)


def test_labels_of_runs_are_words():
    runs = [*exhibits.RUNS["attention"].values(), *exhibits.RUNS["instances"].values(), *exhibits.RUNS["leak"].values()]
    assert len(set(spec.labels(runs).values())) == len({run.series for run in runs})
    few = dataclasses.replace(exhibits.OURS, colour=True, n=2)
    assert spec.labels([exhibits.OURS, few]) == {exhibits.OURS: "gated, grey, 4 instances",
                                                 few: "gated, colour, 2 instances"}


def test_the_settings_of_every_profile_and_of_the_book_make_sense():
    for profile in gated.PROFILES:
        assert gated.PAPER.choose(profile, {}) == gated.PROFILES[profile]
        assert gated.PAPER.choose(profile, gated.PAPER.grid).n_seeds == 3
    assert tuple(data.READERS) == COLLECTIONS


@pytest.fixture(scope="module")
def counts():
    return gated.weights().set_index("network")["weights"].to_dict()


class TestWeights:
    def test_of_the_parts_and_of_the_default_network(self, counts):
        assert {name: counts[name] for name in (
            "resnet18_body", "resnet50_body", "spatial", "channel", "dual", "se", "gc", "gated")} == {
            "resnet18_body": 11_176_512, "resnet50_body": 23_508_032, "spatial": 526_592, "channel": 0,
            "dual": 328_322, "se": 32_768, "gc": 33_889, "gated": 9_216}
        assert (counts["default_5_classes"], counts["default_4_classes"]) == (34_739_850, 34_730_632)

    def test_of_the_fusion_and_of_the_whole_without_a_mechanism(self, counts):
        heads = {1: (12_805, 10_244), 2: (23_045, 18_436), 4: (43_525, 34_820), 6: (64_005, 51_204),
                 "pooled": (12_805, 10_244)}
        assert {n: (counts[f"fusion_{n}_5_classes"], counts[f"fusion_{n}_4_classes"]) for n in heads} == heads
        body, wholes = counts["resnet18_body"] + counts["resnet50_body"], {
            1: (34_699_914, 34_696_840), 2: (34_710_154, 34_705_032), 4: (34_730_634, 34_721_416),
            6: (34_751_114, 34_737_800), "pooled": (34_699_914, 34_696_840)}
        for n, whole in wholes.items():
            assert (body + 2_565 + heads[n][0], body + 2_052 + heads[n][1]) == whole, "with the head of Y_g"
        assert (counts["default_5_classes"], counts["default_4_classes"]) == tuple(
            whole + counts["gated"] for whole in wholes[4])

    def test_of_table_3(self, counts):
        assert {name: counts[name] for name in (*networks.TORCHVISION, "inception_v3_with_aux")} == {
            "vgg19": 139_586_628, "inception_v3": 21_793_764, "inception_v3_with_aux": 24_354_536,
            "densenet161": 26_480_836, "alexnet": 57_020_228, "resnet152": 58_152_004}
        assert counts["resnet50"] == counts["resnet50_body"] + 4 * (2048 + 1)


@pytest.mark.parametrize("name", ["alexnet", "inception_v3"])
def test_a_network_of_table_3_takes_thumbnails_of_the_papers_size_and_gives_a_logit_per_class(name):
    model = networks.build(gated.Run(name), gated.PROFILES["paper"], {"classes": list("abcd")})
    for image in torch.rand(2, 1, 224, 224), torch.rand(2, 3, 224, 224):
        out = model(**gated.inputs({"image": image, "picture": None, "extent": None}, model))
        assert out.keys() == {"logits"} and out["logits"].shape == (2, 4)


def test_inception_that_is_built_again_is_the_network_that_was_trained(monkeypatch):
    """torchvision scales the input of one with ImageNet's weights, and by default of no other."""
    torch.manual_seed(0)
    stored = networks.inception_v3().state_dict()
    monkeypatch.setattr(Inception_V3_Weights, "get_state_dict", lambda self, **_: stored)
    trained = networks.network(gated.Run("inception_v3"), gated.PROFILES["paper"], 4).eval()
    again = networks.build(gated.Run("inception_v3"), gated.PROFILES["paper"], {"classes": list("abcd")}).eval()
    again.load_state_dict(trained.state_dict())
    image = torch.rand(1, 3, 128, 128)
    assert torch.equal(trained(image)["logits"], again(image)["logits"])


def test_an_unknown_network_is_named():
    with pytest.raises(SettingsError, match=r"vgg16.*gated.*vgg19"):
        gated.network(gated.Run("vgg16"), gated.PROFILES["embedded"], 5)


@pytest.mark.parametrize("field, value", [("reading", "no"), ("normalise", "no"), ("before", "no"), ("source", "no"),
                                          ("fusion", "no"), ("sampler", "no"), ("n", 0), ("weight", "no"),
                                          ("rate", "no"), ("split", "no"), ("epochs", "no")])
def test_a_run_that_makes_no_sense_is_named(field, value):
    with pytest.raises(SettingsError, match=f"parameter {field}"):
        gated.network(gated.Run("gated", **{field: value}), gated.PROFILES["embedded"], 5)
