"""Maps of many images against what is known of them: localisation, faithfulness, randomisation, counterfactuals.

Arrays in, tables out. A *pair* is an image and one finding in it. `pairs` has one row per pair and at least the columns
finding and patient; all other arguments have one entry per pair, in its order. `maps` holds raw maps (P, h, w) by
method, each at its own resolution, 0 everywhere where a map has no signal. Every table has the columns COLUMNS: means
by finding and over findings (MEAN), with 95 % intervals over patients. Without pairs it has no rows.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

from mdlib.evaluate import correlation, per_class
from mdlib.evaluate import faithfulness as curves
from mdlib.evaluate import localisation as hits
from mdlib.explain import gradients, input_attribution, overlay, randomise
from mdlib.explain.targets import ClassPerImage

COLUMNS = ("network", "method", "measure", "finding", "mean", "low", "high", "pairs")
NO_IMAGE = "no image"                                       # the network of a map that no network made
UNIFORM, LOCATION_PRIOR = "uniform", "location prior"       # methods that see no image: chance, and the mean mask
CEILING = "ceiling"                                         # begins the name of the method that is the mask itself
MEASURES = tuple(hits.MEASURES)
MEAN = per_class.MEAN                                       # in the column `finding`
EXCHANGES = {"deletion": curves.deletion, "insertion": curves.insertion}
OTHER_IMAGE = "another image"                               # in the column `part` of `randomisation`
UPSAMPLED_AT_ONCE = 64                                      # maps, to bound the memory

Maps = dict[str, np.ndarray]
Explainer = Callable[[nn.Module, dict[str, Tensor]], gradients.Maps]


def own_class_maps(model: nn.Module, batches: Iterable[dict[str, Tensor]], methods: Mapping[str, Explainer]) -> Maps:
    """Maps of each image's own class, on the CPU, and the attention maps of a network that has any: raw (P, h, w).

    batches: inputs of the network by name, and class_index int64 (B,). methods: by name an explainer (model, batch),
    such as partial(grad_cam_maps, layer="features.norm5"). Maps without signal are 0. Attention maps are `attention 1`,
    `attention 2` … in the order of the network's output. Empty for no batch.
    """
    asked, parts = ClassPerImage(model), []
    for batch in batches:
        part = {}
        for method, explainer in methods.items():
            found = explainer(asked, batch)
            part[method] = (found.values * found.signal[..., None, None])[:, 0].cpu().numpy()
        with torch.inference_mode():
            attention = asked(**batch).get("attention", ())
        parts.append(part | {f"attention {stage}": weights[:, 0].cpu().numpy()
                             for stage, weights in enumerate(attention, 1)})
    return {method: np.concatenate([part[method] for part in parts]) for method in parts[0]} if parts else {}


def has_signal(raw: np.ndarray) -> np.ndarray:
    """Which of raw maps (P, h, w) are not 0 everywhere, bool (P,)."""
    return (raw != 0).any(axis=(1, 2))


def location_prior(masks: np.ndarray, findings_of_masks: Sequence[str], findings: Sequence[str]) -> np.ndarray:
    """Where each finding usually is: a map for each of `findings`, float32 (P, H, W) in [0, 1] (ours).

    The mean of the masks (N, H, W) of that finding, which should be of training images; 1 where there are none.
    """
    prior = np.ones((len(findings), *masks.shape[1:]), np.float32)
    for finding in dict.fromkeys(findings):
        if (of_finding := np.asarray(findings_of_masks) == finding).any():
            prior[np.asarray(findings) == finding] = masks[of_finding].mean(axis=0)
    return prior


def leave_one_patient_out_prior(masks: np.ndarray, pairs: pd.DataFrame) -> np.ndarray:
    """A location prior where no training image has a mask: for each pair the mean mask of other patients' pairs (ours).

    Float32 (P, H, W); of the same finding, 1 where no other patient has it.
    """
    prior = np.ones(masks.shape, np.float32)
    for where in pairs.groupby("finding").indices.values():
        patient = pairs["patient"].to_numpy()[where]
        others = (patient[:, None] != patient).astype(np.float32)
        count = others.sum(axis=1)[:, None, None]
        total = np.tensordot(others, masks[where].astype(np.float32), 1)
        prior[where] = np.where(count > 0, total / np.maximum(count, 1), 1)
    return prior


def localisation(maps: Maps, masks: np.ndarray, pairs: pd.DataFrame, prior: np.ndarray, *, network: str,
                 n_bootstrap: int = 1000, seed: int = 0) -> pd.DataFrame:
    """How well each map points at the mask: `evaluate.localisation.MEASURES`, beside two maps that see no image.

    masks bool (P, H, W); prior (P, H, W), see `location_prior`. Measure `shown` is the share of maps with anything
    above 0; `<measure> beyond uniform` and `<measure> beyond location prior` are paired differences. The two references
    have rows of their own, network `no image`, the same in each call: pd.concat(tables).drop_duplicates() joins
    networks. So has `ceiling h × w`, for each size of a map: what the mask itself would score at that size.
    """
    references = {UNIFORM: np.ones((len(masks), 1, 1)), LOCATION_PRIOR: prior, **ceilings(maps, masks)}
    scores = {method: measures(raw, masks) for method, raw in (references | maps).items()} if len(pairs) else {}
    return beyond_references(scores, pairs, network=network, n_bootstrap=n_bootstrap, seed=seed)


def ceilings(maps: Maps, masks: np.ndarray) -> Maps:
    """The masks (P, H, W) averaged over the cells of each size of a map below theirs, by `ceiling h × w`, coarse first.

    The best that a map of this size can do.
    """
    sizes = sorted({raw.shape[1:] for raw in maps.values()} - {masks.shape[1:]})
    whole = torch.from_numpy(masks.astype(np.float32))
    return {f"{CEILING} {h} × {w}": adaptive_avg_pool2d(whole, (h, w)).numpy() for h, w in sizes}


def coarser(raw: np.ndarray, size: int) -> np.ndarray:
    """Maps (P, h, w) averaged to size × size cells."""
    return adaptive_avg_pool2d(torch.from_numpy(raw), (size, size)).numpy()


def focus(table: pd.DataFrame, min_pairs: int = 20) -> str:
    """Which rows of `localisation` to show: the mean over findings if each has `min_pairs`, else the most frequent."""
    counts = table[table["finding"] != MEAN].groupby("finding", sort=False)["pairs"].max()
    return MEAN if counts.empty or counts.min() >= min_pairs else str(counts.idxmax())


def measures(raw: np.ndarray, masks: np.ndarray) -> pd.DataFrame:
    """`evaluate.localisation.measures` of raw maps (P, h, w), upsampled to the size of the masks: one row per map."""
    return pd.concat([hits.measures(overlay.upsample(raw[part], masks.shape[1:]), masks[part])
                      for part in _slices(len(masks))], ignore_index=True)


def beyond_references(scores: dict[str, pd.DataFrame], pairs: pd.DataFrame, *, network: str, n_bootstrap: int = 1000,
                      seed: int = 0) -> pd.DataFrame:
    """The table of `localisation` from the `measures` of each method, UNIFORM and LOCATION_PRIOR among them."""
    tables = []
    for method, own in scores.items():
        beyond = [(own[[*MEASURES]] - scores[name][[*MEASURES]]).add_suffix(f" beyond {name}")
                  for name in (UNIFORM, LOCATION_PRIOR)]
        of = NO_IMAGE if method in (UNIFORM, LOCATION_PRIOR) or method.startswith(CEILING) else network
        tables.append(means(pd.concat([own, *beyond], axis=1), pairs, network=of, method=method,
                            n_bootstrap=n_bootstrap, seed=seed))
    return _joined(tables)


def faithfulness(predict: Callable[[np.ndarray], np.ndarray], images: np.ndarray, maps: Maps, pairs: pd.DataFrame, *,
                 network: str, steps: int = 6, n_bootstrap: int = 1000, seed: int = 0) -> pd.DataFrame:
    """Deletion and insertion in the order of each map, against a random order. Maps without signal are left out.

    predict: images (P, C, H, W) -> the score of each pair's finding, (P,). Replaced pixels are those of the blurred
    image (`input_attribution.blurred`). The random order is that of a map of random numbers on the same grid, so that
    its blobs are as coarse (ours).
    Measure `deletion` is the area under the curve of the random order minus that of the map, `insertion` that of the
    map minus that of the random order: 0 is chance and higher is better in both. `<kind> map <step>` and `<kind> random
    <step>` are the points of the mean curves, over findings only.
    """
    if pairs.empty:
        return _joined([])
    images = np.asarray(images)
    chance, random, tables = np.random.default_rng(seed), {}, []
    blurred = input_attribution.blurred(torch.from_numpy(images)).numpy()

    def exchanged(raw: np.ndarray) -> dict[str, np.ndarray]:
        large = overlay.upsample(raw, images.shape[2:])
        return {kind: exchange(predict, images, large, blurred, steps) for kind, exchange in EXCHANGES.items()}

    for method, raw in maps.items():
        shown = has_signal(raw)
        if not shown.any():
            continue
        if raw.shape not in random:
            random[raw.shape] = exchanged(chance.random(raw.shape))
        gains = _gains(exchanged(raw), random[raw.shape])[shown].reset_index(drop=True)
        table = means(gains, pairs[shown], network=network, method=method, n_bootstrap=n_bootstrap, seed=seed)
        tables.append(table[table["measure"].isin(EXCHANGES) | (table["finding"] == MEAN)])
    return _joined(tables)


def _gains(own: dict[str, np.ndarray], random: dict[str, np.ndarray]) -> pd.DataFrame:
    """One row per pair: the gains in area, and the points of the curves (P, steps + 1) of both orders."""
    areas = {kind: curves.area(own[kind]) - curves.area(random[kind]) for kind in EXCHANGES}
    columns = {"deletion": -areas["deletion"], "insertion": areas["insertion"]}
    for kind in EXCHANGES:
        for order, points in (("map", own[kind]), ("random", random[kind])):
            columns |= {f"{kind} {order} {step}": values for step, values in enumerate(points.T)}
    return pd.DataFrame(columns)


def randomisation(maps_of: Callable[[nn.Module], Maps], model: nn.Module, fresh: nn.Module, pairs: pd.DataFrame, *,
                  network: str, n_bootstrap: int = 1000, seed: int = 0) -> pd.DataFrame:
    """How much of each map is left when the network loses its training part by part (Adebayo et al. 2018).

    maps_of: a network -> its maps of the pairs. fresh: the network with random weights (`explain.randomise`); `model`
    has its own weights again afterwards. Spearman's correlation, over a map's own pixels, of the maps of the trained
    network and those of the network whose parts from the last to `part` have random weights; over findings.
    Further columns: `step` from 0 and `part`. Step -1, part `another image`, compares with the map of the next pair of
    the same finding and another patient: the similarity that depends on no weights (ours).
    """
    tables = []

    def compare(after: Maps, step: int, part: str) -> None:
        alike = {method: correlation.spearman(raw, after[method], axes=2) for method, raw in before.items()}
        for method, values in alike.items():
            table = means(pd.DataFrame({"rank correlation": values}), pairs, network=network, method=method,
                          n_bootstrap=n_bootstrap, seed=seed)
            tables.append(table[table["finding"] == MEAN].assign(step=step, part=part))

    if len(pairs):
        before, other = maps_of(model), _of_another_patient(pairs)
        alone = (other < 0)[:, None, None]                  # a constant map has no correlation
        compare({method: np.where(alone, 0, raw[other]) for method, raw in before.items()}, -1, OTHER_IMAGE)
        with randomise.randomised(model, fresh, randomise.parts(fresh)) as steps:
            for step, part in enumerate(steps):
                compare(maps_of(model), step, part)
    return _joined(tables, "step", "part")


def _of_another_patient(pairs: pd.DataFrame) -> np.ndarray:
    """For each pair the place of the next pair with its finding that is of another patient, (P,); -1 without one."""
    found, patient = np.full(len(pairs), -1), pairs["patient"].to_numpy()
    for where in pairs.groupby("finding").indices.values():
        for i, place in enumerate(where):
            found[place] = next((other for other in np.roll(where, -i) if patient[other] != patient[place]), -1)
    return found


def counterfactuals(effect: np.ndarray, maps: Maps, maps_of_twins: Maps, masks: np.ndarray, pairs: pd.DataFrame, *,
                    network: str, n_bootstrap: int = 1000, seed: int = 0) -> pd.DataFrame:
    """Whether the mass of a map moves with what the finding changes in the network's output, on images with twins.

    A twin is the image without the finding. effect (P,): the logit of the image minus that of its twin. Measures:
    `effect` (method `no image`), and Spearman's correlation with the effect, within findings and averaged over them, of
    the columns of `amounts`; `pairs` counts those whose map has signal.
    """
    values = pd.DataFrame(amounts(maps, maps_of_twins, masks)) if len(pairs) else pd.DataFrame()
    return agreement(effect, values, pairs, network=network, n_bootstrap=n_bootstrap, seed=seed)


def amounts(maps: Maps, maps_of_twins: Maps, masks: np.ndarray) -> dict[tuple[str, str], np.ndarray]:
    """Columns (method, measure), each (P,): `mass in the cause` and `its change` (`evaluate.localisation.mass_change`).

    The mass as if the map were not upsampled; NaN without signal. `size of the cause` (method `no image`): the share of
    the image that the mask covers, which takes no map.
    """
    columns = {(NO_IMAGE, "size of the cause"): hits.chance(masks)}
    for method, raw in maps.items():
        parts = [hits.mass_change(*(overlay.upsample(of[part], masks.shape[1:]) for of in (raw, maps_of_twins[method])),
                                  masks[part], cells=raw[0].size) for part in _slices(len(masks))]
        columns |= {(method, measure): values.to_numpy() for measure, values in pd.concat(parts).items()}
    return columns


def agreement(effect: np.ndarray, values: pd.DataFrame, pairs: pd.DataFrame, *, network: str, n_bootstrap: int = 1000,
              seed: int = 0) -> pd.DataFrame:
    """The table of `counterfactuals` from the columns of `amounts`."""
    if pairs.empty:
        return _joined([])
    options = {"n_bootstrap": n_bootstrap, "seed": seed}
    found = per_class.rank_agreement(effect, values, pairs["finding"], pairs["patient"], **options).reset_index(
        names=["method", "measure"]).rename(columns={"correlation": "mean"})
    return _joined([means(pd.DataFrame({"effect": effect}), pairs, network=network, method=NO_IMAGE, **options),
                    found.assign(network=network, finding=MEAN)])


def means(values: pd.DataFrame, pairs: pd.DataFrame, *, network: str, method: str = "", n_bootstrap: int = 1000,
          seed: int = 0) -> pd.DataFrame:
    """The mean of each column of `values`, one row per pair, by finding and over findings, with COLUMNS."""
    found = per_class.class_means(values, pairs["finding"], pairs["patient"], n_bootstrap=n_bootstrap, seed=seed)
    return found.assign(network=network, method=method)[[*COLUMNS]]


def _joined(tables: list[pd.DataFrame], *further: str) -> pd.DataFrame:
    """Tables under one another, with COLUMNS and further ones; without any table no row."""
    columns: list[Any] = [*COLUMNS, *further]
    return pd.concat(tables, ignore_index=True)[columns] if tables else pd.DataFrame(columns=columns)


def _slices(count: int) -> Iterator[slice]:
    return (slice(begin, begin + UPSAMPLED_AT_ONCE) for begin in range(0, count, UPSAMPLED_AT_ONCE))
