"""Explanations measured: what the page shows of `localised` and `faithful`, in tables, figures and sentences."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import torch
from IPython.display import Markdown
from matplotlib.figure import Figure

from mdlib.evaluate import localisation
from mdlib.evaluate.per_class import MEAN
from mdlib.evaluate.tables import interval
from mdlib.explain import overlay
from mdlib.parallel import side_by_side
from mdlib.recipes.chest import faithful, localised, mapped, measured_figures, pairs
from mdlib.recipes.chest.chapter import Chapter
from mdlib.recipes.chest.figures import words
from mdlib.recipes.chest.measuring import MEASURES, NO_IMAGE, UNIFORM, USUAL, numbers
from mdlib.recipes.chest.results import committed
from mdlib.recipes.chest.viewing import trained

ENOUGH = 20     # (ours) pairs of a finding: with fewer, hits are counted and no interval is given
TABLES = {"localisation": localised.localised, "faithfulness": faithful.faithfulness,
          "randomised": faithful.randomised, "agreement": faithful.agreement, "cost": faithful.cost}
UNKNOWN = "Neither boxes nor twins say where a finding is in this collection: there is nothing to hold a map against."


def everything(chapter: Chapter) -> dict[str, pd.DataFrame]:
    """All measurements of this run, by name as in TABLES; measured now where they are not kept.

    On a CPU they are made side by side, each in a process with one thread, as the trainings are; what they cost is
    timed last and alone.
    """
    names = [name for name in TABLES if not (chapter.run.folder / "answers" / f"measured_{name}.json").exists()]
    if chapter.device == "cpu" and names:
        for name in mapped.names(chapter):
            trained(chapter, name)              # once, not in each process
        chapter.samples("test")                 # decodes the images, once for all
        alone = dataclasses.replace(chapter)    # without what was computed from it: each process maps the pixels itself
        jobs = [(TABLES[name], alone) for name in names if name != "cost"]
        list(side_by_side(_with_one_thread, jobs, "measurements"))
    return {name: measure(chapter) for name, measure in TABLES.items()}


def _with_one_thread(measure: Callable[[Chapter], pd.DataFrame], chapter: Chapter) -> None:
    torch.set_num_threads(1)
    measure(chapter)


def focus(table: pd.DataFrame) -> str:
    """What is shown of a `localised` table: the mean over findings if each has ENOUGH pairs, else the most frequent."""
    count = table[table["finding"] != MEAN].groupby("finding", sort=False)["pairs"].max()
    return MEAN if count.min() >= ENOUGH else str(count.idxmax())


def of_pairs(table: pd.DataFrame) -> str:
    """What a `localised` table is of, in words."""
    of = table[(table["method"] == UNIFORM) & (table["measure"] == MEASURES[0]) & (table["finding"] == focus(table))]
    return f"{words(focus(table))}, n = {of['pairs'].iloc[0]} pairs of image and finding"


def overview(table: pd.DataFrame) -> pd.DataFrame | str:
    """A row a map: the share of maps that show anything, and each measure with its interval."""
    if table.empty:
        return UNKNOWN
    of = table[(table["finding"] == focus(table)) & table["measure"].isin([*MEASURES, "shown"])]
    cells = of.assign(text=[f"{r.mean:.0%}" if r.measure == "shown" else
                            f"{r.mean:.2f} ({interval(r.low, r.high)})" for r in of.itertuples(index=False)])
    wide = cells.pivot(index=["network", "method"], columns="measure", values="text")
    return wide.loc[list(dict.fromkeys(zip(of["network"], of["method"], strict=True))), ["shown", *MEASURES]]


def counts(table: pd.DataFrame) -> pd.DataFrame | str:
    """Pointing game by finding: hits of n; with an interval where a finding has ENOUGH pairs. Ties count in part."""
    if table.empty:
        return UNKNOWN
    of = table[(table["measure"] == MEASURES[0]) & (table["finding"] != MEAN)]
    cells = of.assign(text=[
        f"{round(r.mean * r.pairs, 1):g} of {r.pairs}" + (f" ({interval(r.low, r.high)})" if r.pairs >= ENOUGH else "")
        for r in of.itertuples(index=False)], finding=of["finding"].map(words))
    wide = cells.pivot(index=["network", "method"], columns="finding", values="text")
    return wide.loc[list(dict.fromkeys(zip(of["network"], of["method"], strict=True)))]


def example(chapter: Chapter, finding: str = "Pneumothorax") -> Figure | str:
    """One test image with a finding, its cause, and the maps of the first network, each with its mass accuracy."""
    known = pairs.known(chapter, localised.PAIRS)
    if known.empty:
        return UNKNOWN
    table = known[known["finding"] == finding] if finding in set(known["finding"]) else known
    masks = pairs.masks(chapter, table)
    usual = pairs.usual(chapter, table, masks)
    name = mapped.names(chapter)[0]
    model = mapped.network_of(chapter, name)
    of, batch = next(mapped.batches(chapter, name, table.iloc[:1]))
    found = mapped.own_maps(model, batch) | {USUAL: usual[:1]}
    maps = {method: overlay.upsample(raw, masks.shape[1:]) for method, raw in found.items()}
    title = f"{words(of['finding'].iloc[0])}:\nits cause covers {localisation.chance(masks)[0]:.0%}"
    return measured_figures.example(batch["image"][0, 0].cpu().numpy(), masks[0], title, {
        f"{measured_figures.label(method)}\nmass {localisation.mass_accuracy(own, masks[:1])[0]:.2f}": own[0]
        for method, own in maps.items()})


def localisation_figure(table: pd.DataFrame) -> Figure | str:
    """Each map's four measures, with intervals, beside chance and the usual place."""
    if table.empty:
        return UNKNOWN
    of = table[table["finding"] == focus(table)]
    lines = {name: of[of["method"] == name].set_index("measure")["mean"] for name in (UNIFORM, USUAL)}
    return measured_figures.dots(of[of["network"] != NO_IMAGE], MEASURES, "mean", lines,
                                 f"{of_pairs(table)}; 1 is perfect")


def finding_figure(table: pd.DataFrame) -> Figure | str:
    """Mass accuracy by map and finding, as a grid of numbers."""
    if table.empty:
        return UNKNOWN
    of = table[(table["measure"] == "mass accuracy") & (table["finding"] != MEAN)]
    return measured_figures.grid(of, "mass accuracy")


def faithfulness_figure(table: pd.DataFrame) -> Figure:
    """How much more a map's first pixels matter than a random order's: deletion and insertion, with intervals."""
    of = table[(table["finding"] == MEAN) & table["measure"].isin(faithful.KINDS)]
    return measured_figures.dots(of, tuple(faithful.KINDS), "mean", {"chance": pd.Series(0.0, faithful.KINDS)},
                                 f"gain in area over a random order, in probability;\nn = {of['pairs'].max()} pairs")


def curves_figure(table: pd.DataFrame, network: str = "densenet121", method: str = "Grad-CAM transition2") -> Figure:
    """The mean deletion and insertion curve of one map and of the random order."""
    of = table[(table["network"] == network) & (table["method"] == method)]
    parts = of["measure"].str.extract(r"^(?P<kind>\w+) (?P<order>map|random) (?P<step>\d+)$").dropna()
    points = of.loc[parts.index].assign(kind=parts["kind"], order=parts["order"], share=parts["step"].astype(float))
    points["share"] /= max(points["share"].max(), 1)
    return measured_figures.curves(points, f"{measured_figures.NAMES[network]}, {measured_figures.label(method)}")


def randomised_figure(table: pd.DataFrame) -> Figure:
    """How like the trained network's maps those of a network are that lost its training part by part."""
    return measured_figures.cascade(table, faithful.OTHER)


def agreement_figure(table: pd.DataFrame) -> Figure | str:
    """Whether a map's mass moves with the effect of the finding: rank correlations, with intervals."""
    if table.empty:
        return "Without twins nobody knows what a finding changes: this is measured on phantoms only."
    of = table[table["measure"].isin(["mass in the cause", "its change"])].dropna(subset="correlation")
    size = table[table["measure"] == "size of the cause"]["correlation"]
    return measured_figures.dots(of, ("mass in the cause", "its change"), "correlation",
                                 {"no relation": pd.Series(0.0, ["mass in the cause", "its change"])},
                                 f"rank correlation with the effect, n = {of['pairs'].max()} pairs;\n"
                                 f"of the size of the cause alone: {size.min():.2f} to {size.max():.2f}")


def effects(table: pd.DataFrame) -> pd.DataFrame | str:
    """What taking a finding out of the image takes from its logit, by network: mean and interval."""
    if table.empty:
        return "Only phantoms have twins."
    of = table[table["measure"] == "effect"]
    cells = of.assign(text=[f"{r.mean:+.2f} ({interval(r.low, r.high)})" for r in of.itertuples(index=False)],
                      finding=of["finding"].map(words))
    return cells.pivot(index="finding", columns="network", values="text").loc[cells["finding"].unique()]


def conclusions(tables: dict[str, pd.DataFrame]) -> Markdown:
    """What these numbers say, each sentence computed from them."""
    said = [*_of_places(tables["localisation"]), *_of_networks(tables["faithfulness"], tables["randomised"]),
            *_of_effects(tables["agreement"])]
    return Markdown("\n".join(f"- {sentence}" for sentence in said))


def _of_places(table: pd.DataFrame) -> list[str]:
    if table.empty:
        return [UNKNOWN]
    of = table[(table["finding"] == focus(table)) & (table["network"] != NO_IMAGE)].set_index("measure")
    mass = MEASURES[2]
    best = of.loc[mass].nlargest(1, "mean").iloc[0]
    by_none = table[(table["finding"] == focus(table)) & (table["measure"] == mass)].set_index("method")["mean"]
    chance, usual = (of.loc[f"{mass} beyond {name}"] for name in (UNIFORM, USUAL))
    shown = of.loc["shown"]
    empty = shown[shown["mean"] < 0.5]
    return [
        f"**Place** ({of_pairs(table)}). {(chance['low'] > 0).sum()} of {len(chance)} maps put more of their mass into "
        f"the cause than chance does, {(usual['low'] > 0).sum()} more than a map of where the finding usually is, "
        f"{(usual['high'] < 0).sum()} less than it (95 % intervals). The most is {best['mean']:.2f}, of "
        f"{_of(best)}; chance is {by_none[UNIFORM]:.2f}, the usual place {by_none[USUAL]:.2f}.",
        f"**Nothing to see.** {len(empty)} of {len(shown)} maps are above 0 nowhere in more than half of the pairs: "
        f"{', '.join(_of(row) for _, row in empty.iterrows()) or 'none'}."]


def _of_networks(gains: pd.DataFrame, randomised: pd.DataFrame) -> list[str]:
    low = gains[gains["finding"] == MEAN].pivot(index=["network", "method"], columns="measure", values="low")
    low = low[list(faithful.KINDS)]
    found = randomised.dropna(subset="mean")
    last = found[found["step"] == found.groupby("network")["step"].transform("max")]
    other = found[found["step"] == -1]
    unmoved = found[(found["step"] == 0) & (found["mean"] > 1 - 1e-6)]
    return [
        f"**Pixels.** For {int((low > 0).all(axis=1).sum())} of {len(low)} maps the first pixels matter more to the "
        f"network than a random order's, both when they go and when they come back; for "
        f"{int((low > 0).any(axis=1).sum())} in at least one of the two.",
        f"**Weights.** When no trained weight is left, maps correlate with the trained network's by "
        f"{_range(last['mean'])}; maps of two images of the same finding by {_range(other['mean'])}. "
        f"A new classifier leaves {len(unmoved)} maps exactly as they were: "
        f"{', '.join(_of(row) for _, row in unmoved.iterrows()) or 'none'}."]


def _of_effects(table: pd.DataFrame) -> list[str]:
    if table.empty:
        return []
    effect = table[(table["measure"] == "effect") & (table["finding"] == MEAN)]
    mass = table[table["measure"] == "mass in the cause"].dropna(subset="correlation")
    best = mass.nlargest(1, "correlation").iloc[0]
    return [f"**Effect.** With the finding in the image its logit is higher by {_range(effect['mean'])} on average "
            f"than without. The mass of {(mass['low'] > 0).sum()} of {len(mass)} maps in the cause grows "
            f"with that effect; most closely that of {_of(best)}, with a rank correlation of {best['correlation']:.2f} "
            f"({interval(best['low'], best['high'])})."]


def _of(row: pd.Series) -> str:
    return f"{measured_figures.label(row['method'])} of {measured_figures.NAMES[row['network']]}"


def _range(values: pd.Series) -> str:
    return f"{values.min():+.2f} to {values.max():+.2f}".replace("-", "−")


def check(chapter: Chapter, tables: dict[str, pd.DataFrame]) -> str:
    """In the book's own run, assert what must hold for any trained weights, and that there is something to measure."""
    if not committed(chapter):
        return "Not the phantoms and settings of the book: nothing is asked of the maps."
    mean = tables["localisation"][tables["localisation"]["finding"] == MEAN].set_index("measure")
    uniform = mean[mean["method"] == UNIFORM].loc[list(MEASURES), "mean"]
    assert np.allclose(uniform, uniform.iloc[0], rtol=1e-6), uniform
    dead = mean[mean["network"].str.startswith("att") & mean["method"].isin(["Grad-CAM norm5", "Grad-CAM relu5"])]
    assert len(dead) and (dead.loc["shown", "mean"] == 0).all(), dead.loc["shown"]
    first = tables["randomised"][tables["randomised"]["part"] == "classifier"]
    assert np.allclose(first[first["method"].str.startswith("attention")]["mean"], 1), first
    effect = tables["agreement"][tables["agreement"]["measure"] == "effect"]
    assert (effect[effect["finding"] == MEAN]["low"] > 0).all(), effect
    return ("A uniform map scores chance in every measure; no map at norm5 of attA and attB shows anything; no "
            "attention map depends on the classifier; every network uses the findings.")


def summary(chapter: Chapter) -> dict[str, Any]:
    """The measurements as small JSON-able records, for `kept.keep`; `tables` reads them. No image, no image name."""
    found = everything(chapter)
    place = found["localisation"]
    if len(place):
        found["localisation"] = place[(place["measure"] == MEASURES[0]) | (place["finding"] == focus(place))]
    gains = found["faithfulness"]
    found["faithfulness"] = gains[(gains["finding"] == MEAN) & gains["measure"].isin(faithful.KINDS)]
    found["cost"] = found["cost"].reset_index(names="layer")
    return {name: [{key: None if value != value else round(value, 4) if isinstance(value, float) else value
                    for key, value in row.items()} for row in table.to_dict("records")]
            for name, table in found.items()}


def tables(records: dict[str, Any]) -> dict[str, pd.DataFrame]:
    """The tables of a `summary`."""
    found = {name: numbers(rows) for name, rows in records.items()}
    return found | {"cost": found["cost"].set_index("layer")}
