"""The network of Fan et al.: its weights, its parts in their order, and what its losses can and cannot train."""

from contextlib import nullcontext
from functools import partial

import pytest
import torch
from torch.nn import functional as F
from torchvision import models
from torchvision.models.resnet import BasicBlock

from mdlib.errors import DataError, SettingsError
from mdlib.models import instance_fusion as fusion
from mdlib.models.backbones import count
from mdlib.models.channel_attention import MECHANISMS
from mdlib.models.crops import crops
from mdlib.models.instances import component_boxes

WEIGHTS = {1: (34_699_914, 34_696_840), 2: (34_710_154, 34_705_032), 4: (34_730_634, 34_721_416),
           6: (34_751_114, 34_737_800)}
HEADS = {1: (12_805, 10_244), 2: (23_045, 18_436), 4: (43_525, 34_820), 6: (64_005, 51_204)}
SMALL = dict(layers=(1, 1, 1, 1), width=4, strides=(2, 1, 1, 2, 2, 1), instance_layers=(1, 1, 1, 1), instance_width=4,
             instance_block=BasicBlock, instance_strides=(2, 2, 1, 2, 2, 1), crop=16)


def build(classes=5, seed=0, mechanism="gated", **options):
    torch.manual_seed(seed)
    return fusion.instance_fusion(classes, mechanism, **{**SMALL, **options})


@pytest.fixture
def batch():
    chance = torch.Generator().manual_seed(1)
    return {"image": torch.rand(3, 3, 48, 64, generator=chance),
            "picture": torch.randint(0, 256, (3, 3, 96, 128), dtype=torch.uint8, generator=chance),
            "extent": torch.tensor([[96, 128], [90, 100], [64, 128]])}


class TestWeights:
    @pytest.mark.parametrize("n", WEIGHTS)
    def test_without_a_mechanism_of_weights(self, n):
        with torch.device("meta"):
            for classes, weights, head in zip((5, 4), WEIGHTS[n], HEADS[n], strict=True):
                model = fusion.instance_fusion(classes, "channel", n=n)
                assert (count(model), count(model.head)) == (weights, head)

    def test_the_default_network_and_its_parts(self):
        with torch.device("meta"):
            five, four = fusion.instance_fusion(5), fusion.instance_fusion(4)
            assert (count(five), count(four)) == (34_739_850, 34_730_632)
            assert (count(five.features), count(five.instance_features)) == (11_176_512, 23_508_032)
            assert (count(five.classifier), count(four.classifier)) == (2_565, 2_052)

    def test_pooled_instances_need_the_head_of_one_and_the_global_network_none(self):
        with torch.device("meta"):
            assert count(fusion.instance_fusion(5, "channel", pool=True)) == WEIGHTS[1][0]
            assert count(fusion.instance_fusion(5, fusion="global")) == 11_176_512 + 2_565 + 9_216
            assert count(fusion.instance_fusion(5, fusion="local").head) == 5 * (4 * 2048 + 1)


@pytest.mark.parametrize("mechanism", MECHANISMS)
@pytest.mark.parametrize("sampler", fusion.SAMPLERS)
def test_every_mechanism_runs_under_every_sampler_and_both_losses_reach_their_weights(mechanism, sampler, batch):
    model = build(mechanism=mechanism, sampler=sampler)
    out = model(**batch)
    assert {name: tuple(value.shape) for name, value in out.items() if name not in ("semantic", "gates")} == {
        "logits": (3, 5), "global_logits": (3, 5), "attention": (3, 6, 8), "boxes": (3, 4, 4), "found": (3, 4)}
    assert ("gates" in out, "semantic" in out) == (mechanism in ("se", "gated"), mechanism in ("gc", "gated"))
    (out["logits"].square().sum() + out["global_logits"].square().sum()).backward()
    for part in (model.features, model.classifier, model.instance_features, model.head):
        assert all(weight.grad is not None and weight.grad.any() for weight in part.parameters())


def test_the_parts_are_joined_as_in_fig_2(batch):
    model = build().eval()
    out = model(**batch)
    x = model.features(model.input(batch["image"]))
    refined = model.mechanism(x)
    vector = refined["features"].mean(dim=(2, 3))
    torch.testing.assert_close(out["global_logits"], model.classifier(vector))
    boxes, found = component_boxes(refined["attention"], batch["extent"], 4)
    assert torch.equal(out["boxes"], boxes) and torch.equal(out["found"], found)
    instances = []
    for i in range(4):
        cut = crops(batch["picture"], batch["extent"], boxes[:, i:i + 1], 16)[:, 0]
        instances.append(model.instance_features(model.input(cut)).mean(dim=(2, 3)))
    torch.testing.assert_close(out["logits"], model.head(torch.cat([vector, *instances], dim=1)))
    for name in ("attention", "semantic", "gates"):
        assert torch.equal(out[name], refined[name])


def test_a_picture_comes_out_the_same_alone_and_beside_larger_ones(batch):
    model = build().eval()
    together = model(**batch)
    for i, (height, width) in enumerate(batch["extent"].tolist()):
        alone = model(batch["image"][i:i + 1], batch["picture"][i:i + 1, :, :height, :width], batch["extent"][i:i + 1])
        for name, value in alone.items():
            torch.testing.assert_close(value[0], together[name][i])


def test_only_the_fusion_sees_the_picture_and_both_see_the_thumbnail(batch):
    model = build().eval()
    out, other = model(**batch), model(**{**batch, "picture": 255 - batch["picture"]})
    assert torch.equal(out["global_logits"], other["global_logits"]) and torch.equal(out["boxes"], other["boxes"])
    assert not torch.isclose(out["logits"], other["logits"]).any()
    other = model(**{**batch, "image": 1 - batch["image"]})
    assert not torch.isclose(out["global_logits"], other["global_logits"]).any()


def test_without_the_local_branch_no_crop_is_cut_and_the_logits_are_the_global_ones(batch, monkeypatch):
    model = build().eval()
    whole = model(**batch)
    monkeypatch.setattr(fusion, "crops", None)
    monkeypatch.setattr(model, "sampler", None)
    monkeypatch.setattr(model.instance_features, "forward", None)
    for out in (model(**batch, local=False), model(batch["image"], local=False)):
        assert out.keys() == whole.keys() - {"boxes", "found"}
        assert torch.equal(out["logits"], whole["global_logits"])
        assert torch.equal(out["global_logits"], whole["global_logits"])


def test_the_global_network_is_the_other_without_its_local_branch(batch):
    whole, alone = build().eval(), build(fusion="global").eval()
    alone.load_state_dict({name: value for name, value in whole.state_dict().items()
                           if not name.startswith(("instance_features", "head"))})
    assert torch.equal(alone(**batch)["logits"], whole(**batch)["global_logits"])


def test_pooled_features_are_the_mean_of_those_found(batch):
    model = build(pool=True, sampler_options={"min_cells": 2}).eval()
    out = model(**batch)
    assert not out["found"].all() and out["found"].any(dim=1).all()
    vector = model.mechanism(model.features(model.input(batch["image"])))["features"].mean(dim=(2, 3))
    instances = model.instances(**batch, boxes=out["boxes"])
    for i, found in enumerate(out["found"]):
        row = torch.cat([vector[i], instances[i, found].mean(dim=0)])
        torch.testing.assert_close(out["logits"][i], model.head(row))


def test_pooled_features_of_a_flat_map_are_those_of_the_whole_picture(batch):
    model = build(pool=True, fusion="local").eval()
    torch.nn.init.zeros_(model.features.layer4[-1].bn2.weight)
    torch.nn.init.zeros_(model.features.layer4[-1].downsample[1].weight)
    out = model(**batch)
    assert not out["found"].any() and (out["boxes"] == torch.tensor([0, 0, 1, 1])).all()
    whole = model.instances(**batch, boxes=out["boxes"][:, :1])[:, 0]
    torch.testing.assert_close(out["logits"], model.head(whole))


def test_crops_of_the_thumbnail_do_not_see_the_picture(batch):
    model = build(source="thumbnail", crop=80).eval()
    out, other = model(**batch), model(**{**batch, "picture": 255 - batch["picture"]})
    assert torch.equal(out["logits"], other["logits"])
    cut = crops(batch["image"], torch.tensor([[48, 64]] * 3), out["boxes"], 80)
    features = model.instance_features(model.input(cut.flatten(0, 1))).mean(dim=(2, 3)).unflatten(0, (3, 4))
    torch.testing.assert_close(model.instances(**batch, boxes=out["boxes"]), features)


class TestTraining:
    """Eq. 3 with lambda = 1/2, a few steps of SGD."""

    def steps(self, model, batch, decay=0.0):
        before = {name: value.clone() for name, value in model.state_dict().items()}
        optimizer = torch.optim.SGD(model.parameters(), 0.05, momentum=0.9, weight_decay=decay)
        target = torch.tensor([0, 1, 2])
        for _ in range(4):
            out = model(**batch)
            loss = 0.5 * F.cross_entropy(out["global_logits"], target) + 0.5 * F.cross_entropy(out["logits"], target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}

    @pytest.mark.parametrize("mechanism", ["spatial", "dual", "se", "gc", "gated"])
    def test_as_written_no_weight_of_the_attention_moves(self, mechanism, batch):
        model = build(mechanism=mechanism, reading="written")
        moved = self.steps(model, batch)
        own = {f"mechanism.{name}" for name, _ in model.mechanism.named_parameters()}
        assert own and not moved & own and {"features.conv1.weight", "head.weight", "classifier.weight"} <= moved
        assert all(weight.grad is None for weight in model.mechanism.parameters())

    def test_as_written_weight_decay_does_not_move_them_either(self, batch):
        """SGD skips weights without a gradient, so that decay leaves the attention as it was initialised."""
        assert not {name for name in self.steps(build(reading="written"), batch, decay=1e-4) if "mechanism" in name}

    @pytest.mark.parametrize("reading", ["gated", "semantic", "weighted"])
    def test_where_y_g_reads_the_attention_its_blocks_move(self, reading, batch):
        assert {"mechanism.blocks.0.weight", "mechanism.blocks.1.weight"} <= self.steps(build(reading=reading), batch)

    def test_the_fusion_loss_alone_reaches_the_attention_through_the_vector_and_not_through_the_boxes(self, batch):
        for fused, reached in (("both", True), ("local", False)):
            model = build(fusion=fused)
            model(**batch)["logits"].square().sum().backward()
            assert [block.weight.grad is not None for block in model.mechanism.blocks] == [reached] * 2
            assert (model.features.conv1.weight.grad is not None) == reached


class TestBodies:
    @pytest.mark.parametrize("last_relu", [True, False])
    def test_resnet_18_is_torchvisions_and_takes_its_weights(self, last_relu, monkeypatch):
        torch.manual_seed(0)
        theirs, image = models.resnet18(num_classes=1).eval(), torch.rand(1, 3, 64, 64)
        monkeypatch.setattr(fusion, "imagenet", lambda build, weights: {models.resnet18: theirs}[build])
        ours = fusion.resnet18_features(True, last_relu=last_relu).eval()
        torch.testing.assert_close(theirs.fc(ours(image).relu().mean(dim=(2, 3))), theirs(image))

    @pytest.mark.parametrize("layers", [(1, 1, 1, 1), (1, 1, 1, 2)])
    def test_without_its_last_relu_it_is_the_same_before_it(self, layers):
        build = partial(fusion.resnet18_features, False, layers, 4)
        after, before = build().eval(), build(last_relu=False).eval()
        before.load_state_dict(after.state_dict())
        given = before(image := torch.rand(2, 3, 64, 64))
        assert torch.equal(given.relu(), after(image)) and given.min() < 0

    def test_gates_may_compare_what_is_before_the_relu(self, batch):
        model = build(mechanism_options={"before": "prerelu"}).eval()
        out = model(**batch)
        assert (out["attention"] >= 0).all() and (out["gates"] == 0).any()
        other = build().eval()
        other.load_state_dict(model.state_dict())
        torch.testing.assert_close(out["semantic"], other(**batch)["semantic"])

    def test_other_sizes_have_no_imagenet_weights(self):
        with pytest.raises(SettingsError, match="parameter pretrained: ImageNet weights exist for layers"):
            build(pretrained=True)


class TestErrors:
    def test_a_picture_smaller_than_a_crop_is_named(self, batch):
        with pytest.raises(DataError, match="picture 2 of the batch: the picture of 64 x 128 pixels is smaller than a"):
            build(crop=80)(**batch)

    def test_a_missing_picture_is_named(self, batch):
        with pytest.raises(SettingsError, match="picture or extent: missing"):
            build()(batch["image"])

    @pytest.mark.parametrize("options, changed", [({}, "picture"), ({}, "extent"), ({}, "boxes"), ({"pool": True}, "")])
    def test_arguments_that_do_not_fit_one_another_are_named(self, batch, options, changed):
        boxes = torch.tensor([0.1, 0.1, 0.9, 0.9]).expand(3, 2 if changed == "boxes" or options else 4, 4)
        given = {**batch, "boxes": boxes}
        if changed in batch:
            given[changed] = given[changed][:2]
        with pytest.raises(SettingsError, match=changed) if changed else nullcontext():
            build(**options)(**given)

    def test_a_network_that_has_diverged_says_so(self, batch):
        batch["image"][1, 0, 0, 0] = torch.nan
        with pytest.raises(DataError, match="picture 1 of the batch: the attention map is not finite"):
            build().eval()(**batch)

    @pytest.mark.parametrize("options, parameter", [
        ({"mechanism": "none"}, "mechanism"), ({"sampler": "none"}, "sampler"), ({"reading": "none"}, "reading"),
        ({"fusion": "none"}, "fusion"), ({"source": "none"}, "source"), ({"n": 0}, "n")])
    def test_settings_that_make_no_sense_are_named(self, options, parameter):
        with pytest.raises(SettingsError, match=f"parameter {parameter}: "):
            build(**options)

    def test_a_fusion_and_its_parts_must_agree(self):
        model = build()
        with pytest.raises(SettingsError, match="parameter fusion: is 'both' for a network without instance features"):
            fusion.InstanceFusion(model.features, model.mechanism, None, 5)
