"""What the pages of chapter 2 show of methods, trainings and results: tables, figures and sentences."""

import dataclasses

import numpy as np
import pandas as pd
import seaborn as sns
import torch
from matplotlib.figure import Figure
from torch.nn import functional

from mdlib.evaluate import classification
from mdlib.evaluate.correlation import pearson
from mdlib.evaluate.tables import interval
from mdlib.models.backbones import count
from mdlib.models.msconv import resize
from mdlib.models.topk import TopK
from mdlib.recipes import clock
from mdlib.recipes.mims import located, pretext, results
from mdlib.recipes.mims.chapter import ONE_WIDTH, Chapter
from mdlib.recipes.mims.methods import METHODS, NAMES, PYRAMID, TABLE_3
from mdlib.recipes.mims.networks import backbone, network
from mdlib.recipes.mims.plan import Training
from mdlib.recipes.mims.trainings import (
    PRETEXT,
    optimizer,
    planned,
    predictions,
    samples_of,
    stages,
    train_all,
    trained,
)
from mdlib.study.plots import COLOURS, WIDEST, grid_of_axes
from mdlib.study.results import table as as_table

ROUNDS = 7          # of timed steps
CORRELATED = 100    # tiles, supplementary B


def methods() -> pd.DataFrame:
    """Table 1's methods, a row each, by what they differ in from MIMS."""
    rows = {}
    for name, of in METHODS.items():
        kernels = {"collection": "two sizes", "one": "one size", "none": "none"}[of.kernels]
        rows[NAMES[name]] = {
            "backbone": "ResNet-34, from random weights" if of.scratch else "ResNet-101, pre-trained",
            "its maps": " and ".join({"layer3": "conv4", "layer4": "conv5"}[level] for level in of.levels),
            "kernels on them": kernels, "scales of the maps": _list(of.scales), "scales of the image":
            _list(of.image_scales), "dilations": _list(of.dilations), "BN and sw": "–" if of.kernels == "none" else
            "yes" if of.normalise else "no", "a bag is": "its slices, each classified" if of.slice_by_slice else "one"}
    return pd.DataFrame(rows).T


def _list(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:g}" for value in values)


def schedule(chapter: Chapter) -> pd.DataFrame:
    """How the networks of each collection are trained in this run: one row per stage."""
    rows = []
    for collection in dict.fromkeys(training.collection for training in [PRETEXT, *planned(chapter)]):
        if collection == pretext.COLLECTION and chapter.settings.pretrained != "shapes":
            continue
        one = Training("mims", collection)
        for stage in stages(chapter.settings, collection):
            rows.append({"collection": results.COLLECTION_NAMES.get(collection, collection), "part": stage.part,
                         "bags": len(samples_of(chapter, one, stage.part)), "learning rate": stage.rate,
                         "for": f"iterations: {stage.iterations:,}" if stage.iterations else f"epochs: {stage.epochs}",
                         "starts from": "the network of Cirrus" if collection == "spectralis" else
                         "random weights" if collection == pretext.COLLECTION else "the pre-trained backbone"})
    return pd.DataFrame(rows).set_index(["collection", "part"])


def pretext_words(chapter: Chapter) -> str:
    """How well the backbone does the pretext task, on images it has not seen."""
    if chapter.settings.pretrained != "shapes":
        return f"The backbone begins with {chapter.settings.pretrained} weights: there is no pretext task."
    samples = samples_of(chapter, PRETEXT, "test")
    right = predictions(chapter, PRETEXT)["guess"].to_numpy() == samples.targets[samples.rows]
    kinds = len(np.unique(samples.targets))
    return f"It names {right.mean():.0%} of {len(right):,} new drawings ({kinds} kinds; chance is {1 / kinds:.0%})."


def losses(chapter: Chapter) -> pd.DataFrame:
    """The mean training loss by epoch of the methods, one row per training and pass over its bags."""
    every = [training for training in planned(chapter) if training.pooling == "top5" and training.fold == 0]
    return pd.DataFrame([{"method": NAMES[training.method], "collection": results.COLLECTION_NAMES[training.collection],
                          "pass over the bags": number, "loss": epoch["loss"]}
                         for training, history in train_all(chapter, every).items()
                         for number, epoch in enumerate(history, start=1)])


def curves(table: pd.DataFrame) -> Figure:
    """The `losses` of each method, one panel per collection."""
    names = list(dict.fromkeys(table["collection"]))
    figure, axes = grid_of_axes(1, len(names), figsize=(min(3.9 * len(names), WIDEST), 3.2), squeeze=False)
    for axis, name in zip(axes[0], names, strict=True):
        sns.lineplot(table[table["collection"] == name], x="pass over the bags", y="loss", hue="method",
                     style="method", palette="colorblind", errorbar=("pi", 100), ax=axis, legend=axis is axes[0][0])
        axis.set(title=name, ylabel="mean cross-entropy" if axis is axes[0][0] else "")
        axis.xaxis.get_major_locator().set_params(integer=True)
    axes[0][0].legend(frameon=False, fontsize=8)
    return figure


def learned_weights(chapter: Chapter) -> Figure:
    """Of MIMS after training: the weight of each rank (eq. 2), and of each scale, sw times BN's own factor."""
    names = [name for name in chapter.collections if name != "oct_dme_matched"]
    figure, (left, right) = grid_of_axes(1, 2, figsize=(9, 3.4))
    for i, collection in enumerate(names):
        model = trained(chapter, Training("mims", collection, seed=chapter.seed))
        title, beside = results.COLLECTION_NAMES[collection], 0.18 * (i - (len(names) - 1) / 2)
        ranks = model.pool.weights().detach().cpu().numpy()
        left.bar(np.arange(1, len(ranks) + 1) + beside, ranks, 0.18, color=COLOURS[i], label=title)
        factors = scale_factors(model)
        right.errorbar(np.arange(len(PYRAMID)) + beside, factors.mean(axis=1), factors.std(axis=1), fmt="osD^v"[i % 5],
                       color=COLOURS[i], label=title, capsize=2)
    start = TopK(len(ranks)).weights().detach().numpy()
    left.plot(np.arange(1, len(ranks) + 1), start, "k_", markersize=18, label="at the start")
    left.set(xlabel="rank of the activation", ylabel="weight w in eq. 2", xticks=range(1, len(ranks) + 1))
    right.set(xlabel="scale of the maps", ylabel="|sw × BN's factor|,\nmean and deviation of channels",
              xticks=range(len(PYRAMID)), xticklabels=[f"{scale:g}" for scale in PYRAMID], ylim=(0, None))
    for axis in (left, right):
        axis.legend(frameon=False, fontsize=8)
    return figure


def scale_factors(model: torch.nn.Module) -> np.ndarray:
    """By how much each scale of each channel is multiplied, (scales, N): the two are redundant, so their product."""
    groups = model.secondary["layer4"].magnitude
    each = [torch.stack([part.sw * part.norm.weight for part in pathways]) for pathways in groups]
    return torch.cat(each, dim=1).abs().detach().cpu().numpy()


def step_cost(chapter: Chapter) -> pd.DataFrame:
    """Seconds of one training step (forward, backward, update, backbone included) of MI-Pre and MIMS, and the ratio.

    On bags of Cirrus, or of what there is; in rounds of both, so that a busy moment meets both.
    """
    def compute() -> dict:
        settings, collection = dataclasses.replace(chapter.settings, pretrained="none"), chapter.collections[0]
        samples = samples_of(chapter, Training("mims", collection), "train", drawn=True)
        torch.manual_seed(chapter.seed)
        drawn = samples.__getitems__(range(settings.volumes))
        batch = {name: value.to(chapter.device) for name, value in drawn.items()}
        jobs = {}
        for name in ("mi_pre", "mims"):
            model = network(name, collection, settings).to(chapter.device)
            jobs[NAMES[name]] = _Step(model, optimizer(model, settings.learning_rate, settings), batch)
        times, _ = clock.rounds(jobs, ROUNDS, chapter.device)
        return clock.summary(times, len(batch["bag"])).reset_index(names="network").to_dict("list")
    table = pd.DataFrame(chapter.run.remember("step_cost", compute)).set_index("network")
    return table.rename(columns={"images/s": "slices/s", "times ours": "times MI-Pre"})


class _Step:
    """One step of training on the same batch."""

    def __init__(self, model: torch.nn.Module, stepper: torch.optim.Optimizer, batch: dict[str, torch.Tensor]):
        self.model, self.stepper, self.batch = model.train(), stepper, batch

    def __call__(self) -> float:
        loss = functional.cross_entropy(self.model(self.batch["bag"], self.batch["sizes"])["logits"],
                                        self.batch["target"])
        self.stepper.zero_grad()
        loss.backward()
        self.stepper.step()
        return loss.item()


def by_size(chapter: Chapter, trained_on: str = "cirrus") -> pd.DataFrame:
    """AUROC of each method for volumes whose largest lesion is small, medium or large, against all without a lesion.

    On the test volumes of Cirrus, thirds by the width of their largest lesion; of networks trained on `cirrus` or on
    `one_size`. Columns method, size, widths (pixels), auroc, low, high, positives. Empty where the truth is not known.
    """
    def compute() -> list[dict]:
        if "cirrus" not in chapter.collections:
            return []
        widest = located.lesions(chapter, "cirrus").groupby("row")["width"].max()
        if widest.empty:
            return []
        rows, target, patients = results.tested(chapter, "cirrus")
        third = pd.qcut(widest.rank(method="first"), 3, labels=list(located.SIZES))
        found = []
        every = [*results.methods(chapter), *results.sizes(chapter)]
        for training in [one for one in every if one.collection == trained_on]:
            score = results.scores(chapter, training)
            for size in located.SIZES:
                of = widest[third == size]
                kept = np.isin(rows, of.index) | (target[:, 0] == 0)
                table = classification.bootstrap(target[kept], score[:, kept], patients[kept], names=["DME"],
                                                 n_bootstrap=chapter.settings.draws, seed=chapter.seed).loc["DME"]
                found.append({"method": training.method, "size": size, "widths": f"{of.min()}–{of.max()}",
                              "positives": len(of), **table[["auroc", "low", "high"]].to_dict()})
        return found
    return as_table(chapter.run.remember(f"by_size_{trained_on}", compute))


def beyond_one_size(chapter: Chapter) -> pd.DataFrame:
    """After training on one size: MIMS less each other method, by how wide the largest lesion of a test volume is.

    Paired, on the same volumes and seeds, each group with all volumes without a lesion. Columns lesions, second,
    positives, mean, low, high, seeds.
    """
    def compute() -> list[dict]:
        pairs = results.size_pairs(chapter)
        widest = located.lesions(chapter, "cirrus").groupby("row")["width"].max() if pairs else None
        rows, target, patients = results.tested(chapter, "cirrus") if pairs else (None, None, None)
        found = []
        for name, low, high in (("narrower", 0, ONE_WIDTH[0]), ("as trained", ONE_WIDTH[0], ONE_WIDTH[1] + 2),
                                ("wider", ONE_WIDTH[1] + 2, np.inf)) if pairs else ():
            of = widest[(widest >= low) & (widest < high)]
            kept = np.isin(rows, of.index) | (target[:, 0] == 0)
            for first, second in pairs:
                scores = [results.scores(chapter, one)[:, kept] for one in (first, second)]
                value = classification.paired_difference(target[kept], *scores, patients[kept], average="plain",
                                                         n_bootstrap=chapter.settings.draws, seed=chapter.seed)
                found.append({"lesions": name, "second": second.method, "positives": len(of), "mean": value.mean,
                              "low": value.low, "high": value.high, "seeds": value.seeds})
        return found
    return as_table(chapter.run.remember("beyond_one_size", compute))


def beyond_table(table: pd.DataFrame) -> pd.DataFrame | str:
    """`beyond_one_size` as text: one row per group of lesions, one column per method that MIMS is compared with."""
    if table.empty:
        return "There are no volumes with lesions of one size in this run."
    cells = table.assign(text=[f"{row.mean_:+.3f} ({interval(row.low, row.high, digits=3)})".replace("-", "−")
                               for row in table.rename(columns={"mean": "mean_"}).itertuples()],
                         second=[f"MIMS − {NAMES[name]}" for name in table["second"]],
                         lesions=[f"{row.lesions} ({row.positives} volumes)" for row in table.itertuples()])
    return cells.pivot_table(index="lesions", columns="second", values="text", aggfunc="first", sort=False
                             ).rename_axis(index="", columns="")


def size_figure(table: pd.DataFrame) -> Figure | str:
    """`by_size` as points with intervals."""
    if table.empty:
        return "How large each lesion is, is known of phantoms only."
    methods = list(dict.fromkeys(table["method"]))
    figure, axis = grid_of_axes(figsize=(8, 0.8 + 0.42 * len(methods)))
    for i, size in enumerate(located.SIZES):
        of = table[table["size"] == size].set_index("method").loc[methods]
        y = np.arange(len(methods)) + 0.22 * (i - 1)
        axis.hlines(y, of["low"], of["high"], color=COLOURS[i], linewidth=1.2)
        label = f"{size}: {of['widths'].iloc[0]} pixels wide, {of['positives'].iloc[0]} volumes"
        axis.plot(of["auroc"], y, "osD"[i], color=COLOURS[i], markersize=5, label=label)
    axis.axvline(0.5, color="0.5", linestyle=":", linewidth=1)
    axis.set_yticks(range(len(methods)), [NAMES[name] for name in methods])
    axis.invert_yaxis()
    axis.set(xlabel="AUROC against volumes without a lesion (0.5 is chance), 95 % interval")
    axis.legend(title="largest lesion of the volume", frameon=False, fontsize=8, loc="upper left",
                bbox_to_anchor=(1, 1))
    return figure


def table_3(chapter: Chapter) -> pd.DataFrame | str:
    """Table 3: Pearson correlation of the backbone's features of resized images with those of the originals.

    Features are the mean of conv5 over positions (ours: maps of unequal size have no correlation otherwise). 100
    training tiles drawn by the seed, as supplementary B. A column for the pre-trained backbone of this run and, beside
    it, for the same one with random weights (ours).
    """
    if "crc_msi" not in chapter.collections:
        return "Table 3 needs the tiles of CRC-MSI, which are no part of this run."

    def compute() -> dict:
        samples = samples_of(chapter, Training("mims", "crc_msi"), "train")
        drawn = np.random.default_rng(chapter.seed).choice(len(samples), min(CORRELATED, len(samples)), replace=False)
        images = samples.__getitems__(drawn)["bag"].to(chapter.device)
        model = network("mi_pre", "crc_msi", chapter.settings).to(chapter.device).eval()
        torch.manual_seed(chapter.seed)
        fresh = network("mi_pre", "crc_msi", dataclasses.replace(chapter.settings, pretrained="none"))
        if chapter.settings.pretrained == "shapes":
            model.features.load_state_dict(trained(chapter, PRETEXT).features.state_dict())
        return {"pre-trained": _correlations(model, images),
                "random weights": _correlations(fresh.to(chapter.device).eval(), images)}
    found = chapter.run.remember("table_3", compute)
    return pd.DataFrame({"paper": list(TABLE_3.values()), **found}, index=[f"{scale:g}" for scale in TABLE_3]
                        ).rename_axis("scale").round(3)


def _correlations(model: torch.nn.Module, images: torch.Tensor) -> list[float]:
    def features(scale: float) -> np.ndarray:
        with torch.inference_mode():
            return model.features(model.input(resize(images, scale))).mean(dim=(2, 3)).cpu().numpy()

    original = features(1)
    return [float(pearson(original, features(scale)).mean()) for scale in TABLE_3]


def head_weights(chapter: Chapter) -> pd.DataFrame:
    """The weights of this run's networks: backbone and head of MIMS by collection."""
    settings = dataclasses.replace(chapter.settings, pretrained="none")
    below = count(backbone(settings))
    rows = {results.COLLECTION_NAMES[name]: count(network("mims", name, settings)) - below
            for name in chapter.collections}
    return pd.DataFrame({"head": rows, "backbone": below})
