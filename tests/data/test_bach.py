"""BACH in its published layout: what is read, what is known of patients, and what is refused."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from odd_pictures import ODD, plain

from mdlib.data.bach import CLASSES, HOME, PATIENTS, TRUTH, bach, split
from mdlib.errors import DataError

NAMES = {"Normal": ["n001", "n002"], "Benign": ["b001", "b002"], "InSitu": ["is001", "is002"],
         "Invasive": ["iv001", "iv002", "iv003"]}


def table_of(folder: Path) -> Path:
    return folder / HOME / "Photos" / TRUTH


def patients_of(folder: Path) -> Path:
    return folder / HOME / f"{PATIENTS}.csv"


@pytest.fixture
def folder(tmp_path):
    rows = []
    for label, names in NAMES.items():
        (tmp_path / HOME / "Photos" / label).mkdir(parents=True)
        for name in names:
            plain(tmp_path / HOME / "Photos" / label / f"{name}.tif")
            rows.append((f"{name}.tif", label))
    table_of(tmp_path).write_text("".join(f"{name},{label}\n" for name, label in rows))
    patients_of(tmp_path).write_text("Histology,Label,Patient\n" + "".join(
        f"{name},{label},{10 + number // 2}\n" for number, (name, label) in enumerate(rows)))
    return tmp_path


def test_a_picture_is_a_bag_with_class_and_patient(folder):
    bags = bach(folder)
    assert bags.classes == CLASSES and bags.colour and bags.truth is None
    assert bags.table["bag"].tolist() == [name for names in NAMES.values() for name in names]
    assert bags.targets.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 3]
    assert bags.table["patient"].tolist() == ["10", "10", "11", "11", "12", "12", "13", "13", "14"]
    assert bags.table["identified"].all() and "part" not in bags.table
    assert bags.slices["path"][0] == f"{HOME}/Photos/Normal/n001.tif" and bags.read(0).shape == (48, 64, 3)


def test_the_folder_may_be_the_challenge_itself(folder):
    assert bach(folder / HOME).paths() == bach(folder).paths()


def test_patients_are_known_of_some_pictures(folder):
    file = patients_of(folder)
    file.write_text("".join(file.read_text().splitlines(keepends=True)[:5]))
    with pytest.warns(UserWarning, match="patients of 5 of 9 pictures are not known"):
        table = bach(folder).table
    assert table["identified"].tolist() == [True] * 4 + [False] * 5
    assert table["patient"].tolist() == ["10", "10", "11", "11", "is001", "is002", "iv001", "iv002", "iv003"]
    train, test = split(table, 0.2)
    assert set(test) < {0, 1, 2, 3} and set(train) | set(test) == set(range(9))
    with pytest.raises(DataError, match=r"test = 0\.5: the patients of only 4 of 9 pictures are known\. Choose"):
        split(table, 0.5)


def test_without_a_table_of_patients_each_picture_is_one(folder):
    patients_of(folder).unlink()
    with pytest.warns(UserWarning, match="patients of 9 of 9"):
        table = bach(folder).table
    assert table["patient"].is_unique and len(split(table, 0.3)[1]) in (2, 3)
    patients_of(folder).with_suffix(".xlsx").write_bytes(b"PK")
    with pytest.raises(DataError, match=r"patient\.xlsx: the table of patients is a spreadsheet\. Save it as .*csv"):
        bach(folder)


def test_classes_may_be_written_in_words(folder):
    for file in (table_of(folder), patients_of(folder)):
        file.write_text(file.read_text().replace(",InSitu", ",In situ"))
    assert bach(folder).table["label"].tolist().count("InSitu") == 2


def test_parts_may_be_given_by_patient(folder):
    file = patients_of(folder)
    lines = file.read_text().splitlines()
    file.write_text("\n".join([lines[0] + ",Part", *(f"{line},{'test' if ',13' in line else 'train'}"
                                                     for line in lines[1:])]))
    assert bach(folder).table["part"].tolist() == ["train"] * 6 + ["test"] * 2 + ["train"]
    file.write_text(file.read_text().replace("iv002.tif,Invasive,13,test", "iv002.tif,Invasive,13,train"))
    with pytest.raises(DataError, match=r"patient\.csv, row 9, column 'Part': patient 13 is in two parts, "
                                        r"test \(row 8\) and train\. Move"):
        bach(folder)


def replaced(file, old: str, new: str):
    return lambda folder: file(folder).write_text(file(folder).read_text().replace(old, new, 1))


def copied(label: str, name: str):
    return lambda folder: plain(folder / HOME / "Photos" / label / name)


FAULTS = [
    (replaced(table_of, "n002.tif,Normal", "n002.tif,Odd"), r"ground_truth\.csv, row 2: unknown class 'Odd'"),
    (replaced(table_of, "n002.tif,Normal", "n002.tif"), r"row 2: 1 fields"),
    (replaced(table_of, "b001.tif,Benign", "n001.tif,Benign"),
     r"row 3: picture n001\.tif has two classes, Normal \(row 1\) and Benign"),
    (replaced(table_of, "n002.tif,Normal", "n001.tif,Normal"), r"row 2: picture n001\.tif is there twice"),
    (replaced(table_of, "n002.tif,Normal", "n001.tiff,Normal"), r"row 2: n001\.tiff has the same stem as n001\.tif"),
    (replaced(table_of, "n002.tif,Normal", "n002.tif,Benign"),
     r"ground_truth\.csv: class Normal has too few pictures: 1 \(n001\.tif, row 1\)"),
    (replaced(table_of, "iv003.tif,Invasive", "iv003.tif,Benign"),
     r"row 9: picture iv003\.tif has two classes: Benign in this row, Invasive by its folder"),
    (replaced(table_of, "iv003.tif,Invasive\n", ""), r"iv003\.tif: this picture is not in the table"),
    (lambda f: (f / HOME / "Photos/Benign/b002.tif").unlink(), r"row 4: no picture b002\.tif in Photos/Benign"),
    (copied("Benign", "n001.tif"), r"Benign/n001\.tif: the same stem as .*Normal/n001\.tif"),
    (copied("Normal", "n001.png"), r"n001\.tif: the same stem as .*n001\.png"),
    (lambda f: table_of(f).unlink(), r"ground_truth\.csv: no such file"),
    (replaced(patients_of, "n002.tif,Normal", "n009.tif,Normal"),
     r"patient\.csv, row 3, column 'Histology': no picture 'n009\.tif'"),
    (replaced(patients_of, "n002.tif,Normal", "n001.tif,Normal"), r"row 3, .*picture n001\.tif is there twice"),
    (replaced(patients_of, "n002.tif,Normal", "n002.tif,Benign"),
     r"row 3, column 'Label': picture n002\.tif has two classes: Benign here, Normal in .* \(row 2\)"),
]


@pytest.mark.parametrize("harm, words", FAULTS)
def test_a_fault_is_named_by_file_and_row_and_has_a_remedy(folder, harm, words):
    harm(folder)
    with pytest.raises(DataError, match=rf"{words}.*\. [A-Z]"), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        bach(folder)


@pytest.mark.parametrize("write, words", ODD.items(), ids=lambda value: getattr(value, "__name__", ""))
def test_an_odd_picture_is_named_by_file_and_row(folder, write, words):
    write(folder / HOME / "Photos/InSitu/is002.tif")
    with pytest.raises(DataError, match=rf"is002\.tif \(row 6 of {TRUTH}\): .*({words}).*\. [A-Z]"):
        bach(folder)


def test_a_picture_smaller_than_the_crop_is_named(folder):
    with pytest.raises(DataError, match=r"n001\.tif .*row 1 .*48 x 64 pixels .* fewer than a crop of 64\. Leave"):
        bach(folder, smallest=64)


def test_a_split_keeps_patients_apart_and_classes_in_proportion(drawn):
    table = bach(drawn("breast")).table
    train, test = split(table, test=1 / 3, seed=1)
    assert not set(table["patient"].iloc[train]) & set(table["patient"].iloc[test])
    assert np.array_equal(np.sort(np.concatenate([train, test])), np.arange(len(table)))
    assert table["label"].iloc[test].value_counts().to_dict() == dict.fromkeys(CLASSES, 2)
