"""CBIS-DDSM: films and findings of the tables, masks told from cropped images, and what is refused."""

import numpy as np
import pytest
from dicom_file import dicom

from mdlib.data.cbis import cbis
from mdlib.errors import DataError

HEIGHT, WIDTH = 60, 40
HEADER = ("patient_id,{density},left or right breast,image view,abnormality id,abnormality type,{words},assessment,"
          "pathology,subtlety,image file path,cropped image file path,ROI mask file path\n")
MASS = HEADER.format(density="breast_density", words="mass shape,mass margins")
CALC = HEADER.format(density="breast density", words="calc type,calc distribution")
# the file names of a row say nothing of the downloaded ones, and a path may end with a line break
ROW = ('{patient},{density},LEFT,CC,{number},{kind},{words},4,{pathology},3,{film}/1.3.6/1.3.7/000000.dcm,'
       '"{film}_{number}/1.3.6/1.3.8/000001.dcm\n","{film}_{number}/1.3.6/1.3.8/000000.dcm\n"\n')
BOX = (slice(10, 30), slice(5, 15))


def box(shape=(HEIGHT, WIDTH)):
    mask = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
    mask[BOX] = 255
    return np.kron(mask, np.ones(np.floor_divide(shape, mask.shape), np.uint8)) if shape != mask.shape else mask


def crop(height=20, width=10):
    return np.arange(height * width, dtype=np.uint16).reshape(height, width) * 100


def put(folder, name, *pixels):
    home = folder / "CBIS-DDSM" / name / "07-20-2016-DDSM-NA-74994" / "1.000000-images-24515"
    home.mkdir(parents=True, exist_ok=True)
    for number, values in enumerate(pixels, start=1):
        dicom(home / f"1-{number}.dcm", values, 8 * values.dtype.itemsize)


def mass_row(patient="P_00001", number=1, pathology="MALIGNANT", part="Training", density="3"):
    return ROW.format(patient=patient, density=density, number=number, kind="mass", words="OVAL,SPICULATED",
                      pathology=pathology, film=f"Mass-{part}_{patient}_LEFT_CC")


@pytest.fixture
def folder(tmp_path):
    put(tmp_path, "Mass-Training_P_00001_LEFT_CC", np.full((HEIGHT, WIDTH), 65535, np.uint16))
    put(tmp_path, "Mass-Training_P_00001_LEFT_CC_1", crop(), box())
    put(tmp_path, "Mass-Training_P_00001_LEFT_CC_2", box()[::-1].copy(), crop())
    (tmp_path / "mass_case_description_train_set.csv").write_text(MASS + mass_row() + mass_row(number=2,
                                                                                               pathology="BENIGN"))
    return tmp_path


def mass_table(folder):
    return folder / "mass_case_description_train_set.csv"


def test_a_film_and_its_findings(folder):
    films = cbis(folder)
    assert films.table.loc[0, ["film", "patient", "side", "view", "part"]].tolist() == [
        "P_00001_LEFT_CC", "P_00001", "left", "CC", "train"]
    assert films.table.loc[0, ["density", "height", "width"]].tolist() == [3, HEIGHT, WIDTH]
    assert (films.read(0) == 255).all()
    assert films.findings["malignant"].tolist() == [True, False] and films.findings["abnormality"].tolist() == [1, 2]
    assert films.findings.loc[0, ["kind", "shape", "margins", "type"]].tolist() == ["mass", "OVAL", "SPICULATED", ""]


def test_the_mask_is_told_from_the_cropped_image_by_its_size(folder):
    films = cbis(folder)
    assert films.findings["mask"].str.split("/").str[-1].tolist() == ["1-2.dcm", "1-1.dcm"]
    assert np.array_equal(films.mask("P_00001_LEFT_CC", malignant=True), box() > 0)
    assert np.array_equal(films.mask("P_00001_LEFT_CC", malignant=False), box()[::-1] > 0)


@pytest.mark.parametrize("larger_first", [True, False])
def test_else_by_its_content(folder, larger_first):
    larger = box((2 * HEIGHT, 2 * WIDTH))
    put(folder, "Mass-Training_P_00001_LEFT_CC_1", *((larger, crop()) if larger_first else (crop(), larger)))
    assert np.array_equal(cbis(folder).mask("P_00001_LEFT_CC", malignant=True), box() > 0)


def test_a_cropped_image_is_never_taken_for_a_mask(folder):
    put(folder, "Mass-Training_P_00001_LEFT_CC_1", crop(HEIGHT, WIDTH), box((2 * HEIGHT, 2 * WIDTH)))
    with pytest.raises(DataError, match=r"1-1\.dcm: this is no mask: it has \d+ grey values, not two"):
        cbis(folder).mask("P_00001_LEFT_CC")


def test_a_mask_of_zeros_and_ones(folder):
    put(folder, "Mass-Training_P_00001_LEFT_CC_1", crop(), (box() > 0).astype(np.uint8))
    assert np.array_equal(cbis(folder).mask("P_00001_LEFT_CC", malignant=True), box() > 0)
    put(folder, "Mass-Training_P_00001_LEFT_CC_1", crop(), 0 * box())
    with pytest.raises(DataError, match=r"1-2\.dcm: this is no mask: it has 1 grey values"):
        cbis(folder).mask("P_00001_LEFT_CC")


def test_a_mask_of_another_aspect_is_refused(folder):
    put(folder, "Mass-Training_P_00001_LEFT_CC_1", box()[:, :-1].copy(), crop())
    with pytest.raises(DataError, match=r"1-1\.dcm \(.*train_set\.csv, row \d\): the outlines are of 60 x 39"):
        cbis(folder)


def test_a_missing_mask_is_warned_of(folder):
    put(folder, "Mass-Training_P_00001_LEFT_CC_2", crop(), crop())
    with pytest.warns(UserWarning, match="the masks of 1 of 2 findings are not in their folders"):
        films = cbis(folder)
    assert films.without_outline() == ["P_00001_LEFT_CC"] and films.mask("P_00001_LEFT_CC", malignant=True).any()


def test_a_film_with_masses_and_calcifications_is_one(folder):
    put(folder, "Calc-Test_P_00001_LEFT_CC", np.full((HEIGHT, WIDTH), 65535, np.uint16))
    put(folder, "Calc-Test_P_00001_LEFT_CC_1", crop(), box())
    (folder / "calc_case_description_test_set.csv").write_text(CALC + ROW.format(
        patient="P_00001", density="0", number=1, kind="calcification", words="PLEOMORPHIC,CLUSTERED",
        pathology="BENIGN_WITHOUT_CALLBACK", film="Calc-Test_P_00001_LEFT_CC"))
    films = cbis(folder)
    assert len(films.table) == 1 and films.findings["number"].tolist() == [1, 2, 3]
    assert films.findings["kind"].tolist() == ["mass", "mass", "calcification"]
    assert films.findings.loc[2, ["shape", "type", "distribution"]].tolist() == ["", "PLEOMORPHIC", "CLUSTERED"]


def test_a_patient_in_both_parts_is_warned_of(folder):
    put(folder, "Mass-Test_P_00001_LEFT_CC", np.full((HEIGHT, WIDTH), 9, np.uint16))
    put(folder, "Mass-Test_P_00001_LEFT_CC_1", crop(), box())
    text = MASS + mass_row(part="Test", density="0").replace("LEFT,CC", "LEFT,MLO")
    (folder / "mass_case_description_test_set.csv").write_text(text)
    with pytest.warns(UserWarning, match="1 of 1 patients have films in train and in test; split by patient"):
        films = cbis(folder)
    assert films.table["part"].tolist() == ["train", "test"] and np.isnan(films.table["density"][1])


@pytest.mark.parametrize("old, new, message", [
    ("MALIGNANT", "BAD", r"csv, row 4, column 'pathology': unknown value 'BAD'"),
    ("P_00001,3", "P1,3", r"row 4, column 'patient_id': 'P1' is no patient"),
    ("LEFT,CC", "BOTH,CC", "row 4, column 'left or right breast': unknown value 'BOTH'"),
    ("Mass-Training_P_00001_LEFT_CC/", "Mass-Training_P_00009_LEFT_CC/", "no DICOM file in .*P_00009_LEFT_CC"),
    (",subtlety", ",how subtle", "row 1: no column 'subtlety'"),
    ("Mass-Training_P_00001_LEFT_CC_2/", "Mass-Training_P_00001_LEFT_CC_1/", "of P_00001_LEFT_CC is listed twice")])
def test_a_wrong_table_is_refused_by_row(folder, old, new, message):
    mass_table(folder).write_text(mass_table(folder).read_text().replace(old, new))
    with pytest.raises(DataError, match=message):
        cbis(folder)


def test_a_folder_without_tables_or_with_two_films(folder):
    put(folder, "Mass-Training_P_00001_LEFT_CC", crop(), crop())
    with pytest.raises(DataError, match="column 'image file path': 2 files in the folder of the film, not one"):
        cbis(folder)
    mass_table(folder).unlink()
    with pytest.raises(DataError, match=r"none of the tables mass_case_description_train_set\.csv"):
        cbis(folder)
