"""What a network says of a few images, in numbers and maps, and the words that stand above the maps on a page."""

from html import escape
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from scipy.special import expit
from torch import nn

from mdlib.recipes import answers
from mdlib.recipes.answers import NO_DEVICE, STYLE, plain, warned
from mdlib.recipes.chest.card import Card
from mdlib.recipes.chest.figures import words
from mdlib.recipes.chest.incoming import Seen
from mdlib.recipes.chest.plan import NONIMAGE

HEAD = ("Class", "Probability", "Threshold", "At or above", "Sensitivity", "Specificity", "Images with", "without")


def probabilities(fabric: Fabric, model: nn.Module, batch: dict[str, torch.Tensor]) -> np.ndarray:
    """float32 (B, classes), as `trainings` keeps them, of a network on Fabric's device in evaluation mode."""
    with torch.inference_mode(), fabric.autocast():
        logits = model(**fabric.to_device(batch))["logits"].float().cpu().numpy()
    return expit(logits)


def case(card: Card, seen: Seen, probability: np.ndarray, maps: dict, signal: dict) -> dict[str, Any]:
    """One image as `mdlib.widgets.explorer.Case` takes it; what is true of it is not known."""
    name = plain(seen.name)
    return {"image": seen.picture, "classes": card.classes, "probability": probability,
            "truth": np.full(len(probability), np.nan), "maps": maps, "signal": signal, "name": name,
            "alt": f"The image {name}, as far as the network sees it"}


def above(card: Card, seen: Seen, probability: np.ndarray) -> str:
    """HTML: what this is not, what the network has learned from, the warnings, and the numbers of each class."""
    learned = f"<p><strong>{escape(learned_from(card))}</strong> {escape(_beside(card, seen))}</p>"
    return "\n".join([STYLE, NO_DEVICE, learned, warned(seen.warnings), _numbers(card, probability)])


def learned_from(card: Card) -> str:
    """A sentence or two: which network, trained on what."""
    learned = answers.learned(card.training.slug, f"{card.data['train']:,} images", card.data, "radiographs")
    return f"{learned} It sees {card.settings.crop} x {card.settings.crop} pixels, the middle of the image."


def _beside(card: Card, seen: Seen) -> str:
    if not card.training.network.endswith(NONIMAGE):
        return ""
    return f"Beside the image it was told: {seen.beside.view}, {seen.beside.sex}, {seen.beside.age:.0f} years."


def _numbers(card: Card, probability: np.ndarray) -> str:
    table = card.operating_points.assign(probability=probability.astype(float))
    lines = []
    for row in table.sort_values("probability", ascending=False, kind="stable").itertuples():
        positive = row.probability >= row.threshold
        cells = [_number(row.probability), _number(row.threshold), "yes" if positive else "no",
                 _number(row.sensitivity), _number(row.specificity), f"{row.positives:,.0f}", f"{row.negatives:,.0f}"]
        cells[2] = "–" if np.isnan(row.threshold) else cells[2]
        lines.append(f'<tr{" class=above" * positive}><th scope="row">{escape(words(row.Index))}</th>'
                     + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    head = "".join(f'<th scope="col">{cell}</th>' for cell in HEAD)
    return (f"<p>{escape(_how_to_read(card))}</p>"
            '<div class="numbers" tabindex="0" role="region" aria-label="Numbers of each class">'
            f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table></div>")


def _how_to_read(card: Card) -> str:
    return (f"A threshold is where sensitivity + specificity was highest on the {card.data['validation']:,} validation "
            "images. Both rates are of those same images, so they look better than they are; the last columns say of "
            "how many images with and without the class. A probability is the network's own number, not a risk.")


def _number(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.2f}"
