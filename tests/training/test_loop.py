from types import SimpleNamespace

import numpy as np
import pytest
import torch
from nets import Batched, Logits, Rows, convolutional, cross_entropy, linear, random_rows, squared, train
from torch import nn

from mdlib.errors import DataError, SettingsError, TrainingError
from mdlib.training import loop
from mdlib.training.loop import predict, start


def test_one_step_of_sgd_computed_by_hand(tmp_path):
    """w = 1, x = 2, y = 5: loss (2w - 5)^2 = 9, gradient 2 (2w - 5) 2 = -12, so w = 1 + 0.1 * 12 = 2.2."""
    model = Logits(nn.Linear(1, 1, bias=False))
    nn.init.ones_(model.body.weight)
    rows = Rows(torch.tensor([[2.0]]), torch.tensor([[5.0]]))
    model, history = train(tmp_path, model, rows, squared, epochs=1, batch_size=1)
    assert model.body.weight.item() == pytest.approx(2.2, rel=1e-6)
    assert history == [{"epoch": 1, "loss": 9.0}]


def test_the_second_step_has_momentum(tmp_path):
    """From w = 2.2: gradient 2 (4.4 - 5) 2 = -2.4; velocity 0.9 * -12 - 2.4 = -13.2; w = 2.2 + 1.32."""
    model = Logits(nn.Linear(1, 1, bias=False))
    nn.init.ones_(model.body.weight)
    rows = Rows(torch.tensor([[2.0]]), torch.tensor([[5.0]]))
    model, _ = train(tmp_path, model, rows, squared, epochs=2, batch_size=1)
    assert model.body.weight.item() == pytest.approx(3.52, rel=1e-6)


def test_a_toy_that_can_be_learned_is_learned(tmp_path):
    rows = random_rows(200)
    bright = rows.image.mean((1, 2, 3)) > 0.5
    rows.image[bright] += 1
    rows.target[:, 0] = bright.float()
    rows.target[:, 1] = 1 - bright.float()
    model, history = train(tmp_path, samples=rows, epochs=8, batch_size=16)
    answer = predict(start("cpu"), model, rows, batch_size=32)["logits"]
    assert np.mean((answer > 0) == rows.target.numpy().astype(bool)) > 0.98
    assert history[-1]["loss"] < 0.5 * history[0]["loss"]


def test_the_mean_loss_counts_samples_not_batches(tmp_path):
    """Learning rate 0: the loss of the epoch is that of all 10 samples, though the last batch holds 2 and not 4."""
    model, rows = linear(), random_rows(10)
    expected = cross_entropy(model, {"image": rows.image, "target": rows.target}).item()
    _, history = train(tmp_path, model, rows, rate=0.0, epochs=1, batch_size=4)
    assert history[0]["loss"] == pytest.approx(expected, rel=1e-6)


def orders(folder, samples, **options):
    """The rows of every step, in order."""
    seen = []

    def note(model, batch):
        seen.append(batch["index"].tolist())
        return cross_entropy(model, batch)

    train(folder, samples=samples, loss=note, **options)
    return seen


def test_the_order_follows_from_seed_and_epoch_and_every_row_comes_once_an_epoch(tmp_path):
    first, again = (orders(tmp_path / name, random_rows(16), epochs=2) for name in "ab")
    other = orders(tmp_path / "c", random_rows(16), epochs=2, seed=1)
    assert first == again != other
    epochs = [first[0] + first[1], first[2] + first[3]]
    assert epochs[0] != epochs[1] and all(sorted(epoch) == list(range(16)) for epoch in epochs)


def test_the_order_of_a_resumed_training_goes_on(tmp_path):
    whole = orders(tmp_path / "a", random_rows(16), epochs=3)
    broken = orders(tmp_path / "b", random_rows(16), epochs=1) + orders(tmp_path / "b", random_rows(16), epochs=3)
    assert broken == whole


def test_every_epoch_draws_anew_and_a_resumed_one_draws_the_same(tmp_path):
    """Dropout and augmentation: what torch and NumPy draw in the first step of each epoch."""
    drawn = []

    def draw(model, batch):
        drawn.append((torch.rand(1).item(), np.random.random()))
        return cross_entropy(model, batch)

    train(tmp_path / "whole", linear(), loss=draw, epochs=3, batch_size=48)
    for epochs in (1, 2, 3):
        train(tmp_path / "parts", linear(), loss=draw, epochs=epochs, batch_size=48)
    assert len(set(drawn)) == 3 and drawn[:3] == drawn[3:]


def test_iterations_are_steps_and_the_last_epoch_ends_with_them(tmp_path):
    """16 rows in batches of 8 are 2 steps an epoch: 3 steps are the first three of two epochs."""
    assert orders(tmp_path / "a", random_rows(16), epochs=0, iterations=3) == orders(
        tmp_path / "b", random_rows(16), epochs=2)[:3]
    with pytest.raises(SettingsError, match="iterations"):      # what ended within an epoch cannot go on
        train(tmp_path / "a", samples=random_rows(16), epochs=0, iterations=4)
    for both in ({"epochs": 0}, {"epochs": 1, "iterations": 1}):
        with pytest.raises(SettingsError, match="Give one of them"):
            train(tmp_path / "c", **both)


def test_a_last_batch_of_one_sample_is_dropped_any_other_is_kept(tmp_path):
    assert [len(rows) for rows in orders(tmp_path / "17", random_rows(17), epochs=1)] == [8, 8]
    assert [len(rows) for rows in orders(tmp_path / "18", random_rows(18), epochs=1)] == [8, 8, 2]


def test_whole_batches_and_single_samples_train_to_the_same_bits(tmp_path):
    one, _ = train(tmp_path / "a")
    many, _ = train(tmp_path / "b", samples=random_rows(kind=Batched))
    workers, _ = train(tmp_path / "c", num_workers=1)
    for name, value in one.state_dict().items():
        assert torch.equal(value, many.state_dict()[name]) and torch.equal(value, workers.state_dict()[name])


def test_a_loss_that_is_not_finite_stops_with_epoch_step_and_files(tmp_path):
    rows = random_rows(16)
    order = orders(tmp_path / "order", rows, epochs=2, batch_size=4)
    bad = order[6]  # epoch 2, step 3

    def break_later(model, batch):
        poison = torch.nan if batch["index"].tolist() == bad else 1.0
        return cross_entropy(model, batch) * poison

    with pytest.raises(TrainingError) as error:
        train(tmp_path / "run", samples=rows, loss=break_later, epochs=5, batch_size=4, name_of=lambda i: f"{i:08}.png")
    message = str(error.value)
    assert "epoch 2, step 3" in message and "nan" in message
    assert [f"{i:08}.png" in message for i in range(16)] == [i in bad for i in range(16)]
    kept = torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)
    assert len(kept["history"]) == 1 and all(value.isfinite().all() for value in kept["model"].values())


def test_the_last_step_of_an_epoch_is_looked_at_before_the_checkpoint(tmp_path):
    calls = []

    def last(model, batch):
        calls.append(1)
        return cross_entropy(model, batch) * (torch.inf if len(calls) == 6 else 1)

    with pytest.raises(TrainingError, match="epoch 1, step 6"):
        train(tmp_path, loss=last)
    assert not (tmp_path / "checkpoint.pt").exists()


def test_validation_runs_in_evaluation_mode_and_its_figures_enter_the_history(tmp_path):
    modes = []

    def validate(model):
        modes.append(model.training)
        return {"auroc": np.float64(0.75)}

    seen = []

    def watch_mode(model, batch):
        seen.append(model.training)
        return cross_entropy(model, batch)

    _, history = train(tmp_path, loss=watch_mode, validate=validate, epochs=2)
    assert modes == [False, False] and all(seen)
    assert [row["auroc"] for row in history] == [0.75, 0.75]
    assert train(tmp_path, epochs=2)[1] == history  # read back from the checkpoint


def test_predictions_are_in_the_order_of_the_data_and_in_evaluation_mode(tmp_path):
    model, rows = convolutional(), random_rows(21)
    model.train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    answer = predict(start("cpu"), model, rows, batch_size=8)["logits"]
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    model.eval()
    with torch.no_grad():
        expected = torch.cat([model(image[None])["logits"] for image in rows.image])
    np.testing.assert_allclose(answer, expected, atol=1e-6)
    assert answer.dtype == np.float32


def test_bf16_predicts_float32_near_the_exact_answer():
    model, rows = convolutional(), random_rows(8)
    exact = predict(start("cpu"), model, rows, batch_size=8)["logits"]
    rounded = predict(start("cpu", precision="bf16-mixed"), model, rows, batch_size=8)["logits"]
    assert rounded.dtype == np.float32 and not np.array_equal(exact, rounded)
    np.testing.assert_allclose(rounded, exact, atol=0.02)


def test_bf16_trains_weights_of_32_bits(tmp_path):
    model, history = train(tmp_path, fabric=start("cpu", precision="bf16-mixed"))
    assert {value.dtype for value in model.parameters()} == {torch.float32} and np.isfinite(history[-1]["loss"])


def test_channels_last_changes_the_layout_and_not_the_answer(tmp_path):
    """Without dropout, whose draws follow the layout."""
    plain, _ = train(tmp_path / "a", convolutional(dropout=0))
    last, _ = train(tmp_path / "b", convolutional(dropout=0), channels_last=True)
    assert last.body[0].weight.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(last.body[0].weight, plain.body[0].weight, atol=1e-4, rtol=1e-3)


def test_predict_asks_for_the_inputs_and_outputs_by_name():
    class Sum(nn.Module):
        def forward(self, image, target):
            return {"logits": image.mean((2, 3)) + target, "gates": target}

    rows = random_rows(5)
    answer = predict(start("cpu"), Sum(), rows, batch_size=2, outputs=("gates", "logits"),
                     inputs=lambda batch: {name: batch[name] for name in ("image", "target")})
    np.testing.assert_array_equal(answer["gates"], rows.target)
    np.testing.assert_allclose(answer["logits"], rows.image.mean((2, 3)) + rows.target, atol=1e-6)


@pytest.mark.parametrize("options, word", [
    ({"precision": "16-true"}, "precision"), ({"device": "abacus"}, "abacus"), ({"device": "cpu:0"}, "cpu:0")])
def test_a_start_that_makes_no_sense_is_refused(options, word):
    with pytest.raises(SettingsError, match=word):
        start(**{"device": "cpu", **options})


def test_nothing_to_train_on_is_refused(tmp_path):
    with pytest.raises(SettingsError, match="nothing to train on"):
        train(tmp_path, samples=random_rows(0))


def test_nothing_to_predict_is_refused():
    with pytest.raises(SettingsError, match="nothing to predict"):
        predict(start("cpu"), convolutional(), random_rows(0), batch_size=2)


@pytest.mark.parametrize("kind, on_device, pinned", [("cuda", None, True), ("cuda", False, True),
                                                     ("cuda", True, False), ("cpu", None, False)])
def test_batches_that_are_cut_on_the_device_are_not_pinned(tmp_path, monkeypatch, kind, on_device, pinned):
    class Asked(Exception):
        pass

    def loader(*rows, pin_memory, **options):
        raise Asked(pin_memory)

    monkeypatch.setattr(loop, "DataLoader", loader)
    fabric, rows = SimpleNamespace(device=torch.device(kind), world_size=1, global_rank=0), random_rows(8)
    if on_device is not None:
        rows.on_device = on_device
    for ask in (lambda: train(tmp_path, samples=rows, fabric=fabric),
                lambda: predict(fabric, convolutional(), rows, batch_size=4)):
        with pytest.raises(Asked) as asked:
            ask()
        assert asked.value.args == (pinned,)


class TestCheckpoint:
    def test_a_finished_training_is_not_repeated(self, tmp_path):
        model, history = train(tmp_path)

        def forbidden(model, batch):
            raise AssertionError("trained again")

        again, same = train(tmp_path, loss=forbidden)
        assert same == history
        assert all(torch.equal(value, again.state_dict()[name]) for name, value in model.state_dict().items())

    def test_more_epochs_go_on_to_the_same_bits(self, tmp_path):
        whole, _ = train(tmp_path / "a", epochs=4)
        train(tmp_path / "b", epochs=2)
        parts, history = train(tmp_path / "b", epochs=4)
        assert [row["epoch"] for row in history] == [1, 2, 3, 4]
        assert all(torch.equal(value, parts.state_dict()[name]) for name, value in whole.state_dict().items())

    def test_fewer_epochs_than_are_trained_are_refused(self, tmp_path):
        train(tmp_path)
        with pytest.raises(SettingsError, match="3 epochs are trained already, 2 are asked"):
            train(tmp_path, epochs=2)

    @pytest.mark.parametrize("options, word", [
        ({"seed": 1}, "seed (there 0, asked 1)"), ({"batch_size": 4}, "batch (there 8, asked 4)"),
        ({"rate": 0.2}, "optimizer_groups"), ({"channels_last": True}, "channels_last (there False, asked True)"),
        ({"samples": random_rows(40)}, "samples (there 48, asked 40)"),
        ({"settings": {"side": 64, "shape": (1, 2)}}, "side (there 32, asked 64)"),
        ({"settings": None}, "shape (there [1, 2], asked not set); side (there 32, asked not set)")])
    def test_other_settings_are_refused_by_name_with_a_remedy(self, tmp_path, options, word):
        train(tmp_path, epochs=1, settings={"side": 32, "shape": (1, 2)})
        with pytest.raises(SettingsError, match="Delete it") as error:
            train(tmp_path, epochs=2, **{"settings": {"side": 32, "shape": (1, 2)}, **options})
        assert word in str(error.value)
        assert str(error.value).count("there") == word.count("there") or "rate" in options

    def test_another_network_is_refused(self, tmp_path):
        train(tmp_path, epochs=1)
        with pytest.raises(SettingsError, match="another network"):
            train(tmp_path, linear(), epochs=2)

    def test_code_in_a_checkpoint_is_not_run(self, tmp_path):
        class Malice:
            def __reduce__(self):
                return (open, (str(tmp_path / "ran"), "w"))

        torch.save({"model": Malice(), "optimizer": {}, "history": [], "settings": "{}"}, tmp_path / "checkpoint.pt")
        with pytest.raises(DataError, match="not a checkpoint, or a damaged one"):
            train(tmp_path)
        assert not (tmp_path / "ran").exists()

    def test_a_damaged_checkpoint_is_an_error_that_names_the_file(self, tmp_path):
        """Cut at any length, or any one of its bytes changed: either an error, or the very same state."""
        train(tmp_path, epochs=1)
        path = tmp_path / "checkpoint.pt"
        whole = path.read_bytes()
        chance = np.random.default_rng(0)
        good = torch.load(path, weights_only=True)
        for trial in range(100):
            place = int(chance.integers(len(whole)))
            path.write_bytes(whole[:place] if trial % 2 else whole[:place] + bytes([whole[place] ^ 255])
                             + whole[place + 1:])
            model = convolutional()
            try:
                train(tmp_path, model, epochs=1)
            except (DataError, SettingsError) as error:
                assert str(path) in str(error)
            else:
                assert all(torch.equal(value, good["model"][name]) for name, value in model.state_dict().items())

    def test_something_else_than_a_checkpoint_is_refused(self, tmp_path):
        torch.save([1, 2], tmp_path / "checkpoint.pt")
        with pytest.raises(DataError, match="model, optimizer, settings missing"):
            train(tmp_path)
