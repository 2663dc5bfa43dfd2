"""A pretext task of shapes and textures: what an embedded network learns first, in the place of ImageNet (ours).

    images, labels = draw(6000, (64, 96), seed=0)       # uint8 (N, H, W), int64 (N,): index into CLASSES

Nothing of it is taken from medicine: ten outlines and patterns, each at any size, place, angle and contrast.
"""

from collections.abc import Callable

import numpy as np

from mdlib.data.phantoms.drawing import Array, log_uniform, smooth, stream

SMALLEST = 4.0      # radius in pixels
LARGEST = 0.48      # radius as a share of the shorter side
TILT = 0.30         # radians, either way: slanted stripes never lie level
AT_ONCE = 250       # images


def _disc(u: Array, v: Array) -> Array:
    return 1 - np.hypot(u, v)


def _ring(u: Array, v: Array) -> Array:
    return 0.22 - np.abs(np.hypot(u, v) - 0.78)


def _square(u: Array, v: Array) -> Array:
    return 0.85 - np.maximum(np.abs(u), np.abs(v))


def _triangle(u: Array, v: Array) -> Array:
    return np.minimum(0.55 - v, 0.5 * v + 0.5 - 0.87 * np.abs(u))


def _cross(u: Array, v: Array) -> Array:
    u, v = np.abs(u), np.abs(v)
    return np.minimum(0.26 - np.minimum(u, v), 0.95 - np.maximum(u, v))


def _stripes(across: Array) -> Array:
    return np.sin(np.float32(7.5) * across) / 7.5


def _level(u: Array, v: Array) -> Array:
    return np.minimum(_stripes(v), _disc(u, v))


def _upright(u: Array, v: Array) -> Array:
    return np.minimum(_stripes(u), _disc(u, v))


def _slanted(u: Array, v: Array) -> Array:
    return np.minimum(_stripes(np.float32(0.707) * (u + v)), _disc(u, v))


def _dots(u: Array, v: Array) -> Array:
    return np.minimum((np.cos(7 * u) + np.cos(7 * v) - 0.9) / 8, _disc(u, v))


def _checker(u: Array, v: Array) -> Array:
    return np.minimum(np.sin(5.5 * u) * np.sin(5.5 * v) / 5.5, _disc(u, v))


# Each tells, from coordinates in units of the radius, how far inside its border a point lies (negative: outside).
SHAPES: dict[str, Callable[[Array, Array], Array]] = {
    "disc": _disc, "ring": _ring, "square": _square, "triangle": _triangle, "cross": _cross, "level stripes": _level,
    "upright stripes": _upright, "slanted stripes": _slanted, "dots": _dots, "checker": _checker}
CLASSES = tuple(SHAPES)


def draw(count: int, shape: tuple[int, int], seed: int) -> tuple[Array, Array]:
    """`count` images uint8 (N, H, W), and the class of each, int64 (N,): index into CLASSES, all equally frequent."""
    labels = stream(seed, "classes").permutation(np.arange(count) % len(CLASSES))
    images = np.empty((count, *shape), np.uint8)
    for start in range(0, count, AT_ONCE):
        part = slice(start, min(start + AT_ONCE, count))
        images[part] = _draw(labels[part], shape, stream(seed, "images", start))
    return images, labels


def _draw(labels: Array, shape: tuple[int, int], rng: np.random.Generator) -> Array:
    inside = _inside(labels, shape, rng)
    contrast = _each(rng.uniform(0.12, 0.55, len(labels)) * rng.choice([-1, 1], len(labels)))
    picture = _background(len(labels), shape, rng) + contrast * inside
    return (np.clip(picture, 0, 1) * np.float32(255) + np.float32(0.5)).astype(np.uint8)


def _inside(labels: Array, shape: tuple[int, int], rng: np.random.Generator) -> Array:
    """The share of each pixel that the shape covers (N, H, W)."""
    (height, width), count = shape, len(labels)
    radius = log_uniform(rng, SMALLEST, LARGEST * min(shape), count)
    room = 0.8 * radius                                             # a fifth of a shape may be cut off
    x, y = rng.uniform(room, width - room), rng.uniform(room, height - room)
    angle, squeeze = rng.uniform(-TILT, TILT, count), np.exp(rng.uniform(-0.2, 0.2, count))
    dx = np.arange(width, dtype=np.float32) - _each(x)
    dy = np.arange(height, dtype=np.float32)[:, None] - _each(y)
    c, s = _each(np.cos(angle) / radius), _each(np.sin(angle) / radius)
    u, v = (c * dx + s * dy) * _each(squeeze), (c * dy - s * dx) / _each(squeeze)
    inside = np.empty((count, *shape), np.float32)
    for k, form in enumerate(SHAPES.values()):
        of_class = labels == k
        inside[of_class] = form(u[of_class], v[of_class])
    return np.clip(inside * _each(radius) + np.float32(0.5), 0, 1)


def _background(count: int, shape: tuple[int, int], rng: np.random.Generator) -> Array:
    """A level, a slope, soft clouds and grain, each of a strength of its own (N, H, W)."""
    def strength(low: float, high: float) -> Array:
        return _each(rng.uniform(low, high, count))

    x, y = np.linspace(-1, 1, shape[1], dtype=np.float32), np.linspace(-1, 1, shape[0], dtype=np.float32)[:, None]
    clouds = smooth(rng, (count, *shape), (max(count - 1, 1), 4, 5))
    grain = rng.standard_normal((count, *shape), dtype=np.float32)
    return (strength(0.25, 0.75) + strength(-0.2, 0.2) * x + strength(-0.2, 0.2) * y
            + strength(0, 0.10) * clouds + strength(0.01, 0.10) * grain)


def _each(values: Array) -> Array:
    """A number for each image, to be spread over its pixels: float32 (N, 1, 1)."""
    return np.asarray(values, np.float32)[:, None, None]
