"""Published texts about units: small files of the same layout, the published ones, and damaged ones."""

import json

import pytest

from mdlib.data import unit_labels
from mdlib.data.unit_labels import benchmark, labels, readers
from mdlib.errors import DataError
from mdlib.evaluate.resampling import wilson_interval

READERS = {"reader_1": {"unit_0003": "a"}, "reader_2": {"unit_0010": "b", "unit_0003": "c"}}
RESNET = "# Labels\nlabels = {\n    'unit_0003': 'a, b',\n    'unit_0010': 'c',\n    'unit_0003': 'a, b',\n}"
VGG = {"vgg16/conv5_3/unit_0169": ["d"], "vgg16/conv5_3/unit_0022": ["No", "e"]}
RESPONSES = """Case #,DeepMiner Explanation,Cancer or Benign (C/B)?
7,"['a, b', ""it's c""]",C
3,['d'],B
"""
KEY = """Case #,Image Name,GT Report,DeepMiner Cancer Likelihood Prediction,GT Diagnosis
3,x.jpg,[],0.25,PATHOLOGY UNPROVEN
5,y.jpg,[],1.0,PATHOLOGY BENIGN_WITHOUT_CALLBACK
7,z.jpg,[],0.75,PATHOLOGY MALIGNANT
"""
NAMES = ("readers.json", "unit_labels_resnet152.txt", "unit_labels_vgg16.json", "benchmark_responses.csv",
         "explanations-benchmark-answer-key.csv")


@pytest.fixture
def folder(tmp_path):
    texts = (json.dumps(READERS), RESNET, json.dumps(VGG), RESPONSES, KEY)
    for name, text in zip(NAMES, texts, strict=True):
        (tmp_path / name).write_text(text)
    return tmp_path


def test_readers_labels_and_cases_are_tables(folder):
    assert readers(folder).values.tolist() == [["reader_1", 3, "a"], ["reader_2", 10, "b"], ["reader_2", 3, "c"]]
    assert labels(folder).values.tolist() == [
        ["resnet152", "layer4", 3, 1, "a, b"], ["resnet152", "layer4", 10, 1, "c"],
        ["vgg16", "conv5_3", 169, 1, "d"], ["vgg16", "conv5_3", 22, 1, "No"], ["vgg16", "conv5_3", 22, 2, "e"]]
    found = benchmark(folder)
    assert list(found.columns) == ["shown", "reader", "likelihood", "diagnosis", "malignant"]
    assert found.loc[7].tolist() == [("a, b", "it's c"), True, 0.75, "MALIGNANT", True]
    assert found.loc[3].tolist() == [("d",), False, 0.25, "UNPROVEN", False] and len(found) == 2


@pytest.mark.parametrize("name, text, message", [
    ("readers.json", "{", r"readers\.json: this holds no unit labels"),
    ("readers.json", "[1]", r"readers\.json: this is no mapping of names"),
    ("readers.json", '{"reader_1": {}}', r"readers\.json, reader_1: this is no mapping"),
    ("readers.json", '{"reader_1": {"3": "a"}}', r"'3' names no unit\. Write unit_ and its number"),
    ("readers.json", '{"reader_1": {"unit_0003": 5}}', r"reader_1, unit_0003: 5 is no text"),
    ("unit_labels_resnet152.txt", "a = {'unit_0003': open('x')}", r"resnet152\.txt: this holds no unit labels"),
    ("unit_labels_resnet152.txt", "a = {'unit_0003': 'a'", r"resnet152\.txt: this holds no unit labels"),
    ("unit_labels_resnet152.txt", "import os", "this holds no unit labels"),
    ("unit_labels_resnet152.txt", "", "this holds no unit labels"),
    ("unit_labels_resnet152.txt", "a = {'unit_3': 'a', 'unit_3': 'b'}", "unit_3: two labels for one unit"),
    ("unit_labels_resnet152.txt", "a = {3: 'a'}", "3 names no unit"),
    ("unit_labels_vgg16.json", '{"conv5_3/unit_0169": ["a"]}', "this is no network/layer/unit with a list"),
    ("unit_labels_vgg16.json", '{"vgg16/conv5_3/unit_0169": "a"}', "this is no network/layer/unit with a list"),
    ("benchmark_responses.csv", RESPONSES.replace(",B", ",X"), r"row 3, column 'Cancer.*unknown value 'X'"),
    ("benchmark_responses.csv", RESPONSES.replace("['d']", "d()"), r"row 3, .*'d\(\)' is no list of labels"),
    ("benchmark_responses.csv", RESPONSES.replace("['d']", "[3]"), r"row 3, .*is no list of labels"),
    ("benchmark_responses.csv", RESPONSES.replace("3,", "7,"), "row 3, column 'Case #': case 7 for the second time"),
    ("benchmark_responses.csv", RESPONSES.replace("3,", "4,"), "row 3, column 'Case #': case 4 is not in explanations"),
    ("benchmark_responses.csv", RESPONSES.replace(",B", ""), "row 3: only 2 fields"),
    ("explanations-benchmark-answer-key.csv", KEY.replace("0.75", "1.5"), r"row 4, .*'1\.5' is no likelihood"),
    ("explanations-benchmark-answer-key.csv", KEY.replace("0.75", "nan"), r"row 4, .*'nan' is no likelihood"),
    ("explanations-benchmark-answer-key.csv", KEY.replace("MALIGNANT", "?"), r"row 4, .*unknown value '\?'"),
    ("explanations-benchmark-answer-key.csv", KEY.replace("GT Diagnosis", "Truth"), "no column 'GT Diagnosis'")])
def test_damaged_files_are_refused_with_file_and_place(folder, name, text, message):
    (folder / name).write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        {"r": readers, "u": labels, "b": benchmark, "e": benchmark}[name[0]](folder)
    assert str(folder / name) in str(caught.value)


@pytest.mark.parametrize("name", NAMES)
def test_missing_files_are_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(DataError, match=name):
        {"r": readers, "u": labels, "b": benchmark, "e": benchmark}[name[0]](folder)


def test_published_files(real_data):
    folder = real_data / "ddsm_lists_and_findings"
    texts = readers(folder)
    assert texts.groupby("reader").size().to_dict() == {"reader_1": 16, "reader_2": 58}
    assert texts["unit"].duplicated().sum() == 16                                           # those of both readers
    found = labels(folder)
    assert found.groupby("network")["unit"].nunique().to_dict() == {"resnet152": 46, "vgg16": 17}
    answers = found[found["network"] == "vgg16"].groupby("unit").size()
    assert answers.value_counts().to_dict() == {1: 12, 2: 3, 3: 2}


def test_a_reader_of_unit_labels_alone_is_right_in_181_of_330_published_cases_and_the_network_in_206(real_data):
    cases = benchmark(real_data / "ddsm_lists_and_findings")
    right = int((cases["reader"] == cases["malignant"]).sum())
    assert len(cases) == 330 and right == 181
    assert [round(float(end), 3) for end in wilson_interval(right, 330)] == [0.495, 0.601]
    assert ((cases["likelihood"] >= 0.5) == cases["malignant"]).sum() == 206
    assert set(cases["diagnosis"]) == set(unit_labels.DIAGNOSES) and cases["malignant"].sum() == 156
    assert cases["shown"].map(len).value_counts().to_dict() == {3: 321, 2: 9}
