"""Whether a radiograph is like those of a training, before any network sees it (ours).

Each image becomes a thumbnail x of 32 x 32 pixels of the network's input, less its mean, divided by its standard
deviation, so that exposure does not count. m is the mean thumbnail of the training images, u_j their first k = 32
principal components, l_j the variances along them. Six measures of an image:

    symmetry  = largest correlation of x with its mirror image, over axes within 4 pixels of the middle  low: lateral?
    agreement = correlation of x with m                                               below 0: inverted, or upside down
    pattern   = root mean square of <u_j, x - m> / sqrt(l_j) over j: Mahalanobis, about 1                high: unlike
    detail    = root mean square of what is left of x - m without the components                         high: unlike
    contrast  = standard deviation of the pixels, [0, 1]                                          low: nearly constant
    clipped   = share of the pixels that are 0 or 255                                         high: beyond the range

The limits are quantiles of images that the network was not trained on: 2.5 % of them are beyond those of symmetry,
pattern and detail, by design. That of contrast is half, that of clipped twice such a quantile (5 % at least).
Distance in the components and distance from them: Moghaddam and Pentland, Probabilistic visual learning, 1997.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from mdlib.data.checks import files, limits
from mdlib.data.checks.thumbnails import SIDE, agreement, standardised, thumbnails
from mdlib.data.headers import Header
from mdlib.data.images import centre_crop
from mdlib.progress import track

PATTERNS, SHIFT = 32, 4     # (ours) principal components; pixels of a thumbnail
BLOCK = 512                 # images in memory at a time
CUT = 0.25                  # (ours) share of the image outside its central square
MODALITIES = ("CR", "DX", "RG")
FRONTAL = "The network was trained on frontal views only."
VALIDATION = "{share} of {n} validation images"
NOT_COVERED = "The validation of the network does not cover such images."
MESSAGES = {
    "symmetry": f"Left and right differ (correlation {{value:.2f}}; {VALIDATION} have more than {{low:.2f}}): perhaps "
                f"a lateral, turned or strongly tilted view. {FRONTAL}",
    "agreement": "Bright where the training images are dark (correlation with their mean {value:.2f}): probably "
                 "inverted, or upside down.",
    "pattern": "The coarse pattern is unlike that of the training images: {value:.2f} standard deviations from their "
               f"mean ({VALIDATION} have less than {{high:.2f}}). {NOT_COVERED}",
    "detail": "The detail is unlike that of the training images: {value:.2f} of the contrast fits none of their "
              f"principal components ({VALIDATION} have less than {{high:.2f}}). {NOT_COVERED}",
    "contrast": "Nearly constant: the standard deviation of the pixels is {value:.3f} of their range, below {low:.3f}, "
                f"half of what {VALIDATION} exceed. A common cause: values of 10 or 12 bits saved in a 16-bit file.",
    "clipped": f"{{value:.0%}} of the pixels are completely black or white, more than {{high:.0%}} (5 %, or twice the "
               f"share that {VALIDATION} stay below): values beyond the range are lost.",
}


@dataclass(frozen=True, eq=False)
class Reference(limits.Reference):
    """Statistics of training images, and the limits (6, 2) of the measures, each on one side only."""

    mean: np.ndarray        # (1024,)
    patterns: np.ndarray    # (k, 1024), orthonormal rows
    variance: np.ndarray    # (k,), along each pattern

    shapes: ClassVar[dict[str, tuple[int, ...]]] = {"limits": (len(MESSAGES), 2), "mean": (SIDE**2,)}


def reference(pixels: np.ndarray, train: Sequence[int], held_out: Sequence[int], crop: int) -> Reference:
    """Statistics of the rows `train` of `pixels`, uint8 (N, H, W), with limits from the rows `held_out`.

    crop: side of the central square that is the network's input. Reads each image once, in order, and holds a block of
    them and a matrix (1024, 1024).
    """
    total, products = np.zeros(SIDE**2), np.zeros((SIDE**2, SIDE**2))
    for crops in _blocks(pixels, train, crop, "statistics of training images"):
        thumbs = thumbnails(crops)
        total += thumbs.sum(axis=0)
        products += thumbs.T @ thumbs
    mean = total / len(train)
    variance, patterns = np.linalg.eigh(products / len(train) - np.outer(mean, mean))  # ascending
    count = min(PATTERNS, len(train) - 1)
    statistics = mean, patterns.T[::-1][:count], variance[::-1][:count].clip(min=1e-9)
    without_limits = Reference(np.empty((len(MESSAGES), 2)), len(train), len(held_out), *statistics)
    blocks = [measure(crops, without_limits)
              for crops in _blocks(pixels, held_out, crop, "statistics of validation images")]
    usual = _limits({name: np.concatenate([block[name] for block in blocks]) for name in MESSAGES})
    return Reference(usual, len(train), len(held_out), *statistics)


def _limits(values: dict[str, np.ndarray]) -> np.ndarray:
    """The limits (6, 2) from the measures of the held-out images, (N,) each."""
    low = {name: float(np.quantile(values[name], limits.RARE)) for name in ("symmetry", "contrast")}
    high = {name: float(np.quantile(values[name], 1 - limits.RARE)) for name in ("pattern", "detail", "clipped")}
    low |= {"agreement": 0.0, "contrast": low["contrast"] / 2}
    high |= {"clipped": max(2 * high["clipped"], 0.05)}
    return np.array([(low.get(name, -np.inf), high.get(name, np.inf)) for name in MESSAGES])


def _blocks(pixels: np.ndarray, rows: Sequence[int], crop: int, what: str) -> Iterator[np.ndarray]:
    rows, window = np.sort(rows), centre_crop(pixels, crop)
    with track(what=what, total=len(rows), unit="image") as bar:
        for start in range(0, len(rows), BLOCK):
            block = np.asarray(window[rows[start:start + BLOCK]])
            yield block
            bar.update(len(block))


def measure(crops: np.ndarray, known: Reference) -> dict[str, np.ndarray]:
    """The six measures of each image of uint8 (N, H, W), by name: (N,) each."""
    thumbs = thumbnails(crops)
    rest = thumbs - known.mean
    along = rest @ known.patterns.T                                                 # (N, k)
    left = ((rest**2).sum(axis=1) - (along**2).sum(axis=1)).clip(min=0)
    return {"symmetry": symmetry(thumbs), "agreement": agreement(thumbs, known.mean),
            "pattern": np.sqrt((along**2 / known.variance).mean(axis=1)), "detail": np.sqrt(left / SIDE**2),
            "contrast": crops.std(axis=(1, 2)) / 255, "clipped": ((crops == 0) | (crops == 255)).mean(axis=(1, 2))}


def symmetry(thumbs: np.ndarray) -> np.ndarray:
    """The largest correlation of each thumbnail (N, 1024) with its mirror image, for axes near the middle."""
    pictures, found = thumbs.reshape(-1, SIDE, SIDE), []
    for shift in range(-SHIFT, SHIFT + 1):
        window = pictures[:, :, max(0, shift):SIDE + min(0, shift)]
        pair = [standardised(side.reshape(len(thumbs), -1)) for side in (window, window[:, :, ::-1])]
        found.append((pair[0] * pair[1]).mean(axis=1))
    return np.max(found, axis=0)


def beyond(measures: dict[str, np.ndarray], known: Reference) -> dict[str, np.ndarray]:
    """Which images are beyond the limit of each measure: bool (N,) by name; of a constant image only `contrast`."""
    found = limits.beyond(measures, known.limits)
    return {name: strange & (~found["contrast"] | (name == "contrast")) for name, strange in found.items()}


def warnings_of(image: np.ndarray, known: Reference) -> dict[str, str]:
    """Warnings about one image, uint8 (H, W), by the name of the measure."""
    measures = {name: values[0] for name, values in measure(image[None], known).items()}
    found = limits.warnings_beyond(measures, known, MESSAGES)
    return {"contrast": found["contrast"]} if "contrast" in found else found


def warnings_of_file(header: Header, size: tuple[int, int], crop: int) -> dict[str, str]:
    """Warnings from the header and the size (H, W) of a file; crop: side of the network's input."""
    short, long = sorted(size)
    parts = set(header.body_part.split())
    own = files.where_true({
        "view": (header.view not in ("", "PA", "AP"),
                 f"The file gives the view {header.view!r}, not PA or AP. {FRONTAL}"),
        "orientation": (header.orientation[:1] in ("A", "P"),
                        "According to the file its rows run from front to back (Patient Orientation "
                        f"{header.orientation}): a lateral view. {FRONTAL}"),
        "body_part": (bool(parts) and not {"CHEST", "THORAX", "LUNG"} & parts,
                      f"The file gives the body part {header.body_part!r}, not CHEST."),
        "shape": (1 - short / long > CUT,
                  f"{size[0]} x {size[1]} pixels (height x width): the network gets the central square only, which "
                  f"leaves out {1 - short / long:.0%} of the image.")})
    return own | files.warnings_of_header(header, MODALITIES, False) | files.warnings_of_size(size, (crop, crop))
