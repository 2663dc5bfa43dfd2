"""The fork of eq. 12 against two separate backward passes, class maps against logits, reports against their reading."""

import pytest
import torch
from image_model import CHANNELS, CLASSES, Small
from torch import nn

from mdlib.errors import SettingsError
from mdlib.models.mdnet import MDNet, class_maps, evidence_of, scale_gradient
from mdlib.models.report_lstm import ATTENTIONS, END, PAD, ReportLSTM

PARTS, VOCABULARY = 3, 7


def network(attention="aas", parts=PARTS):
    torch.manual_seed(0)
    language = ReportLSTM(VOCABULARY, parts, CHANNELS, 9, embedding=4, hidden=6, attention=attention, dropout=0)
    return MDNet(Small(), language).double()


def batch(parts=PARTS):
    draw = torch.Generator().manual_seed(1)
    words = torch.randint(2, VOCABULARY, (4, parts, 5), generator=draw)
    words[:, :, 3], words[:, :, 4] = END, PAD
    return {"image": torch.rand(4, 3, 12, 12, generator=draw, dtype=torch.float64), "words": words,
            "target": torch.tensor([0, 3, 1, 1])}


def losses(out, entries):
    """L_M and L_L of eq. 11."""
    return (nn.functional.cross_entropy(out["logits"], entries["target"]),
            nn.functional.cross_entropy(out["words"].flatten(0, 2), entries["words"].flatten(), ignore_index=PAD))


def gradients(net, loss):
    weights = dict(net.named_parameters())
    found = torch.autograd.grad(loss, list(weights.values()), allow_unused=True)
    return {name: torch.zeros_like(weight) if grad is None else grad
            for (name, weight), grad in zip(weights.items(), found, strict=True)}


@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize("beta", [0, 0.3, 1])
def test_one_backward_pass_through_the_fork_is_equation_12(beta, attention):
    net, entries, eta = network(attention), batch(), 5
    inputs = {name: entries[name] for name in ("image", "words")}
    alone_m, alone_l = (gradients(net, losses(net(**inputs), entries)[which]) for which in (0, 1))
    joint = gradients(net, sum(losses(net(**inputs, fork=(1 - beta, beta * eta)), entries)))
    for name, grad in joint.items():
        if name.startswith("image_model.layers"):                                           # theta_D
            expected = (1 - beta) * alone_m[name] + beta * eta * alone_l[name]
        elif name.startswith("image_model.classifier"):                                     # theta_M
            assert not alone_l[name].any()
            expected = alone_m[name]
        else:                                                                               # theta_L
            assert not alone_m[name].any() and alone_l[name].any()
            expected = alone_l[name]
        torch.testing.assert_close(grad, expected, rtol=0, atol=1e-12)


def test_a_scaled_gradient_leaves_the_value_as_it_is_to_the_bit():
    x = torch.rand(50, requires_grad=True)
    y = scale_gradient(x, 0.3)
    assert torch.equal(x, y)
    assert torch.equal(torch.autograd.grad(y.sum(), x)[0], torch.full((50,), 0.3))


def test_the_mean_of_a_class_map_and_the_bias_are_the_logit():
    net, entries = network(), batch()
    out = net(entries["image"], entries["words"])
    maps = class_maps(out["features"], net.image_model.classifier)
    assert maps.shape == (4, CLASSES, 3, 3)
    torch.testing.assert_close(maps.mean(dim=(2, 3)) + net.image_model.classifier.bias, out["logits"],
                               rtol=0, atol=1e-12)                                          # eq. 4
    predicted = out["logits"].argmax(dim=1)
    torch.testing.assert_close(out["evidence"], maps[range(4), predicted].flatten(1), rtol=0, atol=1e-12)


def test_evidence_is_equation_9_place_by_place():
    net, draw = network(), torch.Generator().manual_seed(2)
    features = torch.randn(2, CHANNELS, 2, 4, generator=draw, dtype=torch.float64)
    c, w = evidence_of(features, net.image_model.classifier, torch.tensor([3, 1])), net.image_model.classifier.weight
    for b, chosen in enumerate((3, 1)):
        for i in range(8):
            place = features[b, :, i // 4, i % 4].tolist()
            assert c[b, i].item() == pytest.approx(sum(x * y for x, y in zip(place, w[chosen].tolist(), strict=True)))


def test_the_class_of_the_evidence_is_the_predicted_one_or_a_chosen_one_and_changes_the_words():
    net, entries = network(), batch()
    free = net(entries["image"], entries["words"])
    predicted = free["logits"].argmax(dim=1)
    same = net(entries["image"], entries["words"], chosen=predicted)
    other = net(entries["image"], entries["words"], chosen=(predicted + 1) % CLASSES)
    assert torch.equal(same["words"], free["words"]) and torch.equal(other["logits"], free["logits"])
    assert not torch.allclose(other["evidence"], free["evidence"])
    assert not torch.allclose(other["words"], free["words"])


@pytest.mark.parametrize("attention, parts", [*((name, PARTS) for name in ATTENTIONS), ("none", 1)])
def test_a_report_reads_as_it_was_written_and_changes_nothing(attention, parts):
    net, entries = network(attention, parts), batch()
    net.image_model.layers[1].eval()                    # a part that its owner keeps from learning
    modes = [module.training for module in net.modules()]
    statistics = net.image_model.layers[1].running_mean.clone()
    out = net.report(entries["image"], longest=6, beam=3)
    assert [module.training for module in net.modules()] == modes
    assert torch.equal(net.image_model.layers[1].running_mean, statistics)
    assert out["words"].shape == (4, parts, 7) and not out["logits"].requires_grad
    assert ("attention" in out) == (attention != "none")
    read = net.eval()(entries["image"], out["words"])
    for name in ("logits", "evidence", "features"):
        torch.testing.assert_close(out[name], read[name], rtol=0, atol=1e-12)
    chosen = read["words"].log_softmax(dim=3).gather(3, out["words"].clamp(min=0)[..., None])[..., 0]
    torch.testing.assert_close(out["log_probability"], (chosen * (out["words"] != PAD)).sum(dim=2), rtol=0, atol=1e-12)


def test_a_chosen_class_rewrites_the_report():
    net, entries = network(), batch()
    for weight in [*net.language.parameters(), net.image_model.classifier.weight]:
        nn.init.normal_(weight)
    words = [net.report(entries["image"], longest=6, chosen=torch.full((4,), k))["words"] for k in range(CLASSES)]
    assert not all(torch.equal(words[0], other) for other in words[1:])


def test_captions_can_be_learned_by_heart():
    """The task of every row of Table 2 in small: four images, each with its own sentences."""
    net, entries = network(), batch()
    optimizer = torch.optim.Adam(net.parameters(), 0.02)
    for _ in range(200):
        optimizer.zero_grad()
        sum(losses(net(entries["image"], entries["words"], fork=(0.5, 2.5)), entries)).backward()
        optimizer.step()
    net.train(False)
    assert torch.equal(net.report(entries["image"], longest=4)["words"], entries["words"])


def test_channels_must_agree():
    language = ReportLSTM(VOCABULARY, PARTS, CHANNELS + 1, 9)
    with pytest.raises(SettingsError, match="reads 6 channels, the image model gives 5"):
        MDNet(Small(), language)
