"""A study on tiny phantoms: each network is trained once, predictions are aligned, cached tables survive NaN."""

import pickle
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pytest
import torch
from tiny_chest import TINY

from mdlib.errors import SettingsError
from mdlib.files import read_json, write_json
from mdlib.papers import chest
from mdlib.study.predictions import Predictions
from mdlib.study.spec import RunSpec, labels


@dataclass(frozen=True)
class Spec(RunSpec):
    pooling: str = "mean"


class Here:
    """An executor that runs each job at once, in this process."""

    def __init__(self):
        self.jobs = []

    def submit(self, function, *arguments):
        self.jobs.append(arguments)
        future = Future()
        future.set_result(function(*arguments))
        return future


def test_the_slug_names_every_field_that_differs_from_its_default():
    assert Spec("mims").slug == "mims"
    assert Spec("mims", fold=2, seed=1, pooling="max").slug == "mims-pooling-max-fold-2-seed-1"
    slugs = {Spec(name, fold, seed, pooling).slug for name in "ab" for fold in (0, 1) for seed in (0, 1)
             for pooling in ("mean", "max")}
    assert len(slugs) == 16


def test_labels_name_only_what_differs():
    runs = [Spec(name, seed=seed, pooling=pooling) for name in ("a", "b") for seed in (0, 1)
            for pooling in ("mean", "max")]
    assert list(labels(runs).values()) == ["a, pooling mean", "a, pooling max", "b, pooling mean", "b, pooling max"]
    assert list(labels([Spec("a"), Spec("b", seed=1)]).values()) == ["a", "b"]
    assert labels([]) == {}


def tables(seeds=(0, 1), folds=(0, 1)):
    truth = {fold: pd.DataFrame({"patient": [fold, fold], "x": [0.0, 1.0], "y": [1.0, 0.0]},
                                index=[f"{fold}a", f"{fold}b"]) for fold in folds}
    return {Spec("a", fold, seed): pd.DataFrame({"x": [fold, seed], "y": [0.5, 0.5]}, index=truth[fold].index)
            for seed in seeds for fold in folds}, truth


def test_predictions_are_stacked_over_seeds_and_concatenated_over_folds():
    predictions = Predictions("test", *tables())
    scores = predictions.scores["a"]
    assert scores.shape == (2, 4, 2) and predictions.targets.shape == (4, 2)
    np.testing.assert_array_equal(scores[:, :, 0], [[0, 0, 1, 0], [0, 1, 1, 1]])
    assert predictions.patients.tolist() == [0, 0, 1, 1]
    assert predictions.select(seed=1).scores["a"].shape == (1, 4, 2)
    assert predictions.select(fold=1).scores["a"].shape == (2, 2, 2)


def test_a_missing_fold_and_another_order_of_images_are_refused():
    of_runs, truth = tables()
    del of_runs[Spec("a", 1, 1)]
    with pytest.raises(SettingsError, match="seed 1 was not predicted for fold 1"):
        _ = Predictions("test", of_runs, truth).scores
    of_runs, truth = tables()
    of_runs[Spec("a")] = of_runs[Spec("a")].iloc[::-1]
    with pytest.raises(SettingsError, match="not of the images"):
        Predictions("test", of_runs, truth)


def test_outputs_that_not_all_networks_have_are_left_out():
    of_runs, truth = tables(seeds=(0,), folds=(0,))
    of_runs[Spec("b")] = of_runs[Spec("a")][["y"]]
    predictions = Predictions("test", of_runs, truth)
    assert predictions.names == ["y"] and predictions.targets.ravel().tolist() == [1, 0]


def test_without_runs_there_are_no_scores_but_targets(chest_study):
    predictions = chest_study.predict([], "test")
    assert predictions.scores == {} and len(predictions.targets) == len(chest_study.data.rows("test"))


def test_runs_of_different_samples_are_not_stacked(chest_study, monkeypatch):
    labels = chest_study.data.labels("val", chest.Run("densenet121"))
    monkeypatch.setattr(type(chest_study.data), "labels", lambda self, part, run: labels.iloc[run.n_classes - 14:])
    with pytest.raises(SettingsError, match="different samples"):
        chest_study.predict([chest.Run("densenet121"), chest.Run("densenet121", n_classes=14)], "val")


def test_each_network_is_trained_once_through_any_executor(chest_study, tmp_path, one_thread):
    study = chest.open(data_dir=str(chest_study.data.folder), run_dir=str(tmp_path), device="cpu", overrides=TINY)
    runs, executor = [chest.Run("att_b"), chest.Run("att_b", seed=1)], Here()
    histories = study.train([*runs, *runs], executor)
    assert len(executor.jobs) == 2 and list(histories) == runs
    assert study.train(runs, executor) == histories and len(executor.jobs) == 2
    assert histories == chest_study.train(runs), "in local processes the same numbers come out"
    ours, theirs = (of.predict(runs, "val").scores["att_b"] for of in (study, chest_study))
    np.testing.assert_array_equal(ours, theirs)


def test_an_error_in_a_job_is_raised_and_what_was_trained_is_kept(chest_study, tmp_path):
    study = chest.open(data_dir=str(chest_study.data.folder), run_dir=str(tmp_path), device="cpu", overrides=TINY)
    with ThreadPoolExecutor(1) as executor, pytest.raises(SettingsError, match="vgg16"):
        study.train([chest.Run("densenet121"), chest.Run("vgg16")], executor)
    assert study.is_trained(chest.Run("densenet121")) and not study.is_trained(chest.Run("vgg16"))


def test_several_threads_of_one_process_are_refused(chest_study):
    with ThreadPoolExecutor(2) as executor, pytest.raises(SettingsError, match="random numbers"):
        chest_study.train([chest.Run("att_a")], executor)


def test_a_card_that_other_code_wrote_is_written_again_without_training(chest_study, monkeypatch):
    run = chest.Run("densenet121")
    chest_study.train([run])
    card, checkpoint = (chest_study.run_folder(run) / name for name in ("card.json", "checkpoint.pt"))
    before, stamp = read_json(card), checkpoint.stat().st_mtime_ns
    write_json(card, before | {"facts": {}, "card_code": "of an older mdlib"})
    chest_study.train([run])
    assert {**read_json(card), "code": ""} == {**before, "code": ""} and checkpoint.stat().st_mtime_ns == stamp


def test_a_study_goes_to_a_worker_without_its_pixels(chest_study):
    assert chest_study.data.pixels is not None
    assert len(pickle.dumps(chest_study)) < 1e6
    assert pickle.loads(pickle.dumps(chest_study)).data.table.equals(chest_study.data.table)


def test_the_model_has_the_trained_weights_and_predicts_what_was_stored(chest_study):
    run = chest.Run("att_a", part="train_val")
    stored = chest_study.predict([run], "test")
    model, batch = chest_study.model(run), chest_study.samples("test", run).batch(8)
    assert not model.training
    with torch.inference_mode():
        answer = model(**chest.inputs(batch, run.network))["logits"].sigmoid()
    np.testing.assert_allclose(answer, stored.scores["att_a"][0, :8], atol=1e-6)


def test_lost_predictions_come_from_the_checkpoint(chest_study):
    run = chest.Run("densenet121", part="train_val")
    before = chest_study.predict([run], "test").tables[run]
    checkpoint = chest_study.run_folder(run) / "checkpoint.pt"
    stamp = checkpoint.stat().st_mtime_ns
    (chest_study.run_folder(run) / "predictions-test.parquet").unlink()
    pd.testing.assert_frame_equal(chest_study.predict([run], "test").tables[run], before)
    assert checkpoint.stat().st_mtime_ns == stamp
    assert chest_study.predict([run], "val").targets.shape == (len(chest_study.data.rows("val")), 15)


def test_a_cached_table_is_computed_once_for_each_key_and_code_and_keeps_nan(chest_study, monkeypatch):
    calls = []

    def compute():
        calls.append(1)
        return pd.DataFrame({"name": ["a", None], "value": [np.nan, 1.5], "count": [1, 2], "yes": [True, False]})
    first = chest_study.cached("t", compute, n=1)
    again = chest_study.cached("t", compute, n=1)
    pd.testing.assert_frame_equal(first, again)
    assert again["value"].dtype == float and again["count"].dtype == int and len(calls) == 1
    chest_study.cached("t", compute, n=2)
    monkeypatch.setattr("mdlib.runs.table_code", lambda paper: "other")
    chest_study.cached("t", compute, n=2)
    assert len(calls) == 3


def test_an_empty_table_is_cached_with_its_columns(chest_study):
    for _ in range(2):
        assert list(chest_study.cached("empty", lambda: pd.DataFrame(columns=["a", "b"]))) == ["a", "b"]


def test_what_a_run_starts_from_is_trained_first(chest_study, tmp_path, one_thread):
    study = chest.open(data_dir=str(chest_study.data.folder), run_dir=str(tmp_path), device="cpu", overrides=TINY)
    base = chest.Run("densenet121")
    paper = replace(study.paper, starts_from=lambda run, settings: base if run.network == "att_a" else None)
    executor = Here()
    replace(study, paper=paper).train([chest.Run("att_a")], executor)
    assert [run for _, run in executor.jobs] == [base, chest.Run("att_a")]


def test_a_folder_with_another_collection_or_settings_is_refused(chest_study):
    with pytest.raises(SettingsError, match=r"another epochs \(1 there, 2 asked\)"):
        chest.open(data_dir=str(chest_study.data.folder), run_dir=str(chest_study.folder), device="cpu",
                   overrides=TINY | {"epochs": 2})


def test_old_names_of_settings_are_accepted_with_a_warning():
    with pytest.warns(FutureWarning, match="'seeds' is now called 'n_seeds'"):
        assert chest.PAPER.choose("embedded", {"seeds": 3}).n_seeds == 3
    with pytest.raises(SettingsError, match="given twice"), pytest.warns(FutureWarning):
        chest.PAPER.choose("embedded", {"n_seeds": 2, "seeds": 3})


def test_the_manifest_names_settings_data_and_code(chest_study):
    manifest = read_json(chest_study.folder / "manifest.json")
    assert manifest["asked"]["settings"]["n_bootstrap"] == 20 and manifest["training_code"]
