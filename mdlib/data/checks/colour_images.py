"""Whether a colour image is like those of a training (ours). Five measures of an image, as the network gets it:

    red, green, blue = mean of each channel, [0, 1]: the stain and the light
    contrast         = standard deviation of the pixels, mean over channels, [0, 1]
    detail           = mean step between neighbouring pixels / contrast, of the grey image: low where it is blurred or
                       enlarged, high where it is noisy or of a lower magnification

At most 2.5 % of the images that the network was not trained on are beyond the limits of a measure.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from mdlib.data.checks import files, limits

USUAL = "at least {share} of {n} images that the network was not trained on have {low:.2f} to {high:.2f}"
MESSAGES = {
    **{name: f"The mean of {name} is {{value:.2f}} of its range; {USUAL}. Perhaps another stain, scanner or light."
       for name in ("red", "green", "blue")},
    "contrast": f"The standard deviation of the pixels is {{value:.2f}} of their range; {USUAL}.",
    "detail": f"Neighbouring pixels differ by {{value:.2f}} of the contrast; {USUAL}. Perhaps another magnification, "
              "blurred, or noisy.",
}


@dataclass(frozen=True, eq=False)
class Reference(limits.Reference):
    """Statistics of training images, and the limits (5, 2) of the measures."""

    aspect_ratios: np.ndarray   # (2,), lowest and highest width / height of the training files
    colour: float               # mean difference of the largest and smallest of red, green and blue, 0 to 255

    shapes: ClassVar[dict[str, tuple[int, ...]]] = {"limits": (len(MESSAGES), 2), "aspect_ratios": (2,)}

    @property
    def is_coloured(self) -> bool:
        """Whether the training images are in colour."""
        return self.colour > files.COLOUR


def reference(train: Iterable[np.ndarray], held_out: Iterable[np.ndarray], train_files: Iterable[Path]) -> Reference:
    """Statistics of the training images and their files, with limits from held-out images.

    Images are uint8 (H, W, 3), as the network gets them, and are read one after another.
    """
    colour = [float(np.ptp(image, axis=-1).mean()) for image in train]
    values = np.array([list(measure(image).values()) for image in held_out])
    return Reference(limits.limits(values), len(colour), len(values), files.aspect_ratios(train_files),
                     float(np.mean(colour)))


def measure(image: np.ndarray) -> dict[str, float]:
    """The five measures of an image uint8 (H, W, 3)."""
    values = image / 255
    grey = values.mean(axis=2)
    step = np.mean([abs(np.diff(grey, axis=axis)).mean() for axis in (0, 1)])
    return dict(zip(MESSAGES, (*values.mean(axis=(0, 1)).tolist(), float(values.std(axis=(0, 1)).mean()),
                               float(step / max(grey.std(), 1e-6))), strict=True))


def warnings_of(image: np.ndarray, known: Reference) -> dict[str, str]:
    """Warnings about an image uint8 (H, W, 3), by the name of the measure."""
    return limits.warnings_beyond(measure(image), known, MESSAGES)
