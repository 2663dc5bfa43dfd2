"""What a network of chapter 2 says of a volume, in numbers and maps, and the words above the maps on a page."""

from html import escape
from typing import Any, NamedTuple

import numpy as np
from lightning_fabric import Fabric
from torch import nn

from mdlib.recipes import answers
from mdlib.recipes.answers import NO_DEVICE, STYLE, plain, warned
from mdlib.recipes.mims import explained, viewing
from mdlib.recipes.mims.card import Card
from mdlib.recipes.mims.incoming import Seen
from mdlib.recipes.mims.methods import NAMES


class Said(NamedTuple):
    """What a network says of a volume, and which of its slices it finds most suspicious."""

    probability: np.ndarray     # (K,)
    most: int                   # the most suspicious slice, among those that it has seen
    log_odds: float             # of the class of interest, of that slice alone


def said(fabric: Fabric, model: nn.Module, seen: Seen) -> Said:
    """The answer of a network on Fabric's device: all slices in one bag, and each in a bag of its own (appendix C)."""
    with fabric.autocast():
        whole, alone = explained.said(model, seen.slices)
    suspicion = explained.suspicion(alone.double()).numpy()
    most = int(suspicion.argmax())
    return Said(whole.double().softmax(dim=0).numpy(), most, float(suspicion[most]))


def case(card: Card, model: nn.Module, seen: Seen, answer: Said) -> dict[str, Any]:
    """One volume as `mdlib.widgets.explorer.Case` takes it; what is true of it is not known."""
    name = plain(seen.name)
    return viewing.answers(model, card.classes, seen.slices) | {
        "image": seen.pictures, "probability": answer.probability, "truth": np.full(len(card.classes), np.nan),
        "name": name, "alt": f"The volume {name}, as far as the network sees it"}


def where(seen: Seen, index: int) -> str:
    """The file of a slice, and its frame where the volume is one file of several."""
    file, frame, _ = seen.places[index]
    several = seen.count > 1 and len({place[0] for place in seen.places}) == 1
    return f"{file.name}, frame {frame + 1}" if several else file.name


def above(card: Card, seen: Seen, answer: Said) -> str:
    """HTML: what this is not, what the network has learned from, the warnings, and the probability of each class."""
    learned = f"<p><strong>{escape(learned_from(card))}</strong></p>"
    return "\n".join([STYLE, NO_DEVICE, learned, warned(seen.warnings, "volume"),
                      answers.probabilities(card.classes, answer.probability, "; the paper names no threshold"),
                      f"<p>{escape(_slices(card, seen, answer))}</p>"])


def learned_from(card: Card) -> str:
    """A sentence or two: which network, trained on what."""
    of, bags = card.training, "volumes" if card.volumes else "pictures or eyes"
    learned = answers.learned(f"{of.slug} ({NAMES[of.method]})", f"{card.data['train']:,} {bags}", card.data,
                              "pictures")
    return (f"{learned} It sees {card.shape[0]} x {card.shape[1]} pixels of at most {card.settings.central} central "
            "slices.")


def _slices(card: Card, seen: Seen, answer: Said) -> str:
    if seen.count == 1:
        return "It has a single slice."
    first, last = (seen.places[i][2] + 1 for i in (0, -1))
    return (f"The network sees slices {first} to {last} of {seen.count}; below they are counted from 1. Asked about "
            f"each alone, it finds slice {answer.most + 1} of these ({plain(where(seen, answer.most))}) the most "
            f"suspicious of {card.classes[-1]}: log-odds {answer.log_odds:.2f}.")
