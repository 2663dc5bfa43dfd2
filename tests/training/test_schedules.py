import contextlib
import math

import pytest
import torch
from nets import convolutional, cross_entropy, momentum, random_rows, train
from torch import nn

from mdlib.errors import SettingsError
from mdlib.training import schedules
from mdlib.training.loop import fit, start


def test_the_policy_of_wrn_is_a_fifth_after_60_120_and_160_of_200_epochs():
    optimizer = torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=0.1)
    policy, rates = schedules.staircase(optimizer, (0.3, 0.6, 0.8), 0.2), {}
    for epoch in (0, 59, 60, 119, 120, 159, 160, 199, 0):
        policy(epoch / 200)
        rates[epoch] = optimizer.param_groups[0]["lr"]
    assert rates == pytest.approx({0: 0.1, 59: 0.1, 60: 0.02, 119: 0.02, 120: 0.004, 159: 0.004, 160: 0.0008,
                                   199: 0.0008})


def test_every_group_keeps_its_own_rate():
    groups = [{"params": [nn.Parameter(torch.zeros(1))], "lr": rate} for rate in (1.0, 0.5)]
    optimizer = torch.optim.SGD(groups, lr=1.0)
    schedules.staircase(optimizer, (0.5,), 0.1)(0.5)
    assert [group["lr"] for group in optimizer.param_groups] == [0.1, 0.05]


def test_the_cosine_ends_at_0_and_is_torchs():
    optimizers = [torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=0.1) for _ in range(2)]
    ours, theirs = schedules.cosine(optimizers[0]), torch.optim.lr_scheduler.CosineAnnealingLR(optimizers[1], 20)
    for step in range(21):
        ours(step / 20)
        rates = [optimizer.param_groups[0]["lr"] for optimizer in optimizers]
        assert rates[0] == pytest.approx(rates[1], abs=1e-12)
        optimizers[1].step()
        theirs.step()
    assert rates[0] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("kind, values", [
    ("logistic", {0: 1 / (1 + math.e**5), 0.5: 0.5, 1: 1 / (1 + math.e**-5)}),
    ("ganin", {0: 0, 0.1: 2 / (1 + math.e**-1) - 1, 1: 2 / (1 + math.e**-10) - 1})])
def test_beta_rises_from_about_0_to_about_1(kind, values):
    beta = schedules.BETAS[kind]
    assert {share: beta(share) for share in values} == pytest.approx(values)
    rising = [beta(i / 100) for i in range(101)]
    assert rising == sorted(rising) and rising[0] < 0.01 and rising[-1] > 0.99


def test_the_fork_is_equation_12():
    beta = schedules.logistic(0.3)
    assert schedules.fork(0.3, "logistic", 5) == (1 - beta, 5 * beta)
    assert schedules.fork(0.3, "logistic", 5, scale_down=False) == (1, 5 * beta)
    assert schedules.fork(0.9, "constant", 1) == (0.5, 0.5)
    with pytest.raises(SettingsError, match=r"linear.*logistic, ganin or constant"):
        schedules.fork(0, "linear", 5)


def test_fit_tells_the_share_of_steps_before_each_of_them(tmp_path):
    shares = []
    train(tmp_path, epochs=2, batch_size=16, schedule=shares.append)
    assert shares == pytest.approx([step / 6 for step in range(6)])


def test_a_schedule_goes_on_where_a_killed_training_stopped(tmp_path):
    """Killed in the second epoch of 3 steps: the next sees the 9 that were left, and ends with the same weights."""
    def trained(folder, iterations):
        seen, model = [], convolutional()
        optimizer = momentum(model)
        lower = schedules.staircase(optimizer, (0.5,), 0.2)

        def schedule(share):
            if len(seen) == iterations:
                raise KeyboardInterrupt
            seen.append(share)
            lower(share)
        with contextlib.suppress(KeyboardInterrupt):
            fit(start("cpu"), model, optimizer, random_rows(), cross_entropy, folder=folder, epochs=4, batch_size=16,
                seed=0, schedule=schedule)
        return seen, model
    whole, model = trained(tmp_path / "whole", 99)
    first, _ = trained(tmp_path / "killed", 5)
    second, again = trained(tmp_path / "killed", 99)
    assert first == whole[:5] and second == whole[3:], "the broken epoch is repeated"
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), again.state_dict().values(), strict=True))


def test_a_training_with_a_schedule_does_not_grow(tmp_path):
    """Twice the epochs are another curve: what is done would have been done at other rates."""
    train(tmp_path, epochs=1, schedule=lambda share: None)
    with pytest.raises(SettingsError, match="epochs"):
        train(tmp_path, epochs=2, schedule=lambda share: None)
