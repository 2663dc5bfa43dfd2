"""`mdlib predict mims`: what only volumes and single pictures need; the rest is in tests/study/test_inference.py."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from dicom_file import dicom
from PIL import Image
from scipy.special import expit

from mdlib.cli import main
from mdlib.errors import DataError
from mdlib.recipes import mims
from mdlib.recipes import trainings as shared
from mdlib.recipes.mims import explained
from mdlib.recipes.mims.card import ORIGIN
from mdlib.recipes.mims.plan import Training
from mdlib.study import inference
from mdlib.widgets.standalone import case_page

pytestmark = pytest.mark.filterwarnings("ignore:Invalid value for VR CS")
VOLUMES, TILES, SPECTRALIS, ONE_SIZE = (Training("mims", name) for name in ("cirrus", "crc_msi", "spectralis",
                                                                            "one_size"))
SLICEWISE = Training("mims_patchcls", "cirrus")


@pytest.fixture(scope="module")
def chapter(trained_mims):
    return trained_mims


def folder_of(chapter, training: Training = VOLUMES) -> Path:
    return shared.folder(chapter, training)


def of_test(chapter, training: Training) -> tuple[pd.DataFrame, list[Path]]:
    """What the chapter has kept of the test part, and the folder or file of each of its volumes."""
    collection = "cirrus" if training.collection == "one_size" else training.collection
    kept, bags = mims.predictions(chapter, training), chapter.bags(collection)
    files = [bags.paths()[first] for first in bags.table["first"].iloc[kept["row"]]]
    return kept, files if collection == "crc_msi" else [file.parent for file in files]


def ask(chapter, images, out, *options, training=VOLUMES):
    words = ["predict", "mims", "--checkpoint", folder_of(chapter, training), *images, "--out", out, "--device", "cpu"]
    return CliRunner().invoke(main, [str(word) for word in [*words, *options]])


def table_of(out: Path) -> pd.DataFrame:
    return pd.read_csv(out / "predictions.csv").set_index("volume")


def warned(out: Path) -> dict[str, set]:
    return pd.read_csv(out / "warnings.csv").groupby("volume")["check"].agg(set).to_dict()


@pytest.mark.parametrize("training", [VOLUMES, SPECTRALIS, ONE_SIZE, SLICEWISE, TILES], ids=lambda each: each.slug)
def test_probabilities_are_those_of_the_chapter(chapter, tmp_path, training):
    kept, volumes = of_test(chapter, training)
    result = ask(chapter, volumes, tmp_path / "out", "--tables-only", training=training)
    assert result.exit_code == 0, result.output
    assert "drawn phantoms" in result.output, "whoever asks is told what the network knows"
    found = table_of(tmp_path / "out")
    assert len(found) == len(kept) > 1
    # names are paths below the folder that all volumes share, and so keep the order of the question
    last = inference.open_predictor(ORIGIN, folder_of(chapter, training)).classes[-1]
    np.testing.assert_allclose(found[last], expit(kept["score"]), atol=1e-6, rtol=0)
    assert [Path(name).name for name in found.index] == [volume.name for volume in volumes]
    assert not list((tmp_path / "out").rglob("*.html"))


def test_the_most_suspicious_slice_is_that_of_appendix_c(chapter, tmp_path):
    _, volumes = of_test(chapter, VOLUMES)
    ask(chapter, volumes[:3], tmp_path / "out", "--tables-only")
    rows = chapter.part("cirrus", "test")[:3]
    model = mims.trained(chapter, VOLUMES)
    for (_, slices), volume, said in zip(explained.volumes(chapter, "cirrus", rows), volumes,
                                         table_of(tmp_path / "out").itertuples(), strict=False):
        log_odds = explained.suspicion(explained.said(model, slices)[1])
        names = sorted(path.name for path in volume.glob("*.png"))
        assert (said.slices, said.used) == (len(names), 12)
        assert said.file == names[said.slice - 1]
        place = said.slice - 1 - (len(names) - 12) // 2
        assert log_odds[place].item() == pytest.approx(log_odds.max().item(), abs=1e-5)
        assert said.log_odds == pytest.approx(log_odds.max().item(), abs=1e-5)


@pytest.fixture(scope="module")
def inbox(chapter, tmp_path_factory):
    """Volumes that can be read, in all layouts, and three that cannot."""
    folder, (_, volumes) = tmp_path_factory.mktemp("mims_inbox"), of_test(chapter, VOLUMES)
    for name in ("ward 1/eye", "ward 2/eye", "corrupt", "incomplete", "two sizes"):
        shutil.copytree(volumes["ward 2" in name], folder / name)
    slices = sorted((folder / "ward 1/eye").glob("*.png"))
    stack = np.stack([np.asarray(Image.open(file)) for file in slices])
    dicom(folder / "stack.dcm", stack, 8, NumberOfFrames=len(stack), PatientName="Doe^Jane", PatientID="4711-0815",
          Modality="CR<b>")
    shutil.copy(slices[len(slices) // 2], folder / "single.png")
    (folder / "alone").mkdir()
    shutil.copy(slices[len(slices) // 2], folder / "alone/only one.png")
    (folder / "other").mkdir()
    for number in range(12):
        Image.new("L", (40, 90), 7 * number).save(folder / f"other/{number}.png")
    (folder / "colour").mkdir()
    for number in range(3):
        Image.new("RGB", (128, 64), (200, 10 * number, 0)).save(folder / f"colour/{number}.png")
    middle = sorted((folder / "corrupt").glob("*.png"))[len(slices) // 2]
    middle.write_bytes(middle.read_bytes()[:200])
    sorted((folder / "incomplete").glob("*.png"))[3].unlink()
    Image.new("L", (100, 64)).save(sorted((folder / "two sizes").glob("*.png"))[5])
    (folder / "notes.txt").write_text("no image")
    return folder


@pytest.fixture(scope="module")
def answer(chapter, inbox, tmp_path_factory):
    """What is printed, and the folder with tables and pages, of all that is in the inbox."""
    out = tmp_path_factory.mktemp("mims_answer")
    return ask(chapter, [inbox], out), out


READ = {"ward 1/eye", "ward 2/eye", "stack.dcm", "single.png", "alone", "other", "colour"}


def test_volumes_in_every_layout_give_a_row_and_a_page_and_the_others_a_failure(answer):
    result, out = answer
    assert result.exit_code == 1 and "Traceback" not in result.output
    failures = dict(re.findall(r"Not read: ([^:]*): (.*)", result.output))
    for name, why in (("corrupt", "truncated"), ("incomplete", "slice 3 is missing"), ("two sizes", "64 x 100 pixels")):
        assert why in failures[name]
    table, said = table_of(out), warned(out)
    assert set(table.index) == READ
    assert {str(page.relative_to(out)) for page in out.rglob("*.html")} == {f"{name}.html" for name in READ}
    assert all(said[name] == {"not read"} for name in ("corrupt", "incomplete", "two sizes"))
    np.testing.assert_allclose(table[["normal", "DME"]].sum(axis=1), 1, atol=1e-5)
    assert (table["warnings"] == [len(said.get(name, ())) for name in table.index]).all()
    assert not list(out.rglob("*.part")), "nothing is left half-written"


def test_slices_in_one_file_say_what_they_say_in_a_folder(answer):
    table = table_of(answer[1])
    frames, files = table.loc["stack.dcm"], table.loc["ward 1/eye"]
    for column in ("normal", "DME", "slices", "used", "slice", "log_odds"):
        assert frames[column] == pytest.approx(files[column], abs=1e-6)
    assert frames["file"] == f"stack.dcm, frame {frames['slice']}"


def test_a_single_slice_is_a_volume_of_one(answer):
    table = table_of(answer[1])
    for name, file in (("alone", "only one.png"), ("single.png", "single.png")):
        assert tuple(table.loc[name, ["slices", "used", "slice", "file"]]) == (1, 1, 1, file)
        assert table.loc[name, "log_odds"] == pytest.approx(np.log(table.loc[name, "DME"] / table.loc[name, "normal"]),
                                                            abs=1e-4)


def test_what_is_unlike_the_training_is_told(answer):
    said = warned(answer[1])
    assert said["alone"] == said["single.png"] and "few_slices" in said["alone"]
    assert {"size", "shape", "brightness", "contrast"} <= said["other"]
    assert {"colour", "contrast"} <= said["colour"] and "size" not in said["colour"]
    assert "modality" in said["stack.dcm"]
    assert not {"size", "shape", "few_slices", "colour"} & said.get("ward 2/eye", set())


def test_none_of_few_held_out_volumes_raises_an_alarm_and_every_inverted_one_does(chapter, tmp_path):
    _, volumes = of_test(chapter, VOLUMES)
    assert ask(chapter, volumes, tmp_path / "as they are", "--tables-only").exit_code == 0
    assert (table_of(tmp_path / "as they are")["warnings"] == 0).all()
    for volume in volumes:
        (tmp_path / "in" / volume.name).mkdir(parents=True)
        for file in volume.glob("*.png"):
            Image.fromarray(255 - np.asarray(Image.open(file))).save(tmp_path / "in" / volume.name / file.name)
    assert ask(chapter, [tmp_path / "in"], tmp_path / "inverted", "--tables-only").exit_code == 0
    assert all("agreement" in said for said in warned(tmp_path / "inverted").values())
    assert len(warned(tmp_path / "inverted")) == len(volumes)


def test_a_network_of_single_pictures_takes_each_image_of_a_folder_alone(chapter, tmp_path):
    kept, files = of_test(chapter, TILES)
    for file in files[:3]:
        (tmp_path / "in").mkdir(exist_ok=True)
        shutil.copy(file, tmp_path / "in")
    Image.open(files[0]).convert("L").save(tmp_path / "in/grey.png")
    assert ask(chapter, [tmp_path / "in"], tmp_path / "out", "--tables-only", training=TILES).exit_code == 0
    table = table_of(tmp_path / "out")
    assert len(table) == 4 and (table["slices"] == 1).all()
    np.testing.assert_allclose(table.loc[[file.name for file in files[:3]], "MSIMUT"], expit(kept["score"][:3]),
                               atol=1e-6)
    assert "colour" in warned(tmp_path / "out")["grey.png"]


def test_the_case_that_is_shown_has_the_probabilities_of_the_table(chapter, inbox, tmp_path):
    shown = []
    inference.predict(ORIGIN, folder_of(chapter), [inbox / "ward 1"], tmp_path / "out", "cpu", None,
                      lambda case, title, above: shown.append(case) or case_page(case, title, above))
    (case,), (row,) = shown, table_of(tmp_path / "out").itertuples()
    np.testing.assert_allclose(case["probability"], (row.normal, row.DME), atol=1e-6)
    assert len(case["scores"]) == len(case["image"]) == 12 and np.isnan(case["truth"]).all()
    assert case["scores"].argmax() + 1 + (row.slices - 12) // 2 == row.slice


@pytest.mark.parametrize("changes, message", [
    ({"facts": {"classes": ["DME"], "colour": False}}, "damaged card.*DME"),
    ({"facts": {"classes": ["a", "b", "c"], "colour": False}}, "do not fit the network"),
    ({"run": {"method": "vgg16", "collection": "cirrus"}}, "damaged card.*vgg16"),
    ({"run": {"method": "mims", "collection": "shapes"}}, "damaged card.*shapes"),
    ({"settings": {"width": 0}}, "damaged card.*0")], ids=["one class", "classes", "method", "collection", "setting"])
def test_a_card_of_no_network_of_the_chapter_is_refused(chapter, tmp_path, changes, message):
    shutil.copytree(folder_of(chapter) / "stage0", tmp_path / "model")
    card = json.loads((tmp_path / "model/card.json").read_text())
    (tmp_path / "model/card.json").write_text(json.dumps(card | changes))
    with pytest.raises(DataError, match=message):
        _ = inference.open_predictor(ORIGIN, tmp_path / "model").bundle.model


def test_what_the_card_says_is_that_of_the_chapter(chapter):
    found = inference.open_predictor(ORIGIN, folder_of(chapter))
    assert found.classes == ("normal", "DME") and found.shape == (64, 128) and not found.colour
    assert found.reference.n_train == found.n_train == len(chapter.part("cirrus", "train"))
    assert found.reference.n_held_out == found.bundle.data["counts"]["test"] and found.reference.min_slices == 3


def test_real_oct_scans_are_predicted(chapter, real_data, tmp_path):
    scans = sorted((real_data / "oct_dme/images").iterdir())[:3]
    result = ask(chapter, scans, tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert table_of(tmp_path / "out")["DME"].between(0, 1).all()
    assert len(warned(tmp_path / "out")) == 3, "to a network that knows drawn phantoms every real scan is strange"
