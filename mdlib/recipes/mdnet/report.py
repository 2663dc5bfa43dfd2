"""What a network of chapter 5 says of images, in words and maps, and the words above the maps on a page."""

from collections.abc import Sequence
from html import escape
from typing import Any, NamedTuple

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor

from mdlib.data.vocabulary import PAD
from mdlib.models.mdnet import MDNet, class_maps
from mdlib.models.report_lstm import END
from mdlib.recipes import answers
from mdlib.recipes.answers import NO_DEVICE, STYLE, plain, warned
from mdlib.recipes.mdnet.card import Card
from mdlib.recipes.mdnet.incoming import Seen
from mdlib.recipes.mdnet.looking import as_input
from mdlib.recipes.mdnet.rows import EVERY

CLASS_ATTENTION = "class attention"
MECHANISMS = {"aas": "AAS", "original": "original", "local": "by features (ours)"}


class Said(NamedTuple):
    """What a network says of an image."""

    logits: np.ndarray              # (classes,), of its image model
    guess: str                      # the class with the highest one
    sentences: tuple[str, ...]      # one a column of the card
    attention: np.ndarray | None    # (W, h, w) of each word in order, each sums to 1; None: the network has none
    maps: np.ndarray                # (classes, h, w): class attention
    log_probability: float          # mean over words and the ends of sentences
    stated: str                     # the class that its last sentence ends in; empty where that is none
    warnings: dict[str, str]        # a sentence by the name of the check

    @property
    def probability(self) -> np.ndarray:
        """(classes,): softmax of the logits."""
        return torch.from_numpy(self.logits).softmax(dim=0).numpy()


def said(fabric: Fabric, card: Card, model: MDNet, images_seen: Sequence[Seen]) -> list[Said]:
    """The answer of a network on Fabric's device to each image: the report that it writes by itself."""
    pixels = as_input(np.stack([seen.pixels for seen in images_seen])).to(fabric.device)
    with torch.inference_mode(), fabric.autocast():
        written = model.report(pixels, longest=card.longest, beam=card.settings.beam)
        maps = class_maps(written["features"], model.image_model.classifier)
    found = {name: value.cpu() for name, value in (written | {"maps": maps.float()}).items()}
    return [_said(card, {name: value[i] for name, value in found.items()}) for i in range(len(pixels))]


def _said(card: Card, answer: dict[str, Tensor]) -> Said:
    words, logits = answer["words"], answer["logits"].double().numpy()
    sentences = tuple(card.vocabulary.decode(sentence) for sentence in words)
    attention = None
    if "attention" in answer:
        read = answer["attention"][words > END].double()                                    # (W, P)
        attention = read.unflatten(1, answer["maps"].shape[1:]).numpy()
    guess = card.classes[int(logits.argmax())]
    stated = next((name for name in card.classes if f" {sentences[-1]}".endswith(f" {name}")), "")
    return Said(logits, guess, sentences, attention, answer["maps"].numpy(),
                float(answer["log_probability"].sum() / (words != PAD).sum()), stated, doubts(guess, stated))


def doubts(guess: str, stated: str) -> dict[str, str]:
    """What is strange where the image model and the report, "" where it ends in no class, say other things."""
    if not stated:
        return {"no_conclusion": f"The report ends in no conclusion; the image model says “{guess}”."}
    return {} if stated == guess else {
        "disagreement": f"The image model says “{guess}”, the report ends in “{stated}”: the network disagrees with "
                        "itself."}


def case(card: Card, seen: Seen, answer: Said) -> dict[str, Any]:
    """One image as `mdlib.widgets.explorer.Case` takes it; what is true of it is not known."""
    name = plain(seen.name)
    shown = {"image": seen.picture, "classes": card.classes, "probability": answer.probability,
             "truth": np.full(len(card.classes), np.nan), "maps": {CLASS_ATTENTION: answer.maps}, "name": name,
             "alt": f"The image {name}, as far as the network sees it"}
    if not _is_explained(answer):
        return shown
    report = [(part.replace("_", " "), sentence.split())
              for part, sentence in zip(card.columns, answer.sentences, strict=True)]
    return shown | {"report": report, "attention": {MECHANISMS[EVERY[card.training.row].attention]: answer.attention}}


def _is_explained(answer: Said) -> bool:
    """Whether there is attention to show, of a word at least."""
    return answer.attention is not None and len(answer.attention) > 0


def above(card: Card, seen: Seen, answer: Said) -> str:
    """HTML: what this is not, what the network has learned from, the warnings, the probabilities, how the report is."""
    learned = f"<p><strong>{escape(learned_from(card))}</strong></p>"
    return "\n".join([STYLE, NO_DEVICE, learned, warned(seen.warnings | answer.warnings),
                      answers.probabilities(card.classes, answer.probability, "; it is of the image model alone"),
                      f"<p>{escape(_report(card, answer))}</p>"])


def learned_from(card: Card) -> str:
    """A sentence or two: which network, trained on what."""
    of, data = card.training, card.data
    learned = answers.learned(f"{of.slug} ({EVERY[of.row].name})", f"{data['train']:,} images of {data['patients']:,} "
                              "patients", data, "tissue")
    return f"{learned} It sees {card.shape[0]} x {card.shape[1]} pixels."


def _report(card: Card, answer: Said) -> str:
    if not any(answer.sentences):
        return "It writes nothing about this image."
    written = "; ".join(f"{part.replace('_', ' ')}: {sentence or 'nothing'}"
                        for part, sentence in zip(card.columns, answer.sentences, strict=True))
    shown = ("Below stands the report that it writes; each word tells where the network looked for it."
             if _is_explained(answer) else f"It writes, and has no attention to show: {written}.")
    return (f"{shown} The words have log-probability {answer.log_probability:.2f} on average: the network's own number "
            "of how sure it is of how it says it, not of what is true.")
