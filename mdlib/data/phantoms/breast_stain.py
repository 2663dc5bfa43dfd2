"""Colour of a phantom picture of breast tissue: the stain of a patient, the picture's own, and tones.

The tones do not depend on the class.
"""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

from mdlib.data.phantoms.drawing import Array

LEVELS = 4096
# Haematoxylin and eosin of what a typical picture shows, and the share of each: white, loose and dense stroma,
# cytoplasm, nuclei.
TYPICAL = np.array([[0.0, 0.03], [0.08, 0.45], [0.08, 0.80], [0.16, 0.50], [0.85, 0.32]])
SHARES = np.array([0.14, 0.27, 0.36, 0.13, 0.10])


@dataclass(frozen=True)
class Stain:
    """Optical density of red, green and blue by haematoxylin and by eosin (2, 3), strengths included; the light."""
    density: Array
    light: float


def stain(patient: np.random.Generator, picture: np.random.Generator) -> Stain:
    """The stain of a patient's slides, a little different in each picture."""
    base, strength = np.array([[0.62, 0.72, 0.34], [0.15, 0.88, 0.36]]), np.array([1.35, 0.74])
    for rng, much in ((patient, 1.0), (picture, 0.35)):
        base = base + rng.normal(0, 0.03 * much, (2, 3))
        strength = strength * np.exp(rng.normal(0, 0.13 * much, 2))
    return Stain(np.clip(base, 0.02, 1.1) * strength[:, None], patient.uniform(0.94, 1.0))


def seen(amounts: Array, colour: Stain, blur: float = 0.55) -> Array:
    """The light (H, W, 3) that amounts of both stains (H, W, 2) let through (Beer and Lambert), a little blurred."""
    return gaussian_filter(np.exp(-np.maximum(amounts, 0) @ colour.density.astype(np.float32)), (blur, blur, 0))


def toned(picture: Array, whole: Array, colour: Stain, rng: np.random.Generator) -> Array:
    """`picture` (H, W, 3) with the tones that bring `whole` to the mean and spread of a typical picture in its stain.

    Density becomes gain * density ** power in each of red, green and blue: white stays white. Mean and spread do not
    depend on the class, so only the pattern shows it.
    """
    light = np.exp(-TYPICAL * np.exp(rng.normal(0, 0.06, TYPICAL.shape)) @ colour.density)
    share = SHARES * np.exp(rng.normal(0, 0.12, len(SHARES)))
    mean = np.average(light, axis=0, weights=share)
    spread = np.average((light - mean) ** 2, axis=0, weights=share) ** 0.5
    density = -np.log((np.arange(LEVELS) + 0.5) / LEVELS)
    result = np.empty_like(picture)
    for channel in range(3):
        count = np.bincount(_level(whole[..., channel]).ravel(), minlength=LEVELS)
        table = np.exp(-_curve(density, count / count.sum(), mean[channel], spread[channel]))
        result[..., channel] = table.astype(np.float32)[_level(picture[..., channel])]
    return result * np.float32(colour.light)


def _level(light: Array) -> Array:
    return np.clip(light * LEVELS, 0, LEVELS - 1).astype(np.int32)


def _curve(density: Array, share: Array, mean: float, spread: float) -> Array:
    """gain * density ** power with which light of these shares gets this mean and spread, by Newton's method."""
    def figures(at: Array) -> Array:
        light = np.exp(-np.exp(at[0]) * density ** np.exp(at[1]))
        middle = share @ light
        return np.array([middle, (share @ (light - middle) ** 2) ** 0.5])

    at, small = np.zeros(2), 1e-4
    for _ in range(8):
        now = figures(at)
        slope = np.stack([(figures(at + small * np.eye(2)[k]) - now) / small for k in range(2)], axis=1)
        at = np.clip(at + np.clip(np.linalg.solve(slope, [mean, spread] - now), -0.3, 0.3), -0.9, 0.9)
    return np.exp(at[0]) * density ** np.exp(at[1])
