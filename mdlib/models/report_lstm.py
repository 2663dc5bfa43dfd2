r"""The language model of MDNet: one LSTM that writes the K parts of a report, with attention (Zhang et al., section 4).

    C(I) (B, C, h, w), words (B, K, T) -> x_0, x_1, words -> LSTM, attending C(I) -> logits (B, K, T, V)

The numbers of words are those of `data.vocabulary`: END = 0, UNKNOWN = 1, words from 2 on, and PAD = -1 behind END.
`decoding` writes reports with this network and scores given ones.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mdlib.errors import SettingsError

PAD, END, UNKNOWN = -1, 0, 1    # as in data.vocabulary


class PlaceAttention(nn.Module):
    r"""The attention of MDNet: a weight for every place, from c and h_{t-1} (Zhang et al., eq. 9).

    scores = W_att tanh(W_h h_{t-1} + c),   W_h (P, H), W_att (P, P), without biases

    c is given (AAS), or C(I) times a `w` of its own ("learns w^c inside LSTM implicitly"). Both matrices have a row a
    place: a place can be preferred whatever it shows.

    W_att begins as the identity (ours), so that at first a place is attended for its own c; `identity=False` draws it
    as torch draws a linear layer, and the network has to learn first which score belongs to which place.
    """

    def __init__(self, channels: int, positions: int, hidden: int, own: bool, identity: bool = True):
        super().__init__()
        self.project = nn.Linear(hidden, positions, bias=False)                            # W_h
        self.score = nn.Linear(positions, positions, bias=False)                           # W_att
        self.w = nn.Linear(channels, 1, bias=False) if own else None
        if identity:
            nn.init.eye_(self.score.weight)

    def keys(self, maps: Tensor, c: Tensor | None) -> tuple[Tensor, ...]:
        """maps (B, P, C), c (B, P) -> what `forward` needs of the images: c (B, 1, P)."""
        if self.w is not None:
            return (self.w(maps).transpose(1, 2),)
        if c is None:
            raise SettingsError("is missing", "c", "Pass c = (w^c)^T C(I), or use another attention than aas.")
        return (c[:, None],)

    def forward(self, hidden: Tensor, c: Tensor) -> Tensor:
        """h_{t-1} (B, R, H) of R sentences per image, and keys -> scores (B, R, P)."""
        return self.score((self.project(hidden) + c).tanh())


class LocalAttention(nn.Module):
    r"""One function scores every place by its own features (ours, after Xu et al. 2015): no place is preferred as such.

    scores_i = v^T tanh(W_f C_i + W_g h_{t-1}) + c_i

    with c left out where it is not given. The sum goes over as many units as a word's embedding has numbers.
    """

    def __init__(self, channels: int, units: int, hidden: int):
        super().__init__()
        self.key = nn.Linear(channels, units)                                              # W_f
        self.query = nn.Linear(hidden, units, bias=False)                                  # W_g
        self.v = nn.Linear(units, 1, bias=False)

    def keys(self, maps: Tensor, c: Tensor | None) -> tuple[Tensor, ...]:
        """maps (B, P, C), c (B, P) or None -> what `forward` needs of the images: (B, 1, P, units), (B, 1, P)."""
        return self.key(maps)[:, None], (maps.new_zeros(()) if c is None else c[:, None])

    def forward(self, hidden: Tensor, keys: Tensor, c: Tensor) -> Tensor:
        """h_{t-1} (B, R, H) of R sentences per image, and keys -> scores (B, R, P)."""
        return self.v((keys + self.query(hidden)[:, :, None]).tanh()).squeeze(3) + c


ATTENTIONS = ("aas", "original", "local", "none")


class Sight(NamedTuple):
    """What the LSTM sees of B images, computed once for all their sentences and words."""

    first: Tensor            # what x_0 = W_F F(I) adds to the gates, (B, 1, 4H)
    context: Tensor | None   # what each place of C(I) would add to the gates if it had all attention, (B, P, 4H)
    keys: tuple              # of the attention


class State(NamedTuple):
    """An LSTM between two words, of R sentences per image."""

    hidden: Tensor           # h (B, R, H)
    cell: Tensor             # (B, R, H)


class ReportLSTM(nn.Module):
    r"""The next word from the image and the words before it (Zhang et al., eq. 7-10).

    x_0 = W_F F(I), F(I) the mean of C(I) over its places       (B, E)            eq. 10
    x_1 = E S(e), a row of E for each part e of a report        (K, E)            eq. 10
    a_t = softmax(scores of the attention)                      (B, K, P)         eq. 9
    z_t = a_t C(I)^T                                            (B, K, C)         eq. 9
    h_t = LSTM(E x_{t-1}, h_{t-1}, z_t)                         (B, K, H)         eq. 8
    p(x_t) = softmax(G_h h_t)                                   (B, K, V)         eq. 8

    vocabulary: V, the number of ids; parts: K; channels, positions: C and P = h w of C(I); attention: `aas` (c from
    outside), `original` (c learned inside), `local` (ours), `none` (no z: with one part, the captioning scheme that
    the paper compares with); identity: how W_att begins, see PlaceAttention. embedding and hidden are those of the
    authors' later code, and so is dropout, of h_t before G_h. Only the gates have a bias, that of the forget gate
    begins at 1 (ours). The paper does not say which steps see z: here all, those of x_0 and x_1 too (ours).

    z_t enters the gates by a matrix W_z: W_z z_t is computed as a_t (C(I)^T W_z^T), the same number, so that all
    sentences and words of an image share the product in brackets.
    """

    def __init__(self, vocabulary: int, parts: int, channels: int, positions: int, *, embedding: int = 128,
                 hidden: int = 256, attention: str = "aas", dropout: float = 0.5, identity: bool = True):
        super().__init__()
        if attention not in ATTENTIONS:
            raise SettingsError(f"unknown value {attention!r}", "parameter attention",
                                f"Use one of {', '.join(ATTENTIONS)}.")
        self.vocabulary, self.parts, self.channels, self.positions = vocabulary, parts, channels, positions
        self.embed = nn.Embedding(vocabulary + parts, embedding)                           # E
        self.embed_image = nn.Linear(channels, embedding, bias=False)                      # W_F
        self.from_input = nn.Linear(embedding, 4 * hidden)
        self.from_hidden = nn.Linear(hidden, 4 * hidden, bias=False)
        self.attend = None
        if attention == "local":
            self.attend = LocalAttention(channels, embedding, hidden)
        elif attention != "none":
            self.attend = PlaceAttention(channels, positions, hidden, own=attention == "original", identity=identity)
        self.from_context = None if self.attend is None else nn.Linear(channels, 4 * hidden, bias=False)   # W_z
        self.dropout = nn.Dropout(dropout)
        self.decode = nn.Linear(hidden, vocabulary, bias=False)                            # G_h
        nn.init.zeros_(self.from_input.bias)
        nn.init.ones_(self.from_input.bias[:hidden])

    def forward(self, features: Tensor, words: Tensor, c: Tensor | None = None) -> dict[str, Tensor]:
        """features C(I) (B, C, h, w), words int64 (B, K, T), c (B, P) -> dict of

        `logits` (B, K, T, V): before the softmax, of each word given those before it; where words are PAD they mean
        nothing. `attention` (B, K, T, P): a_t, with which each word was predicted; absent for `none`.
        The sentences are of the first K parts; there may be fewer than the network knows.
        """
        sight, table = self.look(features, c), self.inputs()
        starts = self.starts(words.shape[1]).expand(len(words), -1)
        ids = torch.stack([starts, *words[..., :-1].clamp(min=END).unbind(dim=2)])         # x_1 .. x_T, (T, B, K)
        state = expand(self.begin(sight), words.shape[1])
        hidden, attention = [], []
        for x in F.embedding(ids, table):
            state, a = self.step(sight, x, state)
            hidden.append(state.hidden)
            attention.append(a)
        out = {"logits": self.decode(self.dropout(torch.stack(hidden, dim=2)))}
        return out if self.attend is None else {**out, "attention": torch.stack(attention, dim=2)}

    def look(self, features: Tensor, c: Tensor | None = None) -> Sight:
        """features (B, C, h, w), c (B, P) -> what all steps see of the images."""
        maps = features.flatten(2).transpose(1, 2)                                         # C(I)^T, (B, P, C)
        if self.attend is not None and maps.shape[1:] != (self.positions, self.channels):
            raise SettingsError(f"has shape {tuple(features.shape)}, but the network was built for {self.channels} "
                                f"channels at {self.positions} places", "features",
                                "Use images of the size that the network was built for.")
        first = self.from_input(self.embed_image(maps.mean(dim=1, keepdim=True)))
        if self.attend is None:
            return Sight(first, None, ())
        return Sight(first, self.from_context(maps), self.attend.keys(maps, c))

    def inputs(self) -> Tensor:
        """What each row of E adds to the gates: words, then the K parts, (V + K, 4H)."""
        return self.from_input(self.embed.weight)

    def starts(self, parts: int) -> Tensor:
        """The rows of `inputs` that announce the first `parts` parts, in place of START, int64 (parts,)."""
        if not 0 < parts <= self.parts:
            raise SettingsError(f"hold {parts} parts, but the network writes {self.parts}", "words",
                                "Use a network that was built for these parts.")
        return torch.arange(self.vocabulary, self.vocabulary + parts, device=self.embed.weight.device)

    def begin(self, sight: Sight) -> State:
        """The state after x_0, the same for all parts: R = 1."""
        nothing = sight.first.new_zeros(len(sight.first), 1, self.from_hidden.in_features)
        return self.step(sight, sight.first, State(nothing, nothing))[0]

    def step(self, sight: Sight, inputs: Tensor, state: State) -> tuple[State, Tensor | None]:
        """One step of the LSTM (eq. 8, 9). inputs (B, R, 4H): rows of `inputs` -> state, a_t (B, R, P) or None."""
        gates, attention = inputs + self.from_hidden(state.hidden), None
        if self.attend is not None:
            attention = self.attend(state.hidden, *sight.keys).softmax(dim=2)
            gates = torch.baddbmm(gates, attention, sight.context)
        hidden = state.hidden.shape[2]
        doors, candidate = gates.split([3 * hidden, hidden], dim=2)
        forget, enter, leave = doors.sigmoid().chunk(3, dim=2)
        cell = forget * state.cell + enter * candidate.tanh()
        return State(leave * cell.tanh(), cell), attention


def expand(state: State, sentences: int) -> State:
    """The state of one sentence per image as that of several: (B, 1, H) -> (B, R, H), without copies."""
    return State(*(x.expand(-1, sentences, -1) for x in state))
