"""What is known of the pixels of a patch: the concepts with which units are compared."""

from functools import lru_cache

import numpy as np
from torch import Tensor

from mdlib.data import film_patches, films
from mdlib.data.phantoms import mammogram
from mdlib.papers.mammography import networks
from mdlib.papers.mammography.data import MammographyData
from mdlib.papers.mammography.networks import Run

FILMS_AT_ONCE = 64      # whose masks are kept in memory


class ConceptMasks:
    """Called with rows of `MammographyData.patches`, int64 (B,): masks of the concepts, bool (B, C, size, size).

    Of phantoms, all that is drawn (`phantoms.mammogram.CONCEPTS`); of other collections the kinds of findings, as the
    collection outlines them. Masks have the size of the patches as the network of `run` sees them.
    """

    def __init__(self, data: MammographyData, run: Run):
        self.data, self.size = data, networks.size(run, data.settings)
        self.truth = mammogram.Truth(data.folder) if data.is_phantom else None
        self.names = mammogram.CONCEPTS if self.truth else tuple(sorted(_kinds(data.films)))
        self.samples = data.samples("train", run)       # for the places of all patches, whatever their part
        self.sizes = film_patches.film_sizes(data.films, self.size)
        self._of_film = lru_cache(FILMS_AT_ONCE)(self._film)

    def __call__(self, rows: Tensor) -> np.ndarray:
        places = zip(self.samples.films[rows], self.samples.places[rows], strict=True)
        return np.stack([self._of_film(int(film))[:, y:y + self.size, x:x + self.size] for film, (y, x) in places])

    def _film(self, row: int) -> np.ndarray:
        """bool (C, H, W): the masks of a film in the size in which patches are cut from it."""
        film, shape = self.data.films.table["film"].iat[row], tuple(self.sizes[row].tolist())
        found = (self.truth.masks(film) if self.truth
                 else [self.data.films.mask(film, kind=kind) for kind in self.names])
        return np.stack([films.resized_mask(mask, shape, film) for mask in found])


def _kinds(of: films.Films) -> set[str]:
    return {kind for kinds in of.findings["kind"] for kind in kinds.split(", ")}
