"""The rules of the house (book/design.md), checked on the source text."""

import ast
import json
import re
import tomllib
from itertools import chain, pairwise
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
GROUND = {"errors", "extras", "files", "parallel", "progress", "reproducible"}
LAYERS = {"data", "models", "training", "explain", "evaluate"}
MAY_IMPORT = {
    **{ground: GROUND for ground in GROUND},
    **{layer: GROUND for layer in LAYERS},
    "runs": GROUND,
    "recipes": GROUND | LAYERS | {"runs"},
    "widgets": GROUND | {"explain.overlay", "evaluate"},
    "batch": GROUND | {"runs"},
    "cli": GROUND | LAYERS | {"runs", "recipes", "widgets", "batch"},
    "__main__": {"cli"},
}
SOURCES = sorted((ROOT / "mdlib").rglob("*.py"))
NOTEBOOKS = sorted((ROOT / "notebooks").rglob("*.ipynb"))


def imported(path: Path) -> set[str]:
    """Dotted names below mdlib that a file imports."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name.removeprefix("mdlib.") for name in names if name.startswith("mdlib.")}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_imports_only_what_lies_below_it(path):
    place = path.relative_to(ROOT / "mdlib").with_suffix("").parts[0]
    if place == "__init__":
        assert not imported(path)
        return
    allowed = MAY_IMPORT[place] | {place}
    for name in imported(path):
        assert any(f"{name}.".startswith(f"{other}.") for other in allowed), f"{path} imports mdlib.{name}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_is_short_and_has_a_docstring(path):
    text = path.read_text()
    assert len(text.splitlines()) <= 300
    assert not text.strip() or ast.get_docstring(ast.parse(text)), f"{path} does not say what it is"


def cells(path: Path, kind: str) -> list[str]:
    return ["".join(cell["source"]) for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == kind]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_defines_nothing_and_has_short_cells_after_prose(path):
    for cell in cells(path, "code"):
        tree = ast.parse(cell)
        assert not [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Lambda)]
        assert len(cell.splitlines()) <= 15, cell
        assert not re.search(r"^\s*[!%]|['\"]/(home|root|work|data|mnt|tmp)|\.cuda\(", cell, re.M), cell
    order = [cell["cell_type"] for cell in json.loads(path.read_text())["cells"]]
    assert order[0] == "markdown"
    assert all(before == "markdown" for before, cell in pairwise(order) if cell == "code")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_has_one_parameters_cell_and_no_stored_pictures(path):
    notebook = json.loads(path.read_text())
    tagged = [c for c in notebook["cells"] if "parameters" in c.get("metadata", {}).get("tags", [])]
    assert len(tagged) == 1
    for cell in notebook["cells"]:
        compared = "nbval-check-output" in cell["metadata"].get("tags", [])
        assert bool(cell.get("outputs")) == compared, f"nbval compares nothing without an output: {cell['source']}"
        assert not compared or cell["execution_count"]


def wanted_packages() -> set[str]:
    """What pyproject.toml asks for, with all extras; `all` must name each of the others."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    assert extras.pop("all") == [f"mdlib[{','.join(sorted(extras))}]"]
    return {*project["dependencies"], *chain(*extras.values())}


def test_environment_yml_asks_for_what_pyproject_asks_for():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    *conda, by_pip = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    assert by_pip["pip"][-1] == "-e ."
    found = {name.replace("pytorch", "torch") for name in [*conda, *by_pip["pip"][:-1]]}
    assert found == wanted_packages() | {f"python{project['requires-python']}", "pip"}


def test_the_lock_pins_every_dependency_and_keeps_nvidia_off_other_systems():
    lock = (ROOT / "requirements.lock").read_text().splitlines()
    pins = {re.match(r"[A-Za-z0-9_.-]+", line)[0]: line for line in lock if line[:1].isalnum()}
    for wanted in wanted_packages():
        assert "==" in pins[re.match(r"[A-Za-z0-9_.-]+", wanted)[0].lower()]
    assert "torch==2.14.1" in pins["torch"] and "torchvision==0.29.1" in pins["torchvision"]
    assert pins["jupyter-book"].startswith("jupyter-book==1.0.")
    for name, line in pins.items():
        if name.startswith(("nvidia-", "cuda-", "triton")):
            assert "sys_platform == 'linux'" in line, line
    assert not [line for line in lock if "://" in line]


@pytest.mark.parametrize("page", ["README.md", "data/README.md"])
def test_every_local_link_of_a_page_leads_somewhere(page):
    links = re.findall(r"\]\((?!https?:)([^)#]+)", (ROOT / page).read_text())
    assert page != "README.md" or "book/assets/explorer.png" in links
    for link in links:
        assert ((ROOT / page).parent / link).exists(), link


def test_every_module_stands_in_the_reference():
    named = {name for page in (ROOT / "book/reference").glob("*.md")
             for name in re.findall(r"automodule:: mdlib\.(\S+)", page.read_text())}
    modules = {".".join(path.relative_to(ROOT / "mdlib").with_suffix("").parts) for path in SOURCES
               if path.stem not in ("__init__", "__main__", "cli")}
    parts = {name for name in modules if name.startswith("data.phantoms.") and name.rpartition("_")[0] in modules}
    assert modules - named - parts == set()


def test_every_notebook_and_page_stands_in_the_contents():
    contents = (ROOT / "book/_toc.yml").read_text()
    pages = {str(path.relative_to(ROOT).with_suffix("")) for path in [*NOTEBOOKS, *(ROOT / "book").rglob("*.md")]}
    assert {page for page in pages if not re.search(rf"\b{page}$", contents, re.M)} == set()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_no_line_of_prose_is_a_comment_by_accident(path):
    """MyST drops a line that begins with a percent sign, as one that is wrapped behind a number may."""
    assert not [line for text in cells(path, "markdown") for line in text.splitlines() if line.startswith("%")]
