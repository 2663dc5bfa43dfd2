"""The healthy tissue of a phantom breast: fat, glands, ducts, Cooper's ligaments, muscle fibres, vessels, skin."""

from functools import cache

import numpy as np
from PIL import Image, ImageDraw
from scipy.ndimage import map_coordinates

from mdlib.data.phantoms.drawing import Array, smooth, step
from mdlib.data.phantoms.mammogram_anatomy import HEIGHT, SHAPE, WIDTH, Outline, X, Y

THRESHOLD = (0.77, 0.49, 0.22, -0.11)       # of each density from 1 to 4: above it the tissue begins to be glandular
SKIN = 5.5      # pixels: as wide as its shadow at the border, wider than the skin


class Pen:
    """Lines in pixels of the film, drawn three times larger and averaged down."""
    FINE = 3

    def __init__(self):
        self.picture = Image.new("L", (WIDTH * self.FINE, HEIGHT * self.FINE))
        self.draw = ImageDraw.Draw(self.picture)

    def line(self, points: Array, width: float, strength: float = 1.0) -> None:
        """A polyline (N, 2) of columns and rows; the strongest line wins where two cross."""
        points = (np.asarray(points) + 0.5) * self.FINE
        wide = width * self.FINE
        shade = round(255 * min(strength * min(wide, 1.0), 1.0))
        self.draw.line(points.ravel().tolist(), fill=shade, width=max(1, round(wide)))

    def dot(self, x: float, y: float, radius: float, strength: float = 1.0) -> None:
        box = [(value + 0.5) * self.FINE for value in (x - radius, y - radius, x + radius, y + radius)]
        self.draw.ellipse(box, fill=round(255 * strength))

    def map(self) -> Array:
        """What was drawn, 0 to 1 (HEIGHT, WIDTH)."""
        return np.asarray(self.picture.reduce(self.FINE), dtype=np.float32) * np.float32(1 / 255)


@cache
def _frequency(shape: tuple[int, int]) -> Array:
    y, x = np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])[None, :]
    return np.hypot(y, x).astype(np.float32)


def fractal(rng: np.random.Generator, power: float, largest: float, shape: tuple[int, int] = SHAPE) -> Array:
    """Noise of unit spread whose amplitude falls as frequency ** -power, level above `largest` pixels."""
    f = np.maximum(_frequency(shape), np.float32(1 / largest))
    noise = np.fft.irfft2(np.fft.rfft2(rng.standard_normal(shape, dtype=np.float32)) * f ** np.float32(-power), shape)
    return (noise / noise.std()).astype(np.float32)


def towards_nipple(rng: np.random.Generator, outline: Outline, power: float) -> Array:
    """Noise drawn out along the lines that meet at the nipple."""
    shape = (96, 288)
    noise = fractal(rng, power, 60, shape)
    x, y = outline.nipple[0] + 14 - X, Y - outline.nipple[1]
    along = np.hypot(x, y) * np.float32((shape[0] - 1) / 380)
    across = (np.arctan2(y, x) / np.float32(np.pi) + np.float32(0.5)) * (shape[1] - 1)
    return map_coordinates(noise, (along, across), order=1, mode="nearest")


def ridges(noise: Array, width: float) -> Array:
    """Fine lines, 0 to 1, where noise passes through zero."""
    return np.clip(1 - np.abs(noise) / np.float32(width), 0, 1)


def glands(outline: Outline, density: int, rng: np.random.Generator) -> Array:
    """Share of glandular tissue, 0 to 1: a ragged fan behind the nipple, larger the denser the breast."""
    column, row = outline.nipple
    mlo = outline.view == "MLO"
    cx, cy = column * rng.uniform(0.52, 0.62), row - mlo * rng.uniform(12, 34) + rng.normal(0, 8)
    wide, high = column * rng.uniform(0.44, 0.52), rng.uniform(82, 100)
    tilt = np.radians(rng.uniform(15, 35) if mlo else rng.normal(0, 8))
    u = (np.cos(tilt) * (X - cx) + np.sin(tilt) * (Y - cy)) / wide
    v = (np.cos(tilt) * (Y - cy) - np.sin(tilt) * (X - cx)) / high
    place = 1 - u * u - v * v
    ragged = 0.32 * fractal(rng, 1.7, 70) + 0.26 * towards_nipple(rng, outline, 1.6)
    share = step((place + ragged - np.float32(THRESHOLD[density - 1])) / np.float32(0.95))
    return share * step((outline.depth - 12) / 22) * (1 - outline.pectoral)


def texture(outline: Outline, gland: Array, rng: np.random.Generator) -> Array:
    """What fat, glands, ligaments and ducts add to the even thickness, full thickness of fat being 1."""
    clouds, ligaments = fractal(rng, 1.6, 60), ridges(fractal(rng, 2.0, 45), 0.13)
    fine, ducts = ridges(fractal(rng, 1.7, 20), 0.16), ridges(towards_nipple(rng, outline, 1.7), 0.13)
    near = step(1.3 - np.hypot(X - outline.nipple[0], Y - outline.nipple[1]) / 140)
    lines = 0.9 * ligaments + 0.5 * fine + (0.6 + 0.6 * near) * ducts
    fat = 0.03 * clouds + 0.15 * lines * step((1.8 + clouds) / 3.0) * (1.0 + 0.2 * gland)
    within = 0.40 * gland * (1 + 0.13 * clouds + 0.22 * (lines - 0.4))
    return (fat + within) * outline.thickness


def muscle(outline: Outline, rng: np.random.Generator) -> Array:
    """What the pectoral muscle adds: bright towards the corner, with fibres along its edge."""
    if outline.view == "CC":
        return np.float32(0)
    inward = outline.muscle[:, None] - X
    fibres = smooth(rng, (400,), (40,))[np.clip(inward.astype(int) + 40, 0, 399)]
    return outline.pectoral * (0.36 + 0.0016 * np.clip(inward, 0, 120) + 0.022 * fibres)


def vessels(outline: Outline, rng: np.random.Generator) -> tuple[Array, list[Array]]:
    """A map of vessels, 0 to 1, and the courses (N, 2) of the large ones; they wind towards the nipple."""
    pen, courses = Pen(), []
    for number in range(rng.integers(3, 6)):
        below = number % 2 == 1
        top = float(outline.muscle[40]) if outline.view == "MLO" else 0.0
        start = (rng.uniform(4, 22) + top * (not below), rng.uniform(215, 265) if below else rng.uniform(48, 105))
        course = _wind(rng, outline, start, rng.uniform(0.62, 0.86))
        courses.append(course)
        width = rng.uniform(1.5, 2.4)
        pen.line(course, width, rng.uniform(0.75, 1.0))
        for _ in range(rng.integers(1, 3)):
            at = course[rng.integers(len(course) // 4, 3 * len(course) // 4)]
            pen.line(_wind(rng, outline, at, rng.uniform(0.5, 0.8), rng.choice([-0.7, 0.7])), 0.6 * width, 0.8)
    return pen.map() * step((outline.depth - 5) / 6), courses


def _wind(rng: np.random.Generator, outline: Outline, start: Array, reach: float, aside: float = 0.0) -> Array:
    """A winding course from `start` over the share `reach` of the way to the nipple, in steps of 3 pixels."""
    start, goal = np.asarray(start), np.asarray(outline.nipple)
    count = max(int(np.hypot(*(goal - start)) * reach / 3), 8)
    t = np.linspace(0, 1, count)
    angle = np.arctan2(*(goal - start)[::-1]) + aside * (1 - t) + 0.42 * smooth(rng, (count,), (max(count // 9, 1),))
    angle += 0.26 * smooth(rng, (count,), (max(count // 4, 1),))
    return start + 3 * np.cumsum(np.stack([np.cos(angle), np.sin(angle)], axis=1), axis=0)


def skin(outline: Outline) -> Array:
    """What skin and nipple add to the film."""
    rim = step(outline.depth / 1.5) * step((SKIN + 1 - outline.depth) / 3)
    column, row = outline.nipple
    areola = step(1 - np.hypot((X - column) / 16, (Y - row) / 20)) * step(outline.depth / 4)
    return 0.085 * rim + 0.10 * areola * outline.papilla + 0.09 * areola
