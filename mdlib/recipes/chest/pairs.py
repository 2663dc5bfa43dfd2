"""Pairs of a test image and a finding it shows, where the pixels of the finding are known: what maps are held against.

On phantoms the cause is what vanishes with the finding; on real images it is the radiologists' boxes. Both go through
the geometry of section 2.4 (resize, centre crop) that the networks' input went through.
"""

import numpy as np
import pandas as pd
import torch

from mdlib.data import images
from mdlib.data.phantoms import chest as phantom_chest
from mdlib.recipes.chest.chapter import Chapter

USUAL = 50     # (ours) training images a finding, for the place where it usually is


def known(chapter: Chapter, most: int) -> pd.DataFrame:
    """Test pairs whose cause is known, at most `most` a finding, drawn by the seed: image, finding, k, row, patient.

    k: the class index. Ordered by finding; the first n of a finding are the same whatever `most`. Empty where nothing
    is known.
    """
    if chapter.xrays.truth is not None:
        return labelled(chapter, most)
    boxed = chapter.xrays.boxes[["image", "finding"]].drop_duplicates()
    return _chosen(chapter, _all(chapter, "test").merge(boxed, on=["image", "finding"]), most)


def labelled(chapter: Chapter, most: int, part: str = "test") -> pd.DataFrame:
    """The same of any images of `part` whose labels name a finding."""
    return _chosen(chapter, _all(chapter, part), most)


def masks(chapter: Chapter, pairs: pd.DataFrame) -> np.ndarray:
    """The cause of each pair in the network's picture, bool (P, crop, crop): pixels at least half covered (ours)."""
    truth = None if chapter.xrays.truth is None else phantom_chest.Truth(chapter.xrays.data_dir)
    whole = (truth.mask(pair.image, pair.finding) if truth else _boxed(chapter, pair.image, pair.finding)
             for pair in pairs.itertuples())
    resize, crop = chapter.settings.resize, chapter.settings.crop
    return np.stack([images.seen(255 * mask.astype(np.uint8), resize, crop) for mask in whole]) >= 128


def usual(chapter: Chapter, pairs: pd.DataFrame, causes: np.ndarray) -> np.ndarray:
    """Where its finding usually is, a map for each pair, float32 (P, crop, crop) in [0, 1]: it sees no image (ours).

    The mean mask of the finding over training images. Boxes are given for test images only: there it is the mean over
    the pairs of other patients, and the same everywhere where there are none. `causes` are the masks of all pairs.
    """
    places = np.empty(causes.shape, np.float32)
    shown = None if chapter.xrays.truth is None else labelled(chapter, USUAL, "train")
    for k, where in pairs.groupby("k").indices.items():
        if shown is not None:
            of_finding = shown[shown["k"] == k]
            places[where] = masks(chapter, of_finding).mean(axis=0) if len(of_finding) else 1
            continue
        patient = pairs["patient"].to_numpy()[where]
        others = (patient[:, None] != patient).astype(np.float32)
        count = others.sum(axis=1)[:, None, None]
        total = np.tensordot(others, causes[where].astype(np.float32), 1)
        places[where] = np.where(count > 0, total / np.maximum(count, 1), 1)
    return places


def twins(chapter: Chapter, pairs: pd.DataFrame) -> torch.Tensor:
    """What a network sees of each image drawn without the finding, (P, 1, crop, crop) in [0, 1]; phantoms only."""
    drawn = [images.seen(phantom_chest.twin(chapter.xrays.data_dir, pair.image, pair.finding),
                         chapter.settings.resize, chapter.settings.crop) for pair in pairs.itertuples()]
    return torch.from_numpy(np.stack(drawn))[:, None].float().div_(255)


def _all(chapter: Chapter, part: str) -> pd.DataFrame:
    rows = chapter.rows[part]
    where, k = np.nonzero(chapter.targets[rows] == 1)
    of = chapter.table.iloc[rows[where]]
    pairs = pd.DataFrame({"image": of["image"].to_numpy(), "finding": np.array(chapter.classes)[k], "k": k,
                          "row": rows[where], "patient": of["patient"].to_numpy()})
    return pairs[pairs["finding"] != "No Finding"]


def _chosen(chapter: Chapter, pairs: pd.DataFrame, most: int) -> pd.DataFrame:
    drawn = pairs.sample(frac=1, random_state=chapter.seed).groupby("k").head(most)
    return drawn.sort_values("k", kind="stable").reset_index(drop=True)


def _boxed(chapter: Chapter, image: str, finding: str) -> np.ndarray:
    """The boxes of a finding on the published picture, bool (H, W)."""
    height, width = images.read_grey(chapter.xrays.path(image)).shape
    inside = np.zeros((height, width), bool)
    boxes = chapter.xrays.boxes
    for box in boxes[(boxes["image"] == image) & (boxes["finding"] == finding)].itertuples():
        rows, columns = (np.rint(np.array(ends) * side).astype(int)
                         for ends, side in (((box.y, box.y + box.h), height), ((box.x, box.x + box.w), width)))
        inside[rows[0]:rows[1], columns[0]:columns[1]] = True
    return inside
