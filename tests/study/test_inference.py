"""`mdlib predict`, whatever the paper: files found, tables and pages written, folders refused."""

import csv
import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from dicom_file import dicom
from PIL import Image

from mdlib.cli import main
from mdlib.errors import DataError, SettingsError
from mdlib.study import inference
from mdlib.widgets.standalone import case_page

pytestmark = pytest.mark.filterwarnings("ignore:Invalid value for VR CS")
HOSTILE = "<img src=x onerror=document.title=1>.png"


def image_of(source: Path) -> Path:
    """An image file: of a volume its middle slice."""
    return sorted(source.glob("*.png"))[len(list(source.glob("*.png"))) // 2] if source.is_dir() else source


def copy(source: Path, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    (shutil.copytree if source.is_dir() else shutil.copy)(source, to)


def ask(trained, paths, out, folder=None, given=None, page=case_page) -> dict[str, str]:
    return inference.predict(trained.paper, folder or trained.folder, paths, out, "cpu", given, page)


def table_of(trained, out: Path) -> pd.DataFrame:
    return pd.read_csv(out / "predictions.csv", keep_default_na=False).set_index(trained.unit)


@pytest.fixture
def inbox(trained, tmp_path) -> Path:
    """Sources of one name in two folders, files with strange names, DICOM without an ending, and what is no image."""
    folder, ending = tmp_path / "in", trained.sources[0].suffix
    for i in (0, 1):
        copy(trained.sources[i], folder / f"ward {i + 1}" / f"case{ending}")
    shutil.copy(image_of(trained.sources[0]), folder / HOSTILE)
    dicom(folder / "from_the_archive", np.asarray(Image.open(image_of(trained.sources[1])).convert("L")), 8,
          PatientName="Doe^Jane", PatientID="4711-0815", Modality="CR<b>")
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    (folder / "empty.jpg").touch()
    (folder / "notes.txt").write_text("no image")
    return folder


def test_a_folder_gives_rows_warnings_pages_and_failures(trained, inbox, tmp_path):
    out, ending = tmp_path / "out", trained.sources[0].suffix
    words = ["predict", trained.paper.name, "--checkpoint", trained.folder, inbox, "--out", out, "--device", "cpu"]
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert result.exit_code == 1 and "broken.png" in result.output and "Traceback" not in result.output
    assert "drawn phantoms" in result.output, "whoever asks is told what the network was trained on"
    read = {f"ward 1/case{ending}", f"ward 2/case{ending}", HOSTILE, *["from_the_archive"] * trained.reads_dicom}
    assert {str(page.relative_to(out)) for page in out.rglob("*.html")} == {f"{name}.html" for name in read}
    table = table_of(trained, out)
    assert set(table.index) == read and len(table) == len(read) * trained.rows
    warnings = pd.read_csv(out / "warnings.csv").groupby(trained.unit)["check"].agg(set)
    assert warnings["broken.png"] == warnings["empty.jpg"] == {"not read"}
    assert ("modality" if trained.reads_dicom else "not read") in warnings["from_the_archive"]
    assert (table["warnings"] == [len(warnings.get(name, ())) for name in table.index]).all()
    assert not list(out.rglob("*.part")), "nothing is left half-written"
    for file in filter(Path.is_file, out.rglob("*")):
        assert "Doe^" not in file.read_text() and "4711-" not in file.read_text()      # neither is base64 by chance
    if trained.reads_dicom:
        page = (out / "from_the_archive.html").read_text()
        assert "CR&lt;B&gt;" in page and "CR<B>" not in page


def test_a_page_is_self_contained_and_works_offline(trained, inbox, tmp_path, chromium):
    from browser import launch, open_page
    from explorer_page import ExplorerPage

    ask(trained, [inbox / HOSTILE], tmp_path / "out")
    page = tmp_path / "out" / f"{HOSTILE}.html"
    with launch(chromium) as browser, open_page(browser, page.as_uri()) as visit:
        assert ExplorerPage(visit).drawn() >= 1
        assert visit.faults == [] and visit.external == []
        assert visit.page.title() == HOSTILE and visit.page.locator("main h1").inner_text() == HOSTILE
        text = visit.page.locator("main").inner_text()
        assert "not a medical device" in text and "drawn phantoms, no patients: its output on real" in text
        assert "truth unknown" in ExplorerPage(visit).status()
        visit.page.set_viewport_size({"width": 320, "height": 640})
        assert visit.page.evaluate("document.documentElement.scrollWidth") <= 320


def test_names_are_safe_in_tables_and_on_disk(trained, tmp_path):
    formula, long, bytes_name = "=HYPERLINK(1).png", "x" * 240 + ".png", os.fsdecode(b"caf\xe9\n.png")
    for name in (formula, long, bytes_name):
        shutil.copy(image_of(trained.sources[0]), tmp_path / name)
    assert ask(trained, [tmp_path / name for name in (formula, long, bytes_name)], tmp_path / "out") == {}
    with (tmp_path / "out/predictions.csv").open(newline="", encoding="utf-8") as file:
        names = {row[trained.unit] for row in csv.DictReader(file)}
    assert names == {f"./{formula}", long, "caf\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}.png"}
    assert len(list((tmp_path / "out").glob("*.html"))) == 3


def test_after_a_kill_no_table_is_left_and_the_same_command_writes_all(trained, tmp_path):
    pages, out, asked = [], tmp_path / "out", trained.sources[:2]

    def killed(case, title, above):
        if pages:
            raise KeyboardInterrupt
        pages.append(title)
        return "the first page"
    with pytest.raises(KeyboardInterrupt):
        ask(trained, asked, out, page=killed)
    left = {file.name for file in out.rglob("*") if file.is_file()}
    assert left == {"prediction.json", f"{pages[0]}.html"}
    assert (out / f"{pages[0]}.html").read_text() == "the first page"
    assert ask(trained, asked, out) == {}
    assert len(table_of(trained, out)) == 2 * trained.rows
    assert "the first page" not in (out / f"{pages[0]}.html").read_text()


def test_the_same_files_are_predicted_again_and_any_other_folder_is_refused(trained, tmp_path):
    out, (one, two) = tmp_path / "out", trained.sources[:2]
    ask(trained, [one], out, page=None)
    assert not list(out.rglob("*.html"))
    ask(trained, [one], out)
    assert len(list(out.rglob("*.html"))) == 1
    for asked, folder in (([two], None), ([one], trained.other)):
        with pytest.raises(SettingsError, match="predictions for other files, or of another network"):
            ask(trained, asked, out, folder)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/predictions.csv").write_text("precious")
    with pytest.raises(SettingsError, match="not empty"):
        ask(trained, [one], tmp_path / "mine")
    assert (tmp_path / "mine/predictions.csv").read_text() == "precious"
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match="not a folder"):
        ask(trained, [one], tmp_path / "file")
    with pytest.raises(DataError, match="writing failed"):
        ask(trained, [one], tmp_path / "file/out")
    with pytest.raises(SettingsError, match="--colour"):
        ask(trained, [one], tmp_path / "new", given={"colour": "red"})
    (tmp_path / "empty").mkdir()
    with pytest.raises(SettingsError, match="empty: there is no image"):
        ask(trained, [tmp_path / "empty"], tmp_path / "new")
    with pytest.raises(SettingsError, match="nowhere: there is no such file or folder"):
        ask(trained, [one, tmp_path / "nowhere"], tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_network_without_card_says_why(trained, tmp_path):
    with pytest.raises(DataError, match=rf"no card\.json.*{trained.why}"):
        ask(trained, trained.sources[:1], tmp_path / "out", trained.without_card)


def test_the_case_of_a_page_has_no_truth_and_maps_of_the_classes(trained, tmp_path):
    cases = []
    ask(trained, trained.sources[:1], tmp_path / "out",
        page=lambda case, title, above: cases.append(case) or case_page(case, title, above))
    (case,) = cases
    assert tuple(case["classes"]) == tuple(trained.classes) and np.isnan(case["truth"]).all()
    assert case["probability"].shape == (len(trained.classes),) and case["maps"]


def test_masks_of_phantoms_are_no_images(tmp_path, monkeypatch):
    for name in ("drawn/niger/a.png", "drawn/truth/heads/a.png", "own/truth/b.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8)).save(tmp_path / name)
    (tmp_path / "drawn/truth/phantoms.json").write_text("{}")
    assert [str(file.relative_to(tmp_path)) for file in inference.find([tmp_path])] == ["drawn/niger/a.png",
                                                                                        "own/truth/b.png"]
    for folder, expected in ((tmp_path / "drawn", "niger/a.png"), (tmp_path / "own/truth", "b.png")):
        monkeypatch.chdir(folder)
        assert inference.find(["."]) == [folder / expected]


def test_one_image_named_twice_is_found_once(inbox, trained):
    file = image_of(inbox / "ward 1" / f"case{trained.sources[0].suffix}")
    twice = inference.find([file.parent, file, file.parent / ".." / file.parent.name / file.name])
    assert twice.count(file) == 1 and len(twice) == len(set(twice))
