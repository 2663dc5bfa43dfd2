"""Settings with which a network of the chest paper is trained in a second, and the networks that tests share."""

from mdlib.papers.chest import Run

TINY = {"networks": ["densenet121", "att_a", "att_b"], "exhibits": ["fig9", "repair"], "epochs": 1, "n_seeds": 2,
        "n_bootstrap": 20, "blocks": [1, 1, 1, 1], "growth": 4, "stem": 8, "resize": 72, "crop": 64,
        "output_stride": 32}
IMAGE, NONIMAGE, FOURTEEN = Run("densenet121"), Run("att_a_nonimage"), Run("densenet121", n_classes=14)
ATTENTION = Run("att_a", part="train_val")
TRAINED = [IMAGE, NONIMAGE, FOURTEEN, ATTENTION]
