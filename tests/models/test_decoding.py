"""Beam search against all sentences there are, scores for retrieval against one pair after the other."""

from itertools import product

import pytest
import torch
from naive_report import PARTS, PLACES, images, log_p, sentence, tiny

from mdlib.errors import SettingsError
from mdlib.models.decoding import generate, log_likelihood
from mdlib.models.report_lstm import ATTENTIONS, END, PAD

LONGEST = 3


def padded(words, longest=LONGEST):
    return [*words, END, *[PAD] * (longest - len(words))]


def greedy(net, features, c, part, longest):
    """One word after the other, the likeliest each time: one image, one sentence, lists."""
    words = []
    while len(words) < longest:
        logits, _ = sentence(net, features, c, part, [*words, END])
        best = max(range(net.vocabulary), key=lambda word: logits[-1][word])
        if best == END:
            break
        words.append(best)
    return words


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_a_beam_of_one_is_the_greedy_loop(attention):
    net, (features, c) = tiny(attention, seed=4), images(8)
    out = generate(net, features, c, longest=LONGEST)
    assert len({tuple(words) for words in out["words"].flatten(0, 1).tolist()}) > 4
    assert len((out["words"] == END).nonzero()[:, 2].unique()) > 1    # short ones and long ones
    for b in range(8):
        for part in range(PARTS):
            words = padded(greedy(net, features[b], c[b], part, LONGEST))
            assert out["words"][b, part].tolist() == words
            expected = log_p(net, features[b], c[b], part, words)
            assert out["log_probability"][b, part] == pytest.approx(expected, abs=1e-12)


def test_a_beam_as_wide_as_the_tree_finds_the_likeliest_of_all_sentences():
    net, (features, c) = tiny(vocabulary=4, seed=2), images(2)
    sentences = [padded(words) for n in range(LONGEST + 1) for words in product(range(1, 4), repeat=n)]
    found = generate(net, features, c, longest=LONGEST, beam=60)
    poorer = generate(net, features, c, longest=LONGEST, beam=1)
    assert (found["log_probability"] >= poorer["log_probability"]).all()
    assert not torch.equal(found["words"], poorer["words"])
    everything = torch.tensor(sentences)[:, None].expand(-1, PARTS, -1)
    for b in range(2):
        logits = net(features[b:b + 1].expand(len(sentences), -1, -1, -1), everything,
                     c[b:b + 1].expand(len(sentences), -1))["logits"]
        chosen = logits.log_softmax(dim=3).gather(3, everything.clamp(min=0)[..., None])[..., 0]
        scores = chosen.masked_fill(everything == PAD, 0).sum(dim=2)                       # (sentences, K)
        torch.testing.assert_close(scores.exp().sum(dim=0) <= 1, torch.ones(PARTS, dtype=torch.bool))
        torch.testing.assert_close(found["log_probability"][b], scores.max(dim=0).values, rtol=0, atol=1e-12)
        for part, best in enumerate(scores.argmax(dim=0).tolist()):
            assert found["words"][b, part].tolist() == sentences[best]


@pytest.mark.parametrize("beam", [1, 3])
@pytest.mark.parametrize("attention", ["aas", "none"])
def test_what_is_written_has_the_attention_and_the_probability_that_reading_it_gives(attention, beam):
    net, (features, c) = tiny(attention, seed=3), images(4)
    out = generate(net, features, c, longest=5, beam=beam)
    read = net(features, out["words"], c)
    there = out["words"] != PAD
    chosen = read["logits"].log_softmax(dim=3).gather(3, out["words"].clamp(min=0)[..., None])[..., 0]
    torch.testing.assert_close(out["log_probability"], (chosen * there).sum(dim=2), rtol=0, atol=1e-12)
    assert out["words"].shape == (4, PARTS, 6) and (out["words"] == END).sum(dim=2).eq(1).all()
    if attention == "aas":
        torch.testing.assert_close(out["attention"], read["attention"] * there[..., None], rtol=0, atol=1e-12)
        assert out["attention"].shape == (4, PARTS, 6, PLACES)
    else:
        assert "attention" not in out


def test_images_are_written_about_alike_alone_and_together():
    net, (features, c) = tiny(seed=3), images(4)
    together = generate(net, features, c, longest=5, beam=3)
    for b in range(4):
        alone = generate(net, features[b:b + 1], c[b:b + 1], longest=5, beam=3)
        assert torch.equal(alone["words"][0], together["words"][b])


def test_a_sentence_ends_at_once_where_it_must_and_at_the_longest_where_it_would_not():
    net, (features, c) = tiny(), images(2)
    for weight in net.parameters():
        weight.data.zero_()
    net.from_input.bias.data.fill_(5)    # h > 0 whatever comes
    net.decode.weight.data[END] = 10
    out = generate(net, features, c, longest=3, beam=2)
    assert (out["words"] == torch.tensor([END, PAD, PAD, PAD])).all() and not out["attention"][:, :, 1:].any()
    net.decode.weight.data[END], net.decode.weight.data[4] = 0, 10
    out = generate(net, features, c, longest=3, beam=2)
    assert (out["words"] == torch.tensor([4, 4, 4, END])).all()
    assert (out["log_probability"] < -5).all()


REPORTS = torch.tensor([[[2, 5, 3, END], [4, END, PAD, PAD], [6, 6, END, PAD]],
                        [[2, 5, 3, END], [4, 2, END, PAD], [PAD, PAD, PAD, PAD]],
                        [[2, 5, 4, 6], [4, END, PAD, PAD], [6, 6, PAD, PAD]],
                        [[END, PAD, PAD, PAD], [2, 2, 2, 2], [6, 6, END, PAD]],
                        [[2, 5, 3, END], [4, END, PAD, PAD], [6, 6, END, PAD]]])


@pytest.mark.parametrize("batch", [1, 2, 5, 2048])
@pytest.mark.parametrize("attention", ATTENTIONS)
def test_the_score_of_a_pair_is_the_sum_over_its_sentences_and_words(attention, batch):
    net, (features, c) = tiny(attention), images(3)
    scores = log_likelihood(net, features, c, REPORTS, batch_size=batch)
    expected = [[sum(log_p(net, features[m], c[m], part, REPORTS[n, part].tolist()) for part in range(PARTS))
                 for m in range(3)] for n in range(5)]
    torch.testing.assert_close(scores, torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-12)
    assert torch.equal(scores[0], scores[4])


def test_many_random_reports_are_scored_as_by_the_network_itself_in_single_precision():
    net, (features, c) = tiny(vocabulary=9, seed=4).float(), images(11)
    features, c = features.float(), c.float()
    draw = torch.Generator().manual_seed(0)
    words = torch.randint(2, 9, (40, PARTS, 6), generator=draw)
    lengths = torch.randint(1, 6, (40, PARTS, 1), generator=draw)
    words = words.masked_fill(torch.arange(6) == lengths, END).masked_fill(torch.arange(6) > lengths, PAD)
    scores = log_likelihood(net, features, c, words, batch_size=64)
    for m in range(11):
        logits = net(features[m:m + 1].expand(40, -1, -1, -1), words, c[m:m + 1].expand(40, -1))["logits"]
        chosen = logits.log_softmax(dim=3).gather(3, words.clamp(min=0)[..., None])[..., 0]
        expected = (chosen * (words != PAD)).sum(dim=(1, 2))
        torch.testing.assert_close(scores[:, m], expected, rtol=1e-5, atol=1e-5)


def test_reports_without_their_last_parts_are_scored_by_the_parts_they_have():
    net, (features, c) = tiny(), images(2)
    cut = REPORTS.clone()
    cut[:, 2] = PAD
    torch.testing.assert_close(log_likelihood(net, features, c, REPORTS[:, :2]), log_likelihood(net, features, c, cut),
                               rtol=0, atol=1e-12)


def test_neither_dropout_nor_gradients_are_left_on():
    net, (features, c) = tiny().train(), images(2)
    out = [generate(net, features, c, longest=4) for _ in range(2)]
    assert torch.equal(out[0]["words"], out[1]["words"]) and not out[0]["log_probability"].requires_grad
    assert torch.equal(*(log_likelihood(net, features, c, REPORTS) for _ in range(2))) and net.training


def test_lengths_and_beams_are_at_least_one():
    net, (features, c) = tiny(), images(1)
    for longest, beam in ((0, 1), (1, 0)):
        with pytest.raises(SettingsError, match=f"longest = {longest} and beam = {beam}"):
            generate(net, features, c, longest=longest, beam=beam)
