"""What a finding does to an image: phantoms beside their twins without it, real images with the radiologists' boxes."""

from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from mdlib.data import images
from mdlib.data.phantoms import chest as phantom_chest
from mdlib.papers.chest import annotations
from mdlib.study import map_plots
from mdlib.study.cases import outlines
from mdlib.study.plots import COLOURS, nothing, words
from mdlib.study.study import Study


class Example(NamedTuple):
    """An image with a finding, uint8 (H, W); its twin without the finding, or None; and outlines of the cause."""

    finding: str
    image: np.ndarray
    twin: np.ndarray | None
    outline: list[np.ndarray]


def examples(study: Study, count: int = 4) -> list[Example]:
    """Of `count` findings one image each; real images only where a box is given."""
    return list(islice(_phantoms(study) if study.data.is_phantom else _boxed(study), count))


def _phantoms(study: Study) -> Iterator[Example]:
    """For each finding the first test image with it, in the order of `annotations.one_per_class`."""
    shown: set[str] = set()
    for row in annotations.one_per_class(study, 60):
        name = study.data.table["image"].iloc[row]
        for finding in annotations.findings(study, row):
            if finding in phantom_chest.FINDINGS and finding not in shown:
                shown.add(finding)
                yield Example(finding, annotations.picture(study, row),
                              phantom_chest.twin(study.data.folder, name, finding),
                              outlines(annotations.cause(study, name, finding)))


def _boxed(study: Study) -> Iterator[Example]:
    """For each finding the first image with a box."""
    for box in study.data.xrays.boxes.drop_duplicates("finding").itertuples():
        yield Example(box.finding, images.read_grey(study.data.xrays.path(box.image)), None,
                      [annotations.box_outline(box)])


def figure(examples: list[Example]) -> Figure:
    """One row per example: the image, its twin without the finding, and the outline of the cause on the image.

    Without twins, the images with their boxes, four per row.
    """
    if not examples:
        return nothing()
    if examples[0].twin is None:
        return map_plots.images([one.image for one in examples], [words(one.finding) for one in examples],
                                outlines=[one.outline for one in examples], colour=COLOURS[1])
    pictures = [picture for one in examples for picture in (one.image, one.twin, one.image)]
    titles = [title for one in examples for title in (words(one.finding), "twin without it", "cause")]
    lines = [line for one in examples for line in ([], [], one.outline)]
    return map_plots.images(pictures, titles, columns=3, width=8, outlines=lines, colour=COLOURS[1])
