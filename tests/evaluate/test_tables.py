import numpy as np
import pandas as pd

from mdlib.evaluate.tables import beside_paper, interval


def test_table_1_beside_ours_is_whole_numbers_with_their_difference():
    table = beside_paper({"train": 15249, "test": np.int64(6110)}, {"train": 15249, "test": 6112})
    assert list(table.columns) == ["paper", "ours", "difference"]
    assert table.to_numpy().tolist() == [[15249, 15249, 0], [6112, 6110, -2]]
    assert set(map(str, table.dtypes)) == {"Int64"}


def test_what_one_side_does_not_have_is_missing():
    table = beside_paper(pd.Series({"att_a": 0.75, "ours only": 0.5}), {"att_a": 0.7, "paper only": 0.9})
    assert list(table.index) == ["att_a", "ours only", "paper only"]
    assert abs(table.loc["att_a", "difference"] - 0.05) < 1e-12
    assert pd.isna(table.loc["ours only", "paper"]) and pd.isna(table.loc["paper only", "difference"])


def test_intervals_read_well():
    assert interval(0.6849, 0.7351) == "0.68–0.74"
    assert interval(-0.0123, 0.0456, digits=3) == "−0.012 to +0.046"
    assert interval(float("nan"), 0.5) == "–"
