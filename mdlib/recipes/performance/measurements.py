"""What is timed: explaining, decoding, training and predicting, by mdlib and by what a user would otherwise use.

Each measurement is a dict: `images` per run, `times` (seconds, one list per job, ours first), `differences` (of what
the others computed from what we did: equal, up to rounding, or the comparison means nothing). Kept in the run folder,
and taken again on another machine or with other threads. Jobs in brackets are no opponents, only for orientation.
"""

import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from scipy.special import expit
from torch import Tensor, nn
from torch.utils.data import DataLoader, DistributedSampler

from mdlib import reproducible
from mdlib.data.cache import open_cache
from mdlib.data.images import read_square
from mdlib.data.samples import Samples
from mdlib.explain import cam_libraries
from mdlib.explain.gradients import grad_cam_maps
from mdlib.progress import track
from mdlib.recipes.clock import rounds, summary
from mdlib.recipes.performance import opponents
from mdlib.recipes.performance.chapter import NETWORKS, Chapter
from mdlib.reproducible import now
from mdlib.training import loop
from mdlib.training.losses import binary_cross_entropy

Measurement = dict[str, Any]
PLAIN_ORDER = "(mdlib, not channels-last)"
MAPPED = ("norm5", "relu5", "transition3", "transition2", "transition1")     # layers of `map_costs`


def remembered(chapter: Chapter, name: str, compute: Callable[[], Measurement]) -> Measurement:
    """compute(), or what it gave on this machine before."""
    peers = [cam_libraries.with_version(library) for library in cam_libraries.LIBRARIES]
    return chapter.run.remember(name, compute, hardware=reproducible.hardware(chapter.device), peers=peers)


def explaining(chapter: Chapter, layer: str) -> Measurement:
    """Grad-CAM of all classes at a layer of one batch; the others' maps differ by a share of our largest value."""
    s = chapter.settings
    names = {cam_libraries.with_version(library): call for library, call in cam_libraries.LIBRARIES.items()}
    where = f"features.{layer}"

    def compute() -> Measurement:
        model, classes = chapter.model().to(chapter.device).eval(), range(s.classes)
        image = torch.rand(s.explained, 1, s.crop, s.crop, generator=torch.Generator().manual_seed(chapter.seed))
        image = image.to(chapter.device)
        jobs = {"mdlib": lambda: grad_cam_maps(model, image, where).values,
                **{name: lambda call=call: call(model, image, where, classes) for name, call in names.items()},
                "(one forward pass)": torch.no_grad()(lambda: model(image))}
        times, (ours, *theirs, _) = rounds(jobs, s.runs, chapter.device)
        far = [((maps.clamp(min=0) - ours.clamp(min=0)).abs().max() / ours.abs().max()).item() for maps in theirs]
        return {"images": s.explained, "times": times, "differences": dict(zip(names, far, strict=True))}
    return remembered(chapter, f"explaining_{layer}", compute)


def map_costs(chapter: Chapter) -> dict[str, dict[str, float]]:
    """What the maps of all classes cost at each layer, in plain forward passes of the same batch: by network.

    The median over the rounds of the ratio of two times in the same round.
    """
    s = chapter.settings

    def of_network(name: str) -> dict[str, float]:
        model = chapter.model(name).to(chapter.device).eval()
        image = torch.rand(s.explained, 1, s.crop, s.crop, generator=torch.Generator().manual_seed(chapter.seed))
        image = image.to(chapter.device)
        jobs = {"forward": torch.no_grad()(lambda: model(image)),
                **{layer: lambda layer=layer: grad_cam_maps(model, image, f"features.{layer}") for layer in MAPPED}}
        times, _ = rounds(jobs, s.runs, chapter.device)
        return summary(times, s.explained)["times ours"].drop("forward").to_dict()
    return remembered(chapter, "map_costs", lambda: {name: of_network(name) for name in NETWORKS})


def decoding(chapter: Chapter) -> Measurement:
    """Image files to resized pixels for the first time, by all cores and by one; differences in grey levels."""
    side = chapter.settings.resize

    def by_threads() -> list[np.ndarray]:
        with ThreadPoolExecutor(reproducible.hardware("cpu")["cores"]) as pool:
            return [*pool.map(lambda path: opponents.decode(path, side), chapter.files)]

    def compute() -> Measurement:
        jobs = {"mdlib, into its cache": lambda: new_cache(chapter),
                "Pillow, one after the other": lambda: [opponents.decode(path, side) for path in chapter.files],
                "Pillow, one thread per core": by_threads}
        times, (ours, *theirs) = rounds(jobs, chapter.settings.runs, "cpu")
        return {"images": len(chapter.files), "times": times, "differences": {
            name: float(np.abs(np.subtract(each, ours, dtype=int)).max())
            for name, each in zip([*jobs][1:], theirs, strict=True)}}
    return remembered(chapter, "decoding", compute)


def reading(chapter: Chapter) -> Measurement:
    """Batches of an epoch on the CPU, from mdlib's cache and from the files again; differences in [0, 1]."""
    s = chapter.settings

    def compute() -> Measurement:
        ours, theirs = chapter.samples(new_cache(chapter)), image_files(chapter)
        jobs = {"mdlib, from its cache": lambda: batches(DataLoader(ours, s.batch, collate_fn=ours.collate)),
                "torchvision, from the files": lambda: batches(DataLoader(theirs, s.batch))}
        times, answers = rounds(jobs, s.runs, "cpu")
        here, there = map(torch.cat, answers)
        return {"images": len(theirs), "times": times, "differences": {[*jobs][1]: (here - there).abs().max().item()}}
    return remembered(chapter, "reading", compute)


def training(chapter: Chapter) -> Measurement:
    """Steps of training with the reading of their images; `losses` has the loss of every step.

    Every loop starts from the same weights, sees the same images in the same order and uses the same optimizer. The
    differences are those of the losses from mdlib's when it leaves the order of memory as the plain loops do.
    """
    s, count = chapter.settings, chapter.settings.batch * (chapter.settings.steps + 2)

    def compute() -> Measurement:
        again = np.arange(count) % s.images
        kept = chapter.samples(new_cache(chapter))
        samples = Samples(kept.pixels, again, kept.targets, kept.nonimage, s.crop)
        files = torch.utils.data.Subset(image_files(chapter), again.tolist())
        order = DistributedSampler(samples, 1, 0, shuffle=True, seed=chapter.seed)    # as in training.loop
        cached, decoded = (DataLoader(each, s.batch, sampler=order, collate_fn=collate)
                           for each, collate in ((samples, kept.collate), (files, None)))
        loops = {"mdlib": lambda: our_steps(chapter, samples),
                 "plain loop, the same cache": lambda: plain_steps(chapter, cached),
                 "plain loop, from the files": lambda: plain_steps(chapter, decoded),
                 PLAIN_ORDER: lambda: our_steps(chapter, samples, channels_last=False)}
        if chapter.device.startswith("cuda"):
            loops["(mdlib, bf16-mixed)"] = lambda: our_steps(chapter, samples, precision="bf16-mixed")
        times, losses = {name: [] for name in loops}, {}
        for _ in track(range(s.runs), "timing"):
            for name, steps in loops.items():
                seconds, losses[name] = steps()
                times[name] += seconds
        return {"images": s.batch, "times": times, "losses": losses,
                "differences": {name: float(np.abs(np.subtract(each, losses[PLAIN_ORDER])).max())
                                for name, each in losses.items() if name != PLAIN_ORDER}}
    return remembered(chapter, "training", compute)


def predicting(chapter: Chapter) -> Measurement:
    """Image files to probabilities, everything in between included; the largest difference of a probability."""
    s = chapter.settings

    def compute() -> Measurement:
        model, fabric, files = chapter.model(), loop.start(chapter.device), image_files(chapter)
        kept = new_cache(chapter)

        def ours(pixels: np.ndarray) -> np.ndarray:
            logits = loop.predict(fabric, model, chapter.samples(pixels), batch_size=s.batch)["logits"]
            return expit(logits)

        def plain(batch: int) -> np.ndarray:
            return opponents.predict(model, files, batch, chapter.device)
        jobs = {"mdlib": lambda: ours(new_cache(chapter)),
                f"plain loop, {s.batch} images a step": lambda: plain(s.batch),
                "plain loop, one image a step": lambda: plain(1),
                "(mdlib, decoded before)": lambda: ours(kept)}
        times, (first, *others) = rounds(jobs, s.runs, chapter.device)
        return {"images": len(files), "times": times, "differences": {
            name: float(np.abs(each - first).max()) for name, each in zip([*jobs][1:], others, strict=True)}}
    return remembered(chapter, "predicting", compute)


def new_cache(chapter: Chapter) -> np.ndarray:
    """The files decoded by mdlib into a cache that was not there before, uint8 (images, resize, resize)."""
    files, side = chapter.files, chapter.settings.resize
    folder = tempfile.mkdtemp(dir=chapter.folder, prefix="cache-")
    return open_cache(files, (side, side), folder, lambda row: read_square(files[row], side))


def image_files(chapter: Chapter) -> opponents.ImageFiles:
    """The same files as a user's own data set reads them."""
    return opponents.ImageFiles(chapter.files, chapter.targets, chapter.settings.resize, chapter.settings.crop)


def batches(loader: Iterable[dict[str, Tensor]]) -> list[Tensor]:
    """The images of each batch."""
    return [batch["image"] for batch in loader]


def stamped(device: str) -> tuple[Callable[[nn.Module, dict], Tensor], list[float], list[Tensor]]:
    """A loss that notes when it was asked for, and what came out: from one call to the next is one whole step."""
    times, losses = [], []

    def loss(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        times.append(now(device))
        value = binary_cross_entropy(model(batch["image"])["logits"], batch["target"])
        losses.append(value.detach())
        return value
    return loss, times, losses


def our_steps(chapter: Chapter, samples: Samples, precision: str = "32-true", channels_last: bool = True
              ) -> tuple[list[float], list[float]]:
    """Seconds of the timed steps of `training.loop.fit`, and every loss."""
    model, (loss, times, losses) = chapter.model(), stamped(chapter.device)
    with tempfile.TemporaryDirectory(dir=chapter.folder) as folder:
        loop.fit(loop.start(chapter.device, precision), model, sgd(model), samples, loss, epochs=1, seed=chapter.seed,
                 batch_size=chapter.settings.batch, folder=folder, channels_last=channels_last)
    torch.use_deterministic_algorithms(False)    # fit asks for them; the plain loops of others do not
    return [*np.diff(times)[1:]], [value.item() for value in losses]


def plain_steps(chapter: Chapter, loader: DataLoader) -> tuple[list[float], list[float]]:
    """The same of the plain fp32 loop. The first step, in which kernels are chosen, is not counted in either."""
    model, (loss, times, losses) = chapter.model().to(chapter.device), stamped(chapter.device)
    loader.sampler.set_epoch(0)
    opponents.train(model, sgd(model), loader, loss, chapter.device)
    return [*np.diff(times)[1:]], [value.item() for value in losses]


def sgd(model: nn.Module) -> torch.optim.SGD:
    """The chest chapter's optimizer."""
    return torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
