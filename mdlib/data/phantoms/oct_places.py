"""Dark places of a phantom OCT volume: cysts, and what is as large and as dark but not closed.

Every volume draws its places without a look at the label: where, how large, how dark, how far they swell the retina.
In a DME volume one to three of them are closed by a rim, and that alone makes them cysts. The rim of the others is
missing, open at one side, or there above and below only, so that a piece of a place never tells what the whole is.
"""

from dataclasses import dataclass

import numpy as np

from mdlib.data.phantoms.drawing import Array, log_uniform, step

OPEN = ("diffuse", "trough", "crescent")
MARGIN = 3      # slices without a place at both ends: the 30 central ones of 36 hold them all


@dataclass(frozen=True)
class Knobs:
    """What makes the task easy or hard. All ours; lengths in pixels."""
    dme: float = 0.42                               # share of the patients
    width: tuple[float, float] = (4.0, 42.0)        # of a place, log-uniform
    places: tuple[int, int] = (4, 7)                # in a volume, dark
    cysts: tuple[int, int] = (1, 3)                 # of them closed, in a DME volume
    aspect: tuple[float, float] = (0.85, 0.50)      # height over width of the smallest and of the largest
    slices: tuple[float, float] = (1.8, 9.0)        # extent of the smallest and of the largest
    darkness: tuple[float, float] = (0.72, 0.93)    # share of the light that is missing
    rim: float = 0.50                               # light of the rim, where the nerve fibre layer has about 0.8
    rim_share: float = 0.28                         # of the radius: the rim grows with its cyst
    fill: float = 0.74                              # of the retina's thickness; larger places swell it
    drusen: tuple[int, int] = (0, 5)                # in a volume
    shadows: tuple[int, int] = (1, 5)               # in a volume
    speckle: float = 0.8                            # times that of the device


@dataclass(frozen=True)
class Place:
    """One dark place; x in pixels, z in slices, angle towards its closed side."""
    x: float
    z: float
    width: float
    height: float
    slices: float
    depth: float        # 0 at the inner limiting membrane, 1 at the RPE
    darkness: float
    angle: float
    form: str           # "cyst" or one of OPEN
    lesion: int         # 1, 2, ... for cysts, 0 for others


def places(knobs: Knobs, shape: tuple[int, int, int], closed: int, rng: np.random.Generator) -> tuple[Place, ...]:
    """The places of a volume (S, H, W), `closed` of them cysts; the others are the same whatever `closed` is."""
    found: list[Place] = []
    widths = log_uniform(rng, *knobs.width, rng.integers(knobs.places[0], knobs.places[1] + 1))
    for width in sorted(widths, reverse=True):      # while there is room
        tries = [_place(knobs, shape, float(width), rng) for _ in range(30)]
        found.append(next((place for place in tries if not any(_touch(place, other) for other in found)), tries[-1]))
    order = rng.permutation(len(found))[:closed]
    ids = {int(where): number for number, where in enumerate(sorted(order), 1)}
    return tuple(_closed(place, ids[i]) if i in ids else place for i, place in enumerate(found))


def _place(knobs: Knobs, shape: tuple[int, int, int], width: float, rng: np.random.Generator) -> Place:
    large = np.log(width / knobs.width[0]) / np.log(knobs.width[1] / knobs.width[0])
    aspect = knobs.aspect[0] + (knobs.aspect[1] - knobs.aspect[0]) * large
    height = max(width * aspect * np.exp(rng.uniform(-0.15, 0.15)), 3.0)
    slices = knobs.slices[0] * (knobs.slices[1] / knobs.slices[0]) ** np.clip(large + rng.uniform(-0.15, 0.15), 0, 1)
    reach = MARGIN + slices / 2
    return Place(x=rng.uniform(width / 2 + 3, shape[2] - width / 2 - 3), z=rng.uniform(reach, shape[0] - 1 - reach),
                 width=width, height=float(height), slices=float(slices), depth=rng.uniform(0.32, 0.68),
                 darkness=rng.uniform(*knobs.darkness), angle=rng.uniform(0, 2 * np.pi),
                 form=OPEN[rng.integers(len(OPEN))], lesion=0)


def _closed(place: Place, lesion: int) -> Place:
    return Place(**{**vars(place), "form": "cyst", "lesion": lesion})


def _touch(one: Place, other: Place) -> bool:
    return (abs(one.x - other.x) < 0.6 * (one.width + other.width) + 2
            and abs(one.z - other.z) < (one.slices + other.slices) / 2 + 1)


def needed(place: Place, knobs: Knobs) -> float:
    """The thickness in pixels that a place needs; a thinner retina swells to it."""
    return (place.height + 2) / knobs.fill


def swelling(place: Place, thickness: Array, z: Array, x: Array, knobs: Knobs) -> Array:
    """By how much the retina, `thickness` (S, W), rises over a place and up to twice its radius; z (S, 1), x (1, W)."""
    away = np.sqrt((2 * (x - place.x) / place.width) ** 2 + (2 * (z - place.z) / (place.slices + 2)) ** 2)
    return np.maximum(np.float32(needed(place, knobs)) - thickness, 0) * step((2.0 - away) / 1.5)


def paint(place: Place, dz: Array, dy: Array, dx: Array, knobs: Knobs) -> tuple[Array, Array]:
    """How much of the light goes, and how much rim comes, each (S, H, W), at distances from the middle in pixels."""
    radius = min(place.width, place.height) / 2
    u, v, w = 2 * dx / place.width, 2 * dy / place.height, 2 * dz / (place.slices + 1)
    rim = max(knobs.rim_share * radius, 0.8)
    if place.form == "diffuse":
        return place.darkness * step(1.15 - np.sqrt(u * u + v * v + w * w)), np.float32(0) * u
    if place.form == "trough":
        inside, ends = (1 - np.sqrt(v * v + w * w)) * radius, step((1.5 - np.abs(u)) / 0.9)
        core, ring = _shell(inside, rim)
        return place.darkness * core * ends, ring * ends
    core, ring = _shell((1 - np.sqrt(u * u + v * v + w * w)) * radius, rim)
    if place.form == "cyst":
        return place.darkness * core, ring
    towards = np.cos(place.angle) * u + np.sin(place.angle) * v
    return place.darkness * core * step((towards + 1.0) / 1.2), ring * step((towards - 0.0) / 0.5)


def _shell(inside: Array, rim: float) -> tuple[Array, Array]:
    """Core and rim of a body, from the pixels `inside` its border; half a pixel soft."""
    whole, core = np.clip(inside + 0.5, 0, 1), np.clip(inside - np.float32(rim) + 0.5, 0, 1)
    return core, whole - core
