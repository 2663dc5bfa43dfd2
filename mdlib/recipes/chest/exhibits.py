"""The tables and figures of chapter 1: one function an exhibit, called by the notebooks."""

import dataclasses

import numpy as np
import pandas as pd
from IPython.display import Markdown
from matplotlib.figure import Figure
from scipy.ndimage import median_filter

from mdlib.data import chestxray14, images, splits
from mdlib.data.phantoms import chest as phantom_chest
from mdlib.evaluate import classification
from mdlib.evaluate.tables import interval
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


def curves(histories: dict[tuple[str, int], list[dict]]) -> Figure:
    """Training loss, validation loss and validation AUROC by epoch."""
    rows = [{"network": name, "seed": seed, **epoch} for (name, seed), epochs in histories.items() for epoch in epochs]
    return figures.curves(pd.DataFrame(rows), {"loss": "mean training loss", "val_loss": "validation loss",
                                               "val_auroc": "validation AUROC, plain mean"})


def aurocs(chapter: Chapter) -> pd.DataFrame:
    """AUROC on the test part: columns class (with both means), auroc, low, high, draws, network, seeds."""
    def compute() -> list[dict]:
        test, rows = chapter.table.iloc[chapter.rows["test"]], []
        target = chapter.targets[chapter.rows["test"]]
        for name, score in scores(chapter).items():
            table = classification.bootstrap(target, score, test["patient"], names=chapter.classes,
                                             draws=chapter.settings.draws, seed=chapter.seed)
            rows += table.reset_index().assign(network=name, seeds=len(score)).to_dict("records")
        return rows
    table = pd.DataFrame(chapter.run.remember("aurocs", compute))
    return table.astype({"auroc": float, "low": float, "high": float})


def auroc_table(table: pd.DataFrame) -> pd.DataFrame:
    """Both means by network, each with its interval."""
    cells = table.assign(text=[f"{r.auroc:.3f} ({interval(r.low, r.high, digits=3)})" for r in table.itertuples()])
    wide = cells.pivot(index="network", columns="class", values="text")[["plain mean", "weighted mean"]]
    return wide.loc[list(dict.fromkeys(table["network"]))].rename_axis(index="", columns="AUROC (95 % interval)")


def auroc_figure(chapter: Chapter, table: pd.DataFrame) -> Figure:
    """AUROC by class and network, with intervals."""
    test = chapter.table.iloc[chapter.rows["test"]]
    return figures.intervals(table, f"Test part: {len(test):,} images of {test['patient'].nunique():,} patients; "
                                    f"{chapter.settings.seeds} trainings a network")


def lacking(chapter: Chapter) -> str:
    """Which classes cannot be learned or measured in which part, in words."""
    sentences = chestxray14.counts_in_words(images_per_class(chapter).loc[list(chapter.classes)])
    return "\n".join(sentences) or "Every class has positive images in every part."


def undefined(table: pd.DataFrame) -> str:
    """Which classes have no AUROC on the test part, in words."""
    names = table.loc[table["auroc"].isna(), "class"].drop_duplicates()
    return f"Without an AUROC: {', '.join(names)}." if len(names) else "Every class has an AUROC."


def differences(chapter: Chapter) -> pd.DataFrame:
    """Each network against the five numbers, and the comparisons of section 3.1: difference of mean AUROC, in words."""
    def compute() -> list[dict]:
        test, all_scores = chapter.table.iloc[chapter.rows["test"]], scores(chapter)
        target, rows = chapter.targets[chapter.rows["test"]], []
        for a, b in pairs:
            found = classification.paired_difference(target, all_scores[a], all_scores[b], test["patient"],
                                                     seed=chapter.seed, draws=chapter.settings.draws, average="plain")
            rows.append({"comparison": f"{a} - {b}", "difference": found.mean, "low": found.low, "high": found.high,
                         "seeds": found.seeds, "in words": found.sentence(a, b)})
        return rows
    names = chapter.settings.networks
    pairs = [(name, "five numbers") for name in names] + [
        pair for pair in (("densenet121", "resnet50"), ("att_a", "densenet121"), ("att_b", "densenet121"))
        if set(pair) <= set(names)]
    table = pd.DataFrame(chapter.run.remember("differences", compute, pairs=pairs)).set_index("comparison")
    return table.astype({"difference": float, "low": float, "high": float}).round(3)


def in_words(table: pd.DataFrame) -> Markdown:
    """The sentences of `differences` as a list."""
    return Markdown("\n".join(f"- {sentence}" for sentence in table["in words"]))


def committed(chapter: Chapter) -> bool:
    """Whether this is the run that the book shows: phantoms and the embedded settings. Others are not checked."""
    return chapter.xrays.truth is not None and chapter.settings == PROFILES["embedded"]


def check_training(chapter: Chapter, histories: dict[tuple[str, int], list[dict]]) -> str:
    """In the book's own run, assert that training lowered the loss of every network."""
    if not committed(chapter):
        return "Not the settings of the book: nothing is asked of the losses."
    first_and_last = {job: (epochs[0]["loss"], epochs[-1]["loss"]) for job, epochs in histories.items()}
    assert all(last < first for first, last in first_and_last.values()), first_and_last
    return f"The training loss of all {len(histories)} trainings has fallen."


def check_phantoms(chapter: Chapter, table: pd.DataFrame) -> str:
    """In the book's own run, assert that DenseNet-121 is 0.1 above the five numbers: there is something to explain."""
    if not committed(chapter):
        return "Not the phantoms and settings of the book: nothing is asked of the AUROCs."
    mean = table[table["class"] == "plain mean"].set_index("network")["auroc"]
    assert mean["five numbers"] < 0.65, mean
    assert mean["densenet121"] > mean["five numbers"] + 0.1, mean
    return "DenseNet-121 is at least 0.1 above the five numbers, which stay below 0.65."


def check_signal(chapter: Chapter, shares: pd.DataFrame) -> str:
    """Assert what eq. 4 says: under the softmax, norm5 is dead in attA and attB, whatever the data and settings."""
    if chapter.settings.normalise == "sigmoid":
        return "With the sigmoid, norm5 counts again."
    dead = shares.loc[shares.index.str.startswith("att"), "norm5"]
    assert (dead == 0).all(), shares
    return f"As eq. 4 says: no map at norm5 of {' and '.join(dead.index)} carries signal."
