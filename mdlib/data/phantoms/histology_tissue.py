"""Bladder tissue of a phantom image: where lumen, urothelium and stroma lie, its nuclei drawn to grade, and its stain.

The tissue lies in layers round a far or near middle: lumen, urothelium, stroma, outwards or inwards. Lengths are in
pixels of an image of 96 and grow with its side. The mean and the spread of red, green and blue are brought to those of
a typical image in the patient's stain: they look at no grade, only the pattern tells.
"""

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree

from mdlib.data.phantoms.drawing import Array, log_uniform, smooth, step, stream

ELEMENTS = ("mitosis", "nucleoli")
LONG, SHORT = 4.4, 2.9                      # half axes of a nucleus
SPREAD = (0.03, 0.20, 0.42)                 # of the size of nuclei, as a logarithm; by grade of pleomorphism
BUMPS = (0.02, 0.09, 0.17)                  # of their outline, as a share of the radius
GAP = (14.0, 10.4, 7.7)                     # between neighbours in a row; by grade of crowding
STRAY = (0.04, 0.17, 0.36)                  # of nuclei from their place, in gaps; by grade of polarity
TURN = (0.08, 0.65, np.pi)                  # from upright to the base, in radians, either way
MITOSES = ((0, 0), (1, 2), (5, 8))          # fewest and most; by grade
NUCLEOLI = ((0, 0), (1, 1), (1, 2))         # in a nucleus that has some; by grade
HAVE_NUCLEOLI = (0.0, 0.55, 1.0)            # of the nuclei
DOT = (0.0, 1.0, 1.35)                      # radius of a nucleolus
SHARE = {"": (0.25, 0.65), "scarce": (0.01, 0.07), "blurred": (0.25, 0.65)}     # urothelium, of the area
BLUR = {"": 0.45, "scarce": 0.45, "blurred": 3.0}

# Haematoxylin and eosin of what a typical image shows, and the share of each: lumen, cytoplasm, stroma, nuclei.
TYPICAL = np.array([[0.0, 0.03], [0.20, 0.42], [0.11, 0.60], [0.80, 0.40]])
SHARES = np.array([0.17, 0.34, 0.34, 0.15])


@dataclass(frozen=True)
class Stain:
    """Optical density of red, green and blue by haematoxylin and by eosin (2, 3), strengths included; the light."""
    density: Array
    light: float


def stain(rng: np.random.Generator) -> Stain:
    """The stain of a patient's slides: Ruifrok and Johnston's (2001), give or take."""
    base = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11]]) + rng.normal(0, 0.03, (2, 3))
    strength = np.array([1.25, 0.75]) * np.exp(rng.normal(0, 0.13, 2))
    return Stain(np.clip(base, 0.02, 1.1) * strength[:, None], rng.uniform(0.92, 1.0))


@dataclass(frozen=True)
class Look:
    """What decides an image: five grades from 0 to 2, and whether tissue is "scarce", "blurred" or neither ("")."""
    name: str
    patient: str
    grades: tuple[int, int, int, int, int]
    spoiled: str
    side: int
    seed: int

    def stream(self, *key: str) -> np.random.Generator:
        """Random numbers of one element of this image."""
        return stream(self.seed, self.name, *key)


@dataclass(frozen=True)
class Blots:
    """What covers a part of the image each: windows [0, 1] (N, w, w), their first rows and columns (N, 2)."""
    cover: Array
    corners: Array

    def over(self, side: int) -> list[tuple[tuple[slice, slice], Array]]:
        """Of each that touches an image of that side: the place in it, and its cover there."""
        found = []
        for (top, left), cover in zip(self.corners.tolist(), self.cover, strict=True):
            size = len(cover)
            rows, columns = (slice(*np.clip([a, a + size], 0, side).tolist()) for a in (top, left))
            inside = cover[rows.start - top:rows.stop - top, columns.start - left:columns.stop - left]
            found.append(((rows, columns), inside))
        return found


class Section:
    """An image of tissue, drawn as often as asked: whole, or without some of its elements."""

    def __init__(self, look: Look):
        self.look, self.side, self.unit = look, look.side, look.side / 96
        rng = look.stream("place")
        self._radius = log_uniform(rng, 0.7, 6.0) * self.side
        self._outwards = rng.choice([-1, 1])
        away = rng.uniform(0, 2 * np.pi)
        self._middle = self.side / 2 + self._radius * np.array([np.cos(away), np.sin(away)])
        waves = 2 * np.pi * self._radius / (rng.uniform(45, 110, 2) * self.unit)
        self._waves = [(round(count), rng.uniform(0, 2 * np.pi)) for count in waves]
        self._swing = rng.uniform(0.8, 2.6, 2) * self.unit
        lumen, share = rng.uniform(0.06, 0.28), rng.uniform(*SHARE[look.spoiled])
        self._top, self._base = np.quantile(self.depth, [lumen, lumen + share])

    def _wave(self, angle: Array) -> Array:
        return sum(swing * np.cos(count * angle + phase)
                   for swing, (count, phase) in zip(self._swing, self._waves, strict=True))

    @cached_property
    def depth(self) -> Array:
        """How deep each pixel lies below the lumen, from an arbitrary level (side, side)."""
        x, y = (np.arange(self.side)[None] - self._middle[0], np.arange(self.side)[:, None] - self._middle[1])
        return self._outwards * (np.hypot(x, y) - self._radius) - self._wave(np.arctan2(y, x))

    @cached_property
    def urothelium(self) -> Array:
        """Where the urothelium lies (side, side), bool."""
        return (self.depth > self._top) & (self.depth <= self._base)

    @cached_property
    def _sites(self) -> tuple[Array, Array]:
        """Middles x, y of the cells (N, 2) in rows upright to the base, and the angle of that upright (N,)."""
        rng, unit = self.look.stream("cells"), self.unit
        gap = GAP[self.look.grades[1]] * unit * np.exp(rng.normal(0, 0.03))
        stray = STRAY[self.look.grades[2]] * gap
        found = []
        for deep in np.arange(self._base - 5.2 * unit, self._top + 3 * unit, -1.3 * gap):
            count = int(2 * np.pi * (self._radius + self._outwards * deep) / gap)
            angle = 2 * np.pi * (np.arange(count) + rng.uniform()) / max(count, 1)
            away = self._radius + self._outwards * (deep + self._wave(angle))
            found.append(self._middle + away[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1))
        points = np.concatenate(found or [np.zeros((0, 2))])
        points = points[(np.abs(points - self.side / 2) < self.side / 2 + 6 * unit).all(axis=1)]
        points = points + np.clip(rng.normal(0, stray, points.shape), -2 * stray, 2 * stray)
        column, row = np.clip(np.rint(points), 0, self.side - 1).astype(int).T
        kept = (self.depth[row, column] > self._top + 3 * unit) & (self.depth[row, column] < self._base - 2.5 * unit)
        down, across = np.gradient(self.depth)
        return points[kept], np.arctan2(down[row, column], across[row, column])[kept]

    @cached_property
    def _dividing(self) -> Array:
        """Which of the cells divide: numbers of sites, well inside the urothelium and apart where there is room."""
        points, rng = self._sites[0], self.look.stream("dividing")
        wanted = rng.integers(*MITOSES[self.look.grades[3]], endpoint=True)
        column, row = np.clip(np.rint(points), 0, self.side - 1).astype(int).T
        room = np.minimum(np.minimum(self.depth[row, column] - self._top, self._base - self.depth[row, column]),
                          self.side / 2 - np.abs(points - self.side / 2).max(axis=1, initial=0))
        order, taken = rng.permutation(len(points)), []
        for roomy, apart in ((5, 10), (4, 7), (3, 5)):
            for site in order[room[order] > roomy * self.unit]:
                away = np.hypot(*(points[taken] - points[site]).T)
                if len(taken) < wanted and (away > apart * self.unit).all():
                    taken.append(site)
        return np.array(taken, int)

    @cached_property
    def _nuclei(self) -> tuple[Array, Array, Array, Array]:
        """Middles (N, 2), half axes (N, 2), angles (N,) and darkness (N,) of the nuclei of cells that do not divide."""
        points, upright = self._sites
        rng, (pleomorphism, _, polarity, *_) = self.look.stream("nuclei"), self.look.grades
        size = np.clip(np.exp(rng.normal(0, SPREAD[pleomorphism], len(points))), 0.55, 1.8)
        ratio = np.exp(rng.normal(0, 0.6 * SPREAD[pleomorphism], len(points)))
        axes = np.array([LONG, SHORT]) * self.unit * size[:, None] * np.stack([ratio, 1 / ratio], axis=1) ** 0.5
        angle = upright + rng.uniform(-TURN[polarity], TURN[polarity], len(points))
        dark = 1 + rng.uniform(-1, 1, len(points)) * (0.05, 0.12, 0.22)[pleomorphism]
        kept = np.setdiff1d(np.arange(len(points)), self._dividing)
        return points[kept], axes[kept], angle[kept], dark[kept]

    @cached_property
    def mitoses(self) -> Blots:
        """The dividing cells: plates and stars."""
        rng, points = self.look.stream("mitosis"), self._sites[0][self._dividing]
        star = rng.random(len(points)) < 0.4
        axes = np.where(star[:, None], 3.3, [4.6, 1.7]) * self.unit * rng.uniform(0.9, 1.1, (len(points), 1))
        return _blots(points, axes, rng.uniform(0, np.pi, len(points)), np.where(star, 0.42, 0.16), rng,
                      waves=(5, 7))

    @cached_property
    def nucleoli(self) -> Blots:
        """Dots within the nuclei."""
        rng, grade = self.look.stream("nucleoli"), self.look.grades[4]
        points, axes, angle, _ = self._nuclei
        fewest, most = NUCLEOLI[grade]
        some = (rng.random(len(points)) < HAVE_NUCLEOLI[grade]) & (axes.min(axis=1) > (DOT[grade] + 0.7) * self.unit)
        count = np.where(some, rng.integers(fewest, most + 1, len(points)), 0)
        number = np.repeat(np.arange(len(points)), count)
        # The second of a nucleus lies on the other side of the first.
        side = np.where(np.r_[False, number[1:] == number[:-1]], -1, 1) * np.where(count > 1, 0.42, 0.1)[number]
        along = side * axes[number, 0] * rng.uniform(0.8, 1.2, len(number))
        across = 0.15 * axes[number, 1] * rng.uniform(-1, 1, len(number))
        c, s = np.cos(angle[number]), np.sin(angle[number])
        dots = points[number] + np.stack([c * along - s * across, s * along + c * across], axis=1)
        size = DOT[grade] * self.unit * rng.uniform(0.9, 1.1, (len(dots), 1))
        return _blots(dots, np.repeat(size, 2, axis=1), np.zeros(len(dots)), np.zeros(len(dots)), rng)

    def instances(self, element: str) -> Array:
        """The number of the mitosis or the nucleolus in each pixel, uint8 (side, side); 0 where none can be seen."""
        labels = np.zeros((self.side, self.side), int)
        blots = self.mitoses if element == "mitosis" else self.nucleoli
        for number, (place, cover) in enumerate(blots.over(self.side), start=1):
            labels[place][cover > 0.5] = number
        if element == "nucleoli":
            labels[self.instances("mitosis") > 0] = 0
        there = np.unique(labels[labels > 0])           # some are outside, some under others
        return np.where(labels > 0, np.searchsorted(there, labels) + 1, 0).astype(np.uint8)

    def draw(self, without: Collection[str] = ()) -> Array:
        """The image, uint8 (side, side, 3), `without` the elements named; all else stays as it is to the bit."""
        colour = stain(stream(self.look.seed, self.look.patient, "stain"))
        seen = self._seen(colour, without)
        whole = self._seen(colour, ()) if without else seen
        mean, spread = self._typical(colour)
        # What the whole image needs, so that leaving something out changes no pixel elsewhere.
        picture = (seen - whole.mean(axis=(0, 1))) / whole.std(axis=(0, 1)) * spread + mean
        picture += 0.008 * self.look.stream("grain").standard_normal((self.side, self.side, 1))
        return (np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8)

    def _seen(self, colour: Stain, without: Collection[str]) -> Array:
        """The light (side, side, 3) that the stains let through (Beer and Lambert), as sharp as the focus."""
        light = np.exp(-np.maximum(self._amounts(without), 0) @ colour.density)
        blur = BLUR[self.look.spoiled] * self.unit
        return gaussian_filter(light, (blur, blur, 0))

    def _typical(self, colour: Stain) -> tuple[Array, Array]:
        """Mean and spread (3,) of red, green and blue that this image is brought to: they know no grade."""
        rng = self.look.stream("colour")
        light = np.exp(-TYPICAL * np.exp(rng.normal(0, 0.05, (4, 2))) @ colour.density)
        share = SHARES * np.exp(rng.normal(0, 0.1, 4))
        mean = np.average(light, axis=0, weights=share)
        return colour.light * mean, np.average((light - mean) ** 2, axis=0, weights=share) ** 0.5

    def _amounts(self, without: Collection[str]) -> Array:
        """Haematoxylin and eosin in each pixel (side, side, 2)."""
        canvas = self._ground()
        points, axes, angle, dark = self._nuclei
        rng = self.look.stream("outlines")
        bumps = np.full(len(points), BUMPS[self.look.grades[0]])
        whole = _blots(points, axes, angle, bumps, rng)
        for (place, cover), much in zip(whole.over(self.side), dark, strict=True):
            rim = 4 * cover * (1 - cover)
            _paint(canvas, place, cover, np.stack([much * (0.62 + 0.4 * rim), np.full_like(rim, 0.25)], axis=2))
        if "nucleoli" not in without:
            for place, cover in self.nucleoli.over(self.side):
                _paint(canvas, place, cover, np.array([1.15, 1.9]))
        if "mitosis" not in without:
            for place, cover in self.mitoses.over(self.side):
                _paint(canvas, place, cover, np.array([1.9, 0.5]))
        return canvas

    def _ground(self) -> Array:
        """Lumen, cytoplasm and stroma without the nuclei of the urothelium (side, side, 2)."""
        rng, shape, unit = self.look.stream("ground"), (self.side, self.side), self.unit
        cloud, fine = smooth(rng, shape, (7, 7)), smooth(rng, shape, (24, 24))
        tissue = step((self.depth - self._top) / unit + 0.5)
        below = step((self.depth - self._base) / (1.2 * unit) + 0.5)
        fibres = np.sin(2 * np.pi * (self.depth / (6.5 * unit) + 0.55 * cloud)) * (0.6 + 0.4 * fine)
        stroma = np.stack([0.09 + 0.02 * cloud, 0.60 + 0.20 * fibres + 0.05 * fine], axis=2)
        cells = np.stack([0.20 + 0.03 * cloud, 0.42 + 0.06 * cloud - 0.12 * self._borders()], axis=2)
        rim = 0.25 * step(1 - np.abs(self.depth - self._top - unit) / (1.6 * unit))[..., None] * [0.3, 1.0]
        floor = 0.30 * step(1 - np.abs(self.depth - self._base) / (1.5 * unit))[..., None] * [0.1, 1.0]
        ground = (cells + rim) * (1 - below[..., None]) + stroma * below[..., None] + floor
        canvas = tissue[..., None] * ground + (1 - tissue[..., None]) * [0.0, 0.03]
        return self._spindles(canvas, below)

    def _borders(self) -> Array:
        """1 between neighbouring cells, 0 within them (side, side)."""
        points = self._sites[0]
        if len(points) < 2:
            return np.zeros((self.side, self.side))
        y, x = np.mgrid[:self.side, :self.side]
        near, next_ = cKDTree(points).query(np.stack([x.ravel(), y.ravel()], axis=1), k=2)[0].T
        return step(1 - (next_ - near) / (2.2 * self.unit)).reshape(self.side, self.side)

    def _spindles(self, canvas: Array, below: Array) -> Array:
        """Draws the nuclei of the stroma, along its fibres, into `canvas`, and returns it."""
        rng = self.look.stream("spindles")
        points = rng.uniform(0, self.side, (rng.integers(26, 34), 2))
        column, row = points.astype(int).T
        down, across = np.gradient(self.depth)
        along = np.arctan2(down[row, column], across[row, column]) + np.pi / 2 + rng.normal(0, 0.25, len(points))
        axes = rng.uniform([3.4, 0.9], [5.2, 1.4], points.shape) * self.unit
        for place, cover in _blots(points, axes, along, np.zeros(len(points)), rng).over(self.side):
            _paint(canvas, place, cover * below[place], np.array([0.95, 0.35]))
        return canvas


def _blots(middles: Array, axes: Array, angle: Array, bumps: Array, rng: np.random.Generator,
           waves: tuple[int, ...] = (2, 3)) -> Blots:
    """Ellipses round (N, 2) x, y, half axes (N, 2), turned by (N,), their outlines uneven by `bumps` (N,)."""
    reach = int(np.ceil(axes.max(initial=1) * (1 + 2 * bumps.max(initial=0)))) + 1
    window, first = np.arange(2 * reach + 1), np.floor(middles).astype(int) - reach
    dx = (first[:, :1] + window - middles[:, :1])[:, None, :]
    dy = (first[:, 1:] + window - middles[:, 1:])[:, :, None]
    c, s = np.cos(angle)[:, None, None], np.sin(angle)[:, None, None]
    u, v = (c * dx + s * dy) / axes[:, 0, None, None], (c * dy - s * dx) / axes[:, 1, None, None]
    away, turn = np.hypot(u, v), np.arctan2(v, u)
    phase = rng.uniform(0, 2 * np.pi, (len(waves), len(middles), 1, 1))
    radius = 1 + bumps[:, None, None] * sum(np.cos(k * turn + p) for k, p in zip(waves, phase, strict=True))
    cover = np.clip((radius - away) * axes.min(axis=1)[:, None, None] + 0.5, 0, 1)
    return Blots(cover, first[:, ::-1])


def _paint(canvas: Array, place: tuple[slice, slice], cover: Array, amounts: Array) -> None:
    """Lay `amounts` (2,) or (h, w, 2) over a place of `canvas` where `cover` (h, w) says so."""
    part = canvas[place]
    part += cover[..., None] * (amounts - part)
