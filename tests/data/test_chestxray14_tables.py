"""NIH's own files, copies that differ in form, and every way in which a row or a file can be wrong."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from nih_folder import BOXES, HEADER, ROWS, edit, write

from mdlib.data import chestxray14, chestxray14_tables
from mdlib.data.chestxray14 import CLASSES, ChestXray14, read_boxes, read_lists, read_table
from mdlib.errors import DataError, SettingsError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path)


@pytest.mark.parametrize("change", [
    lambda text: "\ufeff" + text,                                                   # Excel's mark at the start
    lambda text: text.replace("\n", "\r\n"),                                        # Windows' line ends
    lambda text: text.replace("\n", ",\n"),                                         # a trailing empty column
    lambda text: text.replace(ROWS[0], ROWS[0] + ","),
    lambda text: text.replace(",57,", ",057Y,").replace(",7,", ",084M,"),           # ages as first published
    lambda text: text.replace(",Hernia,", ", Hernia ,").replace("|", " | "),         # stray spaces
    lambda text: text + "\n\n  \n",                                                  # blank lines at the end
], ids=["bom", "crlf", "trailing column", "one long row", "058Y", "spaces", "blank lines"])
def test_copies_that_differ_in_form_read_the_same(folder, change):
    want = read_table(folder)
    text = (folder / "Data_Entry_2017.csv").read_text()
    (folder / "Data_Entry_2017.csv").write_bytes(change(text).encode())
    assert read_table(folder).equals(want)
    for name in ("train_val_list.txt", "test_list.txt"):
        (folder / name).write_bytes(("\ufeff" + (folder / name).read_text()).replace("\n", " \r\n\r\n").encode())
    assert read_lists(folder) == (["00000001_000.png", "00000001_001.png"], ["00000002_000.png"])
    edit(folder, "64", "64,,,", "BBox_List_2017.csv")
    assert len(read_boxes(folder)) == 1


def test_the_corrected_table_is_read_first(folder):
    text = (folder / "Data_Entry_2017.csv").read_text()
    (folder / "Data_Entry_2017_v2020.csv").write_text(text.replace(",57,", ",56,"))
    assert read_table(folder)["age"][0] == 56


BAD_TABLE = [  # replace this by that: the error must name the row and say these words
    ("Patient Age", "Age", 1, "'Patient Age'"),
    ("Hernia", "Herniation", 4, "'Herniation'"),
    ("Hernia", "", 4, "unknown finding"),
    ("No Finding", "No Finding|Mass", 3, "contradicts"),
    (",F,PA", ",F,LL", 4, "'LL'"),
    (",F,PA", ",X,PA", 4, "'X'"),
    (",57,", ",412,", 2, "absurd age '412'"),
    (",57,", ",-3,", 2, "absurd age '-3'"),
    (",57,", ",,", 2, "absurd age ''"),
    (",57,", ",old,", 2, "absurd age 'old'"),
    (",57,", ",nan,", 2, "absurd age 'nan'"),
    ("0,2,7", "0,P2,7", 4, "'P2'"),
    ("00000001_001.png", "00000001_000.png", 3, "already in row 2"),
    ("00000001_001.png", "", 3, "file name"),
    ("00000001_001.png", "../00000001_001.png", 3, "file name"),
    (",F,PA,2500,2048,0.168,0.168", "", 4, "only 5 fields"),
]


@pytest.mark.parametrize("old, new, row, words", BAD_TABLE)
def test_a_bad_table_row_is_named(folder, old, new, row, words):
    edit(folder, old, new)
    with pytest.raises(DataError) as raised:
        ChestXray14(folder)
    message = str(raised.value)
    assert f"{folder}/Data_Entry_2017.csv, row {row}" in message and words in message
    assert message.count(". ") >= 1, "the remedy follows as a sentence of its own"


def test_rows_are_the_lines_of_the_file_even_after_blank_ones(folder):
    edit(folder, ROWS[0], f"\n\n{ROWS[0]}")
    edit(folder, "Hernia", "Hernial")
    with pytest.raises(DataError, match=r"row 6, .*Hernial"):
        read_table(folder)


def test_known_values_are_in_the_remedy(folder):
    edit(folder, "Hernia", "Infiltrate")
    with pytest.raises(DataError, match=r"Known are No Finding, .*Infiltration"):
        read_table(folder)
    edit(folder, "Infiltrate", "Hernia")
    edit(folder, ",F,PA", ",F,Lateral")
    with pytest.raises(DataError, match=r"Known are PA, AP"):
        read_table(folder)


def test_invalid_ages_can_be_read_as_unknown(folder):
    edit(folder, ",57,", ",412,")
    edit(folder, ",58,", ",,")
    with pytest.raises(DataError, match="--set invalid_ages=unknown"):
        read_table(folder)
    with pytest.warns(UserWarning, match=r"Data_Entry_2017.csv, row 2.*412.*2 such ages.*v2020"):
        table = read_table(folder, invalid_ages="unknown")
    np.testing.assert_array_equal(table["age"], [np.nan, np.nan, 7])
    with pytest.raises(SettingsError, match="invalid_ages"):
        read_table(folder, invalid_ages="ignore")


def test_the_genuine_2017_table_reads_in_spite_of_its_known_ages(folder, monkeypatch):
    edit(folder, ",57,", ",414,")
    monkeypatch.setattr(chestxray14_tables, "IMAGES", 3)
    with pytest.warns(UserWarning, match="row 2"):
        assert np.isnan(read_table(folder)["age"][0])
    edit(folder, ",414,", ",999,")
    with pytest.raises(DataError, match=r"row 2.*'999'"):
        read_table(folder)


def test_ages_in_months_weeks_and_days(folder):
    edit(folder, ",57,", ",018M,")
    edit(folder, ",58,", ",001D,")
    assert read_table(folder)["age"].tolist() == pytest.approx([1.5, 1 / 365.25, 7])


BAD_FILES = [  # file, its content, row or None, words
    ("test_list.txt", "", None, "names no image"),
    ("train_val_list.txt", "\n \n", None, "names no image"),
    ("test_list.txt", "00000002_000.png\n\n00000002_000.png\n", 3, "already in row 1"),
    ("test_list.txt", "00000002_000.png\n00000001_000.png\n", 2, "also in train_val_list.txt"),
    ("test_list.txt", "00000002_000.png\n00000009_000.png\n", 2, "not in the label table"),
    ("BBox_List_2017.csv", BOXES.replace("Infiltrate", "Infiltrated"), 2, "unknown finding 'Infiltrated'"),
    ("BBox_List_2017.csv", BOXES.replace("512", "x"), 2, "not four numbers"),
    ("BBox_List_2017.csv", BOXES.replace("512", "1000"), 2, "leaves the image"),
    ("BBox_List_2017.csv", BOXES.replace("512", "nan"), 2, "leaves the image"),
    ("BBox_List_2017.csv", BOXES.replace("64", "0"), 2, "empty"),
    ("BBox_List_2017.csv", BOXES.replace(",128,64", ""), 2, "4 fields"),
    ("BBox_List_2017.csv", BOXES.replace("00000002_000.png", "00000009_000.png"), 2, "not in the label table"),
    ("BBox_List_2017.csv", "\n".join(BOXES.splitlines()[1:]), 1, "header"),
    ("Data_Entry_2017.csv", HEADER, 1, "no rows"),
    ("Data_Entry_2017.csv", "", 1, "no column"),
    ("Data_Entry_2017.csv", HEADER.replace(",", ";"), 1, "separated by commas"),
]


@pytest.mark.parametrize("name, content, row, words", BAD_FILES)
def test_a_bad_file_is_named(folder, name, content, row, words):
    (folder / name).write_text(content)
    with pytest.raises(DataError) as raised:
        ChestXray14(folder)
    message = str(raised.value)
    assert f"{folder}/{name}" in message and words in message and message.count(". ") >= 1
    assert row is None or f", row {row}" in message


@pytest.mark.parametrize("content", [b"\xff\xfe\x00\x01", b"\x1f\x8b broken"], ids=["not text", "half a gzip file"])
def test_bytes_that_are_no_text(folder, content):
    (folder / "Data_Entry_2017.csv").unlink()
    name = "Data_Entry_2017.csv" + (".gz" if content[0] == 0x1F else "")
    (folder / name).write_bytes(content)
    with pytest.raises(DataError, match=rf"{name}.*not readable as text.*again"):
        read_table(folder)


def test_a_gzip_file_cut_in_half(folder):
    text = (folder / "Data_Entry_2017.csv").read_text() + "\n".join(ROWS * 200)
    (folder / "Data_Entry_2017.csv").unlink()
    packed = gzip.compress(text.encode())
    (folder / "Data_Entry_2017.csv.gz").write_bytes(packed[:len(packed) // 2])
    with pytest.raises(DataError, match="not readable as text"):
        read_table(folder)


def test_the_published_tables(real_data):
    folder = real_data / "chestxray14_table"
    table, (train_val, test), boxes = read_table(folder), read_lists(folder), read_boxes(folder)
    assert (len(table), len(train_val), len(test), len(boxes)) == (112_120, 86_524, 25_596, 984)
    assert table["patient"].nunique() == 30_805 and table["age"].max() == 95
    assert (table["age"].mean(), table["age"].std()) == pytest.approx((46.63, 16.6), abs=0.005)  # section 2.3
    hot = chestxray14.targets(table).sum(axis=0)
    assert hot[CLASSES.index("No Finding")] == 60_361 and hot[CLASSES.index("Hernia")] == 227  # Fig. 1
    assert (boxes["finding"] == "Infiltration").sum() == 123 and boxes["image"].nunique() == 880
    assert set(boxes["image"]) <= set(test)
