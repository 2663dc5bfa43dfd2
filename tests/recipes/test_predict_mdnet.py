"""`mdlib predict mdnet`: what only reports need; the rest is in tests/study/test_inference.py."""

import json
import re
import shutil
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import CliRunner
from dicom_file import dicom
from PIL import Image, ImageFilter

from mdlib.cli import main
from mdlib.data.vocabulary import PAD
from mdlib.errors import DataError
from mdlib.models.decoding import log_likelihood
from mdlib.models.mdnet import evidence_of
from mdlib.recipes import mdnet
from mdlib.recipes import trainings as shared
from mdlib.recipes.mdnet import looking
from mdlib.recipes.mdnet import predict as prediction
from mdlib.recipes.mdnet.card import ORIGIN
from mdlib.recipes.mdnet.plan import Training
from mdlib.study import inference
from mdlib.widgets.standalone import case_page

MDNET, ORIGINAL, WHOLE = (Training(row) for row in ("mdnet", "mdnet_original", "baseline_en"))
DOUBTS = {"no_conclusion", "disagreement"}      # a network that has hardly learned contradicts itself


@pytest.fixture(scope="module")
def chapter(trained_mdnet):
    return trained_mdnet


def folder_of(chapter, training: Training = MDNET) -> Path:
    return shared.folder(chapter, training)


def of_test(chapter, training: Training = MDNET) -> tuple[pd.DataFrame, list[Path]]:
    """What the chapter has kept of the test part, and the file of each image."""
    kept, files = mdnet.predictions(chapter, training), chapter.reports.paths()
    return kept, [files[row] for row in kept["row"]]


def ask(chapter, images, out, *options, training=MDNET):
    words = ["predict", "mdnet", "--checkpoint", folder_of(chapter, training), *images, "--out", out, "--device", "cpu"]
    return CliRunner().invoke(main, [str(word) for word in [*words, *options]])


def table_of(out: Path) -> pd.DataFrame:
    return pd.read_csv(out / "predictions.csv", keep_default_na=False).set_index("image")


def warned(out: Path) -> dict[str, set]:
    return pd.read_csv(out / "warnings.csv").groupby("image")["check"].agg(set).to_dict()


@pytest.mark.parametrize("training", [MDNET, ORIGINAL, WHOLE], ids=lambda each: each.slug)
def test_reports_are_those_of_the_chapter(chapter, tmp_path, training):
    kept, files = of_test(chapter, training)
    result = ask(chapter, files, tmp_path / "out", "--tables-only", training=training)
    assert result.exit_code == 0, result.output
    assert "drawn phantoms" in result.output, "whoever asks is told what the network knows"
    found, classes = table_of(tmp_path / "out"), chapter.reports.classes
    assert list(found.index) == [file.name for file in files] and len(files) > 20
    assert found["guess"].tolist() == [classes[guess] for guess in kept["guess"]]
    columns = [name for name in kept if name not in ("row", "guess")]
    assert columns == (["report"] if training == WHOLE else list(chapter.reports.parts))
    assert (found[columns].to_numpy() == kept[columns].to_numpy()).all()
    assert (found[columns] != "").any(axis=None), "there is something to compare"
    np.testing.assert_allclose(found[list(classes)].astype(float).sum(axis=1), 1, atol=1e-5)
    assert found[list(classes)].astype(float).idxmax(axis=1).tolist() == found["guess"].tolist()
    last = kept[columns[-1]]
    ends = [next((name for name in classes if f" {text}".endswith(f" {name}")), "") for text in last]
    assert found["stated"].tolist() == ends
    assert found["agree"].astype(str).tolist() == [str(int(guess == end)) if end else "" for guess, end in
                                                   zip(found["guess"], ends, strict=True)]
    assert not list((tmp_path / "out").rglob("*.html"))


def test_the_log_probability_is_that_of_the_report_read_back(chapter, tmp_path):
    _, files = of_test(chapter)
    ask(chapter, files[:4], tmp_path / "out", "--tables-only")
    model, vocabulary = mdnet.trained(chapter, MDNET), chapter.vocabulary()
    for file, said in zip(files, table_of(tmp_path / "out").itertuples(), strict=False):
        row = chapter.reports.table["image"].tolist().index(file.name)
        words = torch.from_numpy(vocabulary.encode([getattr(said, part) for part in chapter.reports.parts],
                                                   chapter.settings.longest))[None]
        with torch.inference_mode():
            seen = model.image_model(looking.as_input(np.array(chapter.pixels[row:row + 1])))
            c = evidence_of(seen["features"], model.image_model.classifier, seen["logits"].argmax(dim=1))
            total = log_likelihood(model.language, seen["features"], c, words).item()
        assert said.log_probability == pytest.approx(total / (words != PAD).sum().item(), abs=1e-5)


@pytest.fixture(scope="module")
def inbox(chapter, tmp_path_factory):
    """Images that can be read, in several formats, and three that cannot."""
    folder, (_, files) = tmp_path_factory.mktemp("mdnet_inbox"), of_test(chapter)
    tissue = Image.open(files[0]).convert("RGB")
    width, height = tissue.size
    for name in ("ward 1", "ward 2"):
        (folder / name).mkdir()
        shutil.copy(files[name == "ward 2"], folder / name / "slide.png")
    tissue.save(folder / "photo.jpg", quality=95)
    tissue.convert("L").save(folder / "grey.png")
    tissue.resize((40, 40)).save(folder / "tiny.png")
    tissue.crop((0, 0, width, height // 2)).save(folder / "wide.png")
    Image.merge("RGB", tissue.split()[::-1]).save(folder / "=swapped<b>.png")
    tissue.filter(ImageFilter.GaussianBlur(6)).save(folder / "blurred.png")
    values = np.asarray(tissue)
    dicom(folder / "slide.dcm", values, 8, Rows=height, Columns=width, SamplesPerPixel=3, PlanarConfiguration=0,
          PhotometricInterpretation="RGB", PatientName="Doe^Jane", PatientID="4711-0815", Modality="XC")
    dicom(folder / "stack.dcm", np.zeros((3, 64, 64), np.uint8), 8, NumberOfFrames=3)
    (folder / "cut.png").write_bytes(files[0].read_bytes()[:300])
    (folder / "empty.jpg").touch()
    (folder / "notes.txt").write_text("no image")
    return folder


@pytest.fixture(scope="module")
def answer(chapter, inbox, tmp_path_factory):
    """What is printed, and the folder with tables and pages, of all that is in the inbox."""
    out = tmp_path_factory.mktemp("mdnet_answer")
    return ask(chapter, [inbox], out), out


READ = {"ward 1/slide.png", "ward 2/slide.png", "photo.jpg", "grey.png", "tiny.png", "wide.png", "=swapped<b>.png",
        "blurred.png", "slide.dcm"}


def test_images_give_a_row_and_a_page_and_the_others_a_failure(answer):
    result, out = answer
    assert result.exit_code == 1 and "Traceback" not in result.output
    failures = dict(re.findall(r"Not read: ([^:]*): (.*)", result.output))
    for name, why in (("cut.png", "truncated"), ("empty.jpg", "empty"), ("stack.dcm", "frames")):
        assert why in failures[name]
    table, said = table_of(out), warned(out)
    assert set(table.index) == {name.replace("=", "./=") for name in READ}, "no cell is a formula"
    assert {str(page.relative_to(out)) for page in out.rglob("*.html")} == {f"{name}.html" for name in READ}
    assert all(said[name] == {"not read"} for name in ("cut.png", "empty.jpg", "stack.dcm"))
    assert (table["warnings"] == [len(said.get(name, ())) for name in table.index]).all()
    assert not list(out.rglob("*.part")), "nothing is left half-written"


def test_a_slide_in_dicom_says_what_it_says_in_a_png(answer):
    table = table_of(answer[1])
    same, differs = ["guess", "stated", "agree", "conclusion", "mitosis", "log_probability"], table.loc["slide.dcm"]
    assert differs[same].tolist() == table.loc["ward 1/slide.png", same].tolist()


def test_what_is_unlike_the_training_is_told(answer):
    said = warned(answer[1])
    assert {"colour"} <= said["grey.png"] and "size" not in said["grey.png"]
    assert {"size"} <= said["tiny.png"] and "shape" not in said["tiny.png"]
    assert {"shape"} <= said["wide.png"] and "colour" not in said["wide.png"]
    assert {"blue"} <= said["./=swapped<b>.png"]
    assert {"detail"} <= said["blurred.png"]
    assert "modality" in said["slide.dcm"]
    assert said.get("ward 1/slide.png", set()) <= DOUBTS, "of few held-out images none is beyond the limits"


@pytest.fixture(scope="module")
def shown(chapter, tmp_path_factory):
    """Cases as the pages of three test images show them, what stands above, and the table."""
    found, out, (_, files) = [], tmp_path_factory.mktemp("mdnet_shown"), of_test(chapter)

    def page(case, title, above):
        found.append((case, above))
        return case_page(case, title, above)
    prediction.predict(folder_of(chapter), files[:3], out, "cpu", None, page)
    return found, table_of(out), out


def test_what_is_shown_is_what_is_in_the_table(chapter, shown):
    cases, table, _ = shown
    for (case, above), (_, row) in zip(cases, table.iterrows(), strict=True):
        np.testing.assert_allclose(case["probability"], row[list(case["classes"])].astype(float), atol=1e-6)
        assert np.isnan(case["truth"]).all() and "reference" not in case and "correct" not in case
        assert len(case["maps"][prediction.CLASS_ATTENTION]) == len(case["classes"])
        sentences = [" ".join(words) for _, words in case["report"]]
        assert sentences == row[list(chapter.reports.parts)].tolist()
        attention = case["attention"]["AAS"]
        assert len(attention) == sum(len(words) for _, words in case["report"]) > 0
        np.testing.assert_allclose(attention.sum(axis=(1, 2)), 1, atol=1e-5)
        assert f"log-probability {row['log_probability']:.2f} on average" in above
        assert ("The checks found nothing unusual" in above) == (row["warnings"] == 0)


def test_the_attention_is_that_of_the_network(chapter, shown):
    (case, _), = shown[0][:1]
    kept, model = mdnet.predictions(chapter, MDNET), mdnet.trained(chapter, MDNET)
    row = int(kept["row"].iloc[0])
    words = chapter.vocabulary().encode([" ".join(words) for _, words in case["report"]], chapter.settings.longest)
    with torch.inference_mode():
        image = looking.as_input(np.array(chapter.pixels[row:row + 1]))
        read = model(image, torch.from_numpy(words)[None])["attention"][0]
    np.testing.assert_allclose(case["attention"]["AAS"].reshape(-1, read.shape[-1]), read[words > 0], atol=1e-5)


def test_a_baseline_writes_one_report_and_shows_no_attention(chapter, inbox, tmp_path):
    found = []
    prediction.predict(folder_of(chapter, WHOLE), [inbox / "ward 1"], tmp_path / "out", "cpu", None,
                       lambda case, title, above: found.append((case, above)) or case_page(case, title, above))
    (case, above), = found
    assert "report" not in case and "attention" not in case
    said = table_of(tmp_path / "out")["report"].iloc[0]
    assert (f"report: {said}" if said else "writes nothing") in above


def written(guess: str, *sentences: str, attention=None) -> prediction.Written:
    stated = next((name for name in ("normal", "low grade") if sentences[-1].endswith(name)), "")
    return prediction.Written(np.array([1.0, 0, 0, 0]), guess, sentences, attention, np.ones((4, 3, 3)), -0.5, stated)


def test_a_network_that_disagrees_with_itself_gets_a_warning():
    assert written("normal", "the conclusion is normal").warnings == {}
    found = written("normal", "low grade").warnings
    assert set(found) == {"disagreement"} and all(name in found["disagreement"] for name in ("“normal”", "“low grade”"))
    assert set(written("normal", "nothing is seen").warnings) == {"no_conclusion"}


def test_an_empty_report_has_no_attention_to_show(chapter):
    predictor = inference.open_predictor(ORIGIN, folder_of(chapter))
    slide = prediction.Slide("a.png", np.zeros((64, 64, 3), np.uint8), np.zeros((64, 64, 3), np.uint8), {})
    nothing = written("normal", *[""] * 6, attention=np.zeros((0, 3, 3)))
    assert "report" not in predictor.case(slide, nothing)
    assert "The network writes nothing about this image." in predictor.text(slide, nothing)


@pytest.mark.parametrize("part, changes, message", [
    ("facts", {"words": ["a", "b", "c"]}, "do not fit the network"),
    ("facts", {"words": ["two words", "b"]}, "damaged card.*two words"),
    ("facts", {"words": ["a", 3]}, "damaged card.*words"),
    ("facts", {"parts": ["conclusion", "conclusion"]}, "damaged card.*parts"),
    ("facts", {"classes": ["a", "b"]}, "do not fit the network"),
    ("facts", {"colours": [[0, 0, 0], [1, 1, 0]]}, "damaged card.*colours"),
    ("run", {"row": "split"}, None),        # another name for the same network
    ("run", {"row": "ecnet"}, "damaged card.*ecnet"),
    ("settings", {"hidden": 0}, "damaged card.*0")])
def test_a_card_of_no_network_that_writes_is_refused(chapter, tmp_path, part, changes, message):
    shutil.copytree(folder_of(chapter), tmp_path / "model")
    card = json.loads((tmp_path / "model/card.json").read_text())
    (tmp_path / "model/card.json").write_text(json.dumps(card | {part: card[part] | changes}))
    with nullcontext() if message is None else pytest.raises(DataError, match=message):
        _ = inference.open_predictor(ORIGIN, tmp_path / "model").bundle.model


def test_what_the_card_says_is_that_of_the_chapter(chapter):
    found = inference.open_predictor(ORIGIN, folder_of(chapter))
    assert found.classes == chapter.reports.classes and found.sentences == chapter.reports.parts
    assert found.vocabulary == chapter.vocabulary() and found.settings == chapter.settings
    patients = chapter.reports.table["patient"].iloc[chapter.part("train")]
    assert found.counts == {"train": len(patients), "patients": len(set(patients))}
    assert found.reference.n_train == len(patients) and found.reference.n_held_out == len(chapter.part("test"))
    assert found.reference.is_coloured
