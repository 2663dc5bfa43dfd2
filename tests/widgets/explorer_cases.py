"""Small cases for the tests of the explorer."""

import numpy as np

from mdlib.widgets.explorer import Case

CLASSES = ("Mass", "Pleural_Thickening", "Edema")
RNG = np.random.default_rng(0)


def make_case(**changes) -> Case:
    """Three classes: the second is the most probable, the third has a map of no signal."""
    values = {
        "image": np.full((64, 64), 90, np.uint8),
        "classes": CLASSES,
        "probability": np.array([0.2, 0.7, 0.1]),
        "truth": np.array([1, 0, np.nan]),
        "maps": {"Grad-CAM": RNG.uniform(0, 1e-3, (3, 7, 7)), "attention": RNG.uniform(0, 1, (1, 4, 4))},
        "signal": {"Grad-CAM": np.array([True, True, False])},
        "contours": {"Mass": [np.array([[0.2, 0.2], [0.6, 0.2], [0.6, 0.6], [0.2, 0.2]])]},
        "name": "phantom 7",
        "alt": "chest X-ray",
    }
    return Case(**(values | changes))


def make_twins(**changes) -> Case:
    """The case with Mass present, and its twin without it: another picture, other numbers, no signal for Mass."""
    gone = RNG.uniform(0, 1e-3, (3, 7, 7))
    twin = make_case(
        image=np.full((64, 64), 60, np.uint8),
        probability=np.array([0.05, 0.6, 0.1]),
        logits=np.array([-2.94, 0.41, -2.20]),
        truth=np.array([0, 0, np.nan]),
        maps={"Grad-CAM": gone, "attention": RNG.uniform(0, 1, (1, 4, 4))},
        signal={"Grad-CAM": np.array([False, True, False])},
        contours={},
        alt="the same without Mass",
    )
    return make_case(**{"logits": np.array([-1.39, 0.85, -2.20]), "twins": {"Mass": twin}} | changes)


def make_volume(slices: int = 12, highest: int = 7, **changes) -> Case:
    """A volume of grey slices, each of another grey, whose score and maps are largest in slice `highest` (from 0).

    Mass is outlined in the slices 6 to 8, and a pooling picked there for Mass and, in slice 7, for every class.
    """
    share = np.exp(-abs(np.arange(slices) - highest) / 2)
    square = np.array([[0.2, 0.2], [0.6, 0.2], [0.6, 0.6], [0.2, 0.2]])
    values = {
        "image": np.broadcast_to(60 + 5 * np.arange(slices, dtype=np.uint8)[:, None, None], (slices, 32, 64)).copy(),
        "scores": 0.83 * share,
        "maps": {
            "Grad-CAM": RNG.uniform(0, 1e-3, (slices, 3, 4, 8)) * share[:, None, None, None],
            "attention": RNG.uniform(0, 1, (slices, 1, 4, 8)),
        },
        "signal": {"Grad-CAM": np.tile([True, True, False], (slices, 1))},
        "contours": {"Mass": [[square] if s in (6, 7, 8) else [] for s in range(slices)]},
        "marks": [
            [(0.25, 0.25, 0.25, 0.5, "1", "Mass")] * (s in (6, 7, 8)) + [(0.5, 0.5, 0.25, 0.25, "2", None)] * (s == 7)
            for s in range(slices)
        ],
        "name": "volume 7",
        "alt": "OCT volume",
    }
    return make_case(**(values | changes))


def make_volume_twins() -> Case:
    """The volume with Mass, and its twin without: another grey, low scores with their maximum elsewhere, no marks."""
    twin = make_volume(
        image=np.full((12, 32, 64), 30, np.uint8), scores=np.linspace(0.1, 0.2, 12), logits=np.zeros(3), marks=(),
        contours={},
    )  # fmt: skip
    return make_volume(logits=np.ones(3), twins={"Mass": twin})
