"""The published bladder reports (text without images): what is counted in them, and kept as data/results/mdnet.

The figures hold numbers and names of parts and classes only; no text of a report.
"""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from IPython.display import Markdown

from mdlib import reproducible, runs
from mdlib.data import bladder_reports, splits
from mdlib.data.reports import Reports
from mdlib.data.vocabulary import Vocabulary, longer
from mdlib.files import fingerprint, write_json
from mdlib.recipes.mdnet import people
from mdlib.recipes.mdnet.settings import Settings
from mdlib.study import results as keeping

NAME = "bladder_reports"
FEWEST, MOST = 30, 59       # words of a report, section 5.2


def keep(folder: Path) -> Path:
    """Count in the reports of `folder` and write data/results/mdnet/bladder_reports.json."""
    path = keeping.folder("mdnet") / f"{NAME}.json"
    write_json(path, runs.without_nan(figures(folder)))
    return path


def figures(folder: Path) -> dict[str, Any]:
    """What is counted in the published reports: how many, how they split, are written and agree, fold by fold."""
    reports, failed = bladder_reports.read(folder)
    counts = np.bincount(reports.targets, minlength=len(reports.classes))
    lengths = np.array([len(text.split()) for row in range(len(reports.texts)) for text in reports.full(row)])
    complete = sum(all(report.values()) for texts in reports.texts for report in texts)
    return {"counts": {"images": len(reports.texts), "cases": int(reports.table["patient"].nunique()),
                       "reports": len(lengths), "fail to split": len(failed), "with all six parts": complete,
                       "shortest": int(lengths.min()), "longest": int(lengths.max()),
                       "of 30 to 59 words": int(((lengths >= FEWEST) & (lengths <= MOST)).sum())},
            "classes": dict(zip(reports.classes, counts.tolist(), strict=True)),
            "parts": keeping.records(bladder_reports.statistics(reports).reset_index()),
            "folds": [in_fold(reports, train, test) for train, test in folds(reports)],
            "source": fingerprint(Path(folder) / f"{NAME}.json"), "code": reproducible.code_version(),
            "versions": reproducible.versions()}


def folds(reports: Reports, count: int = 5, seed: int = 0) -> list[tuple[np.ndarray, np.ndarray]]:
    """Rows of the training and the test part of each fold, by case. A class that is rarer than that is let pass."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        return splits.folds(reports.table.assign(label=reports.table["conclusion"]), count, seed)


def in_fold(reports: Reports, train: np.ndarray, test: np.ndarray) -> dict[str, Any]:
    """Of one fold: images, classes of the test part, words, what is cut (settings of the paper), and who agrees."""
    vocabulary = Vocabulary.of(text for row in train for text in reports.full(row))
    whole = [text for row in test for text in reports.full(row)]
    parts = [text for row in test for report in reports.texts[row] for text in report.values()]
    return {"images": len(test), "cases": int(reports.table["patient"].iloc[test].nunique()),
            "classes": np.bincount(reports.targets[test], minlength=len(reports.classes)).tolist(),
            "words known": len(vocabulary.words),
            "unknown in test": len({word for text in whole for word in vocabulary.unknown(text)}),
            "sentences cut": longer(parts, Settings().longest),
            "whole reports cut": longer(whole, Settings().longest_report),
            "agreement": people.agreement(reports, train, test)}


def kept() -> dict[str, Any]:
    """The figures that are kept. Raises DataError where there are none."""
    return keeping.read("mdnet", NAME, needs="folds")




def counts() -> pd.DataFrame:
    """How many images, reports and classes there are, and how the reports split, beside section 5.2."""
    of = kept()
    ours = of["counts"] | {f"images: {name}": count for name, count in of["classes"].items()}
    paper = {"images": 1000, "cases": 32, "reports": 5000, "shortest": FEWEST, "longest": MOST}
    return pd.DataFrame({"paper": pd.Series(paper), "published": pd.Series(ours)}).reindex(ours).astype("Int64")


def parts() -> pd.DataFrame:
    """How the sentences of each part are written: `bladder_reports.statistics` of the published reports."""
    return pd.DataFrame(kept()["parts"]).set_index("part")


def words() -> pd.DataFrame:
    """One row per fold: its test part, words of the training reports, unknown ones, and what is cut."""
    table = pd.DataFrame(kept()["folds"])
    table = table.drop(columns="agreement").assign(classes=table["classes"].map(lambda of: ", ".join(map(str, of))))
    return table.set_axis([f"fold {fold}" for fold in range(len(table))])


def agreement() -> pd.DataFrame:
    """How far the published reports of an image agree, beside one report for all images and the paper's MDNet."""
    return people.table([fold["agreement"] for fold in kept()["folds"]])


def agreement_said() -> Markdown:
    """The same in words."""
    return people.said([fold["agreement"] for fold in kept()["folds"]])


def told() -> Markdown:
    """How much the collection is what section 5.2 describes, in words."""
    of, classes = kept()["counts"], kept()["classes"]
    rarest = min(classes, key=classes.get)
    without = sum(fold["classes"][list(classes).index(rarest)] == 0 for fold in kept()["folds"])
    return Markdown(
        f"{of['fail to split']:,} of the {of['reports']:,} reports fail to split. {of['with all six parts']:,} of them "
        f"({of['with all six parts'] / of['reports']:.0%}) speak of all six parts, and {of['of 30 to 59 words']:,} "
        f"({of['of 30 to 59 words'] / of['reports']:.0%}) have the 30 to 59 words of section 5.2. Only "
        f"{classes[rarest]} of {of['images']:,} images are {rarest}; by case, {without} of {len(kept()['folds'])} test "
        "parts have none.")
