"""With which numbers: the settings of Li et al., the collections, and the profiles that replace some numbers."""

from dataclasses import dataclass, replace
from typing import Any

from mdlib import runs
from mdlib.errors import SettingsError
from mdlib.recipes.mims.methods import METHODS, POOLINGS

OCT, MMD, TILES = ((2, 8), (3, 10)), ((2, 10), (3, 10)), ((1, 20), (2, 40))    # kernel size, channels; appendix A
ONE_SIZE = "one_size"   # volumes that train only: what they teach is tested on the lesions of Cirrus, of all sizes
# collection: its kernels. Ours are eyes of real scans, and phantom volumes whose lesions are all of about one size
KERNELS = {"cirrus": OCT, "spectralis": OCT, "mmd": MMD, "crc_msi": TILES, "oct_dme": OCT, "oct_dme_matched": OCT,
           ONE_SIZE: OCT}


@dataclass(frozen=True)
class Mims:
    """Li et al., section 3 and supplementary A. An unmarked field is the paper's number; (ours) marks ours."""

    collections: tuple[str, ...] = tuple(KERNELS)       # those of them that data_dir has
    methods: tuple[str, ...] = tuple(METHODS)           # Table 1
    poolings: tuple[str, ...] = tuple(POOLINGS)         # Table 2, of MIMS on Cirrus
    seeds: int = 3                  # three independent runs, section 3.3
    pretrained: str = "imagenet"    # section 3.2; or "shapes": on drawn shapes, or "none" (ours)
    cirrus: tuple[int, int] = (512, 1024)               # height and width in pixels, section 3.1
    spectralis: tuple[int, int] = (497, 768)
    mmd: tuple[int, int] = (600, 900)
    crc_msi: tuple[int, int] = (224, 224)
    oct_dme: tuple[int, int] = (208, 512)               # (ours) as for the matched ones
    cirrus_test: float = 0.33       # section 3.1
    spectralis_test: float = 0.5
    mmd_test: float = 0.3
    folds: int = 3                  # (ours) of oct_dme, so that each eye is tested once
    tuning: float = 0.02            # of the CRC test images, appendix A
    central: int = 30               # slices of a volume, appendix A
    fewest: int = 12                # of them, drawn anew each time
    most: int = 18
    iterations: int = 4500          # on Cirrus; on MMD and oct_dme (ours)
    volumes: int = 1                # an iteration; 2-D images: `batch`
    finetune: int = 200             # iterations on Spectralis, from the network of Cirrus
    epochs: int = 1                 # on the CRC tiles
    batch: int = 32                 # (ours) 2-D images a step
    learning_rate: float = 0.01     # appendix A, on the CRC tiles; on the others (ours)
    last_rate: float = 0.004        # of the last epoch on the tuning tiles
    backbone_rate: float = 0.5      # of the learning rate, for the layers below
    optimizer: str = "sgd"          # or "adam" (ours: the text names none)
    momentum: float = 0.9           # (ours) of sgd
    weight_decay: float = 0.0001    # (ours)
    layers: tuple[int, ...] = (3, 4, 23, 3)             # ResNet-101
    width: int = 64
    strides: tuple[int, ...] = (2, 2, 1, 2, 2, 2)       # of conv1, the max pooling and the four layers
    scratch_layers: tuple[int, ...] = (3, 4, 6, 3)      # ResNet-34
    shapes: int = 0                 # (ours) drawn images to pre-train on, with pretrained = "shapes"
    shapes_epochs: int = 1          # (ours)
    shapes_rate: float = 0.1        # (ours)
    draws: int = 1000               # (ours) bootstrap resamples of patients
    precision: str = "32-true"      # or "bf16-mixed" (ours)
    channels_last: bool = False     # (ours)
    workers: int = 0                # (ours) processes that prepare batches


PROFILES = {
    "paper": Mims(),
    # phantoms in two minutes on two cores: the network that the pages explain
    "embedded": replace(
        Mims(), collections=tuple(name for name in KERNELS if name != ONE_SIZE), methods=("mims",), poolings=("top5",),
        seeds=1, pretrained="shapes", shapes=4000, shapes_epochs=3, shapes_rate=0.01, cirrus=(64, 128),
        spectralis=(64, 96), crc_msi=(56, 56), oct_dme=(64, 160), iterations=300, finetune=60, volumes=2, epochs=4,
        batch=16, optimizer="adam", learning_rate=0.003, last_rate=0.001, layers=(1, 1, 1, 1), width=4,
        strides=(2, 2, 1, 2, 1, 1), scratch_layers=(1, 1, 1, 1), draws=500),
}

# setting: what is allowed, in words, and the test of it
ALLOWED = {
    "collections": (f"some of {', '.join(KERNELS)}", lambda value: value and set(value) <= set(KERNELS)),
    "methods": (f"some of {', '.join(METHODS)}, mims among them",
                lambda value: "mims" in value and set(value) <= set(METHODS)),
    "poolings": (f"some of {', '.join(POOLINGS)}", lambda value: set(value) <= set(POOLINGS)),
    "pretrained": ("imagenet, shapes or none", lambda value: value in ("imagenet", "shapes", "none")),
    "optimizer": ("sgd or adam", lambda value: value in ("sgd", "adam")),
    "precision": ("32-true or bf16-mixed", lambda value: value in ("32-true", "bf16-mixed")),
    "folds": ("2 or more", lambda value: value >= 2),
    "strides": ("six numbers, each 1 or 2", lambda value: len(value) == 6 and set(value) <= {1, 2}),
    **{name: ("four numbers above 0", lambda value: len(value) == 4 and min(value) > 0)
       for name in ("layers", "scratch_layers")},
    **{name: ("height and width in pixels", lambda value: len(value) == 2 and min(value) > 0)
       for name in ("cirrus", "spectralis", "mmd", "crc_msi", "oct_dme")},
    **{name: ("above 0, at most 0.9", lambda value: 0 < value <= 0.9)
       for name in ("cirrus_test", "spectralis_test", "mmd_test", "tuning")},
    **{name: ("0 or more", lambda value: value >= 0) for name in ("workers", "weight_decay", "shapes")},
    "momentum": ("0 or more, below 1", lambda value: 0 <= value < 1),
    **{name: ("above 0", lambda value: value > 0)
       for name in ("seeds", "central", "fewest", "most", "iterations", "volumes", "finetune", "epochs", "batch",
                    "width", "learning_rate", "last_rate", "backbone_rate", "shapes_epochs", "shapes_rate", "draws")},
}


def choose(profile: str, overrides: dict[str, Any]) -> Mims:
    """The settings of a profile with some replaced. Raises SettingsError naming what makes no sense."""
    settings = runs.choose(PROFILES, ALLOWED, profile, overrides)
    if not settings.fewest <= settings.most <= settings.central:
        raise SettingsError(f"fewest = {settings.fewest}, most = {settings.most}, central = {settings.central}",
                            "settings fewest, most, central", "They must not decrease in this order.")
    if settings.channels_last and settings.width < 16:
        # oneDNN issue 6035: on a CPU a strided 1 x 1 convolution of few channels corrupts memory, or its gradients
        raise SettingsError(f"channels_last with width = {settings.width}", "setting channels_last",
                            "Use a width of 16 or more: below, a CPU may compute wrong gradients.")
    if settings.pretrained == "shapes" and settings.shapes == 0:
        raise SettingsError("there is nothing to pre-train on", "setting shapes", "As --set shapes=6000.")
    return settings


def shape_of(settings: Mims, collection: str) -> tuple[int, int]:
    """Height and width of the pictures of a collection as the networks see them."""
    return getattr(settings, "cirrus" if collection == ONE_SIZE else collection.removesuffix("_matched"))
