"""BCCD: its counts on the real pictures, what is left out, and what is refused."""

import numpy as np
import pytest
from odd_pictures import ODD, plain

from mdlib.data.bccd import CLASSES, bccd
from mdlib.errors import DataError

HEADER = "image_id,file,width,height,wbc_category_raw,wbc_class,n_wbc_labels,bccd_split,n_rbc,n_wbc,n_platelets"
KINDS = ["neutrophil", "eosinophil", "lymphocyte", "monocyte"] * 2 + ["basophil", ""]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "images").mkdir()
    rows = []
    for number, kind in enumerate(KINDS):
        name = f"BloodImage_{number:05d}"
        plain(tmp_path / "images" / f"{name}.jpg")
        rows.append(f"{name},images/{name}.jpg,64,48,{kind.upper()},{kind},1,{'train' if number < 4 else 'val'},1,1,0")
    (tmp_path / "images.csv").write_text("\n".join([HEADER, *rows]) + "\n")
    (tmp_path / "boxes.csv").write_text("image_id,label,xmin,ymin,xmax,ymax,invalid\n"
                                        "BloodImage_00000,WBC,5,6,25,30,0\nBloodImage_00000,RBC,30,8,64,48,0\n"
                                        "BloodImage_00008,WBC,5,6,25,30,0\nBloodImage_00001,RBC,9,9,9,9,1\n")
    return tmp_path


def test_pictures_of_other_kinds_are_left_out_by_name(folder):
    cells = bccd(folder)
    assert cells.classes == CLASSES and cells.targets.tolist() == [0, 1, 2, 3] * 2
    assert cells.table["part"].tolist() == ["train"] * 4 + ["test"] * 4
    assert cells.excluded.to_numpy().tolist() == [["BloodImage_00008", "BASOPHIL"], ["BloodImage_00009", ""]]
    assert cells.table["patient"].is_unique and cells.read(7).shape == (48, 64, 3)


def test_boxes_marked_as_invalid_are_set_apart(folder):
    cells = bccd(folder)
    assert cells.boxes["label"].tolist() == ["WBC", "RBC", "WBC"]
    assert cells.boxes.iloc[1].tolist() == ["BloodImage_00000", "RBC", 30, 8, 64, 48]
    assert cells.invalid["bag"].tolist() == ["BloodImage_00001"]
    assert len(cells.only(np.array([0, 5])).boxes) == 3


FAULTS = [
    ("images.csv", "BloodImage_00003,images", "BloodImage_00002,images",
     r"row 5, column 'image_id': picture 'BloodImage_00002' is there twice, first in row 4"),
    ("images.csv", "images/BloodImage_00003", "images/BloodImage_00002",
     r"row 5, column 'file': picture 'images/BloodImage_00002\.jpg' is there twice, first in row 4"),
    ("images.csv", "NEUTROPHIL,neutrophil", "NEUTROPHIL,monocyte",
     r"row 2, column 'wbc_class': the picture has two classes: monocyte here, 'NEUTROPHIL' in column 'wbc_category"),
    ("images.csv", "EOSINOPHIL,eosinophil", '"EOSINOPHIL, MONOCYTE",eosinophil',
     r"row 3, .*: the picture has two classes: eosinophil here, 'EOSINOPHIL, MONOCYTE' in"),
    ("images.csv", "MONOCYTE,monocyte", "MONOCYTE,other", r"row 5, column 'wbc_class': unknown value 'other'"),
    ("images.csv", "images/BloodImage_00003", "images/Blood_3",
     r"Blood_3\.jpg \(row 5 of images\.csv\): no such picture"),
    ("images.csv", "00002.jpg,64,48", "00002.jpg,640,480",
     r"row 4, column 'width': the picture has 64 x 48 pixels, not 640 x 480"),
    ("images.csv", "1,val", "1,other", r"row 6, column 'bccd_split': unknown value 'other'"),
    ("images.csv", "MONOCYTE,monocyte", "MONOCYTE,", r"row 9, .*: this is the only picture of class monocyte"),
    ("images.csv", "wbc_class", "class", r"row 1: no column 'wbc_class'"),
    ("boxes.csv", "5,6,25,30,0", "25,6,5,30,0", r"row 2, .*: the box \[25, 6, 5, 30\] is reversed"),
    ("boxes.csv", "30,8,64,48,0", "30,8,65,48,0", r"row 3, .*: the box \[30, 8, 65, 48\] .* or outside"),
    ("boxes.csv", "9,9,9,9,1", "9,9,9,9,0", r"row 5, .*: the box \[9, 9, 9, 9\]"),
    ("boxes.csv", "5,6,25,30,0", "-5,6,25,30,0", r"row 2, column 'xmin': '-5' is not a number of pixels"),
    ("boxes.csv", "00000,RBC", "00000,cell", r"row 3, column 'label': unknown value 'cell'"),
    ("boxes.csv", "BloodImage_00008", "BloodImage_00020", r"row 4, .*: no picture 'BloodImage_00020' in images\.csv"),
]


@pytest.mark.parametrize("file, old, new, words", FAULTS)
def test_a_fault_is_named_by_file_and_row_and_has_a_remedy(folder, file, old, new, words):
    path = folder / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(DataError, match=rf"{words}.*\. [A-Z]"):
        bccd(folder)


def test_a_picture_smaller_than_the_crop_is_named(folder):
    with pytest.raises(DataError, match=r"00000\.jpg \(row 2 of images\.csv\): 48 x 64 pixels .* a crop of 64\. Leave"):
        bccd(folder, smallest=64)


def test_a_picture_of_two_cells_of_one_kind_has_that_class(folder):
    table = folder / "images.csv"
    table.write_text(table.read_text().replace("NEUTROPHIL,", '"NEUTROPHIL, NEUTROPHIL",', 1))
    assert bccd(folder).table["label"][0] == "neutrophil"


@pytest.mark.parametrize("write, words", ODD.items(), ids=lambda value: getattr(value, "__name__", ""))
def test_an_odd_picture_is_named_by_file_and_row(folder, write, words):
    path = folder / "images" / "BloodImage_00004.jpg"
    write(path.with_suffix(".tif"))             # Pillow chooses the format by the name, and reads it whatever its name
    path.with_suffix(".tif").replace(path)
    with pytest.raises(DataError, match=rf"00004\.jpg \(row 6 of images\.csv\): .*({words}).*\. [A-Z]"):
        bccd(folder)


def test_the_real_pictures(real_data):
    cells = bccd(real_data / "bccd")
    counts = cells.table.groupby(["part", "label"]).size()
    assert len(cells.table) == 282 and cells.table["label"].value_counts()[list(CLASSES)].tolist() == [168, 67, 30, 17]
    assert counts["test"][list(CLASSES)].tolist() == [53, 19, 9, 5] and counts["train"].sum() == 196
    assert len(cells.excluded) == 10 and (cells.excluded["kind"] == "BASOPHIL").sum() == 1
    assert "BloodImage_00008" in cells.excluded["bag"].tolist()
    assert cells.boxes["label"].value_counts().to_dict() == {"WBC": 301, "RBC": 3348, "Platelets": 292}
    assert cells.invalid["label"].tolist() == ["RBC", "RBC"]
    white = cells.boxes[cells.boxes["label"] == "WBC"]
    width, height = white["xmax"] - white["xmin"], white["ymax"] - white["ymin"]
    assert (width.median(), height.median()) == (204, 182)
    assert (width * height / (640 * 480)).median() == pytest.approx(0.117, abs=0.001)
    assert cells.read(0).shape == (480, 640, 3)
