"""The readers of OCT: bags as the folder has them, and every fault of a folder named."""

import os

import numpy as np
import pydicom
import pytest
from dicom_file import dicom
from nih_folder import edit
from oct_folder import COUNTS, VOLUMES, eyes, grey, volumes
from pydicom.uid import RLELossless

from mdlib.data import images
from mdlib.data.volumes import oct_eyes, oct_volumes
from mdlib.errors import DataError


def test_a_bag_is_a_volume_with_its_slices_in_the_order_of_their_numbers(tmp_path):
    bags = oct_volumes(volumes(tmp_path))
    assert bags.table[["bag", "patient", "label", "device"]].agg(",".join, axis=1).tolist() == VOLUMES
    assert bags.table["count"].tolist() == [4, 12, 1] and bags.table["first"].tolist() == [0, 4, 16]
    assert bags.slices["path"].tolist() == [f"{volume}/slice_{n + 1}.png" for volume, count in COUNTS.items()
                                            for n in range(count)]
    assert [int(bags.read(row)[0, 0]) for row in range(17)] == [11, 12, 13, 14, *range(21, 33), 31]
    assert bags.classes == ("normal", "DME") and bags.targets.tolist() == [0, 1, 1] and bags.truth is None
    (tmp_path / "truth").mkdir()
    assert oct_volumes(tmp_path).truth == tmp_path / "truth"


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.1", RLELossless])
def test_frames_of_a_dicom_file_are_the_slices_of_a_volume(tmp_path, syntax):
    frames = np.random.default_rng(0).integers(0, 4096, (5, 6, 10), dtype=np.uint16)
    volumes(tmp_path)
    for path in (tmp_path / "V1").iterdir():
        path.unlink()
    (tmp_path / "V1").rmdir()
    dicom(tmp_path / "V1.dcm", frames, 12, syntax, NumberOfFrames=5, WindowCenter=2000, WindowWidth=3000)
    bags = oct_volumes(tmp_path)
    assert bags.table["count"].tolist() == [5, 12, 1]
    assert bags.slices[:5].to_numpy().tolist() == [["V1.dcm", frame] for frame in range(5)]
    for row, frame in enumerate(frames):
        alone = images.read_dicom(dicom(tmp_path / "one.dcm", frame, 12, WindowCenter=2000, WindowWidth=3000))
        np.testing.assert_array_equal(bags.read(row), alone)


def test_other_files_in_a_volumes_folder_do_not_matter_and_names_without_numbers_are_sorted(tmp_path):
    volumes(tmp_path)
    for name in ("notes.txt", ".hidden.png", "Thumbs.db"):
        (tmp_path / "V1" / name).write_text("")
    for number, name in enumerate(("c3", "a9", "b1", "d"), start=1):
        (tmp_path / f"V1/slice_{number}.png").rename(tmp_path / f"V1/{name}.png")
    assert oct_volumes(tmp_path).slices["path"].tolist()[:4] == [f"V1/{name}.png" for name in ("a9", "b1", "c3", "d")]


FAULTS = [
    (lambda f: (f / "labels.csv").unlink(), r"labels\.csv: no such file"),
    (lambda f: edit(f, "device", "machine", "labels.csv"), r"labels\.csv, row 1: no column 'device'; there are volume"),
    (lambda f: edit(f, "V3,P2,DME,spectralis", "V3,P2", "labels.csv"), r"row 4: only 2 fields"),
    (lambda f: edit(f, "P2,DME", "P2,AMD", "labels.csv"), r"row 4, column 'class': unknown value 'AMD'.*normal, DME"),
    (lambda f: edit(f, "V3,P2", "V2,P2", "labels.csv"), r"row 4, column 'volume': 'V2' is already in row 3"),
    (lambda f: edit(f, "V3,P2", "V1,P2", "labels.csv"),
     r"row 4, column 'class': 'V1' is 'DME' here and 'normal' in row 2"),
    (lambda f: edit(f, "V3,P2", "V3,", "labels.csv"), r"row 4, column 'patient': no patient"),
    (lambda f: edit(f, "V3,P2", "../V3,P2", "labels.csv"), r"row 4.*'\.\./V3' is not a name"),
    (lambda f: edit(f, "V3,P2", "V4,P2", "labels.csv"), r"row 4.*'V4' is there neither as a folder nor as V4\.dcm"),
    (lambda f: dicom(f / "V3.dcm", np.zeros((2, 6, 10), np.uint8), 8, NumberOfFrames=2),
     r"row 4.*'V3' is there twice as a folder and as V3\.dcm"),
    (lambda f: (f / "V3/slice_1.png").unlink(), r"V3: there are no slices in this folder"),
    (lambda f: (f / "V2/slice_7.png").unlink(), r"V2: slice 7 is missing \(1 of 1 to 12 are\)"),
    (lambda f: grey(1).save(f / "V2/slice_07.jpg"), r"V2/slice_.*: another slice has the same number"),
    (lambda f: (f / "V2/slice_7.png").write_bytes(b""), r"V2/slice_7\.png: .*empty"),
    (lambda f: (f / "V2/slice_7.png").write_text("text"), r"V2/slice_7\.png: the image cannot be read"),
    (lambda f: grey(1, (6, 9)).save(f / "V2/slice_7.png"), r"slice_7\.png: 6 x 9 pixels .*slice_1\.png has 6 x 10"),
    (lambda f: dicom(f / "V3/slice_2.dcm", np.zeros((2, 6, 10), np.uint8), 8, NumberOfFrames=2),
     r"V3/slice_2\.dcm: 2 frames, not one slice"),
]


@pytest.mark.parametrize("harm, words", FAULTS)
def test_a_fault_of_a_collection_of_volumes_is_named(tmp_path, harm, words):
    harm(volumes(tmp_path))
    with pytest.raises(DataError, match=words):
        oct_volumes(tmp_path)


def test_a_dicom_volume_without_pixels_is_named(tmp_path):
    volumes(tmp_path)
    (tmp_path / "labels.csv").write_text("volume,patient,class,device\nV9,P9,DME,cirrus\n")
    path = dicom(tmp_path / "V9.dcm", np.zeros((2, 6, 10), np.uint8), 8, NumberOfFrames=2)
    data = pydicom.dcmread(path)
    del data.PixelData
    data.save_as(path)
    bags = oct_volumes(tmp_path)    # its header is whole: found out when the frame is read
    with pytest.raises(DataError, match=r"V9\.dcm: .*Pixel Data"):
        bags.read(0)
    del data.Rows
    data.save_as(path)
    with pytest.raises(DataError, match=r"V9\.dcm: .*no pixel data"):
        oct_volumes(tmp_path)


def test_a_slice_that_is_cut_off_is_named_when_it_is_decoded_and_the_others_are_kept(tmp_path):
    volumes(tmp_path / "oct")
    path = tmp_path / "oct/V2/slice_7.png"
    whole = path.read_bytes()
    path.write_bytes(whole[:-30])
    bags = oct_volumes(tmp_path / "oct")
    with pytest.raises(DataError, match=r"V2/slice_7\.png: the image is truncated or damaged"):
        bags.pixels((6, 10), tmp_path / "cache")
    path.write_bytes(whole)
    assert bags.pixels((6, 10), tmp_path / "cache")[:, 0, 0].tolist() == [11, 12, 13, 14, *range(21, 33), 31]


def test_a_bag_is_an_eye_of_a_patient_group(tmp_path):
    bags = oct_eyes(eyes(tmp_path))
    assert bags.table.to_dict("list") == {
        "bag": ["11_R", "11_L", "12_R"], "patient": ["11", "11", "12"], "eye": ["R", "L", "R"],
        "label": ["normal", "DME", "normal"], "part": ["train", "train", "val"], "matched_subset": [0, 1, 1],
        "first": [0, 2, 3], "count": [2, 1, 1]}
    assert bags.slices["path"].tolist() == [f"images/{name}.png" for name in "adbc"]
    assert [int(bags.read(row)[0, 0]) for row in range(4)] == [0, 3, 1, 2]


SCAN = "d.png,11,R,0,train,0"
EYE_FAULTS = [
    (lambda f: (f / "labels.csv").unlink(), r"labels\.csv: no such file"),
    (lambda f: edit(f, "patient_group", "patient", "labels.csv"), r"row 1: no column 'patient_group'"),
    (lambda f: edit(f, SCAN, "d.png,11,R,1,train,0", "labels.csv"),
     r"row 5, column 'DME': '1', where another scan of eye '11_R' says otherwise"),
    (lambda f: edit(f, SCAN, "d.png,11,R,0,train,1", "labels.csv"), r"row 5, column 'matched_subset'"),
    (lambda f: edit(f, SCAN, "d.png,11,R,0,val,0", "labels.csv"), r"row 5, column 'suggested_split'"),
    (lambda f: edit(f, "12,R,0,val", "11,R,0,val", "labels.csv"), r"row 4, column 'suggested_split'"),
    (lambda f: edit(f, "b.png,11,L,1,train", "b.png,11,L,1,val", "labels.csv"),
     r"labels\.csv: patient 11 is in train and in val; 1 patients are in both"),
    (lambda f: edit(f, "12,R,0", "12,OD,0", "labels.csv"), r"row 4, column 'eye': unknown value 'OD'"),
    (lambda f: edit(f, "12,R,0", "12,R,yes", "labels.csv"), r"row 4, column 'DME': unknown value 'yes'"),
    (lambda f: edit(f, "images/d.png", "images/a.png", "labels.csv"), r"row 5.*'images/a\.png' is already in row 2"),
    (lambda f: edit(f, "images/d.png,11,R,0", "images/a.png,11,R,1", "labels.csv"),
     r"row 5, column 'DME': 'images/a\.png' is '1' here and '0' in row 2"),
    (lambda f: (f / "images/d.png").unlink(), r"images/d\.png: no such image"),
    (lambda f: grey(1, (7, 10)).save(f / "images/d.png"), r"images/d\.png: 7 x 10 pixels"),
]


@pytest.mark.parametrize("harm, words", EYE_FAULTS)
def test_a_fault_of_a_collection_of_eyes_is_named(tmp_path, harm, words):
    harm(eyes(tmp_path))
    with pytest.raises(DataError, match=words):
        oct_eyes(tmp_path)


def test_the_parts_and_the_matched_subset_may_be_missing(tmp_path):
    eyes(tmp_path)
    lines = (tmp_path / "labels.csv").read_text().splitlines()
    (tmp_path / "labels.csv").write_text("\n".join(",".join(line.split(",")[:4]) for line in lines))
    assert oct_eyes(tmp_path).table.columns.tolist() == ["bag", "patient", "eye", "label", "first", "count"]


def test_the_eyes_of_the_real_collection(real_data):
    bags = oct_eyes(real_data / "oct_dme")
    assert len(bags.slices) == 769 and len(bags.table) == 707 and bags.table["patient"].nunique() == 564
    assert bags.table["count"].value_counts().to_dict() == {1: 661, 2: 37, 3: 5, 4: 3, 7: 1}
    assert bags.table["label"].value_counts().to_dict() == {"normal": 633, "DME": 74}
    matched = bags.table[bags.table["matched_subset"] == 1]
    assert matched["label"].value_counts().to_dict() == {"normal": 83, "DME": 74}
    assert {os.path.dirname(path) for path in bags.slices["path"]} == {"images"}
    assert all(bags.read(row).shape == (208, 512) for row in (0, 300, 768))
