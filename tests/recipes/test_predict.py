"""`mdlib predict`: on images of no collection, as a user calls it, in the browser, and when something is wrong."""

import csv
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pydicom
import pytest
import torch
from click.testing import CliRunner
from dicom_file import dicom
from PIL import Image

from mdlib.cli import main, page_of_case
from mdlib.errors import DataError, SettingsError
from mdlib.recipes import answers, chest
from mdlib.recipes.chest import alarms, card
from mdlib.recipes.chest import predict as prediction
from mdlib.recipes.chest.plan import Training

pytestmark = pytest.mark.filterwarnings("ignore:Invalid value for VR CS")
NETWORKS = ["densenet121", "att_a_nonimage"]
FOURTEEN, SEEN_ALL = Training("densenet121", classes=14), Training("densenet121", "train_val")
HOSTILE = "<img src=x onerror=document.title=1>.png"


@pytest.fixture(scope="module")
def tiny(tiny):
    """The tiny chapter with what is asked here trained, and cards beside it."""
    chest.train_all(tiny, [*map(Training, NETWORKS), FOURTEEN, SEEN_ALL])
    return tiny


def write_card(chapter, training: Training) -> Path:
    folder = chest.trainings.folder(chapter, training)
    card.write(chapter, training, folder, chest.predictions(chapter, training))
    return folder


def trained_in(chapter, name: str) -> Path:
    return chest.trainings.folder(chapter, Training(name))


@pytest.fixture(scope="module")
def inbox(tiny, tmp_path_factory):
    """Five images that can be read, in three folders, and one that cannot."""
    tmp_path = tmp_path_factory.mktemp("inbox")
    names = tiny.table["image"].iloc[tiny.rows["test"]].tolist()
    first, second = (tiny.xrays.path(name) for name in names[:2])
    for folder in ("ward 1", "ward 2"):
        (tmp_path / "in" / folder).mkdir(parents=True)
    shutil.copy(first, tmp_path / "in/ward 1/film.png")
    shutil.copy(second, tmp_path / "in/ward 2/film.png")
    shutil.copy(first, tmp_path / "in" / HOSTILE)
    Image.fromarray(255 - np.asarray(Image.open(first))).save(tmp_path / "in/inverted.png")
    dicom(tmp_path / "in/from_the_archive", np.asarray(Image.open(second)), 8, PatientName="Doe^Jane", PatientID="4711",
          PatientSex="F", PatientAge="057Y", ViewPosition="LL", Modality="CR<b>", BodyPartExamined="CHEST")
    (tmp_path / "in/broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    (tmp_path / "in/notes.txt").write_text("no image")
    return tmp_path / "in"


def mdlib(*words):
    return CliRunner().invoke(main, [str(word) for word in words])


def ask(tiny, images, out, *options, network="densenet121"):
    return mdlib("predict", "chest", "--checkpoint", trained_in(tiny, network), *images, "--out", out,
                 "--device", "cpu", *options)


@pytest.fixture(scope="module")
def answer(tiny, inbox, tmp_path_factory):
    """What is printed, and the folder with tables and pages, of all that is in the inbox."""
    out = tmp_path_factory.mktemp("answer")
    return ask(tiny, [inbox], out), out


@pytest.mark.parametrize("network", NETWORKS)
def test_probabilities_are_those_of_the_chapter(tiny, tmp_path, network):
    table = tiny.table.iloc[tiny.rows["test"]].query("view == 'PA' and sex == 'M'")
    ages = [] if network == "densenet121" else [table["age"].iloc[0]]
    table = table[table["age"].isin(ages)] if ages else table.head(9)
    options = ["--view", "PA", "--sex", "M", "--age", ages[0]] if ages else []
    result = ask(tiny, tiny.xrays.paths(table["image"]), tmp_path / "out", "--tables-only", *options, network=network)
    assert result.exit_code == 0, result.output
    assert "drawn phantoms" in result.output, "whoever asks is told what the network knows"
    found = pd.read_csv(tmp_path / "out/predictions.csv").pivot(index="image", columns="class", values="probability")
    kept = chest.predictions(tiny, Training(network)).query("part == 'test'").set_index("image")
    classes = list(tiny.classes)
    assert set(found.index) == set(table["image"]) and len(found)
    np.testing.assert_allclose(found[classes], kept.loc[found.index, classes], atol=1e-6, rtol=0)
    assert not list((tmp_path / "out").rglob("*.html"))


def test_a_folder_gives_a_page_an_image_the_warnings_and_a_failure(answer):
    result, out = answer
    assert result.exit_code == 1 and "broken.png" in result.output and "Traceback" not in result.output
    read = {"ward 1/film.png", "ward 2/film.png", HOSTILE, "inverted.png", "from_the_archive"}
    pages = {str(page.relative_to(out)) for page in out.rglob("*.html")}
    assert pages == {f"{name}.html" for name in read}
    table = pd.read_csv(out / "predictions.csv")
    assert set(table["image"]) == read and len(table) == 5 * 15
    assert tuple(table.columns) == prediction.PREDICTIONS
    known = table.dropna(subset="threshold")
    assert (known["above"] == (known["probability"] >= known["threshold"])).all()
    said = pd.read_csv(out / "warnings.csv").groupby("image")["check"].agg(set)
    assert "agreement" in said["inverted.png"] and {"view", "modality"} <= said["from_the_archive"]
    assert said["broken.png"] == {"not read"}
    counts = table.groupby("image")["warnings"].first()
    assert counts["from_the_archive"] == len(said["from_the_archive"])
    assert not list(out.rglob("*.part")), "nothing is left half-written"


def test_nothing_of_the_patient_leaves_the_header_and_what_it_says_is_escaped(answer):
    _, out = answer
    for file in filter(Path.is_file, out.rglob("*")):
        assert "Doe" not in file.read_text() and "4711" not in file.read_text()
    page = (out / "from_the_archive.html").read_text()
    assert "CR&lt;B&gt;" in page and "CR<B>" not in page


def test_the_operating_points_are_those_of_the_validation_part(tiny, tmp_path):
    from mdlib.evaluate import thresholds

    model, name = card.load(card.read(trained_in(tiny, "densenet121"))), tiny.table["image"].iloc[0]
    ask(tiny, [tiny.xrays.path(name)], tmp_path / "out", "--tables-only")
    val = tiny.rows["val"]
    with torch.inference_mode():
        scores = model(image=tiny.samples("val").__getitems__(range(len(val)))["image"])["logits"].sigmoid().numpy()
    points = thresholds.choose(tiny.targets[val], scores, tiny.classes)
    table = pd.read_csv(tmp_path / "out/predictions.csv").set_index("class").loc[list(tiny.classes)]
    columns = ["threshold", "sensitivity", "specificity", "positives", "negatives"]
    np.testing.assert_allclose(table[columns], points[columns], atol=1e-6)


def test_pages_open_from_disk_draw_the_explorer_and_ask_nobody(answer, chromium):
    from browser import launch, open_page
    from explorer_page import ExplorerPage

    with launch(chromium) as browser:
        for name in (HOSTILE, "inverted.png"):
            with open_page(browser, (answer[1] / f"{name}.html").as_uri()) as visit:
                assert ExplorerPage(visit).drawn() >= 1
                assert visit.faults == [] and visit.external == []
                assert visit.page.title() == name and visit.page.locator("main h1").inner_text() == name
                text = visit.page.locator("main").inner_text()
                assert "not a medical device" in text and "drawn phantoms, no patients" in text
                assert ("probably inverted" in text) == (name == "inverted.png")
                assert "truth unknown" in ExplorerPage(visit).status()
                visit.page.set_viewport_size({"width": 320, "height": 640})
                assert visit.page.evaluate("document.documentElement.scrollWidth") <= 320


def test_the_same_question_is_answered_anew_and_another_refused(tiny, inbox, tmp_path):
    out, film = tmp_path / "out", inbox / "ward 1/film.png"
    assert ask(tiny, [film], out, "--tables-only").exit_code == 0
    assert ask(tiny, [film], out).exit_code == 0 and (out / "film.png.html").exists()
    assert "other files" in ask(tiny, [inbox / "inverted.png"], out).output
    assert "another network" in ask(tiny, [film], out, network="att_a_nonimage").output
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/predictions.csv").write_text("precious")
    assert "not empty" in ask(tiny, [film], tmp_path / "mine").output
    assert (tmp_path / "mine/predictions.csv").read_text() == "precious"
    (tmp_path / "file").write_text("")
    assert "writing failed" in ask(tiny, [film], tmp_path / "file/out").output


def test_one_image_named_twice_is_asked_once_and_a_folder_without_images_refused(inbox, tmp_path):
    twice = answers.find([inbox / "ward 1", inbox / "ward 1/film.png", inbox / "ward 1/../ward 1/film.png"])
    assert [file.name for file in twice] == ["film.png"]
    (tmp_path / "notes.txt").write_text("no image")
    with pytest.raises(SettingsError, match="no image"):
        answers.find([tmp_path])


def test_a_network_with_nonimage_features_says_what_it_lacks(tiny, inbox, tmp_path):
    film = inbox / "ward 1/film.png"
    result = ask(tiny, [film], tmp_path / "out", "--sex", "M", network="att_a_nonimage")
    assert result.exit_code == 1 and "view, age" in result.output and "--view PA or AP" in result.output
    given = ["--sex", "M", "--view", "AP", "--age", "57"]
    assert ask(tiny, [film], tmp_path / "out", *given, network="att_a_nonimage").exit_code == 0
    assert "Beside the image it was told: AP, M, 57 years." in (tmp_path / "out/film.png.html").read_text()
    older = [*given[:-1], "58", "--tables-only"]
    assert ask(tiny, [film], tmp_path / "out", *older, network="att_a_nonimage").exit_code == 0
    assert not (tmp_path / "out/film.png.html").exists(), "a page of another age does not stay beside the new table"


def test_names_are_safe_in_tables_and_on_disk(tiny, inbox, tmp_path):
    formula, long = "=HYPERLINK(1).png", "x" * 240 + ".png"
    bytes_name = os.fsdecode(b"caf\xe9\n.png")
    names = [formula, long, bytes_name]
    for name in names:
        shutil.copy(inbox / "ward 1/film.png", tmp_path / name)
    assert ask(tiny, [tmp_path / name for name in names], tmp_path / "out").exit_code == 0
    with (tmp_path / "out/predictions.csv").open(newline="", encoding="utf-8") as file:
        images = {row["image"] for row in csv.DictReader(file)}
    assert images == {f"./{formula}", long, "caf\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}.png"}
    assert len(list((tmp_path / "out").glob("*.html"))) == 3


def test_a_strip_is_refused_before_it_takes_any_memory(tiny, tmp_path):
    Image.new("L", (60_000, 2)).save(tmp_path / "strip.png")
    result = ask(tiny, [tmp_path / "strip.png"], tmp_path / "out")
    assert result.exit_code == 1 and "no radiograph" in result.output


def copied(tiny, tmp_path) -> Path:
    (tmp_path / "model").mkdir()
    for name in ("checkpoint.pt", "card.json", "reference.npz"):
        shutil.copy(trained_in(tiny, "densenet121") / name, tmp_path / "model")
    return tmp_path / "model"


def test_checkpoint_card_and_reference_are_all_that_is_needed(tiny, tmp_path):
    folder = copied(tiny, tmp_path)
    for given in (folder, folder / "checkpoint.pt"):
        found = card.read(given)
        assert found.training == Training("densenet121") and found.classes == tiny.classes and found.data["phantoms"]
        assert found.reference.trained == len(tiny.rows["train"]) and found.reference.held_out == len(tiny.rows["val"])
        assert not card.load(found).training


def rewrite(folder: Path, **changes) -> None:
    told = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps({k: v for k, v in (told | changes).items() if v is not None}))


@pytest.mark.parametrize("damage, said", [
    (lambda folder: (folder / "card.json").unlink(), "no card.json beside the checkpoint"),
    (lambda folder: (folder / "checkpoint.pt").unlink(), "no checkpoint"),
    (lambda folder: (folder / "card.json").write_text("{"), "not JSON"),
    (lambda folder: (folder / "card.json").write_text("[1]"), "not the card"),
    (lambda folder: rewrite(folder, chapter="mims"), "chapter 'mims'"),
    (lambda folder: rewrite(folder, weights=None), "weights missing"),
    (lambda folder: rewrite(folder, weights="0" * 16), "not the weights that the card was written for"),
    (lambda folder: rewrite(folder, training={"network": "resnet50"}), "do not fit the network"),
    (lambda folder: rewrite(folder, training={"network": "vgg16"}), "damaged card.*vgg16"),
    (lambda folder: rewrite(folder, settings={"epoch": 3}), "damaged card.*epoch"),
    (lambda folder: rewrite(folder, training={"network": "densenet121", "classes": 3}), "damaged card.*classes=3"),
    (lambda folder: rewrite(folder, operating_points={"No Finding": [1]}), "damaged card"),
    (lambda folder: (folder / "reference.npz").write_bytes(b"PK"), "not the file that the card"),
    (lambda folder: (folder / "reference.npz").unlink(), "reference images cannot be read"),
    (lambda folder: (folder / "checkpoint.pt").write_bytes(b"PK\x03\x04"), "damaged")],
    ids=["no card", "no checkpoint", "half a card", "a list", "chapter", "key", "weights", "network", "no network",
         "settings", "classes", "points", "other reference", "no reference", "half a checkpoint"])
def test_a_card_or_checkpoint_that_cannot_be_used_is_named(tiny, tmp_path, damage, said):
    folder = copied(tiny, tmp_path)
    damage(folder)
    with pytest.raises(DataError, match=said):
        card.load(card.read(folder))


def test_a_card_is_written_once_and_only_for_a_network_that_has_not_seen_the_validation_part(tiny):
    before = (trained_in(tiny, "densenet121") / "card.json").stat().st_mtime_ns
    assert (write_card(tiny, Training("densenet121")) / "card.json").stat().st_mtime_ns == before
    folder = write_card(tiny, SEEN_ALL)
    with pytest.raises(DataError, match="learned from the validation part"):
        card.read(folder)


def test_a_network_of_fourteen_classes_has_a_card_of_fourteen(tiny, inbox, tmp_path):
    found = card.read(write_card(tiny, FOURTEEN))
    assert found.classes == tiny.classes[1:] and found.training == FOURTEEN
    prediction.predict(found.checkpoint, [inbox / "ward 1"], tmp_path / "out", "cpu")
    assert pd.read_csv(tmp_path / "out/predictions.csv")["class"].tolist() == list(tiny.classes[1:])


def test_spoiled_images_raise_the_alarm_and_few_others_do(tiny):
    files = tiny.xrays.paths(tiny.table["image"].iloc[tiny.rows["test"]])
    table = alarms.alarms(tiny, {"as files": files})
    assert table.loc["as files"].equals(table.loc["as they are"])
    assert table.loc["as they are", "agreement"] == 0
    assert table.loc["inverted", "agreement"] == 1 and table.loc["12 bits in a 16-bit file", "contrast"] == 1
    assert table.loc["turned by 90°", "any"] == 1


def test_without_pages_of_its_own_the_recipe_hands_over_the_case(tiny, inbox, tmp_path):
    shown = []
    prediction.predict(trained_in(tiny, "densenet121"), [inbox / "ward 1"], tmp_path / "out", "cpu", {},
                       lambda case, title, above: shown.append((case, title)) or page_of_case(case, title, above))
    (case, title), = shown
    assert title == "film.png" and np.isnan(case["truth"]).all() and len(case["maps"]) == 4


def test_real_radiographs_in_dicom_and_jpeg_are_predicted(tiny, real_data, tmp_path):
    result = ask(tiny, [real_data / "cxr_fullres_samples"], tmp_path / "out")
    assert result.exit_code == 0, result.output
    table = pd.read_csv(tmp_path / "out/predictions.csv")
    assert table["image"].nunique() == 5 and table["probability"].between(0, 1).all()
    said = pd.read_csv(tmp_path / "out/warnings.csv").groupby("image")["check"].agg(set)
    assert len(said) == 5, "to a network that knows drawn phantoms every real film is strange"
    assert "agreement" in said["Fake_MONOHR1.dcm"], "its header says MONOCHROME1, its pixels are MONOCHROME2"
    identity = str(pydicom.dcmread(real_data / "cxr_fullres_samples/Fake_MONOHR1.dcm").PatientID)
    assert identity not in (tmp_path / "out/Fake_MONOHR1.dcm.html").read_text()
