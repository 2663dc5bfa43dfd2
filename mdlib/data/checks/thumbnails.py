"""Small standardised copies of grey images, to compare their coarse pattern whatever their exposure."""

import numpy as np
from PIL import Image

SIDE = 32


def thumbnails(images: np.ndarray) -> np.ndarray:
    """uint8 (N, H, W) -> (N, 1024), each of mean 0 and variance 1; all 0 of a constant image."""
    size, box = (SIDE, SIDE), Image.Resampling.BOX
    small = np.stack([np.asarray(Image.fromarray(np.ascontiguousarray(image)).resize(size, box)) for image in images])
    return standardised(small.reshape(len(images), -1).astype(np.float64))


def standardised(values: np.ndarray) -> np.ndarray:
    """Each row (N, P) less its mean, divided by its standard deviation; all 0 of a constant row."""
    centred = values - values.mean(axis=1, keepdims=True)
    spread = centred.std(axis=1, keepdims=True)
    return np.divide(centred, spread, out=np.zeros_like(centred), where=spread > 1e-6)


def agreement(thumbs: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Correlation of each thumbnail (N, 1024) with the mean thumbnail (1024,) of a training: (N,)."""
    return (thumbs * standardised(mean[None])).mean(axis=1)
