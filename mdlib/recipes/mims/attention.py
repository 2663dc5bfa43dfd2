"""The figures of the attention page of chapter 2: the three steps of appendix C, the picks, a cyst at each scale."""

import numpy as np
import pandas as pd
import torch
from IPython.display import Markdown
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from mdlib.evaluate import per_class
from mdlib.evaluate.tables import interval
from mdlib.explain import overlay
from mdlib.explain.instances import contrast, picked_instances
from mdlib.recipes.mims import explained, located
from mdlib.recipes.mims.chapter import Chapter
from mdlib.recipes.mims.methods import PYRAMID
from mdlib.study.cases import balanced_rows
from mdlib.study.plots import COLOURS, grid_of_axes
from mdlib.study.saliency import LOCATION_PRIOR, MEASURES, UNIFORM
from mdlib.study.tables import with_interval

CONV5, INPUT = explained.LAYERS
ENDS = ["mean", "low", "high"]
PICKS = 6       # instances in a figure
UNKNOWN = "Where the lesions are, is known of phantom volumes only."
# what a table shows: the names of its measures
SHOWN = {"measures": "|".join(MEASURES), "beyond location prior": f".* beyond {LOCATION_PRIOR}", "effect": "effect.*",
         "scales": "picked|at .*"}


def example(chapter: Chapter, collection: str) -> tuple[int, torch.Tensor]:
    """The first test bag of the class of interest, and its slices: not chosen by how its map looks."""
    bags = chapter.bags(collection)
    row = balanced_rows(chapter.part(collection, "test"), bags.targets, len(bags.classes), 1)
    return next(explained.volumes(chapter, collection, row))


def grey(slice_: torch.Tensor) -> np.ndarray:
    """A slice (1 or 3, H, W) in [0, 1] as uint8 (H, W)."""
    return np.rint(255 * slice_.mean(dim=0).numpy()).astype(np.uint8)


def steps(chapter: Chapter, method: str = "mims", collection: str = "cirrus") -> Figure:
    """Appendix C's Figs. 3 and 4: R, the contributions T, P* and H of the most suspicious slice, at two layers."""
    model = located.network(chapter, method, collection)
    row, slices = example(chapter, collection)
    chosen = int(explained.suspicion(explained.said(model, slices)[1]).argmax())
    found, image = explained.maps(model, slices[[chosen]]), grey(slices[chosen])
    outlines = lesion_outlines(chapter, collection, row, chosen)
    figure, axes = grid_of_axes(2, 4, figsize=(11, 3.9))
    for line, layer in zip(axes, (CONV5, INPUT), strict=True):
        maps = found[layer]
        contributions, signal = maps.values[0, -1].numpy(), bool(maps.signal[0, -1])
        heat, most = overlay.normalize(contributions, signal), np.abs(contributions).max() or 1
        for axis, picture, title, options in (
                (line[0], image, f"R: slice {chosen + 1} of {len(slices)}", {"cmap": "gray", "vmin": 0, "vmax": 255}),
                (line[1], contributions, "1. contributions T", {"cmap": "RdBu_r", "vmin": -most, "vmax": most}),
                (line[2], overlay.colour(heat), "2. P: ReLU, 0 to 255", {}),
                (line[3], overlay.over_slice(image, heat), "3. H = 0.6 R + 0.3 P*", {})):
            axis.imshow(picture, aspect="equal", interpolation="nearest",
                        extent=(0, image.shape[1], image.shape[0], 0), **options)
            axis.set(xticks=[], yticks=[])
            axis.set_title(title, fontsize=9)
            for outline in outlines:
                axis.plot(*outline.T, color="white" if axis is not line[1] else "black", linewidth=0.8)
        line[0].set_ylabel(layer.removeprefix("gradient × input, "), fontsize=9)
    return figure


def lesion_outlines(chapter: Chapter, collection: str, row: int, number: int) -> list[np.ndarray]:
    """Outlines of the lesions in a central slice, in pixels of the network's picture; none where they are not known."""
    if not located.known(chapter, collection):
        return []
    mask = located.mask(chapter, collection, row)[number] > 0
    scale = np.array(chapter.shape(collection)[::-1]) / mask.shape[::-1]
    return [line * scale for line in overlay.contour(mask)]


def picks(chapter: Chapter, method: str = "mims", collection: str = "cirrus") -> Figure:
    """What the pooling of a volume picked: the instances that add most to the logit, on their slices, by scale."""
    model = located.network(chapter, method, collection)
    row, slices = example(chapter, collection)
    found = picked_instances(model, slices).query("contribution > 0").head(PICKS)
    numbers = list(dict.fromkeys(found["slice"]))[:3]
    figure, axes = grid_of_axes(1, len(numbers), figsize=(3.8 * len(numbers), 2.9), squeeze=False)
    colours = {f"{scale:g}": COLOURS[i] for i, scale in enumerate(PYRAMID)}
    for axis, number in zip(axes[0], numbers, strict=True):
        image = grey(slices[number])
        axis.imshow(image, cmap="gray", vmin=0, vmax=255)
        taken: list[tuple[float, float]] = []       # where labels are, so that none covers another
        for pick in found[found["slice"] == number].itertuples():
            x, y = pick.left * image.shape[1], pick.top * image.shape[0]
            axis.add_patch(Rectangle((x, y), (pick.right - pick.left) * image.shape[1],
                                     (pick.bottom - pick.top) * image.shape[0], fill=False, linewidth=1.5,
                                     edgecolor=colours.get(pick.scale, COLOURS[4])))
            while any(abs(x - a) < 0.2 * image.shape[1] and abs(y - b) < 0.09 * image.shape[0] for a, b in taken):
                y += 1
            taken.append((x, y))
            axis.text(x + 1, y + 1, f"{pick.scale}: +{pick.contribution:.2f}", color="white", fontsize=7, va="top")
        for outline in lesion_outlines(chapter, collection, row, number):
            axis.plot(*outline.T, color="white", linewidth=0.8, linestyle=":")
        axis.set_title(f"slice {number + 1} of {len(slices)}", fontsize=9)
        axis.set_axis_off()
    return figure


def at_each_scale(chapter: Chapter, collection: str = "cirrus") -> Figure | str:
    """A small and a large cyst as MIMS sees them: the channel of the 3 x 3 kernels that speaks most for DME.

    The smallest and the largest lesion of the test part, each in its largest slice, at every scale.
    """
    every = located.lesions(chapter, collection).sort_values("width", kind="stable")
    if every.empty:
        return UNKNOWN
    model = located.network(chapter, "mims", collection)
    figure, axes = grid_of_axes(2, 1 + len(PYRAMID), figsize=(11, 3.6))
    shown = []
    for of in (every.iloc[0], every.iloc[-1]):
        _, slices = next(explained.volumes(chapter, collection, np.array([of["row"]])))
        shown.append((of, slices[[of["slice"]]], responses(model, slices[[of["slice"]]].to(chapter.device))))
    strongest = contrast(model.classifier.weight)[-1]
    channel = int(strongest[-shown[0][2][0].shape[1]:].argmax())
    most = max(float(part[0, channel].max()) for _, _, parts in shown for part in parts)
    least = min(float(part[0, channel].min()) for _, _, parts in shown for part in parts)
    for line, (of, slice_, parts) in zip(axes, shown, strict=True):
        line[0].imshow(grey(slice_[0]), cmap="gray", vmin=0, vmax=255)
        for outline in lesion_outlines(chapter, collection, of["row"], of["slice"]):
            line[0].plot(*outline.T, color="white", linewidth=0.8)
        line[0].set_title(f"a cyst {of['width']} pixels wide", fontsize=9)
        for axis, part, scale in zip(line[1:], parts, PYRAMID, strict=True):
            drawn = axis.imshow(part[0, channel].cpu().numpy(), cmap="viridis", vmin=least, vmax=most)
            at_cyst = float(at_lesion(chapter, collection, of, part[0, channel]).max())
            axis.set_title(f"scale {scale:g}: over the cyst {at_cyst:.1f}", fontsize=9)
        for axis in line:
            axis.set_axis_off()
    figure.colorbar(drawn, ax=axes[:, -1], label="sw · BN(F(Resize(x))), eq. 1", shrink=0.8)
    return figure


def at_lesion(chapter: Chapter, collection: str, of: pd.Series, part: torch.Tensor) -> torch.Tensor:
    """The responses of a 3 x 3 kernel (h, w) whose kernel lies over the middle of a lesion."""
    inside = np.argwhere(located.mask(chapter, collection, of["row"])[of["slice"]] == of["lesion"])
    shape = located.mask(chapter, collection, of["row"]).shape[1:]
    ranges = []
    for middle, side, length in zip(inside.mean(axis=0) + 0.5, shape, part.shape, strict=True):
        cell = int(middle / side * (length + 2))        # of the map that the kernel ran over
        ranges.append(slice(min(max(cell - 2, 0), length - 1), min(cell, length - 1) + 1))
    return part[tuple(ranges)]


def responses(model: torch.nn.Module, slices: torch.Tensor) -> list[torch.Tensor]:
    """The secondary maps of the last kernel size, one (S, n, h, w) a scale."""
    with torch.inference_mode():
        return model.secondary["layer4"]([model.features(model.input(slices))])[-1]


def table(found: pd.DataFrame, which: str) -> pd.DataFrame | str:
    """Means with intervals as text, of the measures in SHOWN: one row per measure and method, one column per size.

    A column says of how many lesions it is. Without the names of methods where there is only one.
    """
    if found.empty:
        return UNKNOWN
    if "method" not in found:
        found = found.assign(method=found["network"])
    shown = found[found["measure"].str.fullmatch(SHOWN[which])]
    index = ["measure", "method"] if shown["method"].nunique() > 1 else ["measure"]
    shown = shown.assign(text=[with_interval(*ends) for ends in shown[ENDS].to_numpy()])
    wide = shown.pivot_table(index=index, columns="finding", values="text", aggfunc="first", sort=False)
    columns = [name for name in (*located.SIZES, per_class.MEAN) if name in wide]
    of = shown.groupby("finding")["pairs"].max().reindex(columns)
    titles = [f"{'mean of sizes' if name == per_class.MEAN else name}, n = {of[name]:.0f}" for name in columns]
    return wide[columns].set_axis(titles, axis=1).rename_axis(index=[""] * len(index), columns="").fillna("")


def volumes_table(found: pd.DataFrame) -> pd.DataFrame | str:
    """Measures over volumes with intervals and chance, as text."""
    if found.empty:
        return UNKNOWN
    return pd.DataFrame({"share (95 % interval)": [with_interval(*ends) for ends in found[ENDS].to_numpy()],
                         "chance": ["–" if np.isnan(value) else f"{value:.2f}" for value in found["chance"]],
                         "volumes": found["volumes"].to_numpy()}, index=found["measure"].rename(""))


def correlations(found: pd.DataFrame) -> pd.DataFrame | str:
    """The rank correlations of `located.agreement` with their intervals, as text."""
    if found.empty:
        return UNKNOWN
    of = found[~found["measure"].str.startswith("effect")].dropna(subset="mean")
    return pd.DataFrame({"correlation (95 % interval)": [f"{c:+.2f} ({interval(low, high)})".replace("-", "−")
                                                         for c, low, high in of[ENDS].to_numpy()],
                         "lesions": of["pairs"].to_numpy()},
                        index=pd.MultiIndex.from_frame(of[["method", "measure"]], names=["", ""]))


def conclusions(choice: pd.DataFrame, places: pd.DataFrame, agreement: pd.DataFrame) -> Markdown:
    """What `located.slice_choice`, `localised` and `agreement` say, each sentence computed from them."""
    if choice.empty:
        return Markdown(f"{UNKNOWN} Nothing is concluded here.")
    first, said = choice.set_index("measure").loc["most suspicious slice has a lesion"], []
    said.append(f"**Slices.** In {first['mean']:.0%} of the volumes with a lesion the most suspicious slice shows one "
                f"(95 % interval {interval(first['low'], first['high'])}, chance {first['chance']:.2f}).")
    over = places[places["finding"] == per_class.MEAN].set_index(["measure", "method"])["mean"]
    low = places[places["finding"] == per_class.MEAN].set_index(["measure", "method"])["low"]
    game = MEASURES[0]
    for name in (*explained.LAYERS, explained.PICKED):
        beyond = low[f"{game} beyond {LOCATION_PRIOR}", name] > 0
        said.append(f"**{name}.** The highest pixel lies in the lesion for {over[game, name]:.0%} of them; chance "
                    f"is {over[game, UNIFORM]:.0%}, the location prior scores {over[game, LOCATION_PRIOR]:.0%}: "
                    f"{'more than' if beyond else 'not shown to be more than'} a map that never looks.")
    effect = agreement.set_index(["measure", "finding"])
    for size in located.SIZES:
        of = effect.loc[("effect", size)]
        said.append(f"**Effect.** Taking a {size} lesion away lowers the log-odds of its slice by "
                    f"{with_interval(*of[ENDS])}.")
    return Markdown("\n".join(f"- {sentence}" for sentence in said))
