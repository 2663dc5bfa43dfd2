"""Applying the networks of Tan et al. to files: reading as in training, thresholds, maps, and what a page shows."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from lightning_fabric import Fabric
from scipy.special import expit
from torch import Tensor

from mdlib.data import headers, images, samples
from mdlib.data.checks import radiographs
from mdlib.errors import DataError
from mdlib.evaluate import thresholds
from mdlib.papers.chest import maps
from mdlib.papers.chest.data import CLASSES
from mdlib.papers.chest.networks import DEFAULT_LAYERS, NONIMAGE, Run, inputs
from mdlib.study import inference, pages, results
from mdlib.study.bundle import Bundle
from mdlib.study.inference import Source, cell, number

MAX_ASPECT = 20     # long side over short side: more is no radiograph, and would need any amount of memory
RATES = ("threshold", "sensitivity", "specificity", "positives", "negatives")
HEAD = ("Class", "Probability", "Threshold", "At or above", "Sensitivity", "Specificity", "Images with", "without")


def card(study, run: Run) -> dict[str, Any] | None:
    """The operating point of each class: the threshold with the highest sensitivity + specificity on `val` (ours).

    None for a network that was fitted to `val` too: no images are left to choose thresholds on.
    """
    if run.part != "train":
        return None
    classes = list(study.data.classes(run))
    # read here, for `study.predict` needs a training that is complete, and the card is a part of it
    scores = pd.read_parquet(study.run_folder(run) / "predictions-val.parquet")
    points = thresholds.choose(study.data.labels("val", run)[classes].to_numpy(), scores[classes].to_numpy(), classes)
    return {"operating_points": results.records(points.reset_index())}


def reference(study, run: Run) -> dict[str, np.ndarray]:
    """Statistics of the training images, limits from the validation part: arrays of `radiographs.Reference`."""
    rows = (study.data.rows(part, run.fold) for part in ("train", "val"))
    return radiographs.reference(study.data.pixels, *rows, study.settings.crop).arrays()


class Metadata(NamedTuple):
    """The non-image features (section 2.3), as far as they are known."""

    view: str = ""          # PA or AP
    sex: str = ""           # M or F
    age: float = np.nan     # years


class Radiograph(NamedTuple):
    """One radiograph as it goes to the network and to its page."""

    name: str
    image: np.ndarray           # uint8 (H, H), what the network sees, in up to 512 pixels a side
    crop: np.ndarray            # uint8 (crop, crop), what the network sees
    warnings: dict[str, str]
    metadata: Metadata


class Prediction(NamedTuple):
    """What a network predicts for one radiograph; maps and signal by method where they are wanted."""

    probability: np.ndarray     # (classes,)
    maps: dict[str, np.ndarray]
    signal: dict[str, np.ndarray]


class Predictor(inference.Predictor):
    """Radiographs one by one; view, sex and age from the header or as given."""

    options = Metadata._fields
    columns = ("class", "probability", "threshold", "above", *RATES[1:])
    without_card = ("A network fitted to the validation part as well (train_val) has no card: no images are left to "
                    "choose its thresholds on.")

    def __init__(self, bundle: Bundle):
        super().__init__(bundle)
        self.settings, self.network = bundle.settings, bundle.run.network
        self.classes = CLASSES[-bundle.run.n_classes:]
        self.n_train, self.n_val = (bundle.data["counts"][part] for part in ("train", "val"))
        points = results.table(bundle.facts["operating_points"]).set_index("class")
        self.points = points.loc[list(self.classes), list(RATES)].astype(float)
        self.reference = radiographs.Reference.from_arrays(bundle.reference)

    def read(self, source: Source, name: str, given: Mapping[str, Any]) -> Radiograph:
        """The radiograph in the geometry of section 2.4. Raises DataError also where the network lacks a feature."""
        grey, header = images.read_grey(source.path), headers.read_header(source.path)
        if max(grey.shape) > MAX_ASPECT * min(grey.shape):
            raise DataError(f"{grey.shape[0]} x {grey.shape[1]} pixels are no radiograph", str(source.path),
                            "Crop the image to the radiograph.")
        given = Metadata(**given)
        metadata = Metadata(header.view if header.view in ("PA", "AP") else given.view, header.sex or given.sex,
                            given.age if np.isnan(header.age) else header.age)
        if self.network.endswith(NONIMAGE):
            refuse_gaps(metadata, source.path)
        size = self.settings.resize, self.settings.crop
        crop = images.seen(grey, *size)
        warnings = radiographs.warnings_of_file(header, grey.shape, self.settings.crop)
        warnings |= radiographs.warnings_of(crop, self.reference)
        return Radiograph(name, images.shown(grey, *size), crop, warnings, metadata)

    def predict(self, fabric: Fabric, batch: Sequence[Radiograph], with_maps: bool) -> Iterator[Prediction]:
        """The probabilities; Grad-CAM of every class, and attention where the network has any."""
        tensors, model = fabric.to_device(self.tensors(batch)), self.bundle.model
        with torch.inference_mode(), fabric.autocast():
            logits = model(**tensors)["logits"].float().cpu().numpy()
        methods = maps.grad_cams(DEFAULT_LAYERS[self.bundle.run.body])
        explained = maps.explained(model, tensors, methods) if with_maps else {"maps": {}, "signal": {}}
        for i, probability in enumerate(expit(logits)):
            yield Prediction(probability, *({method: values[i] for method, values in explained[name].items()}
                                            for name in ("maps", "signal")))

    def tensors(self, batch: Sequence[Radiograph]) -> dict[str, Tensor]:
        """What the network is called with for these radiographs."""
        pixels, rows = np.stack([radiograph.crop for radiograph in batch]), np.arange(len(batch))
        metadata = samples.nonimage(pd.DataFrame([radiograph.metadata for radiograph in batch]))
        everything = samples.Samples(pixels, rows, np.empty((len(batch), 0)), metadata, self.settings.crop)
        return inputs(everything.batch(rows), self.network)

    def rows(self, radiograph: Radiograph, prediction: Prediction) -> Iterator[list]:
        """One row per class; what is not known is left empty."""
        for value, point in zip(prediction.probability.tolist(), self.points.itertuples(), strict=True):
            above = "" if np.isnan(point.threshold) else int(value >= point.threshold)
            yield [cell(point.Index), number(value), number(point.threshold), above, number(point.sensitivity),
                   number(point.specificity), int(point.positives), int(point.negatives)]

    def case(self, radiograph: Radiograph, prediction: Prediction) -> dict[str, Any]:
        """The radiograph with its maps; its truth is not known."""
        name = pages.plain(radiograph.name)
        return {"image": radiograph.image, "name": name, "classes": self.classes,
                "truth": np.full(len(self.classes), np.nan),
                "alt": f"The image {name}, as far as the network sees it", **prediction._asdict()}

    def text(self, radiograph: Radiograph, prediction: Prediction) -> str:
        """The features beside the image, and the table of classes, the highest probability first."""
        order = np.argsort(-prediction.probability, kind="stable")
        rows = [class_row(self.points.iloc[k], float(prediction.probability[k])) for k in order]
        return "\n".join([pages.paragraph(self._features(radiograph.metadata)), pages.paragraph(
            f"A threshold is where sensitivity + specificity was highest on the {self.n_val:,} validation "
            "images. Both rates are of these same images and therefore optimistic; the last columns give "
            f"the number of images with and without the class. {pages.NO_RISK}."),
            pages.table("Numbers of each class", HEAD, rows)])

    def _features(self, metadata: Metadata) -> str:
        if not self.network.endswith(NONIMAGE):
            return ""
        return f"The network was also given: {metadata.view}, {metadata.sex}, {metadata.age:.0f} years."

    def description(self) -> str:
        origin = pages.origin(self.bundle.run.slug, f"{self.n_train:,} images", self.bundle.data, "radiographs")
        return f"{origin} It sees {self.settings.crop} x {self.settings.crop} pixels, the middle of the image."


def class_row(point: pd.Series, probability: float) -> tuple[str, list[str], bool]:
    """The row of a class in the table of a page; bold at or above its threshold."""
    positive = probability >= point["threshold"]
    above = "–" if np.isnan(point["threshold"]) else "yes" if positive else "no"
    rates = ["–" if np.isnan(value) else f"{value:.2f}" for value in (probability, *point[list(RATES[:3])])]
    counts = [f"{point[name]:,.0f}" for name in RATES[3:]]
    return str(point.name).replace("_", " "), [*rates[:2], above, *rates[2:], *counts], bool(positive)


def refuse_gaps(metadata: Metadata, file: Path) -> None:
    """Raises DataError where view, sex or age is not known."""
    known = {"view": bool(metadata.view), "sex": bool(metadata.sex), "age": not np.isnan(metadata.age)}
    missing = [name for name, there in known.items() if not there]
    if missing:
        raise DataError(f"this network also needs {', '.join(missing)}, which the file does not give", str(file),
                        "Give --view PA or AP, --sex M or F, --age in years; they hold for all files without them.")
