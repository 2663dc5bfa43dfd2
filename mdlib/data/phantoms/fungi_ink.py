"""Ink of a phantom slide: shapes painted larger than they are seen, reduced, and put out of focus.

An ink is the amount, [0, 255], of blue stain, of pigment and of what walls refract: three layers of one picture, of
the four that Pillow holds in its mode CMYK. The fourth is what has been stamped.
"""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from mdlib.data.phantoms.drawing import Array

ZOOM = 2                        # stamps, and what is in focus, are painted at twice the size of the slide's pixels
FULL = 2.2                      # the optical density that an ink of 255 stands for
CAP = np.exp(1j * np.array([1.0, 0.5, 0.0, -0.5, -1.0]))       # a round end
STAMPED = 55                    # of 255: half of a stamp out of focus
Ink = tuple[int, int, int]


class Patch:
    """A window of the slide, in its pixels: what is painted in it, and where its parts lie."""

    def __init__(self, points: Array, shape: tuple[int, int], parts: tuple[str, ...] = (), margin: int = 8):
        """The window round `points` (N, 2) x, y, as far as it lies on a slide of `shape`."""
        low = np.clip(np.floor(points.min(axis=0)) - margin, 0, (shape[1] - 1, shape[0] - 1)).astype(int)
        high = np.clip(np.ceil(points.max(axis=0)) + margin, low + 1, (shape[1], shape[0])).astype(int)
        self.corner, self.size = low, high - low
        self.place = (slice(low[1], high[1]), slice(low[0], high[0]))
        painted = tuple((self.size * ZOOM).tolist())
        self.canvas = Image.new("CMYK", painted)
        self._pen = ImageDraw.Draw(self.canvas)
        self._masks = {part: Image.new("L", painted) for part in parts}
        self._pens = {part: ImageDraw.Draw(mask) for part, mask in self._masks.items()}

    def polygon(self, points: Array, ink: Ink, part: str = "") -> None:
        """Fill the outline `points` (N, 2)."""
        corners = ((points - self.corner) * ZOOM - 0.5).ravel().tolist()
        self._pen.polygon(corners, fill=(*ink, 0))
        if part in self._pens:
            self._pens[part].polygon(corners, fill=255)

    def mark(self, points: Array, part: str) -> None:
        """Let a part lie within the outline `points` (N, 2), and paint nothing."""
        self._pens[part].polygon(((points - self.corner) * ZOOM - 0.5).ravel().tolist(), fill=255)

    def line(self, points: Array, width: float, ink: Ink) -> None:
        """A line along `points` (N, 2)."""
        self._pen.line(((points - self.corner) * ZOOM - 0.5).ravel().tolist(), (*ink, 0), round(width * ZOOM), "curve")

    def stamp(self, points: Array, stamps: list["Stamp"]) -> None:
        """Put a stamp round each of `points` (N, 2), one over the other. What is painted over them hides them."""
        for (x, y), stamp in zip(((points - self.corner) * ZOOM).tolist(), stamps, strict=True):
            self.canvas.paste(stamp.ink, (round(x - stamp.middle), round(y - stamp.middle)), stamp.cover)

    def density(self, blur: float) -> Array:
        """Optical density (h, w, 3) of stain, pigment and walls; what is in focus has a `blur` of less than a pixel."""
        if blur < 1:
            small = self.canvas.reduce(ZOOM).filter(ImageFilter.BoxBlur(blur))
        else:       # fine detail is lost: a quarter of the pixels will do
            small = self.canvas.reduce(2 * ZOOM).filter(ImageFilter.GaussianBlur(0.4 * blur))
            small = small.resize(self.size.tolist(), Image.Resampling.BILINEAR)
        layers = np.asarray(small, np.float32)
        layers *= np.float32(FULL / 255)
        return layers[..., :3]

    def mask(self, part: str) -> Array:
        """Where a part covers at least half of a pixel (h, w)."""
        return np.asarray(self._masks[part].reduce(ZOOM)) >= 128

    def stamped(self) -> Array:
        """Where there are stamps (h, w)."""
        return np.asarray(self.canvas.reduce(ZOOM))[..., 3] >= STAMPED


class Stamp:
    """A round body: its ink from the middle outwards, and how much of what lies below shows through."""

    def __init__(self, radius: float, core: Ink, rim: Ink, cover: float, shift: tuple[float, float] = (0, 0),
                 long: float = 1.0, turn: float = 0.0):
        """`core` in the middle, off by `shift` radii, and `rim` at the wall; `long` times longer along `turn`."""
        self.middle = int(np.ceil(radius * ZOOM * max(long, 1))) + 1
        at = (np.arange(2 * self.middle + 1, dtype=np.float32) - self.middle) / (radius * ZOOM)
        x, y = at[None, :], at[:, None]
        u, v = (np.cos(turn) * x + np.sin(turn) * y) / long, np.cos(turn) * y - np.sin(turn) * x
        away = np.hypot(u, v)
        wall = np.exp(-((away - 0.88) / 0.20) ** 2)[..., None]
        bright = np.exp(-(np.hypot(u - shift[0], v - shift[1]) / 0.45) ** 2)[..., None]
        core, rim = np.array(core, np.float32), np.array(rim, np.float32)
        inside = np.clip((1 - away) * radius * ZOOM + 0.5, 0, 1)
        ink = (core + (rim - core) * wall - 0.45 * core * bright).clip(0, 255).astype(np.uint8)
        ink = np.concatenate([ink, np.full((*away.shape, 1), 255, np.uint8)], axis=2)
        self.ink = Image.frombytes("CMYK", away.shape, ink.tobytes())
        self.cover = Image.fromarray((255 * cover * inside).astype(np.uint8))


def tube(spine: Array, width: Array | float) -> Array:
    """The outline (M, 2) of a tube of `width` along `spine` (N, 2), round at its ends."""
    middle = np.ascontiguousarray(spine, np.float64).view(np.complex128)[:, 0]
    steps = np.diff(middle)
    ahead = np.concatenate([steps[:1], steps[1:] + steps[:-1], steps[-1:]])
    ahead *= np.broadcast_to(np.asarray(width) / 2, len(ahead)) / np.abs(ahead)     # as long as the tube is thick
    left, right = middle + 1j * ahead, middle - 1j * ahead
    outline = np.concatenate([left, middle[-1] + ahead[-1] * CAP, right[::-1], middle[0] - ahead[0] * CAP])
    return outline.view(np.float64).reshape(-1, 2)


def faded(ink: Ink, share: float) -> Ink:
    """So much of an ink."""
    return tuple(int(part * share) for part in ink)


def mix(some: Ink, other: Ink, share: float) -> Ink:
    """An ink between two, `share` of the way to the other."""
    return tuple(int(a + (b - a) * share) for a, b in zip(some, other, strict=True))
