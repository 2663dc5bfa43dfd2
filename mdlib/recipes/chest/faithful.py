"""Whether the maps of a run follow their network: pixels, weights and findings are taken away; and what maps cost."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from scipy.ndimage import gaussian_filter

from mdlib import reproducible
from mdlib.evaluate import faithfulness as curves
from mdlib.evaluate.correlation import spearman
from mdlib.explain import gradients, overlay, randomise
from mdlib.explain.targets import ClassPerImage
from mdlib.recipes.chest import pairs
from mdlib.recipes.chest.chapter import Chapter
from mdlib.recipes.chest.mapped import LAYERS, batches, networks, own_maps, signal
from mdlib.recipes.chest.measuring import NO_IMAGE, agreed, amounts, means, numbers
from mdlib.recipes.chest.networks import network
from mdlib.recipes.chest.viewing import inputs_of

TWINS = 10          # (ours) test images a finding whose twin is drawn
FEW = 4             # (ours) test images a finding for deletion, insertion and randomised weights
STEPS = 6           # (ours) of deletion and insertion
BLUR = 1 / 8        # (ours) of the picture's side: standard deviation of the blur that replaces pixels
KINDS = {"deletion": curves.deletion, "insertion": curves.insertion}
OTHER = "another image"
TIMED, REPEATS = 8, 5    # (ours) images a batch, and rounds, of what maps cost


def faithfulness(chapter: Chapter) -> pd.DataFrame:
    """Deletion and insertion against a random order: network, method, measure, finding, mean, low, high, pairs.

    `deletion` is the area under the curve of the random order less that of the map, `insertion` that of the map less
    that of the random order: 0 is chance and higher is better in both. The random order is that of a map of random
    numbers on the same grid, so its blobs are as coarse. The score is the probability of the pair's finding; pixels are
    replaced by the blurred picture. `<kind> map <step>` and `<kind> random <step>` are the points of the mean curves.
    Maps without signal are left out.
    """
    def compute() -> list[dict]:
        table, rows = pairs.labelled(chapter, FEW), []
        for name, model in networks(chapter):
            parts = [_exchanged(chapter, model, of, batch) for of, batch in batches(chapter, name, table)]
            for method in dict.fromkeys(method for part in parts for method in part):
                values = pd.concat([part[method] for part in parts if method in part])
                of, named = table.loc[values.index], {"network": name, "method": method}
                rows += means(chapter, of, values[[*KINDS]], **named)
                rows += means(chapter, of, values.drop(columns=[*KINDS]), by_finding=False, **named)
        return rows
    return numbers(chapter.run.remember("measured_faithfulness", compute, pairs=FEW, steps=STEPS, blur=BLUR))


def _exchanged(chapter: Chapter, model: ClassPerImage, of: pd.DataFrame, batch: dict[str, torch.Tensor]
               ) -> dict[str, pd.DataFrame]:
    """By method, a row a pair whose map has signal: the gains and the points of the curves."""
    images = batch["image"].cpu().numpy()
    side = images.shape[2:]
    blurred = gaussian_filter(images, (0, 0, *(BLUR * length for length in side)), mode="nearest")
    chance, random, found = np.random.default_rng(chapter.seed), {}, {}

    def predict(pictures: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            answer = model(**batch | {"image": torch.from_numpy(pictures).to(chapter.device)})
        return answer["logits"][:, 0].sigmoid().cpu().numpy()

    def exchanged(raw: np.ndarray) -> dict[str, np.ndarray]:
        maps = overlay.upsample(raw, side)
        return {kind: exchange(predict, images, maps, blurred, STEPS) for kind, exchange in KINDS.items()}

    for method, raw in own_maps(model, batch).items():
        shown = signal(raw)
        if not shown.any():
            continue
        if raw.shape not in random:
            random[raw.shape] = exchanged(chance.random(raw.shape))
        found[method] = _gains(exchanged(raw), random[raw.shape]).set_index(of.index)[shown]
    return found


def _gains(own: dict[str, np.ndarray], random: dict[str, np.ndarray]) -> pd.DataFrame:
    areas = {kind: curves.area(own[kind]) - curves.area(random[kind]) for kind in KINDS}
    columns = {"deletion": -areas["deletion"], "insertion": areas["insertion"]}
    for kind in KINDS:
        for order, points in (("map", own[kind]), ("random", random[kind])):
            columns |= {f"{kind} {order} {step}": values for step, values in enumerate(points.T)}
    return pd.DataFrame(columns)


def randomised(chapter: Chapter) -> pd.DataFrame:
    """How much of a map outlives the training: network, method, step, part, mean, low, high, pairs.

    mean: Spearman's correlation over the map's own pixels between the map and that of the same network whose parts,
    from the last to `part`, are as before any training (drawn from the next seed); over findings. Part
    `another image`, step -1: with the map of another image of the finding, the likeness that needs no explaining.
    """
    def compute() -> list[dict]:
        table, rows = pairs.labelled(chapter, FEW), []
        others = _others(table)
        for name, model in networks(chapter):
            reproducible.seed_everything(chapter.seed + 1)
            fresh = network(name, replace(chapter.settings, pretrained=False)).to(chapter.device)
            before = _all_maps(chapter, name, model, table)
            other = _all_maps(chapter, name, model, table.assign(row=others.where(others >= 0, table["row"])))
            alone = (others < 0).to_numpy()[:, None, None]     # a constant map has no correlation
            compared = [(-1, OTHER, {method: np.where(alone, 0, maps) for method, maps in other.items()})]
            with randomise.randomised(model.model, fresh, randomise.parts(fresh)) as steps:
                compared += [(step, part, _all_maps(chapter, name, model, table)) for step, part in enumerate(steps)]
            for step, part, after in compared:
                alike = pd.DataFrame({method: spearman(maps, after[method], axes=2)
                                      for method, maps in before.items()})
                rows += means(chapter, table, alike, by_finding=False, network=name, step=step, part=part)
        return rows
    table = numbers(chapter.run.remember("measured_randomised", compute, pairs=FEW))
    return table.rename(columns={"measure": "method"})


def _others(table: pd.DataFrame) -> pd.Series:
    """For each pair, the row of the next image with its finding that is of another patient; -1 where there is none."""
    found = pd.Series(-1, table.index)
    for _, of in table.groupby("k"):
        for i, patient in enumerate(of["patient"]):
            turned = np.roll(of.index, -i)
            others = [index for index in turned if of["patient"][index] != patient]
            found[of.index[i]] = table["row"][others[0]] if others else -1
    return found


def _all_maps(chapter: Chapter, name: str, model: ClassPerImage, table: pd.DataFrame) -> dict[str, np.ndarray]:
    parts = [own_maps(model, batch) for _, batch in batches(chapter, name, table)]
    return {method: np.concatenate([part[method] for part in parts]) for method in parts[0]}


def agreement(chapter: Chapter) -> pd.DataFrame:
    """Does a map's mass move with what the finding changes? network, method, measure, correlation, low, high, pairs.

    The effect of a finding is the logit of the image less that of its twin without it. Its rank correlation with
    `mass in the cause`, the sum of the map above 0 in the mask; with `its change`, that mass less the twin's map's in
    the same pixels; and with `size of the cause`, the mask's share of the picture, which needs no map. Measure
    `effect` has the mean effect by finding, in columns finding, mean. Phantoms only: empty for others.
    """
    def compute() -> list[dict]:
        if chapter.xrays.truth is None:
            return []
        table = pairs.known(chapter, TWINS)
        masks, twins = pairs.masks(chapter, table), pairs.twins(chapter, table)
        rows = []
        for name, model in networks(chapter):
            parts = [_amounts(model, batch, batch | {"image": twins[of.index].to(chapter.device)}, masks[of.index])
                     for of, batch in batches(chapter, name, table)]
            values = pd.concat(parts, ignore_index=True)
            effect = values.pop((NO_IMAGE, "effect")).to_numpy()
            rows += agreed(chapter, table, effect, values, name)
        return rows
    return numbers(chapter.run.remember("measured_agreement", compute, pairs=TWINS))


def _amounts(model: ClassPerImage, batch: dict[str, torch.Tensor], without: dict[str, torch.Tensor], masks: np.ndarray
             ) -> pd.DataFrame:
    """A row a pair: the effect, the size of the cause, and the mass of each map in it; columns (method, measure)."""
    with torch.inference_mode():
        logits, logits_without = (model(**inputs)["logits"][:, 0].cpu().numpy() for inputs in (batch, without))
    columns = amounts(own_maps(model, batch), own_maps(model, without), masks)
    return pd.DataFrame({(NO_IMAGE, "effect"): logits - logits_without} | columns)


def cost(chapter: Chapter) -> pd.DataFrame:
    """What the maps of all classes cost at each layer, in plain forward passes: median of REPEATS ratios, by network.

    A ratio is taken within one repeat, a forward pass without gradient beside the maps, on the same TIMED images.
    """
    def compute() -> dict[str, dict[str, float]]:
        found = {}
        for name, model in networks(chapter):
            batch = {key: value.to(chapter.device)
                     for key, value in inputs_of(chapter, name, chapter.rows["test"][:TIMED]).items()}
            times = pd.DataFrame([_times(model.model, batch) for _ in range(REPEATS + 1)])[1:]    # the first warms up
            found[name] = times.div(times["forward"], axis=0).drop(columns="forward").median().to_dict()
        return found
    found = chapter.run.remember("measured_cost", compute, images=TIMED, repeats=REPEATS, device=chapter.device)
    return pd.DataFrame(found).rename_axis(index="all-class maps at", columns="forward passes")


def _times(model: torch.nn.Module, batch: dict[str, torch.Tensor]) -> dict[str, float]:
    def forward() -> None:
        with torch.inference_mode():
            model(**batch)
    work = {"forward": forward} | {
        layer: lambda layer=layer: gradients.grad_cam_maps(model, batch, f"features.{layer}") for layer in LAYERS}
    return {name: _seconds(do, batch["image"].device) for name, do in work.items()}


def _seconds(work: Callable[[], object], device: torch.device) -> float:
    begin = reproducible.now(device)
    work()
    return reproducible.now(device) - begin
