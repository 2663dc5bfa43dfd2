"""Pooling over scales, positions and slices of bags of unequal size (Li et al., section 2.2; Table 2).

`maps`: one (S, N, h, w) a pathway, S slices of all bags behind one another; `sizes`: the slices of each bag.
Every value of a channel, at any pathway, position and slice of the bag, is a candidate. What is large is never padded:
each slice is reduced first, and the few values that are left are brought to the shape (B, longest bag, ...).
"""

import math

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from mdlib.errors import SettingsError


class Mean(nn.Module):
    """The mean of all candidates: average pooling of Table 2. maps, sizes -> (B, N)."""

    def forward(self, maps: list[Tensor], sizes: list[int]) -> Tensor:
        total = sum(x.sum(dim=(2, 3)) for x in maps)                                       # (S, N)
        bags = by_bag(total, sizes, 0).sum(dim=1)                                          # (B, N)
        return bags / (bags.new_tensor(sizes)[:, None] * sum(x[0, 0].numel() for x in maps))

    def winners(self, maps: list[Tensor], sizes: list[int]) -> dict[str, Tensor]:
        raise SettingsError("mean pooling picks no instances", "parameter instances", "Use a network with TopK.")


class TopK(nn.Module):
    r"""Weighted mean of the k highest candidates, highest first (Li et al., eq. 2); k = 1 is max pooling.

    Pool_k = sum_r w_r a_r,   w = softmax(theta): nonnegative, sum one, the same for all channels       eq. 2

    theta_r starts at -ln 2 (r - 1), so that a rank weighs half of the one before: "exponentially decayed" (the base
    is ours). Nothing keeps w falling after that. Of a bag with fewer than k candidates all count, with the weights
    of their ranks divided by their sum (ours). What is not there cannot win and gets no gradient.
    """

    def __init__(self, k: int):
        super().__init__()
        if k < 1:
            raise SettingsError(f"is {k}", "parameter k", "Use 1 or more; k = 1 is max pooling.")
        self.k = k
        self.theta = nn.Parameter(-math.log(2) * torch.arange(k, dtype=torch.get_default_dtype()))

    def weights(self) -> Tensor:
        """w (k,): the weight of each rank."""
        return self.theta.softmax(dim=0)

    def forward(self, maps: list[Tensor], sizes: list[int]) -> Tensor:
        """maps, sizes -> (B, N)."""
        values, _, present = self._highest(maps, sizes)
        return (self._weights(present) * values).sum(dim=-1)                               # eq. 2

    def winners(self, maps: list[Tensor], sizes: list[int]) -> dict[str, Tensor]:
        """The candidates that won: tensors (B, N, k), rank by rank.

        `slice` within the bag, `pathway`, `y`, `x` in its map, `value` a_r, `weight` w_r. Where a bag has fewer than
        k candidates, slice, pathway, y and x are -1, value and weight 0.
        """
        values, index, present = self._highest(maps, sizes)
        widths = index.new_tensor([x.shape[3] for x in maps])
        ends = index.new_tensor([x[0, 0].numel() for x in maps]).cumsum(dim=0)
        slices, place = index // ends[-1], index % ends[-1]
        pathway = torch.bucketize(place, ends, right=True)
        place = place - torch.cat([ends.new_zeros(1), ends])[pathway]
        found = {"slice": slices, "pathway": pathway, "y": place // widths[pathway], "x": place % widths[pathway]}
        found = {name: torch.where(present, value, -1) for name, value in found.items()}
        return {**found, "value": values.detach(), "weight": self._weights(present).detach().expand_as(values)}

    def _weights(self, present: Tensor) -> Tensor:
        """w (B, 1, k) over the ranks that are present."""
        return torch.where(present, self.theta, -math.inf).softmax(dim=-1)

    def _highest(self, maps: list[Tensor], sizes: list[int]) -> tuple[Tensor, Tensor, Tensor]:
        """Values a_r (B, N, k), 0 if absent; where (slice * candidates of a slice + place in it); which are present.

        A slice keeps the k highest of each pathway: the k highest of the bag are among them.
        """
        kept, places, candidates = [], [], 0
        for x in maps:
            value, place = x.flatten(2).topk(min(self.k, x[0, 0].numel()), dim=-1)         # (S, N, <= k)
            kept.append(value)
            places.append(place + candidates)
            candidates += x[0, 0].numel()
        values = _row(by_bag(torch.cat(kept, dim=-1), sizes, -math.inf))                   # (B, N, all kept)
        longest = torch.arange(max(sizes), device=values.device).view(-1, 1, 1) * candidates
        where = _row(by_bag(torch.cat(places, dim=-1), sizes, 0) + longest)
        values, rank = values.topk(min(self.k, values.shape[-1]), dim=-1)
        missing = (0, self.k - values.shape[-1])
        values = nn.functional.pad(values, missing)
        index = nn.functional.pad(where.gather(-1, rank), missing)
        present = torch.arange(self.k, device=values.device) < index.new_tensor(sizes).view(-1, 1, 1) * candidates
        return torch.where(present, values, 0), index, present


def by_bag(x: Tensor, sizes: list[int], absent: float) -> Tensor:
    """(S, ...) of all slices -> (B, longest bag, ...), with `absent` behind the last slice of a shorter bag."""
    return pad_sequence(x.split(sizes), batch_first=True, padding_value=absent)


def _row(x: Tensor) -> Tensor:
    """(B, slices, N, kept) -> (B, N, slices * kept)."""
    return x.transpose(1, 2).flatten(2)
