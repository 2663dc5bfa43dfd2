"""Conidial heads of Aspergillus: a stipe with a vesicle, phialides on it in one row or two, and chains of conidia.

A head is laid out in space, its axis along x, the viewer above z, and looked at from there. How much of the vesicle
bears phialides, whether they stand in two rows (on metulae), and whether the chains run outwards or along the axis is
the key of a species; size, number of conidia and everything else is drawn for all species alike.
"""

from dataclasses import dataclass

import numpy as np

from mdlib.data.phantoms.drawing import Array, step
from mdlib.data.phantoms.fungi_ink import Patch, Stamp, faded, mix, tube

PARTS = ("vesicle", "metulae", "phialides", "conidia", "below", "stipe")
HEAD = ("vesicle", "metulae", "phialides", "conidia", "below")     # what belongs to a head, and lies in its box


@dataclass(frozen=True)
class Key:
    """What tells a species. `coverage` is the share of the way from the vesicle's top down to its stipe."""
    coverage: float
    rows: int
    columnar: bool
    taper: float            # how far the vesicle runs down into the stipe, in radii
    hulle: bool = False     # Hülle cells lie below the head; below others, clumps of conidia that fell


SPECIES = {"fumigatus": Key(0.67, 1, True, 0.5), "flavus": Key(0.90, 1, False, 0.1), "niger": Key(0.90, 2, False, 0.0),
           "terreus": Key(0.48, 2, True, 0.4), "nidulans": Key(0.48, 1, True, 0.4, True)}

CELL, WALL = (56, 3, 8), (122, 8, 128)                      # of the vesicle and the stipe
METULA, PHIALIDE, EDGE = (190, 22, 95), (104, 10, 18), (140, 22, 140)
UPPER = (74, 7, 11)                                         # a phialide on a metula, paler than one on the vesicle
CORE, RIM = (60, 95, 22), (66, 130, 104)                    # of a conidium
HULLE = ((1.0, (105, 70, 120)), (0.84, (28, 60, 30)), (0.56, (90, 95, 95)), (0.42, (50, 80, 10)))  # outside, inside
FLASK = np.array([(0.00, 0.60), (0.15, 0.88), (0.35, 1.00), (0.55, 0.90), (0.72, 0.56), (0.85, 0.34), (1.00, 0.32)])
WEDGE = np.array([(0.00, 0.62), (0.17, 0.68), (0.33, 0.75), (0.50, 0.84), (0.70, 0.94), (0.90, 1.00), (1.00, 0.84)])
LENGTH = 15.0                                               # of a phialide, or of a metula and a phialide on it
GRAIN = 2.3                                                 # radius of a conidium
CHAIN = 4                                                   # conidia in one, of so many: about as many in all species
LONGEST = 12                                                # chain, in conidia
RING = np.stack([np.cos(np.arange(24) * np.pi / 12), np.sin(np.arange(24) * np.pi / 12)], axis=1)
CIRCLE = np.pi / 2 - np.linspace(0, 2 * np.pi, 15)[:-1]


@dataclass(frozen=True)
class Cells:
    """Metulae or phialides, those out of focus first: where they begin and end (N, 3), how sharp they are, width."""
    base: Array
    tip: Array
    sharp: Array
    width: float


class Head:
    """A conidial head that was laid out, `bare` for a vesicle that bears nothing; `at` and `angle` place it."""

    def __init__(self, key: Key, rng: np.random.Generator, unit: float, bare: bool = False):
        self.key, self.unit, self.bare = key, unit, bare
        self.radius = unit * rng.uniform(12.0, 16.0) * (rng.uniform(0.75, 1.05) if bare else 1)
        self.at, self.angle = np.zeros(2), -np.pi / 2 + rng.uniform(-1.0, 1.0)
        self.pitch, self.blur, self.tone = rng.uniform(-0.15, 0.15), rng.uniform(0.2, 0.7), rng.uniform(0.9, 1.1, 3)
        self.outline = self._outline(rng)
        self.thick, self.grain = unit * rng.uniform(5.5, 7.5), unit * GRAIN
        self.spine = self._stipe(rng)
        self.foot = self._foot(rng)
        self.rows = [] if bare else self._rows(rng)
        self.chains = np.zeros((0, 3)) if bare else self._chains(rng)
        self.below = np.zeros((0, 4)) if bare else self._below(rng)

    def _outline(self, rng: np.random.Generator) -> Array:
        """The vesicle's outline (N, 2), seen from the side."""
        turn = np.linspace(0, 2 * np.pi, 72, endpoint=False)
        uneven = 1 + sum(rng.normal(0, 0.018) * np.cos(k * turn + rng.uniform(0, 2 * np.pi)) for k in (2, 3, 4))
        return uneven[:, None] * self._surface(np.stack([np.cos(turn), np.sin(turn)], axis=1))

    def _surface(self, out: Array) -> Array:
        """Where on the vesicle directions (N, 2 or 3) from its middle lead."""
        down = np.clip(-out[:, :1], 0, None)
        stretch = np.repeat(1 - 0.55 * self.key.taper * down ** 2, out.shape[1], axis=1)
        stretch[:, :1] = 1 + self.key.taper * down
        return self.radius * out * stretch

    def _stipe(self, rng: np.random.Generator) -> Array:
        """The middle of the stipe (N, 2), from within the vesicle downwards."""
        length, steps = self.unit * rng.uniform(90, 260), 40
        bend = np.cumsum(np.cumsum(rng.normal(0, 0.005, steps)) + rng.normal(0, 0.014))
        ahead = length / steps * np.stack([-np.cos(bend), np.sin(bend)], axis=1)
        return np.concatenate([[(-0.3 * self.radius, 0.0)], ahead]).cumsum(axis=0)

    def _foot(self, rng: np.random.Generator) -> Array:
        """The middle of the cell (N, 2) that the stipe stands on."""
        ahead = _unit(self.spine[-1:] - self.spine[-2:-1])
        along = self.thick * np.linspace(-rng.uniform(4, 16), rng.uniform(4, 16), 24)[:, None]
        aside = np.stack([-ahead[:, 1], ahead[:, 0]], axis=1)
        bend = 0.006 / self.unit * rng.uniform(-1, 0.3) * along ** 2
        wander = 0.5 * self.unit * np.cumsum(rng.standard_normal((24, 1)), axis=0)
        return self.spine[-1] + along * aside + (bend + wander - wander[12]) * ahead

    def _rows(self, rng: np.random.Generator) -> list[Cells]:
        """The rows of cells on the vesicle, from the inside outwards."""
        width, long = self.unit * rng.uniform(3.6, 4.2), self.unit * np.exp(rng.normal(0, 0.06))
        out = self._sites(width, rng)
        base, ahead = self._surface(out), self._lean(out, 0.9)
        sharp = np.where(np.abs(out[:, 2]) < 0.3, 1.0, 0.22)
        if self.key.rows == 1:
            return [_row(base, ahead, sharp, LENGTH * long, width, rng)]
        first = _row(base, ahead, sharp, 0.50 * LENGTH * long, 1.15 * width, rng)
        aside = 0.20 * _unit(np.cross(ahead, [0, 0, 1]) + 1e-3)
        rim = sharp == 1        # a metula bears two phialides; on those that point to the viewer they hide one another
        base, ahead = np.concatenate([first.tip, first.tip[rim]]), np.concatenate([ahead - aside, (ahead + aside)[rim]])
        sharp = np.concatenate([sharp, sharp[rim]])
        return [first, _row(base, _unit(ahead), sharp, 0.50 * LENGTH * long, 0.55 * width, rng)]

    def _sites(self, width: float, rng: np.random.Generator) -> Array:
        """Directions (N, 3) in which cells of `width` stand: those round the vesicle's rim last, in focus."""
        edge = np.pi * (self.key.coverage + rng.uniform(-0.02, 0.02))
        gap = 1.12 * width / self.radius
        polar = np.arange(-edge, edge + 1e-6, 2 * edge / round(2 * edge / gap)) + rng.normal(0, 0.06 * gap)
        polar += rng.normal(0, 0.10 * gap, len(polar))
        rim = np.stack([np.cos(polar), np.sin(polar), rng.normal(0, 0.1, len(polar))], axis=1)
        count = int(4 * np.pi / gap ** 2)
        along, turn = 1 - 2 * (np.arange(count) + 0.5) / count, np.arange(count) * np.pi * (3 - 5 ** 0.5)
        aside = np.sqrt(1 - along ** 2)
        ball = np.stack([along, aside * np.cos(turn), aside * np.sin(turn)], axis=1) + rng.normal(0, 0.04, (count, 3))
        return _unit(np.concatenate([ball[(along > np.cos(edge)) & (ball[:, 2] > 0.5)], rim]))

    def _lean(self, ahead: Array, share: float) -> Array:
        """Directions (N, 3), turned towards the axis where the head is columnar."""
        return _unit(ahead + np.array([share if self.key.columnar else 0.0, 0, 0]))

    def _chains(self, rng: np.random.Generator) -> Array:
        """The middles of the conidia (N, 3), the farthest first."""
        wanted, cells = int(rng.uniform(150, 240)), self.rows[0]
        rim = cells.sharp == 1
        ahead = _unit(cells.tip[rim] - cells.base[rim])     # as if each cell, of one row or two, bore one chain
        tip = cells.base[rim] + LENGTH * self.unit * ahead
        more = max(wanted // CHAIN - len(tip), 0)       # in other planes, between those that are seen on phialides
        which, aside = rng.integers(len(tip), size=more), rng.uniform(-0.18, 0.18, more)
        c, s, behind = np.cos(aside), np.sin(aside), rng.uniform(-0.6, 0.6, more) * self.radius
        turn = np.array([[c, s, 0 * c], [-s, c, 0 * c], [0 * c, 0 * c, 1 + 0 * c]])
        at = np.concatenate([tip, np.einsum("ni,ijn->nj", tip[which], turn) + behind[:, None] * [-0.08, 0, 1]])
        ahead = np.concatenate([ahead, np.einsum("ni,ijn->nj", ahead[which], turn)])
        at = at + self.grain * ahead
        uneven = 1 + rng.uniform(0, 0.5) * np.sin(np.arctan2(at[:, 1], at[:, 0]) + rng.uniform(0, 2 * np.pi))
        lengths = np.clip(np.rint(wanted / len(at) * uneven * rng.uniform(0.6, 1.4, len(at))), 1, LONGEST)
        bend, found = 0.05 * rng.standard_normal(at.shape), []
        for number in range(int(lengths.max())):
            found.append(at[lengths > number])
            ahead = _unit(self._lean(ahead, 0.7) + bend + 0.08 * rng.standard_normal(at.shape))
            at = at + ahead * self.grain * rng.uniform(1.75, 2.0, (len(at), 1))
            if self.key.columnar:
                at[:, 1:] *= 0.96
        found = np.concatenate(found)
        return found[np.argsort(found[:, 2])]

    def _below(self, rng: np.random.Generator) -> Array:
        """Where Hülle cells or clumps of conidia lie, round the stipe below the head: x, y, half axes (N, 4)."""
        count = rng.integers(4, 8)
        x = -self.radius * rng.uniform(1.4, 2.7, count)
        y = self.radius * rng.uniform(0.45, 1.25, count) * rng.choice([-1, 1], count)
        return np.column_stack([x, y, self.unit * rng.uniform([4.4, 3.7], [5.8, 5.0], (count, 2))])

    def seen(self, points: Array) -> Array:
        """Points (N, 2) or (N, 3) of the head -> (N, 2) x, y on the slide."""
        if points.shape[1] == 3:
            x = np.cos(self.pitch) * points[:, 0] + np.sin(self.pitch) * points[:, 2]
            points = np.stack([x, points[:, 1]], axis=1)
        c, s = np.cos(self.angle), np.sin(self.angle)
        return points @ np.array([[c, s], [-s, c]]) + self.at

    @property
    def body(self) -> Array:
        """Points (N, 2) x, y on the slide that the head without its stipe reaches to."""
        flat = [self.outline, self.below[:, :2] - 6 * self.unit, self.below[:, :2] + 6 * self.unit]
        return np.concatenate([self.seen(part) for part in (*flat, *(row.tip for row in self.rows), self.chains)])

    def paint(self, shape: tuple[int, int], stamps: list[Stamp], bare: bool = False) -> Patch:
        """The head on a slide of `shape`, its conidia like `stamps`; with `bare`, only its vesicle and stipe."""
        patch = Patch(np.concatenate([self.body, self.seen(self.spine), self.seen(self.foot)]), shape, PARTS)
        self._paint_stalk(patch)
        if not (bare or self.bare):
            self._paint_below(patch, stamps)
            self._paint_cells(patch)
            depth = np.abs(self.chains[:, 2]) / self.radius
            level = np.digitize(depth, (0.3, 0.7)) * 4 + np.arange(len(depth)) % 4
            patch.stamp(self.seen(self.chains), [stamps[k] for k in level])
        return patch

    @staticmethod
    def mask(patch: Patch, part: str) -> Array:
        """Where one of PARTS lies in a painted patch, bool (h, w)."""
        return patch.stamped() & ~patch.mask("below") if part == "conidia" else patch.mask(part)

    def _paint_stalk(self, patch: Patch) -> None:
        along = np.arange(len(self.spine))
        widths = self.thick * (1 + 0.5 * step(1 - along / 8) + 0.004 * along)
        line = self.unit * 1.0
        patch.polygon(self.seen(tube(self.foot, 0.65 * self.thick)), WALL, "stipe")
        patch.polygon(self.seen(tube(self.spine, widths)), WALL, "stipe")
        patch.polygon(self.seen(self.outline), WALL, "vesicle")
        patch.polygon(self.seen(tube(self.foot, 0.65 * self.thick - 2 * line)), CELL)
        patch.polygon(self.seen(tube(self.spine, widths - 2 * line)), CELL)
        for share, tone in ((1 - line / self.radius, 1.0), (0.72, 0.88), (0.42, 0.76)):
            patch.polygon(self.seen(self.outline * share), faded(CELL, tone))

    def _paint_cells(self, patch: Patch) -> None:
        """Cells out of focus blend with the vesicle below them; those round its rim are drawn over the others."""
        one, two = [("phialides", PHIALIDE, EDGE, FLASK)], [("metulae", METULA, METULA, WEDGE), ("phialides", UPPER, PHIALIDE, FLASK)]
        for rim in (False, True):
            for row, (part, fill, edge, profile) in zip(self.rows, one if len(self.rows) == 1 else two, strict=True):
                which = (row.sharp == 1) == rim
                outlines = _outlines(self.seen(row.base[which]), self.seen(row.tip[which]), row.width, profile)
                middles = outlines.mean(axis=1, keepdims=True)
                insides = middles + (outlines - middles) * (1 - 1.5 * self.unit / row.width)
                for whole, inside, sharp in zip(outlines, insides, row.sharp[which].tolist(), strict=True):
                    patch.polygon(whole, mix(CELL, edge, sharp), part)
                    patch.polygon(inside, mix(CELL, fill, sharp))

    def _paint_below(self, patch: Patch, stamps: list[Stamp]) -> None:
        for k, (x, y, a, b) in enumerate(self.below):
            ring = np.stack([a * RING[:, 0], b * RING[:, 1]], axis=1)
            if self.key.hulle:
                for share, ink in HULLE:
                    patch.polygon(self.seen(ring * share + (x, y)), ink, "below" if share == 1 else "")
            else:
                patch.mark(self.seen(1.05 * ring + (x, y)), "below")
                patch.stamp(self.seen(0.55 * ring[k % 3::6] + (x, y)), [stamps[(k + m) % 8] for m in range(4)])


def conidia(radius: float, rng: np.random.Generator) -> list[Stamp]:
    """Twelve conidia that differ: four in focus, four less so, four out of it."""
    return [Stamp(radius * np.exp(rng.normal(0, 0.07)), CORE, mix(CORE, RIM, sharp), 0.30 + 0.60 * sharp,
                  tuple(rng.normal(0, 0.12, 2)), np.exp(abs(rng.normal(0, 0.06))), rng.uniform(0, np.pi))
            for sharp in (1.0, 0.6, 0.25) for _ in range(4)]


def _row(base: Array, ahead: Array, sharp: Array, long: float, width: float, rng: np.random.Generator) -> Cells:
    return Cells(base, base + ahead * long * np.exp(rng.normal(0, 0.05, (len(base), 1))), sharp, width)


def _unit(vectors: Array) -> Array:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _outlines(base: Array, tip: Array, width: float, profile: Array) -> Array:
    """The outlines (N, 14, 2) of cells from `base` to `tip` (N, 2): seen from its end, a cell is round."""
    ahead = tip - base
    long = np.linalg.norm(ahead, axis=1)[:, None, None]
    aside = np.stack([-ahead[:, 1], ahead[:, 0]], axis=1)[:, None] / (long + 1e-6) * width / 2
    middle, half = base[:, None] + profile[:, :1] * ahead[:, None], profile[:, 1:] * aside
    circle = width / 2 * np.stack([np.cos(CIRCLE), np.sin(CIRCLE)], axis=1)
    flask = np.concatenate([middle + half, (middle - half)[:, ::-1]], axis=1)
    return np.where(long < 1.1 * width, (base + tip)[:, None] / 2 + circle, flask)
