"""The healthy thorax of a phantom X-ray: its measures, and the maps its tissues cast on the film.

Lengths are fractions of the image side; x runs from the midline to the image's right (the patient's left), y down.
All maps are optical depths on a canvas a 32nd wider than the film on each side, so that it can be turned.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from PIL import Image, ImageDraw

from mdlib.data.phantoms.drawing import Array, step, stream


def cloud(rng: np.random.Generator, canvas: int, cells: int) -> Array:
    """Smooth noise of unit scale, about `cells` lumps across the canvas (canvas, canvas)."""
    grid = rng.standard_normal((cells, cells), dtype=np.float32)
    return np.asarray(Image.fromarray(grid).resize((canvas, canvas), Image.Resampling.BICUBIC))


@dataclass(frozen=True)
class Body:
    """Measures of one person on one film, in fractions of the image side; angles in degrees."""
    age: float
    female: bool
    supine: bool                # AP: the film behind a lying or sitting patient
    half_width: float           # lung, at its base
    apex: float
    dome: tuple[float, float]   # height of the diaphragm (image left, image right)
    flatness: float             # 0 a healthy dome, 1 flat
    ctr: float                  # heart width over thorax width
    mediastinum: float
    knob: float
    fat: float
    turn: float                 # rotation of the patient: shifts the heart and the spine
    bone: float
    breast: float
    hyperlucency: float = 0.0   # emphysema


def body(seed: int, patient: int, follow_up: int, age: float, sex: str, view: str) -> Body:
    """Draw the measures of a patient, and what differs from film to film (inspiration, turning)."""
    person, film = stream(seed, patient, "body"), stream(seed, patient, follow_up, "pose")
    supine, female, child = view == "AP", sex == "F", min(max((16 - age) / 14, 0.0), 1.0)
    build = person.normal(0, 1, 8).tolist()
    dome = 0.715 + 0.020 * build[0] + film.normal(0, 0.012) - 0.035 * supine - 0.03 * child
    ctr = 0.425 + 0.022 * build[1] + 0.022 * supine + 0.03 * child + 0.0004 * (age - 45) + film.normal(0, 0.008)
    breast = (0.16 if female else 0.03) * (age > 13) * np.exp(0.5 * build[2])
    return Body(
        age=age, female=female, supine=supine,
        half_width=0.352 + 0.014 * build[3] - 0.008 * female - 0.008 * supine,
        apex=0.105 + 0.012 * build[4] + 0.03 * supine + 0.0004 * max(age - 50, 0),
        dome=(dome, dome + person.uniform(0.012, 0.04)), flatness=0.0, ctr=float(np.clip(ctr, 0.33, 0.485)),
        mediastinum=0.050 + 0.004 * build[5] + 0.010 * supine, knob=0.018 + 0.0004 * min(max(age - 20, 0), 60),
        fat=float(np.clip(0.085 + 0.03 * build[6], 0.035, 0.16)), turn=film.normal(0, 0.010 + 0.006 * supine),
        bone=float(np.exp(0.2 * build[7])) * (1 - 0.25 * child), breast=float(breast))


@dataclass(frozen=True)
class Grid:
    """Where the pixels of the canvas lie in the body: x (1, n), y (n, 1)."""
    side: int
    zoom: float
    shift: tuple[float, float]

    @property
    def margin(self) -> int:
        return self.side // 32

    @property
    def n(self) -> int:
        return self.side + 2 * self.margin

    @cached_property
    def x(self) -> Array:
        return ((self._axis - 0.5 - self.shift[0]) / self.zoom)[None, :]

    @cached_property
    def y(self) -> Array:
        return ((self._axis - 0.5 - self.shift[1]) / self.zoom + 0.5)[:, None]

    @property
    def _axis(self) -> Array:
        return ((np.arange(self.n, dtype=np.float32) + np.float32(0.5 - self.margin)) / self.side)

    @property
    def pixel(self) -> float:
        return 1 / (self.side * self.zoom)

    def edge(self, distance: Array, soft: float) -> Array:
        """1 where distance > 0, 0 where < 0, over a border `soft` wide but never sharper than the pixels."""
        soft = max(soft, 1.5 * self.pixel)
        return step(distance * np.float32(1 / soft) + np.float32(0.5))

    def pen(self, fine: int = 2) -> "Pen":
        return Pen(self, fine)


class Pen:
    """Lines and polygons in body coordinates, drawn `fine` times larger and averaged down."""

    def __init__(self, grid: Grid, fine: int):
        self.grid, self.fine, self.scale = grid, fine, grid.side * grid.zoom * fine
        self.picture = Image.new("L", (grid.n * fine, grid.n * fine))
        self.draw = ImageDraw.Draw(self.picture)
        self.x0 = (grid.margin + grid.side * (0.5 + grid.shift[0])) * fine
        self.y0 = (grid.margin + grid.side * (0.5 + grid.shift[1])) * fine - 0.5 * self.scale

    def points(self, points: Array) -> list:
        """Points (..., N, 2) of the body as flat lists of pixels, as Pillow wants them."""
        points = np.asarray(points) * self.scale + [self.x0, self.y0]
        return points.reshape(*points.shape[:-2], -1).tolist()

    def lines(self, paths: Array, width: float, strength: float) -> None:
        """Each of the paths (N, M, 2); what is thinner than a pixel is drawn one pixel wide and fainter."""
        wide = width * self.scale
        shade = int(255 * min(strength * min(wide, 1.0), 1.0))
        for points in self.points(paths):
            self.draw.line(points, fill=shade, width=max(1, round(wide)), joint="curve" if wide > 5 else None)

    def line(self, points: Array, width: float, strength: float) -> None:
        self.lines(points[None], width, strength)

    def polygon(self, points: Array, strength: float) -> None:
        self.draw.polygon(self.points(points), fill=int(255 * strength))

    def map(self) -> Array:
        """What was drawn, in [0, 1] (n, n)."""
        return np.asarray(self.picture.reduce(self.fine), dtype=np.float32) * np.float32(1 / 255)


def lateral(b: Body, y: Array) -> Array:
    """Distance of the inner chest wall from the midline at height y."""
    t = np.clip((y - b.apex) / (0.86 - b.apex), 0, 1)
    return 0.13 + (b.half_width - 0.13) * (1 - (1 - t) ** 2.6) ** 0.52 - 0.02 * step((y - 0.80) / 0.25)


def medial(b: Body, y: Array) -> tuple[Array, Array]:
    """Distance of the mediastinal border from the midline at height y, (image left, image right)."""
    heart, low = 2 * b.half_width * b.ctr, sum(b.dome) / 2
    top = 0.055 * step((b.apex + 0.10 - y) / 0.12)
    bulge = np.exp(-((y - low + 0.045) / np.where(y < low - 0.045, np.float32(0.165), np.float32(0.14))) ** 2)
    atrium = np.exp(-((y - low + 0.10) / 0.125) ** 2)
    knob = b.knob * np.exp(-((y - 0.315) / 0.042) ** 2)
    trunk = 0.014 * np.exp(-((y - 0.41) / 0.05) ** 2)
    right = b.mediastinum + top + (0.315 * heart - b.mediastinum) * atrium - b.turn
    left = b.mediastinum + top + knob + trunk + (0.685 * heart - b.mediastinum) * bulge + b.turn
    return right, left


def diaphragm(b: Body, x: Array) -> Array:
    """Height of the diaphragm at x: a dome that falls to the costophrenic angle."""
    out = np.minimum(np.abs(x) / b.half_width, 1.03)
    fall = 0.030 * ((out - 0.42) / 0.42) ** 2 + 0.085 * np.clip((out - 0.45) / 0.55, 0, None) ** 3
    domes = b.dome[0] + (b.dome[1] - b.dome[0]) * step((x + 0.06) / 0.12)
    return domes + np.float32(1 - 0.75 * b.flatness) * fall


def lung_field(b: Body, grid: Grid) -> Array:
    """How much lung a ray meets, [0, 1] (n, n): full in the open lung, a rest behind heart and diaphragm."""
    x, y, wide = grid.x, grid.y, np.abs(grid.x)
    wall = grid.edge(lateral(b, y) - wide, 0.022)
    apex = grid.edge(y - b.apex - 1.6 * (wide - 0.14) ** 2, 0.03)
    base = grid.edge(diaphragm(b, x) - y, 0.014)
    border = np.where(x < 0, *medial(b, y))
    centre = grid.edge(wide - border, 0.016)
    return wall * apex * base * (np.float32(0.10) + np.float32(0.90) * centre)


def heart(b: Body, grid: Grid) -> Array:
    """Opacity of mediastinum and heart (n, n), thicker towards the middle."""
    x, y = grid.x, grid.y
    border = np.where(x < 0, *medial(b, y))
    depth = np.clip(1 - np.abs(x) / (border + np.float32(0.02)), 0, 1)
    return np.float32(0.62) * np.sqrt(depth) * (0.25 + 0.75 * step((y - b.apex + 0.04) / 0.22))


def abdomen(b: Body, grid: Grid) -> Array:
    """Opacity below the diaphragm (n, n); beside the lungs it sets in gradually, in the chest wall."""
    beyond = lateral(b, grid.y) + 0.05 - np.abs(grid.x)
    soft = np.float32(0.03) + np.float32(0.30) * step((np.abs(grid.x) - b.half_width + 0.03) / 0.05)
    return np.float32(0.62) * grid.edge(beyond, 0.24) * step((grid.y - diaphragm(b, grid.x)) / soft + np.float32(0.5))
