"""What a dissection found: IoU of units and concepts at any threshold, its ceilings and its null, AUROC, top images."""

from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import pandas as pd

from mdlib.errors import DataError, SettingsError
from mdlib.explain.other_films import NullCounts
from mdlib.explain.top_patches import TopPatches
from mdlib.files import atomic

SHARE_OF_MAXIMUM = 0.2          # the code of Wu et al.
SHARE_LIT = 0.005               # Bau et al. 2017: P(value > threshold)
RULES = ("maximum", "quantile")


@dataclass(frozen=True, eq=False)
class Dissection:
    """U units of `layer` against C concepts, as counts; every figure is computed from them when it is asked for.

    A unit is lit where its upsampled map is above its threshold. Rules for thresholds:
    "maximum": the map divided by the largest value of the unit's top image is above 0.2 (the code of Wu et al.);
    "quantile": 0.5 % of all positions of the set are lit (Bau et al. 2017).

    values (U, C+1, bins), peaks (U, C+1, bins / 2), low, width, smallest, largest float64 (U,): see
    `unit_histograms.UnitHistograms`. ceiling_resolution float64 (C,): `unit_histograms.ResolutionCeiling`. top: the top
    images of each unit. null_counts: `other_films.NullCounts`, None where the images were of no groups.
    """

    layer: str
    concepts: tuple[str, ...]
    values: np.ndarray
    peaks: np.ndarray
    low: np.ndarray
    width: np.ndarray
    smallest: np.ndarray
    largest: np.ndarray
    ceiling_resolution: np.ndarray
    top: TopPatches
    null_counts: NullCounts | None = None

    @property
    def n_images(self) -> int:
        return int(self.peaks[0, 0].sum())

    @property
    def dead(self) -> np.ndarray:
        """bool (U,): the same value everywhere in all images. Without IoU by either rule."""
        return self.smallest == self.largest

    @property
    def negative(self) -> np.ndarray:
        """bool (U,): nowhere above 0. Without IoU by "maximum": divided by its maximum, the map changes its sign."""
        return self.largest <= 0

    @property
    def prevalence(self) -> np.ndarray:
        """float64 (C,): the share of all pixels of the set, on the grid of the labels, that a concept covers."""
        return self.values[0, 1:].sum(axis=-1) / self.values[0, 0].sum()

    @property
    def presence(self) -> np.ndarray:
        """float64 (C,): the share of the images in which a concept has at least one pixel."""
        return self.peaks[0, 1:].sum(axis=-1) / self.n_images

    def thresholds(self, rule: str) -> np.ndarray:
        """float64 (U,), in the layer's own values; NaN where the rule gives none. Raises SettingsError."""
        if rule not in RULES:
            raise SettingsError(f"unknown rule {rule!r}", "parameter rule", f"Use {' or '.join(RULES)}.")
        found = rule_thresholds(self.values[:, 0], self.low, self.width, self.smallest, self.largest)
        return found[RULES.index(rule)]

    def lit(self, rule: str | np.ndarray) -> np.ndarray:
        """float64 (U,): the share of all positions of the set that is lit by a rule, or above thresholds (U,)."""
        return self._above(rule)[:, 0] / self.values[0, 0].sum()

    def iou(self, rule: str | np.ndarray) -> np.ndarray:
        """float64 (U, C): pixels of the set that are lit and of the concept, over those that are either.

        By a rule or at any thresholds (U,), one for each unit. Exact at the edges of the bins; between them the values
        of a bin count as spread evenly. Measured on 4,000 simulated maps, the error is below 0.0007 in 99 % of the
        pairs and at most 0.0015 (0.007 for tails as heavy as those of Student's t with 2 degrees of freedom). It is
        larger where a mask is itself the unit's map above nearly the same threshold. NaN for units without threshold,
        and for a concept without pixels.
        """
        above = self._above(rule)
        return _iou(above[:, 1:], above[:, :1], self.values[0, 1:].sum(axis=-1))

    def bound(self, rule: str | np.ndarray) -> np.ndarray:
        """float64 (U, C): what no IoU exceeds, because of the sizes alone: `prevalence_bound` of each unit's `lit`."""
        return prevalence_bound(self.lit(rule)[:, None], self.prevalence)

    @property
    def ceiling_prevalence(self) -> np.ndarray:
        """float64 (C,): the bound of every unit by "quantile" that lights 0.5 %; see `prevalence_bound`.

        A unit lights less only where it is at its lowest value in more than 99.5 % of the positions. Then the bound
        still holds for concepts that cover 0.5 % or more; that of rarer concepts is in `bound`.
        """
        return prevalence_bound(SHARE_LIT, self.prevalence)

    def null(self, rule: str) -> np.ndarray:
        """float64 (U, C, draws): the IoU with the same concept as it lies in other films; see `other_films`.

        Raises SettingsError where the dissection was given no groups.
        """
        if self.null_counts is None:
            raise SettingsError("the dissection knows no groups of images", "null", "Pass `groups` to dissect().")
        counts, lit = self.null_counts, self.lit(rule)[:, None, None]
        labelled = counts.labelled / counts.positions
        with np.errstate(invalid="ignore"):
            hit = counts.hits[:, RULES.index(rule)] / counts.lit[:, RULES.index(rule), None, None]
        return _iou(np.minimum(hit * lit, labelled), lit, labelled)

    def auroc(self) -> np.ndarray:
        """float64 (U, C): how well the maximum of a unit's map tells images with a concept from those without.

        Maxima within one bin count as equal. NaN where all images have the concept, or none.
        """
        found = np.full((len(self.low), len(self.concepts)), np.nan)
        for concept in range(len(self.concepts)):                          # one at a time bounds the memory
            present = self.peaks[:, 1 + concept].astype(np.float64)
            absent = self.peaks[:, 0] - present
            with np.errstate(invalid="ignore"):
                won = (present * (absent.cumsum(axis=-1) - absent / 2)).sum(axis=-1)
                found[:, concept] = won / (present.sum(axis=-1) * absent.sum(axis=-1))
        return found

    def concept(self, name: str) -> int:
        """The column of a concept. Raises SettingsError for an unknown one."""
        if name not in self.concepts:
            raise SettingsError(f"unknown concept {name!r}", "parameter concept", f"Known: {', '.join(self.concepts)}.")
        return self.concepts.index(name)

    def table(self, rule: str, concept: str | None = None) -> pd.DataFrame:
        """One row per unit and concept, or per unit for one concept: `unit`, `concept`, `iou`, and what it is worth.

        `bound` by the sizes, `resolution` of the layer's maps, `null` and `null 95 %` (mean and 95 % quantile of the
        draws; NaN without groups), `auroc` of the unit's maximum for the concept's presence.
        """
        columns = range(len(self.concepts)) if concept is None else [self.concept(concept)]
        shape = self.values.shape[0], len(self.concepts)
        null = np.full((*shape, 1), np.nan) if self.null_counts is None else self.null(rule)
        figures = {"iou": self.iou(rule), "bound": self.bound(rule),
                   "resolution": np.broadcast_to(self.ceiling_resolution, shape), "null": null.mean(axis=-1),
                   "null 95 %": np.quantile(null, 0.95, axis=-1), "auroc": self.auroc()}
        unit, column = (of.ravel() for of in np.meshgrid(np.arange(shape[0]), columns, indexing="ij"))
        return pd.DataFrame({"unit": unit, "concept": np.array(self.concepts, object)[column],
                             **{name: of[unit, column] for name, of in figures.items()}})

    def save(self, path: Path | str) -> None:
        """Write all counts to a file .npz, without pickle; `load` reads it."""
        arrays = {f"{part}.{name}": value for part, of in (("", self), ("top", self.top), ("null", self.null_counts))
                  if of is not None for name, value in vars(of).items() if name not in ("top", "null_counts")}
        with atomic(path) as part, part.open("wb") as file:
            np.savez_compressed(file, **arrays)

    @classmethod
    def load(cls, path: Path | str) -> "Dissection":
        """What `save` wrote. Raises DataError where it is something else."""
        found: dict[str, dict[str, np.ndarray]] = {"": {}, "top": {}, "null": {}}
        try:
            with np.load(path, allow_pickle=False) as file:
                for name in file.files:
                    part, _, field = name.partition(".")
                    found[part][field] = file[name]
            own = found[""] | {"layer": str(found[""]["layer"]), "concepts": tuple(found[""]["concepts"].tolist())}
            return cls(**own, top=TopPatches(**found["top"]),
                       null_counts=NullCounts(**found["null"]) if found["null"] else None)
        except (KeyError, TypeError, ValueError, EOFError, BadZipFile) as error:
            raise DataError(f"it holds no dissection ({error})", str(path), "Dissect again and save it.") from None

    def _above(self, rule: str | np.ndarray) -> np.ndarray:
        """float64 (U, C+1): the number of positions above the threshold, all and of each concept."""
        thresholds = self.thresholds(rule) if isinstance(rule, str) else np.asarray(rule, np.float64)
        if thresholds.shape != self.low.shape:
            raise SettingsError(f"thresholds of shape {thresholds.shape} for {len(self.low)} units", "parameter rule",
                                "Give one threshold for each unit.")
        with np.errstate(invalid="ignore", divide="ignore"):
            place = np.nan_to_num((np.copysign(np.abs(thresholds) ** 0.5, thresholds) - self.low) / self.width)
        bins = np.clip(np.ceil(place), 0, self.values.shape[-1] - 1).astype(np.int64)
        weight = np.clip(bins[:, None] - place[:, None], 0, 1) * (np.arange(self.values.shape[-1]) == bins[:, None])
        weight += np.arange(self.values.shape[-1]) > bins[:, None]                  # how much of each bin is above
        above = np.einsum("ucb,ub->uc", self.values, weight)
        above[thresholds >= self.largest] = 0
        above[thresholds < self.smallest] = self.values.sum(axis=-1)[thresholds < self.smallest]
        above[np.isnan(thresholds)] = np.nan
        return above


def rule_thresholds(all_counts: np.ndarray, low: np.ndarray, width: np.ndarray, smallest: np.ndarray,
                    largest: np.ndarray) -> np.ndarray:
    """float64 (2, U): the thresholds by each of RULES, from the histogram (U, bins) of all values of each unit.

    By "quantile" a threshold within a bin is where 0.5 % are lit if the values of the bin are spread evenly; it is the
    lowest value, and fewer are lit, where more than 99.5 % of the positions have it. NaN for units that are dead, and
    by "maximum" for those nowhere above 0.
    """
    maximum = np.where(largest > 0, SHARE_OF_MAXIMUM * largest, np.nan)
    above = all_counts.cumsum(axis=1)
    np.subtract(above[:, -1:].copy(), above, out=above)                                  # above the upper edge of a bin
    wanted = SHARE_LIT * (above[:, 0] + all_counts[:, 0])
    bins = (above <= wanted[:, None]).argmax(axis=1)
    rows = np.arange(len(bins))
    part = (wanted - above[rows, bins]) / np.maximum(all_counts[rows, bins], 1)
    place = np.where(bins > 0, low + (bins - part) * width, low)
    quantile = place * np.abs(place)                                                     # the bins are of roots
    return np.where(smallest == largest, np.nan, np.stack([maximum, quantile]))


def prevalence_bound(lit: float | np.ndarray, prevalence: np.ndarray) -> np.ndarray:
    """min(lit, prevalence) / max(lit, prevalence): |A and B| / |A or B| <= min(|A|, |B|) / max(|A|, |B|) (ours).

    So a rule that lights 0.5 % of the pixels leaves a concept that covers 12.5 % of them an IoU of at most 0.04.
    """
    with np.errstate(invalid="ignore"):
        return np.minimum(lit, prevalence) / np.maximum(lit, prevalence)


def _iou(both: np.ndarray, lit: np.ndarray, labelled: np.ndarray) -> np.ndarray:
    """both / (lit + labelled - both), NaN for concepts without pixels."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(labelled > 0, both / (lit + labelled - both), np.nan)
