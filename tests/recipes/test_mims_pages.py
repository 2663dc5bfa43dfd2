"""What the pages of chapter 2 show: tables and figures of a tiny run, and sentences where something is not known."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure

from mdlib.errors import SettingsError
from mdlib.recipes import mims
from mdlib.recipes.mims import attention, exhibits, kept, results
from mdlib.recipes.mims.methods import METHODS, PYRAMID
from mdlib.recipes.mims.plan import Training


@pytest.fixture(scope="module")
def tiles_only(trained_mims, tmp_path_factory):
    """The run on its tiles alone, with the networks that it has trained: no volume, no lesion."""
    folder = tmp_path_factory.mktemp("tiles")
    (folder / "networks").symlink_to(trained_mims.run.folder / "networks")
    return replace(trained_mims, run=replace(trained_mims.run, folder=folder),
                   found={"crc_msi": trained_mims.bags("crc_msi")})


def test_the_table_of_methods_says_what_each_network_is_built_from(tiny_mims):
    table = exhibits.methods()
    assert len(table) == len(METHODS) == 12
    assert table.loc["MI-Pre-Trident", "dilations"] == "1, 2, 3" and table.loc["SI-CNN", "BN and sw"] == "no"
    assert table.loc["FeatPyra-4,5", "its maps"] == "conv4 and conv5"
    for name, of in METHODS.items():
        model = mims.network(name, "cirrus", tiny_mims.settings)
        assert tuple(model.image_scales) == of.image_scales and set(model.secondary) == set(of.levels)


def test_the_schedule_is_that_of_appendix_a(tiny_mims):
    table = exhibits.schedule(tiny_mims)
    assert table.loc[("Spectralis", "train"), "starts from"] == "the network of Cirrus"
    assert table.loc["CRC-MSI"].index.tolist() == ["train", "tuning", "tuning"]
    assert table.loc[("Cirrus", "train"), "for"] == "iterations: 4"


def test_each_scale_is_multiplied_by_sw_times_the_factor_of_its_batch_norm(trained_mims):
    model = mims.network("mims", "cirrus", trained_mims.settings)
    part = model.secondary["layer4"].magnitude[1][2]      # kernel size 3, scale 1
    with torch.no_grad():
        part.sw.fill_(3)
        part.norm.weight.fill_(-2)
    factors = exhibits.scale_factors(model)
    assert factors.shape == (len(PYRAMID), 18)
    assert np.all(factors[2, 8:] == 6) and np.all(factors[2, :8] == 1) and np.all(factors[:2] == 1)
    assert isinstance(exhibits.learned_weights(trained_mims), Figure)
    assert isinstance(exhibits.curves(exhibits.losses(trained_mims)), Figure)


def test_a_step_is_timed_once_and_beside_mi_pre(tiny_mims):
    table = exhibits.step_cost(tiny_mims)
    assert table.loc["MI-Pre", "times MI-Pre"] == 1 and table.loc["MIMS", "seconds"] > 0
    pd.testing.assert_frame_equal(exhibits.step_cost(tiny_mims), table)


def test_volumes_are_held_by_size_against_all_without_a_lesion(trained_mims):
    table = exhibits.by_size(trained_mims)
    _, target, _ = results.tested(trained_mims, "cirrus")
    assert table.groupby("method")["positives"].sum().tolist() == [int(target.sum())] * table["method"].nunique()
    assert isinstance(exhibits.size_figure(table), Figure)
    assert set(exhibits.by_size(trained_mims, "one_size")["method"]) == {"mims"}


def test_what_one_size_taught_is_tested_on_the_volumes_of_cirrus(trained_mims):
    rows = mims.predictions(trained_mims, Training("mims", "one_size"))["row"].tolist()
    assert rows == trained_mims.part("cirrus", "test").tolist()
    assert "one_size" not in trained_mims.collections


def test_features_of_an_image_correlate_with_themselves(trained_mims):
    images = trained_mims.samples("crc_msi", "train").__getitems__([0, 1, 2])["bag"]
    model = mims.network("mi_pre", "crc_msi", trained_mims.settings).eval()
    assert all(-1 <= value < 1 for value in exhibits._correlations(model, images))
    table = exhibits.table_3(trained_mims)
    assert table["paper"].tolist() == [0.261, 0.451, 0.257] and table.columns[1:].tolist() == [
        "pre-trained", "random weights"]


def test_the_figures_of_the_attention_page_are_drawn(trained_mims):
    for make in (attention.steps, attention.picks, attention.at_each_scale):
        assert isinstance(make(trained_mims), Figure)


def test_the_conclusions_are_computed_from_the_tables(trained_mims):
    choice, *others = (mims.located.TABLES[name](trained_mims, "mims", "cirrus")
                       for name in ("slice_choice", "localised", "agreement"))
    share = choice.set_index("measure").loc["most suspicious slice has a lesion", "mean"]
    said = attention.conclusions(choice, *others).data
    assert f"In {share:.0%} of the volumes" in said and said.count("**Effect.**") == 3
    table = attention.table(others[0], "measures")
    assert "beyond" not in str(table.index.tolist()) and list(table.columns)[-1] == "mean of sizes"


def test_a_table_has_dashes_for_nan_one_kind_of_minus_and_no_name_of_its_only_method():
    found = pd.DataFrame({"measure": "effect", "method": "no image", "finding": [*mims.located.SIZES],
                          "mean": [np.nan, -0.04, 0.5], "low": [np.nan, -0.14, 0.4], "high": [np.nan, 0.0, 0.6]})
    table = attention.table(found, "effect")
    assert table.index.tolist() == ["effect"]
    assert table.loc["effect"].tolist() == ["–", "−0.04 (−0.14 to +0.00)", "0.50 (0.40–0.60)"]
    two = attention.table(pd.concat([found, found.assign(method="picked instances")]), "effect")
    assert two.index.tolist() == [("effect", "no image"), ("effect", "picked instances")]


def test_where_no_lesion_is_known_a_sentence_stands_for_the_table(tiles_only):
    assert attention.table(mims.located.localised(tiles_only, "mims", "crc_msi"), "measures") == attention.UNKNOWN
    assert attention.volumes_table(mims.located.slice_choice(tiles_only, "mims", "crc_msi")) == attention.UNKNOWN
    assert attention.correlations(mims.located.agreement(tiles_only, "mims", "crc_msi")) == attention.UNKNOWN
    assert attention.at_each_scale(tiles_only, "crc_msi") == attention.UNKNOWN
    assert attention.UNKNOWN in attention.conclusions(pd.DataFrame(), pd.DataFrame(), pd.DataFrame()).data
    assert isinstance(attention.steps(tiles_only, collection="crc_msi"), Figure)
    assert "phantoms only" in exhibits.size_figure(exhibits.by_size(tiles_only))
    assert kept.figures(tiles_only)["by_size"] == {"cirrus": [], "one_size": []}
    assert "not in this run" in results.table_2(results.aurocs(tiles_only, "poolings", results.poolings(tiles_only)))
    assert "in this run" in results.table_1(results.aurocs(tiles_only, "none", []))
    assert "in this run" in exhibits.beyond_table(exhibits.beyond_one_size(tiles_only))
    assert list(results.table_1(results.aurocs(tiles_only, "methods", results.methods(tiles_only))).index) == [
        "MIMS", results.GREY]


def test_a_narrow_network_in_channels_last_is_refused():
    with pytest.raises(SettingsError, match="channels_last"):
        mims.choose("embedded", {"channels_last": True})
