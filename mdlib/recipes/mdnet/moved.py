"""What becomes of attention and sentences when the image changes: mirrored, another, drawn again without a finding.

Attention that looks at the image moves with it. Sentences that describe a finding change when it is taken away, which
is known of phantoms only.
"""

from dataclasses import asdict

import numpy as np
import pandas as pd

from mdlib.data.phantoms.histology_reports import GRADES, UNSEEN, expressed
from mdlib.data.phantoms.histology_tissue import ELEMENTS
from mdlib.evaluate import attention_entropy, resampling
from mdlib.evaluate.correlation import pearson
from mdlib.evaluate.resampling import mean_of_known
from mdlib.models.report_lstm import END
from mdlib.recipes.mdnet import looking, truth
from mdlib.recipes.mdnet.chapter import Chapter
from mdlib.recipes.mdnet.gathered import remembered, spread, stacked
from mdlib.recipes.mdnet.looking import explained
from mdlib.recipes.mdnet.plan import Training
from mdlib.recipes.mdnet.results import Over, patients
from mdlib.recipes.mdnet.trainings import trained

WORDS, CLASS = "words", "class attention"
FOLLOWS, STAYS, MORE = "follows the image", "stays in its place", "the first less the second"
OF_IMAGE, OF_WORD = "share of the image", "share of the word"
MIRRORED = "mirrored"
CHANGES = (*(f"without {element}" for element in ELEMENTS), MIRRORED)
FALLS, DIFFERS, BEYOND = "grade falls", "grade differs", "grade falls beyond mirrored"
OWN_MORE = "grade falls beyond the other"


def of_mirrors(chapter: Chapter, training: Training) -> pd.DataFrame:
    """One row per image of the test part, columns `what|measure`: correlations over the places of a map.

    FOLLOWS: of the map of the mirrored image with the mirrored map: 1 where attention moves with the image. STAYS: of
    the map of the mirrored image with the map as it was: 1 where attention has a place of its own. The mean over
    words; of class attention for the class that is predicted. A map that is the same everywhere has no correlation.
    """
    def compute() -> pd.DataFrame:
        found = looking.looks(chapter, training)
        rows, guess = np.arange(len(found["maps"])), found["logits"].argmax(axis=1)
        pairs = {CLASS: (found["maps"][rows, guess], found["hflip_maps"][rows, guess])}
        if "attention" in found:
            pairs = {WORDS: tuple(found[name].reshape(*found[name].shape[:3], *found["maps"].shape[2:])
                                  for name in ("attention", "hflip")), **pairs}
        columns = {}
        for what, (before, after) in pairs.items():
            for measure, expected in ((FOLLOWS, before[..., ::-1]), (STAYS, before)):
                values = pearson(expected, after, axes=2, min_spread=1e-12)
                columns[f"{what}|{measure}"] = mean_of_known(values.reshape(len(rows), -1), axis=1)
        return pd.DataFrame(columns)
    return remembered(chapter, "mirrors", training, compute)


def mirrors(chapter: Chapter, over: Over) -> pd.DataFrame:
    """The means of `of_mirrors`: one row per network, what and measure; MORE: FOLLOWS less STAYS."""
    rows = []
    for name in explained(chapter):
        columns = stacked(chapter, name, over, of_mirrors)
        columns |= {f"{what}|{MORE}": columns[f"{what}|{FOLLOWS}"] - columns[f"{what}|{STAYS}"]
                    for what in dict.fromkeys(column.split("|")[0] for column in columns)}
        for column, values in columns.items():
            if found := spread(chapter, over, values):
                what, measure = column.split("|")
                rows.append({"network": name, "what": what, "measure": measure, **asdict(found)})
    return pd.DataFrame(rows)


def shares(chapter: Chapter, over: Over) -> pd.DataFrame:
    """How much of the shape of attention is due to the image, and to the word: one row per network and measure.

    network, measure, mean, low, high, trainings, images, patients. For the typical sentences, the same words for all
    images. OF_IMAGE: `attention_entropy.share_of_image`, 0 where every image gets the same map of a word; OF_WORD: the
    same with images and words in each other's place, 0 where every word gets the same map in an image. The mean over
    folds and seeds, with 1.96 standard errors by the jackknife over patients: of patients drawn with replacement some
    come twice, which makes images more alike than they are.
    """
    groups, rows = np.array(patients(chapter, over)), []
    ends = np.cumsum([len(chapter.part("test", fold)) for fold in over.folds])[:-1]
    for name in explained(chapter):
        maps = [[_typical(chapter, Training(name, fold=fold, seed=seed)) for fold in over.folds]
                for seed in over.seeds]

        def share(weights: np.ndarray, maps: list = maps) -> np.ndarray:
            drawn = [np.split(weights[:, d].astype(int), ends) for d in range(weights.shape[1])]
            return np.array([mean_of_known(np.array([_shares(of, part) for of_seed in maps
                                                     for of, part in zip(of_seed, parts, strict=True)]), axis=0)
                             for parts in drawn])                                          # (draws, 2)
        found, error = resampling.once(share, groups), resampling.jackknife(share, groups)
        rows += [{"network": name, "measure": measure, "mean": float(found[i]),
                  "low": float(found[i] - 1.96 * error[i]), "high": float(found[i] + 1.96 * error[i]),
                  "trainings": len(over.folds) * len(over.seeds), "images": len(groups),
                  "patients": len(set(groups.tolist()))} for i, measure in enumerate((OF_IMAGE, OF_WORD))]
    return pd.DataFrame(rows)


def _typical(chapter: Chapter, training: Training) -> np.ndarray:
    """Maps (N, words, P) of the words of the typical sentences."""
    there = looking.typical_words(chapter, training.fold) > END
    return looking.looks(chapter, training)["typical"][:, there]


def _shares(maps: np.ndarray, times: np.ndarray) -> tuple[float, float]:
    """OF_IMAGE and OF_WORD of images drawn so often; NaN where fewer than two are, of images or words."""
    drawn = np.repeat(maps, times, axis=0)
    return tuple(attention_entropy.share_of_image(each) if len(each) > 1 and each.shape[1] else np.nan
                 for each in (drawn, drawn.swapaxes(0, 1)))


def of_twins(chapter: Chapter, training: Training) -> pd.DataFrame:
    """One row per image of the test part, columns `part|change|measure`, each 0, 1 or NaN.

    Does the grade that the sentence about mitosis, or nucleoli, states fall (FALLS) or differ at all (DIFFERS) when the
    image is changed as in CHANGES? Of images that have something to take away, where the sentence says so: a grade
    above the lowest, drawn and stated; NaN elsewhere.
    """
    def compute() -> pd.DataFrame:
        model, rows = trained(chapter, training), chapter.part("test", training.fold)
        drawn = truth.grades(chapter).iloc[rows]
        pictures = {"": np.asarray(chapter.pixels[rows]), MIRRORED: np.asarray(chapter.pixels[rows])[:, :, ::-1]}
        for element in ELEMENTS:
            pictures[f"without {element}"] = np.stack([
                looking.seen(chapter, truth.drawn_without(chapter, row, element)) for row in rows])
        stated = {change: looking.written_of(chapter, model, training.fold, of) for change, of in pictures.items()}
        columns = {}
        for part in ELEMENTS:
            level = {change: np.array([_level(part, report[chapter.reports.parts.index(part)]) for report in reports])
                     for change, reports in stated.items()}
            has = drawn[part].map(lambda grade, part=part: _order(part, grade)).to_numpy() > 0
            for change in CHANGES:
                asked, after = has & (level[""] > 0), level[change]
                columns[f"{part}|{change}|{FALLS}"] = np.where(asked, (after >= 0) & (after < level[""]), np.nan)
                columns[f"{part}|{change}|{DIFFERS}"] = np.where(asked, after != level[""], np.nan)
        return pd.DataFrame(columns)
    return remembered(chapter, "twins", training, compute)


def _level(part: str, sentence: str) -> int:
    return _order(part, expressed(part, sentence))


def _order(part: str, grade: str | None) -> int:
    """0, 1 or 2; −1 where the image could not be assessed, −2 where no grade is stated."""
    return GRADES[part].index(grade) if grade in GRADES[part] else -1 if grade == UNSEEN else -2


def twins(chapter: Chapter, over: Over, name: str = "mdnet") -> pd.DataFrame:
    """The shares of `of_twins` of a network: one row per part, change and measure; empty where nothing is known.

    Measure BEYOND: by how much more often the grade falls than when the image is only mirrored; OWN_MORE: than when
    what the other sentence names is taken away.
    """
    if not truth.known(chapter):
        return pd.DataFrame()
    rows = []
    columns = stacked(chapter, name, over, of_twins)
    columns |= {f"{part}|{change}|{BEYOND}": columns[f"{part}|{change}|{FALLS}"] - columns[f"{part}|{MIRRORED}|{FALLS}"]
                for part in ELEMENTS for change in CHANGES[:-1]}
    columns |= {f"{part}|without {part}|{OWN_MORE}":
                columns[f"{part}|without {part}|{FALLS}"] - columns[f"{part}|without {other}|{FALLS}"]
                for part, other in zip(ELEMENTS, ELEMENTS[::-1], strict=True)}
    for column, values in columns.items():
        part, change, measure = column.split("|")
        # an image is asked about in those seeds whose network mentions the finding: the mean over these, as one seed
        if found := spread(chapter, over, mean_of_known(values, axis=0)[None]):
            rows.append({"network": name, "part": part, "change": change, "measure": measure, **asdict(found)})
    return pd.DataFrame(rows)


TABLES = {"mirrors": mirrors, "shares": shares, "twins": twins}
