"""How sharp attention is, and how often it hits what was drawn: numbers over folds and seeds, with their intervals.

Sharpness is known of any collection; whether attention hits the urothelium, a mitosis or a nucleolus, of phantoms only.
Notebooks ask for fold 0 (`results.live`), the kept grid for all (`results.whole`). Maps that see no image stand beside
those of the networks.
"""

from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pandas as pd

from mdlib.data.phantoms.histology_tissue import ELEMENTS
from mdlib.evaluate import attention_entropy, localisation
from mdlib.evaluate.resampling import mean_of_known
from mdlib.explain import overlay
from mdlib.recipes.mdnet import looking, moved, truth
from mdlib.recipes.mdnet.chapter import Chapter
from mdlib.recipes.mdnet.gathered import OfImages, remembered, spread, stacked
from mdlib.recipes.mdnet.looking import EXPLAINED, explained
from mdlib.recipes.mdnet.plan import Training
from mdlib.recipes.mdnet.results import Over, whole
from mdlib.recipes.mdnet.rows import EVERY
from mdlib.study import results as keeping
from mdlib.study.saliency import LOCATION_PRIOR, UNIFORM

WORD, SENTENCE, ALL = "word", "sentence", "all parts"
ENTROPY = "entropy"         # bits: the lower the sharper
HITS = ("pointing game", "mass accuracy")
MEASURES = (ENTROPY, *HITS)
EVERY_IMAGE = "all images"
UROTHELIUM = "the urothelium"       # a map that covers it evenly, and nothing else
OWN, OTHER = "its own sentence", "the other sentences"
IMAGE_MODEL = "ecnet"       # has class attention, too
NAMES = {**{name: EVERY[name].name for name in EXPLAINED}, IMAGE_MODEL: "EcNet, which learned the conclusion alone",
         UNIFORM: "a uniform map", LOCATION_PRIOR: "the location prior", UROTHELIUM: "a map of the urothelium"}


def of_words(chapter: Chapter, training: Training) -> pd.DataFrame:
    """One row per image of the test part: columns `unit|part|measure`, NaN where there is no word or nothing to hit.

    Unit `word`: the mean over the words of a part; `sentence`: of the mean map of these words. `all parts`: the mean
    over the parts. Measures: ENTROPY in bits, and where the truth is known HITS of the urothelium.
    """
    def compute() -> pd.DataFrame:
        found, rows = looking.looks(chapter, training), chapter.part("test", training.fold)
        words, columns = found["attention"], {}
        for unit, maps in ((WORD, words), (SENTENCE, mean_of_known(words, axis=2)[:, :, None])):
            for measure, values in measured(chapter, rows, maps, found["maps"].shape[2:]).items():
                by_part = mean_of_known(values, axis=2)                                    # (N, K)
                columns |= {f"{unit}|{part}|{measure}": by_part[:, k] for k, part in enumerate(chapter.reports.parts)}
                columns[f"{unit}|{ALL}|{measure}"] = mean_of_known(by_part, axis=1)
        return pd.DataFrame(columns)
    return remembered(chapter, "words", training, compute)


def measured(chapter: Chapter, rows: np.ndarray, maps: np.ndarray, shape: tuple[int, int],
             kind: str = "urothelium") -> dict[str, np.ndarray]:
    """MEASURES of maps (N, ..., P), shape = (h, w), of the images `rows`: each (N, ...). `kind`: what is to be hit."""
    found = {ENTROPY: attention_entropy.entropy(maps)}
    if truth.known(chapter):
        masks = (truth.mask(chapter, row, kind) > 0 for row in rows)
        each = [localisation.measures(overlay.upsample(of.reshape(-1, *shape), mask.shape), mask, HITS)
                for of, mask in zip(maps, masks, strict=True)]
        found |= {name: np.stack([of[name] for of in each]).reshape(maps.shape[:-1]) for name in HITS}
    return found


def of_classes(chapter: Chapter, training: Training) -> pd.DataFrame:
    """One row per image of the test part: columns MEASURES of the class attention of the class that is predicted.

    What is below 0 counts as 0, as in `evaluate.localisation`; a map without anything above 0 is a miss.
    """
    def compute() -> pd.DataFrame:
        found, rows = looking.looks(chapter, training), chapter.part("test", training.fold)
        maps = found["maps"][np.arange(len(rows)), found["logits"].argmax(axis=1)]         # (N, h, w)
        return pd.DataFrame(measured(chapter, rows, maps.reshape(len(maps), -1), maps.shape[1:]))
    return remembered(chapter, "classes", training, compute)


def of_elements(chapter: Chapter, training: Training) -> pd.DataFrame:
    """One row per image of the test part: columns `element|sentence|measure`, HITS of its mitoses and nucleoli.

    By the words of the part about them (OWN), and by those of all others (OTHER). NaN where an image has none.
    """
    def compute() -> pd.DataFrame:
        found, rows = looking.looks(chapter, training), chapter.part("test", training.fold)
        columns = {}
        for element in ELEMENTS:
            values = measured(chapter, rows, found["attention"], found["maps"].shape[2:], element)
            k = chapter.reports.parts.index(element)
            for name in HITS:
                by_part = mean_of_known(values[name], axis=2)
                columns[f"{element}|{OWN}|{name}"] = by_part[:, k]
                columns[f"{element}|{OTHER}|{name}"] = mean_of_known(np.delete(by_part, k, axis=1), axis=1)
        return pd.DataFrame(columns)
    return remembered(chapter, "elements", training, compute)


def of_reference(chapter: Chapter, training: Training) -> pd.DataFrame:
    """MEASURES of a map that no network made, one row per test image; and `element|measure` of each element.

    UNIFORM; LOCATION_PRIOR: where the urothelium of the training images usually is; UROTHELIUM: the image's own, for
    elements.
    The row of `training` is one of these names. All are as coarse as the attention they stand beside.
    """
    name, fold = training.row, training.fold

    def compute() -> pd.DataFrame:
        rows = chapter.part("test", fold)
        shape = looking.looks(chapter, replace(training, row="mdnet"))["maps"].shape[2:]
        if name == UROTHELIUM:
            maps = np.stack([localisation.coverage(truth.mask(chapter, row, "urothelium") > 0, shape) for row in rows])
        else:
            maps = np.ones((len(rows), *shape)) if name == UNIFORM else np.broadcast_to(
                location_prior(chapter, fold, shape), (len(rows), *shape))
        flat = maps.reshape(len(rows), -1)
        columns = measured(chapter, rows, flat, shape)
        for element in ELEMENTS if truth.known(chapter) else ():
            columns |= {f"{element}|{measure}": values for measure, values in
                        measured(chapter, rows, flat, shape, element).items() if measure in HITS}
        return pd.DataFrame(columns)
    return remembered(chapter, "reference", training, compute)


def location_prior(chapter: Chapter, fold: int, shape: tuple[int, int]) -> np.ndarray:
    """Where urothelium usually is: the mean of the masks of the training images of a fold, (h, w) in [0, 1]."""
    rows = chapter.part("train", fold)
    return np.mean([localisation.coverage(truth.mask(chapter, row, "urothelium") > 0, shape) for row in rows], axis=0)


def references(chapter: Chapter) -> list[str]:
    """The maps that see no image which this collection allows."""
    return [UNIFORM, LOCATION_PRIOR] if truth.known(chapter) else [UNIFORM]


def gathered(chapter: Chapter, name: str, over: Over, of: OfImages) -> dict[str, np.ndarray]:
    """What `of` measures of a network, or `of_reference` of a map that sees no image, as `stacked` gives it."""
    if name in (UNIFORM, LOCATION_PRIOR, UROTHELIUM):
        return stacked(chapter, name, over, of_reference, seeds=False)
    return stacked(chapter, name, over, of)


def words(chapter: Chapter, over: Over) -> pd.DataFrame:
    """Sharpness and hits: one row per network, unit, part and measure; mean, low, high, seeds, images, patients.

    A reference has one row per measure, under ALL.
    """
    rows = []
    for name in (*explained(chapter), *references(chapter)):
        for column, values in gathered(chapter, name, over, of_words).items():
            unit, part, measure = column.split("|") if column.count("|") == 2 else ("", ALL, column)
            if measure in MEASURES and (found := spread(chapter, over, values)):
                rows.append({"network": name, "unit": unit, "part": part, "measure": measure, **asdict(found)})
    return pd.DataFrame(rows)


def classes(chapter: Chapter, over: Over) -> pd.DataFrame:
    """The class attention: one row per network, group of images (ALL, and each reported conclusion) and measure."""
    groups, rows = _groups(chapter, over), []
    for name in (*explained(chapter), IMAGE_MODEL, *references(chapter)):
        found = gathered(chapter, name, over, of_classes)
        for group, chosen in groups.items():
            rows += [{"network": name, "group": group, "measure": measure, **asdict(of)} for measure in MEASURES
                     if measure in found and (of := spread(chapter, over, found[measure], chosen=chosen))]
    return pd.DataFrame(rows)


def _groups(chapter: Chapter, over: Over) -> dict[str, np.ndarray]:
    rows = np.concatenate([chapter.part("test", fold) for fold in over.folds])
    targets = chapter.reports.targets[rows]
    return {EVERY_IMAGE: np.ones(len(rows), bool),
            **{name: targets == k for k, name in enumerate(chapter.reports.classes)}}


def elements(chapter: Chapter, over: Over) -> pd.DataFrame:
    """What hits mitoses and nucleoli: one row per element, network, sentence and measure; phantoms only."""
    rows = []
    for name in (*explained(chapter), UNIFORM, UROTHELIUM) if truth.known(chapter) else ():
        for column, values in gathered(chapter, name, over, of_elements).items():
            element, *sentence = column.split("|")      # sentence and measure, of a reference only the measure
            if element in ELEMENTS and (found := spread(chapter, over, values)):
                rows.append({"element": element, "network": name, "sentence": "" if len(sentence) == 1 else sentence[0],
                             "measure": sentence[-1], **asdict(found)})
    return pd.DataFrame(rows)


def differences(chapter: Chapter, over: Over) -> pd.DataFrame:
    """MDNet less each other map, on the same images: a row what is compared, second and measure; in words, too.

    What: WORD and SENTENCE of all parts, the class attention, and each of ELEMENTS: how much of the attention of its
    own sentence lies in them, less that of the other sentences and of maps that see no image.
    """
    rows = _element_differences(chapter, over)
    for what, of, others in ((WORD, of_words, explained(chapter)[1:]), (SENTENCE, of_words, explained(chapter)[1:]),
                             ("class", of_classes, [*explained(chapter)[1:], IMAGE_MODEL])):
        ours = gathered(chapter, "mdnet", over, of)
        for name in (*others, *references(chapter)):
            theirs = gathered(chapter, name, over, of)
            for measure in MEASURES:
                key = measure if of is of_classes else f"{what}|{ALL}|{measure}"
                other = theirs.get(key, theirs.get(measure))
                if key in ours and (found := spread(chapter, over, ours[key], other)):
                    rows.append({"what": what, "second": name, "measure": measure, **asdict(found), "in words":
                                 found.sentence(f"{measure} of {what} attention", NAMES["mdnet"], NAMES[name])})
    return pd.DataFrame(rows)


def _element_differences(chapter: Chapter, over: Over) -> list[dict[str, Any]]:
    if not truth.known(chapter):
        return []
    rows, measure, ours = [], "mass accuracy", gathered(chapter, "mdnet", over, of_elements)
    for element in ELEMENTS:
        own = ours[f"{element}|{OWN}|{measure}"]
        others = {OTHER: ours[f"{element}|{OTHER}|{measure}"]} | {
            name: gathered(chapter, name, over, of_elements)[f"{element}|{measure}"] for name in (UNIFORM, UROTHELIUM)}
        rows += [{"what": element, "second": name, "measure": measure, **asdict(found), "in words": found.sentence(
            f"{measure} of attention in {element}", OWN, NAMES.get(name, name))}
            for name, values in others.items() if (found := spread(chapter, over, own, values))]
    return rows


TABLES = {"words": words, "classes": classes, "elements": elements, "differences": differences}


def figures(chapter: Chapter) -> dict[str, Any]:
    """What is kept of the attention in all folds and of all seeds: TABLES and those of `moved`, as records."""
    return {name: keeping.records(of(chapter, whole(chapter))) for name, of in (TABLES | moved.TABLES).items()}


def kept(name: str, table: str) -> pd.DataFrame:
    """A table of `figures` in a kept result; name as `grid/embedded`. What has no value is NaN."""
    return keeping.table(keeping.read("mdnet", name, needs="attention")["attention"][table])
