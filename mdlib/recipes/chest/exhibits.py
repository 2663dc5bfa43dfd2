"""The tables and figures of chapter 1: one function an exhibit, called by the notebooks."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.ndimage import median_filter

from mdlib.data import chestxray14, images, splits
from mdlib.data.phantoms import chest as phantom_chest
from mdlib.recipes import figures as shared
from mdlib.recipes.chest import figures
from mdlib.recipes.chest.chapter import Chapter
from mdlib.recipes.chest.networks import PAPER_WEIGHTS, count, network
from mdlib.recipes.chest.plan import Training, plan
from mdlib.recipes.chest.results import COMPARED, committed
from mdlib.recipes.chest.settings import PROFILES
from mdlib.recipes.chest.trainings import left_out, planned, train_all


def settings(chapter: Chapter) -> pd.DataFrame:
    """The settings of this run beside the paper's."""
    return shared.settings(chapter.settings, PROFILES["paper"])


def picture(chapter: Chapter, row: int) -> np.ndarray:
    """One image as it was published, grey uint8, square."""
    grey = images.read_grey(chapter.xrays.path(chapter.table["image"].iloc[row]))
    return images.fit_square(grey, min(min(grey.shape), 512))


def as_seen(chapter: Chapter, row: int) -> np.ndarray:
    """The part of one image that the networks see, for the eye."""
    grey = images.read_grey(chapter.xrays.path(chapter.table["image"].iloc[row]))
    return images.shown(grey, chapter.settings.resize, chapter.settings.crop)


def title(chapter: Chapter, row: int) -> str:
    """Findings, view, sex and age of one image."""
    of = chapter.table.iloc[row]
    age = "age unknown" if np.isnan(of["age"]) else f"{of['age']:.0f} y"
    return f"{figures.words(of['labels'].replace('|', ', '))}\n{of['view']}, {of['sex']}, {age}"


def one_a_class(chapter: Chapter, count: int) -> list[int]:
    """Rows of `count` test images: for each class in turn the first that shows it and is not chosen yet."""
    chosen: list[int] = []
    test = chapter.rows["test"]
    while len(chosen) < min(count, len(test)):
        before = len(chosen)
        for k in np.roll(np.arange(len(chapter.classes)), -1):    # No Finding last
            fits = [row for row in test if chapter.targets[row, k] == 1 and row not in chosen]
            chosen += fits[:1]
        if len(chosen) == before:
            chosen += [row for row in test if row not in chosen]
    return chosen[:count]


def pictures(chapter: Chapter, count: int = 12) -> Figure:
    """Images of the test part, each class once before any comes twice."""
    rows = one_a_class(chapter, count)
    return shared.pictures([picture(chapter, row) for row in rows], [title(chapter, row) for row in rows])


def table_1(chapter: Chapter) -> pd.DataFrame:
    """Images, patients and shared patients of the parts of this run."""
    of = {part: chapter.table.iloc[rows] for part, rows in chapter.rows.items()}
    return pd.DataFrame({
        part: {"images": len(table), "patients": table["patient"].nunique(),
               "% of all images": round(100 * len(table) / len(chapter.xrays.table), 1),
               "patients also in train": 0 if part == "train" else
               splits.leaks(chapter.table, of["train"]["image"].tolist(), table["image"].tolist()).patients}
        for part, table in of.items()}).T.astype({"images": int, "patients": int, "patients also in train": int})


def images_per_class(chapter: Chapter) -> pd.DataFrame:
    """Images of each class in the parts of this run, (15 classes x parts)."""
    names = {part: chapter.table["image"].iloc[rows] for part, rows in chapter.rows.items()}
    return chestxray14.counts(chapter.table, names)


def figure_1(chapter: Chapter) -> Figure:
    """Fig. 1: images with each class in the parts of this run."""
    return figures.per_class(images_per_class(chapter))


def figure_2(chapter: Chapter) -> Figure:
    """Fig. 2: classes against sex, view and age, all images of this run."""
    return figures.against_features(chapter.table, chapter.targets, chapter.classes)


def cause(truth: phantom_chest.Truth, image: str, finding: str) -> np.ndarray:
    """The mask of a finding for the eye: without specks, where it changes single pixels by a last grey level (ours)."""
    mask = truth.mask(image, finding)
    smooth = median_filter(mask, 5)
    return smooth if smooth.any() else mask


def causes(chapter: Chapter, count: int = 4) -> Figure | str:
    """Pictures, their twins without one finding, and the pixels that differ; real images: boxes, if any."""
    names, folder = chapter.table["image"], chapter.xrays.data_dir
    if chapter.xrays.truth is None:
        boxes = chapter.xrays.boxes.drop_duplicates("finding")
        if boxes.empty:
            return "This collection has no boxes: what caused a finding is not known."
        return figures.boxes([(figures.words(box.finding), images.read_grey(chapter.xrays.path(box.image)),
                               (box.x, box.y, box.w, box.h)) for box in boxes.itertuples()])
    truth, rows, seen = phantom_chest.Truth(folder), [], set()
    for row in one_a_class(chapter, 60):
        for finding in chapter.table["labels"].iloc[row].split("|"):
            if finding in truth.findings and finding not in seen and len(rows) < count:
                seen.add(finding)
                rows.append((figures.words(finding), picture(chapter, row),
                             phantom_chest.twin(folder, names[row], finding), cause(truth, names[row], finding)))
    return figures.causes(rows)


def table_2(chapter: Chapter) -> pd.DataFrame:
    """Weights of this run's networks beside those of full size in the paper."""
    names = list(chapter.settings.networks)
    here = [count(network(name, chapter.settings)) for name in names]
    return pd.DataFrame({"this run": here, "full size (paper)": [PAPER_WEIGHTS[name] for name in names]}, index=names)


def trainings(chapter: Chapter) -> pd.DataFrame:
    """What each exhibit needs: networks, the parts they are fitted to, how many trainings, how many of them new."""
    seen, rows = set(), {}
    for name in chapter.settings.exhibits:
        if left_out(chapter, name):
            continue
        needed = plan((name,), chapter.settings.networks, chapter.settings.splits, chapter.seeds)
        rows[name] = {"networks": ", ".join(dict.fromkeys(training.network for training in needed)),
                      "fitted to": ", ".join(dict.fromkeys(training.part for training in needed)),
                      "compares": COMPARED[name][0], "trainings": len(needed), "new": len(set(needed) - seen)}
        seen |= set(needed)
    return pd.DataFrame(rows).T


def curves(chapter: Chapter) -> Figure | str:
    """Fig. 7a: the mean training loss by epoch at both rates; beside it the loss and AUROC on `val`."""
    rows = [{"network": training.network, "rate": getattr(chapter.settings, training.rate), **epoch}
            for training, epochs in histories(chapter).items() for epoch in epochs]
    if not rows:
        return "None of the exhibits of this run has networks that are validated while they train."
    return figures.curves(pd.DataFrame(rows), {"loss": "mean training loss", "val_loss": "validation loss",
                                               "val_auroc": "validation AUROC, plain mean"})


def histories(chapter: Chapter) -> dict[Training, list[dict]]:
    """The histories of the trainings that have a validation part, of the first split and the usual epochs."""
    return train_all(chapter, [training for training in planned(chapter) if training.part == "train"
                               and training.split == 0 and training.epochs == "epochs"])


def lacking(chapter: Chapter) -> str:
    """Which classes cannot be learned or measured in which part, in words."""
    sentences = chestxray14.counts_in_words(images_per_class(chapter).loc[list(chapter.classes)])
    return "\n".join(sentences) or "Every class has positive images in every part."


def check_training(chapter: Chapter) -> str:
    """In the book's own run, assert that training lowered the loss of every network, at both rates."""
    if not committed(chapter):
        return "Not the settings of the book: nothing is asked of the losses."
    first_and_last = {training.slug: (epochs[0]["loss"], epochs[-1]["loss"])
                      for training, epochs in histories(chapter).items()}
    assert all(last < first for first, last in first_and_last.values()), first_and_last
    return f"The training loss of all {len(first_and_last)} trainings has fallen."


def check_signal(chapter: Chapter, shares: pd.DataFrame) -> str:
    """Assert what eq. 4 says: under the softmax, norm5 is dead in attA and attB, whatever the data and settings."""
    dead = shares.loc[shares.index.str.startswith("att"), "norm5"]
    assert (dead == 0).all(), shares
    return f"As eq. 4 says: no map at norm5 of {' and '.join(dead.index)} carries signal."
