"""The tables and figures of chapter 1: one function an exhibit, called by the notebooks."""

import dataclasses

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.ndimage import median_filter

from mdlib.data import chestxray14, images, splits
from mdlib.data.phantoms import chest as phantom_chest
from mdlib.evaluate import classification
from mdlib.recipes.chest import figures
from mdlib.recipes.chest.chapter import Chapter
from mdlib.recipes.chest.networks import PAPER_WEIGHTS, count, network
from mdlib.recipes.chest.settings import PROFILES
from mdlib.recipes.chest.trainings import scores


def settings(chapter: Chapter) -> pd.DataFrame:
    """The settings of this run beside the paper's."""
    paper = dataclasses.asdict(PROFILES["paper"])
    table = pd.DataFrame({"this run": dataclasses.asdict(chapter.settings), "paper profile": paper}).astype(str)
    return table.rename_axis("setting")


def picture(chapter: Chapter, row: int) -> np.ndarray:
    """One image as it was published, grey uint8, square."""
    grey = images.read_grey(chapter.xrays.path(chapter.table["image"].iloc[row]))
    return images.fit_square(grey, min(min(grey.shape), 512))


def as_seen(chapter: Chapter, row: int) -> np.ndarray:
    """The part of `picture` that the networks see, after the centre crop of section 2.4."""
    whole = picture(chapter, row)
    return images.centre_crop(whole, round(len(whole) * chapter.settings.crop / chapter.settings.resize))


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
    return figures.pictures([picture(chapter, row) for row in rows], [title(chapter, row) for row in rows])


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


def causes(chapter: Chapter, count: int = 4) -> Figure:
    """Pictures, their twins without one finding, and the pixels that differ; for real images the boxes."""
    names, folder = chapter.table["image"], chapter.xrays.data_dir
    if chapter.xrays.truth is None:
        boxes = chapter.xrays.boxes.drop_duplicates("finding")
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


def curves(histories: dict[tuple[str, int], list[dict]]) -> Figure:
    """Training loss, validation loss and validation AUROC by epoch."""
    rows = [{"network": name, "seed": seed, **epoch} for (name, seed), epochs in histories.items() for epoch in epochs]
    return figures.curves(pd.DataFrame(rows), {"loss": "mean training loss", "val_loss": "validation loss",
                                               "val_auroc": "validation AUROC, plain mean"})


def aurocs(chapter: Chapter) -> pd.DataFrame:
    """AUROC on the test part: columns network, class (with both means), auroc, low, high, positives."""
    def compute() -> list[dict]:
        test, rows = chapter.table.iloc[chapter.rows["test"]], []
        target = chapter.targets[chapter.rows["test"]]
        for name, score in scores(chapter).items():
            table = classification.bootstrap(target, score, test["patient"], names=chapter.classes,
                                             draws=chapter.settings.draws, seed=chapter.seed)
            rows += table.reset_index().assign(network=name, seeds=len(score)).to_dict("records")
        return [{key: None if value != value else value for key, value in row.items()} for row in rows]
    table = pd.DataFrame(chapter.run.remember("aurocs", compute, draws=chapter.settings.draws))
    return table.astype({"auroc": float, "low": float, "high": float})


def auroc_table(table: pd.DataFrame) -> pd.DataFrame:
    """Both means by network, each with its interval."""
    cells = table.assign(text=[f"{r.auroc:.3f} ({r.low:.3f} to {r.high:.3f})" for r in table.itertuples()])
    wide = cells.pivot(index="network", columns="class", values="text")[["plain mean", "weighted mean"]]
    return wide.loc[list(dict.fromkeys(table["network"]))].rename_axis(index="", columns="AUROC (95 % interval)")


def auroc_figure(table: pd.DataFrame) -> Figure:
    """AUROC by class and network, with intervals."""
    return figures.intervals(table, "AUROC on the test part")


def lacking(chapter: Chapter) -> str:
    """Which classes cannot be learned or measured in which part, in words."""
    sentences = chestxray14.counts_in_words(images_per_class(chapter).loc[list(chapter.classes)])
    return "\n".join(sentences) or "Every class has positive images in every part."


def differences(chapter: Chapter) -> pd.DataFrame:
    """Each network against the five numbers, and the comparisons of section 3.1: difference of mean AUROC, in words."""
    def compute() -> list[dict]:
        test, all_scores = chapter.table.iloc[chapter.rows["test"]], scores(chapter)
        target, rows = chapter.targets[chapter.rows["test"]], []
        for a, b in pairs:
            of_a = all_scores[a]
            of_b = np.broadcast_to(all_scores[b], of_a.shape)
            found = classification.paired_difference(target, of_a, of_b, test["patient"], draws=chapter.settings.draws,
                                                     seed=chapter.seed, average="plain")
            rows.append({"comparison": f"{a} - {b}", "difference": found.mean, "low": found.low, "high": found.high,
                         "seeds": found.seeds, "in words": found.sentence(a, b)})
        return rows
    names = chapter.settings.networks
    pairs = [(name, "five numbers") for name in names] + [
        pair for pair in (("densenet121", "resnet50"), ("att_a", "densenet121"), ("att_b", "densenet121"))
        if set(pair) <= set(names)]
    return pd.DataFrame(chapter.run.remember("differences", compute, pairs=pairs)).set_index("comparison").round(3)


def check_phantoms(chapter: Chapter, table: pd.DataFrame) -> str:
    """On phantoms, assert that the picture is worth looking at: DenseNet-121 beats the five numbers by 0.1 or more."""
    if chapter.xrays.truth is None:
        return "These are not phantoms: nothing is asked of them."
    mean = table[table["class"] == "plain mean"].set_index("network")["auroc"]
    assert mean["five numbers"] < 0.65, mean
    assert mean["densenet121"] > mean["five numbers"] + 0.1, mean
    return "DenseNet-121 is at least 0.1 above the five numbers, which stay below 0.65."


def check_signal(chapter: Chapter, shares: pd.DataFrame) -> str:
    """Assert what eq. 4 says: norm5 is alive in DenseNet-121 and, under the softmax, dead in attA and attB."""
    assert shares.loc["densenet121", "norm5"] > 0.9, shares
    if chapter.settings.normalise == "sigmoid":
        return "With the sigmoid, norm5 counts again."
    assert (shares.loc[["att_a", "att_b"], "norm5"] == 0).all(), shares
    return "As eq. 4 says: no map of attA and attB at norm5 carries signal."
