"""The tables of chapter 2, of invented scores: beside the paper's numbers, as differences and claims, and kept."""

import dataclasses
import json
import re

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score
from tiny_mims import TINY

from mdlib.evaluate import classification
from mdlib.files import write_json
from mdlib.recipes import mims
from mdlib.recipes import trainings as shared
from mdlib.recipes.mims import exhibits, kept, located, results
from mdlib.recipes.mims.plan import Training


@pytest.fixture(scope="module")
def invented(mims_phantoms, tmp_path_factory):
    """A run of more methods whose trainings are all complete, with random scores: tables need no network."""
    more = {"methods": ["mi_pre", "resnet34_scratch", *TINY["methods"]], "poolings": ["mean", "max", "top5"]}
    chapter = mims.start(data_dir=str(mims_phantoms), run_dir=str(tmp_path_factory.mktemp("run")), device="cpu",
                         overrides=TINY | more)
    chance = np.random.default_rng(0)
    for training in mims.planned(chapter):
        rows = chapter.part("cirrus" if training.collection == "one_size" else training.collection, "test")
        score = chance.normal(size=len(rows))
        write_json(shared.folder(chapter, training) / shared.HISTORY, [])
        pd.DataFrame({"row": rows, "score": score, "guess": score > 0}).to_parquet(
            shared.folder(chapter, training) / shared.PREDICTIONS)
    return chapter


def test_the_tables_have_the_papers_numbers_beside_ours(invented):
    found = results.aurocs(invented, "methods", results.methods(invented))
    table = results.table_1(found)
    assert table.index.tolist() == ["MI-Pre", "ResNet34-scratch", "MIMS", "MIMS-patchcls", results.GREY]
    cirrus = next(name for name in table.columns.levels[0] if name.startswith("Cirrus"))
    assert table.loc["MIMS", (cirrus, "paper")] == "0.986" and table.loc[results.GREY, (cirrus, "paper")] == ""
    tiles = next(name for name in table.columns.levels[0] if name.startswith("CRC"))
    assert table.loc["MIMS-patchcls", tiles].tolist() == ["", ""]
    rows, target, _ = results.tested(invented, "cirrus")
    assert rows.tolist() == invented.part("cirrus", "test").tolist()
    by_hand = roc_auc_score(target[:, 0], mims.predictions(invented, Training("mims", "cirrus"))["score"])
    assert re.fullmatch(rf"{by_hand:.3f} \(.*–.*\)", table.loc["MIMS", (cirrus, "ours")])
    second = results.table_2(results.aurocs(invented, "poolings", results.poolings(invented)))
    assert second.loc["paper"].to_dict() == {"mean": "0.829", "max": "0.960", "k = 5": "0.986"}
    assert second.loc["ours", "k = 5"] == table.loc["MIMS", (cirrus, "ours")]


def test_folds_are_compared_within_themselves():
    """Two folds, each ranked without fault, the scores of one far above the other's: the AUROC is 1."""
    parts = [np.array([0, 1, 2]), np.array([3, 4])]
    score = results._by_fold([np.array([5.0, 6.0, 7.0]), np.array([-9.0, -8.0])])
    target = np.where(results._own(parts), np.array([0, 0, 1, 0, 1.0])[:, None], np.nan)
    found = classification.bootstrap(target, score, range(5), names=range(2), n_bootstrap=5)
    assert found.loc[classification.PLAIN, "auroc"] == 1 and score.shape == target.shape == (5, 2)


def test_the_claims_are_counted_from_the_differences(invented):
    table = results.differences(invented, "order", results.order(invented))
    said = results.claims(table).data.splitlines()
    scratch = table[table["second"] == "ResNet34-scratch"]
    assert said[1].startswith(f"- **Pre-training helps.** As in the paper in {(scratch['low'] > 0).sum()} of "
                              f"{len(scratch)} comparisons, ") and len(said) == 3


def test_a_tie_in_the_paper_is_no_order(invented):
    pairs = results.order(invented)
    assert (Training("mims", "cirrus"), Training("mims_patchcls", "cirrus")) in pairs
    assert all(first.collection == second.collection for first, second in pairs)
    assert results.TABLE_1["mims"][1] == results.TABLE_1["si_cnn"][1] == 1


def test_a_difference_is_of_the_same_bags(invented):
    pair = Training("mims", "cirrus"), Training("resnet34_scratch", "cirrus")
    assert pair in results.order(invented)
    found = results.differences(invented, "order", results.order(invented)).iloc[0]
    _, target, _ = results.tested(invented, "cirrus")
    a, b = (classification.auroc(target, mims.predictions(invented, one)[["score"]].to_numpy(), ["x"])["auroc"].iloc[0]
            for one in pair)
    assert (found["first"], found["second"]) == ("MIMS", "ResNet34-scratch")
    assert found["mean"] == pytest.approx(a - b, abs=1e-6)


def test_what_is_kept_of_a_run_is_what_the_pages_show(trained_mims, tmp_path, monkeypatch):
    monkeypatch.setattr(kept.keeping, "folder", lambda chapter: tmp_path)
    assert kept.keep(trained_mims, "own") == tmp_path / "runs/own.json"
    for name, of in results.TABLES.items():
        pd.testing.assert_frame_equal(kept.table("runs/own", "aurocs", name),
                                      results.aurocs(trained_mims, name, of(trained_mims)))
    for name, of in located.TABLES.items():
        pd.testing.assert_frame_equal(kept.table("runs/own", "maps", name), of(trained_mims, "mims", "cirrus"))
    pd.testing.assert_frame_equal(kept.table("runs/own", "losses"), exhibits.losses(trained_mims))
    pd.testing.assert_frame_equal(kept.table("runs/own", "differences", "order"),
                                  results.differences(trained_mims, "order", results.order(trained_mims)))
    assert "1 seed, ResNet-14 of width 4, pre-trained on 100 drawn shapes" in kept.told("runs/own")
    assert "P001" not in (tmp_path / "runs/own.json").read_text(), "no name of a volume is kept"
    assert kept.sizes(trained_mims, "crc_msi")["train"] == {"bags": 30, "patients": 4, "slices": 30}


@pytest.mark.parametrize("name, overrides", [
    ("grid/embedded", mims.grid.GRID | {"shapes_epochs": 6}), ("runs/embedded", {}),
    ("runs/four_methods", {"methods": ["mi_pre", "mi_pre_conv", "mims_noresizing", "mims"], "shapes_epochs": 6,
                           "poolings": ["mean", "max", "top5"]}),
    ("grid/oct_dme", mims.grid.GRID | {"methods": ["mi_pre", "mi_pre_conv", "mims_noresizing", "mims"], "seeds": 1,
                                       "shapes_epochs": 6})])
def test_published_results_have_the_settings_of_the_command_that_the_pages_name(name, overrides):
    asked = kept.keeping.read("mims", name)["manifest"]["asked"]
    settings = json.loads(json.dumps(dataclasses.asdict(mims.choose(asked["profile"], overrides))))
    assert asked["settings"] | {"collections": ()} == settings | {"collections": ()}
