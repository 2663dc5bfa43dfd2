"""The outline of a phantom breast in its two views: skin, nipple and pectoral muscle.

All is drawn with the chest wall at the left edge, as in a film of the left breast; a film of the right one is mirrored
at the end. Columns x and rows y in pixels of 0.75 mm.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.ndimage import distance_transform_edt, gaussian_filter, gaussian_filter1d

from mdlib.data.phantoms.drawing import Array, step, stream

SHAPE = HEIGHT, WIDTH = 320, 256
SIDES, VIEWS = ("LEFT", "RIGHT"), ("CC", "MLO")
ROWS, COLUMNS = (np.arange(n, dtype=np.float32) for n in SHAPE)
NONE = -4.0     # column of the muscle's edge where there is no muscle
X, Y = COLUMNS[None, :], ROWS[:, None]


@dataclass(frozen=True, eq=False)
class Outline:
    """A breast in one view: in each row the column of its skin and of the edge of the muscle, (HEIGHT,); its nipple."""
    view: str
    skin: Array
    muscle: Array
    nipple: tuple[float, float]     # column and row of its base
    bump: float                     # pixels by which it stands out
    curve: float                    # pixels from the skin over which the thickness rises to that between the paddles

    @cached_property
    def depth(self) -> Array:
        """Distance of each pixel from the skin's outer edge, 0 outside the breast (HEIGHT, WIDTH)."""
        inside = self.skin[:, None] > X
        return gaussian_filter(distance_transform_edt(inside).astype(np.float32), 0.8, truncate=3) * inside

    @cached_property
    def thickness(self) -> Array:
        """Thickness of the compressed breast, 0 to 1: full in the middle, round at its border."""
        return np.sqrt(1 - np.square(1 - np.clip(self.depth / np.float32(self.curve), 0, 1)))

    @cached_property
    def pectoral(self) -> Array:
        """The pectoral muscle, 0 to 1, with an edge of four pixels."""
        return step((self.muscle[:, None] - X) / 4 + np.float32(0.5)) * step(self.depth / 3)

    @cached_property
    def papilla(self) -> Array:
        """Where the nipple stands out of the breast, and as much within it, bool."""
        column, row = self.nipple
        return (np.hypot((X - column) / (self.bump + 1), (Y - row) / 8) < 1) & (self.depth > 0)

    def room(self, x: float, y: float, radius: float) -> float:
        """Pixels between a disc and the nearest of skin, muscle and film edge; negative where it reaches beyond."""
        first, last = int(max(y - radius, 0)), int(min(y + radius, HEIGHT - 1)) + 1
        return float(min(self.skin[first:last].min() - 12 - x - radius, x - radius - self.muscle[first:last].max() - 2,
                         y - radius - 6, HEIGHT - 6 - y - radius))


def outline(seed: int, patient: int, side: str, view: str) -> Outline:
    """The breast of a patient: of one size in all films, but for a little."""
    person, film = stream(seed, patient, "body"), stream(seed, patient, side, view, "outline")
    size, pointed, bump, curve, lean = person.normal(0, 1, 5)
    reach = float(np.clip(194 + 18 * size + film.normal(0, 5), 148, 228))
    if view == "CC":
        skin, row, muscle = _from_above(reach, size, pointed, film)
    else:
        skin, row, muscle = _from_the_side(reach, size, lean, film)
    column, stands = float(skin[round(row)]), float(np.clip(4.5 + 1.2 * bump, 2.5, 7.5))
    tip = stands * np.exp(-np.square(np.abs(ROWS - row) / 8) ** 1.3)
    return Outline(view, (skin + tip).astype(np.float32), muscle.astype(np.float32), (column, row), stands,
                   float(np.clip(52 + 7 * curve, 36, 68)))


def _from_above(reach: float, size: float, pointed: float, film: np.random.Generator) -> tuple[Array, float, Array]:
    middle, half = 160 + film.normal(0, 6), np.clip(150 + 11 * size + film.normal(0, 4), 118, 178)
    t = np.clip(np.abs(ROWS - middle) / half, 0, 1)
    skin = reach * (1 - t ** (2.15 + 0.12 * np.clip(pointed, -2, 2))) ** 0.56
    return skin, middle + film.normal(0, 9), np.full(HEIGHT, NONE)


def _from_the_side(reach: float, size: float, lean: float, film: np.random.Generator) -> tuple[Array, float, Array]:
    row = float(np.clip(192 + 7 * size + film.normal(0, 7), 165, 220))
    axilla, fold = np.clip(118 + 12 * lean + film.normal(0, 6), 92, 150), np.clip(304 + 10 * size, 280, 330)
    above = axilla + (reach - axilla) * np.cos(np.pi / 2 * np.clip((row - ROWS) / row, 0, 1) ** 1.12)
    below = reach * (1 - np.clip((ROWS - row) / (fold - row), 0, 1) ** 2.3) ** 0.62
    belly = film.uniform(40, 90) + 0.30 * np.clip(ROWS - fold + 20, 0, None)
    skin = gaussian_filter1d(np.where(row > ROWS, above, np.maximum(below, belly)), 6, mode="nearest")
    wide, high = axilla * film.uniform(0.62, 0.82), film.uniform(140, 215)
    muscle = NONE + (wide - NONE) * (1 - np.clip(ROWS / high, 0, 1) ** film.uniform(1.0, 1.35))
    return skin, row, muscle
