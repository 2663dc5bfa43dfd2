"""The chapters of the book, as the command line sees them: papers, and those that are still recipes."""

import dataclasses
import functools
import importlib
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from mdlib import runs
from mdlib.errors import SettingsError

if TYPE_CHECKING:
    import pandas as pd

PAPERS, RECIPES = ("chest", "gated"), ("mims", "mdnet")
CHAPTERS = (*PAPERS, *RECIPES)              # they have networks that are trained
PAGES = (*CHAPTERS, "performance")          # all that has notebooks


class PaperChapter:
    """A paper of mdlib.papers."""

    def __init__(self, name: str):
        from mdlib.study import study

        self.paper = importlib.import_module(f"mdlib.papers.{name}").PAPER
        self.choose, self.weights, self.grid = self.paper.choose, self.paper.weights, self.paper.grid
        self.open, self.write_phantoms = functools.partial(study.open, self.paper), self.paper.write_phantoms

    def train_all(self, **parameters: Any) -> None:
        """Train every network of a run."""
        study = self.open(**parameters)
        study.train(study.planned)

    def publish(self, name: str, grid: bool, **parameters: Any) -> Path:
        """Write the figures and the manifest of a run to data/results."""
        from mdlib.study import results

        study = self.open(**parameters)
        figures = (self.paper.publish_grid if grid else self.paper.publish)(study)
        return results.write(self.paper.name, f"{'grid' if grid else 'runs'}/{name}", study.run, figures)

    def ship(self, command: str, **parameters: Any) -> "pd.DataFrame":
        """Train and write the networks that come with mdlib; a table of them."""
        from mdlib.study import shipped

        study = self.open(**parameters)
        networks = [dataclasses.replace(run, seed=study.seed) for run in self.paper.shipped(study)]
        study.train(networks, adopt=False)
        for run in networks:
            shipped.ship(study, run, command)
        return shipped.table(self.paper.name)

    @property
    def predict(self) -> SimpleNamespace:
        """The functions `predict` and `description` that the command calls."""
        from mdlib.study import inference

        return SimpleNamespace(predict=functools.partial(inference.predict, self.paper),
                               description=functools.partial(inference.description, self.paper))


class RecipeChapter:
    """A chapter of mdlib.recipes, until it moves to the study layer."""

    def __init__(self, name: str):
        self.recipe = importlib.import_module(f"mdlib.recipes.{name}")
        self.choose, self.open = self.recipe.choose, self.recipe.start
        for shared in ("weights", "predict", "phantoms", "grid"):
            setattr(self, shared, getattr(self.recipe, shared, None))
        self.write_phantoms, self.grid = self.phantoms, self.grid and self.grid.GRID

    def train_all(self, **parameters: Any) -> None:
        """Train every network of a run."""
        self.recipe.train_all(self.open(**parameters))

    def publish(self, name: str, grid: bool, **parameters: Any) -> Path:
        """Write the figures and the manifest of a run to data/results."""
        return (self.recipe.kept.keep_grid if grid else self.recipe.kept.keep)(self.open(**parameters), name)


def load(name: str) -> PaperChapter | RecipeChapter:
    """A chapter; imported when it is needed, for torch takes seconds."""
    return PaperChapter(name) if name in PAPERS else RecipeChapter(name)


def shipped(name: str, network: str | None = None) -> Path:
    """The folder of a network that mdlib ships, by default that of the paper's default run.

    Raises SettingsError where the chapter has none, or not this one.
    """
    from mdlib.study import shipped

    known = shipped.names(name)
    network = network or (PaperChapter(name).paper.default_run.slug if name in PAPERS else None)
    if network not in known:
        raise SettingsError("no such network is shipped" if network else "it is needed: no network is shipped",
                            f"--network {network}" if network else "--checkpoint",
                            f"Known: {', '.join(known)}." if known else "Name the folder of one training, "
                            "RUN/networks/NAME.")
    return shipped.folder(name) / network


def run_folder(name: str, **parameters: Any) -> Path:
    """The run folder of a chapter for the parameters of its notebooks."""
    return runs.folder_of(name, **parameters)
