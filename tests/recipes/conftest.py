"""One tiny run of the recipe of chest for its tests: what one test has trained, the others find."""

import pytest
from tiny_chest import TINY

from mdlib.data.phantoms import chest as phantom_chest
from mdlib.recipes import chest


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory):
    """The folder of 60 phantom patients of 72 pixels."""
    return phantom_chest.write(tmp_path_factory.mktemp("chest") / "phantoms", patients=60, side=72)


@pytest.fixture(scope="session")
def tiny(phantoms, tmp_path_factory):
    """A chapter on these phantoms; what is asked of it is trained then."""
    return chest.start(data_dir=str(phantoms), run_dir=str(tmp_path_factory.mktemp("run")), device="cpu",
                       overrides=TINY)
