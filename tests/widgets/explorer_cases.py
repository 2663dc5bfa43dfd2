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
