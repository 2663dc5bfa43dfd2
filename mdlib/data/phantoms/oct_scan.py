"""From a case to an OCT volume: the retina's surfaces, its layers, what lies in it, the device that sees it.

The retina belongs to the patient, its details to the eye, gain and noise to the scan; none of them looks at the label.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import find_objects, gaussian_filter1d

from mdlib.data.phantoms import oct_places
from mdlib.data.phantoms.drawing import Array, log_uniform, smooth, step, stream
from mdlib.data.phantoms.oct_places import Knobs, Place


@dataclass(frozen=True)
class Device:
    """How a device samples and what its noise looks like."""
    shape: tuple[int, int]      # of a slice
    slices: tuple[int, int]     # least and most
    speckle: float              # relative standard deviation, after averaging
    grain: tuple[float, float]  # of the speckle, down and across, in pixels
    floor: float                # light of the vitreous
    gamma: float


DEVICES = {"cirrus": Device((64, 128), (36, 36), 0.20, (0.45, 0.60), 0.10, 1.0),
           "spectralis": Device((62, 96), (25, 31), 0.17, (0.70, 1.30), 0.03, 1.35)}

# Reflectivity from the inner limiting membrane (0) to the RPE (1): nerve fibres, ganglion cells, inner plexiform,
# inner nuclear, outer plexiform, outer nuclear, external limiting membrane, inner/outer segments, RPE and Bruch.
LAYERS = np.array([(0.00, 0.00), (0.02, 0.85), (0.11, 0.78), (0.14, 0.48), (0.24, 0.50), (0.27, 0.58), (0.38, 0.58),
                   (0.41, 0.34), (0.50, 0.32), (0.53, 0.52), (0.57, 0.50), (0.61, 0.30), (0.77, 0.28), (0.79, 0.42),
                   (0.82, 0.34), (0.85, 0.80), (0.88, 0.74), (0.91, 0.52), (0.94, 0.98), (1.00, 1.00)])
OUTER = 0.59        # the layers below keep their thickness: the pit and swellings belong to the inner ones
TABLE = 256


@dataclass(frozen=True)
class Case:
    """One volume of the collection."""
    volume: str
    patient: str
    label: str
    device: str
    eye: str


class Scan:
    """A case laid out once, to be drawn with all its cysts or without some."""

    def __init__(self, case: Case, knobs: Knobs, seed: int):
        self.case, self.knobs, self.seed, self.device = case, knobs, seed, DEVICES[case.device]
        count = self._stream("slices").integers(self.device.slices[0], self.device.slices[1] + 1)
        self.shape = (int(count), *self.device.shape)
        self.z = np.arange(count, dtype=np.float32)[:, None]
        self.x = np.arange(self.shape[2], dtype=np.float32)[None, :]
        closed = self._stream("cysts").integers(knobs.cysts[0], knobs.cysts[1] + 1) * (case.label == "DME")
        self.places = oct_places.places(knobs, self.shape, int(closed), self._stream("places"))
        self._lay_out()

    def _stream(self, element: str) -> np.random.Generator:
        return stream(self.seed, self.case.volume, element)

    def _lay_out(self) -> None:
        """The surfaces without swelling, (S, W) each: `rpe` and `thickness` in pixels."""
        (count, height, width), person = self.shape, stream(self.seed, self.case.patient, "person")
        u, v = 2 * self.x / (width - 1) - 1, 2 * self.z / (count - 1) - 1
        thick = height * np.clip(person.normal(0.38, 0.025), 0.32, 0.44)
        curve, pit, broad = person.uniform(-0.02, 0.07), person.uniform(0.45, 0.62), person.uniform(0.16, 0.24)
        eye = self._stream("eye")
        tilt, lean = eye.normal(0, 0.05), eye.normal(0, 0.02)
        level = eye.uniform(0.70, 0.76) + tilt * u + lean * v + curve * (0.3 - u * u - 0.4 * v * v)
        self.rpe = height * level + 0.6 * smooth(eye, (count, width), (4, 7)) + eye.normal(0, 0.3, (count, 1))
        away = np.hypot(u - eye.normal(0, 0.10), v - eye.normal(0, 0.12))
        shape = 1 - pit * np.exp(-(away / broad) ** 2) + 0.10 * np.exp(-((away - 0.48) / 0.22) ** 2)
        nasal = 0.05 * u * (1 if self.case.eye == "OD" else -1)
        self.thickness = thick * (shape + nasal) + 1.3 * smooth(eye, (count, width), (3, 4))
        self.rpe, self.thickness = np.float32(self.rpe), np.float32(self.thickness)
        self.outer = np.float32((1 - OUTER) * thick)

    def draw(self, without: Iterable[int] = ()) -> Array:
        """The volume as uint8 (S, H, W), `without` the lesions named."""
        shown = [place for place in self.places if not place.lesion or place.lesion not in without]
        light = self._tissue(self._thickness(shown))
        for place in shown:
            self._add(light, place)
        light *= self._shadows()
        return self._see(light)

    def lesions(self) -> Array:
        """The voxels of each cyst with its rim, uint8 (S, H, W): 0, or the number of the lesion."""
        labels = np.zeros(self.shape, np.uint8)
        for place in self.places:
            if place.lesion:
                box, (lost, ring) = self._painted(place)
                labels[box][(lost + ring) > 0] = place.lesion
        return labels

    def _thickness(self, shown: list[Place]) -> Array:
        rises = [oct_places.swelling(place, self.thickness, self.z, self.x, self.knobs) for place in shown]
        return self.thickness + np.max(rises, axis=0, initial=0)

    def _tissue(self, thickness: Array) -> Array:
        """Light from every voxel without what lies in the retina (S, H, W)."""
        druse = self._drusen()
        y = np.arange(self.shape[1], dtype=np.float32)[None, :, None]
        below = y - self.rpe[:, None]                                   # pixels under the RPE's own level
        rpe = below + druse[:, None]                                    # under the RPE as drusen lift it
        inner = np.maximum(thickness - self.outer, 2)[:, None]
        part = np.where(rpe > -self.outer, 1 + rpe * ((1 - OUTER) / self.outer),
                        OUTER * (1 + (below + self.outer) / inner))
        light = self._table()[np.clip(part * TABLE, 0, TABLE + 1).astype(np.intp)]
        rng, (count, height, width) = self._stream("choroid"), self.shape
        mottled = 1 + 0.28 * smooth(rng, self.shape, (count // 3, 8, width // 7))
        choroid = np.float32(rng.uniform(0.42, 0.62)) * np.exp(-below / np.float32(rng.uniform(0.14, 0.26) * height))
        under = np.where(below < 1, np.float32(0.62), np.minimum(choroid, 1) * mottled)
        return np.where(rpe > 1.5, under, light)

    def _table(self) -> Array:
        rng = stream(self.seed, self.case.patient, "layers")
        bright = LAYERS[:, 1] * np.exp(rng.normal(0, 0.08, len(LAYERS)))
        bright[0] = self.device.floor
        return np.interp(np.arange(TABLE + 2) / TABLE, LAYERS[:, 0], bright).astype(np.float32)

    def _drusen(self) -> Array:
        """By how much the RPE is lifted (S, W)."""
        rng, lift = self._stream("drusen"), np.zeros((self.shape[0], self.shape[2]), np.float32)
        for _ in range(rng.integers(self.knobs.drusen[0], self.knobs.drusen[1] + 1)):
            wide, z, x = log_uniform(rng, 5, 30), rng.uniform(0, self.shape[0]), rng.uniform(0, self.shape[2])
            away = np.hypot(2 * (self.x - x) / wide, 2 * (self.z - z) / (1.5 + wide / 6))
            lift = np.maximum(lift, np.float32(min(1.2 + 0.16 * wide, 5)) * step(1.3 - away))
        return lift

    def _shadows(self) -> Array:
        """What vessels leave of the light below them, (S, H, W): bright at the vessel, dark under it."""
        rng, kept = self._stream("shadows"), np.ones(self.shape, np.float32)
        y = np.arange(self.shape[1], dtype=np.float32)[None, :, None]
        for _ in range(rng.integers(self.knobs.shadows[0], self.knobs.shadows[1] + 1)):
            wide, z, x = log_uniform(rng, 3, 16), rng.uniform(0, self.shape[0]), rng.uniform(0, self.shape[2])
            drift, reach, dark = rng.normal(0, 1.5), rng.uniform(2, 8), rng.uniform(0.35, 0.65)
            across = step((wide / 2 + 1 - np.abs(self.x - x - drift * (self.z - z))) / (wide / 3 + 1.5))
            across *= step((reach - np.abs(self.z - z)) / 1.5)
            for zs, xs in find_objects((across > 0).astype(np.uint8)):
                top = (self.rpe - self.thickness)[zs, None, xs] + np.float32(2)
                deep = np.clip(y - top - wide / 3, 0, 1)
                spot = np.clip(1 - np.abs(y - top) / (1 + wide / 4), 0, 1)
                kept[zs, :, xs] *= 1 + across[zs, None, xs] * (np.float32(0.35) * spot - np.float32(dark) * deep)
        return kept

    def _add(self, light: Array, place: Place) -> None:
        box, (lost, ring) = self._painted(place)
        light[box] = light[box] * (1 - lost) + np.float32(self.knobs.rim) * ring

    def _painted(self, place: Place) -> tuple[tuple[slice, ...], tuple[Array, Array]]:
        """The part of the volume that a place can touch, and what `oct_places.paint` does to it."""
        thick = max(float(self.thickness[round(place.z), round(place.x)]), oct_places.needed(place, self.knobs))
        room = (place.height / 2 + 1) / thick                          # stays between the surfaces
        over = (1 - np.clip(place.depth, room, max(1 - 0.13 - room, room))) * thick
        reach = 1.6 * place.width / 2 + 2
        xs = slice(max(int(place.x - reach), 0), min(int(place.x + reach) + 2, self.shape[2]))
        zs = slice(max(int(place.z - place.slices / 2 - 1), 0), min(int(place.z + place.slices / 2) + 3, self.shape[0]))
        middle = self.rpe[zs, xs] - np.float32(over)                   # follows the retina's tilt
        ys = slice(max(int(middle.min() - place.height) - 1, 0), min(int(middle.max() + place.height) + 2,
                                                                     self.shape[1]))
        y = np.arange(self.shape[1], dtype=np.float32)[None, ys, None]
        dz, dy = (self.z[zs] - np.float32(place.z))[:, None], y - middle[:, None]
        dx = np.broadcast_to((self.x[:, xs] - np.float32(place.x))[:, None], dy.shape)
        return (zs, ys, xs), oct_places.paint(place, dz, dy, dx, self.knobs)

    def _see(self, light: Array) -> Array:
        """Speckle, the fall-off of the beam and the gain of the scan: uint8 (S, H, W)."""
        rng, device = self._stream("device"), self.device
        noise = self._stream("noise").standard_normal(self.shape, dtype=np.float32)
        scale = np.float32(1)
        for axis, grain in zip((1, 2), device.grain, strict=True):
            noise = gaussian_filter1d(noise, grain, axis=axis, mode="nearest", truncate=3)
            scale *= _norm(grain)
        light = np.maximum(light, np.float32(device.floor))
        light *= np.exp(np.float32(self.knobs.speckle * device.speckle * rng.uniform(0.85, 1.15) / scale) * noise)
        fall = 1 - rng.uniform(0, 0.3) * (2 * self.x / self.shape[2] - 1 - rng.normal(0, 0.4)) ** 2
        light *= np.maximum(fall, 0.4).astype(np.float32)
        gain = rng.uniform(0.5, 0.95)
        grey = np.float32(rng.uniform(0, 0.12)) + np.float32(gain) * light ** np.float32(
            device.gamma * np.exp(rng.normal(0, 0.12)))
        return (np.clip(grey, 0, 1) * np.float32(255) + np.float32(0.5)).astype(np.uint8)


def _norm(sigma: float) -> float:
    """Standard deviation that is left of white noise after a Gaussian filter of `sigma`."""
    reach = np.arange(-int(3 * sigma + 0.5), int(3 * sigma + 0.5) + 1)
    kernel = np.exp(-0.5 * (reach / sigma) ** 2)
    return float(np.sqrt(np.sum((kernel / kernel.sum()) ** 2)))
