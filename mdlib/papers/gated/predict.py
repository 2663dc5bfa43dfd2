"""Applying the networks of Fan et al. to files: preprocessing, the instances they cut, and what a page shows."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from lightning_fabric import Fabric
from scipy.special import softmax

from mdlib.data import images, pictures
from mdlib.data.checks import colour_images
from mdlib.data.checks.files import warnings_of_size
from mdlib.data.checks.limits import evenly_spaced
from mdlib.papers.gated import instances
from mdlib.papers.gated.networks import WHOLE, Run
from mdlib.study import inference, pages
from mdlib.study.bundle import Bundle
from mdlib.study.inference import Source, cell, number


def card(study, run: Run) -> dict[str, Any] | None:
    """Whether the network sees colours. None for one that is given the true boxes: nobody knows those of a file; and
    for one of the whole picture, which has no attention to be shown.
    """
    return None if run.sampler == "truth" or run.network in WHOLE else {"colour": study.data.in_colour(run)}


def reference(study, run: Run) -> dict[str, np.ndarray]:
    """Statistics of the training pictures, limits from the test part: arrays of `colour_images.Reference`."""
    pixels, paths = study.data.thumbnails(run), study.data.of(run).paths()
    parts = [study.data.rows(part, run) for part in ("train", "test")]
    train, test = (rows[evenly_spaced(len(rows))] for rows in parts)
    return colour_images.reference((_three(pixels[row]) for row in train), (_three(pixels[row]) for row in test),
                                   [paths[row] for row in train]).arrays()


class Picture(NamedTuple):
    """One picture as it goes to the network and to its page."""

    name: str
    image: np.ndarray           # uint8 (h, w[, 3]), for the eye
    picture: np.ndarray         # uint8 (H, W[, 3]), at its own resolution
    thumbnail: np.ndarray       # uint8, what the network sees of the whole
    warnings: dict[str, str]


class Predictor(inference.Predictor):
    """Pictures one by one, each with the instances that the network cuts out of it."""

    columns = ("class", "probability", "global_probability", "instances")
    without_card = "A network that is given the true boxes, or has no attention, has no card."
    batch_size = 1              # pictures are of any size

    def __init__(self, bundle: Bundle):
        super().__init__(bundle)
        self.settings, self.classes = bundle.settings, tuple(map(str, bundle.facts["classes"]))
        self.colour, self.crop = bool(bundle.facts["colour"]), bundle.settings.crop
        self.n_train = bundle.data["counts"]["train"]
        self.reference = colour_images.Reference.from_arrays(bundle.reference)

    def read(self, source: Source, name: str, given: Mapping[str, Any]) -> Picture:
        """The picture and its thumbnail. Raises DataError as `pictures.check_picture`, and for one below a crop."""
        pictures.check_picture(source.path, self.crop)
        picture = images.read_colour(source.path) if self.colour else images.read_grey(source.path)
        size = tuple(self.settings.thumbnail)
        thumbnail = images.resized(picture, size)
        warnings = warnings_of_size(picture.shape[:2], size, self.reference.aspect_ratios)
        warnings |= colour_images.warnings_of(_three(thumbnail), self.reference)
        return Picture(name, pages.shown(picture), picture, thumbnail, warnings)

    def predict(self, fabric: Fabric, batch: Sequence[Picture], with_maps: bool) -> Iterator[dict[str, np.ndarray]]:
        """What the network gives for each picture (`models.instance_fusion`), its crops beside it."""
        model = self.bundle.model
        for picture in batch:
            with fabric.autocast():
                yield instances.of_batch(model, instances.batch_of(picture.picture, picture.thumbnail), self.crop)[0]

    def rows(self, picture: Picture, prediction: dict[str, np.ndarray]) -> Iterator[list]:
        """One row per class; instances: how many different ones were found, empty where the network cuts none."""
        both = [softmax(prediction[name]).tolist() for name in ("logits", "global_logits")]
        count = int(prediction["found"].sum()) if "found" in prediction else ""
        for name, fused, of_thumbnail in zip(self.classes, *both, strict=True):
            yield [cell(name), number(fused), number(of_thumbnail), count]

    def case(self, picture: Picture, prediction: dict[str, np.ndarray]) -> dict[str, Any]:
        """The picture with its attention and instances; what is true of it is not known."""
        name = pages.plain(picture.name)
        return {"image": picture.image, "name": name, "classes": self.classes,
                "probability": softmax(prediction["logits"]), "truth": np.full(len(self.classes), np.nan),
                "alt": f"The picture {name}", **instances.case_fields(prediction)}

    def text(self, picture: Picture, prediction: dict[str, np.ndarray]) -> str:
        """The probabilities, and how many instances were found."""
        run, note = self.bundle.run, ""
        if "found" in prediction:
            source = "at the resolution of the file" if run.source == "picture" else "from the thumbnail"
            note = f"; {int(prediction['found'].sum())} instances were found, of at most {run.n}, and cut {source}"
        return pages.probabilities(self.classes, softmax(prediction["logits"]), note)

    def description(self) -> str:
        origin = pages.origin(self.bundle.run.slug, f"{self.n_train:,} pictures", self.bundle.data, "pictures")
        seen = "{} x {} pixels".format(*self.settings.thumbnail) + (" in colour" if self.colour else " in grey")
        return f"{origin} It sees the picture in {seen}, and its instances in {self.crop} x {self.crop}."


def _three(image: np.ndarray) -> np.ndarray:
    """A picture with three channels, grey repeated."""
    return image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2)
