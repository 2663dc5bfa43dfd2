"""Table 1: the paper's subset of ChestX-ray14 from the NIH's label table, and which of its splits share patients."""

import dataclasses
from pathlib import Path
from typing import Any

import pandas as pd

from mdlib import reproducible
from mdlib.data import chestxray14, splits
from mdlib.files import atomic, fingerprint, write_json
from mdlib.papers.chest.data import ChestData
from mdlib.study import results, tables

PAPER_COUNTS = {"full training-validation": 86524, "full test": 25596, "training-validation subset": 16944,
                "training subset": 15249, "validation subset": 1695, "test subset": 6112}    # Table 1


def write_subset(table_dir: Path, out: Path, by_patient: bool = False) -> dict[str, Any]:
    """Write Table 1's subset and its three splits to `out`, one image name per line, and the counts to subset.json.

    `by_patient` adds train_patient.txt and val_patient.txt, which share no patient (ours). Returns what subset.json
    holds: `images` as in Table 1, `leaks` (a `splits.Leak` per pair of lists), versions, a fingerprint of the table.
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


def published() -> pd.DataFrame:
    """Table 1 as `mdlib chest subset` counted it on the NIH's label table: paper, ours, difference."""
    return tables.beside_paper(results.read("chest", "subset", needs="images")["images"], PAPER_COUNTS)


def published_leaks() -> pd.DataFrame:
    """Which lists of the paper's subset share patients: counted in the second list of each pair."""
    counted = results.read("chest", "subset", needs="leaks")["leaks"]
    leaks = {name: splits.Leak(**leak) for name, leak in counted.items()}
    return pd.DataFrame({name: {"shared patients": leak.patients, "of": leak.all_patients[1],
                                "their images": leak.images_b, "of images": leak.all_images[1]}
                         for name, leak in leaks.items()}).T


def of_run(data: ChestData) -> pd.DataFrame:
    """Images, patients and patients shared with `train` of the parts of a run."""
    of = {part: data.table.iloc[rows] for part, rows in data.parts.items()}
    return pd.DataFrame({
        part: {"images": len(table), "patients": table["patient"].nunique(),
               "% of all images": round(100 * len(table) / len(data.xrays.table), 1),
               "patients also in train": 0 if part == "train" else
               splits.leaks(data.table, of["train"]["image"].tolist(), table["image"].tolist()).patients}
        for part, table in of.items()}).T.astype({"images": int, "patients": int, "patients also in train": int})
