"""`pip install mdlib` without extras: the wheel, in an environment that holds only what the core depends on."""

import os
import shutil
import subprocess
import sys
import time
import venv
import zipfile
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from dicom_file import dicom
from packaging.requirements import Requirement
from PIL import Image

ROOT = Path(__file__).parents[1]
GRAD_CAM = """
import torch, torchvision
from mdlib.explain.gradients import grad_cam

maps = grad_cam(torchvision.models.resnet18(num_classes=3), torch.rand(2, 3, 64, 64), "layer4")
assert maps.shape == (2, 3, 2, 2) and maps.abs().max() > 0
"""
PREDICT_TWICE = """
import ast, sys
from mdlib.cli import main    # twice in one process: torch takes seconds to import

words, png, scan = ast.literal_eval(sys.argv[1]), *sys.argv[2:]
main([*words, "png", png], standalone_mode=False)
main([*words, "dicom", scan])
"""
OUTSIDE_THE_CORE = ("captum", "jupyter_book", "jupyterlab", "nbformat", "papermill", "pycocoevalcap",
                    "pydicom", "pytest", "pytorch_grad_cam", "torchcam", "voila")


class Installed:
    """A virtual environment with mdlib and its core in it."""

    def __init__(self, folder: Path):
        venv.create(folder, symlinks=True)
        self.folder, self.python = folder, folder / "bin/python"
        (self.packages,) = folder.glob("lib/python*/site-packages")

    def run(self, *words: str | Path, cwd: Path, code: int = 0) -> str:
        """What a program of this environment prints, standard error included; `code` is the exit status expected."""
        program, *rest = words
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        ended = subprocess.run([self.folder / "bin" / program, *map(str, rest)], cwd=cwd, text=True, timeout=100,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment)
        assert ended.returncode == code, ended.stdout
        return ended.stdout


def required(requirements: Iterable[str], extras: Iterable[str] = ()) -> list[Requirement]:
    """The requirements that hold on this machine for these extras."""
    parsed = map(Requirement, requirements)
    return [one for one in parsed
            if one.marker is None or any(one.marker.evaluate({"extra": extra}) for extra in ("", *extras))]


def closure(requirements: Iterable[str]) -> list[metadata.Distribution]:
    """The installed distributions that these requirements need, and all that those need."""
    waiting, found = required(requirements), {}
    while waiting:
        one = waiting.pop()
        asked = (one.name.lower().replace("_", "-"), *sorted(one.extras))
        if asked not in found:
            found[asked] = metadata.distribution(one.name)
            waiting += required(found[asked].requires or (), one.extras)
    return list(found.values())


def link(distribution: metadata.Distribution, packages: Path) -> None:
    """Make an installed distribution visible in another site-packages, by links to its modules and metadata."""
    for name in {file.parts[0] for file in distribution.files or ()} - {"..", "__pycache__"}:
        if not (packages / name).exists():
            (packages / name).symlink_to(distribution.locate_file(name))


def pip(*words: str | Path) -> None:
    subprocess.run([sys.executable, "-m", "pip", "--quiet", *words], check=True, timeout=100)


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    """A copy of what a wheel is built from: nothing is left in the checkout, nothing of an earlier build gets in."""
    folder = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    for networks in (ROOT / "data/results").glob("*/networks"):
        shutil.copytree(networks, folder / networks.relative_to(ROOT))
    shutil.copytree(ROOT / "mdlib", folder / "mdlib", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.fixture(scope="module")
def wheel(source, tmp_path_factory) -> Path:
    """Built from the archive of the sources, as a package index does: what is not in the archive is not in it."""
    out = tmp_path_factory.mktemp("wheel")
    build = "import sys; from setuptools import build_meta; build_meta.build_sdist(sys.argv[1])"
    subprocess.run([sys.executable, "-c", build, out], cwd=source, check=True, timeout=100, stdout=subprocess.DEVNULL)
    pip("wheel", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", out, *out.glob("*.tar.gz"))
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def core(wheel, tmp_path_factory) -> Installed:
    """The wheel without extras, installed where nothing else is but what it depends on."""
    environment = Installed(tmp_path_factory.mktemp("core"))
    pip("--python", environment.python, "install", "--no-deps", "--no-index", "--no-compile", wheel)
    (installed,) = metadata.distributions(name="mdlib", path=[str(environment.packages)])
    for distribution in closure(installed.requires):
        link(distribution, environment.packages)
    return environment


@pytest.fixture(scope="module")
def trained(tiny_mdnet) -> tuple[Path, Path]:
    """The folder of a tiny network with its card, and an image; made here, in the environment of the tests."""
    from mdlib.recipes import mdnet, trainings

    training = mdnet.Training("mdnet")
    mdnet.train_all(tiny_mdnet, [training])
    return trainings.folder(tiny_mdnet, training), tiny_mdnet.reports.paths()[0]


def test_the_wheel_holds_every_file_of_the_package(source, wheel):
    there = {str(path.relative_to(source)) for path in (source / "mdlib").rglob("*") if path.is_file()}
    there |= {f"mdlib/results/{card.relative_to(source / 'data/results')}" for card in source.rglob("card.json")}
    assert there - set(zipfile.ZipFile(wheel).namelist()) == set()


def test_the_core_is_without_jupyter_and_the_packages_of_the_extras(core, tmp_path):
    told = core.run("python", "-c", "import importlib.util as found, mdlib\nprint(mdlib.__file__)\n"
                    f"print(*filter(found.find_spec, {OUTSIDE_THE_CORE}))", cwd=tmp_path).split("\n")
    assert told == [str(core.packages / "mdlib/__init__.py"), "", ""]


def test_weights_of_all_papers_are_told(core, tmp_path):
    lines = core.run("mdlib", "weights", cwd=tmp_path).splitlines()
    assert {line.split()[0] for line in lines} == {"chest", "gated", "mims", "mdnet"}


def test_grad_cam_explains_a_torchvision_network(core, tmp_path):
    core.run("python", "-c", GRAD_CAM, cwd=tmp_path)


def test_a_png_is_predicted_with_its_page_and_a_dicom_file_is_one_error_that_names_the_extra(core, trained, tmp_path):
    checkpoint, png = trained
    with Image.open(png) as image:
        scan = dicom(tmp_path / "scan.dcm", np.asarray(image.convert("L")), 8)
    words = ["predict", "mdnet", "--checkpoint", str(checkpoint), "--device", "cpu", "--out"]
    told = core.run("python", "-c", PREDICT_TWICE, words, png, scan, cwd=tmp_path, code=1)
    assert "drawn phantoms" in told and "Traceback" not in told
    assert {path.name for path in (tmp_path / "png").iterdir()} == {
        "predictions.csv", "warnings.csv", "prediction.json", f"{png.name}.html"}
    assert told.splitlines()[-1] == (
        'Error: the package pydicom is not installed. Install it by: pip install "mdlib[dicom]"')


def test_a_shipped_network_is_predicted_with_right_after_installation(core, tmp_path):
    grey = np.random.default_rng(0).integers(0, 256, (140, 120), dtype=np.uint8)
    Image.fromarray(grey).save(tmp_path / "film.png")
    told = core.run("mdlib", "predict", "chest", "film.png", "--device", "cpu", "--out", "out", cwd=tmp_path)
    assert "densenet121" in told and "drawn phantoms" in told
    rows = (tmp_path / "out/predictions.csv").read_text().splitlines()
    assert len(rows) == 16 and (tmp_path / "out/film.png.html").exists()


def test_captions_are_one_error_that_names_the_extra(core, tmp_path):
    snippet = "from mdlib.evaluate import captions\ncaptions.scores(['a b'], [['a b']], meteor={})"
    for meteor in (False, True):
        said = core.run("python", "-c", snippet.format(meteor), cwd=tmp_path, code=1).splitlines()
        assert said[-1] == ("mdlib.extras.MissingExtraError: the package pycocoevalcap is not installed. "
                            'Install it by: pip install "mdlib[captions]"')


def test_notebooks_are_missed_at_once_outside_a_clone(core, tmp_path):
    started = time.monotonic()
    said = core.run("mdlib", "run", "chest", cwd=tmp_path, code=1).splitlines()
    assert time.monotonic() - started < 5 and list(tmp_path.iterdir()) == []
    assert len(said) == 1 and "Run mdlib from a clone of the project" in said[0]
