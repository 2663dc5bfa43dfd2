"""What is explained: the logits of a network, those of all classes or that of one class per image."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from mdlib.errors import SettingsError


class ClassPerImage(nn.Module):
    """A network that answers with the logit of one given class per image, so that one gradient serves all classes.

    The logits of images do not depend on one another: the gradient of their sum holds each image's own gradient, for
    its own class. Layers have the names that they have in the network.
    """

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def named_modules(self, *arguments: Any, **options: Any) -> Iterator[tuple[str, nn.Module]]:
        return self.model.named_modules(*arguments, **options)

    def forward(self, class_index: Tensor, **inputs: Tensor) -> dict[str, Any]:
        """class_index int64 (B,), inputs of the network by name -> its answer, a dict with `logits` (B, 1)."""
        answer = self.model(**inputs)
        logits = logits_of(answer).gather(1, class_index[:, None])
        return (answer if isinstance(answer, dict) else {}) | {"logits": logits}


def call(model: nn.Module, batch: Tensor | dict[str, Tensor]) -> Any:
    """The answer of `model` to a batch: model(batch) of a Tensor, model(**batch) of a dict of inputs."""
    return model(**batch) if isinstance(batch, dict) else model(batch)


def logits_of(answer: Any) -> Tensor:
    """The logits (B, K) in a network's answer: a Tensor, or a dict with `logits`. Raises SettingsError without."""
    logits = answer["logits"] if isinstance(answer, dict) and "logits" in answer else answer
    if not isinstance(logits, Tensor) or logits.ndim != 2:
        raise SettingsError(f"it returns a {type(answer).__name__} without logits (B, classes)", "parameter model",
                            'Pass a model that returns logits, or a dict with "logits".')
    return logits


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode within the block: the statistics of batch norm are used, not updated. Modes are put back."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
