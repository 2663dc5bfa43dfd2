"""Figures whose numbers are known, read back from the axes."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb

from mdlib.explain import overlay
from mdlib.study import map_plots, plots
from mdlib.study.cases import outlines
from mdlib.study.saliency import OTHER_IMAGE
from mdlib.study.spec import RunSpec

NAN = float("nan")


@dataclass(frozen=True)
class Run(RunSpec):
    rate: str = "high"


def marks(axis):
    """By label, the points of an axis: x, y."""
    return {line.get_label(): np.array(line.get_xydata()).tolist() for line in axis.lines
            if line.get_label()[0] != "_" and line.get_marker() != "None"}


def segments(axis):
    """The horizontal bars of an axis, those that are drawn: low, high, y of each."""
    return [(*bar[:, 0], bar[0, 1]) for bars in axis.collections for bar in bars.get_segments() if len(bar)]


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def rows(axis):
    return dict(zip(axis.get_yticks().tolist(), (label.get_text() for label in axis.get_yticklabels()), strict=True))


def says_nothing(figure):
    (axis,) = figure.axes
    return [text.get_text() for text in axis.texts] == ["nothing to show"]


@pytest.fixture
def table():
    """Two rows; two series in the first panel, one in the second."""
    return pd.DataFrame([("p", "A", "one", 0.5, 0.4, 0.7), ("p", "B", "one", 0.6, 0.5, 0.8),
                         ("p", "A", "two", 0.9, 0.8, 1.0), ("q", "B", "one", 0.1, 0.0, 0.2)],
                        columns=["panel", "row", "series", "value", "low", "high"])


def test_each_estimate_is_a_point_with_its_interval_beside_its_row(table):
    figure = plots.estimates(table, xlabel="value, 95 % interval", ylabel="row", title="of 3 images")
    first, second = figure.axes
    assert rows(first) == {0: "A", 1: "B"} and (first.get_title(), second.get_title()) == ("p", "q")
    assert marks(first) == {"one": [[0.5, -0.125], [0.6, 0.875]], "two": [[0.9, 0.125]]}
    assert segments(first) == [(0.4, 0.7, -0.125), (0.5, 0.8, 0.875), (0.8, 1.0, 0.125)]
    assert marks(second) == {"one": [[0.1, 1.0]]}, "where no row has two series, points are on their row"
    assert first.yaxis_inverted() and first.get_ylabel() == "row"
    assert {axis.get_xlabel() for axis in figure.axes} == {"value, 95 % interval"}
    assert legend(figure) == ["one", "two"] and figure.get_suptitle() == "of 3 images"


def test_a_long_label_stands_once_below_all_panels_and_the_legend_of_a_tall_figure_above(table):
    text = "pointing game; 95 % interval over patients"
    figure = plots.estimates(table, xlabel=text)
    assert figure.legends[0].get_title().get_text() == text and {axis.get_xlabel() for axis in figure.axes} == {""}
    assert plots.estimates(table.drop(columns="series"), xlabel=text).get_supxlabel() == text
    figure = plots.estimates(pd.concat([table.assign(row=table["row"] + str(i), panel="p") for i in range(12)]))
    figure.draw_without_rendering()
    (axis,), (above,) = figure.axes, figure.legends
    assert above.get_window_extent().y0 > axis.get_window_extent().y1


def test_a_series_has_one_colour_and_one_marker_in_all_panels(table):
    first, second = plots.estimates(table).axes
    one, two, other = first.lines[0], first.lines[1], second.lines[0]
    assert one.get_color() == other.get_color() != two.get_color()
    assert one.get_marker() == other.get_marker() != two.get_marker()
    assert to_rgb(one.get_color()) == pytest.approx(plots.COLOURS[0])


def test_limits_of_the_axis_hold_in_every_panel(table):
    assert [axis.get_xlim() for axis in plots.estimates(table, xlim=(-0.5, 1.5)).axes] == 2 * [(-0.5, 1.5)]
    first, second = (axis.get_xlim() for axis in plots.estimates(table).axes)
    assert first != second, "without limits each panel has its own"


def test_values_without_interval_are_hollow_beside_their_series_or_grey(table):
    validation = pd.DataFrame({"panel": ["p"], "row": ["B"], "series": ["one"], "value": [0.55]})
    chance = pd.DataFrame({"panel": ["q", "q"], "row": ["B", "unknown"], "value": [0.3, 0.9]})
    figure = plots.estimates(table, beside={"on validation": validation, "chance": chance})
    first, second = figure.axes
    assert marks(first)["one on validation"] == [[0.55, 0.875]]
    hollow = next(line for line in first.lines if line.get_label() == "one on validation")
    assert hollow.get_markerfacecolor() == "none" and hollow.get_color() == first.lines[0].get_color()
    assert marks(second)["chance"][0] == [0.3, 1.0] and np.isnan(marks(second)["chance"][1][1])
    assert legend(figure) == ["one", "two", "one on validation", "chance"]


def test_reference_lines_are_at_one_value_or_at_one_per_panel(table):
    figure = plots.estimates(table, lines={"half": 0.5, "uniform": pd.Series({"p": 0.2, "q": 0.3})})
    at = [[line.get_xdata()[0] for line in axis.lines if line.get_label() in ("half", "uniform")]
          for axis in figure.axes]
    assert at == [[0.5, 0.2], [0.5, 0.3]]


def test_rows_may_be_told_apart_by_two_columns_and_ends_named_after_their_value():
    table = pd.DataFrame({"network": ["a", "a", "b"], "method": ["x", "y", "x"], "gap": [1.0, 2, NAN],
                          "gap_low": [0.0, 1, NAN], "gap_high": [2.0, 3, NAN]})
    (axis,) = plots.estimates(table, "gap", row=["network", "method"], series="network").axes
    assert rows(axis) == {0: "x", 1: "y", 2: "x"}
    assert marks(axis)["a"] == [[1, 0], [2, 1]] and segments(axis) == [(0, 2, 0), (1, 3, 1)]


def test_aurocs_stand_beside_chance_and_published_values():
    table = pd.DataFrame({"panel": "test", "series": "net", "class": ["Pleural_Thickening", "plain mean"],
                          "auroc": [0.7, 0.8], "low": [0.6, 0.7], "high": [0.8, 0.9]})
    published = pd.DataFrame({"Somebody": [0.75]}, index=["Pleural_Thickening"])
    (axis,) = (figure := plots.aurocs(table, published)).axes
    assert rows(axis) == {0: "Pleural Thickening", 1: "plain mean"}
    assert marks(axis) == {"net": [[0.7, 0], [0.8, 1]], "Somebody (published)": [[0.75, 0]]}
    assert legend(figure) == ["net", "Somebody (published)", "chance"]
    assert axis.lines[-1].get_xdata()[0] == 0.5 and "95 % interval" in axis.get_xlabel()


def test_learning_curves_have_a_panel_per_column_and_a_band_over_seeds():
    histories = {Run("net", seed=0): [{"loss": 3.0, "val_loss": 1.0}, {"loss": 1.0, "val_loss": 2.0}],
                 Run("net", seed=1): [{"loss": 5.0, "val_loss": 1.0}, {"loss": 2.0, "val_loss": 2.0}],
                 Run("net", rate="low"): [{"loss": 7.0}]}
    figure = plots.learning_curves(histories)
    loss, validation = figure.axes
    assert (loss.get_title(), validation.get_title(), loss.get_xlabel()) == ("loss", "validation loss", "epoch")
    assert marks(loss) == {"net, rate high": [[1, 4], [2, 1.5]], "net, rate low": [[1, 7]]}
    band = loss.collections[0].get_paths()[0].vertices
    assert {tuple(point) for point in band} >= {(1, 3), (1, 5), (2, 1), (2, 2)}
    assert marks(validation)["net, rate high"] == [[1, 1], [2, 2]]
    assert loss.lines[0].get_linestyle() != loss.lines[1].get_linestyle()
    (axis,) = plots.learning_curves(histories, {"val_loss": "mean loss on 5 images", "absent": "x"}).axes
    assert axis.get_title() == "mean loss on 5 images"


def test_a_grid_of_numbers_keeps_the_order_of_rows_and_columns():
    table = pd.DataFrame({"row": ["z", "a", "z"], "column": ["y", "y", "b"], "value": [0.25, 0.5, 0.75]})
    axis = plots.heatmap(table, label="mass").axes[0]
    assert [label.get_text() for label in axis.get_yticklabels()] == ["z", "a"]
    assert [label.get_text() for label in axis.get_xticklabels()] == ["y", "b"]
    assert [text.get_text() for text in axis.texts] == ["0.25", "0.75", "0.50"]


def test_reliability_has_a_panel_per_class_with_its_own_scale():
    table = pd.DataFrame({"class": ["A_b", "A_b", "C"], "images": [5, 6, 7], "positives": [1, 3, 0],
                          "probability": [0.1, 0.4, 0.2], "share": [0.2, 0.5, 0.0], "low": [0.1, 0.3, 0],
                          "high": [0.3, 0.8, 0]})
    figure = plots.reliability(table, "net")
    first, second = figure.axes
    assert first.get_title() == "A b\n4 of 11" and second.get_xlim()[1] == pytest.approx(0.21)
    np.testing.assert_allclose(first.lines[1].get_xydata(), [[0.1, 0.2], [0.4, 0.5]])
    np.testing.assert_allclose(first.lines[0].get_xydata(), [[0, 0], [0.84, 0.84]])
    assert "5 to 7 images" in figure.get_supxlabel()


def test_an_empty_table_gives_a_figure_that_says_so(table):
    assert says_nothing(plots.estimates(table[:0])) and says_nothing(plots.estimates(pd.DataFrame()))
    assert says_nothing(plots.curves(table[:0], "low")) and says_nothing(plots.heatmap(table[:0]))
    assert says_nothing(plots.learning_curves({})) and says_nothing(plots.reliability(table[:0]))
    assert says_nothing(plots.aurocs(pd.DataFrame(columns=["panel", "series", "class", "auroc", "low", "high"])))
    empty = pd.DataFrame(columns=["network", "method", "measure", "mean", "low", "high", "pairs", "step", "part"])
    assert says_nothing(map_plots.randomisation(empty)) and says_nothing(map_plots.exchange_curves(empty))
    assert says_nothing(map_plots.images([], []))


def test_images_stand_in_rows_with_their_outlines():
    image, mask = np.zeros((8, 4), np.uint8), np.zeros((8, 4), bool)
    mask[2:4, 1:3] = True
    figure = map_plots.images([image, None, image], iter(["a", "b", "c"]), columns=2,
                              outlines=[[], [], outlines(mask)])
    assert [axis.get_title() for axis in figure.axes] == ["a", "", "c", ""]
    assert [len(axis.images) for axis in figure.axes] == [1, 0, 1, 0]
    assert figure.axes[0].images[0].get_clim() == (0, 255)
    x, y = figure.axes[2].lines[0].get_data()
    # pixels 1 and 2 across, 2 and 3 down: their edges, where the centre of the first pixel is 0
    assert (x.min(), x.max(), y.min(), y.max()) == (0.5, 2.5, 1.5, 3.5)


def test_a_heat_map_without_signal_leaves_the_image_as_it_is():
    image, raw = np.full((4, 4), 100, np.uint8), np.array([[0.0, 2.0], [-1.0, 1.0]])
    mask = np.eye(4, dtype=bool)
    figure = map_plots.heat_maps(image, {"map": raw, "dead": raw}, mask, "cause", signal={"dead": False})
    shown = [np.asarray(axis.images[0].get_array()) for axis in figure.axes[:3]]
    np.testing.assert_array_equal(shown[1], overlay.blend(image, overlay.normalize(raw)))
    assert (shown[0] == 100).all() and (shown[2] == 100).all()
    assert [axis.get_title() for axis in figure.axes[:3]] == ["cause", "map", "dead"]
    assert all(len(axis.lines) == len(outlines(mask)) for axis in figure.axes[:3])


def test_deletion_and_insertion_stand_beside_the_random_order():
    points = {"deletion map 0": 0.9, "deletion map 2": 0.1, "deletion map 1": 0.3, "deletion random 0": 0.9,
              "deletion random 1": 0.6, "deletion random 2": 0.1, "insertion map 0": 0.1, "insertion map 2": 0.9,
              "deletion": 0.2}
    table = pd.DataFrame({"measure": list(points), "mean": list(points.values())})
    deletion, insertion = map_plots.exchange_curves(table.assign(low=table["mean"] / 2, high=1)).axes
    assert {(0.5, 0.15), (0.5, 1)} <= {tuple(point) for point in deletion.collections[0].get_paths()[0].vertices}
    assert marks(deletion) == {"order of the map": [[0, 0.9], [0.5, 0.3], [1, 0.1]],
                               "random order": [[0, 0.9], [0.5, 0.6], [1, 0.1]]}
    assert (deletion.get_title(), insertion.get_title()) == ("deletion", "insertion")
    assert marks(insertion) == {"order of the map": [[0, 0.1], [1, 0.9]]}


def test_randomisation_starts_at_the_trained_network_and_ends_beside_another_image():
    table = pd.DataFrame([("m", 0, "classifier", 0.8, 0.7, 0.9), ("m", 1, "features.norm5", 0.2, 0.1, 0.3),
                          ("m", -1, OTHER_IMAGE, 0.4, 0.3, 0.5), ("dead", 0, "classifier", NAN, NAN, NAN)],
                         columns=["method", "step", "part", "mean", "low", "high"]).assign(network="net", pairs=7)
    figure = map_plots.randomisation(table)
    (axis,) = figure.axes
    assert marks(axis) == {"m": [[-1, 1], [0, 0.8], [1, 0.2]]} and axis.get_title() == "net, n = 7 pairs"
    assert [label.get_text() for label in axis.get_xticklabels()] == ["trained", "classifier", "norm5", OTHER_IMAGE]
    assert axis.lines[1].get_xydata().tolist() == [[2.2, 0.4]]
    assert legend(figure) == ["m"]
