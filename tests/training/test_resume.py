"""Trainings that are really killed (SIGKILL), and what is left of them."""

import multiprocessing
import os
import random
import signal
import time

import pytest
import torch
from nets import cross_entropy, train

from mdlib.training import checkpoints

STEPS = 6  # an epoch: 48 samples in batches of 8


@pytest.fixture(scope="module")
def processes():
    """Processes that begin with torch imported: each is new, none has waited for it."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch", "mdlib.training.loop"])
    return context


def train_and_count(folder, epochs, steps, last):
    """One training; `steps` counts its steps, each long enough to be killed in. It waits at step `last` for its end."""
    torch.set_num_threads(1)

    def slow(model, batch):
        steps.value += 1
        time.sleep(60 if steps.value == last else 0.004)
        return cross_entropy(model, batch)

    train(folder, loss=slow, epochs=epochs)


def run(processes, folder, epochs, kill_after=None, wait=0.0):
    """Train in a new process; kill it `wait` seconds after its step `kill_after`. Returns its exit code and steps."""
    steps = processes.Value("i", 0)
    last = None if kill_after is None else kill_after + STEPS  # however late the killer comes, so far and no further
    process = processes.Process(target=train_and_count, args=(folder, epochs, steps, last))
    process.start()
    while process.is_alive() and (kill_after is None or steps.value < kill_after):
        time.sleep(0.001)
    if kill_after is not None:
        time.sleep(wait)
        process.kill()
    process.join()
    return process.exitcode, steps.value


def check_kills(processes, folder, kills):
    """Kill `kills` trainings at chosen moments, let the last finish: the bits of a training that was left alone.

    A training that is killed makes at most 18 steps, three epochs; so there is always something left to do.
    """
    epochs = 3 * kills + 3
    assert run(processes, folder / "whole", epochs) == (0, epochs * STEPS)
    chance = random.Random(kills)
    trained = 0
    for _ in range(kills):
        code, steps = run(processes, folder / "killed", epochs, chance.randint(1, 2 * STEPS), chance.random() / 50)
        assert code == -signal.SIGKILL
        trained += steps
    assert (folder / "killed" / "checkpoint.pt").exists()
    code, steps = run(processes, folder / "killed", epochs)
    assert code == 0 and 0 < steps < epochs * STEPS <= trained + steps, "it went on where it was killed"
    same_state(folder / "whole", folder / "killed", epochs)
    assert sorted(path.name for path in (folder / "killed").iterdir()) == ["checkpoint.pt"]


def same_state(one, other, epochs):
    """Weights, batch statistics, momentum and history are equal to the bit."""
    first, second = (torch.load(folder / "checkpoint.pt", weights_only=True) for folder in (one, other))
    assert first["history"] == second["history"] and len(first["history"]) == epochs
    assert first["model"].keys() == second["model"].keys() >= {"body.1.running_var", "body.1.num_batches_tracked"}
    assert all(torch.equal(value, second["model"][name]) for name, value in first["model"].items())
    momenta = [state["optimizer"]["state"] for state in (first, second)]
    assert len(momenta[0]) == 6
    assert all(torch.equal(value["momentum_buffer"], momenta[1][name]["momentum_buffer"])
               for name, value in momenta[0].items())


def test_a_training_killed_three_times_comes_to_the_same_bits(processes, tmp_path):
    check_kills(processes, tmp_path, 3)


@pytest.mark.soak
def test_a_training_killed_twenty_times_comes_to_the_same_bits(processes, tmp_path):
    check_kills(processes, tmp_path, 20)


def die_while_writing(folder, share):
    """Train; in the second checkpoint, write `share` of the bytes and die."""
    torch.set_num_threads(1)
    save, written = torch.save, []

    def half(state, path):
        save(state, path)
        written.append(path)
        if len(written) == 2:
            os.truncate(path, int(share * path.stat().st_size))
            os.kill(os.getpid(), signal.SIGKILL)

    torch.save = half
    train(folder, epochs=3)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_a_kill_while_the_checkpoint_is_written_leaves_the_one_before(processes, tmp_path, share):
    process = processes.Process(target=die_while_writing, args=(tmp_path, share))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert len(torch.load(tmp_path / checkpoints.NAME, weights_only=True)["history"]) == 1
    assert len(list(tmp_path.iterdir())) == 2, "the checkpoint and the part that was being written"
    _, history = train(tmp_path, epochs=2)
    assert len(history) == 2
    assert [path.name for path in tmp_path.iterdir()] == [checkpoints.NAME], "the part is cleared away"
