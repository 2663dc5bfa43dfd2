"""The figures of the attention page of chapter 5: Figs. 3, 5 and 6 of Zhang et al., and (ours) what was measured."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mdlib.evaluate import attention_entropy
from mdlib.evaluate.resampling import mean_of_known
from mdlib.explain import overlay
from mdlib.recipes.mdnet import located, looking, measured, truth
from mdlib.recipes.mdnet.chapter import Chapter
from mdlib.recipes.mdnet.located import ALL, ENTROPY, HITS, NAMES, WORD
from mdlib.recipes.mdnet.looking import EXPLAINED, explained
from mdlib.recipes.mdnet.plan import Training
from mdlib.recipes.mdnet.rows import MECHANISMS
from mdlib.study.plots import COLOURS, grid_of_axes

MOST = 4        # of the colours: attention as multiples of a uniform map


def of_training(chapter: Chapter, name: str) -> Training:
    """The training of a row in fold 0 and of the first seed."""
    return Training(name, seed=chapter.seed)


def looks_at(chapter: Chapter, name: str, rows: np.ndarray) -> dict[str, np.ndarray]:
    """`looking.looks` of a row of this run for some images of the test part."""
    places = [int(np.flatnonzero(chapter.part("test") == row)[0]) for row in rows]
    return {key: values[places] for key, values in looking.looks(chapter, of_training(chapter, name)).items()}


def outline(chapter: Chapter, axis: Axes, row: int, colour: str = "white") -> None:
    """The urothelium of a phantom as a line; nothing where it is not known. Axes in pixels of the file."""
    if truth.known(chapter):
        for line in overlay.contour(truth.mask(chapter, row, "urothelium") > 0):
            axis.plot(*line.T, color=colour, linewidth=1)


def image(chapter: Chapter, axis: Axes, row: int, title: str = "") -> None:
    """A picture as it is in its file."""
    axis.imshow(chapter.reports.read(row))
    outline(chapter, axis, row, "black")
    axis.set_title(title, fontsize=8)
    axis.set_axis_off()


def heat(chapter: Chapter, axis: Axes, row: int, values: np.ndarray, title: str = "", most: float = MOST,
         **options) -> object:
    """A map (h, w) in its own cells over the place of the picture, from 0 to `most`."""
    height, width = chapter.reports.read(row).shape[:2]
    drawn = axis.imshow(values, cmap="viridis", vmin=0, vmax=most, extent=(0, width, height, 0),
                        interpolation="nearest", **options)
    outline(chapter, axis, row)
    axis.set_title(title, fontsize=8)
    axis.set_axis_off()
    return drawn


def relative(maps: np.ndarray) -> np.ndarray:
    """Attention (..., P) as multiples of the same everywhere."""
    return maps * maps.shape[-1]


def sharpening(chapter: Chapter, count: int = 4) -> Figure:
    """Fig. 3: an image, and the mean attention of all words of its report by each mechanism; one row per image."""
    rows, names = looking.shown(chapter, count), [name for name in ("mdnet_original", "mdnet", "mdnet_local")
                                               if name in explained(chapter)]
    shown = {}
    for name in names:
        looks = looks_at(chapter, name, rows)
        shown[name] = (mean_of_known(looks["attention"], axis=(1, 2)), looks["maps"].shape[2:])
    figure, axes = grid_of_axes(count, 1 + len(names), figsize=(2.1 * (1 + len(names)) + 0.7, 2.25 * count),
                                squeeze=False)
    for i, row in enumerate(rows):
        image(chapter, axes[i, 0], row, chapter.reports.table["conclusion"].iloc[row])
        for axis, (name, (maps, shape)) in zip(axes[i, 1:], shown.items(), strict=True):
            bits = float(attention_entropy.entropy(maps[i]))
            drawn = heat(chapter, axis, row, relative(maps[i]).reshape(shape), f"{MECHANISMS[name]}: {bits:.2f} bits")
    figure.colorbar(drawn, ax=axes[:, -1], label="attention, multiples of a uniform map", shrink=0.6, extend="max")
    return figure


def by_word(chapter: Chapter, name: str = "mdnet", parts: Sequence[str] = ("nuclear_feature", "mitosis", "conclusion"),
            longest: int = 9) -> Figure | str:
    """Fig. 5: a map for each word of some sentences that a network writes about one image, at most `longest` each."""
    row, = looking.shown(chapter, 1)
    looks = looks_at(chapter, name, np.array([row]))
    sentences, = looking.sentences(chapter, 0, looks["words"])
    shape = looks["maps"].shape[2:]
    chosen = [chapter.reports.parts.index(part) for part in parts if part in chapter.reports.parts]
    if not any(sentences[k] for k in chosen):
        return "The network writes nothing about this image: it has learned too little."
    columns = min(max(len(sentences[k].split()) for k in chosen), longest)
    figure, axes = grid_of_axes(len(chosen), 1 + columns, figsize=(1.25 * (1 + columns) + 0.6, 1.6 * len(chosen)),
                                squeeze=False)
    for line, k in zip(axes, chosen, strict=True):
        for axis in line:
            axis.set_axis_off()
        image(chapter, line[0], row, chapter.reports.parts[k].replace("_", " "))
        for axis, word, values in zip(line[1:], sentences[k].split(), looks["attention"][0, k], strict=False):
            drawn = heat(chapter, axis, row, relative(values).reshape(shape), word)
    figure.colorbar(drawn, ax=axes[:, -1], label="multiples of a uniform map", shrink=0.8, extend="max")
    return figure


def class_attention(chapter: Chapter, name: str = "mdnet", count: int = 6) -> Figure:
    """Fig. 6: test images, where the urothelium lies, and what each place says for the predicted class, above 0."""
    rows, classes = looking.shown(chapter, count), chapter.reports.classes
    looks, known = looks_at(chapter, name, rows), truth.known(chapter)
    guess = looks["logits"].argmax(axis=1)
    figure, axes = grid_of_axes(3 if known else 2, count, figsize=(1.75 * count, 5.6 if known else 3.9), squeeze=False)
    for i, row in enumerate(rows):
        image(chapter, axes[0, i], row, f"reported:\n{chapter.reports.table['conclusion'].iloc[row]}")
        if known:
            axes[1, i].imshow(truth.mask(chapter, row, "urothelium") > 0, cmap="gray")
            axes[1, i].set_axis_off()
        values = looks["maps"][i, guess[i]].clip(min=0)
        heat(chapter, axes[-1, i], row, values, f"predicted:\n{classes[guess[i]]}", float(values.max()) or 1)
    return figure


def mirrored(chapter: Chapter, part: str = "conclusion") -> Figure:
    """Where each mechanism looks for the sentence of a part: in an image, its mirror image, and the mean of all.

    Attention that follows the image would be mirrored, too.
    """
    row, = looking.shown(chapter, 1)
    k, names = chapter.reports.parts.index(part), explained(chapter)
    figure, axes = grid_of_axes(len(names), 4, figsize=(8.6, 2.2 * len(names)), squeeze=False)
    for line, name in zip(axes, names, strict=True):
        looks = looks_at(chapter, name, np.array([row]))
        shape = looks["maps"].shape[2:]
        every = mean_of_known(looking.looks(chapter, of_training(chapter, name))["typical"][:, k], axis=(0, 1))
        image(chapter, line[0], row, MECHANISMS[name])
        for axis, values, title in ((line[1], mean_of_known(looks["attention"][0, k], axis=0), "this image"),
                                    (line[2], mean_of_known(looks["hflip"][0, k], axis=0), "mirrored image"),
                                    (line[3], every, "mean of all test images")):
            drawn = axis.imshow(relative(values).reshape(shape), cmap="viridis", vmin=0, vmax=MOST)
            axis.set_title(title, fontsize=8)
            axis.set_axis_off()
    figure.colorbar(drawn, ax=axes[:, -1], label="multiples of a uniform map", shrink=0.6, extend="max")
    return figure


def compared(words: pd.DataFrame, unit: str = WORD) -> Figure | str:
    """Sharpness and hits of each mechanism with intervals, from `located.words`; lines see no image."""
    if not set(HITS) <= set(words["measure"]):
        return measured.UNKNOWN
    names = [name for name in EXPLAINED if name in set(words["network"])]
    figure, axes = grid_of_axes(1, 3, figsize=(9.6, 2.4), sharey=True)
    for axis, measure in zip(axes, (ENTROPY, *HITS), strict=True):
        rows = words[(words["measure"] == measure) & (words["part"] == ALL)]
        own = rows[rows["unit"] == unit].set_index("network").loc[names]
        errors = np.abs(own[["low", "high"]].to_numpy() - own[["mean"]].to_numpy()).T
        axis.errorbar(own["mean"], range(len(names)), xerr=errors, fmt="o", color=COLOURS[0], capsize=3)
        for name, line in ((located.UNIFORM, "--"), (located.LOCATION_PRIOR, ":")):
            axis.axvline(float(rows.set_index("network").loc[name, "mean"]), color="0.4", linestyle=line,
                         label=NAMES[name])
        meaning = ", lower is sharper" if measure == ENTROPY else " on urothelium"
        axis.set_xlabel(measured.MEASURE_NAMES[measure] + meaning)
    axes[0].set_yticks(range(len(names)), [MECHANISMS[name] for name in names])
    axes[0].invert_yaxis()
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False, fontsize=8)
    return figure

