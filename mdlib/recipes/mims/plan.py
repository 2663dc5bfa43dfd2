"""Which trainings the tables of chapter 2 need. What several need is trained once."""

from dataclasses import dataclass, fields

from mdlib.recipes.mims.methods import METHODS
from mdlib.recipes.mims.settings import ONE_SIZE, Mims

REAL = ("oct_dme", "oct_dme_matched")       # scans of eyes, tested by folds; the second without the confound
THREE_D = ("cirrus", "spectralis")
SCALES = ("mi_pre_conv", "mims_noresizing", "mims")             # compared after training on one size (ours)
MATTER = ("mi_pre", "mi_pre_conv", "mims_noresizing", "mims")   # compared on the real scans (ours)


@dataclass(frozen=True)
class Training:
    """One training, by all that tells it from the others of a run."""

    method: str
    collection: str
    pooling: str = "top5"       # Table 2
    fold: int = 0               # of the real scans
    seed: int = 0

    @property
    def slug(self) -> str:
        """The name of its folder: method, collection and seed, and whatever else differs from the defaults."""
        other = [f"{field.name}-{getattr(self, field.name)}" for field in fields(self)[2:-1]
                 if getattr(self, field.name) != field.default]
        return "-".join([self.method, self.collection, *other, f"seed{self.seed}"])


def table_1(settings: Mims, collections: tuple[str, ...], seeds: list[int]) -> list[Training]:
    """Methods by collection; slices are classified in volumes only."""
    return [Training(method, collection, seed=seed) for seed in seeds for collection in collections
            for method in settings.methods
            if collection not in (*REAL, ONE_SIZE) and (collection in THREE_D or not METHODS[method].slice_by_slice)]


def table_2(settings: Mims, collections: tuple[str, ...], seeds: list[int]) -> list[Training]:
    """MIMS by pooling, on Cirrus."""
    return [Training("mims", "cirrus", pooling, seed=seed) for seed in seeds for pooling in settings.poolings
            if "cirrus" in collections]


def real(settings: Mims, collections: tuple[str, ...], seeds: list[int]) -> list[Training]:
    """The methods that matter most on real scans, each fold tested once (ours)."""
    return [Training(method, collection, fold=fold, seed=seed) for seed in seeds for collection in REAL
            for method in MATTER for fold in range(settings.folds)
            if collection in collections and method in settings.methods]


def sizes(settings: Mims, collections: tuple[str, ...], seeds: list[int]) -> list[Training]:
    """The methods that tell what scales are for, trained on lesions of about one size (ours)."""
    return [Training(method, ONE_SIZE, seed=seed) for seed in seeds for method in SCALES
            if {ONE_SIZE, "cirrus"} <= set(collections) and method in settings.methods]


def plan(settings: Mims, collections: tuple[str, ...], seeds: list[int]) -> list[Training]:
    """All trainings of a run, each once."""
    parts = (table(settings, collections, seeds) for table in (table_1, table_2, sizes, real))
    return list(dict.fromkeys(training for part in parts for training in part))
