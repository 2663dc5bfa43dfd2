"""The findings of a phantom mammogram: three malignant, three benign, each with the pixels of what it consists of.

    mark = draw(Finding("spiculated mass", "LEFT", size=0.5, strength=1), rng, Scene(120, 160, tissue, courses))
    mark.change     # (HEIGHT, WIDTH) added to the film; exactly 0 elsewhere
    mark.parts      # {"mass": bool (HEIGHT, WIDTH), "spiculation": …}

A finding draws from a stream of its own and sees the healthy tissue only, so it never moves another one.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import map_coordinates

from mdlib.data.phantoms.drawing import Array, smooth, step
from mdlib.data.phantoms.mammogram_anatomy import X, Y
from mdlib.data.phantoms.mammogram_tissue import Pen


@dataclass(frozen=True)
class Finding:
    """One finding of a patient, to be seen in both views of a breast."""
    kind: str
    side: str
    size: float         # 0 (small) to 1
    strength: float     # 0 (faint) to 1

    @property
    def malignant(self) -> bool:
        return self.kind in MALIGNANT


@dataclass(frozen=True)
class Mark:
    """What a finding adds to a film (HEIGHT, WIDTH), and the pixels of its parts, bool (HEIGHT, WIDTH)."""
    change: Array
    parts: dict[str, Array]


@dataclass(frozen=True)
class Scene:
    """What a finding may look at: where it lies, the healthy tissue (HEIGHT, WIDTH) and the courses of its vessels."""
    x: float
    y: float
    tissue: Array
    courses: list[Array]

    @property
    def away(self) -> Array:
        return np.hypot(X - self.x, Y - self.y)

    @property
    def angle(self) -> Array:
        """Direction from the middle of the finding, 0 to 1."""
        return np.arctan2(Y - self.y, X - self.x) / np.float32(2 * np.pi) + np.float32(0.5)


def spiculated_mass(scene: Scene, rng: np.random.Generator, size: float, strength: float) -> Mark:
    """A dense, irregular core, and straight fine lines that radiate from it."""
    radius = 5.5 + 4 * size
    core = _blob(scene, rng, radius, uneven=0.16, soft=0.55)
    pen, count = Pen(), rng.integers(13, 20)
    for angle in 2 * np.pi * (np.arange(count) + rng.uniform(-0.45, 0.45, count)) / count:
        ray = _ray(scene, angle, rng.normal(0, 0.14), 0.6 * radius, radius * rng.uniform(1.5, 2.8))
        for k in range(4):                                      # they taper
            pen.line(ray[k:k + 2], 1.9 - 0.35 * k, 1 - 0.14 * k)
    spicules = pen.map()
    change = (0.26 + 0.12 * strength) * core + (0.24 + 0.08 * strength) * spicules * (1 - 0.7 * core)
    mass = core > 0.5
    return Mark(change, {"mass": mass, "spiculation": (spicules > 0.3) & ~mass})


def grouped_calcifications(scene: Scene, rng: np.random.Generator, size: float, strength: float) -> Mark:
    """Ten to twenty-two fine, irregular specks of different size, close together; their pixels include a rim of one."""
    pen, wide, spread = Pen(), Pen(), 5 + 3.5 * size
    for _ in range(rng.integers(10, 23)):
        x, y = (scene.x, scene.y) + np.clip(rng.normal(0, 0.55, 2), -1.2, 1.2) * spread * (1.2, 0.9)
        angle, half = rng.uniform(0, np.pi), rng.uniform(0.2, 1.1)
        ends = np.array([-half, half])[:, None] * (np.cos(angle), np.sin(angle)) + (x, y)
        pen.line(ends, rng.uniform(0.9, 1.5), rng.uniform(0.55, 1.0))
        wide.line(ends, 3.5)
    return Mark((0.72 + 0.3 * strength) * pen.map(), {"malignant calcification": wide.map() > 0.5})


def architectural_distortion(scene: Scene, rng: np.random.Generator, size: float, strength: float) -> Mark:
    """Tissue drawn together at a point without a mass, and straight lines that meet there."""
    radius = 17 + 6 * size
    near = step(1.15 * (1 - scene.away / radius))
    pull = 1 + (0.9 + 0.3 * strength) * near
    drawn = map_coordinates(scene.tissue, (scene.y + (Y - scene.y) * pull, scene.x + (X - scene.x) * pull), order=1,
                            mode="nearest")
    pen = Pen()
    for angle in rng.uniform(0, 2 * np.pi, rng.integers(16, 24)):
        first, last = radius * rng.uniform(0.0, 0.45), radius * rng.uniform(0.5, 1.0)
        pen.line(_ray(scene, angle, rng.normal(0, 0.10), first, last), rng.uniform(0.7, 1.3), rng.uniform(0.4, 1.0))
    lines = (0.27 + 0.08 * strength) * pen.map()
    fade = step(1.1 - 0.75 * scene.away / radius)
    return Mark(np.where(near > 0, drawn - scene.tissue, 0) + lines * fade * (near > 0),
                {"architectural distortion": near > 0.1})


def circumscribed_mass(scene: Scene, rng: np.random.Generator, size: float, strength: float) -> Mark:
    """An oval or lobulated mass with a smooth, sharp border and a thin dark rim."""
    radius = 7 + 6 * size
    stretch = rng.uniform(1, 1.3)
    mass = _blob(scene, rng, radius, uneven=0.06, soft=0.30, stretch=stretch)
    rim = np.clip(_blob(scene, rng, radius + 3, uneven=0.0, soft=0.3, stretch=stretch) - 1.6 * mass, 0, 1)
    return Mark((0.27 + 0.13 * strength) * mass - 0.07 * rim, {"mass": mass > 0.5})


def benign_calcifications(scene: Scene, rng: np.random.Generator, size: float, strength: float) -> Mark:
    """One to four large, round calcifications, some with a lucent centre, well apart."""
    pen, count = Pen(), rng.integers(1, 5)
    for angle in 2 * np.pi * (np.arange(count) + rng.uniform(-0.3, 0.3, count)) / count:
        away, radius = (count > 1) * rng.uniform(5, 11), rng.uniform(1.5, 2.3 + 1.2 * size)
        x, y = scene.x + away * np.cos(angle), scene.y + away * np.sin(angle)
        pen.dot(x, y, radius)
        if radius > 2.2 and rng.random() < 0.5:
            pen.dot(x, y, 0.5 * radius, 0.35)
    dots = pen.map()
    return Mark((0.55 + 0.3 * strength) * dots, {"benign calcification": dots > 0.25})


def calcified_vessel(scene: Scene, rng: np.random.Generator, size: float, strength: float) -> Mark:
    """Two broken, parallel lines of calcification along the walls of a vessel."""
    course, pen, wide = scene.courses[0], Pen(), Pen()
    first = int(len(course) * rng.uniform(0.22, 0.30))
    part = course[first:first + 12 + round(8 * size)]
    across = np.gradient(part, axis=0)[:, ::-1] * (-1, 1) / 3
    for wall in (-1.35, 1.35):
        for k in np.flatnonzero(rng.random(len(part) - 1) < 0.82):
            pen.line(part[k:k + 2] + wall * across[k:k + 2], 1.1, rng.uniform(0.6, 1.0))
    wide.line(part, 4.2)
    lines = pen.map()
    return Mark((0.50 + 0.25 * strength) * lines, {"calcified vessel": wide.map() > 0.5})


def _ray(scene: Scene, angle: float, bend: float, first: float, last: float) -> Array:
    """A line of five points (5, 2) from `first` to `last` pixels away from the middle of a finding."""
    r, turn = np.linspace(first, last, 5), angle + bend * np.linspace(0, 1, 5)
    return np.stack([scene.x + r * np.cos(turn), scene.y + r * np.sin(turn)], axis=1)


def _blob(scene: Scene, rng: np.random.Generator, radius: float, uneven: float, soft: float,
          stretch: float = 1.0) -> Array:
    """A closed shape of about `radius` pixels, 1 inside; `soft`: the width of its border as a share of the radius."""
    turn = rng.uniform(0, np.pi)
    u, v = (f * (X - scene.x) + g * (Y - scene.y) for f, g in ((np.cos(turn), np.sin(turn)),
                                                               (-np.sin(turn), np.cos(turn))))
    lumps = smooth(rng, (256,), (9,))
    lumps = lumps * np.sin(np.linspace(0, np.pi, 256)) ** 0.5               # the ends meet
    away = np.hypot(u / stretch, v * stretch) / radius - uneven * lumps[np.clip(scene.angle * 255, 0, 255).astype(int)]
    return step((1 + soft / 2 - away) / np.float32(soft))


KINDS: dict[str, Callable[[Scene, np.random.Generator, float, float], Mark]] = {
    paint.__name__.replace("_", " "): paint for paint in (
        spiculated_mass, grouped_calcifications, architectural_distortion, circumscribed_mass, benign_calcifications,
        calcified_vessel)}
MALIGNANT, BENIGN = tuple(KINDS)[:3], tuple(KINDS)[3:]
# Pixels to be kept free round each; vessels have courses of their own, and calcify there.
RADIUS = dict(zip(KINDS, (20, 10, 20, 13, 12, 12), strict=True))


def draw(finding: Finding, rng: np.random.Generator, scene: Scene) -> Mark:
    """The mark of a finding in one view."""
    return KINDS[finding.kind](scene, rng, finding.size, finding.strength)
