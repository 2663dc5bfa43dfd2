"""What the browser tests of instances share: crops, boxes and bars as they are seen."""

import re

import numpy as np
from instance_cases import BOXES

SIDE = 256  # pixels of the screen, and of the canvas
FRAME = f".mdx .mdx-frame {{ width: {SIDE}px }}"
CYAN = (76, 201, 240)

# Whether all of some pixels of a canvas are cyan, for each list of their places.
ALL_CYAN = """(canvas, [lists, cyan]) => {
  const context = canvas.getContext("2d");
  const near = ([x, y]) => context.getImageData(x, y, 1, 1).data.slice(0, 3).every((c, i) => Math.abs(c - cyan[i]) < 3);
  return lists.map((places) => places.every(near));
}"""

# The size and the colour in the middle of the picture of a crop, and how wide it is shown.
PICTURE = """button => {
  const image = button.querySelector("img");
  const canvas = Object.assign(document.createElement("canvas"), { width: 1, height: 1 });
  const context = canvas.getContext("2d");
  context.drawImage(image, image.naturalWidth / 2, image.naturalHeight / 2, 1, 1, 0, 0, 1, 1);
  return [image.naturalWidth, image.clientWidth, ...context.getImageData(0, 0, 1, 1).data].slice(0, 5);
}"""


def colours(view) -> list[tuple]:
    return [tuple(of.evaluate(PICTURE)[2:]) for of in view.crops.all()]


def inner_sides(box: tuple) -> list[tuple[int, int]]:
    """A place just inside each side of a box."""
    x, y, w, h = (SIDE * np.array(box)).astype(int).tolist()
    return [(x + 3, y + h // 2), (x + w - 4, y + h // 2), (x + w // 2, y + 3), (x + w // 2, y + h - 4)]


def lit(view, boxes=BOXES, nth: int = 0) -> list[int]:
    """The boxes, from 1, with a thick line inside all their sides."""
    found = view.films.nth(nth).evaluate(ALL_CYAN, [[inner_sides(box) for box in boxes], CYAN])
    return [i for i, is_lit in enumerate(found, 1) if is_lit]


def marked(view) -> list[int]:
    """The crops, from 1, that are shown as highlighted."""
    return [i for i, of in enumerate(view.crops.all(), 1) if "mdx-now" in of.get_attribute("class")]


def point(view, x: float, y: float) -> None:
    """The mouse to a place of the picture, in fractions of its sides."""
    view.root.locator(".mdx-frame").first.hover(position={"x": SIDE * x, "y": SIDE * y})


def heights(view) -> list[float]:
    """The bars of the chart, from left to right, as shares of its height."""
    path = view.gates.locator("path").get_attribute("d")
    return [1 - float(top) for top in re.findall(r"V([\d.]+)H", path)]
