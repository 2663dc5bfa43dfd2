"""The language model of MDNet as its equations are printed: one image, one sentence, lists and math, for the tests."""

import math

import torch

from mdlib.models.report_lstm import PAD, ReportLSTM

VOCABULARY, PARTS, CHANNELS, SHAPE = 7, 3, 5, (2, 3)
PLACES = SHAPE[0] * SHAPE[1]


def tiny(attention="aas", seed=0, **sizes):
    """A network of every kind of attention that fits `images`, in float64, away from flat softmaxes."""
    torch.manual_seed(seed)
    sizes = {"vocabulary": VOCABULARY, "parts": PARTS, "embedding": 4, "hidden": 6, **sizes}
    net = ReportLSTM(channels=CHANNELS, positions=PLACES, attention=attention, **sizes).double().eval()
    for weight in net.parameters():
        torch.nn.init.normal_(weight, std=0.7)
    return net


def images(number, seed=1):
    """C(I) (number, C, h, w) and c (number, P)."""
    draw = torch.Generator().manual_seed(seed)
    return (torch.randn(number, CHANNELS, *SHAPE, generator=draw, dtype=torch.float64),
            torch.randn(number, PLACES, generator=draw, dtype=torch.float64))


def times(W, x):
    return [sum(w * v for w, v in zip(row, x, strict=True)) for row in W]


def plus(*vectors):
    return [sum(values) for values in zip(*vectors, strict=True)]


def softmax(x):
    return [math.exp(v) / sum(math.exp(u) for u in x) for v in x]


def tanh(x):
    return [math.tanh(v) for v in x]


def sigmoid(x):
    return [1 / (1 + math.exp(-v)) for v in x]


def attend(net, C, h, c):
    """a_t of eq. 9 (or of Xu et al. for `local`). C[i]: the features of place i."""
    W = {name: weight.tolist() for name, weight in net.attend.named_parameters()}
    if "v.weight" in W:
        scores = [times(W["v.weight"], tanh(plus(times(W["key.weight"], C[i]), W["key.bias"],
                                                 times(W["query.weight"], h))))[0] for i in range(len(C))]
        return softmax(scores if c is None else plus(scores, c))
    if "w.weight" in W:
        c = [times(W["w.weight"], place)[0] for place in C]
    return softmax(times(W["score.weight"], tanh(plus(times(W["project.weight"], h), c))))


def step(net, x, h, cell, C, c):
    """Eq. 8 with the gates written out; returns h_t, the cell and a_t."""
    gates = plus(times(net.from_input.weight.tolist(), x), net.from_input.bias.tolist(),
                 times(net.from_hidden.weight.tolist(), h))
    a = None
    if net.attend is not None:
        a = attend(net, C, h, c)
        z = [sum(a[i] * C[i][k] for i in range(len(C))) for k in range(len(C[0]))]          # z_t = a_t C(I)^T
        gates = plus(gates, times(net.from_context.weight.tolist(), z))
    H = len(h)
    forget, enter, leave = (sigmoid(gates[n * H:(n + 1) * H]) for n in range(3))
    candidate = tanh(gates[3 * H:])
    cell = [forget[j] * cell[j] + enter[j] * candidate[j] for j in range(H)]
    return [leave[j] * math.tanh(cell[j]) for j in range(H)], cell, a


def sentence(net, features, c, part, words):
    """Logits and a_t of every word of one sentence up to PAD: features (C, h, w), c (P,) or None, words a list."""
    C, c = features.flatten(1).T.tolist(), None if c is None else c.tolist()
    F = [sum(place[k] for place in C) / len(C) for k in range(len(C[0]))]
    E = net.embed.weight.tolist()
    h = cell = [0.0] * net.from_hidden.in_features
    h, cell, _ = step(net, times(net.embed_image.weight.tolist(), F), h, cell, C, c)        # x_0
    logits, attention = [], []
    for x in [E[net.vocabulary + part], *(E[word] for word in words if word != PAD)]:       # x_1, words
        h, cell, a = step(net, x, h, cell, C, c)
        logits.append(times(net.decode.weight.tolist(), h))
        attention.append(a)
    count = sum(word != PAD for word in words)
    return logits[:count], attention[:count]


def log_p(net, features, c, part, words):
    """Eq. 7: the sum over the words of a sentence, up to PAD."""
    logits, _ = sentence(net, features, c, part, words)
    return sum(math.log(softmax(row)[word]) for row, word in zip(logits, words, strict=False) if word != PAD)
