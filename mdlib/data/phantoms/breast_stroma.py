"""What lies between the ducts of a phantom picture of breast tissue: fibres, clefts, fat and small vessels."""

from functools import cached_property

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates, zoom

from mdlib.data.phantoms.breast_cells import lattice
from mdlib.data.phantoms.breast_layout import FAR, Layout
from mdlib.data.phantoms.drawing import Array, smooth, step


def amounts(haematoxylin: float, eosin: float) -> Array:
    """How much of both stains a tissue takes up (2,)."""
    return np.array([haematoxylin, eosin], np.float32)


def lay(part: Array, cover: Array, what: Array) -> None:
    """Lay amounts (2,) or (h, w, 2) over a part of the canvas where `cover` (h, w) says so."""
    part += cover[..., None] * (what - part)


EMPTY, BLOOD, WALL = amounts(0.0, 0.03), amounts(0.0, 1.35), amounts(0.15, 0.75)


class Stroma:
    """The ground of a picture; `depth` is how deep each pixel lies inside the nearest duct, at least -FAR (H, W)."""

    def __init__(self, layout: Layout, depth: Array):
        self.layout, self.depth, self.shape = layout, depth, depth.shape
        self._stream = layout.look.stream
        self.y, self.x = np.mgrid[:depth.shape[0], :depth.shape[1]].astype(np.float32)

    def draw(self) -> Array:
        """Haematoxylin and eosin of each pixel (H, W, 2)."""
        canvas = self._fibrous()
        white, wall = self._fat
        lay(canvas, white, wall[..., None] * amounts(0.08, 0.44) + EMPTY)
        self._vessels(canvas)
        return canvas

    def holds(self, spots: Array) -> Array:
        """Those of the places (N, 2) that lie inside the picture and not in fat."""
        spots = spots[((spots >= 0) & (spots < self.shape[::-1])).all(axis=1)]
        column, row = spots.astype(int).T
        white, wall = self._fat
        return spots[(white * (1 - 0.5 * wall))[row, column] < 0.3]

    def along(self, spots: Array) -> Array:
        """The angle of the fibres at places (N, 2)."""
        down, across = np.gradient(self._flow[1])
        column, row = spots.astype(int).T
        return np.arctan2(down[row, column], across[row, column]) + np.pi / 2

    def _swell(self, rng: np.random.Generator, length: float, waves: int = 7) -> Array:
        """Smooth noise of about unit scale, of the same length in every direction (H, W): a sum of plane waves."""
        angle, phase = rng.uniform(0, 2 * np.pi, (2, waves))
        pitch = 2 * np.pi / (length * np.exp(rng.normal(0, 0.3, waves)))
        x = np.outer(np.arange(self.shape[1]), np.cos(angle) * pitch)
        y = np.outer(np.arange(self.shape[0]), np.sin(angle) * pitch) + phase
        parts = np.concatenate([np.cos(y), -np.sin(y)], axis=1) @ np.concatenate([np.cos(x), np.sin(x)], axis=1).T
        return (parts * (2 / waves) ** 0.5).astype(np.float32)

    @cached_property
    def _flow(self) -> tuple[Array, Array, Array]:
        """Coordinates along and across the fibres of the stroma, which bend round the ducts, and how near these are."""
        rng = self._stream("flow")
        angle = rng.uniform(0, np.pi)
        bend = [22 * self._swell(rng, 260) + 5 * self._swell(rng, 80) for _ in range(2)]
        along = np.cos(angle) * self.x + np.sin(angle) * self.y + bend[0]
        across = np.cos(angle) * self.y - np.sin(angle) * self.x + bend[1]
        near = step(1 + self.depth / FAR)
        return along, across * (1 - near) + near * (1.2 * self.depth + 0.5 * bend[1]), near

    def _fibres(self, rng: np.random.Generator, thick: float, long: float) -> Array:
        along, across, _ = self._flow
        lattice = rng.standard_normal((97, 61), dtype=np.float32)
        return map_coordinates(lattice, [across / thick, along / long], order=1, mode="grid-wrap")

    def _fibrous(self) -> Array:
        rng, near = self._stream("stroma"), self._flow[2]
        broad, fine = self._fibres(rng, 8.0, 60), self._fibres(rng, 2.6, 30) * (1 - 0.6 * near)
        loose, grain = step(0.35 + 0.45 * self._swell(rng, 170)), smooth(rng, self.shape, (130, 170))
        bundles = 0.74 - 0.22 * loose + 0.14 * broad + 0.07 * fine + 0.04 * grain
        cleft = step((broad - 0.95 + 0.5 * loose) * 1.6) * step((fine + 1.0) * 0.9) * (1 - near) * 0.85
        eosin = bundles * (1 - cleft) + 0.04 * cleft
        return np.stack([0.09 * eosin + (0.02 * grain + 0.05 * loose) * (1 - cleft), eosin], axis=2)

    @cached_property
    def _fat(self) -> tuple[Array, Array]:
        """How much of each pixel is fat, and wall between its cells (H, W): whole cells, away from ducts and nests."""
        rng = self._stream("fat")
        share, gap = rng.uniform(0.0, 0.28), rng.uniform(38, 54)
        field = self._swell(rng, 330, 5) - 4 * step(1.3 + self.depth / 36)
        for nest in self.layout.nests:
            place = nest.window(self.shape)
            field[place] -= 4 * step(4 * nest.field(self.x[place], self.y[place]))
        size = np.array(self.shape[::-1])
        points = lattice(max(self.shape) * 0.75, gap, rng) + size / 2
        points = points[((points > -gap) & (points < size + gap)).all(axis=1)].astype(np.float32)
        column, row = np.clip(points, 0, size - 1).astype(int).T
        full = field[row, column] > np.quantile(field[::4, ::4], 1 - share)
        near = np.hypot(*(points[:, None] - points).transpose(2, 0, 1)) < 1.5 * gap
        full &= near.astype(int) @ full > 3                                 # no fat cell without neighbours
        fat, third, other = np.full((3, *(-(-size[::-1] // 2))), 2 * gap, np.float32)   # nearest middles, half size
        y, x = (np.arange(side, dtype=np.float32) for side in fat.shape)
        reach = int(0.8 * gap)
        for (a, b), is_fat in zip(points / 2, full, strict=True):
            place = tuple(slice(max(0, int(middle) - reach), max(0, int(middle) + reach)) for middle in (b, a))
            away = 2 * np.hypot(x[place[1]] - a, y[place[0], None] - b)
            if is_fat:
                third[place] = np.minimum(third[place], np.maximum(away, fat[place]))
                fat[place] = np.minimum(away, fat[place])
            else:
                other[place] = np.minimum(other[place], away)
        rim, inside = (gaussian_filter(half, 1.6) for half in (np.minimum(third, 0.98 * other) - fat, other - fat))
        rim, inside = (zoom(half, 2, order=1)[:size[1], :size[0]] for half in (rim, inside))
        return step(0.5 + (inside - 1) / 2), step(2.0 - rim / 3.2)

    def _vessels(self, canvas: Array) -> None:
        for vessel in self.layout.vessels:
            place = vessel.window(self.shape)
            part, (u, v) = canvas[place], vessel.inside(self.x[place], self.y[place])
            away = (np.hypot(u, v) - 1) * min(vessel.a, vessel.b)
            lay(part, step(0.5 - away), EMPTY)
            for x, y in vessel.blood(self._stream("blood", int(vessel.x), int(vessel.y))):
                lay(part, np.clip(3.0 - np.hypot(self.x[place] - x, self.y[place] - y), 0, 1), BLOOD)
            lay(part, step(1.2 - np.abs(away - 1.2) / 2.2), WALL)
