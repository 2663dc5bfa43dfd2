"""Warnings from the header and the size of a file, before its pixels are looked at (ours)."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from mdlib.data.headers import Header, read_size

COLOUR = 8                          # (ours) of 255; scanned or compressed grey stays below
TOLERANCE = 1.05                    # (ours) by how much a file may be wider or narrower than those of the training
ANY_MODALITY = ("", "OT", "SC")     # not given, other, secondary capture


def aspect_ratios(files: Iterable[Path]) -> np.ndarray:
    """(2,): lowest and highest width / height of these files; their pixels are not read."""
    sizes = np.array([read_size(file)[1:] for file in files], dtype=float)
    ratio = sizes[:, 1] / sizes[:, 0]
    return np.array([ratio.min(), ratio.max()])


def where_true(checks: Mapping[str, tuple[bool, str]]) -> dict[str, str]:
    """The messages whose condition holds: name -> (condition, message)."""
    return {name: message for name, (holds, message) in checks.items() if holds}


def warnings_of_size(size: tuple[int, int], input_size: tuple[int, int], usual: np.ndarray | None = None
                     ) -> dict[str, str]:
    """Warnings about the size (H, W) of an image for a network whose input is `input_size` (h, w).

    `size`: it has fewer pixels than the input. `shape`: its width / height is outside `usual`, the `aspect_ratios` of
    the training, where these are given: the whole image is resized to the input.
    """
    warnings = where_true({"size": (
        size[0] < input_size[0] or size[1] < input_size[1],
        f"{size[0]} x {size[1]} pixels (height x width) are fewer than the {input_size[0]} x {input_size[1]} of the "
        "network's input: the image was enlarged and lacks detail.")})
    if usual is None:
        return warnings
    ratio, (low, high) = size[1] / size[0], usual
    return warnings | where_true({"shape": (
        not low / TOLERANCE <= ratio <= high * TOLERANCE,
        f"{size[0]} x {size[1]} pixels (height x width): width / height is {ratio:.2f}, in the training images "
        f"{_range(low, high)}. The network gets the image distorted, and was not trained on distorted ones.")})


def _range(low: float, high: float) -> str:
    return f"{low:.2f}" if f"{low:.2f}" == f"{high:.2f}" else f"{low:.2f} to {high:.2f}"


def warnings_of_header(header: Header, modalities: Sequence[str], colour: bool) -> dict[str, str]:
    """Warnings about `modality` and `colour`; modalities, colour: of the images that the network was trained on."""
    coloured = header.colour > COLOUR
    return where_true({
        "modality": (header.modality not in (*ANY_MODALITY, *modalities),
                     f"The file gives the modality {header.modality!r}; the network was trained on "
                     f"{' and '.join(modalities)}."),
        "colour": (coloured != colour,
                   f"A colour image (red, green and blue differ by {header.colour:.0f} of 255 on average): the network "
                   "was trained on grey images." if coloured else
                   "A grey image: the network was trained on colour images.")})
