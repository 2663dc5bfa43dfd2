"""The language model against eq. 7-10 written as loops, and what must hold of its batches and its attention."""

import pytest
import torch
from naive_report import CHANNELS, PARTS, PLACES, VOCABULARY, images, sentence, tiny

from mdlib.errors import SettingsError
from mdlib.models.report_lstm import ATTENTIONS, END, PAD, ReportLSTM

WORDS = torch.tensor([[[2, 5, 3, END], [4, END, PAD, PAD], [6, 6, END, PAD]],
                      [[END, PAD, PAD, PAD], [2, 3, 4, END], [1, 2, END, PAD]]])


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_logits_and_attention_are_equations_8_to_10(attention):
    net, (features, c) = tiny(attention), images(2)
    out = net(features, WORDS, c)
    assert out["logits"].shape == (2, PARTS, 4, VOCABULARY)
    assert (attention == "none") == ("attention" not in out)
    for b in range(2):
        for part in range(PARTS):
            logits, a = sentence(net, features[b], c[b], part, WORDS[b, part].tolist())
            torch.testing.assert_close(out["logits"][b, part, :len(logits)], torch.tensor(logits, dtype=torch.float64),
                                       rtol=0, atol=1e-12)
            if attention != "none":
                torch.testing.assert_close(out["attention"][b, part, :len(a)], torch.tensor(a, dtype=torch.float64),
                                           rtol=0, atol=1e-12)


def test_local_attention_works_without_evidence():
    net, (features, _) = tiny("local"), images(1)
    logits, a = sentence(net, features[0], None, 1, [3, END])
    out = net(features, torch.tensor([[[PAD, PAD], [3, END]]]))
    torch.testing.assert_close(out["logits"][0, 1], torch.tensor(logits, dtype=torch.float64), rtol=0, atol=1e-12)
    torch.testing.assert_close(out["attention"][0, 1], torch.tensor(a, dtype=torch.float64), rtol=0, atol=1e-12)


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_a_word_depends_on_what_was_before_it_and_on_nothing_else(attention):
    net, (features, c) = tiny(attention), images(2)
    before, changed = net(features, WORDS, c)["logits"], WORDS.clone()
    changed[0, 1, 2] = 6
    after = net(features, changed, c)["logits"]
    differs = (before != after).any(dim=3)
    assert differs[0, 1].tolist() == [False, False, False, True] and differs.sum() == 1
    torch.testing.assert_close(net(features[:1], WORDS[:1, :2], c[:1])["logits"], before[:1, :2], rtol=0, atol=1e-12)


@pytest.mark.parametrize("attention", ["aas", "original"])
def test_before_it_learns_a_place_is_attended_for_its_own_evidence(attention):
    net, (features, c) = ReportLSTM(VOCABULARY, PARTS, CHANNELS, PLACES, attention=attention), images(2)
    net.attend.project.weight.data.zero_()
    if attention == "original":
        c = net.attend.w(features.float().flatten(2).transpose(1, 2))[..., 0]
    a = net(features.float(), WORDS, c.float())["attention"]
    torch.testing.assert_close(a[:, 0, 0], c.float().tanh().softmax(dim=1))
    drawn = ReportLSTM(VOCABULARY, PARTS, CHANNELS, PLACES, attention=attention, identity=False)
    assert drawn.attend.score.weight.std() > 0.1 and drawn.attend.score.weight.trace() < 3


def test_attention_sums_to_one_and_the_parts_look_elsewhere():
    net, (features, c) = tiny("aas"), images(2)
    attention = net(features, WORDS, c)["attention"]
    torch.testing.assert_close(attention.sum(dim=3), torch.ones(2, PARTS, 4, dtype=torch.float64))
    assert torch.equal(attention[:, 0, 0], attention[:, 1, 0])    # h_0 knows the image, not yet the part
    assert (attention[:, 0, 1] - attention[:, 1, 1]).abs().max() > 1e-3


def test_local_attention_prefers_no_place_and_that_of_eq_9_does():
    order = torch.tensor([5, 3, 0, 1, 4, 2])
    features, c = images(2)
    shuffled = features.flatten(2)[..., order].view_as(features)
    for attention, same in (("local", True), ("aas", False), ("original", False)):
        net = tiny(attention)
        moved, still = (net(x, WORDS, y)["attention"] for x, y in ((shuffled, c[:, order]), (features, c)))
        assert torch.allclose(moved, still[..., order], rtol=0, atol=1e-12) is same


def test_the_gradients_are_those_of_differences():
    net, (features, c) = tiny("aas"), images(1)
    weights = dict(net.named_parameters())

    def loss(features, c, *values):
        out = torch.func.functional_call(net, dict(zip(weights, values, strict=True)), (features, WORDS[:1], c))
        return out["logits"].log_softmax(dim=3)[..., 2].sum()

    assert torch.autograd.gradcheck(loss, (features.requires_grad_(), c.requires_grad_(), *weights.values()))


def test_every_weight_learns_and_dropout_is_only_for_training():
    for attention in ATTENTIONS:
        net, (features, c) = tiny(attention), images(2)
        net(features, WORDS, c)["logits"].square().sum().backward()
        assert all(weight.grad.abs().max() > 0 for weight in net.parameters())
        assert torch.equal(net(features, WORDS, c)["logits"], net(features, WORDS, c)["logits"])
        net.train()
        assert not torch.equal(net(features, WORDS, c)["logits"], net(features, WORDS, c)["logits"])


def test_the_number_of_weights_is_that_of_the_equations():
    """With the paper's 512 x 14 x 14: E, W_F, the LSTM of E x, z and h, W_h, W_att, G_h."""
    net = ReportLSTM(1000, 6, 512, 196)
    lstm = 4 * 256 * (128 + 512 + 256 + 1)
    assert sum(w.numel() for w in net.parameters()) == (
        1006 * 128 + 128 * 512 + lstm + 196 * 256 + 196 * 196 + 1000 * 256)


def test_what_does_not_fit_is_refused():
    with pytest.raises(SettingsError, match=r"unknown value 'soft'.*aas, original, local, none"):
        ReportLSTM(VOCABULARY, PARTS, CHANNELS, PLACES, attention="soft")
    net, (features, c) = tiny("aas"), images(2)
    with pytest.raises(SettingsError, match="c: is missing"):
        net(features, WORDS)
    with pytest.raises(SettingsError, match="built for 5 channels at 6 places"):
        net(features[..., :2], WORDS, c)
    with pytest.raises(SettingsError, match="hold 4 parts, but the network writes 3"):
        net(features, WORDS[:, [0, 1, 2, 2]], c)
