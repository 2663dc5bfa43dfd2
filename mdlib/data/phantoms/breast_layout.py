"""Where ducts, lobules, vessels, lymphocytes and nests of tumour cells of a phantom picture of breast tissue lie.

Lengths are in pixels of the picture; a pixel is about one micrometre. A duct is a wavy outline, its basement membrane;
`depth` is how far inside the membrane a place lies. Sizes, places and numbers depend on the class only where `PLANS`
says so, and what surrounds the ducts does not, but for the nests of invasive tumours.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from mdlib.data.phantoms.drawing import Array, stream

FAR = 48.0                  # round a duct the stroma follows its outline
GAP = (6.0, 14.0)           # of the membrane of an invasive tumour, from end to end


@dataclass(frozen=True)
class Plan:
    """Of a class: how many ducts show it and what fills them; how many normal ducts lie beside them."""
    ducts: tuple[int, int]
    fillings: tuple[str, ...]
    normal: tuple[int, int]


TUMOUR = ("solid", "cribriform", "comedo")
HYPERPLASIA = ("mild", "moderate", "florid")
PLANS = {
    "Normal": Plan((2, 4), ("normal",), (0, 0)),
    "Benign": Plan((3, 6), HYPERPLASIA, (0, 2)),
    "InSitu": Plan((2, 4), TUMOUR, (1, 2)),
    "Invasive": Plan((2, 4), TUMOUR, (1, 2)),
}
RADIUS, NORMAL = (30, 56), (22, 50)     # of ducts that show the class, and of normal ones beside them
APART = 16                              # at least, from duct to duct


@dataclass(frozen=True)
class Look:
    """What decides a picture: its name, whose it is, its class, height and width."""
    name: str
    patient: str
    label: str
    shape: tuple[int, int]
    seed: int

    def stream(self, *key: int | str) -> np.random.Generator:
        """Random numbers of one element of this picture."""
        return stream(self.seed, self.name, *key)


@dataclass(frozen=True)
class Duct:
    """A duct, or an acinus of a lobule: its middle, mean radius, waves of its outline (count, swing, phase), filling.

    `secretion`: whether its lumen holds some. `shows`: whether it shows the class of the picture. `gaps`: angle and
    half width of each gap of the membrane.
    """
    key: str
    x: float
    y: float
    radius: float
    waves: tuple[tuple[int, float, float], ...]
    filling: str
    secretion: bool = False
    shows: bool = False
    gaps: tuple[tuple[float, float], ...] = ()

    def outline(self, angle: Array) -> Array:
        """Distance of the membrane from the middle."""
        swing = sum(swing * np.cos(count * angle + phase) for count, swing, phase in self.waves)
        return self.radius * (1 + swing)

    def at(self, angle: Array, depth: Array) -> Array:
        """Places x, y (..., 2) that lie so deep inside the membrane."""
        away = self.outline(angle) - depth
        return np.stack([self.x + away * np.cos(angle), self.y + away * np.sin(angle)], axis=-1)

    def window(self, shape: tuple[int, int], beyond: float) -> tuple[slice, slice]:
        """The rows and columns of a picture that it reaches, and so much beyond."""
        reach = self.radius * (1 + sum(abs(swing) for _, swing, _ in self.waves)) + beyond
        return tuple(slice(max(0, int(middle - reach)), max(0, min(size, int(middle + reach) + 2)))
                     for middle, size in zip((self.y, self.x), shape, strict=True))

    def depth(self, x: Array, y: Array) -> tuple[Array, Array]:
        """How deep places lie inside the membrane, negative outside, and their angle round the middle."""
        dx, dy = np.float32(x - self.x), np.float32(y - self.y)
        angle = np.arctan2(dy, dx)
        slope = sum(-swing * count * np.sin(count * angle + phase) for count, swing, phase in self.waves)
        away = np.hypot(dx, dy)
        return (self.outline(angle) - away) / np.sqrt(1 + np.float32(slope) ** 2), angle


    def open(self, angle: Array) -> Array:
        """Where the membrane is missing: 1 in the directions of its gaps, 0 elsewhere."""
        missing = np.zeros(angle.shape, np.float32)
        for middle, half in self.gaps:
            away = np.abs((angle - middle + np.pi) % (2 * np.pi) - np.pi) * self.outline(np.array(middle))
            missing = np.maximum(missing, np.clip(half - away + 0.5, 0, 1))
        return missing


@dataclass(frozen=True)
class Nest:
    """A group of cells outside the ducts: middles of its cells (N, 2), and the duct it grew out of, or -1.

    It is of a tumour, or else a ductule, cut lengthwise: regular cells within a membrane.
    """
    cells: Array
    tumour: bool
    duct: int = -1

    def window(self, shape: tuple[int, int]) -> tuple[slice, slice]:
        """The rows and columns of a picture that it reaches."""
        low, high = self.cells.min(axis=0) - 18, self.cells.max(axis=0) + 18
        return tuple(slice(max(0, int(low[axis])), max(0, min(shape[1 - axis], int(high[axis])))) for axis in (1, 0))

    def field(self, x: Array, y: Array) -> Array:
        """How much of the nest is near, about 0 to 1: 0.3 at its border."""
        return sum(np.exp(((x - a) ** 2 + (y - b) ** 2) / np.float32(-46)) for a, b in self.cells.astype(np.float32))


@dataclass(frozen=True)
class Vessel:
    """A small vessel: its middle, half axes and angle."""
    x: float
    y: float
    a: float
    b: float
    angle: float

    def window(self, shape: tuple[int, int]) -> tuple[slice, slice]:
        """The rows and columns of a picture that it reaches."""
        reach = max(self.a, self.b) + 6
        return tuple(slice(max(0, int(middle - reach)), max(0, min(size, int(middle + reach))))
                     for middle, size in zip((self.y, self.x), shape, strict=True))

    def inside(self, x: Array, y: Array) -> tuple[Array, Array]:
        """Places in half axes from the middle."""
        dx, dy = x - np.float32(self.x), y - np.float32(self.y)
        c, s = np.cos(self.angle), np.sin(self.angle)
        return np.float32(c * dx + s * dy) / np.float32(self.a), np.float32(c * dy - s * dx) / np.float32(self.b)

    def at(self, u: Array, v: Array) -> Array:
        """Places x, y (N, 2), from half axes."""
        c, s = np.cos(self.angle), np.sin(self.angle)
        return np.stack([self.x + c * self.a * u - s * self.b * v, self.y + s * self.a * u + c * self.b * v], axis=1)

    def blood(self, rng: np.random.Generator) -> Array:
        """Middles of red blood cells (N, 2)."""
        count = rng.integers(2, 9)
        away, turn = 0.62 * rng.uniform(0, 1, count) ** 0.5, rng.uniform(0, 2 * np.pi, count)
        return self.at(away * np.cos(turn), away * np.sin(turn))


@dataclass(frozen=True, eq=False)
class Layout:
    """All that is to be drawn of one picture, but for its colours."""
    look: Look
    ducts: list[Duct] = field(default_factory=list)
    nests: list[Nest] = field(default_factory=list)

    @cached_property
    def vessels(self) -> list[Vessel]:
        """Small vessels between the ducts."""
        rng = self.look.stream("vessels")
        return [Vessel(*place, rng.uniform(6, 13), rng.uniform(4.5, 7), rng.uniform(0, np.pi))
                for place in self._free(rng, rng.integers(1, 4), 18)]

    @cached_property
    def lymphocytes(self) -> Array:
        """Middles (N, 2): groups of them, and some here and there."""
        rng, found = self.look.stream("lymphocytes"), [np.zeros((0, 2))]
        for place in self._free(rng, rng.integers(2, 9), 18):
            count, stretch = rng.integers(5, 40), rng.uniform(0.5, 1.5)
            spread = rng.uniform(1.4, 2.2) * count ** 0.5 * np.array([stretch, 1 / stretch])
            found.append(place + rng.standard_normal((count, 2)) * spread)
        found.append(rng.uniform(0, 1, (rng.integers(15, 50), 2)) * self.look.shape[::-1])
        return self.outside(np.concatenate(found), 5)

    def outside(self, places: Array, beyond: float) -> Array:
        """Those of the places (N, 2) that lie outside all ducts and nests, and so far from them."""
        kept = np.ones(len(places), bool)
        for duct in self.ducts:
            kept &= duct.depth(*places.T)[0] < -beyond
        for nest in self.nests:
            away = places[:, None] - nest.cells
            kept &= (np.hypot(away[..., 0], away[..., 1]) > beyond + 7).all(axis=1)
        return places[kept]

    def _free(self, rng: np.random.Generator, count: int, beyond: float) -> Array:
        """Up to `count` places outside the ducts and nests."""
        return self.outside(rng.uniform(0, 1, (6 * count, 2)) * self.look.shape[::-1], beyond)[:count]


def lay_out(look: Look) -> Layout:
    """The layout of a picture."""
    layout = Layout(look)
    layout.ducts.extend(_ducts(look, look.stream("ducts"), PLANS[look.label]))
    _lobules(look, look.stream("lobules"), layout)
    layout.nests.extend(_beside(look, duct, number) for number, duct in enumerate(layout.ducts) if duct.shows)
    _nests(look, look.stream("nests"), layout)
    return layout


def _ducts(look: Look, rng: np.random.Generator, plan: Plan) -> Iterator[Duct]:
    """Ducts that show the class, whole inside the picture, then normal ones, which its border may cut."""
    taken: list[Duct] = []
    (height, width), count = look.shape, rng.integers(*plan.ducts, endpoint=True)
    for number in range(count + rng.integers(*plan.normal, endpoint=True)):
        shows = number < count
        low, high = RADIUS if shows else NORMAL
        for attempt in range(60):
            radius = rng.uniform(low, high - (high - low) * attempt / 60)
            inset = min(1.14 * radius + 4, height / 2 - 1) if shows else 0
            x, y = rng.uniform(inset, width - inset), rng.uniform(inset, height - inset)
            if all(np.hypot(x - d.x, y - d.y) > 1.08 * (radius + d.radius) + APART for d in taken):
                break
        else:
            continue
        filling = str(rng.choice(plan.fillings)) if shows else "normal"
        secretion = bool(rng.random() < 0.6) and filling not in TUMOUR
        towards = float(np.arctan2(height / 2 - y, width / 2 - x) + rng.uniform(-1.6, 1.6))
        gaps = ((towards, rng.uniform(*GAP) / 2),) if look.label == "Invasive" and shows else ()
        taken.append(Duct(f"duct {number}", x, y, radius, _waves(rng, 0.05), filling, secretion, shows, gaps))
        yield taken[-1]


def _waves(rng: np.random.Generator, swing: float) -> tuple[tuple[int, float, float], ...]:
    return tuple((count, swing * rng.uniform(0.3, 1.6) / (count - 1) ** 0.5, rng.uniform(0, 2 * np.pi))
                 for count in (2, 3, 5))


def _lobules(look: Look, rng: np.random.Generator, layout: Layout) -> None:
    """Groups of acini, each in loose stroma, where the ducts leave room."""
    for lobule in range(rng.integers(0, 3)):
        places = layout.outside(rng.uniform(0, 1, (40, 2)) * look.shape[::-1], 48)
        if not len(places):
            return
        acini: list[Duct] = []
        for spot in places[0] + rng.normal(0, 26, (60, 2)):
            radius = rng.uniform(11, 17)
            near = [*acini, *layout.ducts]
            if len(acini) < 14 and all(np.hypot(*(spot - [d.x, d.y])) > 1.05 * (radius + d.radius) + 3 for d in near):
                acini.append(Duct(f"acinus {lobule} {len(acini)}", *spot, radius, _waves(rng, 0.06), "acinus"))
        layout.ducts.extend(acini)


def _beside(look: Look, duct: Duct, number: int) -> Nest:
    """The cells that pour out through the gap of a duct, or a ductule beside one that has none."""
    rng = look.stream(duct.key, "beside")
    angle, far = duct.gaps[0][0] if duct.gaps else rng.uniform(0, 2 * np.pi), 0 if duct.gaps else 7
    cells = [duct.at(np.array(angle), np.array(depth)) for depth in ((2.0, -8.5) if duct.gaps else (-15.5,))]
    for _ in range(rng.integers(3, 8)):
        spread = angle + rng.normal(0, 12 / duct.radius, 12)
        _add(cells, duct.at(spread, -rng.uniform(9 + far, 30 + far, 12)), 9.0)
    return Nest(np.array(cells), bool(duct.gaps), number if duct.gaps else -1)


def _nests(look: Look, rng: np.random.Generator, layout: Layout) -> None:
    """Nests, or ductules, in the stroma: cords, clumps and single cells, most of them not far from the ducts."""
    size, tumour = np.array(look.shape[::-1]), look.label == "Invasive"
    near = [nest.cells[-1] for nest in layout.nests]
    for _ in range(rng.integers(6, 12)):
        start = near[rng.integers(len(near))] if near and rng.random() < 0.7 else rng.uniform(0, 1, 2) * size
        spots = layout.outside(start + rng.normal(0, 50, (12, 2)), 9)
        spots = spots[((spots > 6) & (spots < size - 6)).all(axis=1)]
        if len(spots):
            layout.nests.append(Nest(layout.outside(_cord(rng, spots[0]), 8), bool(tumour and rng.random() < 0.8)))


def _cord(rng: np.random.Generator, spot: Array) -> Array:
    """Middles of the cells of a nest (N, 2), each beside one that is there: a bending cord, or a clump."""
    cells, heading, clump = [spot], rng.uniform(0, 2 * np.pi), rng.random() < 0.6
    for _ in range(rng.integers(0, 9)):
        turn = heading + rng.normal(0, 2.5 if clump else 0.6, 8)
        step = rng.uniform(9.5, 12, 8)[:, None] * np.stack([np.cos(turn), np.sin(turn)], axis=1)
        if _add(cells, cells[rng.integers(len(cells)) if clump else -1] + step, 9.0) and not clump:
            heading = np.arctan2(*(cells[-1] - cells[-2])[::-1])
    return np.array(cells)


def _add(cells: list[Array], spots: Array, apart: float) -> bool:
    """Adds the first of the spots (N, 2) that lies so far from all cells; whether there is one."""
    for spot in spots:
        if min(np.hypot(*(spot - cell)) for cell in cells) > apart:
            cells.append(spot)
            return True
    return False
