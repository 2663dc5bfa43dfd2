"""Maps of the networks: of many pairs of image and finding, to measure them, and of a few cases for the explorer."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from mdlib import reproducible
from mdlib.data import images
from mdlib.data.phantoms import chest as phantom_chest
from mdlib.data.samples import Samples, nonimage
from mdlib.explain import gradients, input_attribution
from mdlib.explain.targets import ClassPerImage
from mdlib.papers.chest import annotations
from mdlib.papers.chest.data import CLASSES
from mdlib.papers.chest.networks import DEFAULT_LAYERS, Run, build, inputs
from mdlib.study import saliency
from mdlib.study.cases import cases as cases_of
from mdlib.study.study import Study
from mdlib.widgets.records import Case

# of the DenseNets; norm5 is A of section 2.5, the authors' code reads relu5
LAYERS = ("norm5", "relu5", "transition3", "transition2", "transition1")
BATCH_SIZE = 64


def grad_cams(layers: Sequence[str] = LAYERS) -> dict[str, saliency.Explainer]:
    """Grad-CAM at layers below `features`, by name, such as `Grad-CAM norm5`."""
    return {f"Grad-CAM {layer}": partial(gradients.grad_cam_maps, layer=f"features.{layer}") for layer in layers}


def hires_cams(layers: Sequence[str] = LAYERS) -> dict[str, saliency.Explainer]:
    """HiResCAM (Draelos and Carin 2020) at layers below `features`: gradient × output, without the mean over pixels."""
    return {f"HiResCAM {layer}": partial(gradients.gradient_times_input_maps, layer=f"features.{layer}")
            for layer in layers}


def input_attributions() -> dict[str, saliency.Explainer]:
    """Explanations at the pixels, averaged over squares of 8: 14 × 14 cells of an image of 112 pixels."""
    return {"gradient × input": input_attribution.gradient_times_input_maps,
            "integrated gradients": input_attribution.integrated_gradients_maps,
            "smoothed gradients": input_attribution.smooth_grad_maps, "occlusion": input_attribution.occlusion_maps}


def pair_maps(study: Study, model: nn.Module, name: str, pairs: pd.DataFrame,
              methods: Mapping[str, saliency.Explainer], pictures: Tensor | None = None) -> saliency.Maps:
    """Raw maps (P, h, w) by method, of each pair's finding, and the attention maps of attA and attB.

    name: of the network, for its inputs. pictures (P, 1, crop, crop) replace the images, for instance twins. A map
    without signal is 0. Attention maps are called `attention 1` ….
    """
    return saliency.own_class_maps(model, batches(study, model, name, pairs, pictures), methods)


def batches(study: Study, model: nn.Module, name: str, pairs: pd.DataFrame, pictures: Tensor | None = None
            ) -> Iterator[dict[str, Tensor]]:
    """What `ClassPerImage(model)` is called with for the pairs, BATCH_SIZE at a time, where the model is."""
    device = next(model.parameters()).device
    for begin in range(0, len(pairs), BATCH_SIZE):
        of = pairs.iloc[begin:begin + BATCH_SIZE]
        batch = inputs_of_rows(study, name, of["row"]) | {"class_index": torch.tensor(of["k"].to_numpy())}
        if pictures is not None:
            batch["image"] = pictures[begin:begin + BATCH_SIZE]
        yield {key: value.to(device) for key, value in batch.items()}


def inputs_of_rows(study: Study, name: str, rows: Sequence[int]) -> dict[str, Tensor]:
    """What the network of this name is called with for these rows of study.data.table, of any part, in their order."""
    data = study.data
    samples = Samples(data.pixels, np.asarray(rows), data.targets, nonimage(data.table), study.settings.crop)
    return inputs(samples.batch(len(samples)), name)


def pair_images(study: Study, pairs: pd.DataFrame) -> Tensor:
    """The image of each pair, (P, 1, crop, crop) in [0, 1]."""
    return inputs_of_rows(study, "densenet121", pairs["row"])["image"]


def logits(study: Study, model: nn.Module, name: str, pairs: pd.DataFrame, pictures: Tensor | None = None
           ) -> np.ndarray:
    """The logit of each pair's finding, float32 (P,); pictures as in `pair_maps`."""
    asked = ClassPerImage(model)
    with torch.inference_mode():
        found = [asked(**batch)["logits"][:, 0].cpu() for batch in batches(study, model, name, pairs, pictures)]
    return torch.cat([torch.empty(0), *found]).numpy()


def predictor(study: Study, model: nn.Module, name: str, pairs: pd.DataFrame) -> Callable[[np.ndarray], np.ndarray]:
    """A function of pictures (P, 1, crop, crop) that gives the probability of each pair's finding, (P,)."""
    def predict(pictures: np.ndarray) -> np.ndarray:
        return torch.from_numpy(logits(study, model, name, pairs, torch.from_numpy(pictures))).sigmoid().numpy()
    return predict


def untrained(study: Study, run: Run, seed: int | None = None) -> nn.Module:
    """The network of a run with random weights, on the study's device; None: drawn from the next seed."""
    reproducible.seed_everything(study.seed + 1 if seed is None else seed)
    return build(run, study.settings, {}).to(study.device).eval()


def cases(study: Study, run: Run, model: nn.Module, count: int = 12,
          methods: Mapping[str, saliency.Explainer] | None = None) -> list[Case]:
    """`count` test images for the explorer, each class once before any comes twice, with the maps of a network.

    Maps of all classes by each of `methods` (None: Grad-CAM at DEFAULT_LAYERS), and attention as weights times pixels,
    so that 1 is the mean. Phantoms have a twin without each of their findings.
    """
    rows, classes = annotations.one_per_class(study, count), study.data.classes(run)
    methods = grad_cams(DEFAULT_LAYERS[run.body]) if methods is None else methods
    found = explained(model, inputs_of_rows(study, run.network, rows), methods)
    captions = [f"Chest X-ray: {annotations.caption(study, row)}".replace("\n", "; ") for row in rows]
    outline = "cause" if study.data.is_phantom else "radiologist's box"
    return cases_of([annotations.visible(study, row) for row in rows], classes,
                    study.data.targets[rows][:, -len(classes):], outline=outline, alt=captions,
                    name=study.data.table["image"].iloc[rows].tolist(),
                    contours=[annotations.contours(study, row) for row in rows],
                    twins=_twins(study, run, model, dict(zip(rows, captions, strict=True)), methods), **found)


def explained(model: nn.Module, batch: dict[str, Tensor], methods: Mapping[str, saliency.Explainer]) -> dict:
    """Logits, maps and signal of a batch, as `study.cases.cases` takes them."""
    device = next(model.parameters()).device
    batch = {key: value.to(device) for key, value in batch.items()}
    with torch.inference_mode():
        answer = model(**batch)
    attention = {f"attention {stage}": (weights * weights[0, 0].numel()).cpu().numpy()
                 for stage, weights in enumerate(answer.get("attention", ()), 1)}
    found = {method: explainer(model, batch) for method, explainer in methods.items()}
    return {"logits": answer["logits"].cpu().numpy(),
            "maps": attention | {method: maps.values.cpu().numpy() for method, maps in found.items()},
            "signal": {method: maps.signal.cpu().numpy() for method, maps in found.items()}}


def _twins(study: Study, run: Run, model: nn.Module, captions: dict[int, str],
           methods: Mapping[str, saliency.Explainer]) -> list[dict[str, Case]]:
    """For each row its twins by the finding that is left out: phantoms only, for others nobody knows what they show."""
    asked = [(row, finding) for row in captions if study.data.is_phantom
             for finding in annotations.findings(study, row) if finding in phantom_chest.FINDINGS]
    found: dict[int, dict[str, Case]] = {row: {} for row in captions}
    if not asked:
        return list(found.values())
    films = [phantom_chest.twin(study.data.folder, study.data.table["image"].iloc[row], finding)
             for row, finding in asked]
    batch = inputs_of_rows(study, run.network, [row for row, _ in asked])
    batch["image"] = annotations.as_input(study, films)
    classes, settings = study.data.classes(run), study.settings
    twins = cases_of([images.shown(film, settings.resize, settings.crop) for film in films], classes,
                     [_truth_without(study, row, finding)[-len(classes):] for row, finding in asked],
                     alt=[f"{captions[row]}; drawn without {finding.replace('_', ' ')}" for row, finding in asked],
                     **explained(model, batch, methods))
    for (row, finding), twin in zip(asked, twins, strict=True):
        found[row][finding] = twin
    return list(found.values())


def _truth_without(study: Study, row: int, finding: str) -> np.ndarray:
    """The targets (15,) of an image without one of its findings."""
    truth = study.data.targets[row].copy()
    truth[CLASSES.index(finding)] = 0
    truth[CLASSES.index("No Finding")] = not truth[1:].any()
    return truth
