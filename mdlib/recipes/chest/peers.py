"""Three CAM libraries, three maps: Grad-CAM at norm5 of torchvision's DenseNet, whose ReLU overwrites it.

Section 2.5 of Tan et al. explains A, "the output features from norm5". torchvision's DenseNet writes the ReLU behind
norm5 into the same memory, and what a library holds after that depends on when it copied. The same weights in our
network, whose ReLU has memory of its own, give each reading without doubt.
"""

from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn
from torchvision.models import DenseNet

from mdlib.evaluate.correlation import pearson
from mdlib.explain import cam_libraries, overlay
from mdlib.explain.gradients import grad_cam_maps
from mdlib.explain.hooks import recorded
from mdlib.models.backbones import Backbone
from mdlib.progress import track
from mdlib.recipes import figures as shared
from mdlib.recipes.chest import figures
from mdlib.recipes.chest.chapter import Chapter
from mdlib.recipes.chest.exhibits import as_seen
from mdlib.recipes.chest.results import committed
from mdlib.recipes.chest.settings import Chest
from mdlib.recipes.chest.viewing import inputs_of, trained

LAYER = "features.norm5"
IMAGES, AT_ONCE = 32, 8
ROUNDING = 1e-9    # of maps in float64 with a maximum of 1: measured 2e-14 where two agree, above 0.1 where not
IN_PLACE, OWN = "torchvision's, ReLU in place", "ours, ReLU not in place"


def torchvision_twin(model: Backbone, settings: Chest) -> nn.Module:
    """torchvision's own DenseNet with the weights of our trained one: logits (B, classes) of `model.input(image)`."""
    like = next(model.parameters())
    classes = model.classifier.linear.out_features
    theirs = DenseNet(settings.growth, settings.blocks, settings.stem, num_classes=classes).to(like).eval()
    theirs.features.load_state_dict(model.features.state_dict())
    theirs.classifier.load_state_dict(model.classifier.linear.state_dict())
    return theirs


def readings(model: Backbone, image: Tensor) -> dict[str, Tensor]:
    """Grad-CAM of our DenseNet behind norm5 as it can be read, (B, classes, h, w) each, signed.

    the text          A and its gradient before the ReLU            section 2.5
    the authors' code A and its gradient after the ReLU             their A is overwritten in place
    neither           the gradient before the ReLU, A after it
    """
    with torch.no_grad(), recorded(model, LAYER) as outputs:
        model(image)
    before = outputs[LAYER].requires_grad_()                                                    # (B, C, h, w)
    logits = model.classifier(before.relu().mean(dim=(2, 3)))
    mixed = []
    for logit in logits.sum(dim=0):
        (gradient,) = torch.autograd.grad(logit, before, retain_graph=True)
        mixed.append((gradient.mean(dim=(2, 3), keepdim=True) * before.detach().relu()).sum(dim=1))
    return {"the text": grad_cam_maps(model, image, LAYER).values,
            "the authors' code": grad_cam_maps(model, image, "features.relu5").values,
            "neither": torch.stack(mixed, dim=1)}


def all_maps(model: Backbone, theirs: nn.Module, image: Tensor) -> dict[tuple[str, str], Tensor]:
    """Maps of all classes at norm5, scaled to a maximum of 1: by (network, library), and ("", reading).

    Asserts that both networks give the same logits.
    """
    classes = range(model.classifier.linear.out_features)
    networks = {IN_PLACE: (theirs, model.input(image)), OWN: (model, image)}
    with torch.no_grad():
        torch.testing.assert_close(theirs(model.input(image)), model(image)["logits"])
    maps = {("", reading): values for reading, values in readings(model, image).items()}
    for name, (network, x) in networks.items():
        maps[name, "mdlib"] = grad_cam_maps(network, x, LAYER).values
        maps |= {(name, library): call(network, x, LAYER, classes) for library, call in cam_libraries.LIBRARIES.items()}
    return {key: cam_libraries.scaled(values).cpu() for key, values in maps.items()}


def _answer(chapter: Chapter, device: str) -> dict[str, Any]:
    """The rows of `three_libraries`, and the maps of one image, JSON-able."""
    model = trained(chapter, "densenet121").double().to(device)
    theirs = torchvision_twin(model, chapter.settings)
    rows, parts = chapter.rows["test"][:IMAGES], []
    for start in track(range(0, len(rows), AT_ONCE), "three libraries"):
        image = inputs_of(chapter, "densenet121", rows[start:start + AT_ONCE])["image"].double().to(device)
        parts.append(all_maps(model, theirs, image))
    maps = {key: torch.cat([part[key] for part in parts]).numpy() for key in parts[0]}
    read = {reading: maps.pop(("", reading)) for reading in ("the text", "the authors' code", "neither")}
    table = [{"network": network, "library": cam_libraries.with_version(library), **_agreement(values, read)}
             for (network, library), values in maps.items()]
    shown = {cam_libraries.with_version(library): values for (network, library), values in maps.items()
             if network == IN_PLACE}
    spread = np.ptp([*shown.values()], axis=0).max(axis=(2, 3))                                 # (B, K)
    findings = chapter.targets[rows] * [name != "No Finding" for name in chapter.classes]
    drawn = np.mean([values.max(axis=(2, 3)) > 0 for values in shown.values()], axis=0)    # share of libraries that do
    i, k = np.unravel_index(((drawn + spread) * findings).argmax(), spread.shape)
    return {"table": table, "row": int(rows[i]), "class": chapter.classes[k],
            "maps": {library: values[i, k].tolist() for library, values in shown.items()}}


def _agreement(maps: np.ndarray, read: dict[str, np.ndarray]) -> dict[str, Any]:
    """How far scaled maps (B, K, h, w) are from each reading, and which they follow."""
    text = read["the text"]
    far = {reading: float(np.abs(maps - values).max()) for reading, values in read.items()}
    peaks = [values.reshape(*values.shape[:2], -1).argmax(axis=2) for values in (maps, text)]
    there, drawn = (values.max(axis=(2, 3)) > 0 for values in (text, maps))
    return {"follows": ", ".join(reading for reading, value in far.items() if value < ROUNDING) or "none of the three",
            **{f"max |Δ| {reading}": value for reading, value in far.items()},
            "mean |Δ| the text": float(np.abs(maps - text).mean()),
            "correlation with the text": float(pearson(maps.ravel(), text.ravel())),
            "peak elsewhere, %": float(100 * (peaks[0] != peaks[1])[there].mean()),
            "empty maps, %": float(100 * (~drawn).mean())}


def _remembered(chapter: Chapter) -> dict[str, Any]:
    device = "cpu" if chapter.device == "mps" else chapter.device    # mps has no float64
    libraries = [cam_libraries.with_version(library) for library in cam_libraries.LIBRARIES]
    return chapter.run.remember("three_libraries", lambda: _answer(chapter, device), device=device, libraries=libraries)


def three_libraries(chapter: Chapter) -> pd.DataFrame:
    """Grad-CAM at norm5 by mdlib and three libraries, float64, 32 test images, all classes, against each reading.

    A row a network and library: which reading it follows, its largest difference from each, its mean difference
    from the text and correlation with it over all pixels of all maps, the share of maps whose maximum is at another
    pixel than the text's, and of maps that are 0 everywhere. The networks have the same weights and logits; maps are
    0 where negative and divided by their maximum, so that no difference exceeds 1.
    """
    return pd.DataFrame(_remembered(chapter)["table"]).set_index(["network", "library"])


def figure(chapter: Chapter) -> Figure:
    """The finding that the libraries map most differently, of those present in the images of `three_libraries`.

    One that all libraries draw is preferred to one of which some draw nothing.
    """
    found = _remembered(chapter)
    image = as_seen(chapter, found["row"])
    maps = [overlay.blend(image, overlay.normalize(values)) for values in found["maps"].values()]
    titles = [f"present: {figures.words(found['class'])}", *found["maps"]]
    picture = shared.pictures([image, *maps], titles, columns=len(titles), width=11)
    picture.suptitle("Grad-CAM at norm5 of one network (torchvision's, ReLU in place): dark 0, bright its maximum",
                   fontsize=10)
    return picture


def check_libraries(chapter: Chapter, table: pd.DataFrame) -> str:
    """Assert what holds for any weights: captum and ours follow the text everywhere; all do without in-place ReLU.

    In the book's own run also that torchcam follows the authors' code, and that pytorch-grad-cam, on a CPU, follows
    neither.
    """
    follows = {(network, library.split()[0]): reading for (network, library), reading in table["follows"].items()}
    for library in ("mdlib", *cam_libraries.LIBRARIES):
        assert "the text" in follows[OWN, library], table
    assert "the text" in follows[IN_PLACE, "mdlib"] and "the text" in follows[IN_PLACE, "captum"], table
    said = "captum follows the text and agrees with mdlib to rounding; where no ReLU writes in place, all do."
    if committed(chapter) and chapter.device == "cpu":
        assert follows[IN_PLACE, "torchcam"] == "the authors' code", table
        assert follows[IN_PLACE, "grad-cam"] == "neither", table
        said += " Behind the in-place ReLU torchcam follows the authors' code, and grad-cam neither of the two."
    return said
