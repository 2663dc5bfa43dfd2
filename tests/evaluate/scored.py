"""Random scores of images, for tests of what is computed from them."""

import numpy as np


def collection(images=300, classes=4, patients=90, seed=0, levels=None):
    """Targets, scores that know something of them, and patients; scores of few `levels` have ties."""
    chance = np.random.default_rng(seed)
    target = (chance.random((images, classes)) < chance.uniform(0.1, 0.6, classes)).astype(float)
    score = chance.normal(size=(images, classes)) + target
    score = score if levels is None else np.round(score * levels)
    return target, score, chance.integers(0, patients, images)
