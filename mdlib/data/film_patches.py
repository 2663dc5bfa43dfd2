"""Square windows of mammograms: where they lie, which are positive, which show breast, and batches of them (Wu et al.).

    patches = patch_table(films)                        # one row per window; patches["kept"]: those that show breast
    pixels = film_pixels(films, 227, "cache/films")     # uint8 (films, H, W), each film once
    samples = FilmPatches(pixels, films, patches, np.flatnonzero(patches["kept"]), 227)
    samples.batch(8)                                    # {"image": (8, 1, 227, 227), "target": (8,), "index": (8,)}

A window has a quarter of the film's short side and moves by half of its own (section 2.2). That windows start at the
top left and that incomplete ones are dropped is taken from the authors' code; which windows show breast is ours.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy import ndimage
from torch import Tensor

from mdlib.data.cache import open_cache
from mdlib.data.films import Films
from mdlib.data.images import resized
from mdlib.data.samples import Mapped
from mdlib.errors import DataError, SettingsError
from mdlib.parallel import side_by_side

PER_SHORT_SIDE = 4          # windows side by side along the short side of a film
SHARE = 0.3                 # of a lesion inside the window, or of the window covered by lesions: positive
BREAST_SHARE = 0.5          # (ours) of the window covered by breast: kept
THRESHOLD = 20              # (ours) grey values of breast are above it
LEAST = 0.05                # (ours) of the film: breast, or the white background of an inverted film
BLOCK = 16                  # films of a job


def windows(height: int, width: int) -> np.ndarray:
    """int64 (n, 3): y and x of the top left pixel, and the side, of each window of a film, row by row.

    The side is a quarter of the short side, the step half of that, both rounded down: 77 windows of 756 pixels in a
    film of 4696 x 3024. Raises DataError for a film with a side of fewer than 8 pixels.
    """
    side = min(height, width) // PER_SHORT_SIDE
    if side < 2:
        raise DataError(f"a film of {height} x {width} pixels is smaller than {PER_SHORT_SIDE} windows of 2", "",
                        "Leave it out, or use the original in place of a reduced copy.")
    y, x = np.mgrid[0:height - side + 1:side // 2, 0:width - side + 1:side // 2].reshape(2, -1)
    return np.column_stack([y, x, np.full(len(y), side)])


def inside(mask: np.ndarray, where: np.ndarray) -> np.ndarray:
    """int64 (n,): the pixels of a mask, bool (H, W), in each window of `where` (n, 3), by one integral image."""
    total = np.zeros((mask.shape[0] + 1, mask.shape[1] + 1), dtype=np.int32)
    np.cumsum(mask, axis=0, out=total[1:, 1:])
    np.cumsum(total[1:, 1:], axis=1, out=total[1:, 1:])
    top, left, side = where.T
    bottom, right = top + side, left + side
    return (total[bottom, right] - total[top, right] - total[bottom, left] + total[top, left]).astype(np.int64)


def label_rule(lesions: Iterable[np.ndarray], where: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How much of lesions and windows meet, float64 (n,) each in [0, 1], for each window of `where` (n, 3).

    First the largest share of one lesion that lies inside the window, then the share of the window that all lesions
    cover. `lesions`: bool (H, W) each. A window is positive where one of the two is 0.3 or more (section 2.2).
    """
    largest, covered, union = np.zeros(len(where)), np.zeros(len(where)), None
    for lesion in lesions:
        largest = np.maximum(largest, inside(lesion, where) / max(lesion.sum(), 1))
        union = lesion if union is None else union | lesion
    if union is not None:
        covered = inside(union, where) / where[:, 2]**2
    return largest, covered


def breast_mask(grey: np.ndarray, threshold: int = THRESHOLD, where: str = "the film") -> np.ndarray:
    """Where the breast is, bool (H, W): of the pixels of `grey`, uint8, above `threshold` the largest connected part.

    Label text and markers beside the breast are other parts; what touches the breast (pectoral muscle, the bright edge
    of a scan) counts as breast. Raises DataError, with `where` as the place, for a film without breast (no part has 5 %
    of the film) and for an inverted one: more of its pixels, and more than 5 %, are white up to `threshold` than black.
    """
    black, white = (grey <= threshold).mean(), (grey >= 255 - threshold).mean()
    if white > max(black, LEAST):
        raise DataError(f"the film is inverted: {white:.0%} of its pixels are white, {black:.0%} black", where,
                        "Save it with a black background (DICOM: MONOCHROME1 says that it is inverted).")
    parts, count = ndimage.label(grey > threshold)
    sizes = np.bincount(parts.ravel(), minlength=2)[1:]
    if not count or sizes.max() < LEAST * grey.size:
        raise DataError(f"no breast found: no connected part with {LEAST:.0%} of the film is brighter than "
                        f"grey {threshold} of 255", where, "Leave the film out, choose another threshold, or scale its "
                        "grey values (12 bits in a 16-bit file look black).")
    return parts == 1 + sizes.argmax()


def patch_table(films: Films, threshold: int = THRESHOLD, workers: int | None = 1) -> pd.DataFrame:
    """One row per window of each film, in the films' order: film, patient, y, x, side, shares, positive and kept.

    y, x and side are pixels of the film's file. `lesion_share`: the largest share of one malignant lesion that is
    inside; `covered_share`: how much malignant lesions cover of the window; `positive`: one of them is 0.3 or more.
    `breast_share`: how much breast covers (`breast_mask`); `kept`: 0.5 or more. Each film is read once, at full
    resolution; `workers` as in `parallel.side_by_side`. Raises DataError for a film without breast, inverted, too
    small, or with a malignant finding that has no outline.
    """
    blocks = [np.arange(start, min(start + BLOCK, len(films.table))) for start in range(0, len(films.table), BLOCK)]
    jobs = [(films.only(rows), threshold) for rows in blocks]
    return pd.concat(side_by_side(_patches, jobs, "windows of films", workers), ignore_index=True)


def _patches(films: Films, threshold: int) -> pd.DataFrame:
    return pd.concat([_patches_of(films, row, threshold) for row in range(len(films.table))], ignore_index=True)


def _patches_of(films: Films, row: int, threshold: int) -> pd.DataFrame:
    film, patient = films.table.loc[row, ["film", "patient"]]
    grey, path = films.read(row), str(films.paths()[row])
    try:
        where = windows(*grey.shape)
    except DataError as error:
        raise DataError(str(error), path) from None
    lesions = (films.outline(films, int(finding)) for finding in films.findings_of(film, malignant=True))
    largest, covered = label_rule(lesions, where)
    breast = inside(breast_mask(grey, threshold, path), where) / where[:, 2]**2
    return pd.DataFrame({"film": film, "patient": patient, "y": where[:, 0], "x": where[:, 1], "side": where[:, 2],
                         "lesion_share": largest, "covered_share": covered, "breast_share": breast,
                         "positive": (largest >= SHARE) | (covered >= SHARE), "kept": breast >= BREAST_SHARE})


def film_sizes(films: Films, size: int) -> np.ndarray:
    """int64 (N, 2): height and width of each film where its short side has 4 x `size` pixels, as in `film_pixels`.

    Raises DataError for a film that would have to be enlarged.
    """
    shapes = films.table[["height", "width"]].to_numpy(np.int64)
    short = shapes.min(axis=1, initial=2**31)
    if (short < PER_SHORT_SIDE * size).any():
        row = int((short < PER_SHORT_SIDE * size).argmax())
        raise DataError(f"the film of {shapes[row, 0]} x {shapes[row, 1]} pixels is smaller than {PER_SHORT_SIDE} "
                        f"windows of {size}", str(films.paths()[row]), "Choose a smaller size of windows, use the "
                        "original in place of a reduced copy, or leave the film out.")
    return (2 * shapes * PER_SHORT_SIDE * size // short[:, None] + 1) // 2


def film_pixels(films: Films, size: int, folder: Path | str, workers: int | None = None) -> np.memmap:
    """All films, uint8 (N, H, W), resized so that the short side has 4 x `size` pixels, from the cache in `folder`.

    One row per row of `films.table`, padded with 0 at the bottom and right to the largest; decoded where needed, as by
    `cache.open_cache`. At 227 pixels a film takes about 1.3 MB. Raises DataError as `film_sizes` and `open_cache`.
    """
    sizes = film_sizes(films, size)
    height, width = sizes.max(axis=0, initial=1).tolist()

    def decode(row: int) -> np.ndarray:
        grey = resized(films.read(row), tuple(sizes[row].tolist()))
        return np.pad(grey, [(0, height - grey.shape[0]), (0, width - grey.shape[1])])
    return open_cache(films.paths(), (height, width), folder, decode, workers)


class FilmPatches(Mapped):
    """Some windows of a table of patches, cut from mapped films; no window is stored by itself.

    A batch: image float32 (B, 1, size, size) in [0, 1]; target int64 (B,), 1 where positive; index int64 (B,), the row
    in `patches`. `pixels` is what `film_pixels` gives for the same films and size; `patches` comes from `patch_table`;
    `rows` says which of its rows are in the set, in what order. A window begins at its place in the film, scaled and
    rounded to whole pixels. Raises DataError where films, pixels, patches or rows do not fit.
    """

    def __init__(self, pixels: np.ndarray, films: Films, patches: pd.DataFrame, rows: Sequence[int] | np.ndarray,
                 size: int):
        if size < 1:
            raise SettingsError(f"windows of {size} pixels", "parameter size", "The paper's is 227, or 299.")
        super().__init__(pixels, rows, len(patches))
        sizes = film_sizes(films, size)
        self.size, self.films = size, pd.Index(films.table["film"]).get_indexer(patches["film"])
        if len(pixels) != len(sizes) or (sizes > pixels.shape[1:]).any() or (self.films < 0).any():
            raise DataError(f"{len(sizes):,} films with windows of {size} pixels do not fit pixels {pixels.shape} or "
                            "the table of patches", "parameters of FilmPatches",
                            "Give films, pixels and patches of the same films and size.")
        short = films.table[["height", "width"]].to_numpy().min(axis=1)[self.films]
        place = np.rint(patches[["y", "x"]].to_numpy() * (PER_SHORT_SIDE * size / short)[:, None]).astype(np.int64)
        self.places = np.minimum(place, sizes[self.films] - size)
        self.targets = patches["positive"].to_numpy(np.int64)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {name: value[0] for name, value in self.__getitems__([index]).items()}

    def __getitems__(self, indices: Sequence[int]) -> dict[str, Tensor]:
        rows = self.rows[np.asarray(indices, dtype=np.int64)]
        cut = np.stack([self.pixels[film, y:y + self.size, x:x + self.size]
                        for film, (y, x) in zip(self.films[rows], self.places[rows], strict=True)])
        return {"image": torch.from_numpy(cut).unsqueeze(1).float().div_(255),
                "target": torch.from_numpy(self.targets[rows]), "index": torch.from_numpy(rows)}
