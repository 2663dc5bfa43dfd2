"""Devices that are there and those that are not, and what a manifest is told of the machine."""

import platform
from pathlib import Path

import pytest
import torch

from mdlib import reproducible
from mdlib.errors import SettingsError
from mdlib.reproducible import choose_device, hardware


@pytest.fixture
def two_gpus(monkeypatch):
    names = {"cuda": "GPU 0", "cuda:0": "GPU 0", "cuda:1": "GPU 1"}
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", names.get)


@pytest.mark.parametrize("name", ["cpu:0", "cpu:x", "cuda:x", "cuda:", "cuda:-1", "cuda:01", "mps:0", "abacus", "",
                                  None])
def test_what_names_no_device_is_refused(two_gpus, name):
    with pytest.raises(SettingsError, match=r"parameter device: unknown device .*Use auto, cpu, cuda, cuda:1 or mps"):
        choose_device(name)


def test_a_gpu_beyond_the_last_is_refused(two_gpus):
    assert [choose_device(name) for name in ("auto", "cuda", "cuda:1", "cpu")] == ["cuda", "cuda", "cuda:1", "cpu"]
    with pytest.raises(SettingsError, match=r"'cuda:2' was asked for, but .* finds only cuda:0 to cuda:1"):
        choose_device("cuda:2")


@pytest.mark.parametrize("name", ["cuda", "cuda:0", "cuda:9"])
def test_without_a_gpu_the_cpu_is_offered(monkeypatch, name):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device() == "cpu"
    with pytest.raises(SettingsError, match=f"'{name}' was asked for, but .* finds none .* Use device=cpu"):
        choose_device(name)


def test_the_manifest_names_the_gpu_that_is_used(two_gpus):
    assert [hardware(device)["name"] for device in ("cuda", "cuda:1")] == ["GPU 0", "GPU 1"]


def test_the_manifest_names_the_processor(monkeypatch, tmp_path):
    told = tmp_path / "cpuinfo"
    monkeypatch.setattr(reproducible, "Path", lambda path: told if path == "/proc/cpuinfo" else Path(path))
    told.write_text("processor\t: 0\nmodel name\t: Abacus 9000\n\nprocessor\t: 1\nmodel name\t: Abacus 9000\n")
    assert hardware("cpu")["name"] == "Abacus 9000"
    told.write_text("processor\t: 0\n")
    assert hardware("cpu")["name"] in (platform.processor(), platform.machine())
    told.unlink()
    assert hardware("cpu")["name"] in (platform.processor(), platform.machine())
