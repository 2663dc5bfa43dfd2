"""What can be told of an image before any network looks at it: is it like those that one has learned? (ours)

Each image becomes a thumbnail x of 32 x 32 pixels of what the network sees, less its mean, divided by its standard
deviation, so that exposure does not count. m is the mean thumbnail of the training images, u_j their first k = 32
principal components, l_j the variances along them. Six numbers an image:

    symmetry  = largest correlation of x with its mirror image, over axes within 4 pixels of the middle  low: lateral?
    agreement = correlation of x with m                                               below 0: inverted, or upside down
    pattern   = root mean square of <u_j, x - m> / sqrt(l_j) over j: Mahalanobis, about 1                high: unlike
    detail    = root mean square of what is left of x - m without the components                         high: unlike
    contrast  = standard deviation of the pixels, [0, 1]                                          low: nearly constant
    clipped   = share of the pixels that are 0 or 255                                         high: beyond the range

The limits are quantiles of images that the network has not learned from: 2.5 % of them are beyond those of symmetry,
pattern and detail, by design. That of contrast is half, that of clipped twice such a quantile (5 % at least).
Distance in the components and distance from them: Moghaddam and Pentland, Probabilistic visual learning, 1997.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from PIL import Image

from mdlib.data.headers import Header
from mdlib.data.images import centre_crop
from mdlib.progress import track

SIDE, PATTERNS, SHIFT, RARE = 32, 32, 4, 0.025
BLOCK = 512         # images in memory at a time
COLOUR = 8          # of 255; scanned or compressed grey stays below
CUT = 0.25          # share of the image outside its central square
MODALITIES = ("", "CR", "DX", "RG", "OT", "SC")  # radiographs, and files that do not know


class Check(NamedTuple):
    """When a measure is beyond its limit, and what that means."""

    low: bool       # whether low values are the strange ones
    sentence: str


NOT_COVERED = "What the network says of it is not covered by its validation."
CHECKS = {
    "symmetry": Check(True, "Left and right are unlike (correlation {value:.2f}; {share} of {images} validation images "
                            "have more than {limit:.2f}): perhaps a lateral, turned or strongly tilted view. The "
                            "network knows frontal views only."),
    "agreement": Check(True, "Bright where the training images are dark (correlation with their mean {value:.2f}): "
                             "probably inverted, or upside down."),
    "pattern": Check(False, "Unlike the training images in its coarse pattern: {value:.2f} standard deviations from "
                            "their mean ({share} of {images} validation images have less than {limit:.2f}). "
                            + NOT_COVERED),
    "detail": Check(False, "Unlike the training images in its detail: {value:.2f} of its contrast fits none of their "
                           "patterns ({share} of {images} validation images have less than {limit:.2f}). "
                           + NOT_COVERED),
    "contrast": Check(True, "Nearly constant: the grey values spread by {value:.3f} of their range, below {limit:.3f}, "
                            "half of what {share} of {images} validation images exceed. A common cause: values of 10 "
                            "or 12 bits saved in a 16-bit file."),
    "clipped": Check(False, "{value:.0%} of the pixels are black or white to the last bit, more than {limit:.0%} (5 %, "
                            "or twice what {share} of {images} validation images stay below): grey values beyond the "
                            "range are lost."),
}


@dataclass(frozen=True, eq=False)
class Reference:
    """What the training images look like, and the limit of each measure."""

    mean: np.ndarray        # (1024,)
    patterns: np.ndarray    # (k, 1024), orthonormal rows
    variance: np.ndarray    # (k,), along each pattern
    limits: dict[str, float]
    trained: int            # training images
    held_out: int           # images that the limits are quantiles of


def reference(pixels: np.ndarray, train: Sequence[int], held_out: Sequence[int], crop: int) -> Reference:
    """The reference for rows `train` of `pixels`, uint8 (N, H, W), with limits from rows `held_out`.

    Reads each image once, in order, and holds a block of them and a matrix (1024, 1024).
    """
    total, products = np.zeros(SIDE**2), np.zeros((SIDE**2, SIDE**2))
    for crops in _blocks(pixels, train, crop, "looking at the training images"):
        thumbs = thumbnails(crops)
        total += thumbs.sum(axis=0)
        products += thumbs.T @ thumbs
    mean = total / len(train)
    variance, patterns = np.linalg.eigh(products / len(train) - np.outer(mean, mean))  # ascending
    count = min(PATTERNS, len(train) - 1)
    found = Reference(mean, patterns.T[::-1][:count], variance[::-1][:count].clip(min=1e-9), {}, len(train),
                      len(held_out))
    blocks = [measure(crops, found) for crops in _blocks(pixels, held_out, crop, "looking at the validation images")]
    found.limits.update({name: _limit(name, np.concatenate([block[name] for block in blocks])) for name in CHECKS})
    return found


def _blocks(pixels: np.ndarray, rows: Sequence[int], crop: int, what: str) -> Iterator[np.ndarray]:
    rows, window = np.sort(rows), centre_crop(pixels, crop)
    with track(what=what, total=len(rows), unit="image") as bar:
        for start in range(0, len(rows), BLOCK):
            block = np.asarray(window[rows[start:start + BLOCK]])
            yield block
            bar.update(len(block))


def _limit(name: str, values: np.ndarray) -> float:
    if name == "agreement":
        return 0.0
    limit = float(np.quantile(values, RARE if CHECKS[name].low else 1 - RARE))
    return {"contrast": limit / 2, "clipped": max(2 * limit, 0.05)}.get(name, limit)


def thumbnails(crops: np.ndarray) -> np.ndarray:
    """uint8 (N, H, W) -> (N, 1024), each of mean 0 and variance 1; all 0 of a constant image."""
    size, box = (SIDE, SIDE), Image.Resampling.BOX
    small = np.stack([np.asarray(Image.fromarray(np.ascontiguousarray(crop)).resize(size, box)) for crop in crops])
    return _standard(small.reshape(len(crops), -1).astype(np.float64))


def _standard(values: np.ndarray) -> np.ndarray:
    """Each row less its mean, divided by its standard deviation."""
    centred = values - values.mean(axis=1, keepdims=True)
    spread = centred.std(axis=1, keepdims=True)
    return np.divide(centred, spread, out=np.zeros_like(centred), where=spread > 1e-6)


def measure(crops: np.ndarray, known: Reference) -> dict[str, np.ndarray]:
    """The six numbers of each image of uint8 (N, H, W), by name: (N,) each."""
    thumbs = thumbnails(crops)
    rest = thumbs - known.mean
    along = rest @ known.patterns.T                                                 # (N, k)
    left = ((rest**2).sum(axis=1) - (along**2).sum(axis=1)).clip(min=0)
    return {"symmetry": symmetry(thumbs), "agreement": (thumbs * _standard(known.mean[None])).mean(axis=1),
            "pattern": np.sqrt((along**2 / known.variance).mean(axis=1)), "detail": np.sqrt(left / SIDE**2),
            "contrast": crops.std(axis=(1, 2)) / 255, "clipped": ((crops == 0) | (crops == 255)).mean(axis=(1, 2))}


def symmetry(thumbs: np.ndarray) -> np.ndarray:
    """The largest correlation of each thumbnail (N, 1024) with its mirror image, for axes near the middle."""
    pictures, found = thumbs.reshape(-1, SIDE, SIDE), []
    for shift in range(-SHIFT, SHIFT + 1):
        window = pictures[:, :, max(0, shift):SIDE + min(0, shift)]
        pair = [_standard(side.reshape(len(thumbs), -1)) for side in (window, window[:, :, ::-1])]
        found.append((pair[0] * pair[1]).mean(axis=1))
    return np.max(found, axis=0)


def beyond(measures: dict[str, np.ndarray], known: Reference) -> dict[str, np.ndarray]:
    """Which images are beyond the limit of each check: bool (N,) by name. Of a constant image only that is said."""
    found = {name: values < known.limits[name] if CHECKS[name].low else values > known.limits[name]
             for name, values in measures.items()}
    return {name: strange & (~found["contrast"] | (name == "contrast")) for name, strange in found.items()}


def warnings_of(crop: np.ndarray, known: Reference) -> dict[str, str]:
    """What is strange about one image, uint8 (H, W): a sentence by the name of the check."""
    measures = measure(crop[None], known)
    return {name: CHECKS[name].sentence.format(value=measures[name][0], limit=known.limits[name],
                                               share=f"{1 - RARE:.1%}", images=f"{known.held_out:,}")
            for name, strange in beyond(measures, known).items() if strange[0]}


def warnings_of_file(header: Header, shape: tuple[int, int], crop: int) -> dict[str, str]:
    """What a file's header and its size in pixels, (H, W), say against it: a sentence by the name of the check."""
    short, long = sorted(shape)
    rows = header.orientation[:1]
    strange = {
        "view": (header.view not in ("", "PA", "AP"),
                 f"The file gives the view as {header.view!r}, not PA or AP. The network knows frontal views only."),
        "orientation": (rows in ("A", "P"),
                        f"The file says that its rows run from front to back (Patient Orientation {header.orientation}"
                        "): a lateral view. The network knows frontal views only."),
        "modality": (header.modality not in MODALITIES,
                     f"The file gives its modality as {header.modality!r}, which is no radiograph."),
        "body_part": (bool(header.body_part) and not {"CHEST", "THORAX", "LUNG"} & set(header.body_part.split()),
                      f"The file gives the body part as {header.body_part!r}, not CHEST."),
        "colour": (header.colour > COLOUR, f"A colour picture (red, green and blue differ by {header.colour:.0f} of "
                                           "255 on average): radiographs are grey."),
        "size": (short < crop, f"{shape[0]} x {shape[1]} pixels are fewer than the {crop} x {crop} that the network "
                               "sees: the image was enlarged and lacks detail."),
        "shape": (1 - short / long > CUT, f"{shape[0]} x {shape[1]} pixels (height x width): the network sees the "
                                          f"central square only, and {1 - short / long:.0%} of the image not at all."),
    }
    return {name: sentence for name, (is_strange, sentence) in strange.items() if is_strange}
