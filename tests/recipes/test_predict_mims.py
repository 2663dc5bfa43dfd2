"""`mdlib predict mims`: on volumes and pictures of no collection, as a user calls it, and when something is wrong."""

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

from mdlib.cli import main, page_of_case
from mdlib.errors import DataError, SettingsError
from mdlib.recipes import mims
from mdlib.recipes import trainings as shared
from mdlib.recipes.mims import card, explained, incoming
from mdlib.recipes.mims import predict as prediction
from mdlib.recipes.mims.plan import Training

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.filterwarnings("ignore:Invalid value for VR CS")]
VOLUMES, TILES, SPECTRALIS, ONE_SIZE = (Training("mims", name) for name in ("cirrus", "crc_msi", "spectralis",
                                                                            "one_size"))
SLICEWISE = Training("mims_patchcls", "cirrus")


@pytest.fixture(scope="module")
def chapter(tiny_mims):
    """The tiny chapter with what is asked here trained."""
    mims.train_all(tiny_mims, [VOLUMES, TILES, SPECTRALIS, ONE_SIZE, SLICEWISE])
    return tiny_mims


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
    np.testing.assert_allclose(found[card.read(folder_of(chapter, training)).classes[-1]], expit(kept["score"]),
                               atol=1e-6, rtol=0)
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


def test_nothing_of_the_patient_leaves_the_header_and_what_it_says_is_escaped(answer):
    _, out = answer
    for file in filter(Path.is_file, out.rglob("*")):
        assert "Doe^" not in file.read_text() and "4711-" not in file.read_text()      # neither is base64 by chance
    page = (out / "stack.dcm.html").read_text()
    assert "CR&lt;B&gt;" in page and "CR<B>" not in page


def test_pages_open_from_disk_draw_the_slices_and_ask_nobody(answer, chromium):
    from browser import launch, open_page
    from explorer_page import ExplorerPage

    with launch(chromium) as browser, open_page(browser, (answer[1] / "ward 1/eye.html").as_uri()) as visit:
        assert ExplorerPage(visit).drawn() >= 1
        assert visit.faults == [] and visit.external == []
        text = visit.page.locator("main").inner_text()
        assert "not a medical device" in text and "drawn phantoms, no patients" in text and "log-odds" in text
        assert "truth unknown" in ExplorerPage(visit).status()
        visit.page.set_viewport_size({"width": 320, "height": 640})
        assert visit.page.evaluate("document.documentElement.scrollWidth") <= 320


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


def test_an_answer_cut_off_half_way_leaves_no_table_and_is_given_again(chapter, inbox, tmp_path):
    pages = []

    def killed(case, title, above):
        if pages:
            raise KeyboardInterrupt
        pages.append(title)
        return "the first page"
    with pytest.raises(KeyboardInterrupt):
        prediction.predict(folder_of(chapter), [inbox / "ward 1", inbox / "alone"], tmp_path / "out", page=killed)
    left = {str(file.relative_to(tmp_path / "out")) for file in (tmp_path / "out").rglob("*") if file.is_file()}
    assert len(left) == 2 and "prediction.json" in left and "predictions.csv" not in left
    result = ask(chapter, [inbox / "ward 1", inbox / "alone"], tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert set(table_of(tmp_path / "out").index) == {"ward 1/eye", "alone"}
    assert "the first page" not in (tmp_path / "out/ward 1/eye.html").read_text()


def test_another_question_and_another_network_are_refused(chapter, inbox, tmp_path):
    out = tmp_path / "out"
    assert ask(chapter, [inbox / "alone"], out, "--tables-only").exit_code == 0
    assert "other files" in ask(chapter, [inbox / "single.png"], out).output
    assert "another network" in ask(chapter, [inbox / "alone"], out, training=SLICEWISE).output
    assert "--sex" in ask(chapter, [inbox / "alone"], tmp_path / "new", "--sex", "F").output
    with pytest.raises(SettingsError, match="no image"):
        incoming.find([folder_of(chapter) / "stage0"], apart=False)


def test_the_case_that_is_shown_has_the_probabilities_of_the_table(chapter, inbox, tmp_path):
    shown = []
    prediction.predict(folder_of(chapter), [inbox / "ward 1"], tmp_path / "out", "cpu", None,
                       lambda case, title, above: shown.append(case) or page_of_case(case, title, above))
    (case,), (row,) = shown, table_of(tmp_path / "out").itertuples()
    np.testing.assert_allclose(case["probability"], (row.normal, row.DME), atol=1e-6)
    assert len(case["scores"]) == len(case["image"]) == 12 and np.isnan(case["truth"]).all()
    assert case["scores"].argmax() + 1 + (row.slices - 12) // 2 == row.slice


def copied(chapter, tmp_path) -> Path:
    shutil.copytree(folder_of(chapter) / "stage0", tmp_path / "model")
    return tmp_path / "model"


def rewrite(folder: Path, **changes) -> None:
    told = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps({k: v for k, v in (told | changes).items() if v is not None}))


def test_checkpoint_card_and_reference_are_all_that_is_needed(chapter, tmp_path):
    folder = copied(chapter, tmp_path)
    for given in (folder, folder / "checkpoint.pt", folder_of(chapter)):
        found = card.read(given)
        assert found.training == VOLUMES and found.classes == ("normal", "DME") and found.shape == (64, 128)
        assert found.data["phantoms"] and not found.colour
        assert found.reference.trained == found.data["train"] == len(chapter.part("cirrus", "train"))
        assert found.reference.held_out == found.data["test"] and found.reference.fewest == 3
        assert not card.load(found).training


@pytest.mark.parametrize("damage, said", [
    (lambda folder: (folder / "card.json").unlink(), "no card.json beside the checkpoint"),
    (lambda folder: (folder / "checkpoint.pt").unlink(), "no checkpoint"),
    (lambda folder: rewrite(folder, chapter="chest"), "chapter 'chest'"),
    (lambda folder: rewrite(folder, classes=None), "classes missing"),
    (lambda folder: rewrite(folder, classes=["DME"]), "damaged card.*DME"),
    (lambda folder: rewrite(folder, classes=["a", "b", "c"]), "do not fit the network"),
    (lambda folder: rewrite(folder, weights="0" * 16), "not the weights that the card was written for"),
    (lambda folder: rewrite(folder, training={"method": "mi_pre", "collection": "cirrus"}), "do not fit the network"),
    (lambda folder: rewrite(folder, training={"method": "vgg16", "collection": "cirrus"}), "damaged card.*vgg16"),
    (lambda folder: rewrite(folder, training={"method": "mims", "collection": "shapes"}), "damaged card.*shapes"),
    (lambda folder: rewrite(folder, settings={"epoch": 3}), "damaged card.*epoch"),
    (lambda folder: rewrite(folder, settings={"width": 0}), "damaged card.*0"),
    (lambda folder: (folder / "reference.npz").write_bytes(b"PK"), "not the file that the card"),
    (lambda folder: (folder / "checkpoint.pt").write_bytes(b"PK\x03\x04"), "damaged")],
    ids=["no card", "no checkpoint", "chapter", "key", "one class", "classes", "weights", "network", "no network",
         "pretext", "setting", "settings", "reference", "half a checkpoint"])
def test_a_card_or_checkpoint_that_cannot_be_used_is_named(chapter, tmp_path, damage, said):
    folder = copied(chapter, tmp_path)
    damage(folder)
    with pytest.raises(DataError, match=said):
        card.load(card.read(folder))


def test_the_network_that_others_begin_with_has_no_card(chapter):
    with pytest.raises(DataError, match=r"no card\.json"):
        card.read(folder_of(chapter, mims.trainings.PRETEXT) / "stage0")


def test_real_oct_scans_are_predicted(chapter, real_data, tmp_path):
    scans = sorted((real_data / "oct_dme/images").iterdir())[:3]
    result = ask(chapter, scans, tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert table_of(tmp_path / "out")["DME"].between(0, 1).all()
    assert len(warned(tmp_path / "out")) == 3, "to a network that knows drawn phantoms every real scan is strange"
