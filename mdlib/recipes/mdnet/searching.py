"""How much faster reports are scored on images all at once than pair by pair (Zhang et al., section 5.2.3)."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pandas as pd
import torch
from IPython.display import Markdown
from torch import Tensor

from mdlib.data.vocabulary import PAD
from mdlib.models.mdnet import MDNet
from mdlib.models.reporting import report_likelihood
from mdlib.recipes import clock
from mdlib.recipes.mdnet.chapter import Chapter
from mdlib.recipes.mdnet.plan import Training
from mdlib.recipes.mdnet.trainings import trained
from mdlib.recipes.mdnet.writing import SEEN, queries

COUNT = 200         # reports and images, as in the paper's test part
PAIRS = 20          # of a loop over all pairs, this many are run
ROUNDS = 3
OURS, LOOP, SEEN_ONCE = "all at once", "a pair at a time", "a pair at a time, images seen once"


def measured(chapter: Chapter, row: str = "mdnet") -> dict[str, float]:
    """Seconds for reports times images by each way, how often ours is faster, and how far the scores differ at most.

    A loop is timed on PAIRS pairs and its time multiplied; on a CPU with one thread, of which a loop makes no less use.
    Kept beside the run.
    """
    def compute() -> dict[str, float]:
        model = trained(chapter, Training(row, seed=chapter.seed))
        image, words = batch(chapter)
        count, (reports, images) = len(image), pairs(len(image))
        jobs = {OURS: lambda: together(model, image, words),
                LOOP: lambda: one_by_one(model, image, words, reports, images),
                SEEN_ONCE: seen_once(model, image, words, reports, images)}
        with one_thread():
            times, (ours, *others) = clock.rounds(jobs, ROUNDS, chapter.device)
        whole = {name: np.array(of) * (1 if name == OURS else count**2 / len(reports)) for name, of in times.items()}
        apart = max(float(np.abs(other - ours[reports, images]).max()) for other in others)
        return {"images": count, "pairs": len(reports), "apart": apart,
                **{name: float(np.median(of)) for name, of in whole.items()},
                **{f"{name}: times ours": float(np.median(whole[name] / whole[OURS])) for name in (LOOP, SEEN_ONCE)}}
    return chapter.run.remember("search_speed", compute, row=row, device=chapter.device)


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch computes with one thread: of two, each waits for the other wherever a machine has something else to do."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def batch(chapter: Chapter) -> tuple[Tensor, Tensor]:
    """The first images of the collection, float (N, 3, H, W), and their descriptions, int64 (N, K - 1, T)."""
    rows = np.arange(min(COUNT, len(chapter.reports.table)))
    image = torch.from_numpy(np.asarray(chapter.pixels[rows])).permute(0, 3, 1, 2).float().div_(255).contiguous()
    return image.to(chapter.device), queries(chapter, 0, rows, whole=False).to(chapter.device)


def pairs(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Which report meets which image in the pairs that a loop runs, spread over all."""
    chosen = np.linspace(0, count**2 - 1, min(PAIRS, count**2)).astype(int)
    return chosen // count, chosen % count


def together(model: MDNet, image: Tensor, words: Tensor) -> np.ndarray:
    """log p of all reports for all images, (N, M)."""
    return report_likelihood(model, image.split(SEEN), words).cpu().numpy()


@torch.inference_mode()
def one_by_one(model: MDNet, image: Tensor, words: Tensor, reports: np.ndarray, images: np.ndarray) -> np.ndarray:
    """log p of some pairs, each by the whole network, (P,)."""
    return np.array([_summed(model(image[m:m + 1], words[n:n + 1])["words"], words[n:n + 1])
                     for n, m in zip(reports, images, strict=True)])


def seen_once(model: MDNet, image: Tensor, words: Tensor, reports: np.ndarray,
              images: np.ndarray) -> Callable[[], np.ndarray]:
    """The same by the language model alone, a pair at a time: what the image model gives is not timed."""
    with torch.inference_mode():
        parts = [model.see(image[m:m + 1]) for m in images]

    @torch.inference_mode()
    def run() -> np.ndarray:
        return np.array([_summed(model.language(features, words[n:n + 1], c)["logits"], words[n:n + 1])
                         for n, (features, _, c) in zip(reports, parts, strict=True)])
    return run


def _summed(logits: Tensor, words: Tensor) -> float:
    """The log-likelihood of words (1, K, T) by their logits (1, K, T, V); PAD counts nothing."""
    each = logits.log_softmax(dim=-1).gather(-1, words.clamp(min=0)[..., None])[..., 0]
    return float((each * (words != PAD)).sum())


def table(found: dict[str, float]) -> pd.DataFrame:
    """One row per way: seconds for all pairs, and how many times our time that is."""
    return pd.DataFrame({name: {"seconds for all pairs": found[name],
                                "times ours": found.get(f"{name}: times ours", 1.0)}
                         for name in (OURS, LOOP, SEEN_ONCE)}).T.round(2)


def in_words(found: dict[str, float]) -> Markdown:
    """What was timed, and the answer."""
    count, pair, once = found["images"], found[f"{LOOP}: times ours"], found[f"{SEEN_ONCE}: times ours"]
    return Markdown(
        f"{count:,} reports on {count:,} images take {found[OURS]:.2f} s; a loop over the pairs would take "
        f"**{pair:,.0f} times** as long, and {once:,.0f} times where it need not look at an image again. "
        f"{found['pairs']} of its {count**2:,} pairs were run; their scores differ from ours by at most "
        f"{found['apart']:.1e}.")
