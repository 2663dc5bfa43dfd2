"""A study on tiny phantoms: each network is trained once, predictions are aligned, cached tables survive NaN."""

import pickle
import shutil
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pytest
import torch
from tiny_chest import ATTENTION, FOURTEEN, IMAGE, TINY

from mdlib.errors import SettingsError
from mdlib.files import lock, read_json, write_json
from mdlib.papers import chest
from mdlib.study import study
from mdlib.study.predictions import Predictions
from mdlib.study.spec import RunSpec, labels


@dataclass(frozen=True)
class Spec(RunSpec):
    pooling: str = "mean"


class Copying:
    """An executor that does each training at once: it copies the network of another study."""

    def __init__(self, study):
        self.study, self.trained = study, []

    def submit(self, function, study, run):
        self.trained.append(run)
        shutil.copytree(self.study.run_folder(run), study.run_folder(run))
        future = Future()
        future.set_result(None)
        return future


@pytest.fixture
def elsewhere(tiny_chest, tmp_path):
    """The same study in a run folder of its own: nothing is trained."""
    return chest.open(data_dir=str(tiny_chest.data.folder), run_dir=str(tmp_path), device="cpu", overrides=TINY)


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


def test_without_runs_there_are_no_scores_but_targets(tiny_chest):
    predictions = tiny_chest.predict([], "test")
    assert predictions.scores == {} and len(predictions.targets) == len(tiny_chest.data.rows("test"))


def test_runs_of_different_samples_are_not_stacked(trained_chest, monkeypatch):
    labels = trained_chest.data.labels("val", IMAGE)
    monkeypatch.setattr(type(trained_chest.data), "labels", lambda self, part, run: labels.iloc[run.n_classes - 14:])
    with pytest.raises(SettingsError, match="different samples"):
        trained_chest.predict([IMAGE, FOURTEEN], "val")


def test_each_network_is_trained_once_through_any_executor(trained_chest, elsewhere):
    runs, executor = [ATTENTION, IMAGE], Copying(trained_chest)
    histories = elsewhere.train([*runs, *runs], executor)
    assert executor.trained == list(histories) == runs and histories == trained_chest.train(runs)
    assert elsewhere.train([*runs, FOURTEEN], executor)[IMAGE] == histories[IMAGE]
    assert executor.trained == [*runs, FOURTEEN]


def test_a_training_that_another_program_has_begun_is_waited_for_and_not_repeated(elsewhere):
    def fit(*_):
        raise AssertionError("trained twice")
    once = replace(elsewhere, paper=replace(elsewhere.paper, fit=fit))
    with ThreadPoolExecutor(1) as second:
        with lock(elsewhere.run_folder(IMAGE) / "training.lock"):       # as the other program holds it
            waiting = second.submit(study.train_one, once, IMAGE, once.fabric())
            assert not wait([waiting], timeout=0.5).done
            write_json(elsewhere.run_folder(IMAGE) / "history.json", [])
        waiting.result(timeout=20)


def test_an_error_in_a_job_is_raised_and_what_was_trained_is_kept(trained_chest, elsewhere):
    """The network that was trained is that of the shared study, which local processes have trained."""
    with ThreadPoolExecutor(1) as executor, pytest.raises(SettingsError, match="vgg16"):
        elsewhere.train([IMAGE, chest.Run("vgg16")], executor)
    assert elsewhere.is_trained(IMAGE) and not elsewhere.is_trained(chest.Run("vgg16"))
    assert elsewhere.train([IMAGE], Copying(trained_chest)) == trained_chest.train([IMAGE])
    ours, theirs = (of.predict([IMAGE], "val").scores["densenet121"] for of in (elsewhere, trained_chest))
    np.testing.assert_array_equal(ours, theirs)


def test_several_threads_of_one_process_are_refused(tiny_chest):
    with ThreadPoolExecutor(2) as executor, pytest.raises(SettingsError, match="random numbers"):
        tiny_chest.train([chest.Run("att_a")], executor)


def test_a_card_that_other_code_wrote_is_written_again_without_training(trained_chest, elsewhere):
    elsewhere.train([IMAGE], Copying(trained_chest))
    card, checkpoint = (elsewhere.run_folder(IMAGE) / name for name in ("card.json", "checkpoint.pt"))
    before, stamp = read_json(card), checkpoint.stat().st_mtime_ns
    write_json(card, before | {"facts": {}, "card_code": "of an older mdlib"})
    elsewhere.train([IMAGE])
    assert {**read_json(card), "code": ""} == {**before, "code": ""} and checkpoint.stat().st_mtime_ns == stamp


def test_a_study_goes_to_a_worker_without_its_pixels(tiny_chest):
    assert tiny_chest.data.pixels is not None
    assert len(pickle.dumps(tiny_chest)) < 1e6
    assert pickle.loads(pickle.dumps(tiny_chest)).data.table.equals(tiny_chest.data.table)


def test_the_model_has_the_trained_weights_and_predicts_what_was_stored(trained_chest):
    stored = trained_chest.predict([ATTENTION], "test")
    model, batch = trained_chest.model(ATTENTION), trained_chest.samples("test", ATTENTION).batch(8)
    assert not model.training
    with torch.inference_mode():
        answer = model(**chest.inputs(batch, ATTENTION.network))["logits"].sigmoid()
    np.testing.assert_allclose(answer, stored.scores["att_a"][0, :8], atol=1e-6)


def test_lost_predictions_come_from_the_checkpoint(trained_chest, elsewhere):
    elsewhere.train([ATTENTION], Copying(trained_chest))
    before = elsewhere.predict([ATTENTION], "test").tables[ATTENTION]
    checkpoint = elsewhere.run_folder(ATTENTION) / "checkpoint.pt"
    stamp = checkpoint.stat().st_mtime_ns
    (elsewhere.run_folder(ATTENTION) / "predictions-test.parquet").unlink()
    pd.testing.assert_frame_equal(elsewhere.predict([ATTENTION], "test").tables[ATTENTION], before)
    assert checkpoint.stat().st_mtime_ns == stamp
    assert elsewhere.predict([ATTENTION], "val").targets.shape == (len(elsewhere.data.rows("val")), 15)


def test_a_cached_table_is_computed_once_for_each_key_and_code_and_keeps_nan(tiny_chest, monkeypatch):
    calls = []

    def compute():
        calls.append(1)
        return pd.DataFrame({"name": ["a", None], "value": [np.nan, 1.5], "count": [1, 2], "yes": [True, False]})
    first = tiny_chest.cached("t", compute, n=1)
    again = tiny_chest.cached("t", compute, n=1)
    pd.testing.assert_frame_equal(first, again)
    assert again["value"].dtype == float and again["count"].dtype == int and len(calls) == 1
    tiny_chest.cached("t", compute, n=2)
    monkeypatch.setattr("mdlib.runs.table_code", lambda paper: "other")
    tiny_chest.cached("t", compute, n=2)
    assert len(calls) == 3


def test_an_empty_table_is_cached_with_its_columns(tiny_chest):
    for _ in range(2):
        assert list(tiny_chest.cached("empty", lambda: pd.DataFrame(columns=["a", "b"]))) == ["a", "b"]


def test_what_a_run_starts_from_is_trained_first(trained_chest, elsewhere):
    paper = replace(elsewhere.paper, starts_from=lambda run, settings: IMAGE if run == ATTENTION else None)
    executor = Copying(trained_chest)
    replace(elsewhere, paper=paper).train([ATTENTION], executor)
    assert executor.trained == [IMAGE, ATTENTION]


def test_a_folder_with_another_collection_or_settings_is_refused(tiny_chest):
    with pytest.raises(SettingsError, match=r"another epochs \(1 there, 2 asked\)"):
        chest.open(data_dir=str(tiny_chest.data.folder), run_dir=str(tiny_chest.folder), device="cpu",
                   overrides=TINY | {"epochs": 2})


def test_old_names_of_settings_are_accepted_with_a_warning():
    with pytest.warns(FutureWarning, match="'seeds' is now called 'n_seeds'"):
        assert chest.PAPER.choose("embedded", {"seeds": 3}).n_seeds == 3
    with pytest.raises(SettingsError, match="given twice"), pytest.warns(FutureWarning):
        chest.PAPER.choose("embedded", {"n_seeds": 2, "seeds": 3})


def test_the_manifest_names_settings_data_and_code(tiny_chest):
    manifest = read_json(tiny_chest.folder / "manifest.json")
    assert manifest["asked"]["settings"]["n_bootstrap"] == 20 and manifest["training_code"]
