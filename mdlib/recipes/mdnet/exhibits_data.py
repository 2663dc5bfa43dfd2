"""The tables and figures of the data page of chapter 5: one function per exhibit, called by the notebook.

What needs the truth is a sentence where it is not known.
"""


import numpy as np
import pandas as pd
from IPython.display import Markdown
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mdlib.data import bladder_reports
from mdlib.data.phantoms.histology_reports import GRADES, UNSEEN
from mdlib.data.vocabulary import longer
from mdlib.evaluate import resampling
from mdlib.evaluate.tables import interval
from mdlib.recipes.mdnet import bad_input, truth
from mdlib.recipes.mdnet.chapter import Chapter
from mdlib.recipes.mdnet.colours import colours, majority
from mdlib.recipes.mdnet.settings import PROFILES
from mdlib.study import map_plots, tables
from mdlib.study.plots import COLOURS

# section 5.2; it counts no class
PAPER = {"all": "1,000 images of 32 patients", "test": "200 images of 6 patients"}
OUTLINES = {"urothelium": (COLOURS[2], 1.6), "mitosis": (COLOURS[1], 1.4), "nucleoli": (COLOURS[9], 0.8)}
NO_TRUTH = "How these images are graded, and what lies where in them, is not known."
GUESSES = ("colours", "most frequent class", "difference")
NO_RULE = "From which grades these conclusions follow is not known."


def settings(chapter: Chapter) -> pd.DataFrame:
    """The settings of this run that differ from the paper profile's."""
    return tables.settings(chapter.settings, PROFILES["paper"])


def collection(chapter: Chapter) -> pd.DataFrame:
    """Images, patients and classes of the collection and of both parts of each fold, beside the paper's numbers."""
    reports, folds = chapter.reports, chapter.settings.folds
    parts = {("all", ""): np.arange(len(reports.table))} | {
        (f"fold {fold}", part): chapter.part(part, fold) for fold in range(folds) for part in ("train", "test")}
    found = {}
    for (fold, part), rows in parts.items():
        counts = np.bincount(reports.targets[rows], minlength=len(reports.classes))
        found[fold, part] = {"images": len(rows), "patients": reports.table["patient"].iloc[rows].nunique(),
                             **dict(zip(reports.classes, counts, strict=True)), "paper": PAPER.get(part or fold, "")}
    return pd.DataFrame(found).T.rename_axis(["fold", "part"])


def examples(chapter: Chapter, count: int = 2) -> Figure:
    """Of each class `count` images of the first fold's test part, of as many patients as there are.

    Where it is known, each is followed by the same with the outlines of what lies in it.
    """
    reports, rows = chapter.reports, np.sort(chapter.part("test"))
    table = reports.table.iloc[rows].assign(row=rows)
    table["again"] = table.groupby(["conclusion", "patient"]).cumcount()
    shown = pd.concat([table[table["conclusion"] == name].sort_values("again", kind="stable").head(count)
                       for name in reports.classes])
    titles = (shown["conclusion"] + "\n" + shown["image"]).tolist()
    pictures = [reports.read(row) for row in shown["row"]]
    if not truth.known(chapter):
        return map_plots.images(pictures, titles, 2 * count)
    figure = map_plots.images([each for each in pictures for _ in range(2)],
                              [title for each in titles for title in (each, "outlined")], 2 * count)
    for axis, row in zip(figure.axes[1::2], shown["row"], strict=False):
        outline(axis, chapter, row)
    lines = [Line2D([], [], color=colour, linewidth=2, label=kind) for kind, (colour, _) in OUTLINES.items()]
    figure.legend(handles=lines, loc="outside lower center", ncols=len(lines), frameon=False)
    return figure


def outline(axis: Axes, chapter: Chapter, row: int) -> None:
    """Draw what is known to lie in an image over its picture."""
    for kind, (colour, width) in OUTLINES.items():
        mask = truth.mask(chapter, row, kind) > 0
        if mask.any():
            axis.contour(mask, levels=[0.5], colors=[colour], linewidths=width)


def graded(chapter: Chapter) -> Figure | str:
    """One column per part, one line per grade: what it looks like where the other four grades are middling."""
    if not truth.known(chapter):
        return NO_TRUTH
    numbers = grade_numbers(chapter)
    others = {part: (numbers.drop(columns=part) - 1).abs().sum(axis=1) for part in GRADES}
    shown = [(int(others[part][numbers[part] == grade].idxmin()), f"{part}:\n{GRADES[part][grade]}")
             for grade in range(3) for part in GRADES if (numbers[part] == grade).any()]
    return map_plots.images([chapter.reports.read(row) for row, _ in shown], [title for _, title in shown],
                            columns=len(GRADES))


def grade_numbers(chapter: Chapter) -> pd.DataFrame:
    """The grades of the images that can be assessed as 0, 1 or 2, one column per part; the index is the image's row."""
    table = truth.grades(chapter)[list(GRADES)]
    table = table[~(table == UNSEEN).any(axis=1)]
    return table.apply(lambda column: column.map({name: i for i, name in enumerate(GRADES[column.name])}))


def rule(chapter: Chapter) -> pd.DataFrame | str:
    """How many images of each sum of grades are reported as each class."""
    if not truth.known(chapter):
        return NO_RULE
    sums = grade_numbers(chapter).sum(axis=1).reindex(range(len(chapter.reports.table)))
    named = sums.map(lambda value: UNSEEN if np.isnan(value) else str(int(value)))
    table = pd.crosstab(named.rename("sum of the five grades"), truth.grades(chapter)["reported"])
    order = sorted(table.index, key=lambda name: (name == UNSEEN, len(name), name))
    return table.reindex(index=order, columns=chapter.reports.classes, fill_value=0).rename_axis(columns=None)


def noise(chapter: Chapter) -> Markdown | str:
    """How often the reported conclusion is not the rule's, and how far one grade alone would lead, in words."""
    if not truth.known(chapter):
        return NO_RULE
    table, numbers = truth.grades(chapter), grade_numbers(chapter)
    seen = table.loc[numbers.index]
    other = int((seen["rule"] != seen["reported"]).sum())
    right = (table["rule"] == table["reported"]).mean()
    alone = {part: np.mean(seen.groupby(part)["reported"].transform(lambda said: said.mode()[0]) == seen["reported"])
             for part in GRADES}
    best, worst = max(alone, key=alone.get), min(alone, key=alone.get)
    return Markdown(
        f"Of the {len(seen):,} images that can be assessed, {other:,} ({other / len(seen):.1%}) are reported as "
        f"another class than the rule gives. Whoever reads all grades without a mistake and knows the rule is right in "
        f"**{right:.1%}** of all {len(table):,} images: DCA has this ceiling. Whoever reads one grade, and names the "
        f"class that is most frequent with it, is right in {alone[best]:.0%} of the images that can be assessed with "
        f"the best of them ({best}) and in {alone[worst]:.0%} with the worst ({worst}).")


def twins(chapter: Chapter) -> Figure | str:
    """The image with most mitoses among those with most prominent nucleoli, and drawn again without either."""
    if not truth.known(chapter):
        return NO_TRUTH
    numbers = grade_numbers(chapter)
    rows = numbers.index[(numbers["mitosis"] == 2) & (numbers["nucleoli"] == 2)]
    if not len(rows):
        return "No image of this run has both frequent mitoses and prominent nucleoli."
    row = int(max(rows, key=lambda row: truth.mask(chapter, row, "mitosis").max()))
    pictures = [chapter.reports.read(row), *(truth.drawn_without(chapter, row, kind) for kind in truth.KINDS[1:])]
    titles = [chapter.reports.table["image"].iloc[row], *(f"without {kind}" for kind in truth.KINDS[1:])]
    return map_plots.images(pictures, titles, columns=3, width=9)


def five(chapter: Chapter, row: int | None = None) -> pd.DataFrame:
    """The reports of an image side by side, one line per part; of the first high-grade one without `row`."""
    reports = chapter.reports
    row = int(np.flatnonzero(reports.targets == reports.classes.index("high grade"))[0]) if row is None else row
    columns = [f"report {number}" for number in range(1, len(reports.texts[row]) + 1)]
    table = pd.DataFrame([reports.sentences(row, part) for part in reports.parts], reports.parts, columns)
    return table.rename_axis(reports.table["image"].iloc[row])


def faults() -> pd.DataFrame:
    """What happens to input that is not as it should be: `bad_input.table`."""
    return bad_input.table()


def sentences(chapter: Chapter) -> pd.DataFrame:
    """How the sentences of each part are written, as `bladder_reports.statistics`."""
    return bladder_reports.statistics(chapter.reports)


def words(chapter: Chapter) -> pd.DataFrame:
    """One row per fold: the words of its training reports, those of its test reports that are not among them, cuts."""
    reports, found = chapter.reports, {}
    for fold in range(chapter.settings.folds):
        vocabulary = chapter.vocabulary(fold)
        whole = [text for row in chapter.part("test", fold) for text in reports.full(row)]
        parts = [text for texts in reports.texts for report in texts for text in report.values()]
        every = [text for row in range(len(reports.texts)) for text in reports.full(row)]
        unknown = [word for text in whole for word in vocabulary.unknown(text)]
        found[f"fold {fold}"] = {"words known": len(vocabulary.words), "unknown in test": len(set(unknown)),
                                 "how often": len(unknown), "sentences cut": longer(parts, chapter.settings.longest),
                                 "whole reports cut": longer(every, chapter.settings.longest_report)}
    return pd.DataFrame(found).T


def by_colour(chapter: Chapter) -> pd.DataFrame:
    """Share of test images (%) of which colours, and the most frequent class, give the conclusion; by fold and in all.

    Intervals (95 %) over patients; `difference` is that of the two, of the same patients.
    """
    return pd.DataFrame({name: {"images": of["images"].iloc[0], "patients": of["patients"].iloc[0]} | {
        guess: tables.with_interval(one.mean, one.low, one.high, 1)
        for guess, one in zip(GUESSES, of.itertuples(), strict=True)} for name, of in shares(chapter).items()}).T


def colours_said(chapter: Chapter) -> Markdown:
    """Whether colours are better than the most frequent class, over all folds, in words."""
    colour, most, beyond = shares(chapter)["all"].itertuples()
    told = ("Colours say something about the conclusion" if beyond.low > 0 else
            "Colours do worse than naming the most frequent class" if beyond.high < 0 else
            "That colours say anything about the conclusion is not shown")
    return Markdown(f"{told}: they are right in {colour.mean:.1f} % of the {colour.images:,} images, the most frequent "
                    f"class in {most.mean:.1f} %; the difference is {beyond.mean:+.1f} points "
                    f"({interval(beyond.low, beyond.high, 1)}). A DCA has to be read against the better of the two.")


def shares(chapter: Chapter) -> dict[str, pd.DataFrame]:
    """By fold, and in all: a row each of GUESSES, in percent of the test images, as `resampling.mean_interval`."""
    parts = [chapter.part("test", fold) for fold in range(chapter.settings.folds)]
    right = [100 * np.stack([guess(chapter, fold) == chapter.reports.targets[rows] for guess in (colours, majority)],
                            axis=1) for fold, rows in enumerate(parts)]
    named = {f"fold {fold}": both for fold, both in enumerate(zip(parts, right, strict=True))}
    named["all"] = np.concatenate(parts), np.concatenate(right)
    return {name: _share(chapter, rows, of) for name, (rows, of) in named.items()}


def _share(chapter: Chapter, rows: np.ndarray, right: np.ndarray) -> pd.DataFrame:
    patients = chapter.reports.table["patient"].iloc[rows]
    table = resampling.mean_interval(np.column_stack([right, right[:, 0] - right[:, 1]]), patients,
                                     n_bootstrap=chapter.settings.draws, seed=chapter.seed)
    return table.assign(patients=patients.nunique())
