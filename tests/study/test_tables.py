"""Tables whose numbers are known: those of the evaluate functions, or made by hand."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest

from mdlib.evaluate import classification, per_class
from mdlib.study import tables
from mdlib.study.spec import RunSpec

NAMES = ("A", "B_b", "C")
NAN = float("nan")


@dataclass(frozen=True)
class Run(RunSpec):
    rate: str = "high"


@pytest.fixture(scope="module")
def problem():
    """Targets, patients, and scores of two networks of two seeds and of a baseline without seeds."""
    chance = np.random.default_rng(0)
    targets = (chance.random((80, 3)) < 0.4).astype(float)
    scores = {"good": chance.random((2, 80, 3)) + targets, "poor": chance.random((2, 80, 3)),
              "baseline": chance.random((1, 80, 3))}
    return scores, targets, np.arange(80) // 2


def test_aurocs_are_those_of_the_bootstrap_of_each_series(problem):
    scores, targets, patients = problem
    table = tables.aurocs(scores, targets, patients, NAMES, n_bootstrap=30, seed=3, panel="test")
    assert tuple(table) == tables.AUROCS and set(table["panel"]) == {"test"}
    assert list(dict.fromkeys(table["series"])) == ["good", "poor", "baseline"]
    for name, score in scores.items():
        expected = classification.bootstrap(targets, score, patients, names=NAMES, n_bootstrap=30, seed=3)
        own = table[table["series"] == name].set_index("class")
        pd.testing.assert_frame_equal(own[expected.columns], expected)
        assert set(own["seeds"]) == {len(score)}


def test_differences_are_those_of_the_plain_means_with_their_verdicts(problem):
    scores, targets, patients = problem
    pairs = [("good", "poor"), ("poor", "good"), ("poor", "baseline"), ("poor", "not trained")]
    table = tables.differences(scores, pairs, targets, patients, n_bootstrap=30, seed=3, panel="test")
    assert tuple(table) == tables.DIFFERENCES
    assert list(table["comparison"]) == ["good − poor", "poor − good", "poor − baseline"]
    for (a, b), (_, row) in zip(pairs, table.iterrows(), strict=False):
        expected = classification.paired_difference(targets, scores[a], scores[b], patients, n_bootstrap=30, seed=3,
                                                    average="plain")
        assert (row["difference"], row["low"], row["high"], row["seeds"]) == (
            expected.mean, expected.low, expected.high, 2)
    assert list(table["verdict"]) == ["higher", "lower", "undecided"]


def test_nothing_to_compare_gives_empty_tables_with_their_columns(problem):
    scores, targets, patients = problem
    options = {"n_bootstrap": 3, "seed": 0}
    for given in ({}, {"good": scores["good"][:, :0]}):
        n = 80 if not given else 0
        table = tables.aurocs(given, targets[:n], patients[:n], NAMES, **options)
        assert table.empty and tuple(table) == tables.AUROCS and tables.means(table).empty
    table = tables.differences(scores, [], targets, patients, **options)
    assert table.empty and tuple(table) == tables.DIFFERENCES
    assert list(tables.with_verdicts(table)) == ["panel", "comparison", "seeds", "difference", "95 % interval",
                                                 "verdict"]
    grid = tables.grid_differences(pd.DataFrame(), [(Run("a"), Run("b"))], "test")
    assert grid.empty and tuple(grid) == tables.GRID
    assert tuple(tables.long(pd.DataFrame(), {})) == ("row", "series", "value", "low", "high")


def test_verdicts_of_intervals_made_by_hand():
    table = pd.DataFrame({"network": list("abcd"), "mean": [0.02, -0.0125, 0.01, NAN], "low": [0.01, -0.03, -0.01, NAN],
                          "high": [0.03, -0.001, 0.03, NAN]})
    shown = tables.with_verdicts(table, "mean")
    assert list(shown) == ["network", "difference", "95 % interval", "verdict"]
    assert list(shown["verdict"]) == ["higher", "lower", "undecided", "undecided"]
    assert list(shown["difference"]) == ["+0.020", "−0.013", "+0.010", "–"]
    assert list(shown["95 % interval"]) == ["0.010–0.030", "−0.030 to −0.001", "−0.010 to +0.030", "–"]
    in_percent = tables.with_verdicts(table, "mean", digits=1, scale=100)
    assert in_percent.iloc[0, 1:3].tolist() == ["+2.0", "1.0–3.0"] and (in_percent["verdict"] == shown["verdict"]).all()


def test_means_stand_side_by_side_by_panel_the_plain_one_first(problem):
    scores, targets, patients = problem
    parts = [tables.aurocs(scores, targets, patients, NAMES, n_bootstrap=10, seed=0, panel=panel)
             for panel in ("val", "test")]
    table = tables.means(pd.concat(parts))
    assert list(table.index) == ["good", "poor", "baseline"]
    assert list(table.columns) == [("val", "plain mean"), ("val", "weighted mean"), ("test", "plain mean"),
                                   ("test", "weighted mean")]
    row = parts[0].query("series == 'poor' and `class` == 'weighted mean'").iloc[0]
    assert table.loc["poor", ("val", "weighted mean")] == f"{row['auroc']:.3f} ({row['low']:.3f}–{row['high']:.3f})"


def test_a_wide_table_keeps_the_order_and_leaves_blank_what_is_not_there():
    long = pd.DataFrame({"network": ["b", "b", "a"], "measure": ["y", "x", "x"], "mean": [0.5, 0.25, -0.5],
                         "low": [0.4, NAN, -0.75], "high": [0.6, NAN, 0.25]})
    table = tables.wide(long, "network", "measure")
    assert list(table.index) == ["b", "a"] and list(table) == ["y", "x"]
    assert table.to_numpy().tolist() == [["0.50 (0.40–0.60)", "0.25 (–)"], ["", "−0.50 (−0.75 to +0.25)"]]
    assert tables.wide(long[:0], "network", "measure").empty


def test_an_interval_without_width_is_no_certainty():
    table = pd.DataFrame({"ppv": [0.5, 1, NAN], "ppv_low": [0.25, 1, NAN], "ppv_high": [0.75, 1, NAN]})
    assert tables.intervals(table, {"ppv": "PPV"}, 1)["PPV"].tolist() == ["0.5 (0.2–0.8)", "1.0 (–)", "–"]
    assert tables.with_interval(1, 1, 1, 1) == "1.0 (1.0–1.0)"


def test_hits_are_counts_of_the_findings_that_have_pairs():
    rows = [("Mass", 0.5, 0.3, 0.7, 20), ("Big_Heart", 0.75, 0, 1, 2), ("Hernia", NAN, NAN, NAN, 0),
            (per_class.MEAN, 0.6, 0.4, 0.8, 22)]
    table = pd.DataFrame([("net", "map", "pointing game", *row) for row in rows],
                         columns=["network", "method", "measure", "finding", "mean", "low", "high", "pairs"])
    found = tables.hits(table)
    assert found.loc["net", "map"].to_dict() == {"Big Heart": "1.5 of 2", "Mass": "10 of 20 (0.30–0.70)"}
    assert tables.hits(table[:0]).empty and tables.hits(table[table["pairs"] == 0]).empty


def test_columns_with_ends_become_rows():
    table = pd.DataFrame({f"{name}{end}": [i, i + 10] for i, (name, end) in enumerate(
        (name, end) for name in ("x", "y") for end in ("", "_low", "_high"))}, index=["first", "second"])
    found = tables.long(table, {"x": "the x", "y": "the y"})
    assert found.to_numpy().tolist() == [["first", "the x", 0, 1, 2], ["second", "the x", 10, 11, 12],
                                         ["first", "the y", 3, 4, 5], ["second", "the y", 13, 14, 15]]


def test_grid_differences_pair_trainings_of_the_same_fold_and_seed():
    aurocs = {("one", "high", 0, 0): (0.8, 0.6), ("one", "high", 0, 1): (0.7, 0.5), ("one", "high", 1, 0): (0.9, 0.9),
              ("two", "high", 0, 0): (0.6, 0.6), ("two", "high", 0, 1): (0.7, NAN), ("two", "high", 2, 0): (0.1, 0.1),
              ("two", "low", 0, 0): (0.9, 0.9)}
    rows = [{"network": network, "rate": rate, "fold": fold, "seed": seed, "predicted": "test", "A": a, "B": b}
            for (network, rate, fold, seed), (a, b) in aurocs.items()]
    rows += [{**rows[0], "predicted": "val", "A": 0.0}]
    pairs = [(Run("one"), Run("two", seed=4)), (Run("one"), Run("three")), (Run("two", rate="low"), Run("two"))]
    table = tables.grid_differences(pd.DataFrame(rows), pairs, "test", panel="Fig. 9")
    assert tuple(table) == tables.GRID and set(table["panel"]) == {"Fig. 9"}
    assert list(table["comparison"]) == ["one, rate high − two, rate high", "two, rate low − two, rate high"]
    # of fold 0: 0.7 - 0.6 with seed 0; with seed 1, over A alone, 0.7 - 0.7
    np.testing.assert_allclose(table[["difference", "lowest", "highest"]], [[0.05, 0, 0.1], [0.3] * 3], atol=1e-12)
    assert table[["above 0", "pairs"]].to_numpy().tolist() == [[1, 2], [1, 1]]


def test_settings_that_differ_stand_beside_the_papers():
    table = tables.settings(Run("a", seed=1), Run("a"))
    assert table.to_dict("index") == {"seed": {"this run": "1", "paper profile": "0"}} and table.index.name == "setting"


def test_table_1_beside_ours_is_whole_numbers_with_their_difference():
    table = tables.beside_paper({"train": 15249, "test": np.int64(6110)}, {"train": 15249, "test": 6112})
    assert list(table.columns) == ["paper", "ours", "difference"]
    assert table.to_numpy().tolist() == [[15249, 15249, 0], [6112, 6110, -2]]
    assert set(map(str, table.dtypes)) == {"Int64"}


def test_what_one_side_does_not_have_is_missing():
    table = tables.beside_paper(pd.Series({"att_a": 0.75, "ours only": 0.5}), {"att_a": 0.7, "paper only": 0.9})
    assert list(table.index) == ["att_a", "ours only", "paper only"]
    assert abs(table.loc["att_a", "difference"] - 0.05) < 1e-12
    assert pd.isna(table.loc["ours only", "paper"]) and pd.isna(table.loc["paper only", "difference"])
