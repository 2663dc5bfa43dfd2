"""What the images look like that a network of chapter 5 has learned from, and what is strange about others (ours).

Five numbers an image, as the network sees it:

    red, green, blue = mean of each, [0, 1]: the stain and the light
    contrast         = standard deviation of the pixels, mean of the three, [0, 1]
    detail           = mean step between neighbouring pixels / contrast, of the grey image: low where it is blurred or
                       enlarged, high where it is noisy or of a lower magnification

The limits are quantiles of images that the network has not learned from: of each number at most 2.5 % are beyond them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from mdlib.data import checks
from mdlib.recipes import unlike

USUAL = "{share} of {n} images that the network has not learned from have {low:.2f} to {high:.2f}"
CHECKS = {
    **{name: f"The mean {name} is {{value:.2f}} of its range; {USUAL}. Perhaps another stain, scanner or light."
       for name in ("red", "green", "blue")},
    "contrast": f"The values spread by {{value:.2f}} of their range; {USUAL}.",
    "detail": f"Neighbouring pixels differ by {{value:.2f}} of the contrast; {USUAL}. Perhaps another magnification, "
              "blurred, or noisy.",
}


@dataclass(frozen=True, eq=False)
class Reference:
    """What the training images look like, and the limits of each measure."""

    limits: np.ndarray      # (5, 2), lowest and highest usual value of CHECKS
    stretch: np.ndarray     # (2,), lowest and highest width / height of the training files
    colour: float           # mean difference of the largest and smallest of red, green and blue in training, 0 to 255
    trained: int            # training images looked at
    held_out: int           # images that the limits are quantiles of

    @property
    def coloured(self) -> bool:
        """Whether the training images are in colour."""
        return self.colour > checks.COLOUR

    def arrays(self) -> dict[str, np.ndarray]:
        """As it is kept in a file of arrays."""
        return {name: np.asarray(value) for name, value in asdict(self).items()}


def opened(kept: dict[str, np.ndarray]) -> Reference:
    """The reference that `arrays` has been kept of. Raises KeyError or ValueError for other arrays."""
    for name, shape in (("limits", (len(CHECKS), 2)), ("stretch", (2,))):
        if kept[name].shape != shape:
            raise ValueError(f"{name} of shape {kept[name].shape}")
    return Reference(kept["limits"], kept["stretch"], float(kept["colour"]), int(kept["trained"]),
                     int(kept["held_out"]))


def reference(train: Iterable[np.ndarray], held_out: Iterable[np.ndarray], files: Sequence[Path]) -> Reference:
    """The reference of images uint8 (H, W, 3) as networks see them, one after the other, and of the training `files`.

    The limits are of `held_out`.
    """
    colour = [float(np.ptp(image, axis=-1).mean()) for image in train]
    numbers = np.array([list(measure(image).values()) for image in held_out])
    return Reference(unlike.limits(numbers), unlike.stretch(files), float(np.mean(colour)), len(colour), len(numbers))


def measure(image: np.ndarray) -> dict[str, float]:
    """The five numbers of an image uint8 (H, W, 3)."""
    values = image / 255
    grey = values.mean(axis=2)
    step = np.mean([abs(np.diff(grey, axis=axis)).mean() for axis in (0, 1)])
    return dict(zip(CHECKS, (*values.mean(axis=(0, 1)).tolist(), float(values.std(axis=(0, 1)).mean()),
                             float(step / max(grey.std(), 1e-6))), strict=True))


def warnings_of(image: np.ndarray, known: Reference) -> dict[str, str]:
    """What is strange about an image uint8 (H, W, 3): a sentence by the name of the check."""
    return unlike.beyond(measure(image), known.limits, CHECKS, known.held_out)
