"""A trained network as a folder: weights, card, reference statistics. (Being written.)"""


def write(study, run) -> None:
    """Write the card of a finished training beside its checkpoint."""
