"""Settings with which a network of the chest chapter is trained in a second."""

TINY = {"networks": ["densenet121", "att_a", "att_b"], "exhibits": ["fig9", "repair"], "epochs": 1, "n_seeds": 2,
        "n_bootstrap": 20, "blocks": [1, 1, 1, 1], "growth": 4, "stem": 8}
