"""What can be predicted without looking at an image."""

from collections.abc import Sequence

import numpy as np

from mdlib.evaluate import baseline
from mdlib.papers.chest.data import CLASSES
from mdlib.study.study import Study


def metadata_baseline(study: Study, fit: str = "train_val", part: str = "test", names: Sequence[str] = CLASSES
                      ) -> np.ndarray:
    """What view, sex, age and the image's mean and standard deviation alone predict for a part, (1, N, K).

    names: the K classes. A logistic regression fitted to the part `fit` (ours): it sees no content of the image.
    """
    table = study.data.table
    features = baseline.metadata_features(table["view"] == "AP", table["sex"] == "M", table["age"],
                                          *study.data.moments)
    fitted, predicted = study.data.rows(fit), study.data.rows(part)
    targets = study.data.targets[:, [CLASSES.index(name) for name in names]]
    return baseline.metadata_baseline(features[fitted], targets[fitted], features[predicted])[None]
