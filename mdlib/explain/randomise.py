"""A network losing its training part by part, and getting it back: Adebayo et al. 2018, cascading randomisation."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from torch import nn

from mdlib.errors import SettingsError
from mdlib.explain.hooks import find_layer


def parts(model: nn.Module) -> list[str]:
    """Names of the parts of a network that hold weights, the last first: its children, a Sequential's one by one."""
    names = []
    for name, child in model.named_children():
        inner = [f"{name}.{part}" for part, _ in child.named_children()] if isinstance(child, nn.Sequential) else [name]
        names += [part for part in inner if any(True for _ in model.get_submodule(part).parameters())]
    return names[::-1]


@contextmanager
def randomised(model: nn.Module, fresh: nn.Module, layers: Sequence[str]) -> Iterator[Iterator[str]]:
    """Within the block, `model` loses its training: an iterator over `layers` that randomises each in turn.

    with randomised(model, fresh, parts(model)) as steps:
        for name in steps:
            ...                     # `name` and all parts before it are as in `fresh`, the rest is trained

    `fresh` is the same network before any training, built from whatever seed: so each weight comes from the
    distribution that it had at the start of training, and the statistics of batch norm are those of the start, too.
    After the block, also after an error in it, `model` has its own weights and statistics again. Raises SettingsError
    for a layer that does not exist, and for a `fresh` of another shape.
    """
    pairs = [(find_layer(model, name)[1], find_layer(fresh, name)[1]) for name in layers]
    own, other = ({name: value.shape for name, value in part.state_dict().items()} for part in (model, fresh))
    if own != other:
        differ = sorted(name for name in {*own, *other} if own.get(name) != other.get(name))
        raise SettingsError(f"it differs from the model in {differ[0]!r} and {len(differ) - 1} more weights",
                            "parameter fresh", "Build it with the settings of the model.")
    kept = {name: value.clone() for name, value in model.state_dict().items()}

    def steps() -> Iterator[str]:
        for name, (module, start) in zip(layers, pairs, strict=True):
            module.load_state_dict(start.state_dict())
            yield name

    try:
        yield steps()
    finally:
        model.load_state_dict(kept)
