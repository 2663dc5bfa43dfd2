"""Settings with which a network of the MDNet chapter is trained in a second, and the networks that tests share."""

from mdlib.recipes.mdnet.plan import Recognition, Training

TINY = {"rows": ["baseline_en", "split", "split_tuned", "mdnet", "mdnet_original", "mdnet_local"], "etas": [5.0],
        "folds": 2, "side": 64, "clip": 4, "depth": 11, "width": 1, "googlenet_width": 0.07, "embedding": 8,
        "hidden": 12, "epochs": 1, "batch": 12, "draws": 20, "shapes": 50, "recognition_epochs": 2,
        "recognition": ["ecnet_110_4", "resnet_164"]}
TESTED = 50         # drawn shapes that test, in place of 1,000
TRAINED = [*map(Training, TINY["rows"]), Training("mdnet", scaled="up"), Training("ecnet"),
           Training("ecnet", fold=1), Training("mdnet", fold=1),
           *(Recognition(network, "shapes") for network in TINY["recognition"])]
