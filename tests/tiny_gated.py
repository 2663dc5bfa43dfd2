"""Settings with which a network of the gated chapter is trained in a second, and the networks that tests share.

Not channels_last, as in tiny_mims.
"""

from mdlib.papers.gated import Run

TINY = {"exhibits": ["table1", "leak"], "thumbnail": [48, 64], "crop": 32, "width": 4, "instance_width": 4,
        "epochs": 1, "demo_epochs": 1, "n_bootstrap": 20, "channels_last": False}
OURS, SE, THUMBNAIL, TRUTH = (Run("gated"), Run("se"), Run("gated", fusion="global"), Run("gated", sampler="truth"))
WHOLE, TISSUE = Run("resnet50"), Run("gated", collection="breast")
TRAINED = [OURS, SE, THUMBNAIL, TRUTH, WHOLE, TISSUE]
