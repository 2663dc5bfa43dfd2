"""Batches of images with the words of their reports, for training and prediction."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from mdlib.data import augment
from mdlib.data.reports import Reports
from mdlib.data.samples import Mapped
from mdlib.data.vocabulary import Vocabulary
from mdlib.errors import DataError


class ReportSamples(Mapped):
    """Some images of a collection with what is written about them (Zhang et al., sections 4.1 and 5.2).

    A batch of B: image float32 (B, 3, H, W) in [0, 1]; words int64 (B, K, T), the ids of K sentences, each with END
    after it and PAD behind; target int64 (B,), the class; index int64 (B,), the row in the collection's table. All
    sentences of an image are of one report: in training one of its R, drawn anew each time, else its first (the
    paper does not say how five reports meet one image: ours). In training images are also cropped by `pad` pixels,
    mirrored and turned (`mdlib.data.augment`); draws come from torch's global generator.

    `pixels` uint8 (N, H, W, 3), usually `Reports.pixels`, `targets` (N,) and `words` (N, R, K, T), as `words_of` gives
    it, have one row per row of the table. Give `collate` to the DataLoader. Only the batch is in memory.
    Raises DataError when lengths or rows do not fit.
    """

    def __init__(self, pixels: np.ndarray, rows: Sequence[int] | np.ndarray, targets: np.ndarray, words: np.ndarray,
                 training: bool, pad: int):
        lengths = {"pixels": len(pixels), "targets": len(targets), "words": len(words)}
        if len(set(lengths.values())) > 1:
            raise DataError(f"{lengths} are not of one length", "parameters of ReportSamples",
                            "Give one row per table row.")
        super().__init__(pixels, rows, len(pixels))
        self.targets, self.words, self.training, self.pad = targets, words, training, pad

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {name: value[0] for name, value in self.__getitems__([index]).items()}

    def __getitems__(self, indices: Sequence[int]) -> dict[str, Tensor]:
        rows = self.rows[np.asarray(indices, dtype=np.int64)]
        image = torch.from_numpy(np.asarray(self.pixels[rows])).permute(0, 3, 1, 2).float().div_(255).contiguous()
        report = np.zeros(len(rows), dtype=np.int64)
        if self.training:
            image = augment.quarter_turns(augment.hflip(augment.crop(image, self.pad)))
            report = torch.randint(self.words.shape[1], (len(rows),)).numpy()
        return {"image": image, "words": torch.from_numpy(self.words[rows, report]),
                "target": torch.from_numpy(self.targets[rows]), "index": torch.from_numpy(rows)}


def words_of(reports: Reports, vocabulary: Vocabulary, longest: int, whole: bool = False) -> np.ndarray:
    """int64 (N, R, K, longest + 1): the ids of each sentence, by image, report and part, as `Vocabulary.encode`.

    With `whole` K is 1, and the sentence is the full report, as the baselines of Table 2 write it.
    """
    sentences = [[[text] for text in reports.full(row)] if whole else
                 [[report[part] for part in reports.parts] for report in reports.texts[row]]
                 for row in range(len(reports.texts))]
    shape = np.shape(sentences)
    return vocabulary.encode(np.ravel(sentences).tolist(), longest).reshape(*shape, longest + 1)
