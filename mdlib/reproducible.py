"""Seeds, threads, devices and versions: what a run must fix, and what its manifest must tell.

torch is imported where it is used: it takes seconds, and the command line answers many questions without it.
"""

import os
import platform
import random
import re
import subprocess
import time
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from mdlib.errors import SettingsError

if TYPE_CHECKING:
    import torch

PACKAGES = ("mdlib", "torch", "torchvision", "lightning-fabric", "numpy", "pandas", "scikit-learn", "pillow", "pydicom")


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and torch, and ask torch for deterministic algorithms.

    The same seed gives the same bits on the same machine with the same number of threads; another number of
    threads adds in another order and changes the last bits.
    """
    import numpy as np
    import torch

    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False    # nothing here reads memory it has not written
    torch.backends.cudnn.benchmark = False


def choose_device(name: str = "auto") -> str:
    """`auto` is `cuda` where there is one, else `cpu`. Raises SettingsError for a device that is not there."""
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if not re.fullmatch(r"cpu|mps|cuda(:(0|[1-9][0-9]{0,2}))?", str(name)):
        raise SettingsError(f"unknown device {name!r}", "parameter device", "Use auto, cpu, cuda, cuda:1 or mps.")
    kind, _, number = name.partition(":")
    count = {"cpu": 1, "cuda": torch.cuda.device_count() if torch.cuda.is_available() else 0,
             "mps": int(torch.backends.mps.is_available())}[kind]
    if int(number or 0) >= count:
        found = f"only cuda:0 to cuda:{count - 1}" if count else "none"
        remedy = "Use one of these." if count else "Use device=cpu, or install a torch build for your accelerator."
        raise SettingsError(f"{name!r} was asked for, but torch {torch.__version__} finds {found} on this machine",
                            "parameter device", remedy)
    return name


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide the numbers; `not installed` for one of an extra."""
    return {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}}


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def hardware(device: str) -> dict[str, str | int]:
    """What the run ran on: the name of the GPU, else of the processor, cores and threads."""
    import torch

    name = torch.cuda.get_device_name(device) if device.startswith("cuda") else _processor()
    return {"device": device, "name": name, "cores": os.cpu_count() or 1, "threads": torch.get_num_threads()}


def _processor() -> str:
    """The processor's name where the system tells it, else its architecture."""
    told = Path("/proc/cpuinfo")  # Linux
    lines = told.read_text(errors="replace").splitlines() if told.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return next(filter(None, [*names, platform.processor(), platform.machine()]), "unknown")


def code_version() -> str:
    """The commit of the checkout mdlib is imported from, `+` behind it where files were changed; else its version."""
    root = Path(__file__).parents[1]
    try:
        ask = ["git", "-C", str(root), "describe", "--always", "--dirty=+", "--abbrev=12", "--exclude=*"]
        return subprocess.run(ask, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return metadata.version("mdlib")


def now(device: "str | torch.device") -> float:
    """Wall time in seconds, once the device has done all it was asked for."""
    import torch

    kind = torch.device(device).type
    if kind == "cuda":
        torch.cuda.synchronize(device)
    elif kind == "mps":
        torch.mps.synchronize()
    return time.perf_counter()
