"""What is known about an image: which pixels cause a finding, what the image would be without it, and a caption.

On phantoms the *cause* of a finding is what vanishes with it; on real images it is the radiologists' boxes. Masks and
twins go through the geometry of section 2.4 (resize, centre crop) that the networks' input goes through.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from scipy.ndimage import median_filter
from torch import Tensor

from mdlib.data import images
from mdlib.data.phantoms import chest as phantom_chest
from mdlib.errors import SettingsError
from mdlib.papers.chest.data import CLASSES
from mdlib.study import saliency
from mdlib.study.cases import box_outlines, outlines
from mdlib.study.study import Study

KNOWN = ("label", "cause", "twin")


def pairs(study: Study, per_finding: int = 30, part: str = "test", known: str = "cause") -> pd.DataFrame:
    """Pairs of an image of a part and a finding it shows: image, finding, k, row, patient; ordered by finding.

    At most `per_finding` of each finding, drawn by the study's seed; the first n are the same for any number. k: index
    in CLASSES; row: of study.data.table. known: `label`, any image with the finding; `cause`, those whose cause is
    known, by the phantoms' truth or by a box; `twin`, those that can be drawn without it, phantoms only. Empty where
    there is none.
    """
    if known not in KNOWN:
        raise SettingsError("no such kind of knowledge", f"parameter known: {known!r}", f"Known: {', '.join(KNOWN)}.")
    data = study.data
    rows = data.rows(part)
    where, k = np.nonzero(data.targets[rows] == 1)
    of = data.table.iloc[rows[where]]
    found = pd.DataFrame({"image": of["image"].to_numpy(), "finding": np.array(CLASSES)[k], "k": k, "row": rows[where],
                          "patient": of["patient"].to_numpy()})
    found = found[found["finding"] != "No Finding"]
    if not data.is_phantom and known == "cause":
        found = found.merge(data.xrays.boxes[["image", "finding"]].drop_duplicates(), on=["image", "finding"])
    if not data.is_phantom and known == "twin":
        found = found[:0]
    drawn = found.sample(frac=1, random_state=study.seed).groupby("k").head(per_finding)
    return drawn.sort_values("k", kind="stable").reset_index(drop=True)


def masks(study: Study, pairs: pd.DataFrame) -> np.ndarray:
    """The cause of each pair in the network's picture, bool (P, crop, crop): pixels at least half covered (ours)."""
    resize, crop = study.settings.resize, study.settings.crop
    truth = phantom_chest.Truth(study.data.folder) if study.data.is_phantom else None
    found = np.empty((len(pairs), crop, crop), bool)
    for i, pair in enumerate(pairs.itertuples()):
        mask = truth.mask(pair.image, pair.finding) if truth else _boxed(study, pair.image, pair.finding)
        found[i] = images.seen(255 * mask.astype(np.uint8), resize, crop) >= 128
    return found


def location_prior(study: Study, pairs: pd.DataFrame, masks_of_pairs: np.ndarray, per_finding: int = 50) -> np.ndarray:
    """Where the finding of each pair usually is, float32 (P, crop, crop) in [0, 1] (ours).

    The mean mask of at most `per_finding` training images. Boxes are given for test images only: there it is the mean
    over the pairs of other patients.
    """
    if not study.data.is_phantom:
        return saliency.leave_one_patient_out_prior(masks_of_pairs, pairs)
    training = _of_training(study, per_finding, pairs["finding"])
    return saliency.location_prior(masks(study, training), training["finding"], pairs["finding"])


def _of_training(study: Study, per_finding: int, findings: pd.Series) -> pd.DataFrame:
    training = pairs(study, per_finding, "train")
    return training[training["finding"].isin(findings)]


def twins(study: Study, pairs: pd.DataFrame) -> Tensor:
    """What a network sees of each image drawn without the finding, (P, 1, crop, crop) in [0, 1]; phantoms only."""
    return as_input(study, [phantom_chest.twin(study.data.folder, pair.image, pair.finding)
                            for pair in pairs.itertuples()])


def as_input(study: Study, pictures: Sequence[np.ndarray]) -> Tensor:
    """Grey pictures uint8 (H, W) of any size as the networks see them, (P, 1, crop, crop) in [0, 1]."""
    resize, crop = study.settings.resize, study.settings.crop
    seen = [images.seen(picture, resize, crop) for picture in pictures]
    return torch.from_numpy(np.array(seen, np.uint8).reshape(-1, 1, crop, crop)).float().div_(255)


def one_per_class(study: Study, count: int, part: str = "test") -> list[int]:
    """Rows of `count` images of a part: for each class in turn the first that shows it and is not chosen yet."""
    chosen: list[int] = []
    rows = study.data.rows(part).tolist()
    while len(chosen) < min(count, len(rows)):
        before = len(chosen)
        for k in np.roll(np.arange(len(CLASSES)), -1):      # No Finding last
            chosen += [row for row in rows if study.data.targets[row, k] == 1 and row not in chosen][:1]
        if len(chosen) == before:
            chosen += [row for row in rows if row not in chosen]
    return chosen[:count]


def first_with(study: Study, finding: str, part: str = "test") -> int | None:
    """The row of the first image of a part with a finding, not chosen by how its map looks; None without one."""
    rows = study.data.rows(part)
    return next(iter(rows[study.data.targets[rows, CLASSES.index(finding)] == 1].tolist()), None)


def picture(study: Study, row: int) -> np.ndarray:
    """One image as it was published, grey uint8, square, of at most 512 pixels."""
    grey = _published(study, row)
    return images.fit_square(grey, min(*grey.shape, 512))


def visible(study: Study, row: int) -> np.ndarray:
    """The part of one image that the networks see, uint8, at the resolution of the file: for display."""
    return images.shown(_published(study, row), study.settings.resize, study.settings.crop)


def caption(study: Study, row: int) -> str:
    """Findings, view, sex and age of one image, in two lines."""
    of = study.data.table.iloc[row]
    age = "age unknown" if np.isnan(of["age"]) else f"{of['age']:.0f} y"
    return f"{of['labels'].replace('|', ', ').replace('_', ' ')}\n{of['view']}, {of['sex']}, {age}"


def findings(study: Study, row: int) -> list[str]:
    """The labels of one image."""
    return study.data.table["labels"].iloc[row].split("|")


def cause(study: Study, image: str, finding: str) -> np.ndarray:
    """The mask of a finding of a phantom for display, bool (H, W), at the size of its file.

    Without specks, where the finding changes single pixels by one grey level (ours).
    """
    mask = phantom_chest.Truth(study.data.folder).mask(image, finding)
    smooth = median_filter(mask, 5)
    return smooth if smooth.any() else mask


def contours(study: Study, row: int) -> dict[str, list[np.ndarray]]:
    """Outlines of the cause of each finding, (n, 2) each, in fractions of the side of the network's picture."""
    data, name = study.data, study.data.table["image"].iloc[row]
    if data.is_phantom:
        whole = {finding: outlines(cause(study, name, finding))
                 for finding in findings(study, row) if finding in phantom_chest.FINDINGS}
    else:
        boxes = data.xrays.boxes[data.xrays.boxes["image"] == name]
        sides = _published(study, row).shape[::-1] if len(boxes) else (1, 1)
        whole = {finding: [_outline_in_square(box, sides) for box in of.itertuples()]
                 for finding, of in boxes.groupby("finding") if finding in CLASSES}
    crop = study.settings.crop / study.settings.resize
    return {finding: [(line - (1 - crop) / 2) / crop for line in lines] for finding, lines in whole.items()}


def box_outline(box: tuple) -> np.ndarray:
    """The closed outline of a row of `boxes`, (5, 2): x, y in fractions of an image's width and height."""
    return box_outlines([box.y, box.x, box.y + box.h, box.x + box.w])[0]


def _outline_in_square(box: tuple, sides: tuple[int, int]) -> np.ndarray:
    """The outline of a row of `boxes` in fractions of the central square of an image with these sides."""
    return (box_outline(box) * sides - (np.array(sides) - min(sides)) / 2) / min(sides)


def _published(study: Study, row: int) -> np.ndarray:
    return images.read_grey(study.data.xrays.path(study.data.table["image"].iloc[row]))


def _boxed(study: Study, image: str, finding: str) -> np.ndarray:
    """The boxes of a finding on the published picture, bool (H, W)."""
    height, width = images.read_grey(study.data.xrays.path(image)).shape
    inside = np.zeros((height, width), bool)
    boxes = study.data.xrays.boxes
    for box in boxes[(boxes["image"] == image) & (boxes["finding"] == finding)].itertuples():
        rows, columns = (np.rint(np.array(ends) * side).astype(int)
                         for ends, side in (((box.y, box.y + box.h), height), ((box.x, box.x + box.w), width)))
        inside[rows[0]:rows[1], columns[0]:columns[1]] = True
    return inside
