"""The rules of the house (book/design.md), checked on the source text."""

import ast
import json
import re
import tomllib
from functools import cache
from itertools import chain, pairwise
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
NOT_YET_PAPERS = {"recipes.mims", "recipes.mdnet", "recipes.performance"}      # they make text until they move
GROUND = {"errors", "extras", "files", "parallel", "progress", "reproducible", "source_code"}
LAYERS = {"data", "models", "training", "explain", "evaluate"}
STUDY = GROUND | LAYERS | {"runs"}
MAY_IMPORT = {                  # beside itself; of the entries that fit a module the longest counts
    **{ground: GROUND for ground in GROUND},
    **{layer: GROUND for layer in LAYERS},
    "runs": GROUND,
    "widgets": GROUND | {"explain.overlay"},
    "study": STUDY | {"widgets.dataframes"},
    "study.cases": STUDY | {"study", "widgets.records"},
    "papers": STUDY | {"study", "widgets.records"},
    "recipes": STUDY | {"study"},
    "batch": GROUND | {"runs"},
    "batch.book": GROUND | {"runs", "chapters"},
    "chapters": STUDY | {"study", "papers", "recipes"},
    "cli": STUDY | {"study", "papers", "recipes", "widgets", "batch", "chapters"},
    "__main__": {"cli"},
}
SOURCES = sorted((ROOT / "mdlib").rglob("*.py"))
NOTEBOOKS = sorted((ROOT / "notebooks").rglob("*.ipynb"))
PAPERS = [path for path in NOTEBOOKS if path.parent.name in ("1_chest", "3_gated")]     # built on the study layer


def name_of(path: Path) -> str:
    """The dotted name of a module below mdlib; "" for mdlib itself."""
    return ".".join(path.relative_to(ROOT / "mdlib").with_suffix("").parts).removesuffix("__init__").rstrip(".")


MODULES = {name_of(path): path for path in SOURCES}


def names_in(nodes) -> set[str]:
    """Dotted names below mdlib that import statements bring in."""
    names = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name.removeprefix("mdlib.") for name in names if name.startswith("mdlib.")}


def imported(path: Path) -> set[str]:
    """Names below mdlib that a file imports, anywhere in it."""
    return imported_by(path.read_text())


def imported_by(code: str) -> set[str]:
    return names_in(ast.walk(ast.parse(code)))


def within(name: str, places: set[str]) -> bool:
    return any(f"{name}.".startswith(f"{place}.") for place in places)


def packages_of(place: str) -> set[str]:
    """The packages of `place`, "papers" or "recipes"."""
    return {f"{place}.{path.parent.name}" for path in (ROOT / "mdlib" / place).glob("*/__init__.py")}


@cache
def imported_when_loaded() -> dict[str, set[str]]:
    """For each module the modules that are loaded before it is complete: not what its functions import."""
    def statements(body):
        for node in body:
            typing_only = isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or typing_only:
                continue
            yield node
            for part in ("body", "orelse", "finalbody"):
                yield from statements(getattr(node, part, []))
    found = {}
    for module, path in MODULES.items():
        names = names_in(statements(ast.parse(path.read_text()).body))
        found[module] = {name if name in MODULES else name.rpartition(".")[0] for name in names} & MODULES.keys()
    return found


def reached(graph: dict[str, set[str]], start: str) -> set[str]:
    found, ahead = set(), [*graph[start]]
    while ahead:
        module = ahead.pop()
        if module not in found:
            found.add(module)
            ahead += graph[module]
    return found


def circles(graph: dict[str, set[str]]) -> list[set[str]]:
    """The strongly connected parts of a graph that hold a circle."""
    ahead = {module: reached(graph, module) for module in graph}
    parts = {frozenset(other for other in ahead[module] if module in ahead[other]) for module in graph}
    return [set(part) for part in parts if part]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_imports_only_what_lies_below_it(path):
    module = name_of(path)
    if not module:
        assert not imported(path)
        return
    places = [place for place in MAY_IMPORT if within(module, {place})]
    assert places, f"{path} belongs nowhere"
    allowed = MAY_IMPORT[max(places, key=len)] | {module.partition(".")[0]}
    assert {name for name in imported(path) if not within(name, allowed)} == set()


@pytest.mark.parametrize("place", ["papers", "recipes"])
def test_papers_are_strangers_to_one_another(place):
    packages = packages_of(place)
    for module, path in MODULES.items():
        if within(module, {place}):
            others = {other for other in packages if not within(module, {other})}
            assert {name for name in imported(path) if within(name, others)} == set(), module


def test_circles_of_imports_are_found():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}, "e": set()}) == [{"a", "b", "c"}]
    assert circles({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


def test_no_modules_import_one_another_in_a_circle():
    assert circles(imported_when_loaded()) == []


def test_the_study_layer_is_small():
    assert sum(len(path.read_text().splitlines()) for path in (ROOT / "mdlib/study").rglob("*.py")) <= 2200


@pytest.mark.parametrize("module", [module for module in MODULES if not within(module, NOT_YET_PAPERS)])
def test_sentences_of_the_book_stand_in_its_pages_and_not_in_modules(module):
    text = MODULES[module].read_text()
    assert not re.search(r"^\s*(import|from) IPython\b", text, re.M) and "Markdown(" not in text


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_is_short_and_has_a_docstring(path):
    text = path.read_text()
    assert len(text.splitlines()) <= 300
    assert not text.strip() or ast.get_docstring(ast.parse(text)), f"{path} does not say what it is"


def cells(path: Path, kind: str) -> list[str]:
    return ["".join(cell["source"]) for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == kind]


def is_one_call(cell: str, functions: set[str]) -> bool:
    """Whether a cell is nothing but one call of a function, or of what a module holds, of these names."""
    body = ast.parse(cell).body
    if len(body) != 1 or not isinstance(body[0], ast.Expr) or not isinstance(node := body[0].value, ast.Call):
        return False
    while not isinstance(node, ast.Name):
        node = getattr(node, "func", None) or getattr(node, "value", None)
        if node is None:
            return False
    return node.id in functions


def names_of_papers(path: Path) -> set[str]:
    """The names that the cells of a notebook import from a paper."""
    nodes = chain(*(ast.walk(ast.parse(cell)) for cell in cells(path, "code")))
    return {alias.asname or alias.name for node in nodes if isinstance(node, ast.ImportFrom)
            and (node.module or "").startswith("mdlib.papers") for alias in node.names}


@pytest.mark.parametrize("path", PAPERS, ids=lambda path: path.name)
def test_a_notebook_of_a_paper_imports_from_the_libraries_or_from_study(path):
    used = set().union(*(imported_by(cell) for cell in cells(path, "code")))
    assert any(within(name, LAYERS | {"study"}) for name in used)


def test_a_cell_that_is_one_call_is_told_from_others():
    for cell in ("fig2.figure(study, 3)", "causes.figure(causes.examples(study)).round(3)", "chest.weights()"):
        assert is_one_call(cell, {"fig2", "causes", "chest"})
    for cell in ("a = fig2.figure(x)", "table.round(3)", "fig2.figure(x)\nfig2.figure(y)", "fig2.WIDTH", "[1].pop()"):
        assert not is_one_call(cell, {"fig2"})


def test_few_cells_of_papers_are_one_call_of_a_function_of_the_paper():
    """The pages show how the libraries are used: what a cell does must not be hidden behind a name of the paper."""
    count = {path: [is_one_call(cell, names_of_papers(path)) for cell in cells(path, "code")] for path in PAPERS}
    assert PAPERS and sum(map(sum, count.values())) <= 0.2 * sum(map(len, count.values()))
    assert {path.name: sum(found) for path, found in count.items() if sum(found) > 0.45 * len(found)} == {}


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
