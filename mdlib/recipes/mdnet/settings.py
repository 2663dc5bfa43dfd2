"""With which numbers: the settings of Zhang et al., and the profiles that replace some of them."""

from dataclasses import dataclass, replace
from typing import Any

from mdlib import runs
from mdlib.errors import SettingsError
from mdlib.recipes.mdnet.rows import EVERY
from mdlib.training.schedules import BETAS

RECOGNISED = ("ecnet_110_4", "ecnet_56_12", "wrn_40_4", "resnet_164")    # Table 1


@dataclass(frozen=True)
class Settings:
    """Zhang et al., sections 4 and 5. An unmarked field is the paper's number; (ours) marks ours.

    Appendix B, with the details of training, is not at hand: what it may say is marked (ours) as well.
    """

    rows: tuple[str, ...] = tuple(EVERY)    # Table 2, and (ours) two other attentions
    folds: int = 5                  # section 5.1, by patient
    seeds: int = 1                  # trainings of each row and fold
    side: int = 224                 # pixels, section 5.2
    clip: int = 16                  # (ours) pixels by which an image is moved at most; "clip, mirror and rotation"
    depth: int = 38                 # EcNet-38-8
    width: int = 8
    stem: str = "bcidr"             # (ours) 7 x 7, stride 4: maps of 14 x 14 from 224 pixels (the authors' later code)
    googlenet_width: float = 1.0
    embedding: int = 128            # (ours) as in the authors' later code, and the two below
    hidden: int = 256
    dropout: float = 0.5
    longest: int = 15               # (ours) words of a sentence; longer ones are cut (later code)
    longest_report: int = 60        # (ours) words of a whole report, which a baseline writes; they have 30 to 59
    beam: int = 1                   # (ours) 1: the most probable word each time
    class_of_c: str = "predicted"   # (ours) or "true", in training: the class of w^c in eq. 9
    eta: float = 5.0                # section 6
    etas: tuple[float, ...] = (0.1, 1.0, 5.0, 25.0)     # (ours) compared in Fig. 7, whose axis is a picture
    beta: str = "logistic"          # (ours) "a sigmoid-like function"; or "ganin", "constant"
    epochs: int = 100               # (ours) of an image model, of a language model after it, and of MDNet, both at once
    batch: int = 16                 # (ours) images a step
    image_rate: float = 0.001       # (ours)
    report_rate: float = 0.001      # (ours)
    tuned_rate: float = 0.1         # (ours) of image_rate, when an image model is fine-tuned
    falls: tuple[float, ...] = (0.6, 0.85)  # (ours) shares of a training at which its rates fall to a fifth
    weight_decay: float = 0.0005    # (ours) of the image model, apart from its gradients; 5e-4 is that of the log
    clip_gradient: float = 0.1      # (ours) largest size of one gradient of the language model (later code)
    pool: int = 0                   # (ours) images that are searched; 0: all of the test part
    recognition: tuple[str, ...] = RECOGNISED
    recognition_data: tuple[str, ...] = ("cifar10", "cifar100")
    recognition_epochs: int = 200   # section 5.1, as WRN: batch 128, 0.1, x 0.2 after 30, 60 and 80 %
    recognition_batch: int = 128
    recognition_rate: float = 0.1
    recognition_small: bool = False         # (ours) the same kinds of networks, 11 or 10 layers
    shapes: int = 0                 # (ours) drawn images instead of CIFAR, and in training that many
    draws: int = 1000               # (ours) bootstrap resamples of patients
    precision: str = "32-true"      # or "bf16-mixed" (ours)
    channels_last: bool = False     # (ours)
    compiled: bool = False          # (ours) torch.compile, on a GPU
    workers: int = 0                # (ours) processes that prepare batches


PROFILES = {
    "paper": replace(Settings(), precision="bf16-mixed", channels_last=True, compiled=True, workers=4),
    # phantoms in two minutes on two cores: the networks that the pages explain
    "embedded": replace(
        Settings(), rows=("mdnet", "mdnet_original", "mdnet_local"), side=96, clip=6, depth=20, width=2,
        googlenet_width=0.125, embedding=64, hidden=128, dropout=0.2, etas=(), epochs=8, image_rate=0.003,
        report_rate=0.003, weight_decay=0.0001, clip_gradient=1.0, recognition_data=("shapes",), recognition=(),
        recognition_epochs=8, recognition_batch=32, recognition_rate=0.05, recognition_small=True, shapes=6000,
        draws=500),
}

# setting: what is allowed, in words, and the test of it
ALLOWED = {
    "rows": (f"some of {', '.join(EVERY)}, mdnet among them",
             lambda value: "mdnet" in value and set(value) <= set(EVERY)),
    "recognition": (f"some of {', '.join(RECOGNISED)}", lambda value: set(value) <= set(RECOGNISED)),
    "recognition_data": ("some of cifar10, cifar100, shapes",
                         lambda value: set(value) <= {"cifar10", "cifar100", "shapes"}),
    "stem": ("bcidr or cifar", lambda value: value in ("bcidr", "cifar")),
    "beta": (f"{', '.join(BETAS)} or constant", lambda value: value in (*BETAS, "constant")),
    "class_of_c": ("predicted or true", lambda value: value in ("predicted", "true")),
    "precision": ("32-true or bf16-mixed", lambda value: value in ("32-true", "bf16-mixed")),
    "folds": ("2 or more", lambda value: value >= 2),
    "side": ("32 or more", lambda value: value >= 32),
    "dropout": ("0 or more, below 1", lambda value: 0 <= value < 1),
    "depth": ("9 n + 2, as 20, 38, 56", lambda value: value >= 11 and value % 9 == 2),
    "falls": ("shares, each above 0 and below 1", lambda value: all(0 < share < 1 for share in value)),
    "etas": ("numbers above 0", lambda value: all(eta > 0 for eta in value)),
    **{name: ("0 or more", lambda value: value >= 0)
       for name in ("clip", "workers", "weight_decay", "shapes", "pool")},
    **{name: ("above 0", lambda value: value > 0)
       for name in ("seeds", "width", "googlenet_width", "embedding", "hidden", "longest", "longest_report", "beam",
                    "eta", "epochs", "batch", "image_rate", "report_rate", "tuned_rate",
                    "clip_gradient", "recognition_epochs", "recognition_batch", "recognition_rate", "draws")},
}


def choose(profile: str, overrides: dict[str, Any]) -> Settings:
    """The settings of a profile with some replaced. Raises SettingsError naming what makes no sense."""
    settings = runs.choose(PROFILES, ALLOWED, profile, overrides)
    if settings.clip >= settings.side:
        raise SettingsError(f"clip = {settings.clip} of {settings.side} pixels", "setting clip",
                            "An image is moved by less than its side.")
    if settings.recognition and "shapes" in settings.recognition_data and settings.shapes == 0:
        raise SettingsError("there are no shapes to learn from", "setting shapes", "As --set shapes=4000.")
    if settings.channels_last and settings.width * 16 < 64:
        # oneDNN issue 6035: on a CPU a strided 1 x 1 convolution of few channels corrupts memory, or its gradients
        raise SettingsError(f"channels_last with width = {settings.width}", "setting channels_last",
                            "Use a width of 4 or more: below, a CPU may compute wrong gradients.")
    return settings
