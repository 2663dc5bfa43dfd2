"""Reading and replacing what a layer puts out, by hooks that never stay behind, not even after an error."""

import difflib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from torch import Tensor, nn

from mdlib.errors import SettingsError


def find_layer(model: nn.Module, layer: str | nn.Module) -> tuple[str, nn.Module]:
    """The dotted name and the module of a layer given by either. Raises SettingsError when `model` has none such."""
    layers = dict(model.named_modules())
    if isinstance(layer, str):
        if layer in layers:
            return layer, layers[layer]
        near = difflib.get_close_matches(layer, layers, n=3, cutoff=0.4) or list(dict(model.named_children()))
        raise SettingsError(f"{type(model).__name__} has no layer {layer!r}", "parameter layer",
                            f"Perhaps {', '.join(near)}; all names: dict(model.named_modules()).")
    for name, module in layers.items():
        if module is layer:
            return name, module
    raise SettingsError(f"this {type(layer).__name__} is no part of {type(model).__name__}", "parameter layer",
                        "Pass a layer of the model that is explained, or its name.")


@contextmanager
def replaced(model: nn.Module, layer: str | nn.Module, change: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Within the block, `layer` passes on change(output) in place of its output, at each of its calls."""
    _, module = find_layer(model, layer)
    handle = module.register_forward_hook(lambda module, inputs, output: change(output))
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def recorded(model: nn.Module, *layers: str) -> Iterator[dict[str, Tensor]]:
    """Yield a dict that the forward passes within the block fill: the output of each named layer, at its last call.

    A copy outside the graph: a ReLU that writes in place behind the layer does not change it.
    """
    outputs: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[[Tensor], Tensor]:
        def change(output: Tensor) -> Tensor:
            outputs[name] = output.detach().clone()
            return output
        return change

    with ExitStack() as stack:
        for name in layers:
            stack.enter_context(replaced(model, name, keep(name)))
        yield outputs
