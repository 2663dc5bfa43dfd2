"""One training of a study, by what distinguishes it from the others."""

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from typing import Any, Self


@dataclass(frozen=True)
class RunSpec:
    """One training. A paper adds the fields in which its trainings differ, each with a default."""

    network: str
    fold: int = 0
    seed: int = 0

    @property
    def slug(self) -> str:
        """The name of its folder: the network, and every other field that differs from its default."""
        return "-".join([self.network, *(f"{name}-{value}" for name, value in self.differing())])

    def differing(self) -> list[tuple[str, Any]]:
        """Name and value of each field but the network that differs from its default; fold and seed come last."""
        own = [field for field in fields(self) if field.name not in ("network", "fold", "seed")]
        ordered = own + [field for field in fields(self) if field.name in ("fold", "seed")]
        return [(field.name, getattr(self, field.name)) for field in ordered
                if getattr(self, field.name) != field.default]

    @property
    def series(self) -> Self:
        """The same training whatever its fold and seed: what is averaged over them has this in common."""
        return replace(self, fold=0, seed=0)

    def label(self, shown: Iterable[str]) -> str:
        """The network, and the value of each field in `shown`: a name for a table or a figure."""
        return ", ".join([self.network, *(self.value_label(name) for name in shown if name != "network")])

    def value_label(self, field: str) -> str:
        """The value of one field, for people."""
        return f"{field} {getattr(self, field)}"


def labels(specs: Iterable[RunSpec]) -> dict[RunSpec, str]:
    """A label for each training without its fold and seed, naming the fields in which these trainings differ."""
    series = list(dict.fromkeys(spec.series for spec in specs))
    shown = [field.name for field in fields(series[0]) if len({getattr(one, field.name) for one in series}) > 1] \
        if series else []
    return {one: one.label(shown) for one in series}
