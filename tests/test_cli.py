"""`mdlib …` as a user types it: what it prints, and one line for what is wrong."""

import json

import pytest
from click.testing import CliRunner

from mdlib.cli import main, parameters_of


def mdlib(*words: str):
    return CliRunner().invoke(main, [str(word) for word in words])


def test_weights_prints_a_line_a_network_with_the_papers_number():
    lines = mdlib("weights", "chest").output.splitlines()
    assert [line.split()[1] for line in lines] == ["resnet50", "densenet121", "att_a", "att_b", "densenet121_nonimage",
                                                   "att_a_nonimage"]
    for line in lines:
        assert line.split()[2] == line.split()[3]


def test_weights_as_csv_is_table_2():
    header, *rows = mdlib("weights", "--csv").output.splitlines()
    assert header == "chapter,network,weights,paper,source"
    assert rows[0] == "chest,resnet50,23538767,23538767,Table 2"
    assert [row.split(",")[2] for row in rows if row.startswith("chest,")] == [
        "23538767", "6969231", "7920527", "6971279", "6969288", "7920584"]


def test_weights_of_mims_are_those_its_text_fixes():
    rows = [row.split(",")[1:3] for row in mdlib("weights", "mims", "--csv").output.splitlines()[1:]]
    assert dict(rows) == {"head_oct": "250061", "head_mmd": "266467", "head_crc": "369307", "backbone": "42500160"}


def test_weights_of_gated_name_both_default_networks():
    rows = dict(row.split(",")[1:3] for row in mdlib("weights", "gated", "--csv").output.splitlines()[1:])
    assert (rows["default_5_classes"], rows["default_4_classes"], rows["gated"]) == ("34739850", "34730632", "9216")
    lines = mdlib("weights", "gated").output.splitlines()
    assert len(lines) == len(rows) and "34,739,850" in next(line for line in lines if "default_5" in line)


@pytest.mark.parametrize("words, said", [
    (["run", "chest", "--profile", "huge"], ["profile", "huge", "embedded", "paper"]),
    (["run", "chest", "--set", "epoch=3"], ["epoch", "epochs"]),
    (["run", "chest", "--set", "epochs=many"], ["epochs", "many"]),
    (["run", "chest", "--set", "epochs"], ["NAME=VALUE"]),
    (["run", "chest", "--device", "tpu"], ["tpu", "cuda"]),
    (["run", "performance", "--grid"], ["performance", "--grid", "chest", "mims"]),
    (["run", "mims", "--set", "methods=[mims, vgg16]"], ["methods", "vgg16"]),
    (["run", "performance", "--devices", "2"], ["performance", "--devices"]),
    (["run", "chest", "--data-dir", "no/such/folder"], ["no/such/folder"]),
    (["run", "gated", "--data-dir", "no/such/folder"], ["no/such/folder"]),
    (["run", "gated", "--set", "exhibits=[table4]"], ["exhibits", "table4", "table3"]),
    (["run", "gated", "--set", "thumbnail=[96]"], ["thumbnail", "96", "height"]),
    (["predict", "gated", "x.png", "--network", "none", "--out", "x"], ["--network none"]),
    (["chest", "subset", "--table", "no/such/folder", "--out", "x"], ["no/such/folder"])])
def test_a_mistake_is_one_line_that_names_it_and_no_traceback(words, said, tmp_path):
    result = mdlib(*words, *(["--run-dir", tmp_path / "run"] if words[0] == "run" else []))
    assert result.exit_code != 0 and "Traceback" not in result.output
    assert all(word in result.output for word in said), result.output


def test_only_what_differs_from_the_notebooks_defaults_is_handed_to_them(tmp_path):
    same = dict(profile="embedded", data_dir=None, cache_dir=None, run_dir=None, seed=0, device="auto", overrides={})
    assert parameters_of(**same) == {}
    assert parameters_of(**same | {"data_dir": tmp_path, "seed": 3}) == {"data_dir": str(tmp_path), "seed": 3}


def test_subset_writes_the_papers_lists_to_the_image(real_data, tmp_path):
    result = mdlib("chest", "subset", "--table", real_data / "chestxray14_table", "--out", tmp_path, "--by-patient")
    assert result.exit_code == 0, result.output
    sizes = {file.stem: len(file.read_text().splitlines()) for file in tmp_path.glob("*.txt")}
    assert {name: sizes[name] for name in ("train_val", "test", "train_0", "val_0", "train_2", "val_2")} == {
        "train_val": 16944, "test": 6112, "train_0": 15249, "val_0": 1695, "train_2": 15249, "val_2": 1695}
    assert sizes["train_patient"] + sizes["val_patient"] == 16944
    summary = json.loads((tmp_path / "subset.json").read_text())
    assert list(summary["images"].values()) == [86524, 25596, 16944, 15249, 1695, 6112]
    leak = summary["leaks"]["train_0 and val_0"]
    assert leak["patients"] == 850
    assert (leak["all_patients"][1], leak["images_b"], leak["all_images"][1]) == (1532, 995, 1695)
    assert "850 of 1,532 patients (995 of 1,695 images)" in result.output
    for pair in ("train_val and test", "train_patient and val_patient"):
        assert summary["leaks"][pair]["patients"] == 0
