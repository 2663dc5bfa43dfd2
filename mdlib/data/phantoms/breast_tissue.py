"""A phantom picture of breast tissue: ducts with their membranes, nests and nuclei on the stroma; its masks."""

from functools import cached_property

import numpy as np

from mdlib.data.phantoms import breast_cells as cells
from mdlib.data.phantoms.breast_cells import Drawn, Nuclei
from mdlib.data.phantoms.breast_layout import FAR, TUMOUR, Duct, Layout, Look, Nest, lay_out
from mdlib.data.phantoms.breast_stain import Stain, seen, stain, toned
from mdlib.data.phantoms.breast_stroma import EMPTY, WALL, Stroma, amounts, lay
from mdlib.data.phantoms.drawing import Array, smooth, step, stream

PARTS = ("membrane", "gap", "nests", "nuclei")
MEMBRANE = 1.9                      # thickness
GRAIN = 0.006                       # of the camera
CYTOPLASM, CLEAR = amounts(0.16, 0.50), amounts(0.06, 0.24)
LINE, LOOSE = amounts(0.20, 1.15), amounts(0.07, 0.34)


class Section:
    """A picture laid out once, to be drawn whole or as its twin: gaps of the membranes closed, nests gone."""

    def __init__(self, look: Look):
        self.look, self.shape = look, look.shape
        self.layout: Layout = lay_out(look)
        y, x = np.mgrid[:look.shape[0], :look.shape[1]].astype(np.float32)
        depth = np.full(look.shape, -FAR, np.float32)           # inside the nearest duct, negative outside
        self._fields: list[tuple[Duct, tuple[slice, slice], Array, Array]] = []
        for duct in self.layout.ducts:
            place = duct.window(look.shape, 24 if duct.filling == "acinus" else FAR)
            deep, angle = duct.depth(x[place], y[place])
            self._fields.append((duct, place, deep, angle))
            steep = 2 if duct.filling == "acinus" else 1           # within its window the fibres forget it
            np.maximum(depth[place], np.where(deep < 0, steep * deep, deep), out=depth[place])
        self._x, self._y, self._depth = x, y, depth
        self._stroma = Stroma(self.layout, depth)

    def draw(self, invasion: bool = True) -> Array:
        """The picture, uint8 (H, W, 3); without `invasion` its gaps are closed, its nests gone, all else the same."""
        picture = self._whole if invasion else seen(self._amounts(False), self._colour)
        # The tones that the whole picture needs, so that a twin differs from it nowhere else.
        picture = toned(picture, self._whole, self._colour, self.look.stream("tones"))
        picture += GRAIN * self.look.stream("grain").standard_normal((*self.shape, 1), dtype=np.float32)
        return (np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8)

    @cached_property
    def _colour(self) -> Stain:
        return stain(stream(self.look.seed, self.look.patient, "stain"), self.look.stream("stain"))

    @cached_property
    def _whole(self) -> Array:
        return seen(self._amounts(True), self._colour)

    # ---- what is known about it

    @cached_property
    def labels(self) -> Array:
        """Number, from 1, of the duct in each pixel, with its membrane and what pours out of it; 0 outside, uint8.

        The ducts are numbered as in the layout; acini have no number.
        """
        labels = np.zeros(self.shape, np.uint8)
        for number, (duct, place, depth, _) in enumerate(self._fields, start=1):
            if duct.filling != "acinus":
                labels[place][depth > -MEMBRANE] = number
        for nest, place, body, _ in self._bodies:
            if nest.duct >= 0:
                labels[place][(body > 0.5) & (labels[place] == 0)] = nest.duct + 1
        return labels

    def masks(self) -> dict[str, Array]:
        """Where each of PARTS is to be seen, bool (H, W): membranes as far as they are there, nuclei of epithelium."""
        found = {part: np.zeros(self.shape, bool) for part in PARTS}
        for duct, place, depth, angle in self._fields:
            line, gap = np.abs(depth + MEMBRANE / 2) < MEMBRANE / 2 + 0.3, duct.open(angle) > 0.5
            found["membrane"][place] |= line & ~gap
            found["gap"][place] |= line & gap
        for nest, place, body, rim in self._bodies:
            found["nests" if nest.tumour else "membrane"][place] |= (body if nest.tumour else rim) > 0.5
        found["membrane"] &= ~found["nests"]
        cover = self._drawn.cover * self._nuclei.epithelial[self._drawn.number]
        found["nuclei"].ravel()[self._drawn.where] = cover > 0.5
        return found

    # ---- haematoxylin and eosin

    def _amounts(self, invasion: bool) -> Array:
        """Haematoxylin and eosin of each pixel (H, W, 2)."""
        canvas = self._stroma.draw()
        for each in self._fields:
            self._duct(canvas, *each, invasion)
        for number, (nest, place, body, rim) in enumerate(self._bodies):
            if invasion or not nest.tumour:
                self._nest(canvas[place], place, number, nest, body, rim)
        if invasion:
            self._paint(canvas, self._nuclei, self._drawn)
        else:
            nuclei = cells.joined([*self._cells, *cells.of_nests(self.layout, tumour=False)])
            self._paint(canvas, nuclei, cells.draw(nuclei, self.shape))
        return canvas

    def _duct(self, canvas: Array, duct: Duct, place: tuple[slice, slice], depth: Array, angle: Array,
              invasion: bool) -> None:
        rng, part = self.look.stream(duct.key, "ground"), canvas[place]
        cloud, fine = smooth(rng, depth.shape, (9, 9)), smooth(rng, depth.shape, tuple(n // 3 + 1 for n in depth.shape))
        acinus = duct.filling == "acinus"
        collar = step(1.1 + depth / (22 if acinus else 7)) * (depth < 0)
        lay(part, (0.75 if acinus else 0.4) * collar, LOOSE + 0.05 * fine[..., None])
        inside, texture = np.clip(depth + 0.5, 0, 1), (0.03 * cloud + 0.03 * fine)[..., None] * amounts(0.6, 1.6)
        lay(part, inside, CYTOPLASM + texture)
        if duct.filling not in TUMOUR:
            lay(part, 0.6 * inside * step(1 - np.abs(depth - 4.2) / 4.0), CLEAR)       # of the myoepithelium
        hollow = cells.lumen(duct, angle, depth)
        lay(part, 0.35 * inside * step(1 - np.abs(hollow + 1.0) / 1.8), WALL)          # the luminal border
        lay(part, inside * np.clip(hollow + 0.5, 0, 1), self._content(duct, hollow, cloud, fine))
        line = np.clip((MEMBRANE - np.abs(depth + MEMBRANE / 2)) / 1.2, 0, 1) * (0.9 + 0.12 * cloud)
        if invasion:
            line = line * (1 - duct.open(angle))
        lay(part, np.clip(line, 0, 1) * (0.8 if acinus else 1.0), LINE)

    @staticmethod
    def _content(duct: Duct, hollow: Array, cloud: Array, fine: Array) -> Array:
        """What is in the lumen: nothing, a pink secretion drawn back from the border, or the debris of dead cells."""
        if duct.secretion:
            much = step(0.6 + 0.5 * cloud + (hollow - 3) / 4)[..., None]
            return EMPTY + much * (amounts(0.10, 0.56) + (0.06 * cloud + 0.03 * fine)[..., None])
        if duct.filling == "comedo":
            much = step(0.7 + 0.4 * cloud + 0.25 * fine)[..., None]
            return EMPTY + much * (amounts(0.13, 0.68) + (0.06 * cloud + 0.12 * fine)[..., None])
        return EMPTY

    @cached_property
    def _bodies(self) -> list[tuple[Nest, tuple[slice, slice], Array, Array]]:
        """Of each nest a window round it, and how much of each pixel its cells and its membrane cover."""
        found, rng = [], self.look.stream("outlines of nests")
        for nest in self.layout.nests:
            place = nest.window(self.shape)
            x, y = self._x[place], self._y[place]
            field = nest.field(x, y) + 0.05 * smooth(rng, x.shape, (12, 12))
            reaches = np.clip((3.0 if nest.duct >= 0 else 0.5) - self._depth[place], 0, 1)
            rim = step(1.6 - np.abs(field - 0.27) * 14) * reaches * (not nest.tumour)
            found.append((nest, place, step((field - 0.30) * 5 + 0.5) * reaches, rim))
        return found

    def _nest(self, part: Array, place: tuple[slice, slice], number: int, nest: Nest, body: Array, rim: Array) -> None:
        fine = smooth(self.look.stream("nest", number), body.shape, tuple(size // 3 + 1 for size in body.shape))
        halo = step((nest.field(self._x[place], self._y[place]) - 0.08) * 5) * np.clip(0.5 + 0.3 * fine, 0, 1)
        lay(part, halo * np.clip(0.5 - self._depth[place], 0, 1), LOOSE)
        lay(part, body, CYTOPLASM + 0.05 * fine[..., None])
        lay(part, 0.85 * rim, LINE)

    # ---- nuclei

    @cached_property
    def _cells(self) -> list[Nuclei]:
        """All nuclei but those of the nests."""
        found = []
        for duct in self.layout.ducts:
            found += cells.of_duct(duct, self.look.stream(duct.key, "nuclei"))
        for vessel in self.layout.vessels:
            found.append(cells.of_vessel(vessel, self.look.stream("endothelium", int(vessel.x), int(vessel.y))))
        rng = self.look.stream("stromal nuclei")
        spots = rng.uniform(0, 1, (rng.integers(170, 260), 2)) * self.shape[::-1]
        spots = self._stroma.holds(self.layout.outside(spots, 3))
        angle = self._stroma.along(spots) + rng.normal(0, 0.15, len(spots))
        small = self._stroma.holds(self.layout.lymphocytes)
        return [*found, cells.nuclei("spindle", spots, angle, rng),
                cells.nuclei("lymphocyte", small, rng.uniform(0, np.pi, len(small)), rng)]

    @cached_property
    def _nuclei(self) -> Nuclei:
        return cells.joined([*self._cells, *(found for tumour in (False, True)
                                             for found in cells.of_nests(self.layout, tumour))])

    @cached_property
    def _drawn(self) -> Drawn:
        return cells.draw(self._nuclei, self.shape)

    def _paint(self, canvas: Array, nuclei: Nuclei, drawn: Drawn) -> None:
        """Nuclei with their membrane, chromatin and nucleolus."""
        rng = self.look.stream("chromatin")
        grain = smooth(rng, self.shape, (self.shape[0] // 2, self.shape[1] // 2)).ravel()[drawn.where]
        dark, coarse, rim, dot, axes = (getattr(nuclei, name)[drawn.number].astype(np.float32)
                                        for name in ("dark", "coarse", "rim", "nucleolus", "axes"))
        away = np.hypot(drawn.u, drawn.v)
        haematoxylin = dark * (1 - 0.5 * rim + rim * step((away - 0.55) * 2.6) + coarse * grain)
        eosin = 0.30 + 0.05 * grain
        spot = np.clip(dot - away * axes.mean(axis=1) + 0.5, 0, 1) * (dot > 0)
        haematoxylin, eosin = haematoxylin + spot * (1.2 - haematoxylin), eosin + spot * (0.9 - eosin)
        flat = canvas.reshape(-1, 2)
        flat[drawn.where] += drawn.cover[:, None] * (np.stack([haematoxylin, eosin], axis=1) - flat[drawn.where])
