"""What every phantom is drawn with: streams of random numbers, smooth steps, smooth noise."""

import zlib

import numpy as np

Array = np.ndarray


def stream(seed: int, *key: int | str) -> np.random.Generator:
    """A generator of its own for each key: leaving one element out moves no other."""
    numbers = [zlib.crc32(part.encode()) if isinstance(part, str) else part for part in key]
    return np.random.default_rng(np.random.SeedSequence([seed, *numbers]))


def step(t: Array) -> Array:
    """0 up to t = 0, 1 from t = 1, smooth between; exactly 0 and 1 outside, so that a change has an end."""
    t = np.clip(np.asarray(t, np.float32), 0, 1)
    curve = 3 - 2 * t
    curve *= t
    curve *= t
    return curve


def smooth(rng: np.random.Generator, shape: tuple[int, ...], cells: tuple[int, ...]) -> Array:
    """Smooth noise of about unit scale, `cells` lumps along each axis of `shape`."""
    field = rng.standard_normal([count + 1 for count in cells], dtype=np.float32)
    for axis, (size, count) in enumerate(zip(shape, cells, strict=True)):
        at = np.linspace(0, count, size, dtype=np.float32)
        left = np.minimum(at.astype(int), count - 1)
        share = step(at - left).reshape([-1 if k == axis else 1 for k in range(len(shape))])
        field = np.take(field, left, axis) * (1 - share) + np.take(field, left + 1, axis) * share
    return field


def log_uniform(rng: np.random.Generator, low: float, high: float, size: int | None = None) -> Array:
    """Numbers from `low` to `high`, each octave as likely as any other."""
    return np.exp(rng.uniform(np.log(low), np.log(high), size))
