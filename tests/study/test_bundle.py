"""A trained network as a folder: what is in it, and what is said of one that cannot be used. Of every paper."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from mdlib.errors import DataError
from mdlib.study import bundle

FILES = ("checkpoint.pt", "card.json", "reference.npz")


@pytest.fixture
def model(trained, tmp_path) -> Path:
    """The three files of a trained network, copied elsewhere."""
    (tmp_path / "model").mkdir()
    for file in FILES:
        shutil.copy(bundle.load(trained.folder, trained.paper).checkpoint.with_name(file), tmp_path / "model")
    return tmp_path / "model"


def rewrite(folder: Path, **changes) -> None:
    card = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps({k: v for k, v in (card | changes).items() if v is not None}))


def test_three_files_are_all_that_is_needed(trained, model):
    for given in (model, model / "checkpoint.pt", trained.folder):
        found = bundle.load(given, trained.paper)
        assert found.run == trained.run and found.data["phantoms"]
        assert found.data["counts"]["train"] > 0 and "limits" in found.reference
        assert not found.model.training
    fingerprint = bundle.fingerprint_of(found.model.state_dict())
    assert fingerprint == found.weights
    next(found.model.parameters()).data.flatten()[0] += 1
    assert bundle.fingerprint_of(found.model.state_dict()) != fingerprint


@pytest.mark.parametrize("damage, message", [
    (lambda folder: (folder / "card.json").unlink(), "no card.json beside the checkpoint"),
    (lambda folder: (folder / "checkpoint.pt").unlink(), "no checkpoint"),
    (lambda folder: (folder / "card.json").write_text("{"), "not JSON"),
    (lambda folder: (folder / "card.json").write_text("[1]"), "not the card"),
    (lambda folder: rewrite(folder, format=1), "format 1; this version of mdlib reads format 2"),
    (lambda folder: rewrite(folder, paper="another"), "a network of 'another'"),
    (lambda folder: rewrite(folder, weights=None), "weights missing"),
    (lambda folder: rewrite(folder, weights="0" * 16), "not the weights that the card was written for"),
    (lambda folder: rewrite(folder, run={"no": "field"}), "damaged card.*'no'"),
    (lambda folder: rewrite(folder, settings={"epoch": 3}), "damaged card.*epoch"),
    (lambda folder: rewrite(folder, data={"name": "a"}), "damaged card.*counts"),
    (lambda folder: (folder / "reference.npz").write_bytes(b"PK"), "not the file that the card"),
    (lambda folder: (folder / "reference.npz").unlink(), "statistics of the training images cannot be read"),
    (lambda folder: (folder / "checkpoint.pt").write_bytes(b"PK\x03\x04"), "damaged")],
    ids=["no card", "no checkpoint", "half a card", "a list", "earlier format", "paper", "key", "weights", "run",
         "settings", "data", "other reference", "no reference", "half a checkpoint"])
def test_what_cannot_be_used_is_named(trained, model, damage, message):
    damage(model)
    with pytest.raises(DataError, match=message) as error:
        _ = bundle.load(model, trained.paper).model
    assert str(model) in str(error.value)


def test_a_run_of_another_network_or_of_other_types_is_refused(trained, model):
    run = json.loads((model / "card.json").read_text())["run"]
    rewrite(model, run=run | trained.wrong_run)
    with pytest.raises(DataError, match="do not fit the network"):
        _ = bundle.load(model, trained.paper).model
    rewrite(model, run=run | {"seed": "0"})
    with pytest.raises(DataError, match=r"damaged card.*'0'"):
        bundle.load(model, trained.paper)


def test_networks_of_one_fold_share_their_reference(trained):
    first, other = (bundle.load(folder, trained.paper) for folder in (trained.folder, trained.other))
    assert first.weights != other.weights and first.reference.keys() == other.reference.keys()
    assert all(np.array_equal(first.reference[name], other.reference[name]) for name in first.reference)
