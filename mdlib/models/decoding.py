"""What a `ReportLSTM` does when it is trained: write reports (greedy, beam search) and score given ones for retrieval.

Both work on all images, parts and hypotheses at once; the only loops in Python go over the words of a sentence and over
blocks that bound the memory. Neither uses dropout or keeps gradients.
"""

import math
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from mdlib.errors import SettingsError
from mdlib.models.report_lstm import END, PAD, ReportLSTM, Sight, State, expand


@torch.no_grad()
def generate(language: ReportLSTM, features: Tensor, c: Tensor | None = None, *, longest: int,
             beam: int = 1) -> dict[str, Tensor]:
    """The likeliest sentence that a beam search finds for each part: features (B, C, h, w), c (B, P) -> dict of

    `words` int64 (B, K, longest + 1): at most `longest` words, END, then PAD; `attention` (B, K, longest + 1, P) of
    each word and of END, 0 where PAD, absent where the network has none; `log_probability` (B, K): the sum over words
    and END. beam: hypotheses kept for each sentence; 1 is greedy. A sentence that has `longest` words must end, at the
    probability that END has there. Probabilities are not divided by length (ours: the paper names no search).
    """
    if longest < 1 or beam < 1:
        raise SettingsError(f"longest = {longest} and beam = {beam}", "parameters longest, beam", "Use 1 or more.")
    sight, table = language.look(features, c), language.inputs()
    ids = language.starts(language.parts).expand(len(features), -1)                        # (B, K * hypotheses)
    state = expand(language.begin(sight), language.parts)
    score = language.decode.weight.new_zeros(*ids.shape, 1)                                # (B, K, hypotheses)
    ended, trail = torch.zeros_like(score, dtype=torch.bool), []
    for place in range(longest + 1):
        state, attention = language.step(sight, F.embedding(ids, table), state)
        log_p = _logits(language, state).log_softmax(dim=2).view(*score.shape, -1)
        log_p = _may_follow(log_p, ended, last=place == longest)
        score, choice = _highest(score[..., None] + log_p, beam)
        parent, word = choice // language.vocabulary, choice % language.vocabulary
        trail.append((parent, word, attention))
        state, ids = _follow(state, parent, ended.shape[2]), word.flatten(1)
        ended = ended.gather(2, parent) | (word == END)
        if ended[..., 0].all():    # the others can only fall further behind
            break
    return {**_best(trail, longest), "log_probability": score[..., 0]}


def _logits(language: ReportLSTM, state: State) -> Tensor:
    """G_h h_t (B, R, V), in the precision of the weights: sums of many words are not added up in bfloat16."""
    return language.decode(state.hidden).to(language.decode.weight.dtype)


def _may_follow(log_p: Tensor, ended: Tensor, last: bool) -> Tensor:
    """log p (B, K, hypotheses, V): after END nothing, which is one more END at no cost; at the last place only END."""
    other = torch.arange(log_p.shape[3], device=log_p.device) != END
    log_p = log_p.masked_fill(ended[..., None], 0)
    return log_p.masked_fill(other & (ended[..., None] | last), -math.inf)


def _highest(candidates: Tensor, beam: int) -> tuple[Tensor, Tensor]:
    """Values and places of the `beam` highest of all hypotheses and words, (B, K, hypotheses, V) -> (B, K, <= beam)."""
    candidates = candidates.flatten(2)
    return candidates.topk(min(beam, candidates.shape[2]), dim=2)


def _follow(state: State, parent: Tensor, hypotheses: int) -> State:
    """The states (B, K * hypotheses, H) that the new hypotheses, parent (B, K, beam), go on from."""
    first = torch.arange(parent.shape[1], device=parent.device)[:, None] * hypotheses
    rows = (first + parent).flatten(1)[..., None]
    return State(*(x.gather(1, rows.expand(-1, -1, x.shape[2])) for x in state))


def _best(trail: list[tuple[Tensor, Tensor, Tensor | None]], longest: int) -> dict[str, Tensor]:
    """Words and attention of the first hypothesis, from its end back to its beginning."""
    words, maps = [], []
    here = torch.zeros_like(trail[-1][0][..., :1])                                         # (B, K, 1)
    for parent, word, attention in reversed(trail):
        words.append(word.gather(2, here))
        here = parent.gather(2, here)
        if attention is not None:
            maps.append(attention.unflatten(1, (parent.shape[1], -1)).take_along_dim(here[..., None], dim=2))
    words = torch.cat(words[::-1], dim=2)
    ends = (words == END).long()
    over = ends.cumsum(dim=2) > ends                                                       # behind the first END
    missing = longest + 1 - words.shape[2]
    out = {"words": F.pad(words.masked_fill(over, PAD), (0, missing), value=PAD)}
    if maps:
        attention = torch.cat(maps[::-1], dim=2).masked_fill(over[..., None], 0)
        out["attention"] = F.pad(attention, (0, 0, 0, missing))
    return out


@torch.no_grad()
def log_likelihood(language: ReportLSTM, features: Tensor, c: Tensor | None, words: Tensor,
                   batch_size: int = 1024) -> Tensor:
    """log p(report n | image m), summed over its sentences and words (Zhang et al., eq. 7), (N, M).

    features (M, C, h, w), c (M, P) or None, words int64 (N, K, T): reports of the first K parts. PAD counts nothing,
    and so does a sentence of PAD alone; END counts where it is there.
    Each beginning that sentences of a part have in common is computed once per image. batch_size: sentences times
    images per step, which bounds the memory.
    """
    device, parts = features.device, words.shape[1]
    words, starts = words.to(device), language.starts(parts)
    first = starts.expand(len(words), -1)[..., None]
    sentences, which = torch.cat([first, words], dim=2).flatten(0, 1).unique(dim=0, return_inverse=True)
    table, scores = language.inputs(), []
    for some in sentences.split(batch_size):
        levels = _tree(some)
        widest = max(len(level.source) for level in levels)
        images = max(1, batch_size // widest)
        sights = (language.look(features[m:m + images], None if c is None else c[m:m + images])
                  for m in range(0, len(features), images))
        scores.append(torch.cat([_walk(language, sight, table, levels, len(some)) for sight in sights]).T)
    scores = torch.cat(scores)                                                             # (sentences, M)
    return sum(scores[rows] for rows in which.view(-1, parts).unbind(dim=1))


class Level(NamedTuple):
    """The beginnings of t words of a set of sentences, one beginning per entry; those of no words are the parts."""

    ids: Tensor       # the last word, or the part
    source: Tensor    # the beginning of t - 1 words it goes on from, counted among those that go on
    goes_on: Tensor   # which of the beginnings have a word behind them
    ends: Tensor      # the sentences that are at their end here
    whole: Tensor     # the beginnings that these sentences are


def _tree(sentences: Tensor) -> list[Level]:
    """The levels of the beginnings of `sentences` (S, 1 + T), sorted and unique: the part's id, words, PAD."""
    differs = torch.cat([torch.ones_like(sentences[:1]), (sentences[1:] != sentences[:-1]).long()])
    fresh, there = differs.cummax(dim=1).values.bool(), F.pad(sentences != PAD, (0, 1))
    levels, source = [], torch.zeros_like(sentences[:, 0])
    for t in range(sentences.shape[1]):
        first = fresh[:, t] & there[:, t]
        beginning = first.cumsum(dim=0) - 1        # of each sentence; sorted, those that share one are neighbours
        goes_on = torch.zeros(int(first.sum()), dtype=torch.bool, device=sentences.device)
        goes_on[beginning[there[:, t + 1]]] = True
        ends = (there[:, t] & ~there[:, t + 1]).nonzero().squeeze(1)
        levels.append(Level(sentences[first, t], source[first], goes_on.nonzero().squeeze(1), ends, beginning[ends]))
        source = (goes_on.cumsum(dim=0) - 1)[beginning]
        if not goes_on.any():
            break
    return levels


def _walk(language: ReportLSTM, sight: Sight, table: Tensor, levels: list[Level], sentences: int) -> Tensor:
    """log p of each sentence of a tree under each of B images, (B, sentences)."""
    state = language.begin(sight)                                                          # (B, 1, H)
    total = language.decode.weight.new_zeros(len(sight.first), sentences)
    score = total.new_zeros(len(total), len(levels[0].ids))
    for now, after in pairwise(levels):
        before = State(*(x[:, now.source[now.goes_on]] for x in state))
        state, _ = language.step(sight, table[now.ids[now.goes_on]], before)
        logits = _logits(language, state)
        score = score[:, now.goes_on] - logits.logsumexp(dim=2)                            # (B, those that go on)
        score = score[:, after.source] + logits[:, after.source, after.ids]                # (B, those of `after`)
        total[:, after.ends] = score[:, after.whole]
    return total
