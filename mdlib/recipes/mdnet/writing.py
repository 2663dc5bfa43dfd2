"""What a trained network writes about images it has not seen, and how well each of their reports fits each image."""

import numpy as np
import pandas as pd
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from mdlib.data.vocabulary import END, PAD
from mdlib.models.mdnet import MDNet
from mdlib.models.reporting import ReportWriter, report_likelihood
from mdlib.progress import track
from mdlib.recipes.mdnet.chapter import Chapter
from mdlib.recipes.mdnet.plan import Training
from mdlib.recipes.mdnet.rows import EVERY
from mdlib.training import loop

SEEN = 32       # images per batch


def written(chapter: Chapter, training: Training, model: nn.Module,
            fabric: Fabric) -> tuple[pd.DataFrame, np.ndarray | None]:
    """One row per image of the test part: row in the collection, guess (the class its image model says), and report.

    A report is one column per part, of a baseline one column `report`. Beside it, of what writes, (N, N): the
    log-likelihood of the first report of each test image, its conclusion left out, for each test image (section
    5.2.3). An image model writes nothing.
    """
    samples = chapter.samples("test", training.fold)
    if not isinstance(model, MDNet):
        logits = loop.predict(fabric, model, samples, batch_size=SEEN)["logits"]
        return pd.DataFrame({"row": samples.rows, "guess": logits.argmax(axis=1)}), None
    settings, whole = chapter.settings, not EVERY[training.row].split
    longest = settings.longest_report if whole else settings.longest
    answer = loop.predict(fabric, ReportWriter(model, longest, settings.beam), samples, batch_size=SEEN,
                          outputs=("words", "logits"))
    vocabulary, columns = chapter.vocabulary(training.fold), ("report",) if whole else chapter.reports.parts
    texts = [[vocabulary.decode(sentence) for sentence in report] for report in answer["words"].astype(np.int64)]
    table = pd.DataFrame(texts, columns=list(columns))
    table = pd.concat([pd.DataFrame({"row": samples.rows, "guess": answer["logits"].argmax(axis=1)}), table], axis=1)
    return table, fits(chapter, training, model, fabric, samples.rows)


def queries(chapter: Chapter, fold: int, rows: np.ndarray, whole: bool) -> Tensor:
    """int64 (N, K, T): the descriptions in the first report of each image, without the conclusion (section 5.2.3).

    A baseline is asked for the words of all five one after the other, without the end of the sentence.
    """
    reports, vocabulary, settings = chapter.reports, chapter.vocabulary(fold), chapter.settings
    described = [[reports.texts[row][0][part] for part in reports.parts[:-1]] for row in rows]
    if whole:
        ids = vocabulary.encode([" ".join(filter(None, parts)) for parts in described], settings.longest_report)
        return torch.from_numpy(np.where(ids == END, PAD, ids))[:, None]
    ids = vocabulary.encode([sentence for parts in described for sentence in parts], settings.longest)
    return torch.from_numpy(ids.reshape(len(rows), len(reports.parts) - 1, -1))


def fits(chapter: Chapter, training: Training, model: MDNet, fabric: Fabric, rows: np.ndarray) -> np.ndarray:
    """(N, M): how likely the descriptions of each image in `rows` are for each of the images that are searched."""
    words = queries(chapter, training.fold, rows, not EVERY[training.row].split)
    return likelihood(chapter, model, fabric, words, rows[:chapter.settings.pool or None], training.fold)


def likelihood(chapter: Chapter, model: MDNet, fabric: Fabric, words: Tensor, pool: np.ndarray,
               fold: int) -> np.ndarray:
    """(N, M): log-likelihood of words (N, K, T) for each image in the rows `pool` of the collection."""
    samples = chapter.samples("test", fold)
    places = np.flatnonzero(np.isin(samples.rows, pool))
    model.to(fabric.device).eval()
    starts = track(range(0, len(places), SEEN), "reading reports", disable=not fabric.is_global_zero)
    batches = (samples.__getitems__(places[start:start + SEEN])["image"].to(fabric.device) for start in starts)
    with fabric.autocast():
        return report_likelihood(model, batches, words).float().cpu().numpy()
