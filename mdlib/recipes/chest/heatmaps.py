"""Figs. 5 and 10: how a heat map is made, and those of the most probable classes."""

import numpy as np
import torch
from matplotlib.figure import Figure

from mdlib.explain import gradients, overlay
from mdlib.recipes import figures as shared
from mdlib.recipes.chest import figures
from mdlib.recipes.chest.chapter import Chapter
from mdlib.recipes.chest.exhibits import as_seen
from mdlib.recipes.chest.viewing import contours, inputs_of, trained

# Fig. 10: panel, network, the finding of its image, the layer. The last two are ours: the paper has norm5 only.
PANELS = (("a", "densenet121", "Hernia", "norm5"), ("b", "densenet121", "Emphysema", "norm5"),
          ("c", "att_a", "Emphysema", "norm5"), ("d", "att_a", "Cardiomegaly", "norm5"),
          ("c, ours", "att_a", "Emphysema", "transition3"), ("d, ours", "att_a", "Cardiomegaly", "transition3"))
TOP = 3


def first_with(chapter: Chapter, finding: str) -> int | None:
    """The row of the first test image with a finding, not chosen by how its map looks; None where there is none."""
    rows = chapter.rows["test"]
    return next(iter(rows[chapter.targets[rows, chapter.classes.index(finding)] == 1].tolist()), None)


def figure_5(chapter: Chapter) -> Figure | str:
    """Fig. 5: a Grad-CAM map at norm5 of DenseNet-121, upsampled, coloured, and laid over the image.

    The class is the most frequent finding of the test part.
    """
    k = 1 + int(np.nansum(chapter.targets[chapter.rows["test"], 1:], axis=0).argmax())
    row = first_with(chapter, chapter.classes[k])
    if row is None:
        return "No image of the test part shows a finding."
    found = gradients.grad_cam_maps(trained(chapter, "densenet121"), inputs_of(chapter, "densenet121", [row]),
                                    "features.norm5")
    image, h = as_seen(chapter, row), overlay.normalize(found.values[0, k].numpy(), bool(found.signal[0, k]))
    large = np.rint(overlay.upsample(h, image.shape)).astype(np.uint8)
    steps = {f"map, {h.shape[0]} × {h.shape[1]}": h, f"bilinear to {image.shape[0]} × {image.shape[1]}": large,
             "coloured": overlay.colour(large), "over the image": overlay.blend(image, h)}
    return shared.pictures(list(steps.values()), list(steps), columns=4)


def figure_10(chapter: Chapter) -> Figure | str:
    """Fig. 10: image, and Grad-CAM of its three most probable classes with their probability; a row a panel.

    A white outline is the cause of the class, where it is present and known. A map without signal is not drawn.
    """
    shown = [panel for panel in PANELS
             if panel[1] in chapter.settings.networks and first_with(chapter, panel[2]) is not None]
    if not shown:
        return "None of the findings of Fig. 10 is in the test part, or none of its networks in this run."
    models = {name: trained(chapter, name) for name in {panel[1] for panel in shown}}
    pictures, titles, outlines = [], [], []
    for panel, name, finding, layer in shown:
        row = first_with(chapter, finding)
        found = gradients.grad_cam_maps(models[name], inputs_of(chapter, name, [row]), f"features.{layer}")
        image, known, probability = as_seen(chapter, row), contours(chapter, row), torch.sigmoid(found.logits[0])
        pictures.append(image)
        titles.append(f"({panel}) {finding}\n{name}, {layer}")
        outlines.append([])
        for k in probability.argsort(descending=True)[:TOP].tolist():
            h, signal = found.values[0, k].numpy(), bool(found.signal[0, k])
            pictures.append(overlay.blend(image, overlay.normalize(h, signal)))
            why = "" if signal and h.max() > 0 else "nothing speaks for it" if signal else "no signal"
            titles.append(f"{figures.words(chapter.classes[k])}: {probability[k]:.2f}\n{why}")
            outlines.append([line * len(image) for line in known.get(chapter.classes[k], [])])
    figure = shared.pictures(pictures, titles, columns=TOP + 1, width=6.4)
    for axis, lines in zip(figure.axes, outlines, strict=False):
        axis.autoscale(False)
        for line in lines:
            axis.plot(line[:, 0] - 0.5, line[:, 1] - 0.5, color="white", linewidth=1)
    return figure
