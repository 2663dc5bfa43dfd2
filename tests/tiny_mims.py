"""Settings with which a network of the MIMS chapter is trained in a second. All that they plan is trained for tests.

Not channels_last: there torch 2.14 on a CPU (oneDNN, issue 6035) writes outside its memory in the backward pass of a
strided 1 x 1 convolution of fewer than 8 channels, as ResNet-34 of width 4 has.
"""

TINY = {"collections": ["cirrus", "spectralis", "crc_msi", "one_size"], "methods": ["mims", "mims_patchcls"],
        "poolings": ["mean", "top5"], "shapes": 100, "shapes_epochs": 1, "width": 4, "iterations": 4, "finetune": 2,
        "volumes": 2, "batch": 16, "central": 12, "fewest": 3, "most": 5, "tuning": 0.2, "cirrus_test": 0.4,
        "draws": 20, "channels_last": False, "crc_msi": [48, 48]}
