"""Where a trained network looks: the attention of its words about the test part, computed once, kept with its weights.

    networks/<slug>/attention.npz
"""


import numpy as np
import torch
from torch import Tensor, nn

from mdlib.data import images
from mdlib.files import atomic
from mdlib.models.mdnet import MDNet
from mdlib.models.report_lstm import END
from mdlib.models.reporting import ClassAttention, ReportAttention, ReportWriter, in_batches
from mdlib.recipes.mdnet.chapter import Chapter
from mdlib.recipes.mdnet.people import typical_sentences
from mdlib.recipes.mdnet.plan import Training
from mdlib.recipes.mdnet.trainings import trained
from mdlib.recipes.mdnet.writing import SEEN
from mdlib.recipes.trainings import fabric_of, folder
from mdlib.study.cases import balanced_rows
from mdlib.training import loop

ATTENTION = "attention.npz"
EXPLAINED = ("mdnet", "mdnet_original", "mdnet_local")      # rows whose attention is compared
CLASS = ("logits", "maps", "hflip_maps")
WORDS = ("words", "attention", "hflip", "typical")


def explained(chapter: Chapter) -> list[str]:
    """The rows of this run whose attention is compared; MDNet is always the first."""
    return [name for name in EXPLAINED if name in chapter.settings.rows]


def shown(chapter: Chapter, count: int) -> np.ndarray:
    """The first `count` images of fold 0's test part, a conclusion after the other, high grade first.

    They are not chosen by how their maps look.
    """
    targets, classes = chapter.reports.targets, len(chapter.reports.classes)
    return balanced_rows(np.sort(chapter.part("test")), (targets + 1) % classes, classes, count)


def looks(chapter: Chapter, training: Training) -> dict[str, np.ndarray]:
    """The outputs of `ReportAttention` for the N images of the test part; of an image model those of `ClassAttention`.

    Attention is float32 (N, K, T, P), NaN where there is no word: END has none. The network is trained if need be.
    """
    path = folder(chapter, training) / ATTENTION
    if not path.exists():
        model = trained(chapter, training)
        found = _asked(chapter, training, model)
        with atomic(path) as file, file.open("wb") as stream:
            np.savez_compressed(stream, **{name: values if name == "words" else values.astype(np.float16)
                                           for name, values in found.items()})
    with np.load(path) as kept:
        found = {name: values if name == "words" else values.astype(np.float32) for name, values in kept.items()}
    if "words" in found:
        own, typical = found["words"] > END, typical_words(chapter, training.fold) > END
        for name, there in (("attention", own), ("hflip", own), ("typical", typical)):
            found[name] = np.where(np.broadcast_to(there, found[name].shape[:3])[..., None], found[name], np.nan)
    return found


def _asked(chapter: Chapter, training: Training, model: nn.Module) -> dict[str, np.ndarray]:
    names, settings = CLASS, chapter.settings
    if isinstance(model, MDNet):
        names, typical = WORDS + CLASS, torch.from_numpy(typical_words(chapter, training.fold))
        asked = ReportAttention(model, typical, settings.longest, settings.beam)
    else:
        asked = ClassAttention(model)
    found = loop.predict(fabric_of(chapter), asked, chapter.samples("test", training.fold), batch_size=SEEN,
                         outputs=names)
    return found | ({"words": found["words"].astype(np.int16)} if "words" in found else {})


def typical_words(chapter: Chapter, fold: int) -> np.ndarray:
    """int64 (K, T): of each part the sentence that the training reports of a fold have most often."""
    said = typical_sentences(chapter.reports, chapter.part("train", fold))
    return chapter.vocabulary(fold).encode(said, chapter.settings.longest)


def sentences(chapter: Chapter, fold: int, words: np.ndarray) -> list[list[str]]:
    """Words (N, K, T) as text, a list of K sentences per image."""
    vocabulary = chapter.vocabulary(fold)
    return [[vocabulary.decode(sentence) for sentence in report] for report in words]


def written_of(chapter: Chapter, model: MDNet, fold: int, pictures: np.ndarray) -> list[list[str]]:
    """The K sentences that a network writes about each of some pictures, uint8 (N, side, side, 3)."""
    answer = report_of(chapter, model, pictures)
    return sentences(chapter, fold, answer["words"].numpy())


def report_of(chapter: Chapter, model: MDNet, pictures: np.ndarray) -> dict[str, Tensor]:
    """What `MDNet.report` gives for some pictures, uint8 (N, side, side, 3), on the CPU."""
    writer = ReportWriter(model, chapter.settings.longest, chapter.settings.beam)
    with fabric_of(chapter).autocast():
        return in_batches(writer, as_input(pictures), SEEN)


def as_input(pictures: np.ndarray) -> Tensor:
    """Pictures uint8 (N, H, W, 3) as networks take them, float (N, 3, H, W) in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2).float().div(255)


def seen(chapter: Chapter, picture: np.ndarray) -> np.ndarray:
    """A picture uint8 (H, W, 3) as a network sees it, (side, side, 3)."""
    return images.resized(picture, (chapter.settings.side, chapter.settings.side))
