"""Networks that come with mdlib: what is written of one, when a study takes it, and that its card is true."""

import functools
import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from tiny_chest import TINY

from mdlib import chapters, runs
from mdlib.cli import main
from mdlib.errors import DataError, SettingsError
from mdlib.papers import chest
from mdlib.study import bundle, results, shipped
from mdlib.training import checkpoints

RUN = chest.Run("densenet121")
MEGABYTES = 12      # of all shipped networks of all chapters


@pytest.fixture(scope="module")
def written(tmp_path_factory, trained_chest):
    """The folder of one tiny network, as it is shipped."""
    folder = tmp_path_factory.mktemp("results") / "networks"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shipped, "folder", lambda paper: folder)
        return shipped.ship(trained_chest, RUN, "mdlib publish chest")


@pytest.fixture
def tiny_shipped(written, monkeypatch):
    """The same folder, where shipped networks are looked for."""
    monkeypatch.setattr(shipped, "folder", lambda paper: written.parent)
    return written


def reader(trained_chest, tmp_path, **overrides):
    """A study of the same data that trains nothing: what is not shipped raises an error."""
    study = chest.open(data_dir=str(trained_chest.data.folder), run_dir=str(tmp_path / "run"), device="cpu",
                       overrides=TINY | {"exhibits": []} | overrides)

    def refuse(*_arguments):
        raise AssertionError("this is a training")

    return replace(study, paper=replace(study.paper, fit=refuse))


def test_a_shipped_network_is_taken_without_training_and_predicts_what_its_card_says(tiny_shipped, trained_chest,
                                                                                     tmp_path):
    study = reader(trained_chest, tmp_path, n_bootstrap=20, n_seeds=1)
    assert study.train([RUN])[RUN] == trained_chest.train([RUN])[RUN]
    ours, theirs = (of.predict([RUN], "test").stacked()[RUN] for of in (study, trained_chest))
    np.testing.assert_allclose(ours, theirs, atol=5e-3)        # weights are rounded to half precision
    card = json.loads((tiny_shipped / "card.json").read_text())["shipped"]
    again = results.records(chest.PAPER.metrics(study, RUN), digits=4)
    assert again == card["metrics"] and again[0]["measure"] == "AUROC, plain mean"
    assert card["weights"] == sum(weight.numel() for weight in study.model(RUN).parameters())
    taken = bundle.load(study.run_folder(RUN), chest.PAPER)
    assert taken.run == RUN and taken.model is not None, "mdlib predict takes it from the run folder"


def test_a_network_of_a_collection_of_pictures_is_shipped_as_well(trained_gated, tmp_path, monkeypatch):
    from tiny_gated import OURS
    from tiny_gated import TINY as GATED

    monkeypatch.setattr(shipped, "folder", lambda paper: tmp_path / "networks")
    card = json.loads((shipped.ship(trained_gated, OURS, "mdlib publish gated") / "card.json").read_text())
    study = chapters.load("gated").open(data_dir=str(trained_gated.data.folder), run_dir=str(tmp_path / "run"),
                                        device="cpu", overrides=GATED | {"exhibits": []})
    assert shipped.adopt(study, OURS) and not shipped.adopt(study, replace(OURS, collection="breast"))
    assert results.records(study.paper.metrics(study, OURS), digits=4) == card["shipped"]["metrics"]
    assert list(shipped.table("gated").columns)[:2] == ["accuracy", "without the image"]


@pytest.mark.parametrize("overrides", [{"growth": 6}, {"epochs": 2}, {"exhibits": ["fig9"]}])
def test_one_of_other_settings_or_that_the_study_plans_itself_is_not_taken(tiny_shipped, trained_chest, tmp_path,
                                                                            overrides):
    study = reader(trained_chest, tmp_path, **overrides)
    assert not shipped.adopt(study, RUN)
    assert not (study.run_folder(RUN) / "checkpoint.pt").exists()


def test_one_of_other_data_or_another_run_is_not_taken(tiny_shipped, trained_chest, tmp_path, monkeypatch):
    study = reader(trained_chest, tmp_path)
    assert not shipped.adopt(study, replace(RUN, seed=5))
    assert not shipped.adopt(replace(study, seed=5), RUN), "another seed draws other parts"
    monkeypatch.setattr(type(study.data), "fingerprint", lambda self: "another")
    assert not shipped.adopt(study, RUN)


def test_one_whose_weights_are_not_those_of_its_card_is_an_error(written, trained_chest, tmp_path, monkeypatch):
    damaged = tmp_path / "networks" / written.name
    shutil.copytree(written, damaged)
    monkeypatch.setattr(shipped, "folder", lambda paper: damaged.parent)
    weights = checkpoints.weights(damaged / checkpoints.SHIPPED)
    checkpoints.write_half(damaged / checkpoints.SHIPPED, {name: value + 1 for name, value in weights.items()})
    study = reader(trained_chest, tmp_path)
    with pytest.raises(DataError, match="not the weights that the card was written for"):
        study.train([RUN])
    assert not study.is_trained(RUN)


def test_it_is_a_bundle_in_half_precision(tiny_shipped):
    found = bundle.load(tiny_shipped, chest.PAPER)
    assert found.run == RUN and bundle.fingerprint_of(found.model.state_dict()) == found.weights
    size = (tiny_shipped / checkpoints.SHIPPED).stat().st_size
    assert size < 2.2 * sum(value.numel() for value in found.model.state_dict().values()) + 20_000


def test_the_table_says_when_the_code_has_changed_since(tiny_shipped, monkeypatch):
    before = shipped.table("chest")
    assert list(before.index) == ["densenet121"] and "changed" not in before["code"].iloc[0]
    assert re.fullmatch(r"0\.\d{3} \(0\.\d{3}–0\.\d{3}\)", before["AUROC, plain mean"].iloc[0])
    monkeypatch.setattr(runs, "training_code", lambda paper: "another")
    assert "changed since" in shipped.table("chest")["code"].iloc[0]


def test_what_is_not_shipped_is_named(tiny_shipped, tmp_path):
    with pytest.raises(DataError, match=r"att_z.*Shipped: densenet121"):
        shipped.load(chest.PAPER, "att_z")
    with pytest.raises(SettingsError, match=r"att_z.*densenet121"):
        chapters.shipped("chest", "att_z")
    assert chapters.shipped("chest") == tiny_shipped
    said = CliRunner().invoke(main, ["predict", "chest", "x.png", "--network", "a", "--checkpoint", "b", "--out", "c"])
    assert said.exit_code == 1 and "Give one of them" in said.output


def test_weights_are_the_same_bytes_again_and_damaged_ones_are_an_error(tmp_path):
    weights = {"b": torch.arange(6.0).view(2, 3).t(), "a": torch.tensor(3), "c": torch.tensor([1 / 3])}
    for name in ("one", "two"):
        checkpoints.write_half(tmp_path / f"{name}.safetensors", weights)
    assert (tmp_path / "one.safetensors").read_bytes() == (tmp_path / "two.safetensors").read_bytes()
    found = checkpoints.weights(tmp_path / "one.safetensors")
    assert found["a"] == 3 and found["a"].dtype == torch.int64
    torch.testing.assert_close(found["c"], torch.tensor([1 / 3]).half().float())
    (tmp_path / "two.safetensors").write_bytes(b"\0" * 20)
    for name in ("two", "three"):
        with pytest.raises(DataError, match=f"{name}.safetensors"):
            checkpoints.weights(tmp_path / f"{name}.safetensors")


def test_all_shipped_networks_together_are_small():
    size = sum(path.stat().st_size for path in results.folder("chest").parent.glob("*/networks/*/*"))
    assert 0 < size < MEGABYTES * 1e6


@pytest.mark.parametrize("paper, name", [(paper, name) for paper in chapters.PAPERS for name in shipped.names(paper)])
def test_the_metrics_of_a_shipped_network_come_out_again(paper, name, book_studies, request, tmp_path):
    card = json.loads((shipped.folder(paper) / name / "card.json").read_text())
    if card["data"]["phantoms"]:
        study = book_studies(paper)
    else:
        data = request.getfixturevalue("real_data") / card["data"]["name"]
        study = chapters.load(paper).open(data_dir=str(data), run_dir=str(tmp_path), device="cpu",
                                          overrides={**card["settings"], "exhibits": []})
    run = type(study.paper.default_run)(**card["run"])
    assert shipped.adopt(study, run) or study.is_trained(run)
    again = study.paper.metrics(study, run).set_index("measure")
    kept = results.table(card["shipped"]["metrics"]).set_index("measure")
    np.testing.assert_allclose(again[list(kept)].to_numpy(float), kept.to_numpy(float), atol=2e-3)


@pytest.fixture(scope="module")
def book_studies(tmp_path_factory):
    """A chapter with the settings of the book, on its phantoms, in a new run folder."""
    folder = tmp_path_factory.mktemp("book")
    return functools.cache(lambda paper: chapters.load(paper).open(run_dir=str(folder / paper), device="cpu"))


@pytest.mark.soak
def test_training_and_shipping_again_gives_the_same_bytes(tmp_path, monkeypatch):
    run, files = chest.Run("resnet50"), []
    for name in ("one", "two"):
        study = chest.open(run_dir=str(tmp_path / name), device="cpu", overrides={"exhibits": ["fig7"], "epochs": 5})
        study.train([run])
        monkeypatch.setattr(shipped, "folder", lambda paper, name=name: tmp_path / "results" / name)
        files.append(shipped.ship(study, run, "mdlib publish chest") / checkpoints.SHIPPED)
    assert files[0].read_bytes() == files[1].read_bytes()
