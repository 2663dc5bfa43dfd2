"""Limits of what is usual: quantiles of images that a network was not trained on, and warnings beyond them (ours)."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import ClassVar, Self

import numpy as np

RARE = 0.025        # (ours) share of the held-out images that is beyond the limits of a measure, at most
MAX_IMAGES = 1000   # (ours) images or bags of each part that statistics are computed of, evenly spaced


@dataclass(frozen=True, eq=False)
class Reference:
    """What is usual among the images of a training; each kind of image adds its own statistics."""

    limits: np.ndarray      # (M, 2), lowest and highest usual value of each of M measures
    n_train: int            # training images, or bags, that the statistics are of
    n_held_out: int         # images, or bags, that the limits are quantiles of

    shapes: ClassVar[dict[str, tuple[int, ...]]] = {}   # of the arrays, as far as they are fixed

    def arrays(self) -> dict[str, np.ndarray]:
        """As arrays by name, for an npz file."""
        return {name: np.asarray(value) for name, value in asdict(self).items()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Self:
        """The reference that `arrays` were made of. Raises KeyError or ValueError for other arrays."""
        values = {}
        for field in fields(cls):
            value = np.asarray(arrays[field.name])
            is_number = field.type in (int, float)
            if value.shape != (() if is_number else cls.shapes.get(field.name, value.shape)):
                raise ValueError(f"{field.name} of shape {value.shape}")
            values[field.name] = field.type(value) if is_number else value
        return cls(**values)


def evenly_spaced(count: int) -> np.ndarray:
    """At most MAX_IMAGES numbers below `count`, evenly spaced."""
    return np.unique(np.linspace(0, count - 1, min(count, MAX_IMAGES)).round().astype(int))


def limits(values: np.ndarray) -> np.ndarray:
    """Lowest and highest usual value of each measure, (N, M) -> (M, 2): half of RARE is beyond each, of few nothing."""
    low, high = (np.quantile(values, part, axis=0, method=towards)
                 for part, towards in ((RARE / 2, "lower"), (1 - RARE / 2, "higher")))
    return np.column_stack([low, high])


def beyond(measures: Mapping[str, np.ndarray | float], usual: np.ndarray) -> dict[str, np.ndarray]:
    """Which values are outside the limits `usual` (M, 2) of their measure: bool (N,) by name; NaN is outside."""
    return {name: ~((low <= values) & (values <= high))
            for (name, values), (low, high) in zip(measures.items(), np.asarray(usual), strict=True)}


def warnings_beyond(measures: Mapping[str, float], known: Reference, messages: Mapping[str, str]) -> dict[str, str]:
    """The message of each measure of one image that is outside its limits, by name.

    A message may have the fields value, low, high, share (of the held-out images, inside the limits) and n (of them).
    """
    outside = beyond(measures, known.limits)
    return {name: messages[name].format(value=value, low=low, high=high, share=f"{1 - RARE:.1%}",
                                        n=f"{known.n_held_out:,}")
            for (name, value), (low, high) in zip(measures.items(), known.limits, strict=True) if outside[name]}
