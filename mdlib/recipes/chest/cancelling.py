"""Finding 1 of chapter 1: the global vector g cancels in eq. 2-4, and what follows from it."""

import copy
from dataclasses import replace
from functools import partial
from itertools import product

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from mdlib import reproducible
from mdlib.evaluate.correlation import pearson
from mdlib.explain import gradients, overlay
from mdlib.explain.dead_parameters import dead_parameters
from mdlib.explain.hooks import replaced
from mdlib.recipes import figures as shared
from mdlib.recipes.chest import figures
from mdlib.recipes.chest.chapter import Chapter
from mdlib.recipes.chest.networks import network
from mdlib.recipes.chest.plan import ATTENTION
from mdlib.recipes.chest.settings import PROFILES
from mdlib.recipes.chest.viewing import inputs_of, trained

IMAGES = 8          # of the test part
NOISE = 10.0        # standard deviations of the noise that takes the place of relu5, whose mean is g


def attention_networks(chapter: Chapter) -> dict[tuple[str, str], nn.Module]:
    """The trained attention networks of this run by (network, normalise); the sigmoid's only if the run repairs."""
    kinds = ("softmax", "sigmoid") if "repair" in chapter.settings.exhibits else ("softmax",)
    return {(name, normalise): trained(chapter, name, normalise=normalise)
            for name in ATTENTION if name in chapter.settings.networks for normalise in kinds}


def noise_for_g(chapter: Chapter) -> pd.DataFrame:
    """How far the logits move when g is noise: the largest change over images and classes, in float32 and float64.

    g is the mean over pixels of relu5; here relu5 is replaced by NOISE times normal noise of its shape.
    """
    rows = []
    for (name, normalise), model in attention_networks(chapter).items():
        for dtype in (torch.float32, torch.float64):
            batch = _inputs(chapter, name, dtype)
            typed = copy.deepcopy(model).to(dtype)
            generator = torch.Generator().manual_seed(chapter.seed)

            def noise(output: Tensor, generator: torch.Generator = generator) -> Tensor:
                return NOISE * torch.randn(output.shape, generator=generator, dtype=output.dtype)

            with torch.inference_mode():
                logits = typed(**batch)["logits"]
                with replaced(typed, "features.relu5", noise):
                    moved = (typed(**batch)["logits"] - logits).abs().max().item()
            rows.append({"network": name, "normalise": normalise, "type": str(dtype).removeprefix("torch."),
                         "largest change of a logit": moved, "largest logit": logits.abs().max().item()})
    columns = ["network", "normalise", "type", "largest change of a logit", "largest logit"]
    return pd.DataFrame(rows, columns=columns).set_index(columns[:3])


def dead_weights(chapter: Chapter) -> pd.DataFrame:
    """Weights and largest gradient of each part of attA and attB at the paper's size, in float64.

    One backward pass of the sum of all logits of a test image, from random weights: what is dead follows from the
    mathematics, not from the weights. A part is `dead` when no gradient in it is above 1e-9 of the network's largest.
    """
    settings, tables = replace(PROFILES["paper"], pretrained=False), []
    image = chapter.samples("test").__getitems__([0])["image"].double()
    for name, normalise in product(ATTENTION, ("softmax", "sigmoid")):
        reproducible.seed_everything(chapter.seed)
        model = network(name, settings, normalise=normalise).double()
        groups = partial(_groups, norm5=model.features.norm5.num_features)
        table = dead_parameters(model, image, groups).rename_axis("part").reset_index()
        tables.append(table.assign(network=name, normalise=normalise))
    return pd.concat(tables).set_index(["network", "normalise", "part"])


def _groups(name: str, gradient: Tensor, norm5: int) -> dict[str, Tensor]:
    """The gradient of a parameter by the part it belongs to; attB's u^s in its two halves, {u_l, u_g}."""
    local = gradient.shape[1] - norm5 if gradient.ndim == 4 else 0
    if name.endswith("score.weight") and local > 0:
        return {"attention, u for l": gradient[:, :local], "attention, u for g": gradient[:, local:]}
    return {".".join(name.split(".")[:2]) if name.startswith("features") else name.split(".")[0]: gradient}


def counts_of_dead(table: pd.DataFrame) -> pd.DataFrame:
    """Weights without gradient, and the others, by network and how scores are normalised."""
    of = table.groupby(["network", "normalise"], sort=False)
    dead = table["weights"].where(table["dead"], 0).groupby(["network", "normalise"], sort=False).sum()
    return pd.DataFrame({"weights": of["weights"].sum(), "without gradient": dead,
                         "live": of["weights"].sum() - dead})


def rounding(chapter: Chapter) -> pd.DataFrame:
    """Grad-CAM at norm5 computed three ways: largest value, and how alike the maps are that should be the same.

    Each image alone in float32; in a batch with another; and in float64. `same map?` is the median over images and
    classes of the correlation of the first two: 1 where the map is a property of the image.
    """
    rows = []
    for name in ("densenet121", *ATTENTION):
        if name in chapter.settings.networks:
            alone, pair, double = three_ways(chapter, trained(chapter, name), name)
            rows.append({"network": name, **{f"maximum, {way}": values.abs().max().item() for way, values in
                                             (("float32", alone), ("batch of 2", pair), ("float64", double))},
                         "same map?": torch.from_numpy(pearson(alone, pair, axes=2)).nanmedian().item(),
                         "as in float64?": torch.from_numpy(pearson(alone, double, axes=2)).nanmedian().item()})
    columns = ["network", *(f"maximum, {way}" for way in ("float32", "batch of 2", "float64")), "same map?",
               "as in float64?"]
    return pd.DataFrame(rows, columns=columns).set_index("network")


def three_ways(chapter: Chapter, model: nn.Module, name: str) -> tuple[Tensor, Tensor, Tensor]:
    """Maps (IMAGES, classes, h, w) at norm5: float32 alone, float32 in a batch of two, float64."""
    def maps(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        return gradients.grad_cam_maps(model, batch, "features.norm5").values
    batch = _inputs(chapter, name, torch.float32)
    count = len(batch["image"])
    single = [{key: value[[i]] for key, value in batch.items()} for i in range(count)]
    paired = [{key: value[[i, (i + 1) % count]] for key, value in batch.items()} for i in range(count)]
    return (torch.cat([maps(model, one) for one in single]), torch.cat([maps(model, two)[:1] for two in paired]),
            maps(copy.deepcopy(model).double(), _inputs(chapter, name, torch.float64)))


def noise_figure(chapter: Chapter) -> Figure:
    """Grad-CAM at norm5, stretched to full colour as other tools do: DenseNet-121 and attA, three ways.

    One test image, the most probable class of each network; under each map, its maximum.
    """
    pictures, titles = [], []
    for name in ("densenet121", "att_a"):
        model = trained(chapter, name)
        batch = _inputs(chapter, name, torch.float32)
        with torch.inference_mode():
            k = int(model(**batch)["logits"][0].argmax())
        ways = zip(("float32", "float32, batch of 2", "float64"), three_ways(chapter, model, name), strict=True)
        grey = (255 * batch["image"][0, 0]).numpy().astype(np.uint8)
        for way, maps in ways:
            h = maps[0, k].clamp(min=0).numpy()
            pictures.append(overlay.blend(grey, overlay.normalize(h)))
            titles.append(f"{name}, {figures.words(chapter.classes[k])}\n{way}: maximum {h.max():.1e}")
    return shared.pictures(pictures, titles, columns=3, width=8)


def check_cancelling(moved: pd.DataFrame, dead: pd.DataFrame) -> str:
    """Assert what the mathematics says: g moves no logit under the softmax, and 2,160,128 weights of attA are dead."""
    change = moved.query("type == 'float64'")["largest change of a logit"]
    assert (change[change.index.get_level_values("normalise") == "softmax"] < 1e-10).all(), moved
    assert (change[change.index.get_level_values("normalise") == "sigmoid"] > 1e-4).all(), moved
    without = counts_of_dead(dead)["without gradient"]
    assert without["att_a", "softmax"] == 2_160_128 and without["att_b", "softmax"] == 2_163_200, without
    assert (without.xs("sigmoid", level="normalise") == 0).all(), without
    return ("Noise in place of g moves no logit under the softmax; 2,160,128 weights of attA and 2,163,200 of attB get "
            "no gradient. Under the sigmoid all of them do.")


def _inputs(chapter: Chapter, name: str, dtype: torch.dtype) -> dict[str, Tensor]:
    batch = inputs_of(chapter, name, chapter.rows["test"][:IMAGES])
    return {key: value.to(dtype) for key, value in batch.items()}
