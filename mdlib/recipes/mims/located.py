"""How well slice choice, maps and picked instances point at the lesions of phantom volumes, by the lesions' size.

That is known of phantom volumes only: every function gives an empty table for other collections.
Lesions are of three sizes, the thirds of all that are measured by their width, so that each third is as large (ours).
"""

from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from mdlib.data import images
from mdlib.data.phantoms import oct as phantom_oct
from mdlib.data.phantoms.collection import is_phantom
from mdlib.evaluate import localisation, resampling
from mdlib.explain import overlay
from mdlib.explain.instances import picked_instances
from mdlib.recipes.mims import explained, trainings
from mdlib.recipes.mims.chapter import Chapter
from mdlib.recipes.mims.explained import central, of_interest, said, suspicion, volumes
from mdlib.recipes.mims.plan import THREE_D, Training
from mdlib.study import results, saliency
from mdlib.study.saliency import LOCATION_PRIOR, NO_IMAGE, UNIFORM

SIZES = ("small", "medium", "large")
TAKEN = 16      # (ours) lesions of each size, at most, that are taken away alone: each needs its volume drawn again


def network(chapter: Chapter, method: str, collection: str) -> nn.Module:
    """The trained network that is explained: of the run's first seed."""
    return trainings.trained(chapter, Training(method, collection, seed=chapter.seed))


def known(chapter: Chapter, collection: str) -> bool:
    """Whether every voxel of every lesion is known: in phantom volumes."""
    bags = chapter.bags(collection) if collection in THREE_D else None
    return bags is not None and bags.truth is not None and is_phantom(bags.data_dir)


def mask(chapter: Chapter, collection: str, row: int) -> np.ndarray:
    """The number of the lesion in each voxel of the central slices, uint8 (S, H, W), at the size of the file."""
    bags = chapter.bags(collection)
    whole = phantom_oct.Truth(bags.data_dir).mask(bags.table["bag"].iloc[row])
    return whole[central(len(whole), chapter.settings.central)]


def lesions(chapter: Chapter, collection: str, part: str = "test") -> pd.DataFrame:
    """One row per lesion: row (of its volume), bag, patient, lesion, slice (where it is largest), width there, slices.

    slices: how many show it; finding: its size. Of lesions in the central slices; empty where the truth is not known.
    """
    table, found = chapter.bags(collection).table, []
    for row in chapter.part(collection, part) if known(chapter, collection) else ():
        of, labels = table.iloc[row], mask(chapter, collection, row)
        for lesion in np.unique(labels[labels > 0]):
            areas = (labels == lesion).sum(axis=(1, 2))
            where = int(areas.argmax())
            width = int(np.ptp(np.flatnonzero((labels[where] == lesion).any(axis=0)))) + 1
            found.append((int(row), of["bag"], of["patient"], int(lesion), where, width, int((areas > 0).sum())))
    table = pd.DataFrame(found, columns=["row", "bag", "patient", "lesion", "slice", "width", "slices"])
    edges = np.quantile(table["width"], [1 / 3, 2 / 3]) if len(table) else [0, 0]
    return table.assign(finding=np.array(SIZES)[np.searchsorted(edges, table["width"])])


def slice_choice(chapter: Chapter, method: str, collection: str) -> pd.DataFrame:
    """Does a network find the slices with a lesion? One row per measure: mean over volumes, low, high, chance, volumes.

    Each slice is a bag of one; chosen are those predicted to be of the class of interest, which appendix C explains.
    Of volumes with a lesion: whether the most suspicious slice shows one; how often a slice with a lesion is more
    suspicious than one without; which share of either is chosen; and which of the slices of volumes without.
    """
    bags = chapter.bags(collection)

    def compute() -> list[dict]:
        if not known(chapter, collection):
            return []
        model, rows = network(chapter, method, collection), chapter.part(collection, "test")
        found = [_choice(suspicion(said(model, slices)[1]).numpy(), mask(chapter, collection, row).any(axis=(1, 2)))
                 for row, slices in volumes(chapter, collection, rows)]
        return _over_volumes(chapter, bags.table["patient"].iloc[rows], found)
    return _remembered(chapter, "slice_choice", compute, method, collection)


def _choice(log_odds: np.ndarray, shown: np.ndarray) -> tuple[dict, dict]:
    """The measures of one volume, and what chance gives; shown (S,): which slices have a lesion."""
    chosen = log_odds > 0
    if not shown.any():
        return {"chosen of volumes without lesion": chosen.mean()}, {}
    with_lesion, without = log_odds[shown], log_odds[~shown]
    above = np.sign(with_lesion[:, None] - without) / 2 + 0.5
    measured = {"most suspicious slice has a lesion": float(shown[log_odds.argmax()]),
                "slice with lesion above one without": above.mean() if above.size else np.nan,
                "chosen of slices with lesion": chosen[shown].mean(),
                "chosen of other slices": chosen[~shown].mean() if above.size else np.nan}
    return measured, {"most suspicious slice has a lesion": shown.mean(), "slice with lesion above one without": 0.5}


def localised(chapter: Chapter, method: str, collection: str) -> pd.DataFrame:
    """How well maps point at a lesion: network, method, measure, finding (size), mean, low, high, pairs.

    Each lesion in the slice where it is largest, whether that slice was chosen or not, so that networks are compared
    on the same slices (ours). The mask is this lesion; what lies in another one is left out of map and slice, for a
    map is not wrong to point there. The table is that of `saliency.localisation`; the location prior is
    the mean mask of the training slices that have a lesion.
    """
    def compute() -> list[dict]:
        table = lesions(chapter, collection)
        if table.empty:
            return []
        model, prior, scores = network(chapter, method, collection), location_prior(chapter, collection), {}
        for of, labels, slices in _by_volume(chapter, collection, table):
            own = labels == of["lesion"].to_numpy()[:, None, None]
            found = {name: of_interest(maps) for name, maps in
                     explained.maps(model, slices[of["slice"].tolist()]).items()}
            found |= {UNIFORM: np.ones((len(of), 1, 1)), LOCATION_PRIOR: np.broadcast_to(prior, own.shape)}
            for name, raw in found.items():
                maps = overlay.upsample(raw, own.shape[1:]) * (own | (labels == 0))
                scores.setdefault(name, []).append(localisation.measures(maps, own))
        joined = {name: pd.concat(parts, ignore_index=True) for name, parts in scores.items()}
        return saliency.beyond_references(joined, table, network=method, **_intervals(chapter)).to_dict("records")
    return _remembered(chapter, "localised", compute, method, collection)


def location_prior(chapter: Chapter, collection: str) -> np.ndarray:
    """Where lesions usually are, a map (H, W) in [0, 1] that sees no image: the mean of the training slices' masks."""
    total, count = 0.0, 0
    for row in lesions(chapter, collection, "train")["row"].unique():
        labels = mask(chapter, collection, row) > 0
        total, count = total + labels.sum(axis=0), count + labels.any(axis=(1, 2)).sum()
    return total / max(count, 1)


def _by_volume(chapter: Chapter, collection: str, table: pd.DataFrame
               ) -> Iterator[tuple[pd.DataFrame, np.ndarray, Tensor]]:
    """For each volume its lesions, the label map (n, H, W) of the slice of each, and all its central slices."""
    for row, slices in volumes(chapter, collection, table["row"].unique()):
        of = table[table["row"] == row]
        yield of, mask(chapter, collection, row)[of["slice"].to_numpy()], slices


def picked(chapter: Chapter, method: str, collection: str) -> pd.DataFrame:
    """Where the instances lie that the pooling of a volume with a lesion picked: as `slice_choice` (ours).

    Shares of what the picks add to the logit, those that lower it left out: of what they saw of the slice the part
    that is lesion, in slices that show a lesion, and whether the largest is in such a slice.
    """
    def compute() -> list[dict]:
        table = lesions(chapter, collection).drop_duplicates("row")
        if table.empty:
            return []
        model = network(chapter, method, collection)
        found = [_of_picks(picked_instances(model, slices), mask(chapter, collection, row) > 0)
                 for row, slices in volumes(chapter, collection, table["row"])]
        return _over_volumes(chapter, table["patient"], found)
    return _remembered(chapter, "picked", compute, method, collection)


def _of_picks(picks: pd.DataFrame, inside: np.ndarray) -> tuple[dict, dict]:
    amount, slices, shown = picks["contribution"].clip(lower=0), picks["slice"], inside.any(axis=(1, 2))
    total = amount.sum() or np.nan
    in_slices = "contribution in slices with a lesion", "largest contribution in such a slice"
    measured = {"contribution in a lesion": (amount * covered(inside, picks)).sum() / total,
                in_slices[0]: amount[shown[slices]].sum() / total, in_slices[1]: float(shown[slices[0]])}
    return measured, {"contribution in a lesion": inside.mean(), **dict.fromkeys(in_slices, shown.mean())}


def picked_scales(chapter: Chapter, method: str, collection: str) -> pd.DataFrame:
    """Which scale picks which lesion: network, measure, finding (size), mean, low, high, pairs (ours).

    `picked`: whether an instance that adds to the logit saw some of the lesion. `at SCALE`: which share of what such
    instances add, each in proportion to the lesion's part of what it saw, was picked at that scale.
    """
    def compute() -> list[dict]:
        table, found = lesions(chapter, collection), []
        if table.empty:
            return []
        model = network(chapter, method, collection)
        for row, slices in volumes(chapter, collection, table["row"].unique()):
            picks, labels = picked_instances(model, slices), mask(chapter, collection, row)
            for lesion in table["lesion"][table["row"] == row]:
                amount = picks["contribution"].clip(lower=0) * covered(labels == lesion, picks)
                by_scale = amount.groupby(picks["scale"]).sum() / (amount.sum() or np.nan)
                found.append({"picked": float(amount.any())} | by_scale.add_prefix("at ").to_dict())
        values = pd.DataFrame(found)
        values = values.where(values.notna() | (values["picked"] == 0).to_numpy()[:, None], 0)   # a scale without picks
        return saliency.means(values, table, network=method, method=method, **_intervals(chapter)).to_dict("records")
    return _remembered(chapter, "picked_scales", compute, method, collection)


def covered(inside: np.ndarray, picks: pd.DataFrame) -> np.ndarray:
    """Which part of the pixels that each pick touches lies in a mask (S, H, W), (P,)."""
    sums = np.pad(inside, ((0, 0), (1, 0), (1, 0))).cumsum(axis=1).cumsum(axis=2)
    ends = []
    for first, last, side in (("top", "bottom", inside.shape[1]), ("left", "right", inside.shape[2])):
        start = np.floor(picks[first] * side + 1e-3).astype(int).clip(upper=side - 1)    # 1e-3 of a pixel is rounding
        stop = np.ceil(picks[last] * side - 1e-3).astype(int)
        ends.append((start, np.maximum(stop, start + 1)))
    (top, bottom), (left, right), at = *ends, picks["slice"]
    within = sums[at, bottom, right] - sums[at, top, right] - sums[at, bottom, left] + sums[at, top, left]
    return within / ((bottom - top) * (right - left)).to_numpy()


def agreement(chapter: Chapter, method: str, collection: str) -> pd.DataFrame:
    """Does a map's mass move with what a lesion does? network, method, measure, finding, mean, low, high, pairs.

    Of at most TAKEN lesions of each size, drawn by the seed. The effect of a lesion is the log-odds of the slice where
    it is largest less those of the same slice drawn without it; the table is that of `saliency.counterfactuals`.
    Measure `effect on the volume` is the mean effect on the log-odds of the whole volume.
    """
    def compute() -> list[dict]:
        table = lesions(chapter, collection)
        table = table.sample(frac=1, random_state=chapter.seed).groupby("finding").head(TAKEN).sort_index()
        if table.empty:
            return []
        model = network(chapter, method, collection)
        parts = [_effects(chapter, collection, model, *part) for part in _by_volume(chapter, collection, table)]
        values = pd.concat(parts, ignore_index=True)
        effect, of_volume = (values.pop((NO_IMAGE, name)) for name in ("effect", "effect on the volume"))
        named = {"network": method, **_intervals(chapter)}
        return pd.concat([saliency.agreement(effect.to_numpy(), values, table, **named),
                          saliency.means(of_volume.to_frame("effect on the volume"), table, method=NO_IMAGE, **named)
                          ]).to_dict("records")
    return _remembered(chapter, "agreement", compute, method, collection)


def _effects(chapter: Chapter, collection: str, model: nn.Module, of: pd.DataFrame, labels: np.ndarray,
             slices: Tensor) -> pd.DataFrame:
    where, row = of["slice"].tolist(), of["row"].iloc[0]
    twins = torch.stack([seen(chapter, collection, drawn_without(chapter, collection, row, (lesion,)))
                         for lesion in of["lesion"]])                                              # (n, S, 1, H, W)
    without = twins[torch.arange(len(of)), where]
    whole, alone = said(model, slices)
    of_twins = [said(model, each) for each in twins]
    on_volume = [float(suspicion(whole) - suspicion(other)) for other, _ in of_twins]
    on_slice = [float(suspicion(alone[s]) - suspicion(other[s]))
                for s, (_, other) in zip(where, of_twins, strict=True)]
    found, found_without = ({name: of_interest(maps) for name, maps in explained.maps(model, of_slices).items()}
                            for of_slices in (slices[where], without))
    columns = saliency.amounts(found, found_without, labels == of["lesion"].to_numpy()[:, None, None])
    return pd.DataFrame({(NO_IMAGE, "effect"): on_slice, (NO_IMAGE, "effect on the volume"): on_volume} | columns)


def drawn_without(chapter: Chapter, collection: str, row: int, lesions: tuple[int, ...] | None = None) -> np.ndarray:
    """The central slices of a volume drawn again without these lesions (None: any), uint8 (S, H, W), as in its file."""
    bags = chapter.bags(collection)
    drawn = phantom_oct.twin(bags.data_dir, bags.table["bag"].iloc[row], lesions)
    return drawn[central(len(drawn), chapter.settings.central)]


def seen(chapter: Chapter, collection: str, slices: np.ndarray) -> Tensor:
    """Slices uint8 (S, H, W) as the networks see them, (S, 1, H, W) in [0, 1]."""
    small = np.stack([images.resized(each, chapter.shape(collection)) for each in slices])
    return torch.from_numpy(small)[:, None].float().div_(255)


TABLES = {"slice_choice": slice_choice, "picked": picked, "picked_scales": picked_scales, "localised": localised,
          "agreement": agreement}


def _over_volumes(chapter: Chapter, patients: pd.Series, found: list[tuple[dict, dict]]) -> list[dict]:
    """Means over volumes of measures, each beside its chance, as records."""
    values, chances = (pd.DataFrame(list(of)) for of in zip(*found, strict=True))
    table = resampling.mean_interval(values.to_numpy(float), patients.to_numpy(), n_bootstrap=chapter.settings.draws,
                                     seed=chapter.seed).drop(columns="draws").rename(columns={"images": "volumes"})
    table.insert(0, "measure", values.columns)
    return table.assign(chance=chances.mean().reindex(values.columns).to_numpy()).to_dict("records")


def _intervals(chapter: Chapter) -> dict[str, int]:
    return {"n_bootstrap": chapter.settings.draws, "seed": chapter.seed}


def _remembered(chapter: Chapter, name: str, compute: Callable[[], list[dict]], method: str, collection: str
                ) -> pd.DataFrame:
    return results.table(chapter.run.remember(f"{name}_{method}_{collection}", compute, method=method,
                                              collection=collection))
