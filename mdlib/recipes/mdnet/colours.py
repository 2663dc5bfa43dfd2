"""What the colours of an image say about its conclusion: what a network must beat that sees shapes (ours)."""

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mdlib.recipes.mdnet.chapter import Chapter

BLOCK = 256     # images at a time


def numbers(chapter: Chapter) -> np.ndarray:
    """Mean and standard deviation of red, green and blue in each image of the collection, (N, 6), in [0, 1]."""
    def compute() -> list[list[float]]:
        found = []
        for start in range(0, len(chapter.pixels), BLOCK):
            block = chapter.pixels[start:start + BLOCK] / np.float32(255)
            found += np.hstack([block.mean(axis=(1, 2)), block.std(axis=(1, 2))]).tolist()
        return found
    return np.array(chapter.run.remember("colours", compute, side=chapter.settings.side))


def colours(chapter: Chapter, fold: int = 0) -> np.ndarray:
    """The class that `numbers` suggest for each image of the test part of a fold, int64 (N,).

    By logistic regression over the classes on standardised numbers of the training part (ours).
    """
    of, train = numbers(chapter), chapter.part("train", fold)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    return model.fit(of[train], chapter.reports.targets[train]).predict(of[chapter.part("test", fold)])


def majority(chapter: Chapter, fold: int = 0) -> np.ndarray:
    """The most frequent class of the training part, for each image of the test part of a fold, int64 (N,)."""
    most = np.bincount(chapter.reports.targets[chapter.part("train", fold)]).argmax()
    return np.full(len(chapter.part("test", fold)), most)
