"""A phantom slide of Aspergillus in lactophenol blue: what lies on it, in which focus, and its stain and light.

Heads, bare vesicles, hyphae, spores and bubbles are placed independently of the species; of all that is drawn, only the
keys of the heads depend on it. The ink of a head, layer by layer, is brought to one amount, so colour does not either.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from PIL import Image, ImageFilter

from mdlib.data.phantoms.drawing import Array, log_uniform, stream
from mdlib.data.phantoms.fungi_heads import CELL, GRAIN, HEAD, PARTS, SPECIES, WALL, Head, conidia
from mdlib.data.phantoms.fungi_ink import Patch, Stamp, faded, tube

SHAPE = (384, 512)
BORNE = np.array([1500.0, 1450.0, 1150.0])                  # optical density of what a vesicle bears, at a unit of 1
TRIES = 80                                                  # to place a head where there is room
# What conidia, green, brown or black, and walls take from red, green and blue.
PIGMENTS = np.array([[0.85, 0.62, 0.42], [0.50, 0.55, 0.72], [0.75, 0.75, 0.72]])
REFRACTED = np.array([0.62, 0.58, 0.52])
SHARP = 1.7                                                 # of the camera, which draws a bright line round dark ones
SOFT = 2                                                    # pixels: as far as that line reaches


@dataclass(frozen=True)
class Case:
    """One picture of the collection: its name, whose it is, the species, how many heads and bare vesicles it shows."""
    image: str
    patient: str
    label: str
    heads: int
    bare: int


@dataclass(frozen=True)
class Light:
    """What a picture's stain takes from red, green and blue (3, 3), the lamp (3,), the film of stain on the glass."""
    density: Array
    lamp: Array
    film: float
    uneven: float
    grain: float


def light(person: np.random.Generator, own: np.random.Generator) -> Light:
    """The stain and the lamp of a picture: in part the patient's, in part its own."""
    z = 0.75 * person.standard_normal(14) + 0.66 * own.standard_normal(14)
    blue = np.array([1.0, 0.56, 0.15]) + z[0] * np.array([0.05, -0.11, -0.02]) + 0.03 * z[1:4]
    share = np.exp(z[4:7])
    pigment = share / share.sum() @ PIGMENTS * np.exp(0.20 * z[7])
    density = np.stack([np.clip(blue, 0.05, 1.4) * np.exp(0.18 * z[8]), pigment, REFRACTED])
    lamp = np.clip((0.90 + 0.035 * z[9]) * (1 + np.array([0.020, 0.0, -0.035]) * z[10] + 0.008 * z[11]), 0.6, 1.0)
    return Light(np.float32(density), np.float32(lamp), film=0.10 * np.exp(0.6 * z[12]),
                 uneven=0.10 * np.exp(0.4 * z[13]), grain=own.uniform(0.003, 0.009))


class Slide:
    """A picture laid out, to be seen as often as asked: whole, or with some of its heads gone or bare."""

    def __init__(self, case: Case, seed: int):
        self.case, self.seed = case, seed
        self.light = light(stream(seed, case.patient, "light"), self._stream("light"))
        rng = self._stream("place")
        self.unit = rng.uniform(0.90, 1.15)
        self.heads = [Head(SPECIES[case.label], self._stream("head", number), self.unit)
                      for number in range(case.heads)]
        keys = list(SPECIES.values())
        self.bare = [Head(keys[rng.integers(len(keys))], self._stream("bare", number), self.unit, bare=True)
                     for number in range(case.bare)]
        self._conidia = conidia(self.unit * GRAIN, self._stream("conidia"))
        self._place(rng)

    def _stream(self, *element: str | int) -> np.random.Generator:
        return stream(self.seed, self.case.image, *element)

    def _place(self, rng: np.random.Generator) -> None:
        """Put heads and bare vesicles where there is room, the heads first."""
        size = np.array(SHAPE[::-1])
        middles, halves = np.zeros((0, 2)), np.zeros((0, 2))
        for head in [*self.heads, *self.bare]:
            body = head.body
            low, high = body.min(axis=0) - 3, body.max(axis=0) + 3
            tries = size / 2 + rng.uniform(-1, 1, (TRIES, 2)) * np.maximum(size - (high - low), 0) / 2
            apart = np.abs(tries[:, None] - middles) - (high - low) / 2 - halves
            gaps = apart.max(axis=2).min(axis=1, initial=1.0)
            at = tries[np.argmax(gaps > 0) if (gaps > 0).any() else np.argmax(gaps)]
            head.at = at - (low + high) / 2
            middles, halves = np.concatenate([middles, [at]]), np.concatenate([halves, [(high - low) / 2]])

    def draw(self, without: tuple[int, ...] = (), bare: tuple[int, ...] = ()) -> Array:
        """The picture uint8 (H, W, 3), without these heads (1, 2, ...), and with only the vesicle of those."""
        density = self._near.copy()
        for number in range(1, len(self.heads) + 1):
            if number not in without:
                self._add(density, number, number in bare)
        density *= self._texture[..., None]
        density += self._far
        seen = self._lit * np.exp(density.reshape(-1, 3) @ -self.light.density).reshape(density.shape)
        seen += self._grain
        picture = Image.fromarray((np.clip(seen, 0, 1) * 255 + 0.5).astype(np.uint8))
        return np.asarray(Image.blend(picture.filter(ImageFilter.BoxBlur(SOFT)), picture, SHARP))

    @cached_property
    def _whole(self) -> list[Patch]:
        """The heads, painted as they are."""
        return [head.paint(SHAPE, self._conidia) for head in self.heads]

    @cached_property
    def _vesicles(self) -> list[Patch]:
        """The bare vesicles."""
        return [vesicle.paint(SHAPE, self._conidia) for vesicle in self.bare]

    @cached_property
    def _stalks(self) -> list[Patch]:
        """The vesicles and stipes of the heads."""
        return [head.paint(SHAPE, self._conidia, bare=True) for head in self.heads]

    def _add(self, density: Array, number: int, bare: bool) -> None:
        """Lay a head over what is there; what a vesicle bears has as much of each ink in all species."""
        head, whole, stalk = self.heads[number - 1], self._whole[number - 1], self._stalks[number - 1]
        ink = stalk.density(head.blur)
        if not bare:
            borne = whole.density(head.blur) - ink
            ink += borne * (head.tone * BORNE * self.unit ** 2 / np.einsum("hwc->c", borne)).astype(np.float32)
        density[whole.place] += ink

    def _plane(self, name: str, hyphae: tuple[int, int], spores: tuple[int, int], blur: float) -> Array:
        """Optical density (H, W, 3) of hyphae and spores in one plane of the slide."""
        rng, patch = self._stream(name), Patch(np.array([[0, 0], SHAPE[::-1]], float), SHAPE, margin=0)
        _hyphae(patch, int(rng.integers(*hyphae)), self.unit, rng)
        _spores(patch, int(rng.integers(*spores)), self.unit, self._conidia, rng)
        return patch.density(blur * rng.uniform(0.8, 1.3)) * np.float32(rng.uniform(0.6, 1.0))

    @cached_property
    def _near(self) -> Array:
        """Optical density (H, W, 3) of what lies in the plane of the heads."""
        density = self._plane("near", (2, 5), (25, 60), 0.5)
        for vesicle, patch in zip(self.bare, self._vesicles, strict=True):
            density[patch.place] += patch.density(vesicle.blur)
        return density

    @cached_property
    def _far(self) -> Array:
        """Optical density (H, W, 3) of what lies out of focus, and of stain on the glass."""
        density = self._plane("far", (3, 7), (15, 45), 3.0)
        film = 1 + _clouds(self._stream("film"), (3, 0.25), (8, 0.16), (30, 0.08))
        density[..., 0] += np.float32(self.light.film) * np.clip(film, 0, None)
        return density

    @cached_property
    def _texture(self) -> Array:
        """How uneven the stain is (H, W), about 1."""
        rng = self._stream("texture")
        return np.clip(1 + _clouds(rng, (8, 0.06), (60, 0.08), (150, 0.12)), 0.4, 1.6)

    @cached_property
    def _grain(self) -> Array:
        rng = self._stream("grain")
        noise = rng.random((*SHAPE, 1), dtype=np.float32) - np.float32(0.5)
        noise[:, 1:] += noise[:, :-1]
        noise[1:] += noise[:-1]
        return noise * np.float32(self.light.grain * 12 ** 0.5)

    @cached_property
    def _lit(self) -> Array:
        """The light (H, W, 3) before it meets ink: the lamp, darker towards the border, and bubbles."""
        rng = self._stream("bubbles")
        x, y = (np.linspace(-1, 1, size, dtype=np.float32) - rng.normal(0, 0.25) for size in SHAPE[::-1])
        level = 1 - np.float32(self.light.uneven) * (x ** 2 + y[:, None] ** 2) / 2
        for _ in range(rng.integers(0, 4)):
            _bubble(level, rng.uniform((0, 0), SHAPE[::-1]), self.unit * log_uniform(rng, 5, 22), rng)
        return level[..., None] * self.light.lamp

    def labels(self) -> tuple[Array, Array]:
        """uint8 (H, W) each: the number of the head, 0 where there is none; the parts, bit k set for PARTS[k].

        Where heads overlap the last lies above. The parts of bare vesicles are not among them.
        """
        numbers, parts = np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, np.uint8)
        for number, patch in enumerate(self._whole, 1):
            for bit, part in enumerate(PARTS):
                mask = Head.mask(patch, part)
                parts[patch.place] |= np.uint8(1 << bit) * mask
                if part in HEAD:
                    numbers[patch.place][mask] = number
        return numbers, parts

    def body(self, number: int) -> Array:
        """bool (H, W): a head with its stipe, whatever lies above it."""
        mask, patch = np.zeros(SHAPE, bool), self._whole[number - 1]
        mask[patch.place] = np.any([Head.mask(patch, part) for part in PARTS], axis=0)
        return mask

    def vesicles(self) -> Array:
        """uint8 (H, W): the number of the bare vesicle, 0 where there is none."""
        numbers = np.zeros(SHAPE, np.uint8)
        for number, patch in enumerate(self._vesicles, 1):
            numbers[patch.place][patch.mask("vesicle")] = number
        return numbers


def _clouds(rng: np.random.Generator, *octaves: tuple[int, float]) -> Array:
    """Smooth noise (H, W): of each of (lumps along the height, strength), the coarse ones first."""
    field = Image.new("F", (4, 3))
    for lumps, strength in octaves:
        size = (lumps * 4 // 3, lumps)
        noise = strength * rng.standard_normal(size[::-1], dtype=np.float32)
        field = Image.fromarray(np.asarray(field.resize(size, Image.Resampling.BICUBIC)) + noise)
    return np.asarray(field.resize(SHAPE[::-1], Image.Resampling.BICUBIC))


def _hyphae(patch: Patch, count: int, unit: float, rng: np.random.Generator) -> None:
    """Branching threads with cross walls, from the border or from one another."""
    threads: list[tuple[Array, float]] = []
    size = np.array(SHAPE[::-1], float)
    for _ in range(count):
        width, start, side = unit * rng.uniform(3.4, 5.6), rng.uniform(0, size), rng.integers(2)
        start[side] = rng.choice([-5, size[side] + 5])
        ahead = np.arctan2(*(size / 2 - start)[::-1]) + rng.normal(0, 0.5)
        threads.append((_thread(start, ahead, int(rng.integers(40, 110)), unit, rng), width))
        for _ in range(rng.integers(0, 3)):
            spine = threads[-1][0]
            at = int(rng.integers(8, len(spine) - 4))
            ahead = np.arctan2(*(spine[at] - spine[at - 1])[::-1]) + rng.choice([-1, 1]) * rng.uniform(0.5, 0.95)
            threads.append((_thread(spine[at], ahead, int(rng.integers(16, 60)), unit, rng), 0.9 * width))
    widths = [width * np.exp(0.10 * np.convolve(rng.standard_normal(len(spine)), np.ones(5) / 5 ** 0.5, "same"))
              for spine, width in threads]
    for (spine, _), width in zip(threads, widths, strict=True):
        patch.polygon(tube(spine, width), WALL)
    for (spine, _), width in zip(threads, widths, strict=True):
        patch.polygon(tube(spine, np.maximum(width - 1.9 * unit, 0.3)), faded(CELL, rng.uniform(0.6, 1.3)))
    for spine, width in threads:
        for at in range(int(rng.integers(4, 9)), len(spine) - 2, int(rng.integers(7, 14))):
            across = (spine[at + 1] - spine[at])[::-1] * (-1, 1) / np.hypot(*(spine[at + 1] - spine[at])) * width / 2
            patch.line(np.stack([spine[at] - across, spine[at] + across]), 1.0 * unit, WALL)


def _thread(start: Array, ahead: float, steps: int, unit: float, rng: np.random.Generator) -> Array:
    """The middle (N, 2) of a hypha that wanders about a bent line."""
    wander = np.convolve(rng.normal(0, 0.16, steps + 20), np.exp(-np.arange(20) / 7), "valid")[:steps]
    turn = ahead + rng.normal(0, 0.35) * np.linspace(0, 1, steps) + wander - wander[0]
    return start + np.cumsum(5.0 * unit * np.stack([np.cos(turn), np.sin(turn)], axis=1), axis=0)


def _spores(patch: Patch, count: int, unit: float, stamps: list[Stamp], rng: np.random.Generator) -> None:
    """Conidia that came off: alone, in clusters, and in bits of chains."""
    clusters = rng.uniform((0, 0), SHAPE[::-1], (rng.integers(2, 6), 2))
    middles = clusters[rng.integers(len(clusters), size=count)] + rng.normal(0, unit * rng.uniform(8, 26), (count, 2))
    alone = rng.random(count) < 0.35
    middles[alone] = rng.uniform((0, 0), SHAPE[::-1], (alone.sum(), 2))
    chained = middles[rng.random(count) < 0.15]
    steps = 4.4 * unit * _directions(rng, len(chained))
    points = np.concatenate([middles, *(chained + k * steps for k in range(1, 4))])
    patch.stamp(points, [stamps[k] for k in rng.integers(len(stamps), size=len(points))])


def _directions(rng: np.random.Generator, count: int) -> Array:
    turn = rng.uniform(0, 2 * np.pi, count)
    return np.stack([np.cos(turn), np.sin(turn)], axis=1)


def _bubble(level: Array, middle: Array, radius: float, rng: np.random.Generator) -> None:
    """Air under the glass: a broad dark rim round a bright middle."""
    low = np.clip(np.floor(middle - radius - 4), 0, SHAPE[::-1]).astype(int)
    high = np.clip(np.ceil(middle + radius + 4), 0, SHAPE[::-1]).astype(int)
    x, y = (np.arange(a, b, dtype=np.float32) - at for a, b, at in zip(low, high, middle, strict=True))
    away = np.hypot(x, y[:, None]) / radius
    rim = np.exp(-((away - 0.86) / (0.10 + 0.6 / radius)) ** 2) + 0.45 * np.exp(-((away - 0.62) / 0.12) ** 2)
    shine = 0.14 * np.exp(-(away / 0.45) ** 2) + 0.08 * np.exp(-((away - 1.1) / 0.07) ** 2)
    level[low[1]:high[1], low[0]:high[0]] *= 1 - rng.uniform(0.65, 0.85) * np.clip(rim, 0, 1) + shine
