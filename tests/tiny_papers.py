"""One tiny run of each paper for all tests: what one test has trained, the others find."""

import pytest
from tiny_chest import TINY as TINY_CHEST
from tiny_mdnet import TINY as TINY_MDNET
from tiny_mims import TINY as TINY_MIMS

from mdlib.data.phantoms import chest as phantom_chest
from mdlib.data.phantoms import histology
from mdlib.data.phantoms import oct as phantom_oct
from mdlib.data.phantoms import tiles as phantom_tiles
from mdlib.data.phantoms.oct_places import Knobs


@pytest.fixture(scope="session")
def chest_phantoms(tmp_path_factory):
    """The folder of 60 phantom patients of 72 pixels."""
    return phantom_chest.write(tmp_path_factory.mktemp("chest") / "phantoms", patients=60, side=72)


@pytest.fixture(scope="session")
def chest_study(chest_phantoms, tmp_path_factory):
    """A study of chest on these phantoms; what is asked of it is trained then."""
    from mdlib.papers import chest

    return chest.open(data_dir=str(chest_phantoms), run_dir=str(tmp_path_factory.mktemp("run")), device="cpu",
                      overrides=TINY_CHEST)


@pytest.fixture(scope="session")
def tiny_chest(chest_study):
    """The same study, under the name that goes with tiny_mims and tiny_mdnet."""
    return chest_study


@pytest.fixture(scope="session")
def mims_phantoms(tmp_path_factory):
    """The folder of the volumes of 16 phantom patients, of 6 with lesions of one size, and of 86 tiles."""
    folder = tmp_path_factory.mktemp("mims")
    phantom_oct.write(folder / "oct", patients=16, workers=1)
    phantom_tiles.write(folder / "crc_msi", train=15, test=40, workers=1)
    phantom_oct.write(folder / "one_size", patients=6, seed=1, knobs=Knobs(width=(9.0, 15.0)), workers=1)
    return folder


@pytest.fixture(scope="session")
def tiny_mims(mims_phantoms, tmp_path_factory):
    """Chapter 2 on these phantoms; what is asked of it is trained then."""
    from mdlib.recipes import mims

    return mims.start(data_dir=str(mims_phantoms), run_dir=str(tmp_path_factory.mktemp("run")), device="cpu",
                      overrides=TINY_MIMS)


@pytest.fixture(scope="session")
def mdnet_phantoms(tmp_path_factory):
    """The folder of 72 phantom images of bladder tissue, of 12 patients, with five reports each."""
    return histology.write(tmp_path_factory.mktemp("mdnet") / "phantoms", patients=12, images=6, workers=1)


@pytest.fixture(scope="session")
def tiny_mdnet(mdnet_phantoms, tmp_path_factory):
    """Chapter 5 on these phantoms; what is asked of it is trained then."""
    from mdlib.recipes import mdnet

    return mdnet.start(data_dir=str(mdnet_phantoms), run_dir=str(tmp_path_factory.mktemp("run")), device="cpu",
                       overrides=TINY_MDNET)
