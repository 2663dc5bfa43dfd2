"""Seeds, threads, devices and versions: what a run must fix, and what its manifest must tell."""

import os
import platform
import random
import subprocess
from importlib import metadata
from pathlib import Path

import numpy as np
import torch

from mdlib.errors import SettingsError

PACKAGES = ("mdlib", "torch", "torchvision", "lightning-fabric", "numpy", "pandas", "scikit-learn", "pillow", "pydicom")


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and torch, and ask torch for deterministic algorithms.

    The same seed gives the same bits on the same machine with the same number of threads; another number of
    threads adds in another order and changes the last bits.
    """
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False    # nothing here reads memory it has not written
    torch.backends.cudnn.benchmark = False


def choose_device(name: str = "auto") -> str:
    """`auto` is `cuda` where there is one, else `cpu`. Raises SettingsError for a device that is not there."""
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    kind = name.split(":")[0]
    if kind not in ("cpu", "cuda", "mps"):
        raise SettingsError(f"unknown device {name!r}", "parameter device", "Use auto, cpu, cuda or mps.")
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}[kind]
    if not there:
        raise SettingsError(f"{name!r} was asked for, but torch {torch.__version__} finds none on this machine",
                            "parameter device", "Use device=cpu, or install a torch build for your accelerator.")
    return name


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide the numbers."""
    return {"python": platform.python_version(), **{name: metadata.version(name) for name in PACKAGES}}


def hardware(device: str) -> dict[str, str | int]:
    """What the run ran on: the accelerator's name or the processor's kind, cores and threads."""
    accelerator = torch.cuda.get_device_name() if device.startswith("cuda") else platform.machine()
    return {"device": device, "name": accelerator, "cores": os.cpu_count() or 1, "threads": torch.get_num_threads()}


def code_version() -> str:
    """The commit of the checkout mdlib is imported from, `+` behind it where files were changed; else its version."""
    root = Path(__file__).parents[1]
    try:
        ask = ["git", "-C", str(root), "describe", "--always", "--dirty=+", "--abbrev=12", "--exclude=*"]
        return subprocess.run(ask, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return metadata.version("mdlib")
