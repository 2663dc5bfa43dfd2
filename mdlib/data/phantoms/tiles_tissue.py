"""Colorectal tissue of a phantom tile: where nuclei lie, where cytoplasm, stroma, mucus and lumen are, and its stain.

Two ways tissue can look: regular glands, each with a lumen and its nuclei in a row; or solid sheets without order,
small dark lymphocytes between, with pools of mucus. A tile is mostly one and partly the other. The amounts of both
stains, their spread and how they go together are brought to values that look at no class: only the pattern tells.
"""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

from mdlib.data.phantoms.drawing import Array, smooth, step

OTHER = (0.0, 0.45)     # of a tile's area looks like the other class


@dataclass(frozen=True)
class Stain:
    """Optical density of red, green and blue by haematoxylin and by eosin, their strengths, and the scanner."""
    haematoxylin: tuple[float, float, float]
    eosin: tuple[float, float, float]
    strength: tuple[float, float]
    blur: float
    light: float


# Ruifrok and Johnston 2001 for the first; the second is a slide of another laboratory: bluer, stronger, less sharp.
STAINS = {"train": Stain((0.65, 0.70, 0.29), (0.12, 0.85, 0.20), (1.0, 1.0), 0.45, 0.97),
          "test": Stain((0.78, 0.62, 0.16), (0.30, 0.80, 0.08), (1.35, 0.75), 0.75, 0.92)}


def stain(part: str, rng: np.random.Generator) -> Stain:
    """The stain of a batch of slides: that of the part of the collection, give or take."""
    base = STAINS[part]
    colours = [tuple(np.clip(np.array(colour) + rng.normal(0, 0.04, 3), 0.02, 1.1))
               for colour in (base.haematoxylin, base.eosin)]
    return Stain(*colours, tuple(np.array(base.strength) * np.exp(rng.normal(0, 0.13, 2))), base.blur,
                 base.light + rng.uniform(-0.02, 0.02))


def tile(looks: str, side: int, colour: Stain, rng: np.random.Generator) -> Array:
    """A tile, uint8 (side, side, 3), that mostly looks like "MSS" (glands) or "MSIMUT" (solid, disordered)."""
    main, other = (_glands, _sheet) if looks == "MSS" else (_sheet, _glands)
    field = smooth(rng, (side, side), (2, 2))
    share = step((field - np.quantile(field, rng.uniform(*OTHER))) * 4 + 1)
    drawn = share * main(side, rng) + (1 - share) * other(side, rng) + 0.05 * rng.standard_normal((2, side, side))
    flat = gaussian_filter(drawn, (0, colour.blur, colour.blur)).reshape(2, -1)
    white = np.linalg.solve(np.linalg.cholesky(np.cov(flat)), flat - flat.mean(axis=1, keepdims=True))
    mean, mix = _amounts(rng)
    seen, like = (_seen(mean + mix @ part, colour) for part in (white, rng.standard_normal(white.shape)))
    # Brought to mean and spread of a tile of noise with these amounts: colour looks at no class.
    picture = (seen - _mean(seen)) / _spread(seen) * _spread(like) + _mean(like)
    return (np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8).T.reshape(side, side, 3)


def _amounts(rng: np.random.Generator) -> tuple[Array, Array]:
    """Mean (2, 1) of nuclei's and cytoplasm's stain in a tile, and what makes their spread of white noise (2, 2)."""
    spread, together = [0.38, 0.20] * np.exp(rng.normal(0, 0.1, 2)), rng.uniform(0, 0.3)
    mean = [0.42, 0.55] * np.exp(rng.normal(0, 0.1, 2))
    return mean[:, None], np.linalg.cholesky(np.outer(spread, spread) * [[1, together], [together, 1]])


def _seen(amounts: Array, colour: Stain) -> Array:
    """The light (3, N) that amounts of both stains (2, N) let through (Beer and Lambert)."""
    density = np.array([colour.haematoxylin, colour.eosin]).T * colour.strength @ np.maximum(amounts, 0)
    return colour.light * np.exp(-density)


def _mean(light: Array) -> Array:
    return light.mean(axis=1, keepdims=True)


def _spread(light: Array) -> Array:
    return light.std(axis=1, keepdims=True)


def _cells(side: int, middles: Array, size: Array, angle: Array) -> Array:
    """Nuclei at (N, 2) x, y, half axes (N, 2), turned by (N,): the darkest at each pixel, [0, 1] (side, side)."""
    reach = int(np.ceil(size.max())) + 1
    window = np.arange(-reach, reach + 1)
    x, y = (np.rint(middles[:, axis]).astype(int)[:, None] + window for axis in (0, 1))             # (N, window)
    dx, dy = (x - middles[:, :1])[:, None, :], (y - middles[:, 1:])[:, :, None]
    c, s = np.cos(angle)[:, None, None], np.sin(angle)[:, None, None]
    away = np.hypot((c * dx + s * dy) / size[:, 0, None, None], (c * dy - s * dx) / size[:, 1, None, None])
    dark = np.clip((1 - away) * size.min(axis=1)[:, None, None] + 0.5, 0, 1)
    canvas = np.zeros((side + 2, side + 2))                                         # what lies outside falls on its rim
    np.maximum.at(canvas, (np.clip(y + 1, 0, side + 1)[:, :, None], np.clip(x + 1, 0, side + 1)[:, None, :]), dark)
    return canvas[1:-1, 1:-1]


def _lattice(side: int, gap: float, rng: np.random.Generator, jitter: float) -> Array:
    """Points about `gap` apart on a hexagonal lattice, each moved by `jitter` gaps; some beyond the border (N, 2)."""
    count = int(side / gap) + 4
    rows, columns = np.mgrid[:count, :count].reshape(2, -1)
    points = np.stack([columns + rows % 2 / 2, rows * 0.87], axis=1) * gap + rng.uniform(-2.0, -1.0, 2) * gap
    points += rng.normal(0, jitter * gap, points.shape)
    return points[(np.abs(points - side / 2) < side / 2 + 0.8 * gap).all(axis=1)]


def _glands(side: int, rng: np.random.Generator) -> Array:
    """Nuclei, and cytoplasm with stroma, of regular glands: (2, side, side)."""
    gap = rng.uniform(16, 25)
    middles = _lattice(side, gap, rng, rng.uniform(0.03, 0.09))
    radius = gap * rng.uniform(0.40, 0.45) * np.exp(rng.normal(0, 0.06, len(middles)))
    stretch, lean = np.exp(rng.normal(0, 0.12)), rng.uniform(0, np.pi)
    at, middles, radius = np.arange(side, dtype=np.float32), np.float32(middles), np.float32(radius)
    dx, dy = at - middles[:, 0, None, None], at[:, None] - middles[:, 1, None, None]
    u, v = np.cos(lean) * dx + np.sin(lean) * dy, np.cos(lean) * dy - np.sin(lean) * dx
    away = (np.hypot(u * stretch, v / stretch) / radius[:, None, None]).min(axis=0)
    body = 0.85 * step((1.06 - away) * 8) * step((away - 0.30) * 6) + 0.65 * step((away - 1.04) * 8)
    body *= 1 + 0.15 * smooth(rng, (side, side), (12, 12))
    between = rng.uniform(-2, side + 2, (rng.integers(4, 14), 2))
    loose = _cells(side, between, np.tile([[2.2, 0.9]], (len(between), 1)), rng.uniform(0, np.pi, len(between)))
    rows = _rows(side, middles, 0.78 * radius, stretch, lean, rng)
    return np.stack([np.maximum(rows, loose * step((away - 1.0) * 6)), body])


def _rows(side: int, middles: Array, radius: Array, stretch: float, lean: float, rng: np.random.Generator) -> Array:
    """The nuclei of glands, side by side at their base (side, side)."""
    count = int(2 * np.pi * radius.mean() / 2.9)
    angle = 2 * np.pi * (np.arange(count) + rng.uniform(size=(len(radius), 1))) / count
    angle += rng.normal(0, 0.05, angle.shape)
    u, v = radius[:, None] * np.cos(angle) / stretch, radius[:, None] * np.sin(angle) * stretch
    c, s = np.cos(lean), np.sin(lean)
    spots = (middles[:, None] + np.stack([c * u - s * v, s * u + c * v], axis=2)).reshape(-1, 2)
    return _cells(side, spots, rng.uniform([1.7, 0.95], [2.3, 1.25], spots.shape), angle.ravel() + lean)


def _sheet(side: int, rng: np.random.Generator) -> Array:
    """Nuclei, and cytoplasm with mucus and clefts, of a solid tumour with lymphocytes: (2, side, side)."""
    pools = smooth(rng, (side, side), (4, 4))
    empty = step((pools - np.quantile(pools, 1 - rng.uniform(0.08, 0.30))) * 5)
    body = (0.78 + 0.20 * smooth(rng, (side, side), (9, 9))) * (1 - 0.85 * empty)
    large = _lattice(side, rng.uniform(5.2, 6.5), rng, 0.22)
    sizes = np.exp(rng.normal(0.62, 0.18, (len(large), 2)))
    tumour = _cells(side, large, sizes, rng.uniform(0, np.pi, len(large)))
    small = rng.uniform(-1, side + 1, (rng.integers(25, 60), 2))
    lymphocytes = _cells(side, small, np.full((len(small), 2), 1.15), np.zeros(len(small)))
    return np.stack([np.maximum(0.75 * tumour * (1 - empty), lymphocytes), body])
