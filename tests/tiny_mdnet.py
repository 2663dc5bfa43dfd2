"""Settings with which a network of the MDNet chapter is trained in a second."""

TINY = {"rows": ["baseline_gn", "baseline_gn_tuned", "baseline_en", "baseline_en_tuned", "split", "split_tuned",
                 "mdnet", "mdnet_original", "mdnet_local"],
        "folds": 2, "side": 64, "clip": 4, "depth": 11, "width": 1, "googlenet_width": 0.07, "embedding": 8,
        "hidden": 12, "epochs": 1, "batch": 12, "etas": [1.0], "draws": 20, "shapes": 200,
        "recognition_epochs": 2, "recognition": ["ecnet_110_4", "resnet_164"]}
