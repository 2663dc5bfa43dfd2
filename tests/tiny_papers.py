"""One tiny run of each paper for all tests: `tiny_…` opens it, `trained_…` also trains the networks that tests share.

A test that changes a trained network, or trains one, does so in a run folder of its own. Most of the shared ones are
trained in this process: to start another takes longer than all their trainings.
"""

from collections.abc import Iterable
from pathlib import Path

import pytest

from mdlib.data.phantoms import breast as phantom_breast
from mdlib.data.phantoms import chest as phantom_chest
from mdlib.data.phantoms import fungi as phantom_fungi
from mdlib.data.phantoms import histology
from mdlib.data.phantoms import oct as phantom_oct
from mdlib.data.phantoms import tiles as phantom_tiles
from mdlib.data.phantoms.oct_places import Knobs


def check_shared(folder: Path, shared: Iterable) -> None:
    """Fail where a test has trained another network in the run folder that all tests share."""
    others = {path.name for path in (folder / "networks").glob("*")} - {run.slug for run in shared}
    assert not others, f"trained in the run folder that all tests share: {', '.join(sorted(others))}"


@pytest.fixture(scope="session")
def chest_phantoms(tmp_path_factory):
    """The folder of 60 phantom patients of 72 pixels."""
    return phantom_chest.write(tmp_path_factory.mktemp("chest") / "phantoms", patients=60, side=72)


@pytest.fixture(scope="session")
def tiny_chest(chest_phantoms, tmp_path_factory):
    """A study of chest on these phantoms."""
    from tiny_chest import TINY, TRAINED

    from mdlib.papers import chest

    study = chest.open(data_dir=str(chest_phantoms), run_dir=str(tmp_path_factory.mktemp("run")), device="cpu",
                       overrides=TINY)
    yield study
    check_shared(study.folder, TRAINED)


@pytest.fixture(scope="session")
def trained_chest(tiny_chest):
    """The study with its networks, trained in local processes."""
    from tiny_chest import TRAINED

    tiny_chest.train(TRAINED)
    return tiny_chest


@pytest.fixture(scope="session")
def gated_phantoms(tmp_path_factory):
    """The folder of 40 phantom pictures of fungi, of 20 patients, and 16 of breast tissue, of as many."""
    folder = tmp_path_factory.mktemp("gated") / "phantoms"
    phantom_fungi.write(folder / "fungi", patients=4, pictures=2, workers=1)
    phantom_breast.write(folder / "breast", patients=4, pictures=1, height=256, width=320, workers=1)
    return folder


@pytest.fixture(scope="session")
def tiny_gated(gated_phantoms, tmp_path_factory):
    """A study of the gated chapter on these phantoms."""
    from tiny_gated import TINY, TRAINED

    from mdlib.papers import gated

    study = gated.open(data_dir=str(gated_phantoms), run_dir=str(tmp_path_factory.mktemp("run")), device="cpu",
                       overrides=TINY)
    yield study
    check_shared(study.folder, TRAINED)


@pytest.fixture(scope="session")
def trained_gated(tiny_gated):
    """The study with its networks: one trained in a local process, the others in this one."""
    from tiny_gated import TRAINED

    from mdlib.study.study import train_one

    tiny_gated.train(TRAINED[:1])
    for run in TRAINED[1:]:
        train_one(tiny_gated, run, tiny_gated.fabric())
    return tiny_gated


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
    """Chapter 2 on these phantoms."""
    from tiny_mims import TINY

    from mdlib.recipes import mims

    chapter = mims.start(data_dir=str(mims_phantoms), run_dir=str(tmp_path_factory.mktemp("run")), device="cpu",
                         overrides=TINY)
    yield chapter
    check_shared(chapter.run.folder, [mims.trainings.PRETEXT, *mims.planned(chapter)])


@pytest.fixture(scope="session")
def trained_mims(tiny_mims):
    """The chapter with all networks it plans: two trained in local processes, the others in this one."""
    from mdlib.recipes import mims

    mims.train_all(tiny_mims, [mims.Training("mims", "cirrus"), mims.Training("mims_patchcls", "cirrus")])
    for training in mims.planned(tiny_mims):
        mims.train_all(tiny_mims, [training])
    return tiny_mims


@pytest.fixture(scope="session")
def mdnet_phantoms(tmp_path_factory):
    """The folder of 72 phantom images of bladder tissue, of 12 patients, with five reports each."""
    return histology.write(tmp_path_factory.mktemp("mdnet") / "phantoms", patients=12, images=6, workers=1)


@pytest.fixture(scope="session")
def tiny_mdnet(mdnet_phantoms, tmp_path_factory):
    """Chapter 5 on these phantoms."""
    from tiny_mdnet import TESTED, TINY, TRAINED

    from mdlib.recipes import mdnet
    from mdlib.recipes.mdnet import recognition

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recognition, "TESTED", TESTED)
        chapter = mdnet.start(data_dir=str(mdnet_phantoms), run_dir=str(tmp_path_factory.mktemp("run")), device="cpu",
                              overrides=TINY)
        yield chapter
    check_shared(chapter.run.folder, TRAINED)


@pytest.fixture(scope="session")
def trained_mdnet(tiny_mdnet):
    """The chapter with its networks: two trained in local processes, the others in this one."""
    from tiny_mdnet import TRAINED

    from mdlib.recipes import mdnet

    mdnet.train_all(tiny_mdnet, TRAINED[:2])
    for training in TRAINED:
        mdnet.train_all(tiny_mdnet, [training])
    return tiny_mdnet
