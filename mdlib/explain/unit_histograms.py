"""Streaming histograms of the values of units, for all pixels and images and for those of each concept."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from mdlib.errors import DataError

BINS = 512                     # of the values; half as many, twice as wide, of the maxima
CHUNK = 2**19                  # values of upsampled maps that are in memory at a time
HEADROOM = 1.25                # how much wider than the values of the first batch a scale is at its start


def bilinear(size: int, factor: int) -> Tensor:
    """The matrix (size * factor, size) of bilinear upsampling along one side, as in torch with align_corners=False.

    Upsampling by two matrix products is several times faster on a CPU than `torch.nn.functional.interpolate`.
    """
    return F.interpolate(torch.eye(size)[None], scale_factor=factor, mode="linear", align_corners=False)[0].T


def root(values: Tensor) -> Tensor:
    """The square root with the sign of the value: the scale of the bins, which are fine where most values are."""
    return values.abs().sqrt_().copysign_(values)


class UnitHistograms:
    """Joint histograms [unit, concept, bin] of all values of a unit's upsampled map, and of its maximum per image.

    Bin 0 holds the values whose `root` equals `low` (U,), bin b those whose root is in (low + (b-1) width,
    low + b width], so that the values above an edge are counted exactly; `low` is 0 where nothing is negative.
    Concept 0 stands for all pixels. Where a value lies outside a unit's scale, bins are merged in pairs, so that the
    scale doubles: no value is clipped, nothing need be known beforehand, and about half of the bins at least cover the
    range of the values. Roots keep a few large values from taking the bins of all others (scale and roots are ours).

    values (U, C+1, BINS), int64 for up to 512 units, else int32; peaks int32 (U, C+1, BINS // 2), each bin twice as
    wide; low and width float64 (U,), of roots; smallest and largest float64 (U,), of values. Raises DataError where
    int32 is too small.
    """

    def __init__(self, units: int, concepts: int, size: tuple[int, int], factor: int, device: torch.device):
        self.factor, self.matrices = factor, [bilinear(side, factor).to(device) for side in size]
        counts = torch.int64 if units <= 512 else torch.int32
        self.values = torch.zeros(units, concepts + 1, BINS, dtype=counts, device=device)
        self.peaks = torch.zeros(units, concepts + 1, BINS // 2, dtype=torch.int32, device=device)
        self.low, self.width = (torch.zeros(units, dtype=torch.float64) for _ in range(2))       # width 0: all are 0
        self.smallest = torch.full((units,), torch.inf, dtype=torch.float64)
        self.largest, self.positions = -self.smallest, 0

    def add(self, maps: Tensor, labels: Tensor, present: Tensor) -> Iterator[tuple[slice, Tensor]]:
        """Count maps float32 (U, B, h, w) by the labels bool (C, B, H, W), upsampled to their size.

        present bool (C, B): where the labels are not empty. Yields each part of the units, when it is counted, with its
        upsampled maps (u, B * H * W).
        """
        self.positions += maps[0].numel() * self.factor**2
        if self.positions > torch.iinfo(self.values.dtype).max:
            raise DataError(f"{self.positions:,} positions of maps are too many for {len(maps)} units",
                            "parameter batches", "Use fewer images or a smaller label_grid.")
        self._cover(maps.amin(dim=(1, 2, 3)).cpu().double(), maps.amax(dim=(1, 2, 3)).cpu().double())
        columns, (down, across) = _columns(labels.flatten(1)), self.matrices
        step = max(1, CHUNK // (maps[0].numel() * self.factor**2))
        for start in range(0, len(maps), step):
            part = slice(start, start + step)
            values = (down @ maps[part] @ across.T).flatten(1)
            _count(self.values[part], self._in_bins(values, part), columns)
            yield part, values
        _count(self.peaks, self._in_bins(maps.amax(dim=(2, 3)), slice(None)) / 2, _columns(present))

    def _in_bins(self, values: Tensor, part: slice) -> Tensor:
        """Values (u, N) of a part of the units on the scale of their bins: 0 at `low`, b at the upper edge of bin b."""
        per_bin = torch.where(self.width > 0, 1 / self.width, 0)
        low, per_bin = (of[part, None].float().to(values.device) for of in (self.low, per_bin))
        return root(values).sub_(low).mul_(per_bin).clamp_(0, BINS - 1.01)     # rounding moves nothing to another unit

    def _cover(self, smallest: Tensor, largest: Tensor) -> None:
        """Widen the scales of the units, so that all values between these extremes (U,) lie on them."""
        self.smallest, self.largest = self.smallest.minimum(smallest), self.largest.maximum(largest)
        bottom, top = root(self.smallest).minimum(self.low), root(self.largest).maximum(self.low)
        fresh = (self.width == 0) & (top > bottom)
        width = torch.where(fresh, HEADROOM * (top - bottom) / (BINS - 1), self.width)
        low = torch.where(fresh, bottom, self.low)
        doublings = ((top - bottom) / ((BINS - 3) * width)).nan_to_num(1).clamp(min=1).log2().ceil()
        width = width * 2**doublings
        low = low - (2 * width * ((low - bottom) / (2 * width)).ceil()).nan_to_num(0)    # old edges lie on new ones
        changed = (((width != self.width) & (self.width > 0)) | (low != self.low)).nonzero()[:, 0]
        for rows in changed.split(64):                                      # bounds the memory of the copies
            for counts, times in ((self.values, 1), (self.peaks, 2)):
                edges = self.low[rows, None] + torch.arange(counts.shape[2]) * times * self.width[rows, None]
                target = ((edges - low[rows, None]) / (times * width[rows, None]) - 1e-6).ceil().nan_to_num(0)
                target = target.clamp(0, counts.shape[2] - 1).long()[:, None].to(counts.device)
                old = counts[rows.to(counts.device)]
                counts[rows.to(counts.device)] = torch.zeros_like(old).scatter_add_(2, target.expand_as(old), old)
        self.low, self.width = low, width


def _columns(labels: Tensor) -> list[Tensor]:
    """Where each row of labels bool (C, N) is true."""
    row, column = labels.nonzero(as_tuple=True)
    return list(column.split(torch.bincount(row, minlength=len(labels)).tolist()))


def _count(counts: Tensor, scaled: Tensor, columns: list[Tensor]) -> None:
    """Add scaled values (U, N), which are overwritten, to the counts (U, C+1, n): all, and the columns of concepts."""
    units, _, n = counts.shape
    bins = scaled.ceil_().int()
    bins += torch.arange(units, dtype=torch.int32, device=bins.device)[:, None] * n
    counts[:, 0] += torch.bincount(bins.flatten(), minlength=units * n).view(units, n)
    for concept, chosen in enumerate(columns, start=1):
        if len(chosen):
            found = torch.bincount(bins.index_select(1, chosen).flatten(), minlength=units * n)
            counts[:, concept] += found.view(units, n)


class ResolutionCeiling:
    """The IoU that a map of the layer's resolution reaches for each concept when it is the concept's own mask (ours).

    The mask is averaged over the cells of the map and upsampled as a unit's map is; of all thresholds the best counts.
    A reference, not a bound: of another map of that size a little more may be got, but no unit learns to.
    """

    def __init__(self, concepts: int, size: tuple[int, int], factor: int, device: torch.device):
        self.factor, self.matrices = factor, [bilinear(side, factor).to(device) for side in size]
        self.counts = torch.zeros(2, concepts, BINS, dtype=torch.int64)          # all pixels, pixels of the concept

    def add(self, labels: Tensor, present: Tensor) -> None:
        """Take account of the masks bool (C, B, H, W), which are not empty where `present` (C, B)."""
        concept = present.nonzero()[:, 0]                                        # elsewhere the map is 0, as the mask
        masks, (down, across) = labels[present], self.matrices
        up = down @ F.avg_pool2d(masks[:, None].float(), self.factor)[:, 0] @ across.T
        bins = (up * (BINS - 1)).ceil().long().clamp(max=BINS - 1) + concept[:, None, None] * BINS
        for counts, chosen in zip(self.counts, (bins.flatten(), bins[masks]), strict=True):
            counts += torch.bincount(chosen, minlength=counts.numel()).view(counts.shape).cpu()

    def result(self) -> Tensor:
        """float64 (C,), NaN for a concept without pixels."""
        lit, both = (of.flip(1).cumsum(1).flip(1)[:, 1:].double() for of in self.counts)
        labelled = self.counts[1].sum(dim=1, keepdim=True)
        return torch.where(labelled[:, 0] > 0, (both / (lit + labelled - both)).amax(dim=1), torch.nan)
