"""The tables and figures of the data page of chapter 2: one function per exhibit, called by the notebook.

What needs the truth is a sentence where it is not known; so is what a run has no collection for.
"""

import numpy as np
import pandas as pd
import seaborn as sns
import torch
from matplotlib.figure import Figure

from mdlib.data import splits
from mdlib.data.bags import BagSamples
from mdlib.progress import track
from mdlib.recipes.mims import located
from mdlib.recipes.mims.chapter import Chapter
from mdlib.recipes.mims.explained import central
from mdlib.recipes.mims.plan import REAL
from mdlib.recipes.mims.results import COLLECTION_NAMES
from mdlib.recipes.mims.settings import PROFILES
from mdlib.study import map_plots, tables
from mdlib.study.plots import COLOURS, grid_of_axes

# bags of each class, section 3.1; of the CRC tiles before some of the test part are moved into tuning
PAPER = {("cirrus", "all"): "239 normal, 100 DME", ("spectralis", "all"): "60 normal, 137 DME",
         ("mmd", "all"): "11,924 healthy, 631 MMD", ("crc_msi", "train"): "46,704 MSS, 46,704 MSI",
         ("crc_msi", "test"): "70,569 MSS, 28,335 MSI, with tuning"}
IMAGES = ("mmd", "crc_msi")     # collections of single images
MOST = 500                      # (ours) bags of a class and part, evenly taken, in a figure of their colours
NO_TRUTH = "Where the lesions of this collection lie is not known."
NO_VOLUMES = "This run has no volumes."
NO_TILES = "This run has no tissue tiles."


def settings(chapter: Chapter) -> pd.DataFrame:
    """The settings of this run that differ from the paper profile's."""
    return tables.settings(chapter.settings, PROFILES["paper"])


def parts(chapter: Chapter, collection: str) -> dict[str, np.ndarray]:
    """The rows of all bags of a collection, and of each of its parts; of real scans those of the first fold."""
    names = ("train", "tuning", "test") if collection == "crc_msi" else ("train", "test")
    fold = f", fold 1 of {chapter.settings.folds}" if collection in REAL else ""
    every = np.arange(len(chapter.bags(collection).table))
    return {"all": every} | {name + fold: chapter.part(collection, name) for name in names}


def collections(chapter: Chapter) -> pd.DataFrame:
    """Bags, patients, central slices and classes of each part, beside the paper's classes where it gives them."""
    found = {}
    for collection in chapter.collections:
        bags = chapter.bags(collection)
        for part, rows in parts(chapter, collection).items():
            table, counts = bags.table.iloc[rows], np.bincount(bags.targets[rows], minlength=len(bags.classes))
            found[COLLECTION_NAMES[collection], part] = {
                "bags": len(table), "patients": table["patient"].nunique(), "slices": int(table["count"].sum()),
                "classes": ", ".join(f"{n:,} {name}" for n, name in zip(counts, bags.classes, strict=True)),
                "paper": PAPER.get((collection, part), "")}
    return pd.DataFrame(found).T.rename_axis(["collection", "part"])


def examples(chapter: Chapter, collection: str, k: int, count: int = 4) -> list[tuple[int, int]]:
    """(row, slice) of `count` slices of test bags of class k: every third around the middle of a volume.

    Further bags fill up where the first has too few slices. Where the truth is known, the volume whose slices show
    lesions most often comes first.
    """
    bags = chapter.bags(collection)
    rows = [int(row) for row in chapter.part(collection, "test") if bags.targets[row] == k]
    near = {row: central(bags.table["count"].iloc[row], 3 * count)[::3] for row in rows}
    if located.known(chapter, collection):
        rows.sort(key=lambda row: -located.mask(chapter, collection, row)[near[row]].any(axis=(1, 2)).sum())
    return [(row, int(where)) for row in rows for where in near[row]][:count]


def outlined(chapter: Chapter, shown: list[tuple[str, int, int]], titles: list[str], columns: int) -> Figure:
    """Slices (collection, row, slice) under their titles, with the outline of each lesion where it is known."""
    read = [chapter.bags(collection).read(int(chapter.bags(collection).table["first"].iloc[row]) + where)
            for collection, row, where in shown]
    figure = map_plots.images(read, titles, columns)
    for axis, (collection, row, where) in zip(figure.axes, shown, strict=False):
        if located.known(chapter, collection):
            labels = located.mask(chapter, collection, row)[where]
            for lesion in np.unique(labels[labels > 0]):
                axis.contour(labels == lesion, levels=[0.5], colors=[COLOURS[1]], linewidths=1.2)
    return figure


def volumes(chapter: Chapter, columns: int = 4) -> Figure | str:
    """Of each collection of volumes or scans and each class `columns` test slices, as `examples`, outlined."""
    shown, titles = [], []
    for collection in (name for name in chapter.collections if name not in IMAGES):
        bags = chapter.bags(collection)
        for k, label in enumerate(bags.classes):
            found = examples(chapter, collection, k, columns)
            shown += [(collection, *one) for one in found]
            titles += [f"{COLLECTION_NAMES[collection]}, {label}\n{bags.table['bag'].iloc[row]}, slice {where}"
                       for row, where in found]
    return outlined(chapter, shown, titles, columns) if shown else NO_VOLUMES


def lesions(chapter: Chapter) -> pd.DataFrame:
    """One row per known cyst of any part, as `located.lesions`, with its collection."""
    found = [located.lesions(chapter, collection, part).assign(collection=collection)
             for collection in chapter.collections for part in ("train", "test")]
    return pd.concat([table for table in found if len(table)] or found[:1], ignore_index=True)


def scale(chapter: Chapter) -> Figure | str:
    """How wide the cysts are, and in how many slices each is seen, by device; all parts."""
    table = lesions(chapter)
    if table.empty:
        return NO_TRUTH
    by_device = [(f"{COLLECTION_NAMES[name]} (n = {len(of)} cysts)", of) for name, of in table.groupby("collection")]
    names, of_device = zip(*by_device, strict=True)
    figure, (left, right) = grid_of_axes(1, 2, figsize=(10, 3.4))
    widths = np.unique(np.geomspace(table["width"].min(), table["width"].max() + 1, 9).round()) - 0.5
    for axis, column, bins in ((left, "width", widths), (right, "slices", np.arange(0.5, table["slices"].max() + 1))):
        axis.hist([of[column] for of in of_device], bins, label=names, color=COLOURS[:len(names)])
        axis.set(ylabel="cysts")
    ticks = [tick for tick in (2, 4, 8, 16, 32, 64) if widths[0] <= tick <= widths[-1]]
    left.set(xscale="log", xlabel="width in its largest slice (pixels, logarithmic)")
    left.set_xticks(ticks, ticks)
    left.set_xticks([], minor=True)
    right.set(xlabel="slices in which a cyst is seen")
    right.legend(frameon=False, fontsize=8)
    return figure


def extremes(chapter: Chapter) -> Figure | str:
    """The narrowest, the median and the widest cyst of each device, outlined in the slice where it is largest."""
    table, shown, titles = lesions(chapter), [], []
    if table.empty:
        return NO_TRUTH
    for collection, of in table.groupby("collection"):
        of = of.sort_values("width", kind="stable")
        for name, at in (("narrowest", 0), ("median", len(of) // 2), ("widest", -1)):
            one = of.iloc[at]
            shown.append((collection, one["row"], one["slice"]))
            titles.append(f"{COLLECTION_NAMES[collection]}: {name}, {one['width']} pixels,\nin {one['slices']} slices")
    return outlined(chapter, shown, titles, columns=3)


def twins(chapter: Chapter) -> Figure | str:
    """The slice of each device's widest cyst, the same drawn without cysts, and the difference in grey levels."""
    table = lesions(chapter)
    if table.empty:
        return NO_TRUTH
    widest = table.loc[table.groupby("collection")["width"].idxmax()]
    figure, axes = grid_of_axes(len(widest), 3, figsize=(10, 2 * len(widest)), squeeze=False)
    for line, (_, one) in zip(axes, widest.iterrows(), strict=True):
        collection, row, where = one["collection"], one["row"], one["slice"]
        bags = chapter.bags(collection)
        image = bags.read(int(bags.table["first"].iloc[row]) + where)
        without = located.drawn_without(chapter, collection, row)[where]
        for axis, picture in zip(line, (image, without), strict=False):
            axis.imshow(picture, cmap="gray", vmin=0, vmax=255)
        changed = line[2].imshow(image.astype(int) - without, cmap="PuOr", vmin=-150, vmax=150)
        figure.colorbar(changed, ax=line[2], label="grey levels")
        for axis, words in zip(line, (f"{one['bag']}, slice {where}", "without its cysts", "difference"),
                               strict=True):
            axis.set_axis_off()
            axis.set_title(words, fontsize=9)
    return figure


def drawn(chapter: Chapter, times: int = 3) -> Figure | str:
    """Which slices of a training volume a network is given in `times` passes over the data, and in testing."""
    fewest, most = chapter.settings.fewest, chapter.settings.most
    for collection in chapter.collections:
        row = int(chapter.part(collection, "train")[0])
        of = chapter.bags(collection).table.iloc[row]
        if of["count"] > most:
            break
    else:
        return f"No volume of this run has more than {most} slices: all are used."
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(chapter.seed)
        samples = chapter.samples(collection, "train", training=True)
        found = {f"step {i + 1}": samples.slices_of(row) - of["first"] for i in range(times)}
    found["test"] = np.arange(of["count"])
    figure, axis = grid_of_axes(figsize=(8, 0.4 * len(found) + 1.2))
    for y, where in enumerate(found.values()):
        axis.plot(where, np.full(len(where), y), "s", color=COLOURS[0 if y < times else 1], markersize=6)
    axis.set_yticks(range(len(found)), [f"{name}: {len(where)}" for name, where in found.items()])
    axis.set(xlabel=f"slice, among the {of['count']} central ones of {of['bag']} ({COLLECTION_NAMES[collection]}); "
                    f"{fewest} to {most} a step")
    axis.invert_yaxis()
    return figure


def colours(chapter: Chapter, collection: str, part: str) -> pd.DataFrame:
    """Mean of each channel over the central slices of a part's bags, one row per bag: label, and 0, …, in [0, 255].

    Of each class at most MOST bags, evenly taken.
    """
    bags, rows = chapter.bags(collection), chapter.part(collection, part)
    of_class = [rows[bags.targets[rows] == k] for k in range(len(bags.classes))]
    rows = np.concatenate([each[np.linspace(0, len(each) - 1, min(len(each), MOST)).astype(int)] for each in of_class])
    samples = BagSamples(chapter.pixels(collection), bags, rows, chapter.settings.central, draw=None)
    means = [255 * samples[i]["bag"].mean(dim=(0, 2, 3)).numpy()
             for i in track(range(len(rows)), f"colours of {collection}")]
    return pd.DataFrame(np.array(means)).assign(label=bags.table["label"].iloc[rows].to_numpy())


def greys(chapter: Chapter) -> Figure:
    """Mean grey value of the training bags by class, one panel per collection."""
    names = chapter.collections
    figure, axes = grid_of_axes(1, len(names), figsize=(3.4 * len(names), 2.4), squeeze=False)
    for axis, collection in zip(axes[0], names, strict=True):
        table = colours(chapter, collection, "train")
        labels = with_counts(table["label"])
        sns.boxplot(x=table.drop(columns="label").mean(axis=1), y=labels, hue=labels, ax=axis, palette="colorblind",
                    order=sorted(set(labels), reverse=True), hue_order=sorted(set(labels)), fliersize=2)
        axis.set(title=COLLECTION_NAMES[collection], xlabel="mean grey value (0–255)", ylabel="")
    return figure


def with_counts(labels: pd.Series) -> pd.Series:
    """Each label with how many there are of it."""
    return labels + " (n = " + labels.map(labels.value_counts()).astype(str) + ")"


def tiles(chapter: Chapter, columns: int = 6) -> Figure | str:
    """Of each part and class of the single images `columns`, each of another patient."""
    pictures, titles = [], []
    for collection in (name for name in chapter.collections if name in IMAGES):
        bags = chapter.bags(collection)
        for part in ("train", "test"):
            table = bags.table.iloc[chapter.part(collection, part)].drop_duplicates(["patient", "label"])
            for label in bags.classes:
                of = table[table["label"] == label].head(columns)
                pictures += [bags.read(int(first)) for first in of["first"]]
                titles += [f"{part}, {label}"] * len(of)
    return map_plots.images(pictures, titles, columns) if pictures else NO_TILES


def stain(chapter: Chapter) -> Figure | str:
    """Mean red, green and blue of the tissue tiles by part and class."""
    if "crc_msi" not in chapter.collections:
        return NO_TILES
    found = [colours(chapter, "crc_msi", part).assign(part=part) for part in ("train", "test")]
    table = pd.concat(found).rename(columns=dict(enumerate(("red", "green", "blue"))))
    table = table.assign(tiles=with_counts(table["part"] + ", " + table["label"])).melt(
        "tiles", ["red", "green", "blue"], "channel", "mean")
    figure, axis = grid_of_axes(figsize=(8, 3.6))
    sns.boxplot(table, x="channel", y="mean", hue="tiles", palette="colorblind", fliersize=2, ax=axis)
    axis.set(xlabel="", ylabel="mean of a tile (0–255)")
    axis.legend(title="", frameon=False, fontsize=8)
    return figure


def leak(chapter: Chapter) -> str:
    """Who is both in the tuning part (first) and the test part (second) of the tissue tiles, in a sentence."""
    if "crc_msi" not in chapter.collections:
        return NO_TILES
    table = chapter.bags("crc_msi").table
    test = np.flatnonzero(table["part"] == "test")
    return str(splits.tuning(table, test, chapter.settings.tuning, chapter.seed)[2])


def bag_sizes(chapter: Chapter) -> Figure:
    """How many bags have how many slices, one panel per collection."""
    names = chapter.collections
    figure, axes = grid_of_axes(1, len(names), figsize=(3.4 * len(names), 2.8), squeeze=False)
    for axis, collection in zip(axes[0], names, strict=True):
        counts = chapter.bags(collection).table["count"].value_counts().sort_index()
        axis.bar_label(axis.bar(counts.index.astype(str), counts, color=COLOURS[0]), fontsize=8)
        axis.set(title=f"{COLLECTION_NAMES[collection]} ({counts.sum():,} bags)", xlabel="slices in a bag",
                 ylabel="bags")
        axis.margins(x=0.3, y=0.12)
    return figure
