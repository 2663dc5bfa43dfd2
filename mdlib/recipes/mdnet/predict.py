"""Applying the networks of chapter 5 to images: the reports they write, their attention, and what a page shows."""

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor

from mdlib.data import headers, images
from mdlib.data.checks import colour_images
from mdlib.data.checks.files import warnings_of_header, warnings_of_size
from mdlib.data.vocabulary import PAD, Vocabulary
from mdlib.models.mdnet import class_maps
from mdlib.models.report_lstm import END
from mdlib.recipes.mdnet import card
from mdlib.recipes.mdnet.looking import as_input
from mdlib.recipes.mdnet.rows import EVERY
from mdlib.study import inference, pages
from mdlib.study.bundle import Bundle
from mdlib.study.inference import Source, cell, number

MODALITY = "SM"     # DICOM: slide microscopy
CLASS_ATTENTION = "class attention"
MECHANISMS = {"aas": "AAS", "original": "original", "local": "by features (ours)"}


class Slide(NamedTuple):
    """One image as it goes to the network and to its page."""

    name: str
    image: np.ndarray           # uint8 (h, w, 3), for the eye
    pixels: np.ndarray          # uint8 (side, side, 3), what the network sees: the whole image, as `Reports.pixels`
    warnings: dict[str, str]    # sentence by name of the check


class Written(NamedTuple):
    """What a network predicts for an image."""

    logits: np.ndarray              # (classes,), of its image model
    guess: str                      # the class with the highest one
    sentences: tuple[str, ...]      # one per part of the report
    attention: np.ndarray | None    # (W, h, w) of each word in order, each sums to 1; None: the network has none
    maps: np.ndarray                # (classes, h, w): class attention
    log_probability: float          # mean over words and the ends of sentences
    stated: str                     # the class that its last sentence ends in; empty where that is none

    @property
    def probability(self) -> np.ndarray:
        """(classes,): softmax of the logits."""
        return torch.from_numpy(self.logits).softmax(dim=0).numpy()

    @property
    def warnings(self) -> dict[str, str]:
        """That the report ends in no conclusion, or contradicts the image model."""
        if not self.stated:
            return {"no_conclusion": f"The report ends in no conclusion; the image model says “{self.guess}”."}
        return {} if self.stated == self.guess else {
            "disagreement": f"The image model says “{self.guess}”, the report ends in “{self.stated}”: the network "
                            "disagrees with itself."}

    @property
    def is_explained(self) -> bool:
        """Whether there is attention to show, of a word at least."""
        return self.attention is not None and len(self.attention) > 0


class Predictor(inference.Predictor):
    """Images one by one, each with the report that the network writes by itself."""

    without_card = "The image models alone, ecnet and googlenet, write no report and have no card."

    def __init__(self, bundle: Bundle):
        super().__init__(bundle)
        facts, self.settings = bundle.facts, bundle.settings
        self.row = EVERY[bundle.run.row]
        self.classes, parts = (_names(facts, name) for name in ("classes", "parts"))
        self.vocabulary = Vocabulary(_names(facts, "words"))
        _check_colours(facts["colours"])
        self.sentences = parts if self.row.split else ("report",)
        self.longest = self.settings.longest if self.row.split else self.settings.longest_report
        self.reference = colour_images.Reference.from_arrays(bundle.reference)
        self.counts = {name: bundle.data["counts"][name] for name in ("train", "patients")}

    @property
    def columns(self) -> Sequence[str]:
        """`guess` and the probabilities are of the image model, the others of the report.

        stated: the class that the report ends in; agree: whether it is the guess, 1 or 0, empty where none is stated.
        """
        return ("guess", *map(cell, self.classes), "stated", "agree", *map(cell, self.sentences), "log_probability")

    def read(self, source: Source, name: str, given: Mapping[str, Any]) -> Slide:
        image, known, side = images.read_colour(source.path), self.reference, self.settings.side
        pixels = images.resized(image, (side, side))
        warnings = (warnings_of_header(headers.read_header(source.path), (MODALITY,), known.is_coloured)
                    | warnings_of_size(image.shape[:2], (side, side), known.aspect_ratios)
                    | colour_images.warnings_of(pixels, known))
        return Slide(name, pages.shown(image), pixels, warnings)

    def predict(self, fabric: Fabric, slides: Sequence[Slide], with_maps: bool) -> list[Written]:
        pixels = as_input(np.stack([slide.pixels for slide in slides])).to(fabric.device)
        model = self.bundle.model
        with torch.inference_mode(), fabric.autocast():
            written = model.report(pixels, longest=self.longest, beam=self.settings.beam)
            maps = class_maps(written["features"], model.image_model.classifier)
        found = {name: value.cpu() for name, value in (written | {"maps": maps.float()}).items()}
        return [self._written({name: value[i] for name, value in found.items()}) for i in range(len(pixels))]

    def _written(self, answer: dict[str, Tensor]) -> Written:
        words, logits = answer["words"], answer["logits"].double().numpy()
        sentences = tuple(self.vocabulary.decode(sentence) for sentence in words)
        attention = None
        if "attention" in answer:
            read = answer["attention"][words > END].double()                                    # (W, P)
            attention = read.unflatten(1, answer["maps"].shape[1:]).numpy()
        stated = next((name for name in self.classes if f" {sentences[-1]}".endswith(f" {name}")), "")
        return Written(logits, self.classes[int(logits.argmax())], sentences, attention, answer["maps"].numpy(),
                       float(answer["log_probability"].sum() / (words != PAD).sum()), stated)

    def warnings(self, slide: Slide, written: Written) -> dict[str, str]:
        return slide.warnings | written.warnings

    def rows(self, slide: Slide, written: Written) -> list[list]:
        agree = int(written.guess == written.stated) if written.stated else ""
        return [[cell(written.guess), *map(number, written.probability), written.stated, agree,
                 *map(cell, written.sentences), number(written.log_probability)]]

    def case(self, slide: Slide, written: Written) -> dict[str, Any]:
        """The image with class attention and report; what is true of it is not known."""
        name = pages.plain(slide.name)
        shown = {"image": slide.image, "classes": self.classes, "probability": written.probability,
                 "truth": np.full(len(self.classes), np.nan), "maps": {CLASS_ATTENTION: written.maps}, "name": name,
                 "alt": f"The image {name}, as far as the network sees it"}
        if not written.is_explained:
            return shown
        report = [(part.replace("_", " "), sentence.split())
                  for part, sentence in zip(self.sentences, written.sentences, strict=True)]
        return shown | {"report": report, "attention": {MECHANISMS[self.row.attention]: written.attention}}

    def text(self, slide: Slide, written: Written) -> str:
        """The probabilities, and how the report is to be read."""
        return (pages.probabilities(self.classes, written.probability, "; it is of the image model alone")
                + pages.paragraph(self._report(written)))

    def _report(self, written: Written) -> str:
        if not any(written.sentences):
            return "The network writes nothing about this image."
        report = "; ".join(f"{part.replace('_', ' ')}: {sentence or 'nothing'}"
                           for part, sentence in zip(self.sentences, written.sentences, strict=True))
        shown = ("The report is shown below; each word has a map of where the network looked for it."
                 if written.is_explained else f"The report, of a network without attention: {report}.")
        return (f"{shown} Its words have log-probability {written.log_probability:.2f} on average, which measures how "
                "sure the network is of its wording, not whether the report is true.")

    def description(self) -> str:
        trained_on = f"{self.counts['train']:,} images of {self.counts['patients']:,} patients"
        origin = pages.origin(f"{self.bundle.run.slug} ({self.row.name})", trained_on, self.bundle.data, "tissue")
        return f"{origin} It sees {self.settings.side} x {self.settings.side} pixels."


def _names(facts: dict[str, Any], what: str) -> tuple[str, ...]:
    names = facts[what]
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names) or not (
            len(set(names)) == len(names) > 1):
        raise ValueError(f"{what} must be two names or more, each once")
    return tuple(names)


def _check_colours(colours: Any) -> None:
    mean, std = (tuple(map(float, of)) for of in colours)
    if not len(mean) == len(std) == 3 or not all(map(math.isfinite, mean)) or not all(0 < of < math.inf for of in std):
        raise ValueError(f"colours {colours}")


predict = functools.partial(inference.predict, card.ORIGIN)
description = functools.partial(inference.description, card.ORIGIN)
