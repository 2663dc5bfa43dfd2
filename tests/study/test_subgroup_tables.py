"""Tables and a figure of subgroups, on a few tiny phantoms."""

import numpy as np
import pandas as pd
import pytest
from tiny_chest import IMAGE

from mdlib.evaluate import subgroups, thresholds
from mdlib.papers import chest
from mdlib.study import plots, subgroup_tables


@pytest.fixture(scope="module")
def compared(trained_chest):
    """What the page compares, by view and sex; with three patients instead of ten, so that something is left."""
    val, test = (trained_chest.predict([IMAGE], part) for part in ("val", "test"))
    points = thresholds.choose(val.targets, val.scores["densenet121"][0], val.names)
    part = trained_chest.data.table.iloc[trained_chest.data.rows("test")]
    options = {"names": test.names, "min_patients": 3, "n_bootstrap": 20}
    return pd.concat([subgroups.compare(test.targets, test.scores["densenet121"][0], points["threshold"], part[by],
                                        test.patients, parts=order, **options).assign(by=by)
                      for by, order in (("view", ("PA", "AP")), ("sex", ("F", "M")))], ignore_index=True)


def test_thresholds_come_from_other_images_than_everything_else(trained_chest):
    val, test = (trained_chest.predict([IMAGE], part) for part in ("val", "test"))
    assert not set(val.labels.index) & set(test.labels.index)
    assert not set(val.patients) & set(test.patients)


def test_each_image_of_the_test_part_is_in_one_group_and_too_few_patients_give_no_number(tiny_chest, compared):
    one = compared[(compared["measure"] == "AUROC") & (compared["class"] == "No Finding")]
    assert (one.groupby("by")["images"].sum() == len(tiny_chest.data.rows("test"))).all()
    few = compared[["positive_patients", "negative_patients"]].min(axis=1) < 3
    assert few.any() and not few.all()
    assert compared.loc[few, ["value", "low", "difference"]].isna().all(axis=None)


def test_a_measure_by_group_is_shown_with_its_interval_and_its_images(compared):
    one = compared[(compared["by"] == "view") & (compared["measure"] == "AUROC")]
    table = subgroup_tables.wide(one)
    assert list(table) == ["PA", "AP"] and list(table.index) == [plots.words(name) for name in chest.CLASSES]
    first = one.iloc[0]
    assert table.iloc[0, 0].startswith(f"{first['value']:.2f} (")
    assert table.iloc[0, 0].endswith(f"; {first['positives']} of {first['images']}")


def of(by, part, difference, low, high, name="Mass"):
    return {"by": by, "measure": "AUROC", "part": part, "class": name, "difference": difference,
            "difference_low": low, "difference_high": high}


def test_differences_are_counted_by_what_is_compared():
    nan = np.nan
    table = pd.DataFrame([
        of("view", "PA", 0, 0, 0), of("view", "AP", 0.1, -0.1, 0.3), of("view", "AP", -0.4, -0.6, -0.2),
        of("view", "AP", 0.2, 0.1, 0.3), of("view", "AP", 0.0, -0.1, 0.1),
        of("age", "young", nan, nan, nan), of("age", "old", nan, nan, nan)])
    count = subgroup_tables.count_differences(table)
    assert list(count.index) == ["view", "age"]
    assert count.loc["view"].tolist() == [4, 0, 2, 0.2] and count.loc["age"].tolist() == [0, 1, 0, 0]
    largest = subgroup_tables.largest_differences(table)
    assert largest.loc["view", "difference (95 % interval)"] == "−0.40 (−0.60 to −0.20)" and len(largest) == 1


def test_a_figure_has_a_panel_per_measure_and_names_the_images_of_each_group(compared):
    by_view = compared[compared["by"] == "view"]
    figure = subgroup_tables.differences_figure(by_view, "of 5 images")
    assert [axis.get_title() for axis in figure.axes] == list(subgroups.MEASURES)
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    counts = by_view[by_view["measure"] == "AUROC"].pivot(index="class", columns="part", values="positives")
    assert labels[0] == f"No Finding ({counts.loc['No Finding', 'PA']} / {counts.loc['No Finding', 'AP']})"
    assert len(labels) == 15 and figure.get_suptitle() == "of 5 images"
    (legend, _) = (text.get_text() for text in figure.legends[0].get_texts())
    assert legend.startswith("AP minus PA (")


def test_a_group_that_is_not_there_is_left_blank(compared):
    """All images of one view: nothing is compared, and the figure is drawn all the same."""
    by_view = compared[compared["by"] == "view"].copy()
    numbers = [name for name in by_view if name.startswith(("value", "low", "high", "difference"))]
    by_view.loc[by_view["part"] == "AP", numbers] = np.nan
    assert len(subgroup_tables.differences_figure(by_view).axes) == len(subgroups.MEASURES)
    assert subgroup_tables.count_differences(by_view)["compared"].tolist() == [0]
    assert subgroup_tables.largest_differences(by_view).empty
    assert subgroup_tables.differences_figure(by_view[:0]).axes[0].texts[0].get_text() == "nothing to show"
