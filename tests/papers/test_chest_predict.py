"""`mdlib predict chest`: what only radiographs need; the rest is in tests/study/test_inference.py."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pydicom
import pytest
import torch
from dicom_file import dicom
from PIL import Image
from tiny_chest import FOURTEEN, IMAGE, NONIMAGE

from mdlib.errors import DataError
from mdlib.evaluate import thresholds
from mdlib.papers.chest import CLASSES, PAPER, alarms
from mdlib.study import inference
from mdlib.widgets.standalone import case_page

pytestmark = pytest.mark.filterwarnings("ignore:Invalid value for VR CS")


@pytest.fixture(scope="module")
def study(trained_chest):
    return trained_chest


def ask(study, paths, out, run=IMAGE, page=None, **given) -> dict[str, str]:
    return inference.predict(PAPER, study.run_folder(run), paths, out, "cpu", given, page)


def film(study, number: int = 0) -> Path:
    return study.data.xrays.path(study.data.table["image"].iloc[study.data.rows("test")[number]])


def checks_of(out: Path) -> dict[str, set]:
    return pd.read_csv(out / "warnings.csv").groupby("image")["check"].agg(set).to_dict()


@pytest.mark.parametrize("run", [IMAGE, NONIMAGE], ids=lambda run: run.slug)
def test_probabilities_are_those_of_the_study(study, tmp_path, run):
    table = study.data.table.iloc[study.data.rows("test")].query("view == 'PA' and sex == 'M'")
    given = {"view": "PA", "sex": "M", "age": table["age"].iloc[0]} if run == NONIMAGE else {}
    table = table[table["age"] == given["age"]] if given else table.head(9)
    assert ask(study, study.data.xrays.paths(table["image"]), tmp_path, run, **given) == {}
    found = pd.read_csv(tmp_path / "predictions.csv").pivot(index="image", columns="class", values="probability")
    expected = study.predict([run]).tables[run].loc[found.index, list(CLASSES)]
    assert set(found.index) == set(table["image"]) and len(found)
    np.testing.assert_allclose(found[list(CLASSES)], expected, atol=1e-6, rtol=0)


def test_the_operating_points_are_those_of_the_validation_part(study, tmp_path):
    ask(study, [film(study)], tmp_path)
    val = study.samples("val")
    with torch.inference_mode():
        scores = study.model(IMAGE)(image=val.batch(len(val))["image"])["logits"].sigmoid().numpy()
    points = thresholds.choose(study.data.targets[study.data.rows("val")], scores, CLASSES)
    table = pd.read_csv(tmp_path / "predictions.csv")
    known = table.dropna(subset="threshold")
    assert len(known) and (known["above"] == (known["probability"] >= known["threshold"])).all()
    columns = ["threshold", "sensitivity", "specificity", "positives", "negatives"]
    np.testing.assert_allclose(table.set_index("class").loc[list(CLASSES), columns], points[columns], atol=1e-6)


def test_a_network_of_fourteen_classes_predicts_fourteen(study, tmp_path):
    ask(study, [film(study)], tmp_path, FOURTEEN)
    assert pd.read_csv(tmp_path / "predictions.csv")["class"].tolist() == list(CLASSES[1:])


def test_an_inverted_film_and_a_lateral_view_get_warnings(study, tmp_path):
    Image.fromarray(255 - np.asarray(Image.open(film(study)))).save(tmp_path / "inverted.png")
    dicom(tmp_path / "lateral.dcm", np.asarray(Image.open(film(study))), 8, ViewPosition="LL", Modality="CR",
          BodyPartExamined="CHEST")
    ask(study, [tmp_path], tmp_path / "out", page=case_page)
    found = checks_of(tmp_path / "out")
    assert "agreement" in found["inverted.png"] and "view" in found["lateral.dcm"]
    assert "probably inverted" in (tmp_path / "out/inverted.png.html").read_text()


def test_view_sex_and_age_come_from_the_header_or_are_asked_for(study, tmp_path):
    out, given = tmp_path / "out", {"sex": "M", "view": "AP", "age": 57.0}
    failures = ask(study, [film(study)], out, NONIMAGE, sex="M")
    assert all(part in failures[film(study).name] for part in ("view, age", "--view PA or AP"))
    out = tmp_path / "given"
    assert ask(study, [film(study)], out, NONIMAGE, case_page, **given) == {}
    page = out / f"{film(study).name}.html"
    assert "The network was also given: AP, M, 57 years." in page.read_text()
    assert ask(study, [film(study)], out, NONIMAGE, **given | {"age": 58.0}) == {}
    assert not page.exists(), "a page for another age does not stay beside the new table"
    dicom(tmp_path / "film.dcm", np.asarray(Image.open(film(study))), 8, PatientSex="F", PatientAge="040Y",
          ViewPosition="PA")
    assert ask(study, [tmp_path / "film.dcm"], tmp_path / "header", NONIMAGE, case_page, **given) == {}
    assert "also given: PA, F, 40 years" in (tmp_path / "header/film.dcm.html").read_text()


def test_a_strip_is_refused_before_it_takes_any_memory(study, tmp_path):
    Image.new("L", (60_000, 2)).save(tmp_path / "strip.png")
    assert "no radiograph" in ask(study, [tmp_path / "strip.png"], tmp_path / "out")["strip.png"]


@pytest.mark.parametrize("part, changes, message", [
    ("run", {"network": "vgg16"}, "damaged card.*vgg16"),
    ("run", {"n_classes": 3}, "do not fit the network"),
    ("facts", {"operating_points": [{"class": "No Finding", "threshold": 0.5}]}, "damaged card"),
    ("settings", {"crop": 0}, "damaged card.*crop")])
def test_a_card_of_no_network_of_the_paper_is_refused(study, tmp_path, part, changes, message):
    shutil.copytree(study.run_folder(IMAGE), tmp_path / "model")
    card = json.loads((tmp_path / "model/card.json").read_text())
    (tmp_path / "model/card.json").write_text(json.dumps(card | {part: card[part] | changes}))
    with pytest.raises(DataError, match=message):
        _ = inference.open_predictor(PAPER, tmp_path / "model").bundle.model


def test_four_kinds_of_map_of_a_densenet_are_shown(study, tmp_path):
    cases = []
    ask(study, [film(study)], tmp_path / "out",
        page=lambda case, title, above: cases.append(case) or case_page(case, title, above))
    assert len(cases[0]["maps"]) == 4 and set(cases[0]["signal"]) == set(cases[0]["maps"])


def test_spoiled_images_get_warnings_and_few_others_do(study):
    table = alarms.alarms(study, {"as files": study.data.xrays.paths(
        study.data.table["image"].iloc[study.data.rows("test")])})
    assert table.loc["as files"].equals(table.loc["as they are"])
    assert table.loc["as they are", "agreement"] == 0
    assert table.loc["inverted", "agreement"] == 1 and table.loc["12 bits in a 16-bit file", "contrast"] == 1
    assert table.loc["turned by 90°", "any"] == 1


def test_real_radiographs_in_dicom_and_jpeg_are_predicted(study, real_data, tmp_path):
    assert ask(study, [real_data / "cxr_fullres_samples"], tmp_path, page=case_page) == {}
    table = pd.read_csv(tmp_path / "predictions.csv")
    assert table["image"].nunique() == 5 and table["probability"].between(0, 1).all()
    found = checks_of(tmp_path)
    assert len(found) == 5, "to a network that was trained on drawn phantoms every real film is unusual"
    assert "agreement" in found["Fake_MONOHR1.dcm"], "its header says MONOCHROME1, its pixels are MONOCHROME2"
    identity = str(pydicom.dcmread(real_data / "cxr_fullres_samples/Fake_MONOHR1.dcm").PatientID)
    assert identity not in (tmp_path / "Fake_MONOHR1.dcm.html").read_text()
