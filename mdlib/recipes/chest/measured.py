"""Explanations measured: what the maps of trained networks are worth against known causes and against chance.

Each function measures one thing for all networks and maps, on pairs of a test image and a finding it shows, and keeps
its answer in the run folder. Intervals are over patients. `measured_tables` puts the answers into words and tables.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from scipy.ndimage import gaussian_filter
from torch import nn

from mdlib import reproducible
from mdlib.evaluate import faithfulness, localisation, stratified
from mdlib.explain import gradients, overlay, randomise
from mdlib.progress import track
from mdlib.recipes.chest import pairs
from mdlib.recipes.chest.chapter import Chapter
from mdlib.recipes.chest.networks import network
from mdlib.recipes.chest.viewing import inputs_of, trained

NETWORKS = ("densenet121", "att_a", "att_b")
LAYERS = ("norm5", "relu5", "transition3", "transition2", "transition1")    # norm5: the paper's text; relu5: its code
NO_IMAGE = "no image"                       # stands for a network where a map comes from none
UNIFORM, USUAL = "uniform", "usual place"
PAIRS = 40          # (ours) test images a finding, for localisation on phantoms
BOXES = 200         # (ours) the same on boxes: all that NIH gives
TWINS = 12          # (ours) test images a finding whose twin is drawn
FEW = 4             # (ours) test images a finding for deletion, insertion and randomised weights
STEPS = 8           # (ours) of deletion and insertion
BATCH = 64          # pairs at once
BLUR = 1 / 8        # (ours) of the picture's side: standard deviation of the blur that replaces pixels


def networks(chapter: Chapter) -> Iterator[tuple[str, nn.Module]]:
    """The DenseNets of this run, trained, on the chapter's device."""
    for name in track([name for name in NETWORKS if name in chapter.settings.networks], "networks"):
        yield name, trained(chapter, name).to(chapter.device)


def maps_of(model: nn.Module, batch: dict[str, torch.Tensor], k: int) -> dict[str, np.ndarray]:
    """Raw maps (B, h, w) of class k by method: Grad-CAM at each layer, and attention; 0 everywhere without signal."""
    batch = on_device_of(model, batch)
    found = {}
    for layer in LAYERS:
        maps = gradients.grad_cam_maps(model, batch, f"features.{layer}", [k])
        found[f"Grad-CAM {layer}"] = (maps.values[:, 0] * maps.signal[:, 0, None, None]).cpu().numpy()
    with torch.inference_mode():
        attention = model(**batch).get("attention", ())
    return found | {f"attention {stage}": weights[:, 0].cpu().numpy() for stage, weights in enumerate(attention, 1)}


def on_device_of(model: nn.Module, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The batch where the model is."""
    device = next(model.parameters()).device
    return {name: value.to(device) for name, value in batch.items()}


def by_finding(chapter: Chapter, table: pd.DataFrame) -> Iterator[tuple[int, pd.DataFrame]]:
    """The class index and the pairs of each finding, at most BATCH at a time."""
    for finding, of in table.groupby("finding", sort=False):
        for begin in range(0, len(of), BATCH):
            yield chapter.classes.index(finding), of.iloc[begin:begin + BATCH]


def localisation_table(chapter: Chapter) -> pd.DataFrame:
    """How well each map points at the cause: network, method, measure, finding, mean, low, high, pairs.

    Beside the measures of `mdlib.evaluate.localisation`: `shown`, the share of maps with anything to show, and
    `<measure> beyond the usual place`, the measure less that of a map that never looks at the image. Empty where no
    cause is known.
    """
    most = BOXES if chapter.xrays.truth is None else PAIRS
    table = pairs.known(chapter, most)

    def compute() -> list[dict]:
        scores = [*_scores_without_image(chapter, table)]
        for name, model in networks(chapter):
            scores += _scores(chapter, table, lambda of, k, name=name, model=model: {
                (name, method): maps for method, maps in maps_of(model, inputs_of(chapter, name, of["row"]), k).items()})
        return _summed(chapter, table, pd.concat(scores)) if scores else []
    return numbers(chapter.run.remember("measured_localisation", compute, most=most, share=localisation.SHARE))


Maps = dict[tuple[str, str], np.ndarray]    # by network and method


def _scores_without_image(chapter: Chapter, table: pd.DataFrame) -> Iterator[pd.DataFrame]:
    for _, of in table.groupby("finding", sort=False):
        masks = pairs.masks(chapter, of)
        yield _measures(of, {(NO_IMAGE, UNIFORM): np.ones(masks.shape),
                             (NO_IMAGE, USUAL): pairs.usual(chapter, of, masks)}, masks)


def _scores(chapter: Chapter, table: pd.DataFrame, maps: Callable[[pd.DataFrame, int], Maps]) -> list[pd.DataFrame]:
    return [_measures(of, maps(of, k), pairs.masks(chapter, of)) for k, of in by_finding(chapter, table)]


def _measures(of: pd.DataFrame, found: Maps, masks: np.ndarray) -> pd.DataFrame:
    """A row a map: network, method, and each measure; the index is the pair's."""
    parts = []
    for (name, method), raw in found.items():
        maps = overlay.upsample(raw, masks.shape[1:])
        columns = {measure: of_measure(maps, masks) for measure, of_measure in localisation.MEASURES.items()}
        parts.append(pd.DataFrame({"network": name, "method": method, **columns,
                                   "shown": localisation.shown(maps).astype(float)}, index=of.index))
    return pd.concat(parts)


def _summed(chapter: Chapter, table: pd.DataFrame, scores: pd.DataFrame) -> list[dict]:
    measures = list(localisation.MEASURES)
    usual = scores[scores["method"] == USUAL][measures]
    rows = []
    for (name, method), of in scores.groupby(["network", "method"], sort=False):
        beyond = (of[measures] - usual.loc[of.index]).add_suffix(f" beyond the {USUAL}")
        values = pd.concat([of[[*measures, "shown"]], beyond], axis=1)
        rows += _rows(chapter, table, values, network=name, method=method)
    return rows


def _rows(chapter: Chapter, table: pd.DataFrame, values: pd.DataFrame, **named: str | int) -> list[dict]:
    """The means of `values`, a row a pair, by finding and over findings, as records."""
    of = table.loc[values.index]
    means = stratified.class_means(values, of["finding"], of["patient"], draws=chapter.settings.draws,
                                   seed=chapter.seed)
    return means.assign(**named).to_dict("records")


def numbers(records: list[dict]) -> pd.DataFrame:
    """A table of what was remembered; what has no value is NaN."""
    table = pd.DataFrame(records)
    floats = [name for name in ("mean", "low", "high", "correlation") if name in table]
    return table.astype(dict.fromkeys(floats, float))


def faithfulness_table(chapter: Chapter) -> pd.DataFrame:
    """Deletion and insertion against random order: network, method, measure, finding, mean, low, high, pairs.

    measure: `deletion`, the area under the curve of a random order less that of the map, and `insertion`, the area of
    the map less that of a random order; so 0 is chance, and higher is better in both. A random order is that of a map
    of random numbers on the same grid: its blobs are as coarse. `random` and `map` curves' points are kept as measures
    `<kind> <curve> <step>`. Maps without signal are left out.
    """
    table = pairs.labelled(chapter, FEW)

    def compute() -> list[dict]:
        rows = []
        for name, model in networks(chapter):
            found: dict[str, list[pd.DataFrame]] = {}
            for k, of in by_finding(chapter, table):
                for method, values in _exchanged(chapter, name, model, of, k).items():
                    found.setdefault(method, []).append(values)
            for method, parts in found.items():
                rows += _rows(chapter, table, pd.concat(parts), network=name, method=method)
        return rows
    return numbers(chapter.run.remember("measured_faithfulness", compute, pairs=FEW, steps=STEPS, blur=BLUR))


def _exchanged(chapter: Chapter, name: str, model: nn.Module, of: pd.DataFrame, k: int) -> dict[str, pd.DataFrame]:
    """Gains and curves of each method on some pairs of one finding, a row a pair, NaN where the map has no signal."""
    batch = inputs_of(chapter, name, of["row"])
    images = batch["image"].numpy()
    side = images.shape[2:]
    blurred = gaussian_filter(images, (0, 0, *(BLUR * length for length in side)), mode="nearest")
    chance, random = np.random.default_rng([chapter.seed, k]), {}

    def predict(pictures: np.ndarray) -> np.ndarray:
        inputs = on_device_of(model, batch | {"image": torch.from_numpy(pictures)})
        with torch.inference_mode():
            return model(**inputs)["logits"][:, k].sigmoid().cpu().numpy()

    def curves(raw: np.ndarray) -> dict[str, np.ndarray]:
        maps = overlay.upsample(raw, side)
        return {"deletion": faithfulness.deletion(predict, images, maps, blurred, STEPS),
                "insertion": faithfulness.insertion(predict, images, maps, blurred, STEPS)}

    found = {}
    for method, raw in maps_of(model, batch, k).items():
        grid = raw.shape[1:]
        if grid not in random:
            random[grid] = curves(chance.random(raw.shape))
        values = _gains(curves(raw), random[grid]).set_index(of.index)
        found[method] = values.where((raw != 0).any(axis=(1, 2))[:, None])
    return found


def _gains(own: dict[str, np.ndarray], random: dict[str, np.ndarray]) -> pd.DataFrame:
    columns = {"deletion": faithfulness.area(random["deletion"]) - faithfulness.area(own["deletion"]),
               "insertion": faithfulness.area(own["insertion"]) - faithfulness.area(random["insertion"])}
    for kind in ("deletion", "insertion"):
        for curve, points in (("map", own[kind]), ("random", random[kind])):
            columns |= {f"{kind} {curve} {step}": points[:, step] for step in range(points.shape[1])}
    return pd.DataFrame(columns)


def randomised_table(chapter: Chapter) -> pd.DataFrame:
    """How much of a map outlives the training: network, method, step, part, finding, mean, low, high, pairs.

    Spearman's correlation of each map, upsampled, with that of the same network whose parts, from the last to `part`,
    are as they would be before training (from the next seed). Part `other image`, step -1: with the map of another
    image of the same finding, the likeness that needs no explaining.
    """
    table = pairs.labelled(chapter, FEW)

    def compute() -> list[dict]:
        rows = []
        for name, model in networks(chapter):
            reproducible.seed_everything(chapter.seed + 1)
            fresh = network(name, replace(chapter.settings, pretrained=False)).to(chapter.device)
            before = _all_maps(chapter, name, model, table)
            rows += _alike(chapter, table, before, _of_others(before), network=name, part="other image", step=-1)
            with randomise.randomised(model, fresh, randomise.parts(model)) as steps:
                for step, part in enumerate(steps):
                    after = _all_maps(chapter, name, model, table)
                    rows += _alike(chapter, table, before, after, network=name, part=part, step=step)
        return rows
    return numbers(chapter.run.remember("measured_randomised", compute, pairs=FEW))


Found = list[tuple[pd.Index, dict[str, np.ndarray]]]    # maps by method, of some pairs at a time


def _all_maps(chapter: Chapter, name: str, model: nn.Module, table: pd.DataFrame) -> Found:
    return [(of.index, maps_of(model, inputs_of(chapter, name, of["row"]), k)) for k, of in by_finding(chapter, table)]


def _of_others(found: Found) -> Found:
    return [(index, {method: np.roll(maps, 1, axis=0) for method, maps in of.items()}) for index, of in found]


def _alike(chapter: Chapter, table: pd.DataFrame, before: Found, after: Found, **named: str | int) -> list[dict]:
    side = (chapter.settings.crop,) * 2
    rows = []
    for method in before[0][1]:
        values = [pd.Series(faithfulness.rank_correlation(*(overlay.upsample(maps[method], side) for maps in both)), at)
                  for (at, one), (_, other) in zip(before, after, strict=True) for both in [(one, other)]]
        rows += _rows(chapter, table, pd.concat(values).to_frame("rank correlation"), method=method, **named)
    return rows


def agreement_table(chapter: Chapter) -> pd.DataFrame:
    """Does the map's mass move with what the finding really changes? network, method, what, correlation, low, high, pairs.

    The effect of a finding is the logit of the image less that of its twin without it. `what`: `mass in the cause`, the
    part of the map above 0 that lies in the mask, in units of the logit for Grad-CAM; `its change`, that mass less the
    twin's map's in the same pixels; and `size of the cause` (no map), the mask's share of the picture. Rows `effect`
    give the mean effect in `correlation`. Phantoms only: empty for others.
    """
    if chapter.xrays.truth is None:
        return pd.DataFrame()
    table = pairs.known(chapter, TWINS)

    def compute() -> list[dict]:
        prepared = [(k, of, pairs.masks(chapter, of), pairs.twins(chapter, of))
                    for k, of in track([*by_finding(chapter, table)], "twins")]
        return [row for name, model in networks(chapter) for row in _agreement(chapter, table, name, model, prepared)]
    return numbers(chapter.run.remember("measured_agreement", compute, pairs=TWINS))


def _agreement(chapter: Chapter, table: pd.DataFrame, name: str, model: nn.Module, prepared: list) -> list[dict]:
    effects, amounts = [], []
    for k, of, masks, twins in prepared:
        batch = inputs_of(chapter, name, of["row"])
        without = batch | {"image": twins}
        with torch.inference_mode():
            logits = [model(**on_device_of(model, inputs))["logits"][:, k].cpu().numpy() for inputs in (batch, without)]
        effects.append(pd.DataFrame({"effect": logits[0] - logits[1]}, index=of.index))
        amounts.append(_amounts(maps_of(model, batch, k), maps_of(model, without, k), masks).set_index(of.index))
    effect, values = pd.concat(effects), pd.concat(amounts)
    agreed = stratified.rank_agreement(effect["effect"].to_numpy(), values, table["finding"], table["patient"],
                                       draws=chapter.settings.draws, seed=chapter.seed)
    rows = _rows(chapter, table, effect, network=name, method=NO_IMAGE)
    return rows + [{"network": name, "method": method, "measure": what, **row} for (method, what), row
                   in zip(agreed.index.str.split("|"), agreed.to_dict("records"), strict=True)]


def _amounts(own: dict[str, np.ndarray], twin: dict[str, np.ndarray], masks: np.ndarray) -> pd.DataFrame:
    columns = {f"{NO_IMAGE}|size of the cause": localisation.chance(masks)}
    for method, raw in own.items():
        signal = (raw != 0).any(axis=(1, 2))
        mass, before = (_mass(maps, masks) for maps in (raw, twin[method]))
        columns[f"{method}|mass in the cause"] = np.where(signal, mass, np.nan)
        columns[f"{method}|its change"] = np.where(signal, mass - before, np.nan)
    return pd.DataFrame(columns)


def _mass(raw: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """The sum of what is above 0 in the mask, as if the map were not upsampled, (N,)."""
    maps = overlay.upsample(raw, masks.shape[1:]).clip(min=0)
    return (maps * masks).sum(axis=(1, 2)) * raw[0].size / masks[0].size


def cost(chapter: Chapter, images: int = 16, repeats: int = 5) -> pd.DataFrame:
    """What the maps of all classes cost at each layer, in plain forward passes: median of `repeats` ratios, by network.

    A ratio is taken within one repeat, a forward pass without gradient beside the maps, on the same `images` images.
    """
    def compute() -> dict[str, dict[str, float]]:
        found = {}
        for name, model in networks(chapter):
            batch = on_device_of(model, inputs_of(chapter, name, chapter.rows["test"][:images]))
            times = pd.DataFrame([_times(model, batch) for _ in range(repeats + 1)])[1:]    # the first warms up
            found[name] = times.div(times["forward"], axis=0).drop(columns="forward").median().to_dict()
        return found
    return pd.DataFrame(chapter.run.remember("measured_cost", compute, images=images, repeats=repeats)).rename_axis(
        index="all-class maps at", columns="forward passes")


def _times(model: nn.Module, batch: dict[str, torch.Tensor]) -> dict[str, float]:
    def forward() -> None:
        with torch.inference_mode():
            model(**batch)
    work = {"forward": forward} | {
        layer: lambda layer=layer: gradients.grad_cam_maps(model, batch, f"features.{layer}") for layer in LAYERS}
    return {name: _seconds(do, batch["image"].device) for name, do in work.items()}


def _seconds(work: Callable[[], object], device: torch.device) -> float:
    begin = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - begin
