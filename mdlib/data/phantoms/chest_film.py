"""From a list of findings to a film: the body in front of it, the exposure, the noise.

Exposure belongs to the patient and is drawn without a look at the findings; nothing is normalised afterwards.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

from mdlib.data.phantoms import chest_anatomy as anatomy
from mdlib.data.phantoms import chest_findings as findings
from mdlib.data.phantoms import chest_skeleton as skeleton
from mdlib.data.phantoms.chest_anatomy import Body, Grid
from mdlib.data.phantoms.drawing import Array, stream


@dataclass(frozen=True)
class Case:
    """One image of the collection: who, when, how, and what is to be seen."""
    patient: int
    follow_up: int
    age: int
    sex: str
    view: str
    findings: tuple[str, ...]
    split: str

    @property
    def image(self) -> str:
        return f"{self.patient:08d}_{self.follow_up:03d}.png"


@dataclass(frozen=True)
class Exposure:
    """What turns optical depth into grey: grey = offset + gain * (1 - exp(-dose * depth)) ** gamma, before noise."""
    gain: float
    offset: float
    gamma: float
    dose: float
    blur: float
    noise: float


def exposure(seed: int, patient: int) -> Exposure:
    """The exposure of a patient, independent of everything else."""
    rng = stream(seed, patient, "exposure")
    gain = rng.uniform(0.50, 0.95)
    return Exposure(gain=gain, offset=rng.uniform(0.0, 0.98 - gain), gamma=float(np.exp(rng.uniform(-0.45, 0.55))),
                    dose=float(np.exp(rng.normal(0.15, 0.22))), blur=rng.uniform(0.0011, 0.0032),
                    noise=rng.uniform(0.005, 0.020))


class Film:
    """A case laid out once, to be developed with all its findings or with one left out."""

    def __init__(self, case: Case, side: int, seed: int):
        self.case, self.side, self.seed = case, side, seed
        pose = self._stream("pose of the film")
        zoom = float(np.clip(pose.normal(1.0, 0.035), 0.9, 1.1))
        self.grid = Grid(side, zoom, (pose.normal(0, 0.014), pose.normal(0.01, 0.012)))
        self.turned = np.radians(np.clip(pose.normal(0, 1.3), -3, 3))
        self.body = anatomy.body(seed, case.patient, case.follow_up, case.age, case.sex, case.view)
        self.exposure = exposure(seed, case.patient)
        self.organs: dict[Body, tuple[Array, Array]] = {}
        self._lay_out()

    def _stream(self, element: str) -> np.random.Generator:
        return stream(self.seed, self.case.patient, self.case.follow_up, element)

    def _patient_stream(self, element: str) -> np.random.Generator:
        return stream(self.seed, self.case.patient, element)

    def _lay_out(self) -> None:
        b, grid, person, film = self.body, self.grid, self._patient_stream, self._stream
        self.fixed = (skeleton.tissue(b, grid, person("tissue")) + skeleton.bones(b, grid, person("bones"))
                      + skeleton.hardware(b, grid, film("hardware")) - skeleton.gas(b, grid, film("gas")))
        self.vessels = skeleton.vessels(b, grid, person("vessels"))
        self.grain = 1 + np.float32(0.05) * anatomy.cloud(person("grain"), grid.n, 40)
        scene = findings.Scene(b, grid, self._organs(b)[1])
        # where a finding lies belongs to the patient; how dense it is changes from film to film
        self.changes = {name: findings.PAINT[name](scene, person(name)).denser(film(name).uniform(0.85, 1.15))
                        for name in self.case.findings if name in findings.PAINT}
        self.noise = film("noise").standard_normal((self.side, self.side), dtype=np.float32)
        self.frame = self._frame()

    def _frame(self) -> Array:
        """Collimation (black borders) and the fall-off of the beam (side, side)."""
        rng, c = self._patient_stream("frame"), (np.arange(self.side, dtype=np.float32) + 0.5) / self.side - 0.5
        x, y = c[None, :], c[:, None]
        fall = 1 - np.float32(rng.uniform(0, 0.35)) * ((x - rng.normal(0, 0.2)) ** 2 + (y - rng.normal(0, 0.2)) ** 2)
        for distance in (x + 0.5, 0.5 - x, y + 0.5, 0.5 - y):
            if rng.random() < 0.12:
                fall = fall * np.clip((distance - rng.uniform(0, 0.05)) * 150 + 0.5, 0.02, 1)
        return fall.astype(np.float32)

    def develop(self, without: str | None = None) -> Array:
        """The film as uint8 (side, side), `without` one finding or with all of them."""
        shown = [name for name in self.case.findings if name != without]
        depth = self._depth(shown)
        film = self._turn(depth)
        e, blur = self.exposure, self.exposure.blur * self.side
        if blur > 0.25:
            film = gaussian_filter(film, blur, mode="nearest", truncate=3)
        grey = 1 - np.exp(np.float32(-1.05 * e.dose) * np.maximum(film, 0))
        grey = np.power(grey, np.float32(e.gamma)) + np.float32(e.noise) * self.noise
        grey = (np.float32(e.offset) + np.float32(e.gain) * grey) * self.frame
        return (np.clip(grey, 0, 1) * np.float32(255) + np.float32(0.5)).astype(np.uint8)

    def measures(self, shown: Iterable[str]) -> Body:
        """The body's measures as the findings shown have changed them."""
        b = self.body
        for name in shown:
            if name in findings.REFORM:
                b = findings.REFORM[name](b, self._patient_stream(name))
        return b

    def _depth(self, shown: list[str]) -> Array:
        b = self.measures(shown)
        solid, air = self._organs(b)
        opacity, vessels = np.float32(0), self.vessels
        for name in shown:
            if name in self.changes:
                change = self.changes[name]
                air, vessels, opacity = air * change.air, vessels * change.vessels, opacity + change.opacity
        lucency = np.float32(0.60 + 0.12 * b.hyperlucency)
        return solid - air * (lucency * self.grain - np.float32(0.22) * vessels) + opacity

    def _organs(self, b: Body) -> tuple[Array, Array]:
        """All that is solid, and the lungs, of a body; kept, since most findings leave its measures alone."""
        if b not in self.organs:
            solid = self.fixed + anatomy.heart(b, self.grid) + anatomy.abdomen(b, self.grid)
            self.organs[b] = solid, anatomy.lung_field(b, self.grid)
        return self.organs[b]

    def _turn(self, depth: Array) -> Array:
        """Turn the canvas and cut the film out of it (side, side); each pixel depends on its neighbourhood only."""
        c, s, middle, pad = np.cos(self.turned), np.sin(self.turned), self.side / 2, self.grid.margin
        move = (c, s, middle + pad - c * middle - s * middle, -s, c, middle + pad + s * middle - c * middle)
        canvas = Image.fromarray(np.ascontiguousarray(depth, np.float32))
        return np.asarray(canvas.transform((self.side, self.side), Image.Transform.AFFINE, move,
                                           Image.Resampling.BILINEAR))


def draw(case: Case, side: int = 256, seed: int = 0, without: str | None = None) -> Array:
    """The X-ray of a case as uint8 (side, side); with `without`, its twin that lacks this one finding."""
    return Film(case, side, seed).develop(without)
