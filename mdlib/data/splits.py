"""Which images train, validate and test: the paper's own subset, to the image, and splits that keep patients apart."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedGroupKFold, StratifiedShuffleSplit

from mdlib.data.chestxray14 import CLASSES, targets
from mdlib.errors import DataError, SettingsError
from mdlib.files import atomic


@dataclass(frozen=True)
class Subset:
    """Image names: train_val and test in the table's order, and (train, val) pairs in the splitter's order."""

    train_val: list[str]
    test: list[str]
    splits: list[tuple[list[str], list[str]]]


@dataclass(frozen=True)
class Leak:
    """What two sets of images share: patients, images of those patients in each set, and images in both sets."""

    patients: int
    images_a: int
    images_b: int
    same_images: int
    all_patients: tuple[int, int]
    all_images: tuple[int, int]

    def __str__(self) -> str:
        if not self.patients and not self.same_images:
            return "No patient and no image is in both sets."
        images = (self.images_a, self.images_b)
        of_each = [f"{self.patients:,} of {patients:,} patients ({shared:,} of {count:,} images) of the {name}" for
                   name, patients, shared, count in zip(("first", "second"), self.all_patients, images, self.all_images,
                                                        strict=True)]
        return (f"{self.patients:,} patients are in both sets: {', '.join(of_each)}; "
                f"{self.same_images:,} images are in both.")


def paper_subset(table: pd.DataFrame, train_val: Sequence[str], test: Sequence[str], target: int = 2000,
                 no_finding: int = 10000, rarest: int = 6, seed: int = 0, n_splits: int = 3,
                 val_fraction: float = 0.1) -> Subset:
    """The images Tan et al. used: 16,944 / 6,112 of ChestX-ray14, first split 15,249 / 1,695 (section 1.2, Table 1).

    From the rarest class to the most frequent, "No Finding" among them: all images of a class with fewer than
    `target`, else as many not yet selected at random as are missing to `target`; "No Finding" is then filled up to
    `no_finding`. Images whose label text occurs fewer than `rarest` times are dropped, before and after cutting the
    selection at the official lists. The paper says "at least two"; the authors' code has 6, and only 6 gives their
    numbers. The splits are scikit-learn's StratifiedShuffleSplit on the label texts: patients are in both parts.
    `n_splits=0` makes none.

    Raises DataError when nothing is left, or too little to split.
    """
    chosen = _drop_rare(table[_select(table, target, no_finding, seed)], rarest)
    parts = {}
    for name, listed in (("train_val", train_val), ("test", test)):
        parts[name] = _drop_rare(chosen[chosen["image"].isin(set(listed))], rarest)
        if parts[name].empty:
            raise DataError(f"the subset rule leaves none of {len(table):,} images in {name}",
                            f"parameter rarest = {rarest}",
                            f"Each label text must occur {rarest} times: choose a smaller rarest, or take all images "
                            "(--set subset=false).")
    splits = _stratified(parts["train_val"], n_splits, val_fraction, seed)
    return Subset(parts["train_val"]["image"].tolist(), parts["test"]["image"].tolist(), splits)


def _select(table: pd.DataFrame, target: int, no_finding: int, seed: int) -> np.ndarray:
    """bool (N,): the images chosen class by class."""
    has = dict(zip(CLASSES, targets(table).T == 1, strict=True))
    chosen = np.zeros(len(table), dtype=bool)

    def fill(name: str, wanted: int) -> None:
        rest = np.flatnonzero(has[name] & ~chosen)
        count = min(max(wanted - int((has[name] & chosen).sum()), 0), len(rest))
        chosen[pd.Series(rest).sample(n=count, random_state=seed)] = True

    for name in sorted(CLASSES, key=lambda name: has[name].sum()):
        fill(name, target)
    fill("No Finding", no_finding)
    return chosen


def _drop_rare(table: pd.DataFrame, rarest: int) -> pd.DataFrame:
    return table[table["labels"].map(table["labels"].value_counts()) >= rarest]


def _stratified(table: pd.DataFrame, n_splits: int, val_fraction: float, seed: int) -> list[tuple]:
    if n_splits == 0:
        return []
    images, labels = table["image"].to_numpy(), table["labels"].to_numpy()
    try:
        splitter = StratifiedShuffleSplit(n_splits, test_size=val_fraction, random_state=seed)
        return [(images[train].tolist(), images[val].tolist()) for train, val in splitter.split(images, labels)]
    except ValueError as error:
        reason = str(error).split(".")[0][:200]
        raise DataError(f"{len(images):,} images with {len(set(labels)):,} label texts cannot be split so that both "
                        f"parts have each text ({reason})", f"parameter val_fraction = {val_fraction}",
                        "Choose a larger val_fraction (--set validation=0.3), split by patient (--set split=patient), "
                        "or take all images (--set subset=false).") from None


def patient_split(table: pd.DataFrame, fraction: float = 0.1, seed: int = 0) -> tuple[list[str], list[str]]:
    """Names of the images that train and of those that validate, no patient in both (ours).

    Patients are drawn by `_drawn`, a patient's kind being its rarest finding. Names are in the table's order. Raises
    SettingsError for a fraction outside (0, 1), DataError when one part would be empty.
    """
    by_rarity = [CLASSES[k] for k in np.argsort(targets(table).sum(axis=0), kind="stable")]
    rarest = {text: min(by_rarity.index(name) for name in text.split("|")) for text in table["labels"].unique()}
    val = _drawn(table["patient"], table["labels"].map(rarest), fraction, seed)
    return table["image"][~val].tolist(), table["image"][val].tolist()


def bag_split(table: pd.DataFrame, test: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the bags that train and of those that test, int64, ascending: no patient in both (ours).

    `table` has patient and label. The classes come out in about the same proportion in both parts: patients are drawn
    by `_drawn`, a patient's kind being its rarest class. Li et al. (section 3.1) give fractions only, 0.33 (Cirrus),
    0.5 (Spectralis) and 0.3 (MMD) for testing. Raises as `patient_split`.
    """
    kind = table["label"].map({name: rank for rank, name in enumerate(table["label"].value_counts().index[::-1])})
    chosen = _drawn(table["patient"], kind, test, seed).to_numpy()
    return np.flatnonzero(~chosen), np.flatnonzero(chosen)


def folds(table: pd.DataFrame, count: int, seed: int = 0) -> list[tuple[np.ndarray, np.ndarray]]:
    """Rows of the bags that train and of those that test, int64, `count` times: each bag is tested once (ours).

    `table` has patient and label; the classes come out in about the same proportion, no patient is in both parts.
    Raises DataError for fewer patients, or bags of a class, than folds.
    """
    splitter = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
    try:
        return list(splitter.split(table, table["label"], table["patient"]))
    except ValueError as error:
        raise DataError(f"{len(table):,} bags cannot be split into {count} folds ({error})", "parameter count",
                        "Choose fewer folds (--set folds=2), or more bags.") from None


def _drawn(patient: pd.Series, kind: pd.Series, fraction: float, seed: int) -> pd.Series:
    """bool (N,): the rows of the patients that are drawn. kind: one number per row; the smallest of a patient counts.

    Patients are lined up by kind, then by their number of rows, equal ones in random order, and `fraction` of the
    line is taken at even distances from a random start: so kinds and rows come out in about the same proportion.
    """
    if not 0 < fraction < 1:
        raise SettingsError(f"{fraction} is not between 0 and 1", "parameter fraction",
                            "Choose one that is (--set validation=0.1, or test=0.3).")
    random = np.random.default_rng(seed)
    line = kind.groupby(patient).agg(["min", "size"])
    line = line.iloc[random.permutation(len(line))].sort_values(["min", "size"], kind="stable")
    steps = np.floor(np.arange(len(line) + 1) * fraction + random.random())
    drawn = patient.isin(line.index[np.diff(steps) > 0])
    if drawn.all() or not drawn.any():
        raise DataError(f"{len(line):,} patients are too few for {fraction:.0%} of them",
                        f"parameter fraction = {fraction}",
                        "Choose a fraction nearer to 0.5 (--set validation=0.3, or test=0.3), or more patients.")
    return drawn


def tuning(table: pd.DataFrame, rows: np.ndarray, share: float = 0.02, seed: int = 0
           ) -> tuple[np.ndarray, np.ndarray, Leak]:
    """Rows moved out of `rows` for tuning, rows that stay, ascending, and the patients that both then share.

    Of each class `share` is drawn at random, one by one and not patient by patient: so Li et al. (supplementary A)
    moved 2 % of the test tiles of CRC-MSI, and the patients of these stay in the test set: that is the leak.
    Raises SettingsError for a share outside (0, 1), DataError when a class is too small to give one and keep one.
    """
    if not 0 < share < 1:
        raise SettingsError(f"{share} is not between 0 and 1", "parameter share", "The paper's is 0.02.")
    random, moved = np.random.default_rng(seed), []
    for label, of_class in sorted(table["label"].iloc[rows].groupby(table["label"].iloc[rows]).indices.items()):
        count = round(share * len(of_class))
        if not 0 < count < len(of_class):
            raise DataError(f"{count} of {len(of_class)} images of class {label} would be moved",
                            f"parameter share = {share}", "Choose another share, or more images.")
        moved.append(random.permutation(rows[of_class])[:count])
    moved = np.sort(np.concatenate(moved))
    rest = np.setdiff1d(rows, moved)
    return moved, rest, shared(table["patient"], moved, rest)


def refuse_shared_patients(table: pd.DataFrame, parts: Mapping[str, np.ndarray], where: str) -> None:
    """Raise DataError where a patient has rows of `table` in two of the parts, which are rows by name."""
    for (name, some), (other, others) in combinations(parts.items(), 2):
        both = table["patient"].iloc[some][table["patient"].iloc[some].isin(table["patient"].iloc[others])]
        if len(both):
            raise DataError(f"patient {both.iloc[0]} is in {name} and in {other}; {both.nunique():,} patients are in "
                            "both", where, "Move each patient into one part, or split by patient.")


def leak_experiment(table: pd.DataFrame, rows: np.ndarray, share: float, seed: int = 0
                    ) -> dict[str, np.ndarray]:
    """Rows to train on, `leaky` and `grouped`, and `held_out` to test on: what does knowing the patients do (ours)?

    Two groups of patients with several images are drawn alike, A and B, each of as many as `share` of all images, or
    half of these patients if that is fewer. Of each patient one image is taken away; those of A are `held_out`.
    `leaky` is the other images of A and all those of the patients in neither group; `grouped` has the other images of B
    in place of A's, cut to the same number. So the two sets are alike but for whom they have seen.
    Raises DataError when fewer than two patients have several images.
    """
    chance = np.random.default_rng(seed)
    shuffled = chance.permutation(rows)    # the first image of each patient in this order is the one taken away
    first = ~pd.Series(table["patient"].to_numpy()[shuffled]).duplicated().to_numpy()
    patient = table["patient"].to_numpy()[shuffled]
    several = chance.permutation(np.unique(patient[~first]))
    size = min(round(share * len(rows)), len(several) // 2)
    if size == 0:
        raise DataError(f"{len(several)} patients have several images", "the leak experiment",
                        "It needs two or more of them; leave the experiment out (--set exhibits=…).")
    in_a, in_b = (np.isin(patient, several[part]) for part in (slice(size), slice(size, 2 * size)))
    common, of_a, of_b = shuffled[~in_a & ~in_b], shuffled[in_a & ~first], shuffled[in_b & ~first]
    same = min(len(of_a), len(of_b))
    return {"held_out": np.sort(shuffled[in_a & first]), "leaky": np.sort(np.concatenate([of_a[:same], common])),
            "grouped": np.sort(np.concatenate([of_b[:same], common]))}


def leaks(table: pd.DataFrame, a: Sequence[str], b: Sequence[str]) -> Leak:
    """The patients and images that two sets of image names share; as text, a sentence. Raises DataError."""
    return shared(table["patient"], rows(table, a), rows(table, b))


def shared(patients: pd.Series, a: np.ndarray, b: np.ndarray) -> Leak:
    """The patients and images that two sets of rows share; as text, a sentence."""
    of_a, of_b = patients.iloc[a], patients.iloc[b]
    both = set(of_a) & set(of_b)
    return Leak(len(both), int(of_a.isin(both).sum()), int(of_b.isin(both).sum()), len(np.intersect1d(a, b)),
                (of_a.nunique(), of_b.nunique()), (len(a), len(b)))


def rows(table: pd.DataFrame, images: Sequence[str]) -> np.ndarray:
    """int64 (n,): the table's row of each image name. Raises DataError for a name that is not in the table."""
    found = pd.Index(table["image"]).get_indexer(pd.Index(images, dtype=object)).astype(np.int64)
    if (found < 0).any():
        first = images[int((found < 0).argmax())]
        raise DataError(f"{(found < 0).sum():,} images are not in the table, the first is {first!r}", "column image",
                        "Use the table the split was made from.")
    return found


def write_lists(folder: Path | str, subset: Subset) -> list[Path]:
    """Write train_val.txt, test.txt, train_0.txt, val_0.txt, …, one image name per line; return their paths."""
    lists = {"train_val": subset.train_val, "test": subset.test}
    for number, (train, val) in enumerate(subset.splits):
        lists |= {f"train_{number}": train, f"val_{number}": val}
    files = []
    for name, images in lists.items():
        files.append(Path(folder) / f"{name}.txt")
        with atomic(files[-1]) as part:
            part.write_text("".join(f"{image}\n" for image in images), encoding="utf-8")
    return files
