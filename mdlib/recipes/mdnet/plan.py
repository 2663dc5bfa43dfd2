"""Which trainings the tables and figures of chapter 5 need. What several need is trained once."""

from dataclasses import dataclass, fields

from mdlib.recipes.mdnet.rows import EVERY, IMAGE_MODELS
from mdlib.recipes.mdnet.settings import Settings


@dataclass(frozen=True)
class Training:
    """One training on images and reports, by all that tells it from the others of a run."""

    row: str                    # of rows.EVERY, or an image model that learns the conclusion: ecnet, googlenet
    eta: float = 0.0            # 0: that of the settings; Fig. 7, middle
    scaled: str = "both"        # "up": L_M keeps its whole gradient (section 6)
    fold: int = 0
    seed: int = 0

    @property
    def slug(self) -> str:
        """The name of its folder: row, fold and seed, and whatever else differs from the defaults."""
        other = [f"{field.name}-{getattr(self, field.name)}" for field in fields(self)[1:-2]
                 if getattr(self, field.name) != field.default]
        return "-".join([self.row, *other, f"fold{self.fold}", f"seed{self.seed}"])


@dataclass(frozen=True)
class Recognition:
    """One training of section 5.1: a network of Table 1 on CIFAR, or on drawn shapes."""

    network: str
    data: str
    seed: int = 0

    @property
    def slug(self) -> str:
        """The name of its folder."""
        return f"recognition-{self.data}-{self.network}-seed{self.seed}"


def reports(settings: Settings, folds: list[int], seeds: list[int]) -> list[Training]:
    """The rows of Table 2, and with them Table 3, by fold and seed."""
    return [Training(row, fold=fold, seed=seed) for seed in seeds for fold in folds for row in settings.rows]


def image_models(settings: Settings, folds: list[int], seeds: list[int]) -> list[Training]:
    """The image models that have learned the conclusion alone: pre-trained CNNs, and Fig. 7, right."""
    names = [name for name in IMAGE_MODELS
             if name == "ecnet" or any(EVERY[row].image == name for row in settings.rows)]
    return [Training(name, fold=fold, seed=seed) for seed in seeds for fold in folds for name in names]


def scales(settings: Settings, folds: list[int], seeds: list[int]) -> list[Training]:
    """MDNet by eta (Fig. 7, middle), and without scaling down the gradient of L_M (section 6)."""
    etas = [0.0 if eta == settings.eta else eta for eta in settings.etas]
    return [Training("mdnet", eta, scaled, fold, seed) for seed in seeds for fold in folds
            for eta, scaled in [*((eta, "both") for eta in etas), (0.0, "up")] if settings.etas]


def plan(settings: Settings, folds: list[int], seeds: list[int]) -> list[Training]:
    """All trainings on images and reports, each once; the image models first, for others begin with them."""
    parts = (of(settings, folds, seeds) for of in (image_models, reports, scales))
    return list(dict.fromkeys(training for part in parts for training in part))


def recognition(settings: Settings, data: tuple[str, ...], seeds: list[int]) -> list[Recognition]:
    """The trainings of Table 1, by the collections that are there."""
    return [Recognition(network, of, seed) for seed in seeds for of in data for network in settings.recognition]
