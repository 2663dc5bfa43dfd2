"""How far people agree in their reports, and what a report earns that saw no image: ends of a caption score (ours).

Both are scored as a model would be: on the images of a test part, against four of the five reports of each.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pandas as pd
from IPython.display import Markdown

from mdlib.data.reports import Reports
from mdlib.evaluate import captions
from mdlib.recipes.mdnet.chapter import Chapter

PEOPLE, BLIND = "people", "one report for all images"
# Table 2, last row: MDNet against five references
PAPER = dict(zip(captions.METRICS, (91.2, 82.9, 75.0, 67.7, 39.6, 70.1, 2.04), strict=True))


def typical(reports: Reports, rows: np.ndarray) -> str:
    """The most frequent sentence of each part in the reports of some images, as one report."""
    return " ".join(filter(None, typical_sentences(reports, rows)))


def typical_sentences(reports: Reports, rows: np.ndarray) -> list[str]:
    """The most frequent sentence of each part in the reports of some images; empty where none speaks of it."""
    said = (Counter(report[part] for row in rows for report in reports.texts[row] if report[part])
            for part in reports.parts)
    return [min(of, key=lambda text: (-of[text], text), default="") for of in said]


def agreement(reports: Reports, train: np.ndarray, test: np.ndarray) -> dict[str, dict[str, float]]:
    """captions.METRICS in the test part of each report against the others, and of the `typical` one of training."""
    texts = [reports.full(row) for row in test]
    return {PEOPLE: captions.against_others(texts),
            BLIND: captions.against_others(texts, [typical(reports, train)] * len(test))}


def in_fold(chapter: Chapter, fold: int) -> dict[str, dict[str, float]]:
    """`agreement` in a fold of a run, kept beside it; METEOR is NaN where there is no Java."""
    java = captions.java_found()
    found = chapter.run.remember(f"people-fold{fold}", lambda: agreement(
        chapter.reports, chapter.part("train", fold), chapter.part("test", fold)), java=java)
    return {who: {name: np.nan if value is None else value for name, value in scores.items()}
            for who, scores in found.items()}


def table(folds: Sequence[dict[str, dict[str, float]]]) -> pd.DataFrame:
    """One row per writer of `agreement`, beside the paper's MDNet: each metric, of several folds mean ± deviation."""
    found = {who: {name: _spread(name, [float(np.nan if of[who][name] is None else of[who][name]) for of in folds])
                   for name in captions.METRICS} for who in (PEOPLE, BLIND)}
    found["MDNet, Table 2 (five references)"] = {name: captions.printed(name, PAPER[name]) for name in captions.METRICS}
    return pd.DataFrame(found).T[list(captions.METRICS)]


def said(folds: Sequence[dict[str, dict[str, float]]]) -> Markdown:
    """How much of what people reach a report reaches that saw no image, in words."""
    mean = {who: {name: float(np.mean([of[who][name] for of in folds])) for name in ("BLEU-1", "BLEU-4", "CIDEr")}
            for who in (PEOPLE, BLIND)}
    parts = [f"{captions.printed(name, value)} of {captions.printed(name, mean[PEOPLE][name])} in {name}"
             for name, value in mean[BLIND].items()]
    return Markdown(f"A report that saw no image reaches {parts[0]}, {parts[1]}, and {parts[2]}. Only what lies "
                    "between the two rows can tell how well a network looks.")


def _spread(name: str, values: list[float]) -> str:
    mean = captions.printed(name, float(np.mean(values)))
    if len(values) == 1 or np.isnan(values).any():
        return mean
    return f"{mean} ± {captions.printed(name, float(np.std(values, ddof=1)))}"
