"""Tables as notebooks show them: sensible digits, a header without empty lines, names that stay in view."""

import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from mdlib.widgets import dataframes


@pytest.mark.parametrize("column, expected", [
    ([7920527, -3, 0], ["7,920,527", "−3", "0"]),
    ([9.536743e-07, 6.185859, 0.0], ["9.5e-07", "6.186", "0.000"]),
    ([0.8184, 0.78, 1.0], ["0.818", "0.780", "1.000"]),                     # digits below each other
    ([-0.0494, 0.5, 9e-5], ["−0.049", "0.500", "9e-05"]),
    ([-1e-17, np.inf], ["−1e-17", "inf"]),
    ([1379.4, 0.3, -4.0], ["1,379", "0.3", "−4"]),
    ([1.0, np.nan, 150.0], ["1", "–", "150"]),                              # counts that became floats
    (pd.Series([1, None], dtype="Int64"), ["1", "–"]),
    (pd.Series([1.5, None], dtype="Float64"), ["1.5", "–"]),
    ([np.float32(0.1), np.int64(12000), np.True_], ["0.1", "12,000", "True"]),
    (["0.71 (0.64–0.78)", None, (2, 2), pd.NaT], ["0.71 (0.64–0.78)", "–", "(2, 2)", "–"]),
    ([], [])])
def test_values_as_text(column, expected):
    assert dataframes.texts(column) == expected


def cells(row: str) -> list[str]:
    return [text.replace("&nbsp;", "") for text in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row)]


def lines(table: pd.DataFrame) -> tuple[list[list[str]], list[list[str]]]:
    """The cells of the header's lines and of the body's."""
    head, body = dataframes.html(table).split("</thead>")
    return tuple([cells(row) for row in re.findall(r"<tr>(.*?)</tr>", part, re.S)] for part in (head, body))


SCORES = pd.DataFrame({"shown": [0.5, 1.0], "hits": [1200, 3]}, index=pd.MultiIndex.from_tuples(
    [("att_a", "Grad-CAM"), ("att_a", "attention 1")], names=["network", "method"]))


def test_the_names_of_rows_stand_in_the_one_line_of_the_header():
    head, body = lines(SCORES)
    assert head == [["network", "method", "shown", "hits"]]
    assert body == [["att_a", "Grad-CAM", "0.5", "1,200"], ["attention 1", "1.0", "3"]]


def test_the_name_of_the_columns_stands_above_them():
    head, _ = lines(SCORES.rename_axis(columns="measure"))
    assert head == [["", "", "measure"], ["network", "method", "shown", "hits"]]
    head, _ = lines(SCORES.droplevel(0).rename_axis(index=None, columns="measure"))
    assert head == [["measure", "shown", "hits"]]


def test_columns_of_two_levels_have_two_lines():
    table = pd.DataFrame([[1, 2, 3]], columns=pd.MultiIndex.from_tuples([("a", "x"), ("a", "y"), ("b", "x")]),
                         index=pd.Index(["r"], name="row"))
    assert lines(table) == ([["", "a", "b"], ["row", "x", "y", "x"]], [["r", "1", "2", "3"]])


def test_row_numbers_are_left_out_and_other_names_are_not():
    table = pd.DataFrame({"a": [1, 2]})
    assert lines(table) == ([["a"]], [["1"], ["2"]])
    assert lines(table.rename_axis("step")) == ([["step", "a"]], [["0", "1"], ["1", "2"]])
    assert lines(table.iloc[[1]].set_axis([7])) == ([["", "a"]], [["7", "2"]])


def rule(table: pd.DataFrame, selector: str) -> str:
    """The declarations of the rules of one selector."""
    return " ".join(re.findall(rf"#T_\w+\s+{re.escape(selector)} \{{(.*?)\}}", dataframes.html(table), re.S))


def test_words_stand_on_the_left_and_wrap_and_numbers_do_not():
    table = pd.DataFrame({"estimate": ["0.83 (0.77–0.90); 19 of 50", "–"], "verdict": ["undecided", "higher"]})
    assert rule(table, ".col0") == "" and "nowrap" in rule(table, "td") and "right" in rule(table, "td")
    assert "text-align: left" in rule(table, ".col1") and "white-space: normal" in rule(table, ".col1")


def test_an_interval_may_go_below_its_number_and_is_never_broken_itself():
    table = pd.DataFrame({"estimate": ["0.83 (−0.77 to +0.90); 19 of 50"], "said": ["Table 2 (five of them)"]})
    text = dataframes.html(table)
    gap = '<span class="gap"> </span>'
    assert f">0.83{gap}(−0.77 to +0.90);{gap}19 of 50<" in text and ">Table 2 (five of them)<" in text


def test_names_of_rows_stay_in_view_each_level_beside_the_one_before():
    assert "left: 0ch" in rule(SCORES, "tbody th.level0") and "sticky" in rule(SCORES, "tbody th.level0")
    width = re.search(r"max-width: (\d+)ch", rule(SCORES, "tbody th.level0"))[1]
    assert f"left: {width}ch" in rule(SCORES, "tbody th.level1")
    long = SCORES.rename(index={"att_a": "a_name_of_many_characters", "Grad-CAM": "another_long_one_behind_it"})
    assert "sticky" in rule(long, "tbody th.level0") and rule(long, "tbody th.level1") == ""


def test_no_word_of_a_level_is_wider_than_the_level():
    labels = ["densenet121_nonimage", "a b c d e f g h i j k l m n o p"]
    table = pd.DataFrame({"x": [1, 2]}, index=pd.MultiIndex.from_product([labels, ["m"]], names=["network", "of"]))
    assert int(re.search(r"max-width: (\d+)ch", rule(table, "tbody th.level0"))[1]) > len(labels[0])


def test_a_long_table_is_cut_and_an_empty_one_says_so():
    text = dataframes.html(pd.DataFrame({"a": range(1200)}), max_rows=20)
    assert text.count("<td") == 20 and "<p>first 20 of 1,200 rows</p>" in text
    text = dataframes.html(pd.DataFrame(np.zeros((3, 500))), max_columns=20)
    assert text.count("<td") == 60 and "<p>first 20 of 500 columns</p>" in text
    assert "no rows" in dataframes.html(pd.DataFrame({"a": []})) and "no rows" in dataframes.html(pd.DataFrame())
    assert "rows</p>" not in dataframes.html(SCORES)


def test_the_table_itself_is_not_changed_and_equal_tables_look_the_same():
    table, before = SCORES.rename_axis(columns="measure"), SCORES.rename_axis(columns="measure")
    assert dataframes.html(table) == dataframes.html(table)
    pd.testing.assert_frame_equal(table, before)
    assert table.index.names == ["network", "method"] and table.columns.name == "measure"


def test_text_is_escaped():
    text = dataframes.html(pd.DataFrame({"<b>a": ["<i>"]}, index=pd.Index(["<u>"], name="<s>")))
    assert not re.search("<[bius]>", text) and text.count("&lt;") == 4


def test_names_that_are_twice_there_do_not_matter():
    table = pd.DataFrame([[1, 2], [3, 4]], index=["r", "r"], columns=["c", "c"])
    assert lines(table) == ([["", "c", "c"]], [["r", "1", "2"], ["r", "3", "4"]])


SHELL = """
from IPython.core.interactiveshell import InteractiveShell
import pandas as pd
shell = InteractiveShell.instance()
{imported}
shown, _ = shell.display_formatter.format(pd.DataFrame({{"n": [7920527]}}))
print("7,920,527" in shown["text/html"], "7920527" in shown["text/plain"])
"""


@pytest.mark.parametrize("imported, expected", [("", "False True"), ("import mdlib.study.results", "True True")])
def test_a_notebook_that_imports_the_study_layer_shows_tables_so(imported, expected):
    pytest.importorskip("IPython")
    told = subprocess.run([sys.executable, "-c", SHELL.format(imported=imported)], capture_output=True, text=True)
    assert told.stdout.strip() == expected, told.stderr


def test_elsewhere_it_does_nothing_and_does_not_ask_for_ipython():
    code = "import sys, mdlib.study.tables; print('IPython' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert told.stdout.strip() == "False", told.stderr
