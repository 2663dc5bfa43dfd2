"""Which trainings each exhibit of chapter 1 needs. What several exhibits need is trained once."""

from dataclasses import dataclass, fields, replace
from itertools import product

BASELINES, ATTENTION = ("resnet50", "densenet121"), ("att_a", "att_b")
NONIMAGE = "_nonimage"

# part a network is fitted to: parts it then predicts. Those of the paper; and those of splits.leak_experiment (ours):
# "leaky" has other images of the patients of "held_out", "grouped" as many of patients drawn alike.
PREDICTS = {"train": ("val", "test"), "train_val": ("test",), "leaky": ("held_out",), "grouped": ("held_out",)}


@dataclass(frozen=True)
class Training:
    """One training, by all that tells it from the others of a run. `rate` and `epochs` name the setting that says."""

    network: str
    part: str = "train"
    classes: int = 15               # 14 leaves No Finding out
    rate: str = "learning_rate"     # or "slow_rate"
    epochs: str = "epochs"          # or "few_epochs", "leak_epochs"
    normalise: str = "softmax"      # eq. 4, or "sigmoid": the repair (ours)
    split: int = 0
    seed: int = 0

    @property
    def body(self) -> str:
        """The network without its non-image branch."""
        return self.network.removesuffix(NONIMAGE)

    @property
    def slug(self) -> str:
        """The name of its folder: network, part and seed, and whatever else differs from the defaults."""
        other = [f"{field.name}-{getattr(self, field.name)}" for field in fields(self)[2:-1]
                 if getattr(self, field.name) != field.default]
        return "-".join([self.network, self.part, *other, f"seed{self.seed}"])


def _each(networks: tuple[str, ...], **options: tuple) -> tuple[Training, ...]:
    return tuple(Training(network, **dict(zip(options, values, strict=True)))
                 for network in networks for values in product(*options.values()))


# Sections 2.6 and 2.7: figures on the validation part are of networks fitted to "train", those on the test part of
# networks fitted to "train_val". The text does not say on which of them Fig. 11 is; we show the test part.
EXHIBITS = {
    "fig6": _each(BASELINES, part=("train", "train_val"), classes=(15, 14), rate=("slow_rate",),
                  epochs=("few_epochs",)),
    "fig7": _each(BASELINES + ATTENTION, rate=("learning_rate", "slow_rate")),
    "fig8": _each(BASELINES, part=("train_val",)),
    "fig9": _each(BASELINES + ATTENTION, part=("train", "train_val")),
    "fig11": _each(("densenet121", "densenet121_nonimage", "att_a", "att_a_nonimage"), part=("train_val",)),
    "repair": _each(ATTENTION, part=("train_val",), normalise=("softmax", "sigmoid")),
    "leak": _each(("densenet121",), part=("leaky", "grouped"), epochs=("epochs", "leak_epochs")),
}


def exhibit(name: str, networks: tuple[str, ...]) -> list[Training]:
    """The trainings of one exhibit, of the first split and seed 0, as far as `networks` are wanted."""
    return [training for training in EXHIBITS[name] if training.body in networks]


def plan(exhibits: tuple[str, ...], networks: tuple[str, ...], splits: int, seeds: list[int]) -> list[Training]:
    """All trainings of some exhibits, each once, for every seed, and every split where the split matters."""
    once = dict.fromkeys(training for name in exhibits for training in exhibit(name, networks))
    return [replace(training, split=split, seed=seed) for seed in seeds for split in range(splits) for training in once
            if split == 0 or training.part != "train_val"]
