"""What is strange about a picture beside those that a network has learned from, of any chapter (ours).

A measure has limits: quantiles of what the network has not learned from, of which at most 2.5 % are beyond them. The
file of a picture tells its size, its shape, whether it is in colour, and (DICOM) what kind of picture it is.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from mdlib.data import checks
from mdlib.data.headers import Header, read_size

RARE, MOST = checks.RARE, 1000      # (ours) pictures or volumes of each part that are looked at, evenly spread over it
STRETCHED = 1.05                    # (ours) by how much a file may be wider or narrower than those of the training


def spread(count: int) -> np.ndarray:
    """At most MOST numbers below `count`, evenly spread."""
    return np.unique(np.linspace(0, count - 1, min(count, MOST)).round().astype(int))


def limits(numbers: np.ndarray) -> np.ndarray:
    """Lowest and highest usual value of each measure, (N, M) -> (M, 2). Of few none is beyond them."""
    low, high = (np.quantile(numbers, part, axis=0, method=towards)
                 for part, towards in ((RARE / 2, "lower"), (1 - RARE / 2, "higher")))
    return np.column_stack([low, high])


def stretch(files: Iterable[Path]) -> np.ndarray:
    """(2,): lowest and highest width / height of these files; their pixels are not read."""
    sizes = np.array([read_size(file)[1:] for file in files], dtype=float)
    ratio = sizes[:, 1] / sizes[:, 0]
    return np.array([ratio.min(), ratio.max()])


def beyond(measures: Mapping[str, float], usual: np.ndarray, sentences: Mapping[str, str],
           held_out: int) -> dict[str, str]:
    """What is said of the measures outside their `usual` (M, 2): a sentence by the name of the check.

    held_out: of how many the limits are quantiles. A sentence may name value, low, high, share and n.
    """
    return {name: sentences[name].format(value=value, low=low, high=high, share=f"at least {1 - RARE:.1%}",
                                         n=f"{held_out:,}")
            for (name, value), (low, high) in zip(measures.items(), usual, strict=True) if not low <= value <= high}


def of_size(size: tuple[int, int], seen: tuple[int, int], usual: np.ndarray) -> dict[str, str]:
    """What the size of a file, (H, W), says against it; seen: by the network; usual: as `stretch` of the training."""
    ratio, (low, high) = size[1] / size[0], usual
    strange = {
        "size": (size[0] < seen[0] or size[1] < seen[1],
                 f"{size[0]} x {size[1]} pixels (height x width) are fewer than the {seen[0]} x {seen[1]} that the "
                 "network sees: the picture was enlarged and lacks detail."),
        "shape": (not low / STRETCHED <= ratio <= high * STRETCHED,
                  f"{size[0]} x {size[1]} pixels: {ratio:.2f} times as wide as high, those of the training "
                  f"{_range(low, high)} times. The network sees it stretched, and has not learned that."),
    }
    return {name: sentence for name, (is_strange, sentence) in strange.items() if is_strange}


def _range(low: float, high: float) -> str:
    return f"{low:.2f}" if f"{low:.2f}" == f"{high:.2f}" else f"{low:.2f} to {high:.2f}"


def of_header(header: Header, modality: str, colour: bool) -> dict[str, str]:
    """What a file's header says against it; modality, colour: of the pictures that the network has learned from."""
    coloured = header.colour > checks.COLOUR
    strange = {
        "modality": (header.modality not in ("", "OT", "SC", modality),
                     f"The file gives its modality as {header.modality!r}; the network has learned from {modality!r}."),
        "colour": (coloured != colour, "A picture in colour: the network has learned from grey ones." if coloured else
                   "A grey picture: the network has learned from pictures in colour."),
    }
    return {name: sentence for name, (is_strange, sentence) in strange.items() if is_strange}
