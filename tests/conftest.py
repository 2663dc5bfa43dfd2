"""What several tests need: real images and a browser where there are any, and (tiny_papers) tiny runs of the papers."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

ROOT = Path(__file__).parents[1]
pytest_plugins = ["tiny_papers"]


def pytest_configure(config):
    """One thread, as trainings in parallel have: for networks this small, threads only wait for one another."""
    torch.set_num_threads(1)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """In CI (MDLIB_NO_SKIPS=1) a skipped test is a failed one: there the real data and the browser must be found."""
    outcome = yield
    report = outcome.get_result()
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get("MDLIB_NO_SKIPS") == "1":
        report.outcome = "failed"
        report.longrepr = f"skipped where nothing may be skipped: {report.longrepr}"


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real images, from the environment variable MDLIB_REAL_DATA."""
    folder = os.environ.get("MDLIB_REAL_DATA")
    if not folder:
        pytest.skip("needs real images: set MDLIB_REAL_DATA to a folder that holds chestxray14/ and its neighbours")
    path = Path(folder) if Path(folder).is_absolute() else ROOT / folder
    if not path.is_dir():
        pytest.fail(f"MDLIB_REAL_DATA={folder} is not a folder")
    return path


@pytest.fixture
def quantus(monkeypatch):
    """The library Quantus. It computes areas by np.trapz, which NumPy 2.4 no longer has: there it is np.trapezoid."""
    monkeypatch.setattr(np, "trapz", np.trapezoid, raising=False)
    return pytest.importorskip("quantus")


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of a Chromium that can be driven."""
    from browser import find_chromium

    path = find_chromium()
    if path is None:
        pytest.skip("needs Chromium or Chrome on the PATH")
    return path
