"""Fig. 10: heat maps of the most probable classes of images with a certain finding."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from scipy.special import expit
from torch import nn

from mdlib.explain import overlay
from mdlib.papers.chest import annotations, maps
from mdlib.papers.chest.data import CLASSES
from mdlib.study import map_plots
from mdlib.study.plots import words
from mdlib.study.study import Study


class Panel(NamedTuple):
    """One row of the figure: the network, the finding of its image, and the layer explained."""

    name: str
    network: str
    finding: str
    layer: str


# the last two are ours: the paper has norm5 only
PANELS = (Panel("a", "densenet121", "Hernia", "norm5"), Panel("b", "densenet121", "Emphysema", "norm5"),
          Panel("c", "att_a", "Emphysema", "norm5"), Panel("d", "att_a", "Cardiomegaly", "norm5"),
          Panel("c, ours", "att_a", "Emphysema", "transition3"),
          Panel("d, ours", "att_a", "Cardiomegaly", "transition3"))


def figure(study: Study, models: Mapping[str, nn.Module], panels: Sequence[Panel] = PANELS, top: int = 3) -> Figure:
    """One row per panel: an image, and Grad-CAM of its `top` most probable classes with their probability.

    models: trained networks by name; panels of others are left out, and those whose finding no test image shows. The
    image is the first of the test part with the finding. A white outline is the cause of the class, where it is present
    and known. A map without signal is not drawn.
    """
    pictures, titles, outlines = [], [], []
    for panel in panels:
        row = annotations.first_with(study, panel.finding)
        if row is None or panel.network not in models:
            continue
        image, known = annotations.visible(study, row), annotations.contours(study, row)
        pictures.append(image)
        titles.append(f"({panel.name}) {words(panel.finding)}\n{panel.network}, {panel.layer}")
        outlines.append([])
        for k, probability, raw, signal in most_probable(study, models[panel.network], panel, row, top):
            pictures.append(overlay.blend(image, overlay.normalize(raw, signal)))
            why = "" if signal and raw.max() > 0 else "nothing speaks for it" if signal else "no signal"
            titles.append(f"{words(CLASSES[k])}: {probability:.2f}\n{why}")
            outlines.append(known.get(CLASSES[k], []))
    return map_plots.images(pictures, titles, columns=top + 1, width=6.4, outlines=outlines)


def most_probable(study: Study, model: nn.Module, panel: Panel, row: int, top: int
                  ) -> list[tuple[int, float, np.ndarray, bool]]:
    """Of the `top` most probable classes of an image: index, probability, raw map (h, w), whether it has signal."""
    (method, explainer), = maps.grad_cams([panel.layer]).items()
    found = maps.explained(model, maps.inputs_of_rows(study, panel.network, [row]), {method: explainer})
    raw, signal, probability = found["maps"][method][0], found["signal"][method][0], expit(found["logits"][0])
    return [(k, float(probability[k]), raw[k], bool(signal[k])) for k in np.argsort(-probability)[:top].tolist()]
