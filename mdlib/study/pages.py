"""What stands on the page of a prediction beside its images: warnings, the origin of the network, tables of numbers.

These are messages for whoever asked for the prediction, in plain English.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
from PIL import Image

from mdlib.files import fingerprint

MAX_SIDE = 512      # pixels of the longer side of an image on a page, at most
NAME_BYTES = 200    # file systems take 255, and a name gets an ending and a temporary one
NO_RISK = "A probability is the network's output, not a risk"
NO_DEVICE = "<p><strong>Research software, not a medical device.</strong> Nothing here is a diagnosis.</p>"
STYLE = """<style>
  .warnings { border: 2px solid light-dark(#9a3412, #fdba74); border-radius: 0.4rem; padding: 0.5rem 1rem; }
  .warnings h2 { font-size: 1.1rem; margin: 0.25rem 0; }
  .warnings ul { margin: 0.25rem 0; padding-left: 1.25rem; }
  .numbers { overflow-x: auto; margin: 1rem 0; }
  .numbers td, .numbers thead th + th { text-align: right; }
  .numbers tbody th { font-weight: 400; }
  .numbers .above > * { font-weight: 700; }
</style>"""


def above(description: str, warnings: Mapping[str, str], unit: str, text: str) -> str:
    """HTML for above the images: what this is not, the network, the warnings, and `text` (HTML)."""
    return "\n".join([STYLE, NO_DEVICE, f"<p><strong>{escape(description)}</strong></p>",
                      warning_list(warnings, unit), text])


def warning_list(warnings: Mapping[str, str], unit: str = "image") -> str:
    """HTML: the warnings about one image or volume."""
    if not warnings:
        return f"<p>The checks found nothing unusual about this {unit}. That does not make the prediction reliable.</p>"
    items = "".join(f"<li>{escape(sentence)}</li>" for sentence in warnings.values())
    heading = "1 warning" if len(warnings) == 1 else f"{len(warnings)} warnings"
    return f'<section class="warnings"><h2>{heading}</h2><ul>{items}</ul></section>'


def origin(network: str, trained_on: str, data: Mapping[str, Any], real: str) -> str:
    """A sentence or two: which network was trained on what, and what follows for its output.

    trained_on: as "240 images"; data: of a `Bundle`; real: what images of patients are called, as "radiographs".
    """
    kind = (f"drawn phantoms, no patients: its output on real {real} is meaningless" if data["phantoms"] else
            f"{real} of patients; for other hospitals, devices and patients its output may be less accurate")
    return f"The network {network} was trained on {trained_on} of the collection “{data['name']}”: {kind}."


def paragraph(text: str) -> str:
    """HTML: one paragraph; none of an empty text."""
    return f"<p>{escape(text)}</p>" if text else ""


def table(label: str, head: Sequence[str], rows: Iterable[tuple[str, Sequence[str], bool]]) -> str:
    """HTML: a table of numbers as text. A row: its name, its cells, and whether it is in bold."""
    body = "".join(f'<tr{" class=above" * bold}><th scope="row">{escape(name)}</th>'
                   + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>" for name, cells, bold in rows)
    columns = "".join(f'<th scope="col">{escape(column)}</th>' for column in head)
    return (f'<div class="numbers" tabindex="0" role="region" aria-label="{escape(label)}">'
            f"<table><thead><tr>{columns}</tr></thead><tbody>{body}</tbody></table></div>")


def probabilities(classes: Sequence[str], probability: np.ndarray, note: str = "") -> str:
    """HTML: the probability of each class, in a table, with a reminder that it is no risk."""
    rows = [(name, (f"{value:.3f}",), False) for name, value in zip(classes, probability.tolist(), strict=True)]
    return (paragraph(f"{NO_RISK}{note}.")
            + table("Probability of each class", ("Class", "Probability"), rows))


def page_name(name: str) -> str:
    """The file of the page of an image; a name too long for a file system is cut, with a fingerprint behind it."""
    folder, last = os.path.split(name)
    if len(os.fsencode(last)) > NAME_BYTES:
        last = f"{os.fsencode(last)[:NAME_BYTES // 2].decode(errors='ignore')}-{fingerprint(os.fsencode(last).hex())}"
    return os.path.join(folder, f"{last}.html")


def plain(name: str) -> str:
    """A file name as one line of text, whatever bytes it is made of."""
    text = os.fsencode(name).decode(errors="replace")
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)


def shown(image: np.ndarray) -> np.ndarray:
    """An image, uint8 (H, W) or (H, W, 3), as it is on a page: its longer side has at most MAX_SIDE pixels."""
    height, width = image.shape[:2]
    scale = MAX_SIDE / max(height, width, MAX_SIDE)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS)) if scale < 1 else image
