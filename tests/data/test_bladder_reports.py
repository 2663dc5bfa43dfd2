"""The published reports of bladder images: all are split, word for word; texts that are not built so are not."""

import json

import numpy as np
import pytest

from mdlib.data.bladder_reports import KEYS, Read, read, split, statistics
from mdlib.data.report_samples import words_of
from mdlib.data.reports import CLASSES, PARTS, plain
from mdlib.data.vocabulary import UNKNOWN, Vocabulary, longer
from mdlib.errors import DataError


@pytest.fixture(scope="module")
def published(real_data) -> Read:
    return read(real_data / "bladder_reports")


@pytest.fixture(scope="module")
def raw(real_data) -> dict[str, list[str]]:
    entries = json.loads((real_data / "bladder_reports/bladder_reports.json").read_text())
    return {entry["image_id"]: [text.replace(",", "") for text in entry["reports"]] for entry in entries}


def test_all_9445_reports_are_split_and_give_every_word_back(published, raw):
    reports, failed = published
    assert failed == [] and len(reports.texts) == 1889 and reports.table["image"].tolist() == list(raw)
    assert [reports.full(row) for row in range(1889)] == list(raw.values())
    assert sum(map(len, raw.values())) == 9445


def test_each_sentence_is_about_its_part_and_there_are_73_of_them(published):
    said = {part: {report[part] for texts in published.reports.texts for report in texts} - {""} for part in PARTS}
    assert {part: len(sentences) for part, sentences in said.items()} == {
        "nuclear_feature": 16, "nuclear_crowding": 20, "polarity": 13, "mitosis": 12, "nucleoli": 8, "conclusion": 4}
    for part, keys in KEYS.items():
        without = {text for text in said[part] if not any(key in text.split() for key in keys.split("|"))}
        assert without == ({"nuclear features are normal", "the nuclei appear normal"} if part == PARTS[0] else set())
        assert not [text for other in PARTS if other != part for text in said[other]
                    if any(key in text.split() for key in keys.split("|"))]


def test_the_conclusions_are_the_classes_and_the_five_of_an_image_agree(published, raw):
    reports = published.reports
    assert dict(zip(CLASSES, np.bincount(reports.targets).tolist(), strict=True)) == {
        "normal": 4, "low grade": 546, "high grade": 1184, "insufficient information": 155}
    for grade, texts in zip(reports.table["conclusion"], raw.values(), strict=True):
        assert all(text.endswith(grade) for text in texts)
    assert all(reports.sentences(row, "conclusion") == [grade] * 5
               for row, grade in enumerate(reports.table["conclusion"]))


def test_how_the_published_reports_are_written(published):
    table = statistics(published.reports)
    assert table.index.tolist() == [*PARTS, "whole report"]
    assert table.to_dict("list") == {"reports": [9070, 8835, 7880, 8665, 9175, 9445, 9445],
                                     "different": [16, 20, 13, 12, 8, 4, 8566], "words": [31, 29, 37, 33, 26, 6, 111],
                                     "shortest": [4, 5, 4, 3, 3, 1, 2], "longest": [12, 9, 13, 15, 10, 2, 59]}
    assert sum(all(report.values()) for texts in published.reports.texts for report in texts) == 7730


def test_the_patient_is_the_case_in_front_of_a_name(published):
    patient = dict(zip(published.reports.table["image"], published.reports.table["patient"], strict=True))
    assert {name: patient[name] for name in ("116700_001", "LP8_12_5", "1_00143_sub0_042", "2_00400_sub0_045")} == {
        "116700_001": "116700", "LP8_12_5": "LP8", "1_00143_sub0_042": "1_00143", "2_00400_sub0_045": "2_00400"}
    assert len(set(patient.values())) == 112


def test_the_published_words_go_into_numbers_and_back(published, raw):
    reports = published.reports
    vocabulary = Vocabulary.of(text for texts in raw.values() for text in texts)
    words, whole = words_of(reports, vocabulary, 15), words_of(reports, vocabulary, 59, whole=True)
    assert words.shape == (1889, 5, 6, 16) and whole.shape == (1889, 5, 1, 60) and len(vocabulary) == 113
    assert not (words == UNKNOWN).any() and longer((text for texts in raw.values() for text in texts), 59) == 0
    for row in (0, 700, 1888):
        assert [vocabulary.decode(report[0]) for report in whole[row]] == list(raw.values())[row]
        assert [[vocabulary.decode(ids) for ids in report] for report in words[row]] == [
            [report[part] for part in PARTS] for report in reports.texts[row]]


def test_a_report_by_hand():
    report = ("there is mild pleomorphism nuclei are not crowded cellular polarity is kept few mitotic figures are "
              "seen the nucleolus is small low grade")
    assert split(report) == dict(zip(PARTS, (
        "there is mild pleomorphism", "nuclei are not crowded", "cellular polarity is kept",
        "few mitotic figures are seen", "the nucleolus is small", "low grade"), strict=True))


@pytest.mark.parametrize("report, said", [
    ("insufficient information", {"conclusion": "insufficient information"}),
    ("mitosis is rare high grade", {"mitosis": "mitosis is rare", "conclusion": "high grade"}),
    ("the nuclei appear normal normal", {"nuclear_feature": "the nuclei appear normal", "conclusion": "normal"}),
    ("nuclear features are normal mitosis is rare normal", {"nuclear_feature": "nuclear features are normal",
                                                            "mitosis": "mitosis is rare", "conclusion": "normal"}),
])
def test_what_a_report_does_not_say_is_empty(report, said):
    assert split(report) == dict.fromkeys(PARTS, "") | said


FAILING = ["", "polarity is lost", "the nuclei appear normal", "mild pleomorphism is present moderate grade",
           "the film shows a large heart high grade", "high grade low grade", "normal tissue low grade",
           "mitosis is rare polarity is lost high grade",                              # not in order
           "mitosis is rare nucleoli is prominent mitosis is frequent high grade",     # twice
           "mild pleomorphism with crowding of nuclei low grade",                      # two parts in one sentence
           "Mitosis is rare, high grade"]                                              # not plain


@pytest.mark.parametrize("report", FAILING)
def test_a_text_that_is_built_otherwise_is_not_split(report):
    assert split(report) is None


def written(folder, entries) -> None:
    (folder / "bladder_reports.json").write_text(json.dumps(entries))


def test_an_image_with_a_report_that_fails_is_left_out_and_named(tmp_path):
    good = ["Mitosis is rare, high grade.", "nucleoli is prominent high grade"]
    written(tmp_path, [{"image_id": "a_1", "reports": good}, {"image_id": "b_1", "reports": [good[0], "a heart"]},
                       {"image_id": "b_2", "reports": ["", "a lung"]}, {"image_id": "1_7_2", "reports": good}])
    reports, failed = read(tmp_path)
    assert failed == [("b_1", 2), ("b_2", 1), ("b_2", 2)]
    assert reports.table.to_dict("list") == {"image": ["a_1", "1_7_2"], "patient": ["a", "1_7"],
                                             "conclusion": ["high grade"] * 2}
    assert reports.full(0) == [plain(text) for text in good] and reports.data_dir is None


FAULTS = [
    ([{"image_id": "a_1", "reports": ["high grade", "low grade"]}], "image 'a_1': the reports conclude 'high grade' a"),
    ([{"image_id": "a_1", "reports": ["a heart"]}], r"bladder_reports\.json: none of the reports can be split"),
    ([{"image_id": "a_1", "reports": ["normal"]}] * 2, "'a_1' occurs twice"),
    ([{"image_id": "a_1", "reports": ["normal"]}, {"image_id": "b", "reports": ["normal"] * 2}], "'b': 2 reports"),
    ([{"image_id": "a_1", "reports": []}], "entry 1: this is no image_id with a list of reports"),
    ([{"image_id": "_", "reports": ["normal"]}], "entry 1: this is no image_id"),
    ([{"image_id": "a_1", "reports": [{}]}], "entry 1: this is no image_id"),
    (["a_1"], "entry 1: this is no image_id"), ({}, "this is no list of images"),
]


@pytest.mark.parametrize("entries, words", FAULTS, ids=range(len(FAULTS)))
def test_a_fault_of_the_file_is_named(tmp_path, entries, words):
    written(tmp_path, entries)
    with pytest.raises(DataError, match=words):
        read(tmp_path)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DataError, match=r"bladder_reports\.json: the file cannot be read"):
        read(tmp_path)
