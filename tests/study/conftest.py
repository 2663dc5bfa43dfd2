"""Trained networks of every paper: what `mdlib predict` must do, it must do for all of them."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from mdlib.recipes import mdnet, mims
from mdlib.recipes import trainings as recipes
from mdlib.recipes.mdnet.card import ORIGIN as MDNET
from mdlib.recipes.mims.card import ORIGIN as MIMS
from mdlib.study.bundle import Origin


@dataclass
class Trained:
    """Two trained networks of a paper, one that has no card, and what they are applied to."""

    paper: Origin
    folder: Path            # of the first training
    run: object             # and what it is
    other: Path             # of the second one
    without_card: Path
    why: str                # there is no card, as the error says
    unit: str               # of the table
    rows: int               # of one unit
    sources: list[Path]     # test images or volumes
    classes: tuple[str, ...]
    wrong_run: dict         # the fields of a run whose network has other weights
    reads_dicom: bool = True


@pytest.fixture(scope="session")
def of_chest(trained_chest):
    from tiny_chest import ATTENTION, IMAGE, NONIMAGE

    from mdlib.papers.chest import CLASSES, PAPER

    first, other, without_card = map(trained_chest.run_folder, (IMAGE, NONIMAGE, ATTENTION))
    names = trained_chest.data.table["image"].iloc[trained_chest.data.rows("test")]
    return Trained(PAPER, first, IMAGE, other, without_card, "fitted to the validation part", "image", 15,
                   trained_chest.data.xrays.paths(names), CLASSES, {"network": "resnet50"})


@pytest.fixture(scope="session")
def of_gated(trained_gated):
    from tiny_gated import OURS, SE, TRUTH

    from mdlib.papers.gated import PAPER

    first, other, without_card = map(trained_gated.run_folder, (OURS, SE, TRUTH))
    paths = trained_gated.data.of(OURS).paths()
    return Trained(PAPER, first, OURS, other, without_card, "given the true boxes", "image", 5,
                   [paths[row] for row in trained_gated.data.rows("test", OURS)], trained_gated.data.classes(OURS),
                   {"n": 2}, reads_dicom=False)


@pytest.fixture(scope="session")
def of_mims(trained_mims):
    runs = [mims.Training("mims", "cirrus"), mims.Training("mims_patchcls", "cirrus")]
    bags = trained_mims.bags("cirrus")
    first = bags.table["first"].iloc[mims.predictions(trained_mims, runs[0])["row"]]
    folders = [recipes.folder(trained_mims, run) for run in (*runs, mims.trainings.PRETEXT)]
    return Trained(MIMS, folders[0], runs[0], folders[1], folders[2] / "stage0", "others start from", "volume", 1,
                   [bags.paths()[row].parent for row in first], bags.classes,
                   {"method": "mi_pre", "collection": "cirrus"})


@pytest.fixture(scope="session")
def of_mdnet(trained_mdnet):
    runs = [mdnet.Training(row) for row in ("mdnet", "mdnet_original", "ecnet")]
    folders = [recipes.folder(trained_mdnet, run) for run in runs]
    files = trained_mdnet.reports.paths()
    return Trained(MDNET, folders[0], runs[0], folders[1], folders[2], "write no report", "image", 1,
                   [files[row] for row in mdnet.predictions(trained_mdnet, runs[0])["row"]],
                   trained_mdnet.reports.classes, {"row": "baseline_en"})


@pytest.fixture(params=["chest", "gated", "mims", "mdnet"])
def trained(request) -> Trained:
    return request.getfixturevalue(f"of_{request.param}")
