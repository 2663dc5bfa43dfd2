"""Chapter 1, Tan et al.: DenseNet-121 with two attention variants on ChestX-ray14. Settings, and the joining of layers."""

import dataclasses
import functools
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from mdlib import reproducible, runs
from mdlib.data import cache, chestxray14, samples, splits
from mdlib.data.phantoms import chest as phantom_chest
from mdlib.errors import SettingsError
from mdlib.evaluate import baseline, classification
from mdlib.files import atomic, fingerprint
from mdlib.models.attention_densenet import AttentionDenseNet
from mdlib.models.backbones import densenet121, resnet50
from mdlib.training import loop
from mdlib.training.losses import binary_cross_entropy


@dataclass(frozen=True)
class Chest:
    """Tan et al., sections 1.2 and 2. An unmarked field is the paper's number; (ours) marks ours."""

    networks: tuple = ("resnet50", "densenet121", "att_a", "att_b")
    classes: int = 15               # 14 findings and No Finding, section 3.1; 14 leaves No Finding out
    subset: bool = True             # the selection of section 1.2
    split: str = "official"         # or "patient": grouped by patient (ours)
    validation: float = 0.1         # of train_val; the first of the paper's three splits
    resize: int = 256               # pixels, section 2.4
    crop: int = 224
    normalise: str = "softmax"      # eq. 4; "sigmoid" is the repair (ours)
    pretrained: bool = True         # section 2.6
    learning_rate: float = 0.01     # section 2.6; 0.001 in Fig. 6
    momentum: float = 0.9
    epochs: int = 8
    batch: int = 16                 # the authors' code
    seeds: int = 3                  # (ours) trainings a network; the paper has one
    growth: int = 32                # DenseNet-121
    blocks: tuple = (6, 12, 24, 16)
    stem: int = 64
    resnet_layers: tuple = (3, 4, 6, 3)
    resnet_width: int = 64
    draws: int = 1000               # (ours) bootstrap resamples of patients
    precision: str = "32-true"      # or "bf16-mixed" (ours)
    channels_last: bool = False     # (ours)
    workers: int = 0                # (ours) processes that prepare batches
    missing_images: str = "error"   # or "skip" (ours)


SMALL = {"subset": False, "pretrained": False, "growth": 8, "blocks": (2, 4, 4, 2), "stem": 16,
         "resnet_layers": (1, 1, 1, 1), "resnet_width": 8}
PROFILES = {
    "paper": Chest(),
    # phantoms, or any collection, in a minute on two cores
    "embedded": replace(Chest(), **SMALL, resize=72, crop=64, epochs=6, learning_rate=0.05, draws=500),
    # real images from scratch on two cores
    "laptop": replace(Chest(), **SMALL | {"blocks": (6, 12, 24, 16)}, resize=108, crop=96, epochs=16),
}

# Table 2; the non-image rows are printed by the authors' notebooks
PAPER_WEIGHTS = {"resnet50": 23538767, "densenet121": 6969231, "att_a": 7920527, "att_b": 6971279,
                 "densenet121_nonimage": 6969288, "att_a_nonimage": 7920584}


def network(name: str, settings: Chest) -> nn.Module:
    """One of the compared networks (section 2), named as in PAPER_WEIGHTS. Raises SettingsError for another name."""
    if name not in PAPER_WEIGHTS:
        raise SettingsError("no such network", f"networks: {name!r}", f"Known: {', '.join(PAPER_WEIGHTS)}.")
    body, nonimage = name.removesuffix("_nonimage"), name.endswith("_nonimage")
    common = {"classes": settings.classes, "nonimage": nonimage, "pretrained": settings.pretrained}
    if body == "resnet50":
        return resnet50(**common, layers=settings.resnet_layers, width=settings.resnet_width)
    dense = {"growth": settings.growth, "blocks": settings.blocks, "stem": settings.stem}
    if body == "densenet121":
        return densenet121(**common, **dense)
    variant = {"att_a": "attA", "att_b": "attB"}[body]
    return AttentionDenseNet(variant, normalise=settings.normalise, **common, **dense)


def count(model: nn.Module) -> int:
    """Number of weights."""
    return sum(weight.numel() for weight in model.parameters())


def weights(settings: Chest | None = None) -> pd.DataFrame:
    """Table 2, a row a network: chapter, network, weights, paper, source. Built without memory for the weights."""
    settings = replace(settings or PROFILES["paper"], pretrained=False)
    with torch.device("meta"):
        counts = {name: count(network(name, settings)) for name in PAPER_WEIGHTS}
    return pd.DataFrame([
        {"chapter": "chest", "network": name, "weights": counts[name], "paper": paper,
         "source": "authors' notebook" if name.endswith("_nonimage") else "Table 2"}
        for name, paper in PAPER_WEIGHTS.items()])


def choose(profile: str, overrides: dict[str, Any]) -> Chest:
    """The settings of a profile with some replaced. Raises SettingsError naming what does not exist."""
    if profile not in PROFILES:
        raise SettingsError("no such profile", f"parameter profile: {profile!r}", f"Known: {', '.join(PROFILES)}.")
    settings = runs.check_overrides(PROFILES[profile], overrides)
    for name, known in (("classes", (14, 15)), ("split", ("official", "patient")),
                        ("normalise", ("softmax", "sigmoid")), ("missing_images", ("error", "skip"))):
        if getattr(settings, name) not in known:
            raise SettingsError(f"{getattr(settings, name)!r} is not one of {known}", f"setting {name}")
    return settings


def run_folder(profile: str = "embedded", data_dir: str = "", seed: int = 0, run_dir: str = "",
               overrides: dict[str, Any] | None = None, **_other: Any) -> Path:
    """`run_dir`, or data/runs/chest/<profile>, with a short name of whatever differs from the defaults behind it."""
    if run_dir:
        return Path(run_dir).absolute()
    differs = [str(Path(data_dir).absolute()) if data_dir else "", seed, overrides or {}]
    suffix = "" if differs == ["", 0, {}] else f"-{fingerprint(*differs)[:8]}"
    return runs.home() / "data" / "runs" / "chest" / (profile + suffix)


def phantoms(folder: Path | None = None, seed: int = 0) -> Path:
    """The folder of phantom X-rays, drawn now where they are not there yet."""
    folder = folder or runs.home() / "data" / "phantoms" / "chest"
    phantom_chest.write(folder, seed=seed)
    return folder


@dataclass(frozen=True)
class Chapter:
    """One run of the chapter: its run folder, settings, device, and the collection."""

    run: runs.Run
    settings: Chest
    seed: int
    device: str
    cache_dir: Path
    xrays: chestxray14.ChestXray14

    @property
    def classes(self) -> tuple[str, ...]:
        """The 15 classes in the authors' order, or the 14 findings."""
        return chestxray14.CLASSES[-self.settings.classes:]

    @property
    def seeds(self) -> list[int]:
        """The seeds of the trainings of each network."""
        return [self.seed + i for i in range(self.settings.seeds)]

    @functools.cached_property
    def splits(self) -> dict[str, np.ndarray]:
        """Rows of the table for `train`, `val` and `test`."""
        return _splits(self.xrays.table, self.settings, self.seed)

    @functools.cached_property
    def pixels(self) -> np.ndarray:
        """All images that take part, (N, resize, resize) uint8, memory-mapped; decoded on first use."""
        paths = [self.xrays.path(name) for name in self.xrays.table["image"].iloc[self.rows]]
        return cache.open_cache(paths, self.settings.resize, self.cache_dir)

    @functools.cached_property
    def rows(self) -> np.ndarray:
        """The rows of the table that take part, in order."""
        return np.unique(np.concatenate(list(self.splits.values())))

    def samples(self, part: str) -> samples.Samples:
        """The samples of `train`, `val` or `test`."""
        table = self.xrays.table.iloc[self.splits[part]]
        targets = self.xrays.targets(self.classes)[self.splits[part]]
        where = np.searchsorted(self.rows, self.splits[part])
        return samples.Samples(self.pixels, where, targets, samples.nonimage(table), self.settings.crop)

    def name_of(self, row: int) -> str:
        """The file name of an image, from the `index` of its sample."""
        return self.xrays.table["image"].iloc[self.rows[row]]


def start(profile: str = "embedded", data_dir: str = "", cache_dir: str = "", seed: int = 0, device: str = "auto",
          run_dir: str = "", overrides: dict[str, Any] | None = None) -> Chapter:
    """Open the run these parameters ask for, and the collection it is about (phantoms without `data_dir`).

    Raises SettingsError for a parameter, and DataError for a collection, that cannot be used.
    """
    settings = choose(profile, overrides or {})
    device = reproducible.choose_device(device)
    folder = Path(data_dir).expanduser() if data_dir else phantoms()
    xrays = chestxray14.ChestXray14(folder, missing=settings.missing_images, lists=settings.split == "official")
    table = fingerprint(xrays.table.drop(columns=["follow_up"], errors="ignore").to_csv(index=False))
    run = runs.Run.open(run_folder(profile, data_dir, seed, run_dir, overrides),
                        {"chapter": "chest", "profile": profile, "seed": seed, "data": table,
                         "settings": dataclasses.asdict(settings)})
    run.note("start", data_dir=folder.name, images=len(xrays.table), **reproducible.hardware(device))
    return Chapter(run, settings, seed, device, Path(cache_dir) if cache_dir else run.folder / "cache", xrays)


def _splits(table: pd.DataFrame, settings: Chest, seed: int) -> dict[str, np.ndarray]:
    """Rows for train, val and test: the paper's selection and first split, or the lists as they are."""
    if settings.split == "patient":
        rest, test = splits.patient_split(table, 0.2, seed)
        train, val = splits.patient_split(table.iloc[rest], settings.validation, seed)
        return {"train": rest[train], "val": rest[val], "test": test}
    where = pd.Series(np.arange(len(table)), index=table["image"])
    lists = {name: table["image"][table["split"] == name].tolist() for name in ("train_val", "test")}
    if settings.subset:
        chosen = splits.paper_subset(table, **lists, validation=settings.validation)
        named = dict(zip(("train", "val"), chosen.splits[0], strict=True)) | {"test": chosen.test}
        return {part: where[list(names)].to_numpy() for part, names in named.items()}
    rows = where[lists["train_val"]].to_numpy()
    train, val = splits.patient_split(table.iloc[rows], settings.validation, seed)
    return {"train": rows[train], "val": rows[val], "test": where[lists["test"]].to_numpy()}


def write_subset(table_dir: Path, out: Path, by_patient: bool = False) -> list[str]:
    """Write Table 1's subset and its three splits to `out`; what was written and which splits share patients."""
    table = chestxray14.read_table(table_dir)
    chosen = splits.paper_subset(table, *chestxray14.read_lists(table_dir))
    splits.write_lists(out, chosen)
    lines = [f"{out}: train_val {len(chosen.train_val):,}, test {len(chosen.test):,}"]
    pairs = [(f"train_{i} {len(train):,} / val_{i} {len(val):,}", train, val)
             for i, (train, val) in enumerate(chosen.splits)] + [("train_val / test", chosen.train_val, chosen.test)]
    if by_patient:
        rows = table[table["image"].isin(set(chosen.train_val))]
        parts = [rows["image"].iloc[part].tolist() for part in splits.patient_split(rows, 0.1, 0)]
        for name, part in zip(("train_patient", "val_patient"), parts, strict=True):
            with atomic(out / f"{name}.txt") as file:
                file.write_text("\n".join(part) + "\n")
        pairs.append((f"train_patient {len(parts[0]):,} / val_patient {len(parts[1]):,}", *parts))
    return lines + [f"{name}: {splits.leaks(table, a, b)}" for name, a, b in pairs]


def inputs(batch: dict[str, torch.Tensor], nonimage: bool) -> dict[str, torch.Tensor]:
    """What `forward` takes, of a batch of samples."""
    return {name: batch[name] for name in (("image", "nonimage") if nonimage else ("image",))}


def train(chapter: Chapter, name: str, seed: int, fabric=None) -> tuple[nn.Module, list[dict[str, float]]]:
    """One network trained as in section 2.6 (kept in the run folder, resumed where it was killed), and its history.

    The history has a dict an epoch: the mean training loss, and loss and mean AUROC on the validation part.
    """
    settings = chapter.settings
    fabric = fabric or loop.start(chapter.device, precision=settings.precision)
    reproducible.seed_everything(seed)
    model = network(name, settings)
    optimizer = torch.optim.SGD(model.parameters(), lr=settings.learning_rate, momentum=settings.momentum)
    nonimage = name.endswith("_nonimage")
    val = chapter.samples("val")

    def loss(model: nn.Module, batch: dict) -> torch.Tensor:
        return binary_cross_entropy(model(**inputs(batch, nonimage))["logits"], batch["target"])

    def validate(model: nn.Module) -> dict[str, float]:
        logits = loop.predict(fabric, model, val, batch=64, inputs=functools.partial(inputs, nonimage=nonimage))["logits"]
        table = classification.auroc(val.targets, logits, chapter.classes)
        return {"val_loss": float(binary_cross_entropy(torch.from_numpy(logits), torch.from_numpy(val.targets))),
                "val_auroc": classification.averages(table)["plain"]}

    history = loop.fit(
        fabric, model, optimizer, chapter.samples("train"), loss, epochs=settings.epochs,
        batch=settings.batch, seed=seed, folder=chapter.run.folder / "networks" / f"{name}-seed{seed}",
        validate=validate, workers=settings.workers, name_of=chapter.name_of, channels_last=settings.channels_last,
        settings=dataclasses.asdict(settings) | {"network": name})
    return model, history


def train_all(chapter: Chapter) -> dict[tuple[str, int], list[dict[str, float]]]:
    """The histories of all trainings, by network and seed."""
    fabric = loop.start(chapter.device, precision=chapter.settings.precision)
    return {(name, seed): train(chapter, name, seed, fabric)[1]
            for seed in chapter.seeds for name in chapter.settings.networks}


def predictions(chapter: Chapter) -> pd.DataFrame:
    """Probabilities on the test part, a row an image, network and seed; kept as predictions.parquet."""
    path = chapter.run.folder / "predictions.parquet"
    if not path.exists():
        test, table = chapter.samples("test"), chapter.xrays.table.iloc[chapter.splits["test"]]
        fabric = loop.start(chapter.device, precision=chapter.settings.precision)
        parts = []
        for name in chapter.settings.networks:
            ask = functools.partial(inputs, nonimage=name.endswith("_nonimage"))
            for seed in chapter.seeds:
                logits = loop.predict(fabric, train(chapter, name, seed, fabric)[0], test, batch=64, inputs=ask)["logits"]
                frame = pd.DataFrame(1 / (1 + np.exp(-logits)), columns=list(chapter.classes))
                frame.insert(0, "image", table["image"].to_numpy())
                parts.append(frame.assign(network=name, seed=seed))
        with atomic(path) as part:
            pd.concat(parts, ignore_index=True).to_parquet(part)
    return pd.read_parquet(path)


def scores(chapter: Chapter) -> dict[str, np.ndarray]:
    """Probabilities on the test part by network, (seeds, N, classes), and the five-number baseline's, (1, N, classes)."""
    table, kept = predictions(chapter), {}
    for name in chapter.settings.networks:
        kept[name] = np.stack([table.loc[(table["network"] == name) & (table["seed"] == seed), list(chapter.classes)]
                               for seed in chapter.seeds])
    return {"five numbers": five_number_scores(chapter)[None], **kept}


def five_number_scores(chapter: Chapter) -> np.ndarray:
    """What view, sex, age and the mean and standard deviation of the picture alone say of the test part, (N, classes)."""
    numbers = {}
    for part in ("train", "test"):
        of_part = chapter.samples(part)
        numbers[part] = baseline.five_numbers(*of_part.nonimage.T[[2, 1, 0]], *of_part.moments())
    return baseline.five_number_baseline(numbers["train"], chapter.samples("train").targets, numbers["test"])
