"""Baselines from metadata, intensity or colour alone: what a network has to beat to show that it uses image content."""

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mdlib.errors import SettingsError


def metadata_features(view: np.ndarray, sex: np.ndarray, age: np.ndarray, mean: np.ndarray, std: np.ndarray
                      ) -> np.ndarray:
    """Features of each image, (N, 5) (ours): view and sex as 0 / 1, age, mean and standard deviation of the pixels.

    All arguments (N,), in any unit: the baseline standardises. NaN where an age is unknown. Raises SettingsError for
    other shapes.
    """
    columns = [np.asarray(column, float) for column in (view, sex, age, mean, std)]
    if len({column.shape for column in columns}) > 1 or columns[0].ndim != 1:
        raise SettingsError(f"columns of shapes {[column.shape for column in columns]}", "view, sex, age, mean, std",
                            "Give one number per image in each.")
    return np.column_stack(columns)


def metadata_baseline(train_x: np.ndarray, train_y: np.ndarray, test_x: np.ndarray) -> np.ndarray:
    """Probabilities (M, K) by logistic regression on standardised features, one model per class (ours).

    train_x (N, F), test_x (M, F): NaN becomes the column's mean over train_x. train_y (N, K): 0, 1, or NaN where
    unknown, which is left out. A class with only one outcome in training is predicted as that outcome; 0.5 without any.
    """
    middle = np.nan_to_num(np.nanmean(train_x, axis=0))
    train_x, test_x = (np.where(np.isnan(x), middle, x) for x in (train_x, test_x))
    return np.column_stack([_one_class(train_x, truth, test_x) for truth in np.asarray(train_y, float).T])


def _one_class(train_x: np.ndarray, truth: np.ndarray, test_x: np.ndarray) -> np.ndarray:
    known = ~np.isnan(truth)
    outcomes = np.unique(truth[known])
    if len(outcomes) < 2:
        return np.full(len(test_x), outcomes[0] if len(outcomes) else 0.5)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    return model.fit(train_x[known], truth[known]).predict_proba(test_x)[:, 1]


def colour_features(images: np.ndarray) -> np.ndarray:
    """Mean and spread of each channel, (N, 6) of images (N, H, W, 3), or (N, 2) of grey ones (N, H, W) (ours)."""
    pixels = images.reshape(len(images), images.shape[1] * images.shape[2], -1)
    return np.concatenate([pixels.mean(axis=1), pixels.std(axis=1)], axis=1)


def class_baseline(train_x: np.ndarray, train_class: np.ndarray, test_x: np.ndarray, n_classes: int) -> np.ndarray:
    """Probabilities (M, n_classes) by one logistic regression on standardised features, classes weighed alike (ours).

    train_x (N, F), train_class int (N,), test_x (M, F). 0 for a class that training does not have.
    """
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000, class_weight="balanced"))
    found = np.zeros((len(test_x), n_classes))
    found[:, np.unique(train_class)] = model.fit(train_x, train_class).predict_proba(test_x)
    return found
