"""The clinician's tables and figures on a few tiny phantoms: thresholds from validation, everything else from test."""

import numpy as np
import pandas as pd

from mdlib.evaluate import average_precision, calibration, thresholds
from mdlib.recipes import chest
from mdlib.recipes.chest import clinic

NET = "densenet121"


def of(chapter, part):
    rows = chapter.rows[part]
    return chapter.targets[rows], clinic.probabilities(chapter, NET, part), chapter.table["patient"].iloc[rows]


def test_the_test_probabilities_are_those_that_are_kept(tiny):
    kept = chest.predictions(tiny, chest.Training(NET)).query("part == 'test'")
    np.testing.assert_allclose(clinic.probabilities(tiny, NET, "test"), kept[list(tiny.classes)], atol=1e-6)
    assert clinic.probabilities(tiny, NET, "val").shape == (len(tiny.rows["val"]), 15)


def test_a_threshold_never_comes_from_the_test_part(tiny, monkeypatch):
    """Whatever is not the validation part is not even asked for."""
    found, asked = clinic.probabilities, []
    monkeypatch.setattr(clinic, "probabilities", lambda *which: asked.append(which[2]) or found(*which))
    (tiny.run.folder / "answers" / f"clinic_points_{NET}.json").unlink(missing_ok=True)
    points = clinic.operating_points(tiny, NET)
    assert asked == ["val"]
    target, probability, _ = of(tiny, "val")
    pd.testing.assert_frame_equal(points, thresholds.choose(target, probability, tiny.classes), check_index_type=False)


def test_the_figures_are_those_of_the_test_part(tiny):
    target, probability, patients = of(tiny, "test")
    points, options = clinic.operating_points(tiny, NET), {"names": tiny.classes, "n_bootstrap": 20, "seed": 0}
    table = clinic.performance(tiny, NET)
    areas = average_precision.average_precision(target, probability, patients, **options)
    rates = thresholds.at(target, probability, points["threshold"], patients, **options)
    for column in ("sensitivity", "specificity_low", "ppv_high", "threshold", "called"):
        np.testing.assert_array_equal(table[column], rates[column])
    for column in ("average_precision", "prevalence", "positives"):
        np.testing.assert_array_equal(table[column], areas[column])
    errors = calibration.errors(target, probability, patients, **options)
    np.testing.assert_array_equal(clinic.calibration_errors(tiny, NET)[errors.columns], errors)
    pd.testing.assert_frame_equal(clinic.performance(tiny, NET), table)


def test_every_image_of_the_test_part_is_in_one_part_of_each_kind_and_too_few_are_left_blank(tiny, monkeypatch):
    monkeypatch.setattr(clinic, "FEWEST", 3)
    table = clinic.by_part(tiny, NET)
    one = table[(table["measure"] == "AUROC") & (table["class"] == "No Finding")]
    assert (one.groupby("by")["images"].sum() == len(tiny.rows["test"])).all()
    few = table[["positive_patients", "negative_patients"]].min(axis=1) < clinic.FEWEST
    assert few.any() and not few.all()
    assert table.loc[few, ["value", "low", "difference"]].isna().all(axis=None)
    assert table.loc[~few & (table["measure"] == "AUROC"), "value"].notna().all()


def test_ages_are_cut_at_40_and_60_and_an_unknown_age_is_in_no_group():
    table = pd.DataFrame({"view": "PA", "sex": "F", "age": [0, 39, 40, 59, 60, 95, np.nan]})
    ages = clinic.part_of(table)["age"]
    assert ages.tolist()[:6] == ["under 40"] * 2 + ["40 to 59"] * 2 + ["60 or more"] * 2 and pd.isna(ages[6])


def test_every_class_is_named_in_every_table_and_figure(tiny):
    points, table, parts = (make(tiny, NET) for make in (clinic.operating_points, clinic.performance, clinic.by_part))
    names = [chest.exhibits.figures.words(name) for name in tiny.classes]
    shown = [clinic.points_table(points), clinic.performance_table(table),
             clinic.calibration_table(clinic.calibration_errors(tiny, NET)), clinic.parts_table(parts, "view", "AUROC")]
    assert all(list(frame.index) == names for frame in shown)
    assert list(shown[-1].columns) == ["PA", "AP"]
    titles = [axis.get_title().split("\n")[0] for axis in clinic.calibration_figure(tiny, NET).axes]
    assert titles == names
    for figure in (clinic.performance_figure(tiny, NET), *(clinic.parts_figure(tiny, NET, by) for by in clinic.PARTS)):
        labels = [label.get_text().rsplit(" (", 1)[0] for label in figure.axes[0].get_yticklabels()]
        assert labels == names and f"{len(tiny.rows['test'])} images" in figure.get_suptitle()


def test_the_sentences_count_what_the_tables_hold(tiny):
    points, table = clinic.operating_points(tiny, NET), clinic.performance(tiny, NET)
    few = (points["positives"] < clinic.FEWEST).sum()
    assert clinic.points_in_words(points).data.startswith(f"{few} of 15 thresholds rest on fewer than 10")
    measured = table.dropna(subset=["average_precision", "sensitivity"])
    assert f"of {len(measured)} classes" in clinic.performance_in_words(points, table).data
    errors = clinic.calibration_errors(tiny, NET)
    assert f"In {(errors['ece_low'] > 0).sum()} of 15 classes the calib" in clinic.calibration_in_words(errors).data
    said, parts = clinic.parts_in_words(clinic.by_part(tiny, NET)).data, clinic.by_part(tiny, NET)
    for by, line in zip(clinic.PARTS, said.split("\n"), strict=True):
        others = parts[(parts["by"] == by) & (parts["part"] != clinic.PARTS[by][0])]
        blank = others["difference_low"].isna().sum()
        assert f"By {by}: {len(others) - blank} differences" in line and f"{blank} more left blank" in line


def test_where_nothing_is_defined_the_sentences_say_so():
    nothing = pd.DataFrame({"average_precision": [np.nan], "sensitivity": [np.nan]}, index=["Hernia"])
    assert clinic.performance_in_words(nothing, nothing).data.startswith("No class has a threshold")


def test_a_kind_of_part_that_is_not_there_is_left_blank(tiny):
    """All images of one view: every figure of the other is blank, and the figure is drawn all the same."""
    table = clinic.by_part(tiny, NET)
    figures = [name for name in table if name.startswith(("value", "low", "high", "difference"))]
    table.loc[table["part"] == "AP", figures] = np.nan
    assert clinic.clinic_figures.differences(table[table["by"] == "view"], "no AP").axes
    assert "0 differences from PA" in clinic.parts_in_words(table).data
