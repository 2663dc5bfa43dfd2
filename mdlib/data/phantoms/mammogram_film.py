"""From a patient to a film: one breast in one view with its findings, the exposure, the grain, the label."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from scipy.ndimage import gaussian_filter
from scipy.spatial import ConvexHull

from mdlib.data.phantoms import mammogram_tissue as tissue
from mdlib.data.phantoms.drawing import Array, step, stream
from mdlib.data.phantoms.mammogram_anatomy import HEIGHT, SHAPE, VIEWS, WIDTH, outline
from mdlib.data.phantoms.mammogram_findings import RADIUS, Finding, Mark, Scene, draw

CONCEPTS = ("mass", "spiculation", "malignant calcification", "benign calcification", "architectural distortion",
            "vessel", "calcified vessel", "dense tissue", "pectoral muscle", "skin", "nipple")
MARGIN = 1.5        # pixels between a finding and its outline
# Of each letter of the label one stroke: columns and rows.
LETTERS = {"L": (0, 0, 0, 4, 2, 4), "R": (0, 4, 0, 0, 2, 0, 2, 2, 0, 2, 2, 4), "C": (2, 0, 0, 0, 0, 4, 2, 4),
           "M": (0, 4, 0, 0, 1, 2, 2, 0, 2, 4), "O": (0, 0, 2, 0, 2, 4, 0, 4, 0, 0)}


@dataclass(frozen=True)
class Patient:
    """A patient and what the four films show. `gain`: 0 to 1, from a film of low contrast to one of high contrast."""
    number: int
    label: str
    density: int
    age: int
    gain: float
    findings: tuple[Finding, ...]

    @property
    def exam(self) -> str:
        return f"A_{self.number:04d}_1"

    @property
    def home(self) -> Path:
        """The folder of the patient within a collection."""
        return Path("cases", f"{self.label}s", f"{self.label}_01", f"case{self.number:04d}")


@dataclass(frozen=True)
class Case:
    """One film of the collection."""
    patient: Patient
    side: str
    view: str

    @property
    def file(self) -> str:
        return f"{self.patient.exam}.{self.side}_{self.view}"

    @property
    def film(self) -> str:
        return f"{self.patient.label}_01-{self.file}"

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The findings of this breast, numbered from 1 in their order."""
        return tuple(each for each in self.patient.findings if each.side == self.side)


class Film:
    """A film laid out once, to be developed with its findings or without."""

    def __init__(self, case: Case, seed: int):
        self.case, self.seed = case, seed
        self.outlines = {view: outline(seed, case.patient.number, case.side, view) for view in VIEWS}
        self.outline = self.outlines[case.view]
        self.gland = tissue.glands(self.outline, case.patient.density, self._stream("glands"))
        self.vessels, self.courses = tissue.vessels(self.outline, self._stream("vessels"))
        self.healthy = self._healthy()

    def _stream(self, element: str) -> np.random.Generator:
        return stream(self.seed, self.case.patient.number, self.case.side, self.case.view, element)

    def _healthy(self) -> Array:
        """What the healthy breast takes up; 1: a full thickness of fat."""
        o = self.outline
        depth = (0.62 * o.thickness + tissue.texture(o, self.gland, self._stream("texture"))
                 + 0.13 * self.vessels * o.thickness + tissue.skin(o) + tissue.muscle(o, self._stream("muscle")))
        return gaussian_filter(depth, 0.5, truncate=3)

    @cached_property
    def marks(self) -> tuple[Mark, ...]:
        """What each finding of this breast adds, before the film is mirrored."""
        inside = step(self.outline.depth / 8)
        marks = [draw(finding, self._stream(f"finding {number}"), Scene(*place, self.healthy, self.courses))
                 for number, (finding, place) in enumerate(zip(self.case.findings, self._places(), strict=True), 1)]
        return tuple(Mark(mark.change * inside, {name: part & (inside > 0) for name, part in mark.parts.items()})
                     for mark in marks)

    def _places(self) -> list[tuple[float, float]]:
        """Column and row of each finding: equally far from the chest wall in both views, apart from one another."""
        found: list[dict[str, tuple[float, float]]] = []
        for number, finding in enumerate(self.case.findings, 1):
            rng = stream(self.seed, self.case.patient.number, self.case.side, "place", number)
            radius = RADIUS[finding.kind]
            found.append(max((self._try(rng) for _ in range(60)), key=lambda place: self._free(place, radius, found)))
        return [place[self.case.view] for place in found]

    def _try(self, rng: np.random.Generator) -> dict[str, tuple[float, float]]:
        share, (aside, above) = rng.uniform(0.18, 0.80), rng.uniform(-1, 1, 2)
        place = {}
        for view, offset in zip(VIEWS, (95 * aside, 85 * above - 20), strict=True):
            column, row = self.outlines[view].nipple
            place[view] = column * share, row + offset * (1.15 - 0.6 * share)
        return place

    def _free(self, place: dict, radius: float, others: list[dict]) -> float:
        """0 where a place is good, negative where it is not."""
        rooms = [self.outlines[view].room(*place[view], radius) for view in VIEWS]
        gaps = [np.hypot(*np.subtract(place[view], other[view])) - 36 for other in others for view in VIEWS]
        return min(0.0, *rooms, *gaps)

    def develop(self, findings: bool = True) -> Array:
        """The film as uint8 (HEIGHT, WIDTH), with its findings or without any."""
        depth = self.healthy + sum(mark.change for mark in self.marks) if findings and self.marks else self.healthy
        gain, own = self.case.patient.gain, self._stream("exposure")
        contrast, middle = 2.6 + 2.2 * gain + own.normal(0, 0.1), 0.76 - 0.12 * gain + own.normal(0, 0.03)
        brightest = 168 + 80 * gain + own.normal(0, 4)
        grey = 1 / (1 + np.exp(np.float32(-contrast) * (depth - np.float32(middle))))
        dark = 1 / (1 + np.exp(contrast * middle))
        grain = gaussian_filter(self._stream("grain").standard_normal(SHAPE, dtype=np.float32), 0.45, truncate=3)
        grey = (grey - np.float32(dark)) / np.float32(1 - dark)
        film = 6 + np.float32(brightest) * grey + (1.2 + 5.5 * np.sqrt(np.maximum(grey, 0))) * grain
        film = self._turned(film)
        self._label(film)
        return (np.clip(film, 0, 255) + np.float32(0.5)).astype(np.uint8)

    def _turned(self, picture: Array) -> Array:
        """With the chest wall of the right breast at the right edge."""
        return picture[:, ::-1].copy() if self.case.side == "RIGHT" else picture

    def _label(self, film: Array) -> None:
        """Put a label with side and view on some films, in the upper corner away from the breast if there is room."""
        rng = self._stream("label")
        shown, left, top = rng.random() < 0.55, int(rng.integers(196, 216)), int(rng.integers(8, 30))
        if not shown or self.outline.depth[:top + 34, left - 6:].any():
            return
        plate = Image.new("L", (34, 26), int(rng.integers(150, 235)))
        pen, ink = ImageDraw.Draw(plate), int(rng.integers(10, 50))
        for line, text in enumerate((self.case.side[0], self.case.view)):
            for k, letter in enumerate(text):
                corner = 4 + 9 * k, 3 + 12 * line
                pen.line([2 * value + corner[i % 2] for i, value in enumerate(LETTERS[letter])], ink)
        left = left if self.case.side == "LEFT" else WIDTH - left - plate.width
        film[top:top + plate.height, left:left + plate.width] = np.asarray(plate)

    def masks(self) -> dict[str, Array]:
        """Where each of CONCEPTS lies, and then the breast, bool (HEIGHT, WIDTH)."""
        o = self.outline
        found = dict.fromkeys(CONCEPTS, np.zeros(SHAPE, bool))
        found |= {"vessel": (self.vessels > 0.4) & (o.depth > 0), "dense tissue": self.gland > 0.5,
                  "pectoral muscle": o.pectoral > 0.5, "skin": (o.depth > 0) & (o.depth <= tissue.SKIN) & ~o.papilla,
                  "nipple": o.papilla}
        for mark in self.marks:
            for name, part in mark.parts.items():
                found[name] = found[name] | part
        return {name: self._turned(mask) for name, mask in {**found, "breast": o.depth > 0}.items()}

    def contours(self) -> list[Array]:
        """The closed outline of each finding in the film, int (N, 2): column and row of each pixel along it."""
        return [self._contour(mark.change != 0) for mark in self.marks]

    def _contour(self, pixels: Array) -> Array:
        """The convex hull of `pixels`, MARGIN wider, as pixels of the film."""
        rows, columns = np.nonzero(pixels)
        if self.case.side == "RIGHT":
            columns = WIDTH - 1 - columns
        angles = 2 * np.pi * np.arange(16) / 16
        spread = (np.stack([columns, rows], axis=1)[:, None] + MARGIN * np.stack(
            [np.cos(angles), np.sin(angles)], axis=1)).reshape(-1, 2)
        corners = spread[ConvexHull(spread).vertices]
        return _pixels(corners, (WIDTH - 1, HEIGHT - 1))


def _pixels(corners: Array, largest: tuple[int, int]) -> Array:
    """The pixels along a closed polygon (N, 2), each a neighbour of the one before."""
    ends = np.roll(corners, -1, axis=0)
    share = np.linspace(0, 1, 400, endpoint=False)[:, None, None]
    line = (corners + share * (ends - corners)).transpose(1, 0, 2).reshape(-1, 2)
    line = np.clip(np.rint(line), 0, largest).astype(int)
    return line[(line != np.roll(line, 1, axis=0)).any(axis=1)]

