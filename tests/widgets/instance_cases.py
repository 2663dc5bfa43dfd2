"""Small cases of a network that crops instances, for the tests of their panel."""

import numpy as np

from mdlib.widgets.records import Case

SPECIES = ("fumigatus", "flavus", "niger")
# The third lies in the second.
BOXES = ((0.5, 0.125, 0.25, 0.25), (0.125, 0.5, 0.375, 0.375), (0.1875, 0.5625, 0.125, 0.125))
COLOURS = ((200, 40, 40), (40, 160, 40), (40, 40, 200))
WHOLE = (0, 0, 1, 1)
GATES = (0.9, 0, 0.25, 0.5, 0.125)


def crop(colour: tuple[int, int, int], side: int = 16) -> np.ndarray:
    return np.broadcast_to(np.uint8(colour), (side, side, 3)).copy()


def make_instances(**changes) -> Case:
    """A grey picture of which four crops are taken, each of one colour: three are found, the fourth is the first."""
    found = [(crop(colour), box, True, f"covers head {i}")
             for i, (colour, box) in enumerate(zip(COLOURS, BOXES, strict=True), 1)]  # fmt: skip
    values = {
        "image": np.full((64, 64, 3), 90, np.uint8),
        "classes": SPECIES,
        "probability": np.array([0.2, 0.7, 0.1]),
        "truth": np.array([0, 1, 0]),
        "maps": {"attention": np.zeros((1, 4, 4)), "semantic map": np.full((1, 4, 4), 1 / 16)},
        "name": "P012_03",
        "alt": "microscopy",
        "instances": [*found, (*found[0][:2], False)],
        "gates": GATES,
    }
    return Case(**(values | changes))


def make_instance_twins(**changes) -> Case:
    """The case, and its twin without a head, of which only the second box is left, and with lower gates."""
    left = (crop(COLOURS[1]), BOXES[1])
    twin = make_instances(instances=[left, *[(*left, False)] * 3], gates=np.array(GATES) / 2, logits=np.zeros(3))
    return make_instances(**{"logits": np.ones(3), "twins": {"head 1": twin}} | changes)


def nothing_found(side: int = 16) -> list[tuple]:
    """What is cropped where nothing is found."""
    return [(crop((120, 120, 120), side), WHOLE, False)] * 4
