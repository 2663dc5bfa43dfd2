"""The data page of chapter 2: what it shows is what is there, whatever collections a folder has."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from tiny_mims import TINY

from mdlib.recipes import mims
from mdlib.recipes.mims import exhibits_data


@pytest.fixture(scope="module")
def whole(mims_phantoms, tmp_path_factory):
    """The phantoms with the 30 central slices of the page."""
    return mims.start(data_dir=str(mims_phantoms), run_dir=str(tmp_path_factory.mktemp("run")), device="cpu",
                      overrides=TINY | {"central": 30, "fewest": 12, "most": 18})


def test_only_settings_that_differ_from_the_papers_are_shown(whole):
    table = exhibits_data.settings(whole)
    assert "iterations" in table.index and "central" not in table.index
    assert (table["this run"] != table["paper profile"]).all()


def test_the_parts_of_a_collection_add_up_and_stand_beside_the_papers_classes(whole):
    table = exhibits_data.collections(whole)
    for collection, of in table.groupby(level="collection"):
        of = of.droplevel("collection")
        assert of.loc["all", ["bags", "slices"]].equals(of.drop("all")[["bags", "slices"]].sum()), collection
    assert table.loc[("Cirrus", "all"), "paper"] == "239 normal, 100 DME"
    assert table.loc[("CRC-MSI", "train"), "classes"] == "15 MSS, 15 MSIMUT"


def test_cysts_are_those_of_the_truth_and_are_cut_with_their_volume(whole, tiny_mims):
    found = exhibits_data.lesions(whole).rename(columns={"bag": "volume"})
    truth = pd.read_csv(whole.bags("cirrus").truth / "lesions.csv")
    both = found.merge(truth, on=["volume", "lesion"], suffixes=("", "_known"))
    assert len(both) == len(found) == len(truth)
    assert (both["width"] == both["width_known"]).all()
    assert (both["slices"] == both["last"] - both["first"] + 1).all()
    fewer = exhibits_data.lesions(tiny_mims)
    assert fewer["slice"].between(0, TINY["central"] - 1).all() and fewer["slices"].max() <= TINY["central"]


def test_examples_are_of_their_class_and_the_test_part_around_the_middle(whole):
    for k in (0, 1):
        found = exhibits_data.examples(whole, "cirrus", k)
        assert {row for row, _ in found} <= set(whole.part("cirrus", "test")) and len({row for row, _ in found}) == 1
        assert [where for _, where in found] == [9, 12, 15, 18]
        assert whole.bags("cirrus").targets[found[0][0]] == k
    assert len({row for row, _ in exhibits_data.examples(whole, "crc_msi", 1)}) == 4


def test_every_figure_is_drawn(whole):
    assert len(exhibits_data.volumes(whole).axes) == 16
    assert len(exhibits_data.extremes(whole).axes) == 6
    assert len(exhibits_data.greys(whole).axes) == len(exhibits_data.bag_sizes(whole).axes) == 3
    counts = sum(patch.get_height() for patch in exhibits_data.scale(whole).axes[0].patches)
    assert counts == len(exhibits_data.lesions(whole))
    for of in (exhibits_data.twins, exhibits_data.tiles, exhibits_data.stain):
        assert isinstance(of(whole), Figure)


def test_each_step_draws_its_own_12_to_18_slices_and_testing_takes_all(whole):
    *steps, test = [line.get_xdata().tolist() for line in exhibits_data.drawn(whole).axes[0].lines]
    assert test == list(range(30)) and all(12 <= len(step) <= 18 and set(step) <= set(test) for step in steps)
    assert len({tuple(step) for step in steps}) == 3
    again = [line.get_xdata().tolist() for line in exhibits_data.drawn(whole).axes[0].lines]
    assert again == [*steps, test], "drawn from the seed of the run"


def test_a_colour_is_the_mean_over_the_pixels_of_the_file(whole):
    bags, rows = whole.bags("crc_msi"), whole.part("crc_msi", "train")
    table = exhibits_data.colours(whole, "crc_msi", "train")
    first = rows[bags.targets[rows] == 0][0]
    np.testing.assert_allclose(table.loc[0, [0, 1, 2]].astype(float), bags.read(first).mean(axis=(0, 1)), rtol=1e-5)
    assert table["label"].value_counts().to_dict() == {"MSS": 15, "MSIMUT": 15}


def test_the_leak_counts_the_patients_of_both_parts(whole):
    patient = whole.bags("crc_msi").table["patient"]
    tuning, test = (set(patient.iloc[whole.part("crc_msi", part)]) for part in ("tuning", "test"))
    assert exhibits_data.leak(whole).startswith(f"{len(tuning & test)} patients are in both sets: ")


def test_a_folder_of_tiles_alone_gives_sentences_where_it_has_no_volumes(mims_phantoms, tmp_path):
    chapter = mims.start(data_dir=str(mims_phantoms / "crc_msi"), run_dir=str(tmp_path), device="cpu", overrides=TINY)
    assert exhibits_data.volumes(chapter) == exhibits_data.NO_VOLUMES
    assert {of(chapter) for of in (exhibits_data.scale, exhibits_data.extremes, exhibits_data.twins)} == {
        exhibits_data.NO_TRUTH}
    assert exhibits_data.drawn(chapter).startswith("No volume of this run has more than 5 slices")
    titles = [axis.get_title() for axis in exhibits_data.tiles(chapter).axes]
    assert set(titles) - {""} == {f"{part}, {label}" for part in ("train", "test") for label in ("MSS", "MSIMUT")}


def test_real_eyes_are_shown_with_their_bag_sizes(real_data, tmp_path):
    chapter = mims.start(data_dir=str(real_data / "oct_dme"), run_dir=str(tmp_path), device="cpu",
                         overrides=TINY | {"collections": ["oct_dme", "oct_dme_matched"]})
    bars = [bar.get_height() for bar in exhibits_data.bag_sizes(chapter).axes[0].patches]
    assert bars == [661, 37, 5, 3, 1]
    assert len(exhibits_data.volumes(chapter).axes) == 16
    assert exhibits_data.twins(chapter) == exhibits_data.NO_TRUTH
    assert exhibits_data.leak(chapter) == exhibits_data.stain(chapter) == exhibits_data.NO_TILES
    table = exhibits_data.collections(chapter)
    assert table.loc[("all eyes", "all"), ["bags", "patients", "slices"]].tolist() == [707, 564, 769]
