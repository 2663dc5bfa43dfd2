"""What the browser tests of the widgets share: sizes of the window, pixels drawn, and words that do not fit."""

import numpy as np

ONE_TO_ONE = ".mdx .mdx-frame { width: 64px }"  # a pixel of the picture is one of the screen
WIDE, NARROW = {"width": 1000, "height": 900}, {"width": 390, "height": 844}

# Rows where a word is wider than its column, and parts wider than the explorer.
CLIPPED = """root => [...root.querySelectorAll("*")].filter((node) => node.checkVisibility() &&
  !node.closest(".mdx-hidden, option, input") && (node.matches(".mdx-name") && (node.style.overflowWrap = "normal"),
  node.scrollWidth > node.clientWidth + 1 && node.clientWidth > 0)).map((node) => node.outerHTML.slice(0, 90))"""


def pixels(view, nth: int = 0) -> np.ndarray:
    script = """canvas => {
      const { width, height } = canvas;
      return [height, width, [...canvas.getContext("2d").getImageData(0, 0, width, height).data]];
    }"""
    height, width, values = view.films.nth(nth).evaluate(script)
    return np.array(values).reshape(height, width, 4)[..., :3]
