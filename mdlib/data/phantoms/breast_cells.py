"""Nuclei of a phantom picture of breast tissue: where the cells of each tissue have theirs, and all of them drawn.

A nucleus is an ellipse with an uneven outline. Of those that overlap, the one that covers more of a pixel is seen.
"""

from dataclasses import dataclass, fields

import numpy as np

from mdlib.data.phantoms.breast_layout import HYPERPLASIA, Duct, Layout, Vessel
from mdlib.data.phantoms.drawing import Array

BUMPS = (2, 3)      # waves of an outline
THICK = {"mild": (0.55, 0.06), "moderate": (0.70, 0.16)}       # epithelium, as shares of the radius: mean, swing


@dataclass(frozen=True)
class Kind:
    """How nuclei of one kind look, as mean and spread where there are two numbers."""
    axes: tuple[float, float]
    spread: float               # of their size, as a logarithm
    dark: tuple[float, float]   # haematoxylin
    coarse: float               # contrast of the chromatin
    rim: float                  # how much darker the membrane of the nucleus is
    bumps: float                # of the outline, as a share of the radius
    nucleolus: float            # radius, 0 for none


KINDS = {
    "luminal": Kind((4.7, 3.1), 0.07, (0.88, 0.07), 0.16, 0.18, 0.03, 0.0),
    "regular": Kind((4.7, 3.4), 0.09, (0.85, 0.08), 0.18, 0.20, 0.05, 0.0),
    "myoepithelial": Kind((4.4, 1.7), 0.12, (1.00, 0.10), 0.10, 0.05, 0.05, 0.0),
    "tumour": Kind((5.7, 4.6), 0.20, (0.80, 0.15), 0.36, 0.44, 0.10, 1.25),
    "spindle": Kind((6.2, 1.25), 0.25, (0.85, 0.12), 0.10, 0.05, 0.05, 0.0),
    "lymphocyte": Kind((2.9, 2.7), 0.07, (1.18, 0.08), 0.22, 0.10, 0.03, 0.0),
    "debris": Kind((1.7, 1.2), 0.35, (1.15, 0.20), 0.05, 0.00, 0.15, 0.0),
    "endothelial": Kind((3.8, 1.2), 0.15, (0.95, 0.08), 0.10, 0.05, 0.05, 0.0),
}


@dataclass(frozen=True)
class Nuclei:
    """Nuclei, one row each: middles x, y, half axes, phases of the outline's waves, (N, 2) each; and (N,) each: angle,
    haematoxylin, contrast of the chromatin, darkness of the rim, unevenness, radius of the nucleolus, whether of the
    epithelium."""
    middles: Array
    axes: Array
    phases: Array
    angle: Array
    dark: Array
    coarse: Array
    rim: Array
    bumps: Array
    nucleolus: Array
    epithelial: Array

    def __len__(self) -> int:
        return len(self.middles)


def nuclei(kind: str, middles: Array, angle: Array, rng: np.random.Generator, size: float = 1.0) -> Nuclei:
    """Nuclei of one of KINDS at these middles (N, 2), turned by (N,)."""
    look, count = KINDS[kind], len(middles)
    scale = size * np.exp(np.clip(rng.normal(0, look.spread, count), -2 * look.spread, 2 * look.spread))
    ratio = np.exp(rng.normal(0, 0.5 * look.spread, count))
    axes = np.array(look.axes) * scale[:, None] * np.stack([ratio, 1 / ratio], axis=1)
    dark = np.clip(rng.normal(*look.dark, count), 0.5, 1.6)
    each = [np.full(count, value) for value in (look.coarse, look.rim, look.bumps)]
    dot = look.nucleolus * np.exp(rng.normal(0, 0.2, count)) * (rng.random(count) < 0.75)
    phases = rng.uniform(0, 2 * np.pi, (count, len(BUMPS)))
    return Nuclei(np.reshape(middles, (-1, 2)), axes, phases, np.broadcast_to(angle, count), dark, *each, dot,
                  np.full(count, kind in ("luminal", "regular", "myoepithelial", "tumour")))


def joined(parts: list[Nuclei]) -> Nuclei:
    """Several lots of nuclei as one."""
    return Nuclei(*(np.concatenate([getattr(part, name.name) for part in parts]) for name in fields(Nuclei)))


def of_duct(duct: Duct, rng: np.random.Generator) -> list[Nuclei]:
    """The nuclei of a duct or an acinus, by what fills it."""
    if duct.filling == "acinus":
        return [_row(duct, 3.2, 8.5, "myoepithelial", rng, 0.85), _row(duct, 8.8, 6.4, "luminal", rng, 0.82)]
    myoepithelial = _row(duct, 4.2, 11.5, "myoepithelial", rng)
    if duct.filling == "normal":
        return [myoepithelial, _row(duct, 11.5, 7.2, "luminal", rng)]
    if duct.filling in HYPERPLASIA:
        return [myoepithelial, *_layers(duct, rng)]
    return [_row(duct, 3.6, 21.0, "myoepithelial", rng), *_filled(duct, rng)]


def lumen(duct: Duct, angle: Array, depth: Array) -> Array:
    """How far inside the lumen places lie, in pixels, negative in the epithelium."""
    if duct.filling == "acinus":
        return depth - 13.5 - 0.6 * np.cos(5 * angle + duct.waves[0][2])
    if duct.filling == "normal":
        return depth - 19.0 - 1.3 * np.cos(7 * angle + duct.waves[1][2]) - 0.8 * np.cos(17 * angle)
    if duct.filling in THICK:
        return depth - _thickness(duct, angle)
    x, y = ((duct.outline(angle) - depth) * turn(angle) for turn in (np.cos, np.sin))
    inside = np.full(np.shape(depth), -np.inf, np.float32)
    for u, v, radius in _holes(duct):
        dx, dy, tilt = x - u, y - v, np.arctan2(v, u)
        if duct.filling == "florid":                                # slits along the membrane
            dx, dy = 1.7 * (np.cos(tilt) * dx + np.sin(tilt) * dy), 0.6 * (np.cos(tilt) * dy - np.sin(tilt) * dx)
        inside = np.maximum(inside, radius - np.hypot(dx, dy))
    return inside


def _thickness(duct: Duct, angle: Array) -> Array:
    """Of an epithelium of two to four layers, uneven."""
    (_, _, a), (_, _, b), (_, _, c) = duct.waves
    mean, swing = THICK[duct.filling]
    mean = max(mean * duct.radius, 24.0)
    waves = np.cos(2 * angle + a) + 0.6 * np.cos(3 * angle + b) + 0.3 * np.cos(5 * angle + c)
    return mean + swing * duct.radius * waves


def _holes(duct: Duct) -> list[tuple[float, float, float]]:
    """Round holes in what fills a duct, x and y from its middle, and radius: several, one with debris, or none."""
    a, b, c = (phase for _, _, phase in duct.waves)
    if duct.filling == "comedo":
        return [(2 * np.cos(a), 2 * np.sin(a), 0.42 * duct.radius)]
    if duct.filling not in ("cribriform", "florid"):
        return []
    count = 3 + int(duct.radius > 42) + int(duct.radius > 52)
    number = np.arange(count)
    turn = a + 2 * np.pi * number / count + 0.5 * np.cos(b + 2.4 * number)
    away = duct.radius * (0.47 + 0.10 * np.cos(a + 1.7 * number))
    size = duct.radius * (0.14 + 0.06 * np.cos(c + 2.0 * number))
    return list(zip(away * np.cos(turn), away * np.sin(turn), size, strict=True))


def _row(duct: Duct, depth: float, gap: float, kind: str, rng: np.random.Generator, size: float = 1.0) -> Nuclei:
    """Nuclei in a row along the membrane, upright to it or, if flat, along it; none in its gaps."""
    count = max(int(2 * np.pi * (duct.radius - depth) / gap), 3)
    angle = 2 * np.pi * (np.arange(count) + rng.uniform() + rng.uniform(-0.22, 0.22, count)) / count
    for middle, half in duct.gaps if kind == "myoepithelial" else ():
        away = np.abs((angle - middle + np.pi) % (2 * np.pi) - np.pi) * duct.radius
        angle = angle[away > half + 4]
    flat = np.pi / 2 if kind == "myoepithelial" else 0
    spots = duct.at(angle, depth + rng.normal(0, 0.7 if flat else 1.3, len(angle)))
    return nuclei(kind, spots, angle + flat + rng.normal(0, 0.12, len(angle)), rng, size)


def _layers(duct: Duct, rng: np.random.Generator) -> list[Nuclei]:
    """Regular nuclei in several layers, each turned its own way, with lumens like slits."""
    found = []
    for depth in np.arange(11.0, duct.radius, 9.0):
        count = int(2 * np.pi * (duct.radius - depth) / 9.0)
        angle = 2 * np.pi * (np.arange(count) + rng.uniform() + rng.uniform(-0.3, 0.3, count)) / max(count, 1)
        deep = depth + rng.normal(0, 1.6, count)
        kept = (lumen(duct, angle, deep) < -3.2) | (depth < 12)
        found.append(nuclei("regular", duct.at(angle, deep)[kept],
                            angle[kept] + rng.uniform(-0.9, 0.9, kept.sum()), rng))
    return found


def _filled(duct: Duct, rng: np.random.Generator) -> list[Nuclei]:
    """Tumour cells side by side, of any size and turned any way, round holes; debris where the middle has died."""
    spots = np.add(lattice(duct.radius * 1.25, 10.8, rng), [duct.x, duct.y])
    depth, angle = duct.depth(*spots.T)
    kept = (depth > 7.5) & (lumen(duct, angle, depth) < -4.0)
    found = [nuclei("tumour", spots[kept], rng.uniform(0, np.pi, kept.sum()), rng)]
    if duct.filling == "comedo":
        (x, y, radius), = _holes(duct)
        dust = rng.normal([duct.x + x, duct.y + y], 0.42 * radius, (rng.integers(14, 30), 2))
        found.append(nuclei("debris", dust, rng.uniform(0, np.pi, len(dust)), rng))
    return found


def lattice(reach: float, gap: float, rng: np.random.Generator) -> Array:
    """Points (N, 2) about `gap` apart, within `reach` of 0, 0, in rows that are hardly seen."""
    count = int(2 * reach / gap) + 2
    rows, columns = np.mgrid[:count, :count].reshape(2, -1)
    points = np.stack([columns + rows % 2 / 2 - count / 2, 0.87 * (rows - count / 2)], axis=1) * gap
    turn = rng.uniform(0, np.pi)
    points = points @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    return points + rng.uniform(-0.24, 0.24, points.shape) * gap


def of_nests(layout: Layout, tumour: bool) -> list[Nuclei]:
    """The nuclei of the nests of a tumour, or else of the ductules."""
    rng = layout.look.stream("nuclei of nests", int(tumour))
    return [nuclei("tumour" if tumour else "regular", nest.cells, rng.uniform(0, np.pi, len(nest.cells)), rng)
            for nest in layout.nests if nest.tumour == tumour]


def of_vessel(vessel: Vessel, rng: np.random.Generator) -> Nuclei:
    """The flat nuclei of the wall of a vessel."""
    turn = (np.arange(5) + rng.uniform(-0.3, 0.3, 5)) * 2 * np.pi / 5 + rng.uniform(0, 1)
    along = np.arctan2(vessel.b * np.cos(turn), -vessel.a * np.sin(turn))
    return nuclei("endothelial", vessel.at(1.12 * np.cos(turn), 1.15 * np.sin(turn)), vessel.angle + along, rng)


@dataclass(frozen=True)
class Drawn:
    """The pixels with a nucleus, (P,) each: flat number of the pixel, nucleus, cover, u and v in its half axes."""
    where: Array
    number: Array
    cover: Array
    u: Array
    v: Array


def draw(cells: Nuclei, shape: tuple[int, int]) -> Drawn:
    """Which nucleus covers each pixel, and how much of it."""
    best = np.full(shape[0] * shape[1] + 1, -1, np.int64)           # cover in 1024ths above, number below 2 ** 20
    reach = np.ceil(cells.axes.max(axis=1) * (1 + 1.5 * cells.bumps) + 1).astype(int)
    for size in np.unique(reach):
        some = np.flatnonzero(reach == size)
        u, v, at = _windows(cells, some, size, shape)
        away = np.hypot(u, v) + np.float32(1e-6)
        c, s = u / away, v / away
        (a, b), (d, e) = ([f(cells.phases[some, k].astype(np.float32))[:, None, None] for f in (np.cos, np.sin)]
                            for k in (0, 1))
        wave = a * (c * c - s * s) - b * 2 * c * s + d * c * (c * c - 3 * s * s) - e * s * (3 * c * c - s * s)
        edge = 1 + cells.bumps[some].astype(np.float32)[:, None, None] * wave - away
        cover = np.clip(edge * cells.axes[some].min(axis=1).astype(np.float32)[:, None, None] + np.float32(0.5), 0, 1)
        packed = (cover * 1023).astype(np.int64) * 2 ** 20 + some[:, None, None]
        np.maximum.at(best, at[cover > 0], packed[cover > 0])
    where = np.flatnonzero(best[:-1] >= 0)
    number, cover = best[where] % 2 ** 20, (best[where] // 2 ** 20).astype(np.float32) / 1023
    row, column = np.divmod(where, shape[1])
    u, v = _turned(cells, number, column - cells.middles[number, 0], row - cells.middles[number, 1])
    return Drawn(where, number, cover, u, v)


def _windows(cells: Nuclei, some: Array, size: int, shape: tuple[int, int]) -> tuple[Array, Array, Array]:
    """Of each nucleus: u, v of a window round it, and the flat numbers of its pixels, beyond the last one outside."""
    corner = np.floor(cells.middles[some]).astype(int) - size
    window = np.arange(2 * size + 2)
    x, y = (corner[:, axis, None] + window for axis in (0, 1))
    dx = (x - cells.middles[some, 0, None])[:, None, :]
    dy = (y - cells.middles[some, 1, None])[:, :, None]
    u, v = _turned(cells, some, dx, dy)
    inside = ((y >= 0) & (y < shape[0]))[:, :, None] & ((x >= 0) & (x < shape[1]))[:, None, :]
    return u, v, np.where(inside, y[:, :, None] * shape[1] + x[:, None, :], shape[0] * shape[1])


def _turned(cells: Nuclei, some: Array, dx: Array, dy: Array) -> tuple[Array, Array]:
    over = (slice(None), *[None] * (dx.ndim - 1))
    dx, dy = dx.astype(np.float32), dy.astype(np.float32)
    c, s = (f(cells.angle[some]).astype(np.float32)[over] for f in (np.cos, np.sin))
    a, b = (cells.axes[some, axis].astype(np.float32)[over] for axis in (0, 1))
    return (c * dx + s * dy) / a, (c * dy - s * dx) / b
