"""The fourteen findings of a phantom X-ray: where each occurs, and what it does to the film.

REFORM changes the body's measures (a wide heart, flat domes); PAINT lays something over the healthy maps. A finding
draws all it needs from a stream of its own and looks only at the healthy body, so it never moves another finding.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from mdlib.data.phantoms.chest_anatomy import Body, Grid, cloud, diaphragm, lateral
from mdlib.data.phantoms.drawing import Array, step


@dataclass(frozen=True)
class Change:
    """What a finding lays over the healthy film: factors on air and on vessels, and opacity to be added (n, n)."""
    air: Array | float = 1.0
    vessels: Array | float = 1.0
    opacity: Array | float = 0.0

    def denser(self, factor: float) -> "Change":
        """The same change with `factor` times the opacity."""
        return replace(self, opacity=self.opacity * np.float32(factor))


@dataclass(frozen=True)
class Scene:
    """What a finding may look at: the healthy body, its grid and its lungs (n, n)."""
    body: Body
    grid: Grid
    lungs: Array


def _side(rng: np.random.Generator) -> int:
    return -1 if rng.random() < 0.55 else 1


def _place(scene: Scene, rng: np.random.Generator, top: float, bottom: float, side: int) -> tuple[float, float]:
    """A point of the open lung, between the shares `top` and `bottom` of its height."""
    b = scene.body
    y = b.apex + (max(b.dome) - b.apex) * rng.uniform(top, bottom)
    inner, outer = 0.135, float(lateral(b, np.float32(y))) - 0.065
    return side * (inner + (outer - inner) * rng.random()), y


def _blob(scene: Scene, x: float, y: float, wide: float, high: float, hard: float, ragged: Array | float = 0) -> Array:
    """An ellipse with a border: 1 inside, 0 outside, `hard` from 0 (fading) to 1 (sharp)."""
    grid = scene.grid
    away = np.sqrt(((grid.x - x) / wide) ** 2 + ((grid.y - y) / high) ** 2) + ragged
    soft = max(1.1 * (1 - hard), 1.5 * grid.pixel / wide)
    return step((1 + 0.5 * soft - away) * np.float32(1 / soft)).astype(np.float32)


# -- findings that change the body's measures

def cardiomegaly(b: Body, rng: np.random.Generator) -> Body:
    """A heart wider than half the thorax."""
    return replace(b, ctr=rng.uniform(0.56, 0.70))


def emphysema(b: Body, rng: np.random.Generator) -> Body:
    """Lungs blown up: low flat domes, a wider chest, black lung."""
    low = rng.uniform(0.035, 0.065)
    return replace(b, dome=(b.dome[0] + low, b.dome[1] + low), flatness=rng.uniform(0.75, 1.0),
                   half_width=b.half_width + rng.uniform(0.006, 0.016), hyperlucency=rng.uniform(0.6, 1.0))


def atelectasis(b: Body, rng: np.random.Generator) -> Body:
    """Volume loss: the dome of the sick side stands higher."""
    side, rise = _side(rng), rng.uniform(0.030, 0.060)
    return replace(b, dome=(b.dome[0] - rise * (side < 0), b.dome[1] - rise * (side > 0)))


# -- findings that lie over the healthy maps

def plates(scene: Scene, rng: np.random.Generator) -> Change:
    """Atelectasis: plates of airless lung above the raised dome."""
    b, grid, side = scene.body, scene.grid, _side(rng)
    dome, opacity = b.dome[0 if side < 0 else 1], np.float32(0)
    for i in range(rng.integers(2, 4)):
        x0, y0 = side * rng.uniform(0.17, 0.25), dome - 0.07 - 0.055 * i - rng.uniform(0, 0.03)
        tilt, half, thick = rng.normal(0, 0.22), rng.uniform(0.08, 0.13), rng.uniform(0.011, 0.020)
        along = (grid.x - x0) + tilt * (grid.y - y0)
        off = grid.y - y0 - tilt * (grid.x - x0) + 1.2 * along ** 2
        plate = step(1.4 - np.abs(off) / thick) * step((half - np.abs(along)) / 0.03)
        opacity = np.maximum(opacity, np.float32(rng.uniform(0.45, 0.65)) * plate)
    return Change(opacity=opacity * scene.lungs)


def wasting(scene: Scene, rng: np.random.Generator) -> Change:
    """Emphysema: vessels thinned out."""
    return Change(vessels=rng.uniform(0.25, 0.5))


def effusion(scene: Scene, rng: np.random.Generator) -> Change:
    """Effusion: fluid up to a meniscus that climbs the lateral wall; one side or both."""
    b, grid, first, both = scene.body, scene.grid, _side(rng), rng.random() < 0.35
    fluid = np.zeros((1, 1), np.float32)
    for side in (first, -first)[:1 + both]:
        level = b.dome[0 if side < 0 else 1] + 0.055 - rng.uniform(0.02, 0.18) * rng.uniform(0.5, 1.0)
        out = np.clip((grid.x * side - 0.10) / (b.half_width - 0.10), 0, 1.1)
        surface = level - rng.uniform(0.09, 0.14) * out ** 3
        fluid = np.maximum(fluid, grid.edge(grid.y - surface, 0.035) * step(grid.x * side / 0.02 - 1))
    return Change(air=1 - np.float32(0.93) * fluid, opacity=np.float32(0.10) * fluid * scene.lungs)


def hernia(scene: Scene, rng: np.random.Generator) -> Change:
    """Hernia: the stomach behind the heart, round, with an air-fluid level."""
    b, radius = scene.body, rng.uniform(0.080, 0.115)
    x, y = rng.uniform(-0.01, 0.055), sum(b.dome) / 2 - 0.25 * radius - rng.uniform(0.0, 0.03)
    inside = _blob(scene, x, y, 1.15 * radius, radius, 0.9)
    core = _blob(scene, x, y, 0.97 * radius, 0.82 * radius, 0.85)
    level = y - radius * rng.uniform(-0.15, 0.25)
    above = core * scene.grid.edge(level - scene.grid.y, 0.006)
    return Change(opacity=np.float32(0.50) * inside - np.float32(rng.uniform(1.0, 1.4)) * above)


def infiltration(scene: Scene, rng: np.random.Generator) -> Change:
    """Infiltration: several ill-defined patches, mostly in the mid and lower zones."""
    side, ragged = _side(rng), 0.32 * cloud(rng, scene.grid.n, 22)
    opacity = np.zeros((1, 1), np.float32)
    for i in range(rng.integers(3, 6)):
        x, y = _place(scene, rng, 0.35, 0.92, side if i % 3 else -side)
        size = rng.uniform(0.045, 0.085)
        opacity = np.maximum(opacity, rng.uniform(0.22, 0.36) * _blob(scene, x, y, size, size, 0.25, ragged))
    return Change(opacity=opacity * scene.lungs * step(1.6 + 1.4 * ragged))


def mass(scene: Scene, rng: np.random.Generator) -> Change:
    """Mass: one round opacity of more than 3 cm (0.085 of the side), slightly lobed."""
    radius, ragged = rng.uniform(0.050, 0.085), 0.06 * cloud(rng, scene.grid.n, 12)
    x, y = _place(scene, rng, 0.15, 0.85, _side(rng))
    blob = _blob(scene, x, y, radius, radius * rng.uniform(0.85, 1.15), 0.85, ragged)
    return Change(opacity=np.float32(rng.uniform(0.48, 0.72)) * blob * np.sqrt(scene.lungs))


def nodule(scene: Scene, rng: np.random.Generator) -> Change:
    """Nodule: one to three round opacities of less than 3 cm."""
    opacity = np.zeros((1, 1), np.float32)
    for _ in range(rng.choice([1, 2, 3], p=[0.4, 0.35, 0.25])):
        x, y = _place(scene, rng, 0.12, 0.9, _side(rng))
        radius = rng.uniform(0.026, 0.039)
        opacity = np.maximum(opacity, np.float32(rng.uniform(0.50, 0.70)) * _blob(scene, x, y, radius, radius, 0.8))
    return Change(opacity=opacity * np.sqrt(scene.lungs))


def pneumothorax(scene: Scene, rng: np.random.Generator) -> Change:
    """Pneumothorax: black rim without vessels above and beside a shrunken lung with a fine white edge."""
    b, grid, side = scene.body, scene.grid, _side(rng)
    left, shrink = 0.11 * side, rng.uniform(0.56, 0.80)
    x, y = left + (grid.x - left) / shrink, 0.56 + (grid.y - 0.56) / (shrink + 0.05)
    half = step(grid.x * side / 0.02 - 1)
    gap = np.minimum(lateral(b, y) - np.abs(x), y - b.apex - 1.6 * (np.abs(x) - 0.14) ** 2)
    outside = grid.edge(-gap, 0.012) * step((0.80 - grid.y) / 0.25) * half
    line = step(1.3 - np.abs(gap) / np.float32(0.008)) * step((0.80 - grid.y) / 0.15) * half
    return Change(air=1 + np.float32(0.28) * outside, vessels=1 - outside,
                  opacity=(np.float32(0.24) * line - np.float32(0.10) * outside) * scene.lungs)


def pleural_thickening(scene: Scene, rng: np.random.Generator) -> Change:
    """Pleural_Thickening: a band along the lateral wall, and often a cap on the apex."""
    b, grid, side = scene.body, scene.grid, _side(rng)
    half = step(grid.x * side / 0.02 - 1)
    if rng.random() < 0.3:
        half = np.ones_like(half)
    rough = 1 + 0.35 * cloud(rng, grid.n, 14)
    depth = lateral(b, grid.y) - np.abs(grid.x)
    thick, middle, reach = rng.uniform(0.032, 0.052), rng.uniform(0.40, 0.62), rng.uniform(0.15, 0.26)
    extent = step((reach - np.abs(grid.y - middle)) / 0.08).astype(np.float32)
    band = grid.edge(thick * extent * rough - depth, 0.010) * (extent > 0)
    if rng.random() < 0.6:
        top = grid.y - b.apex - 1.6 * (np.abs(grid.x) - 0.14) ** 2
        band = np.maximum(band, grid.edge(rng.uniform(0.035, 0.055) * rough - top, 0.010))
    return Change(opacity=np.float32(rng.uniform(0.58, 0.76)) * band * half * np.sqrt(scene.lungs))


def pneumonia(scene: Scene, rng: np.random.Generator) -> Change:
    """Pneumonia: one patchy lobe with air-filled bronchi in it."""
    side, ragged = _side(rng), 0.20 * cloud(rng, scene.grid.n, 16)
    x, y = _place(scene, rng, 0.35, 0.88, side)
    wide, high = rng.uniform(0.085, 0.125), rng.uniform(0.085, 0.125)
    patch = _blob(scene, x, y, wide, high, 0.45, ragged)
    pen = scene.grid.pen()
    for angle in np.radians([-50, -15, 20, 55]) + rng.normal(0, 0.15, 4):
        tip = np.array([x + 1.1 * side * wide * np.cos(angle), y + 1.1 * high * np.sin(angle)])
        root = np.array([x - side * 0.9 * wide, y - 0.25 * high])
        pen.line(np.stack([root, (root + tip) / 2 + rng.normal(0, 0.006, 2), tip]), 0.0085, 1.0)
    tubes = 1 - np.float32(0.75) * pen.map()
    return Change(opacity=np.float32(rng.uniform(0.46, 0.60)) * patch * tubes * scene.lungs, vessels=1 - 0.7 * patch)


def fibrosis(scene: Scene, rng: np.random.Generator) -> Change:
    """Fibrosis: a net of fine lines at the bases and along the wall."""
    b, grid = scene.body, scene.grid
    net = sum(share * np.maximum(1 - 3.2 * np.abs(cloud(rng, grid.n, cells)), 0)
              for share, cells in ((1, 46), (0.7, 30)))
    depth = lateral(b, grid.y) - np.abs(grid.x)
    low = step((grid.y - (diaphragm(b, grid.x) - rng.uniform(0.20, 0.30))) / 0.16)
    rim = step((rng.uniform(0.09, 0.14) - depth) / 0.06) * step((grid.y - rng.uniform(0.25, 0.4)) / 0.1)
    where = np.maximum(low, 0.9 * rim).astype(np.float32)
    return Change(opacity=np.float32(rng.uniform(0.52, 0.72)) * where * net * scene.lungs)


def edema(scene: Scene, rng: np.random.Generator) -> Change:
    """Edema: bat wings about both hila, and Kerley's short lines at the lateral bases."""
    b, grid, ragged = scene.body, scene.grid, 0.16 * cloud(rng, scene.grid.n, 26)
    wide, high, density = rng.uniform(0.13, 0.18), rng.uniform(0.17, 0.23), rng.uniform(0.36, 0.54)
    wings = sum(_blob(scene, side * 0.13, 0.47, wide, high, 0.25, ragged) for side in (-1, 1))
    pen = grid.pen()
    for side in (-1, 1):
        for y in max(b.dome) - 0.01 - np.arange(7) * 0.022:
            wall = float(lateral(b, np.float32(y))) - 0.012
            pen.line(np.array([[side * wall, y], [side * (wall - 0.045), y + 0.006]]), 0.0045, 0.9)
    return Change(opacity=(np.float32(density) * wings + np.float32(0.24) * pen.map()) * scene.lungs)


def consolidation(scene: Scene, rng: np.random.Generator) -> Change:
    """Consolidation: a lobe filled evenly, cut off sharply at a fissure."""
    grid, side = scene.grid, _side(rng)
    fissure = rng.uniform(0.40, 0.50) + rng.uniform(-0.06, 0.22) * (np.abs(grid.x) - 0.1)
    upper = rng.random() < 0.5
    span = rng.uniform(0.15, 0.21)
    below = grid.y - fissure
    lobe = grid.edge(-below, 0.008) * step((span + below) / 0.05) if upper else \
        grid.edge(below, 0.008) * step((span - below) / 0.05)
    lobe = (lobe * step(grid.x * side / 0.03 - 1.5)).astype(np.float32)
    return Change(opacity=np.float32(rng.uniform(0.46, 0.62)) * lobe * scene.lungs, vessels=1 - lobe)


REFORM: dict[str, Callable[[Body, np.random.Generator], Body]] = {
    "Cardiomegaly": cardiomegaly, "Emphysema": emphysema, "Atelectasis": atelectasis}
PAINT: dict[str, Callable[[Scene, np.random.Generator], Change]] = {
    "Emphysema": wasting, "Effusion": effusion, "Hernia": hernia, "Infiltration": infiltration, "Mass": mass,
    "Nodule": nodule, "Atelectasis": plates, "Pneumothorax": pneumothorax, "Pleural_Thickening": pleural_thickening,
    "Pneumonia": pneumonia, "Fibrosis": fibrosis, "Edema": edema, "Consolidation": consolidation}
