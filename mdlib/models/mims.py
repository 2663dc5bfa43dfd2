"""The networks of Li et al.: a 2-D network over all slices, a multi-scale layer, pooling over a bag (Fig. 1).

    bag (S, 1, H, W) in [0, 1] -> features -> primary maps -> secondary maps -> pooling -> classifier -> logits

The slices of all bags lie behind one another in one 2-D batch; only the pooling knows which belong together. The
methods of Table 1 and the poolings of Table 2 differ in the parts that `MIMSCNN` is built from.
"""

import math
from collections.abc import Callable, Sequence
from itertools import product

import torch
from torch import Tensor, nn

from mdlib.errors import SettingsError
from mdlib.models.backbones import ImageNetInput
from mdlib.models.msconv import resize
from mdlib.models.topk import by_bag


class MIMSCNN(nn.Module):
    """A bag's class from the instances its slices hold (Li et al., section 2).

    features: layers by name, as of `resnet_features`; secondary: for the name of a layer, the module (MSConv or
    Primary) that makes secondary maps of its output; pool: TopK or Mean; image_scales: of the input image, more than
    one makes an image pyramid, whose maps are pooled together; combine: None pools over all slices of a bag and
    classifies once; `mean_of_slices` or `max_of_slices` classifies each slice and joins the answers.
    """

    def __init__(self, features: nn.Sequential, secondary: dict[str, nn.Module], pool: nn.Module, classes: int = 2,
                 image_scales: Sequence[float] = (1,),
                 combine: Callable[[Tensor, list[int]], Tensor] | None = None):
        super().__init__()
        unknown = set(secondary) - {name for name, _ in features.named_children()}
        if unknown:
            raise SettingsError(f"no layer of the network is called {', '.join(sorted(unknown))}",
                                "parameter secondary", "Use names of layers such as layer3, layer4.")
        self.input = ImageNetInput()
        self.features = features
        self.secondary = nn.ModuleDict(secondary)
        self.pool = pool
        self.classifier = nn.Linear(sum(part.out for part in secondary.values()), classes)
        self.image_scales, self.combine = tuple(image_scales), combine

    def forward(self, bag: Tensor, sizes: Tensor, instances: bool = False) -> dict[str, Tensor | dict[str, Tensor]]:
        """bag (S, 1 or 3, H, W) in [0, 1], the slices of all bags; sizes (B,), slices of each -> dict of

        `logits` (B, classes); `slice_logits` (S, classes) where each slice is classified; with `instances` the
        candidates that won, tensors (B, N, k) as of TopK.winners and `box` (B, N, k, 4): what they saw of the primary
        map, as top, left, bottom, right in fractions of the slice. Where each slice is classified they are
        (S, N, k). Raises SettingsError when sizes and slices disagree or a bag is empty.
        """
        counts = _counts(bag, sizes)
        groups, spans = self._groups(bag)
        pooled_together = counts if self.combine is None else [1] * len(bag)
        logits = self.classifier(torch.cat([self.pool(maps, pooled_together) for maps in groups], dim=1))
        out = {"logits": logits}
        if self.combine is not None:
            out = {"logits": self.combine(logits, counts), "slice_logits": logits}
        if instances:
            won = [_with_box(self.pool.winners(maps, pooled_together), maps, *span)
                   for maps, span in zip(groups, spans, strict=True)]
            out["instances"] = {name: torch.cat([part[name] for part in won], dim=1) for name in won[0]}
        return out

    def pathways(self) -> list[list[str]]:
        """The scale of each pathway of each pooled channel, (N, P), with its dilation where there are several."""
        return [[f"{image * scale:g}" + (f", dilation {dilation}" if len(dilations) > 1 else "")
                 for image, scale, dilation in product(self.image_scales, scales, dilations)]
                for part in self.secondary.values()
                for scales, dilations in [(getattr(part, "scales", (1,)), getattr(part, "dilations", (1,)))]
                for _ in range(part.out)]

    def _groups(self, bag: Tensor) -> tuple[list[list[Tensor]], list[tuple[list[int], int]]]:
        """Secondary maps, a list of pathways for each group; and for each group its spans and padding."""
        maps = {name: [] for name in self.secondary}
        for scale in self.image_scales:
            x = self.input(resize(bag, scale))
            for name, layer in self.features.named_children():
                x = layer(x)
                if name in maps:
                    maps[name].append(x)                                                   # primary maps
        groups = [group for name, part in self.secondary.items() for group in part(maps[name])]
        spans = [(span, part.padding) for part in self.secondary.values() for span in part.spans]
        return groups, spans


def mean_of_slices(logits: Tensor, sizes: list[int]) -> Tensor:
    """The log of the mean of the slices' probabilities (Li et al., section 3.2, *-patchcls): (S, K) -> (B, K)."""
    bags = by_bag(logits.log_softmax(dim=1), sizes, -math.inf)                             # (B, longest bag, K)
    return bags.logsumexp(dim=1) - bags.new_tensor(sizes).log()[:, None]


def max_of_slices(logits: Tensor, sizes: list[int]) -> Tensor:
    """The logits of the slice that is the surest of the last class (Li et al., Table 2, max-inst): (S, K) -> (B, K).

    With two classes the bag's probability is the maximum over its slices. With more (ours) the same slice, the most
    suspicious, speaks for all classes, so that the answer stays a distribution.
    """
    bags = by_bag(logits, sizes, 0)                                                        # (B, longest bag, K)
    suspicion = by_bag(logits.log_softmax(dim=1)[:, -1], sizes, -math.inf)                 # (B, longest bag)
    return bags[torch.arange(len(bags), device=bags.device), suspicion.argmax(dim=1)]


def _counts(bag: Tensor, sizes: Tensor) -> list[int]:
    counts = sizes.tolist()
    if sum(counts) != len(bag) or min(counts, default=0) < 1:
        raise SettingsError(f"is {counts} for {len(bag)} slices", "sizes",
                            "Pass the number of slices of each bag, one or more, in the order of the slices.")
    return counts


def _with_box(found: dict[str, Tensor], maps: list[Tensor], spans: list[int], padding: int) -> dict[str, Tensor]:
    """The winners, and their box: a value of span s at y saw y - padding to y - padding + s of the map before."""
    pathway = found["pathway"].clamp(min=0)
    span = pathway.new_tensor(spans)[pathway]
    edges = []
    for axis, name in ((2, "y"), (3, "x")):
        length = pathway.new_tensor([x.shape[axis] for x in maps])[pathway] + span - 1 - 2 * padding
        first = found[name] - padding
        edges.append((first / length, (first + span) / length))
    (top, bottom), (left, right) = edges
    box = torch.stack([top, left, bottom, right], dim=-1).clamp(0, 1)
    return {**found, "box": box * (found["slice"] >= 0)[..., None]}
