"""Images with reports: what a collection says is read to the word, and every fault in it is named."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from mdlib.data.reports import CLASSES, PARTS, Reports, plain, read_collection, refuse_missing_classes
from mdlib.data.splits import folds, refuse_shared_patients
from mdlib.errors import DataError

CONCLUSIONS = ("low grade", "high grade", "normal")


def report(grade: str, writer: int) -> dict[str, str]:
    return {part: f"writer {writer} on {part.replace('_', ' ')}" for part in PARTS[:-1]} | {"conclusion": grade}


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / "images").mkdir()
    for number, name in enumerate(("b.png", "a.jpg", "c.png")):
        Image.new("RGB", (8, 6), (200, 100, number)).save(tmp_path / "images" / name, quality=100)
    save(tmp_path, [{"image": name, "patient": patient, "conclusion": grade,
                     "reports": [report(grade, writer) for writer in range(5)]}
                    for name, patient, grade in zip(("b.png", "a.jpg", "c.png"), ("p1", "p1", 2), CONCLUSIONS,
                                                    strict=True)])
    return tmp_path


def save(folder: Path, entries: list) -> None:
    (folder / "reports.json").write_text(json.dumps(entries))


def change(folder: Path, number: int, **changes) -> None:
    entries = json.loads((folder / "reports.json").read_text())
    entries[number] |= changes
    save(folder, entries)


def test_a_collection_is_read_in_the_order_of_its_file(folder):
    reports = read_collection(folder)
    assert reports.table.to_dict("list") == {"image": ["b.png", "a.jpg", "c.png"], "patient": ["p1", "p1", "2"],
                                             "conclusion": list(CONCLUSIONS)}
    assert reports.targets.dtype == np.int64 and reports.targets.tolist() == [1, 2, 0]
    assert (reports.parts, reports.classes, reports.truth) == (PARTS, CLASSES, None)
    assert reports.sentences(1, "mitosis") == [f"writer {writer} on mitosis" for writer in range(5)]
    assert reports.full(2)[3] == ("writer 3 on nuclear feature writer 3 on nuclear crowding writer 3 on polarity "
                                  "writer 3 on mitosis writer 3 on nucleoli normal")


def test_a_report_that_concludes_otherwise_than_its_image_is_named(folder):
    change(folder, 1, reports=[report("high grade", 0)] * 4 + [report("upper grade", 4)])
    with pytest.raises(DataError, match=r"a\.jpg.*report 5 concludes 'upper grade'.*'high grade'"):
        read_collection(folder)
    change(folder, 1, reports=[report(text, 0) for text in ("", "overall high grade", "high grade", "high grade",
                                                            "it is high grade")])
    assert read_collection(folder).sentences(1, "conclusion")[1] == "overall high grade"


def test_pixels_are_the_images_in_colour_in_the_tables_order(folder, tmp_path):
    reports = read_collection(folder)
    assert reports.read(2).shape == (6, 8, 3) and reports.read(2)[0, 0].tolist() == [200, 100, 2]
    pixels = reports.pixels((3, 5), tmp_path / "cache")
    assert pixels.shape == (3, 3, 5, 3) and pixels[[0, 2], 1, 2].tolist() == [[200, 100, 0], [200, 100, 2]]


def test_some_images_keep_their_reports(folder):
    some = read_collection(folder).only(np.array([2, 0]))
    assert some.table["image"].tolist() == ["c.png", "b.png"] and some.targets.tolist() == [0, 1]
    assert some.sentences(0, "conclusion") == ["normal"] * 5


def test_the_truth_of_a_phantom_collection_lies_beside_it(folder):
    (folder / "truth").mkdir()
    assert read_collection(folder).truth == folder / "truth"


def test_sentences_become_lower_case_words_and_may_be_empty(folder):
    texts = [report("normal", 0) | {"mitosis": " Outline,  full-thickness\nLOSS (few). ", "nucleoli": ""}]
    save(folder, [{"image": name, "patient": "1", "conclusion": "normal", "reports": texts}
                  for name in ("a.jpg", "b.png", "c.png")])
    reports = read_collection(folder)
    assert reports.sentences(0, "mitosis") == ["outline full-thickness loss few"]
    assert reports.full(0)[0].endswith("on polarity outline full-thickness loss few normal")


@pytest.mark.parametrize("text, words", [("", ""), ("...", ""), ("Nuclei, large", "nuclei large"), ("3-5 μm", "3-5 μm"),
                                         ("patient's - well_known", "patient's well known")])
def test_plain_words(text, words):
    assert plain(text) == words == plain(words)


def without(part: str) -> dict[str, str]:
    return {name: text for name, text in report("normal", 0).items() if name != part}


FIVE = [report("high grade", writer) for writer in range(4)]
FAULTS = [
    (lambda f: change(f, 1, reports=[*FIVE, dict.fromkeys(PARTS, " . ")]), r"image 'a\.jpg': report 5 is empty"),
    (lambda f: change(f, 1, reports=[without("polarity"), *FIVE]), r"a\.jpg.*report 1 has no part 'polarity'"),
    (lambda f: change(f, 1, reports=[*FIVE, report("normal", 0) | {"stroma": "a"}]), "has an unknown part 'stroma'"),
    (lambda f: (f / "images/c.png").unlink(), r"reports\.json, 'c\.png': the reports have no image"),
    (lambda f: Image.new("RGB", (4, 4)).save(f / "images/d.png"), r"images, 'd\.png': the image has no reports; 1 "),
    (lambda f: change(f, 2, conclusion="medium grade"), r"'c\.png' has a conclusion that is none of normal, low grade"),
    (lambda f: change(f, 1, image="b.png"), r"'a\.jpg': the image has no reports"),
    (lambda f: (change(f, 1, image="b.png"), (f / "images/a.jpg").unlink()), r"'b\.png' occurs twice; 1 such"),
    (lambda f: change(f, 1, reports=FIVE), r"a\.jpg.*4 reports where the first image has 5"),
    (lambda f: change(f, 0, reports=[]), r"b\.png.*0 reports where the first image has 0"),
    (lambda f: change(f, 2, patient=""), r"reports\.json, entry 3: there is no 'patient'"),
    (lambda f: save(f, [{"image": "b.png", "patient": 1, "conclusion": "normal"}]), "entry 1: there is no 'reports'"),
    (lambda f: save(f, ["b.png"]), "entry 1: there is no 'image'"),
    (lambda f: change(f, 0, reports=["low grade"]), "entry 1: 'reports' is no list of reports"),
    (lambda f: change(f, 0, reports=[{"mitosis": 3}]), "entry 1: 'reports' is no list of reports"),
    (lambda f: save(f, {"images": []}), r"reports\.json: this is no list of images"),
    (lambda f: save(f, []), r"reports\.json: this is no list of images"),
    (lambda f: (f / "reports.json").write_text('[{"image": "b.p'), r"reports\.json: this is not JSON"),
    (lambda f: (f / "reports.json").write_bytes(b"\xff\xfe"), r"reports\.json: this is not JSON"),
    (lambda f: (f / "reports.json").unlink(), r"reports\.json: the file cannot be read \(No such file"),
    (lambda f: (f / "images").rename(f / "pictures"), "images: no such folder"),
]


@pytest.mark.parametrize("harm, words", FAULTS, ids=range(len(FAULTS)))
def test_a_fault_of_a_collection_is_named(folder, harm, words):
    harm(folder)
    with pytest.raises(DataError, match=words):
        read_collection(folder)


def text_only(conclusions: list[str]) -> Reports:
    table = pd.DataFrame({"image": [f"{row}" for row in range(len(conclusions))], "conclusion": conclusions,
                          "patient": [f"p{row // 2}" for row in range(len(conclusions))]})
    return Reports(None, PARTS, CLASSES, table, tuple([report(grade, 0)] for grade in conclusions))


def test_text_without_images_says_so():
    with pytest.raises(DataError, match="text without images"):
        text_only(["normal"]).pixels((4, 4), "cache")


def test_reports_and_rows_have_one_length():
    reports = text_only(["normal", "normal"])
    with pytest.raises(DataError, match="reports of 1 images for 2 rows"):
        Reports(None, PARTS, CLASSES, reports.table, reports.texts[:1])


@pytest.mark.filterwarnings("ignore:The least populated class")
def test_folds_by_patient_and_a_training_part_without_a_class():
    reports = text_only([*CLASSES[:3] * 8, "insufficient information", "insufficient information"])
    parts = folds(reports.table.rename(columns={"conclusion": "label"}), 3)
    for train, test in parts:
        refuse_shared_patients(reports.table, {"train": train, "test": test}, "folds")
        assert 24 in test or refuse_missing_classes(reports.targets, train, CLASSES, "fold") is None
    [bad] = [train for train, test in parts if {24, 25} <= set(test)]
    with pytest.raises(DataError, match=r"^fold 3: none of the \d+ images is 'insufficient information'"):
        refuse_missing_classes(reports.targets, bad, CLASSES, "fold 3")
