"""Finding 1 on a few tiny phantoms: what follows from eq. 2-4 holds for any weights."""

import numpy as np
import pandas as pd
import pytest

from mdlib.recipes import chest
from mdlib.recipes.chest import cancelling


@pytest.fixture(scope="module")
def dead(tiny):
    return cancelling.dead_weights(tiny)


def test_noise_in_place_of_g_moves_no_logit_under_the_softmax_and_every_one_under_the_sigmoid(tiny, dead):
    moved = cancelling.noise_for_g(tiny)
    assert len(moved) == 2 * 2 * 2
    assert "2,160,128" in cancelling.check_cancelling(moved, dead)


def test_the_check_can_fail(tiny, dead):
    moved = cancelling.noise_for_g(tiny)
    moved["largest change of a logit"] = 1.0
    with pytest.raises(AssertionError):
        cancelling.check_cancelling(moved, dead)


def test_live_and_dead_weights_add_up_to_table_2(dead):
    counts = cancelling.counts_of_dead(dead)
    assert (counts["without gradient"] + counts["live"] == counts["weights"]).all()
    assert counts.loc[("att_a", "softmax"), "live"] == 5_760_399
    assert counts.loc[("att_b", "softmax"), "live"] == 4_808_079
    assert counts["weights"].groupby("network").first().to_dict() == {"att_a": 7_920_527, "att_b": 6_971_279}


def test_the_dead_parts_are_the_last_block_its_norm_and_the_half_of_u_that_meets_g(dead):
    parts = dead[dead["dead"]].reset_index().groupby("network")["part"].agg(set)
    last = {"features.denseblock4", "features.norm5"}
    assert parts["att_a"] == last and parts["att_b"] == last | {"attention, u for g"}


def test_a_live_map_is_the_same_computed_three_ways_and_a_dead_one_is_below_rounding(tiny):
    table = cancelling.rounding(tiny)
    assert table.loc["densenet121", ["same map?", "as in float64?"]].min() > 0.999
    for name in ("att_a", "att_b"):
        assert table.loc[name, "maximum, float32"] < 1e-4 * table.loc["densenet121", "maximum, float32"]
        assert table.loc[name, "maximum, float64"] < 1e-10


def test_figures_5_and_10_show_what_is_there(tiny):
    assert len(chest.heatmaps.figure_5(tiny).axes) == 4
    panels = [panel for panel in chest.heatmaps.PANELS if chest.heatmaps.first_with(tiny, panel[2]) is not None]
    figure = chest.heatmaps.figure_10(tiny)
    titles = [axis.get_title() for axis in figure.axes]
    assert len(titles) == 4 * len(panels)
    of_titles = np.repeat([panel[1:4:2] for panel in panels], 4, axis=0).tolist()
    dead = [title for panel, title in zip(of_titles, titles, strict=True)
            if panel == ["att_a", "norm5"]]
    assert dead and all("no signal" in title for title in dead if not title.startswith("("))


def test_published_values_have_a_source():
    table = chest.results.published_aurocs()
    assert set(table.columns) == {"Wang et al.", "CheXNet"} and table.loc["Hernia", "CheXNet"] == 0.9164
    assert isinstance(table, pd.DataFrame) and "No Finding" not in table.index
