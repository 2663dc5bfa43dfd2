"""Finding 3: Grad-CAM at norm5 of torchvision's DenseNet by three libraries, whose maps differ.

Section 2.5 explains A, "the output features from norm5". torchvision's DenseNet writes the ReLU behind norm5 into the
same memory, so what a library holds depends on when it copied. Our network has the same weights and a ReLU with memory
of its own: from it each reading of A can be computed without doubt.
"""

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torchvision.models import DenseNet

from mdlib.evaluate.correlation import pearson
from mdlib.explain import cam_libraries
from mdlib.explain.gradients import grad_cam_maps
from mdlib.explain.hooks import recorded
from mdlib.models.backbones import Backbone
from mdlib.papers.chest.settings import Chest
from mdlib.progress import track

LAYER = "features.norm5"
BATCH_SIZE = 8
ROUNDING = 1e-9     # of float64 maps with a maximum of 1: measured 2e-14 where two agree, above 0.1 where not
IN_PLACE, OWN = "torchvision's, ReLU in place", "ours, ReLU not in place"
TEXT, CODE, NEITHER = READINGS = "the text", "the authors' code", "neither"

LibraryMaps = dict[tuple[str, str], np.ndarray]


def torchvision_twin(model: Backbone, settings: Chest) -> DenseNet:
    """torchvision's own DenseNet with the weights of our trained one: logits (B, K) of `model.input(image)`."""
    like, linear = next(model.parameters()), model.classifier.linear
    twin = DenseNet(settings.growth, settings.blocks, settings.stem, num_classes=linear.out_features).to(like).eval()
    for name, layer in model.features.named_children():
        if name.startswith("transition"):
            getattr(twin.features, name).pool = layer.pool      # none, where the output stride is below 32
    twin.features.load_state_dict(model.features.state_dict())
    twin.classifier.load_state_dict(linear.state_dict())
    return twin


def readings(model: Backbone, image: Tensor) -> dict[str, Tensor]:
    """Grad-CAM of our DenseNet behind norm5 in each of READINGS, signed (B, K, h, w), of images (B, 1, H, W).

    the text: A and its gradient before the ReLU (section 2.5). the authors' code: both after the ReLU, because their A
    is overwritten in place. neither: the gradient before the ReLU, A after it.
    """
    with torch.no_grad(), recorded(model, LAYER) as outputs:
        model(image)
    before = outputs[LAYER].requires_grad_()                                                    # (B, C, h, w)
    logits = model.classifier(before.relu().mean(dim=(2, 3)))
    mixed = []
    for logit in logits.sum(dim=0):
        (gradient,) = torch.autograd.grad(logit, before, retain_graph=True)
        mixed.append((gradient.mean(dim=(2, 3), keepdim=True) * before.detach().relu()).sum(dim=1))
    return {TEXT: grad_cam_maps(model, image, LAYER).values,
            CODE: grad_cam_maps(model, image, "features.relu5").values,
            NEITHER: torch.stack(mixed, dim=1)}


def all_maps(model: Backbone, twin: DenseNet, image: Tensor) -> LibraryMaps:
    """Maps of all classes at norm5, set to 0 where negative and scaled to a maximum of 1: (N, K, h, w) each.

    Keys are (network, library), and ("", reading). model and twin have the same weights, best in float64; this raises
    AssertionError where their logits differ.
    """
    parts = [_maps_of_batch(model, twin, batch) for batch in track(image.split(BATCH_SIZE), "CAM libraries")]
    return {key: torch.cat([part[key] for part in parts]).numpy() for key in parts[0]} if parts else {}


def _maps_of_batch(model: Backbone, twin: DenseNet, image: Tensor) -> dict[tuple[str, str], Tensor]:
    classes = range(model.classifier.linear.out_features)
    networks = {IN_PLACE: (twin, model.input(image)), OWN: (model, image)}
    with torch.no_grad():
        torch.testing.assert_close(twin(model.input(image)), model(image)["logits"])
    maps = {("", reading): values for reading, values in readings(model, image).items()}
    for name, (network, x) in networks.items():
        maps[name, "mdlib"] = grad_cam_maps(network, x, LAYER).values
        maps |= {(name, library): call(network, x, LAYER, classes) for library, call in cam_libraries.LIBRARIES.items()}
    return {key: cam_libraries.scaled(values).cpu() for key, values in maps.items()}


def agreement(maps: LibraryMaps) -> pd.DataFrame:
    """The maps of `all_maps` against each reading: one row per network and library.

    Columns: version; follows, the readings it equals but for ROUNDING; `max |Δ| <reading>`, the largest difference;
    `mean |Δ| the text` and `correlation with the text`, over all pixels of all maps; `peak elsewhere, %`, the share of
    maps whose maximum is at another pixel than the text's, of those in which the text has one; `empty maps, %`.
    """
    rows = [{"network": network, "library": library, **_against_readings(values, maps)}
            for (network, library), values in maps.items() if network]
    table = pd.DataFrame(rows).set_index(["network", "library"])
    versions = [cam_libraries.with_version(library).split()[-1] for library in table.index.get_level_values("library")]
    table.insert(0, "version", versions)
    return table


def _against_readings(values: np.ndarray, maps: LibraryMaps) -> dict[str, object]:
    text = maps["", TEXT]
    largest = {reading: float(np.abs(values - maps["", reading]).max()) for reading in READINGS}
    peaks = [each.reshape(*each.shape[:2], -1).argmax(axis=2) for each in (values, text)]
    shown, shown_by_text = (each.max(axis=(2, 3)) > 0 for each in (values, text))
    return {"follows": ", ".join(reading for reading, far in largest.items() if far < ROUNDING) or "none of the three",
            **{f"max |Δ| {reading}": far for reading, far in largest.items()},
            "mean |Δ| the text": float(np.abs(values - text).mean()),
            "correlation with the text": float(pearson(values.ravel(), text.ravel())),
            "peak elsewhere, %": float(100 * (peaks[0] != peaks[1])[shown_by_text].mean()),
            "empty maps, %": float(100 * (~shown).mean())}


def most_different(maps: LibraryMaps, findings: np.ndarray) -> tuple[int, int]:
    """Image and class that the libraries map most differently on torchvision's network, of the findings present.

    findings (N, K): 1 where an image shows a finding. One that all libraries map is preferred to one for which some
    give an empty map.
    """
    peaks = np.stack([values for (network, _), values in maps.items() if network == IN_PLACE])
    spread = np.ptp(peaks, axis=0).max(axis=(2, 3))                                             # (N, K)
    mapped = (peaks.max(axis=(3, 4)) > 0).mean(axis=0)                                          # share of libraries
    i, k = np.unravel_index(((mapped + spread) * findings).argmax(), spread.shape)
    return int(i), int(k)
