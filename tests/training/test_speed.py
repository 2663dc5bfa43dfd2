"""Rates against a clock that is set by hand, and operations against a count by hand."""

import time

import pytest
import torch
from nets import Logits, convolutional, cross_entropy, linear, momentum, random_rows
from torch import nn
from torchvision import models

from mdlib.errors import SettingsError
from mdlib.training import speed
from mdlib.training.loop import start


@pytest.fixture
def batch():
    rows = random_rows(8)
    return {"image": rows.image, "target": rows.target, "index": torch.arange(8)}


@pytest.fixture
def seconds(monkeypatch):
    """A clock that only goes on when it is told to."""
    clock = [0.0]
    monkeypatch.setattr(speed, "now", lambda device: clock[0])
    return clock


def test_throughput_counts_the_images_of_the_steps_behind_the_warm_up(batch, seconds):
    calls = []

    def loss(model, batch):
        calls.append(model.training)
        seconds[0] += 100 if len(calls) <= speed.WARM_UP else 0.5
        return cross_entropy(model, batch)

    model = linear().eval()
    assert speed.throughput(start("cpu"), model, batch, loss, momentum(model), steps=6) == 8 / 0.5
    assert len(calls) == speed.WARM_UP + 6 and all(calls) and not model.training


def test_a_timed_step_is_a_whole_training_step(batch):
    model, twin = convolutional(dropout=0), convolutional(dropout=0)
    speed.throughput(start("cpu"), model, batch, cross_entropy, momentum(model), steps=2)
    optimizer = momentum(twin)
    for _ in range(speed.WARM_UP + 2):
        optimizer.zero_grad()
        cross_entropy(twin, batch).backward()
        optimizer.step()
    assert all(torch.equal(value, twin.state_dict()[name]) for name, value in model.state_dict().items())


def test_throughput_is_that_of_the_wall_clock(batch):
    def slow(model, batch):
        time.sleep(0.02)
        return cross_entropy(model, batch)

    model = linear()
    rate = speed.throughput(start("cpu"), model, batch, slow, momentum(model), steps=5)
    assert 8 / 0.2 < rate <= 8 / 0.02


def test_no_step_cannot_be_timed(batch):
    with pytest.raises(SettingsError, match="0 steps cannot be timed"):
        speed.throughput(start("cpu"), linear(), batch, cross_entropy, None, steps=0)


def test_matmul_rate_is_two_n_cubed_operations_a_product(monkeypatch, seconds):
    took = iter([0.0] * speed.WARM_UP + [0.2] * speed.PRODUCTS + [0.1] * speed.PRODUCTS * (speed.ROUNDS - 1))
    multiply = torch.mm

    def mm(a, b, out):
        seconds[0] += next(took)
        return multiply(a, b, out=out)

    monkeypatch.setattr(speed.torch, "mm", mm)
    assert speed.matmul_rate("cpu", torch.float32, 20) == pytest.approx(2 * 20 ** 3 / 0.1 / 1e12)
    assert next(took, None) is None


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_rate_of_this_machine_is_above_nothing(dtype):
    assert 0 < speed.matmul_rate("cpu", dtype, 64) < 1000


def test_operations_are_twice_the_multiply_adds_of_convolutions_and_products():
    model = Logits(nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(),
                                 nn.Conv2d(8, 4, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)))
    first, second, last = 16 * 16 * 8 * 3 * 9, 16 * 16 * 4 * 8, 4 * 2
    assert speed.flops_of(model, torch.rand(1, 3, 32, 32)) == 2 * (first + second + last)
    assert model.training
    with pytest.raises(SettingsError, match=r"image: has shape \(2, 3, 32, 32\)"):
        speed.flops_of(model, torch.rand(2, 3, 32, 32))


def test_operations_of_googlenet_are_those_torchvision_publishes():
    """1.498 thousand million multiply-adds at 224 pixels."""
    with torch.device("meta"):
        model = models.googlenet(num_classes=1000, aux_logits=False, init_weights=False)
        image = torch.empty(1, 3, 224, 224)
    assert speed.flops_of(model, image) / 2e9 == pytest.approx(models.GoogLeNet_Weights.DEFAULT.meta["_ops"], abs=1e-3)


def test_counting_leaves_the_running_statistics_alone():
    model = convolutional()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    speed.flops_of(model, torch.rand(1, 1, 8, 8))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_the_share_is_three_forward_passes_a_second_of_the_rate():
    assert speed.share(10 ** 9, 1000, 30) == pytest.approx(0.1)                            # 3 of 30 TFLOP/s
