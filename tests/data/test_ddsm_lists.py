"""The lists of Wu et al.: what their names say, the five published leaks, and what is refused."""

import pytest

from mdlib.data.ddsm_lists import leaks, read_lists
from mdlib.errors import DataError

TRAIN = "cancer_01-A_0001_1.LEFT_CC.LJPEG.1.jpg\ncancer_01-A_0001_1.RIGHT_MLO.LJPEG.1.jpg\n"
VAL = "benign_without_callback_02-B_0002_1.LEFT_CC.LJPEG.1.jpg\n"
TEST = "normal_12-A_0001_1.LEFT_CC.LJPEG.1.jpg\n"


@pytest.fixture
def folder(tmp_path):
    for name, text in (("train", TRAIN), ("val", VAL), ("test", TEST)):
        (tmp_path / f"{name}.txt").write_text(text)
    return tmp_path


def test_a_name_says_volume_exam_and_film(folder):
    table = read_lists(folder)
    assert table.loc[1].to_dict() == {
        "film": "cancer_01-A_0001_1.RIGHT_MLO", "volume": "cancer_01", "category": "cancer", "part": "train",
        "exam": "cancer_01-A_0001_1", "patient": "A_0001", "side": "right", "view": "MLO"}
    assert table["category"].tolist() == ["cancer", "cancer", "benign_without_callback", "normal"]


def test_a_case_in_two_parts_is_found(folder):
    shared = leaks(read_lists(folder))
    assert shared.to_dict("records") == [{"patient": "A_0001", "parts": "train, test", "films": 3, "exams": 2}]
    assert leaks(read_lists(folder).iloc[:3]).empty


@pytest.mark.parametrize("line, message", [
    ("cancer_01-A_0001_1.LEFT_XX.LJPEG.1.jpg", r"val\.txt, row 2: 'cancer_01-A_0001_1\.LEFT_XX.* is not the name"),
    ("cancer_01-A_0001_1.LEFT_CC.LJPEG.1.jpg", r"val\.txt, row 2: film cancer_01-A_0001_1\.LEFT_CC is listed twice, "
                                               r"first in .*train\.txt, row 1")])
def test_a_wrong_line_is_refused(folder, line, message):
    (folder / "val.txt").write_text(f"{VAL}{line}\n")
    with pytest.raises(DataError, match=message):
        read_lists(folder)


def test_missing_and_empty_lists_are_refused(folder):
    (folder / "val.txt").unlink()
    with pytest.raises(DataError, match=r"val\.txt: no such file"):
        read_lists(folder)
    for part in ("train", "val", "test"):
        (folder / f"{part}.txt").write_text("")
    with pytest.raises(DataError, match="the lists name no film"):
        read_lists(folder)


def test_the_published_lists_leak_five_cases(real_data):
    table = read_lists(real_data / "ddsm_lists_and_findings")
    assert table.groupby("part").size().to_dict() == {"train": 8336, "val": 1040, "test": 1044}
    assert table.groupby("part")["exam"].nunique().to_dict() == {"train": 2084, "val": 260, "test": 261}
    shared = leaks(table)
    assert dict(zip(shared["patient"], shared["parts"], strict=True)) == {
        "B_3470": "train, val", "C_0412": "train, val", "C_0478": "train, val", "A_1632": "train, test",
        "B_3159": "val, test"}
    assert (shared["films"] == 8).all() and (shared["exams"] == 2).all()
