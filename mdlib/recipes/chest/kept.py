"""Figures of runs on real images, kept as small JSON under data/results/chest."""

import dataclasses
from pathlib import Path
from typing import Any

import pandas as pd

from mdlib import reproducible
from mdlib.data import chestxray14, splits
from mdlib.files import atomic, fingerprint, write_json
from mdlib.recipes import keeping
from mdlib.recipes.chest import grid, measured, results
from mdlib.recipes.chest.chapter import Chapter
from mdlib.recipes.chest.settings import Chest
from mdlib.recipes.chest.trainings import left_out
from mdlib.study.tables import beside_paper

PAPER_COUNTS = {"full training-validation": 86524, "full test": 25596, "training-validation subset": 16944,
                "training subset": 15249, "validation subset": 1695, "test subset": 6112}    # Table 1


def write_subset(table_dir: Path, out: Path, by_patient: bool = False) -> dict[str, Any]:
    """Write Table 1's subset and its three splits to `out`, one image name a line, and `subset.json`: what was counted.

    `by_patient` adds train_patient.txt and val_patient.txt, which share no patient (ours). Returns what subset.json
    says: `images` as in Table 1, `leaks` (a `splits.Leak` a pair of lists), versions, and a fingerprint of the table.
    """
    table, (train_val, test) = chestxray14.read_table(table_dir), chestxray14.read_lists(table_dir)
    chosen = splits.paper_subset(table, train_val, test)
    splits.write_lists(out, chosen)
    pairs = {f"train_{i} and val_{i}": pair for i, pair in enumerate(chosen.splits)}
    pairs["train_val and test"] = (chosen.train_val, chosen.test)
    if by_patient:
        pair = splits.patient_split(table[table["image"].isin(set(chosen.train_val))])
        for name, part in zip(("train_patient", "val_patient"), pair, strict=True):
            with atomic(out / f"{name}.txt") as file:
                file.write_text("".join(f"{image}\n" for image in part), encoding="utf-8")
        pairs["train_patient and val_patient"] = pair
    counted = (train_val, test, chosen.train_val, *chosen.splits[0], chosen.test)
    summary = {"images": dict(zip(PAPER_COUNTS, map(len, counted), strict=True)),
               "leaks": {name: dataclasses.asdict(splits.leaks(table, *pair)) for name, pair in pairs.items()},
               "table": fingerprint(table.to_csv(index=False)), "code": reproducible.code_version(),
               "versions": reproducible.versions()}
    write_json(out / "subset.json", summary)
    return summary


def table_1() -> pd.DataFrame:
    """Table 1 as `mdlib chest subset` counted it on the NIH's label table: paper, ours, difference."""
    return beside_paper(keeping.read("chest", "subset", needs="images")["images"], PAPER_COUNTS)


def leaks() -> pd.DataFrame:
    """Which lists of the paper's subset share patients: counted in the second list of each pair."""
    counted = keeping.read("chest", "subset", needs="leaks")["leaks"]
    kept_leaks = {name: splits.Leak(**leak) for name, leak in counted.items()}
    return pd.DataFrame({name: {"shared patients": leak.patients, "of": leak.all_patients[1],
                                "their images": leak.images_b, "of images": leak.all_images[1]}
                         for name, leak in kept_leaks.items()}).T


def keep(chapter: Chapter, name: str) -> Path:
    """Write the figures and the manifest of a run to data/results/chest/runs/<name>.json; no image, no image name."""
    exhibits = [exhibit for exhibit in chapter.settings.exhibits if not left_out(chapter, exhibit)]
    return keeping.write("chest", f"runs/{name}", chapter.run, {
        "parts": {part: {"images": len(rows), "patients": int(chapter.table["patient"].iloc[rows].nunique())}
                  for part, rows in chapter.rows.items()},
        "aurocs": {exhibit: keeping.records(results.aurocs(chapter, exhibit)) for exhibit in exhibits},
        "differences": {exhibit: keeping.records(results.differences(chapter, exhibit).reset_index())
                        for exhibit in exhibits},
        "maps": measured.summary(chapter)})


def keep_grid(chapter: Chapter, name: str) -> Path:
    """Train the whole grid, and write its AUROCs and manifest to data/results/chest/grid/<name>.json."""
    return keeping.write("chest", f"grid/{name}", chapter.run, {"aurocs": keeping.records(grid.aurocs(chapter))})


def kept(name: str) -> dict[str, Any]:
    """The figures of a kept run. Raises DataError, listing the kept names."""
    return keeping.read("chest", f"runs/{name}", needs="maps")


def aurocs(name: str, exhibit: str) -> pd.DataFrame:
    """The AUROCs of an exhibit in a kept run, as `results.aurocs` gives them."""
    return pd.DataFrame(kept(name)["aurocs"][exhibit]).astype({"auroc": float, "low": float, "high": float})


def differences(name: str, exhibit: str) -> pd.DataFrame:
    """The differences of an exhibit in a kept run, as `results.differences` gives them."""
    return pd.DataFrame(kept(name)["differences"][exhibit]).set_index(["panel", "comparison"])


def pointing_game(name: str) -> pd.DataFrame | str:
    """`measured.counts` of a kept run: how often the highest pixel of each map lay in the cause, or in the box."""
    return measured.counts(measured.tables(kept(name)["maps"])["localisation"])


def grid_summary(name: str) -> pd.DataFrame:
    """What a kept grid says of every comparison: `grid.summary`."""
    there = keeping.read("chest", f"grid/{name}", needs="aurocs")
    asked = {key: tuple(value) if isinstance(value, list) else value
             for key, value in there["manifest"]["asked"]["settings"].items()}
    return grid.summary(pd.DataFrame(there["aurocs"]), Chest(**asked))
