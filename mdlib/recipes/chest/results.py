"""What the trainings of chapter 1 came to: AUROCs and differences of each exhibit, with intervals, and the grid."""

from collections.abc import Iterable
from dataclasses import replace
from itertools import chain

import numpy as np
import pandas as pd
from IPython.display import Markdown
from matplotlib.figure import Figure

from mdlib.evaluate import classification
from mdlib.evaluate.tables import interval
from mdlib.files import read_json
from mdlib.recipes import keeping
from mdlib.recipes.chest import figures
from mdlib.recipes.chest.chapter import Chapter, default_phantoms
from mdlib.recipes.chest.plan import ATTENTION, BASELINES, Training, exhibit
from mdlib.recipes.chest.settings import PROFILES, Chest
from mdlib.recipes.chest.trainings import five_number_scores, left_out, probabilities, train_all

# exhibit: its panels as (title, the part that is predicted, the networks shown); a network with the non-image branch
# goes with its body
PANELS = {
    "fig6": (("Fig. 6a: validation", "val", BASELINES), ("Fig. 6b: test", "test", BASELINES)),
    "fig7": (("Fig. 7b: validation", "val", BASELINES), ("Fig. 7c: validation", "val", ATTENTION)),
    "fig8": (("Fig. 8: test", "test", BASELINES),),
    "fig9": (("Fig. 9a: validation", "val", BASELINES + ATTENTION), ("Fig. 9b: test", "test", BASELINES + ATTENTION)),
    "fig11": (("Fig. 11: test", "test", ("densenet121", "att_a")),),
    "repair": (("The repair: test", "test", ATTENTION),),
    "leak": (("The leak: held-out images", "held_out", ("densenet121",)),),
}
FITTED = {"val": ("train",), "test": ("train_val",), "held_out": ("leaky", "grouped")}
# exhibit: the field in which compared trainings differ, and the pairs of its values
COMPARED = {
    "fig6": ("classes", [(15, 14)]),
    "fig7": ("rate", [("learning_rate", "slow_rate")]),
    "fig8": ("network", [("densenet121", "resnet50")]),
    "fig9": ("network", [("densenet121", "resnet50"), ("att_a", "densenet121"), ("att_b", "densenet121")]),
    "fig11": ("network", [("densenet121_nonimage", "densenet121"), ("att_a_nonimage", "att_a")]),
    "repair": ("normalise", [("sigmoid", "softmax")]),
    "leak": ("part", [("leaky", "grouped")]),
}
FIVE = "five numbers"


def series(settings: Chest, name: str, part: str, networks: Iterable[str]) -> dict[str, Training]:
    """The trainings of one panel by their label, which says in what they differ within the exhibit."""
    return {label(training, name, settings): training for training in exhibit(name, settings.networks)
            if training.part in FITTED[part] and training.body in networks}


def label(training: Training, name: str, settings: Chest) -> str:
    """A network, and the value of the field that its exhibit compares."""
    field = COMPARED[name][0]
    value = {"classes": f"{training.classes} classes", "rate": f"rate {getattr(settings, training.rate):g}",
             "normalise": training.normalise,
             "part": f"{training.part}, {getattr(settings, training.epochs)} epochs"}.get(field)
    return training.network + (f", {value}" if value else "")


def aurocs(chapter: Chapter, name: str) -> pd.DataFrame:
    """AUROCs of an exhibit: columns panel, series, class (with both means), auroc, low, high, draws, seeds.

    Of the first split. Means are over the classes that all series of the exhibit have, so that 14 and 15 classes are
    compared on the same 14 (ours). Every panel has the five numbers, which see no picture content.
    """
    def compute() -> list[dict]:
        rows = []
        for title, part, networks in PANELS[name]:
            target, patients, scores = _panel(chapter, name, part, networks)
            for shown, score in scores.items():
                table = classification.bootstrap(
                    target, score, patients, names=chapter.classes[-target.shape[1]:],
                    n_bootstrap=chapter.settings.draws, seed=chapter.seed)
                rows += table.reset_index().assign(panel=title, series=shown, seeds=len(score)).to_dict("records")
        return rows
    table = pd.DataFrame(chapter.run.remember(f"aurocs-{name}", compute))
    return table.astype({"auroc": float, "low": float, "high": float})


def _panel(chapter: Chapter, name: str, part: str, networks: Iterable[str], five: bool = True
           ) -> tuple[np.ndarray, pd.Series, dict[str, np.ndarray]]:
    """Truth (N, K), patients (N,), and by label the probabilities (S, N, K) of one panel, on its common classes.

    `five`: those of the five numbers as well.
    """
    shown, rows = series(chapter.settings, name, part, networks), chapter.part(part)
    of_seeds = {text: [replace(training, seed=seed) for seed in chapter.seeds] for text, training in shown.items()}
    train_all(chapter, [*chain(*of_seeds.values())])
    common = min((training.classes for training in exhibit(name, chapter.settings.networks)), default=15)
    scores = {FIVE: five_number_scores(chapter, FITTED[part][-1], part)} if five else {}
    scores |= {text: np.stack([probabilities(chapter, training, part) for training in trainings])
               for text, trainings in of_seeds.items()}
    return (chapter.targets[rows][:, -common:], chapter.table["patient"].iloc[rows],
            {text: score[..., -common:] for text, score in scores.items()})


def means(table: pd.DataFrame) -> pd.DataFrame:
    """Both means of each series and panel of an exhibit, with their intervals."""
    cells = table[table["class"].isin(["plain mean", "weighted mean"])].assign(
        text=lambda t: [f"{r.auroc:.3f} ({interval(r.low, r.high, digits=3)})" for r in t.itertuples()])
    wide = cells.pivot(index="series", columns=["panel", "class"], values="text").fillna("")
    wide = wide.loc[list(dict.fromkeys(table["series"])), list(dict.fromkeys(table["panel"]))]
    return wide.rename_axis(index="", columns=["", "AUROC (95 % interval)"])


def figure(chapter: Chapter, name: str, literature: bool = False) -> Figure | Markdown:
    """One of Figs. 6, 7b-c, 8, 9, 11 or of ours: AUROC by class and series; with published values, where asked for."""
    if left_out(chapter, name):
        return Markdown(left_out(chapter, name))
    table, titles = aurocs(chapter, name), {}
    for title, part, _ in PANELS[name]:
        images = chapter.table.iloc[chapter.part(part)]
        titles[title] = f"{title}\n{len(images):,} images, {images['patient'].nunique():,} patients"
    published = published_aurocs() if literature else None
    return figures.intervals(table.assign(panel=table["panel"].map(titles)), published)


def published_aurocs() -> pd.DataFrame:
    """Published AUROCs on ChestX-ray14's test part, (classes x studies); NaN where no source is at hand."""
    kept = read_json(keeping.folder("chest") / "literature.json")
    return pd.DataFrame({study: of["auroc"] for study, of in kept.items()}, dtype=float)


def differences(chapter: Chapter, name: str) -> pd.DataFrame:
    """What the exhibit compares, on the same images: difference of plain mean AUROC, its interval, and in words.

    In Fig. 9 also each network against the five numbers.
    """
    def compute() -> list[dict]:
        rows = []
        for title, part, networks in PANELS[name]:
            target, patients, scores = _panel(chapter, name, part, networks, five=name == "fig9")
            pairs = compared(series(chapter.settings, name, part, networks), name)
            pairs += [(text, FIVE) for text in scores if FIVE in scores and text != FIVE]
            for a, b in pairs:
                found = classification.paired_difference(target, scores[a], scores[b], patients, seed=chapter.seed,
                                                         n_bootstrap=chapter.settings.draws, average="plain")
                rows.append({"panel": title, "comparison": f"{a} − {b}", "difference": found.mean, "low": found.low,
                             "high": found.high, "seeds": found.seeds,
                             "in words": found.sentence("The plain mean AUROC", a, b)})
        return rows
    columns = ["panel", "comparison", "difference", "low", "high", "seeds", "in words"]
    table = pd.DataFrame(chapter.run.remember(f"differences-{name}", compute), columns=columns).set_index(columns[:2])
    return table.astype({"difference": float, "low": float, "high": float}).round(3)


def compared(shown: dict[str, Training], name: str) -> list[tuple[str, str]]:
    """The pairs of labels that an exhibit compares."""
    field, values = COMPARED[name]
    label_of = {training: text for text, training in shown.items()}
    return [(text, label_of[replace(training, **{field: second})]) for first, second in values
            for text, training in shown.items() if getattr(training, field) == first
            and replace(training, **{field: second}) in label_of]


def words(chapter: Chapter, name: str) -> Markdown:
    """What an exhibit compares, in sentences."""
    return Markdown(left_out(chapter, name)) if left_out(chapter, name) else in_words(differences(chapter, name))


def in_words(table: pd.DataFrame) -> Markdown:
    """The sentences of `differences` as a list, by panel."""
    lines = [f"- *{panel}.* {sentence}" for (panel, _), sentence in table["in words"].items()]
    return Markdown("\n".join(lines))


def committed(chapter: Chapter) -> bool:
    """Whether this is the run that the book shows: its phantoms, the embedded settings, seed 0, a CPU."""
    return (chapter.xrays.data_dir == default_phantoms() and chapter.settings == PROFILES["embedded"]
            and chapter.seed == 0 and chapter.device == "cpu")


def check_phantoms(chapter: Chapter) -> str:
    """In the book's own run, assert that DenseNet-121 is 0.1 above the five numbers: there is something to explain."""
    if not committed(chapter):
        return "Not the phantoms and settings of the book: nothing is asked of the AUROCs."
    table = aurocs(chapter, "fig9")
    mean = table[(table["class"] == "plain mean") & (table["panel"] == "Fig. 9b: test")].set_index("series")["auroc"]
    assert mean[FIVE] < 0.65, mean
    assert mean["densenet121"] > mean[FIVE] + 0.1, mean
    return "DenseNet-121 is at least 0.1 above the five numbers, which stay below 0.65."
