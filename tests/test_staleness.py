"""What a change of the code makes stale: trained networks, cached tables, executed notebooks (design, section 4)."""

import json
import shutil

import pytest

from mdlib import runs, source_code
from mdlib.batch import papermill_runs
from mdlib.errors import SettingsError

NETWORKS, TABLES, NOTEBOOKS = {"networks", "tables", "notebooks"}, {"tables", "notebooks"}, {"notebooks"}
ALWAYS = {          # whatever the paper
    "training/loop.py": NETWORKS, "files.py": NETWORKS, "models/backbones.py": NETWORKS,
    "data/phantoms/oct.py": TABLES, "models/mims.py": TABLES,                              # of other papers
    "explain/gradients.py": TABLES, "evaluate/classification.py": TABLES, "study/study.py": TABLES,
    "study/saliency.py": TABLES, "study/tables.py": TABLES, "data/checks/limits.py": TABLES,
    "study/plots.py": NOTEBOOKS, "study/map_plots.py": NOTEBOOKS, "study/pages.py": NOTEBOOKS,
    "widgets/explorer.py": NOTEBOOKS, "widgets/explorer.css": NOTEBOOKS, "widgets/explorer.js": NOTEBOOKS,
    "errors.py": TABLES, "recipes/mims/plan.py": set(), "progress.py": set(),
    "cli.py": set(), "chapters.py": set(), "batch/papermill_runs.py": set(),
}
STALE = {
    "chest": ALWAYS | {
        "papers/chest/settings.py": NETWORKS, "papers/chest/data.py": NETWORKS, "papers/chest/networks.py": NETWORKS,
        "papers/chest/training.py": NETWORKS, "data/samples.py": NETWORKS, "models/attention.py": NETWORKS,
        "data/phantoms/chest_film.py": NETWORKS, "papers/chest/exhibits.py": TABLES,
        "papers/chest/annotations.py": TABLES, "data/bags.py": TABLES, "papers/gated/settings.py": set()},
    "gated": ALWAYS | {
        "papers/gated/settings.py": NETWORKS, "papers/gated/data.py": NETWORKS, "papers/gated/networks.py": NETWORKS,
        "papers/gated/training.py": NETWORKS, "data/pictures.py": NETWORKS, "data/bags.py": NETWORKS,
        "data/bach.py": NETWORKS, "data/phantoms/fungi_heads.py": NETWORKS, "data/phantoms/breast.py": NETWORKS,
        "models/instance_fusion.py": NETWORKS, "models/channel_attention.py": NETWORKS, "models/crops.py": NETWORKS,
        "papers/gated/exhibits.py": TABLES, "papers/gated/coverage_tables.py": TABLES, "evaluate/coverage.py": TABLES,
        "models/attention.py": TABLES, "data/phantoms/chest_film.py": TABLES, "papers/chest/settings.py": set()},
}


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A copy of the package whose fingerprints are taken."""
    copy = tmp_path / "mdlib"
    shutil.copytree(runs.PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(runs, "PACKAGE", copy)
    return copy


def fingerprints(paper="chest"):
    return {"networks": runs.training_code(paper), "tables": runs.table_code(paper),
            "notebooks": runs.notebook_code(paper)}


@pytest.mark.parametrize("paper", STALE)
def test_a_changed_line_makes_stale_what_depends_on_its_module(package, paper):
    for name, stale in STALE[paper].items():
        before, path = fingerprints(paper), package / name
        path.write_text(path.read_text() + ("\n/* changed */" if name.endswith("css") else "\nCHANGED = 1"))
        after = fingerprints(paper)
        assert {what for what in before if before[what] != after[what]} == stale, name


def test_a_recipe_depends_on_all_of_its_own_modules_and_on_no_paper(package):
    before = fingerprints("mims")
    path = package / "papers/chest/settings.py"
    path.write_text(path.read_text() + "\nCHANGED = 1")
    assert fingerprints("mims") == before
    path = package / "recipes/mims/plan.py"
    path.write_text(path.read_text() + "\nCHANGED = 1")
    assert not set(fingerprints("mims").items()) & set(before.items())


def test_comments_and_docstrings_decide_no_network(package):
    before, path = fingerprints(), package / "models/attention_densenet.py"
    path.write_text('"""Another description.\n' + path.read_text().removeprefix('"""') + "\n# A comment.\n")
    after = fingerprints()
    assert after["networks"] == before["networks"] and after["tables"] != before["tables"]


def test_statements_keep_what_is_no_comment():
    source = '''"""Of the module,

on lines."""
x = "# no comment"     # a comment
def f():
    """Of the function."""
    # a comment

    return """no docstring"""
def é(): """Of one line."""
def g(): """Of one line."""; return 2
'''
    assert source_code.statements(source).splitlines() == [
        'x = "# no comment"', "def f():", '    return """no docstring"""', "def é():", "def g(): ; return 2"]


def test_a_paper_that_does_not_exist_is_named():
    with pytest.raises(SettingsError, match="retina"):
        runs.training_code("retina")


def test_a_renamed_module_is_a_change(package):
    before = fingerprints()
    (package / "study/plots.py").rename(package / "study/figures.py")
    assert fingerprints()["notebooks"] != before["notebooks"]


def test_a_changed_sentence_needs_no_run_and_a_changed_cell_or_published_figure_does(tmp_path, monkeypatch):
    monkeypatch.setattr(papermill_runs, "home", lambda: tmp_path)
    page = tmp_path / "notebooks/1_chest/1_data.ipynb"
    published = tmp_path / "data/results/chest/a.json"
    for path in (page, published):
        path.parent.mkdir(parents=True)

    def asked(text="A sentence.", code="x = 1", figure="1"):
        page.write_text(json.dumps({"cells": [{"cell_type": "markdown", "source": [text]},
                                              {"cell_type": "code", "source": [code]}]}))
        published.write_text(figure)
        return papermill_runs.question(page, {})
    assert asked() == asked(text="Another sentence.")
    assert len({asked(), asked(code="x = 2"), asked(figure="2")}) == 3
