"""What findings do not move: soft tissue, bones, vessels, wires and letters of a phantom X-ray."""

import numpy as np
from scipy.ndimage import gaussian_filter

from mdlib.data.phantoms.chest_anatomy import Body, Grid, lateral
from mdlib.data.phantoms.drawing import Array, step


def tissue(b: Body, grid: Grid, rng: np.random.Generator) -> Array:
    """Soft tissue of neck, shoulders, arms, trunk and breasts (n, n)."""
    y, wide = grid.y, np.abs(grid.x)
    neck, slope = rng.uniform(0.11, 0.15), rng.uniform(0.11, 0.17)
    trunk = lateral(b, np.maximum(y, 0.30)) + b.fat + 0.02 * step((y - 0.6) / 0.4)
    shoulders = neck + (0.62 - neck) * step((y + 0.09) / slope / 1.9)
    half = np.where(y < 0.30, shoulders, trunk + (shoulders - trunk) * step((0.36 - y) / 0.06))
    depth = np.sqrt(np.clip(1 - (wide / (half + 0.01)) ** 2, 0, 1)) * (0.80 + 0.20 * step((y - 0.02) / 0.25))
    lean, gap = rng.uniform(0.10, 0.55), rng.uniform(0.01, 0.06)
    inner = trunk + gap + lean * np.clip(y - 0.34, 0, 1) - 0.10 * step((0.42 - y) / 0.12)
    arm = grid.edge(wide - inner, 0.03) * grid.edge(y - 0.16, 0.10)
    whole = np.maximum(depth, np.float32(0.72) * arm)
    return whole + _breasts(b, grid, rng)


def _breasts(b: Body, grid: Grid, rng: np.random.Generator) -> Array | np.float32:
    if b.breast < 0.01:
        return np.float32(0)
    low, radius = rng.uniform(0.66, 0.78), rng.uniform(0.13, 0.18)
    across = (np.abs(grid.x) - rng.uniform(0.19, 0.23)) / radius
    down = (grid.y - low + radius) / np.where(grid.y < low - radius, np.float32(1.6 * radius), np.float32(radius))
    return np.float32(b.breast) * np.sqrt(np.clip(1 - across ** 2 - down ** 2, 0, 1))


def bones(b: Body, grid: Grid, rng: np.random.Generator) -> Array:
    """Ribs, clavicles, scapulae, humeri and spine (n, n)."""
    return np.float32(b.bone) * (_ribs(b, grid, rng) + _clavicles(b, grid, rng) + _spine(b, grid, rng)
                                 + _scapulae(b, grid, rng))


def _bars(phase: Array, share: float, cortex: float) -> Array:
    """A rib for each whole number of `phase`, `share` of the spacing wide, its edges brighter by `cortex`."""
    off = np.abs(phase - np.rint(phase)) * np.float32(2 / share)
    return step((1.15 - off) * np.float32(3)) * (np.float32(1 - cortex) + np.float32(cortex) * np.minimum(off, 1) ** 2)


def _ribs(b: Body, grid: Grid, rng: np.random.Generator) -> Array:
    y, wide = grid.y, np.abs(grid.x)
    spacing = np.float32((0.86 - b.apex) * rng.uniform(0.094, 0.106))
    kyphosis = min(max((b.age - 60) / 100, 0.0), 0.3)
    steep = np.float32(rng.uniform(0.75, 1.1) + kyphosis) * (1.9 - 1.3 * y) - 0.25 * b.supine
    drop = (np.clip(wide - 0.10, 0, 1) ** 2 * 2.0 + 0.25 * np.clip(0.10 - wide, 0, 1))
    start = np.float32(b.apex + rng.uniform(-0.02, 0.02))
    back = _bars((y - start - drop * steep) / spacing, 0.36, 0.45)
    slope = np.float32(rng.uniform(0.42, 0.60))
    front = _bars((y - start + slope * (wide - 0.36) - 0.25 * spacing) / spacing, 0.40, 0.3)
    cage = grid.edge(lateral(b, y) + 0.025 - wide, 0.03) * grid.edge(y - b.apex + 0.01, 0.05)
    low = 1 - 0.75 * step((y - 0.72) / 0.2)
    return cage * low * (np.float32(0.17) * back
                                            + np.float32(0.085) * front * step((wide - 0.12) / 0.08))


def _clavicles(b: Body, grid: Grid, rng: np.random.Generator) -> Array:
    wide, height = np.abs(grid.x), b.apex + rng.uniform(0.035, 0.075) - 0.03 * b.supine
    rise, wave = rng.uniform(0.15, 0.38), rng.uniform(0.006, 0.016)
    middle = height + 0.03 - rise * (wide - 0.05) + wave * np.sin((wide - 0.05) * 17)
    middle = middle + 0.35 * np.clip(wide - 0.26, 0, 1)
    thick = 0.011 + 0.010 * step((0.10 - wide) / 0.06) + 0.004 * step((wide - 0.25) / 0.1)
    off = np.abs(grid.y - middle) / thick
    band = step((1.25 - off) * 2.5) * (0.62 + 0.38 * np.minimum(off, 1) ** 2)
    return np.float32(0.26) * band * step((wide - 0.035) / 0.02) * step((0.42 - wide) / 0.03)


def _spine(b: Body, grid: Grid, rng: np.random.Generator) -> Array:
    y, curve = grid.y, rng.normal(0, 0.006) * (1 + max(b.age - 55, 0) / 30)
    off = np.abs(grid.x - (b.turn * 0.4 + curve * np.sin(grid.y * 6)))
    height = 0.058 + 0.018 * y
    disc = np.abs((y / height + rng.uniform(0, 1)) % 1 - 0.5)
    body = 0.13 + 0.07 * step((0.42 - disc) / 0.08)
    trachea = step((0.021 - off) / 0.010) * step((0.40 - y) / 0.05) * np.float32(0.26)
    process = step((0.007 - off) / 0.006) * step((0.25 - disc) / 0.1) * 0.06
    column = body * grid.edge(np.float32(0.040) - off, 0.014)
    return column + process - trachea


def _scapulae(b: Body, grid: Grid, rng: np.random.Generator) -> Array:
    pen, inward = grid.pen(1), rng.uniform(0.29, 0.34) if b.supine else rng.uniform(0.335, 0.385)
    for side in (-1, 1):
        top, tip = b.apex + rng.uniform(0.02, 0.06), rng.uniform(0.46, 0.54)
        blade = np.array([[inward, top + 0.05], [inward + 0.04, top], [0.44, top + 0.02], [0.47, top + 0.09],
                          [0.42, top + 0.14], [inward + 0.05, tip], [inward + 0.015, tip - 0.02]])
        pen.polygon(blade * [side, 1], 0.30)
        pen.line(blade[[2, 3, 4, 5, 6, 0]] * [side, 1], 0.008, 0.60)
        pen.line(np.array([[0.28, top - 0.01], [0.42, top - 0.035], [0.47, top]]) * [side, 1], 0.020, 0.45)
        lean = rng.uniform(0.0, 0.10)
        pen.line(np.array([[0.50, top + 0.06], [0.53 + lean, 0.55]]) * [side, 1], 0.055, 0.75)
        pen.line(np.array([[0.475, top + 0.045], [0.505, top + 0.065]]) * [side, 1], 0.075, 0.75)
    return np.float32(0.26) * gaussian_filter(pen.map(), 0.005 * grid.side, truncate=2)


def vessels(b: Body, grid: Grid, rng: np.random.Generator) -> Array:
    """Vascular markings fanning from the two hila, thinner and fainter outwards, [0, 1] (n, n)."""
    pen, roots = grid.pen(), 12
    side = np.repeat([-1.0, 1.0], roots)
    hilum = np.stack([side * (0.088 + 0.006 * (side > 0)), 0.425 - 0.02 * (side > 0)], 1)
    angle = np.radians(np.tile(np.linspace(-80, 82, roots), 2) + rng.normal(0, 6, 2 * roots))
    start, width, levels = hilum + rng.normal(0, 0.012, hilum.shape), 0.0085, []
    for strength, twigs in ((0.95, 2), (0.72, 2), (0.56, 1), (0.44, 1)):
        paths, angle = _grow(start, angle, side, rng)
        levels.append((paths, width, strength))
        fork = np.array([1.0, -1.0]) * rng.uniform([0.05, 0.15], [0.4, 0.6], (len(angle), 2))
        start, side = np.repeat(paths[:, -1], twigs, 0), np.repeat(side, twigs)
        angle = (angle[:, None] + fork)[:, :twigs].ravel()
        width *= 0.68
    for paths, wide, strength in reversed(levels):
        pen.lines(paths, wide, strength)
    hila = sum(np.exp(-((grid.x - at * 0.088) / 0.026) ** 2 - ((grid.y - 0.425 + 0.02 * (at > 0)) / 0.055) ** 2)
               for at in (-1, 1))
    return (pen.map() + np.float32(0.9) * hila)


def _grow(start: Array, angle: Array, side: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """Winding paths (N, 5, 2) from `start` (N, 2), and the directions (N,) in which they end."""
    bends = angle[:, None] + np.cumsum(rng.normal(0, 0.14, (len(angle), 4)), 1)
    length = rng.uniform(0.020, 0.034, (len(angle), 1))
    steps = np.stack([side[:, None] * np.cos(bends) * length, np.sin(bends) * length], 2)
    return np.concatenate([start[:, None], start[:, None] + np.cumsum(steps, 1)], 1), bends[:, -1]


def gas(b: Body, grid: Grid, rng: np.random.Generator) -> Array:
    """Air in the stomach under the left dome (n, n), to be subtracted."""
    size, x0 = rng.uniform(0.03, 0.075), rng.uniform(0.12, 0.22)
    y0 = max(b.dome) + 0.03 + 0.75 * size
    away = ((grid.x - x0) / (1.3 * size)) ** 2 + ((grid.y - y0) / (0.75 * size)) ** 2
    return np.float32(rng.uniform(0.1, 0.55)) * step((1.1 - away) * 2.5)


def hardware(b: Body, grid: Grid, rng: np.random.Generator) -> Array:
    """The side letter, and on AP films often wires, electrodes or a catheter (n, n)."""
    pen, side = grid.pen(), 1 if rng.random() < 0.8 else -1
    x0, y0, size = side * rng.uniform(0.40, 0.45), rng.uniform(0.03, 0.13), rng.uniform(0.012, 0.020)
    letter = [[-1, -1.5], [-1, 1.5], [1, 1.5]] if side > 0 else [
        [-1, 1.5], [-1, -1.5], [0.8, -1.4], [0.8, 0], [-1, 0.1], [0.9, 1.5]]
    pen.line(np.array(letter) * size + [x0, y0], 0.007, 1.0)
    if b.supine and rng.random() < 0.7:
        for _ in range(rng.integers(1, 5)):
            spot = np.array([rng.uniform(-0.34, 0.34), rng.uniform(0.2, 0.8)])
            out = np.array([np.sign(spot[0]) * 0.6, rng.uniform(0.2, 1.0)])
            t, sag = np.linspace(0, 1, 12)[:, None], rng.normal(0, 0.06)
            pen.line(spot + (out - spot) * t + [0, sag] * np.sin(np.pi * t), 0.0035, 0.7)
            pen.polygon(spot + 0.011 * np.stack([np.cos(t[:, 0] * 6.3), np.sin(t[:, 0] * 6.3)], 1), 0.8)
    if b.supine and rng.random() < 0.35:
        x1 = -rng.uniform(0.02, 0.05)
        pen.line(np.array([[-0.3, 0.10], [-0.2, 0.15], [-0.09, 0.18], [x1, 0.24], [x1 - 0.005, 0.45]]), 0.005, 0.6)
    return np.float32(0.7) * pen.map()
