"""The findings about the text of Fan et al., on weights and features that are known: what follows from it holds."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.optimize import brentq
from tiny_gated import OURS, SE, TINY

from mdlib import reproducible
from mdlib.models.channel_attention import MECHANISMS
from mdlib.models.gated import GatedAttention
from mdlib.models.instance_fusion import resnet18_features
from mdlib.papers import gated
from mdlib.papers.gated import findings, published, training

NOTHING = pd.DataFrame(columns=["label", "measure", "value", "low", "high"])


class TestGradient:
    """The trained network of a run beside what it started from, after two epochs."""

    @pytest.fixture
    def moved(self, tiny_gated, tmp_path):
        def moved(run, **overrides):
            study = gated.open(data_dir=str(tiny_gated.data.folder), run_dir=str(tmp_path / "run"), device="cpu",
                               cache_dir=str(tiny_gated.data.cache_dir), overrides=TINY | {"epochs": 2} | overrides)
            reproducible.seed_everything(run.seed)
            start = gated.network(run, study.settings, 5).state_dict()
            model, _ = training.fit(study, run, study.fabric())
            return {name for name, weight in model.named_parameters() if not torch.equal(weight, start[name])}
        return moved

    @pytest.mark.parametrize("weight_decay", [0.0, 0.1])
    @pytest.mark.parametrize("run", [OURS, SE], ids=lambda run: run.network)
    def test_as_written_the_attention_stays_bit_for_bit_as_it_was_initialised(self, moved, run, weight_decay):
        """With weight decay too: SGD leaves weights without a gradient alone."""
        found = moved(replace(run, reading="written"), weight_decay=weight_decay)
        assert not {name for name in found if name.startswith("mechanism")}
        assert {"features.conv1.weight", "instance_features.conv1.weight", "classifier.weight", "head.weight"} <= found

    @pytest.mark.parametrize("weight", ["constant", "paper", "reversed"])
    def test_where_y_g_reads_the_attention_it_learns_whatever_the_schedule(self, moved, weight):
        found = moved(replace(OURS, weight=weight), weight_decay=0.0)
        assert {"mechanism.blocks.0.weight", "mechanism.blocks.1.weight"} <= found


@pytest.fixture(scope="module")
def before_relu():
    """What is before the last ReLU of a random ResNet-18 for four pictures, (4, 512, 7, 7): 196 cells."""
    torch.manual_seed(0)
    with torch.no_grad():
        return resnet18_features(last_relu=False).train()((torch.rand(4, 3, 224, 224) - 0.45) / 0.22)


def test_three_rows_of_table_2_start_as_one_network(before_relu):
    for seed in range(3):
        table = findings.at_start(before_relu.relu(), seed)
        assert table.index.tolist() == list(MECHANISMS) and (table["cells"] == 196).all()
        assert table.index[table["identical"].astype(bool)].tolist() == ["spatial", "dual", "gc"]
        same, others = table.loc[["spatial", "dual", "gc"]], table.loc[["channel", "se", "gated"]]
        assert (same["cells moved"] == 0).all() and np.allclose(same["correlation"].astype(float), 1)
        assert (others["cells moved"] > 0).all() and others["correlation"].between(0.5, 0.9999).all()
        assert table.loc["se", "cells moved"] < 10


def test_cells_that_moved_are_those_of_the_two_masks():
    x = torch.zeros(1, 32, 2, 3)
    x[0, :16, 0, 0], x[0, 16:, 1, 2] = 3.0, 2.0
    plain = x.mean(dim=1)
    torch.manual_seed(5)
    map_of = MECHANISMS["se"](32).eval()(x)["attention"]
    row = findings.at_start(x, seed=5).loc["se"]
    assert row["cells moved"] == ((map_of > map_of.mean()) != (plain > plain.mean())).sum() and row["cells"] == 6
    assert row["correlation"] == pytest.approx(np.corrcoef(plain.flatten(), map_of.detach().flatten())[0, 1])


def test_the_relu_of_the_gates_acts_on_nothing_that_is_behind_a_relu(before_relu):
    before_relu = before_relu.clone()
    before_relu[:, :64] = -before_relu[:, :64].abs()                    # an eighth of the channels are dead
    table = findings.gates(before_relu)
    assert not table.loc["relu", "changed"] and table.loc["relu", "shut"] == table.loc["relu", "dead"] == 0.125
    assert table.loc["prerelu", "changed"] and table.loc["prerelu", "shut"] > 0.125
    assert table.loc["centred", "changed"] and 0.4 < table.loc["centred", "shut"] < 0.75
    assert (table["lowest"] == 0).all() and table["highest"].between(0.5, 1).all()


def test_gates_are_those_of_equation_2():
    torch.manual_seed(0)
    x = torch.rand(1, 3, 2, 2)
    table = findings.gates(x, seed=3)
    torch.manual_seed(3)
    s = GatedAttention(3).semantic(x)[0].detach()
    expected = [float(torch.tanh((channel * s).sum()).relu()) for channel in x[0]]
    assert table.loc["relu", ["lowest", "highest"]].tolist() == pytest.approx([min(expected), max(expected)])


def test_a_sum_over_channels_saturates_and_a_mean_is_all_but_uniform(before_relu):
    table = findings.saturation(before_relu.relu())
    full, uniform = table.loc["C → C"], 1 / 49
    assert full.loc["sum", "std of M"] == pytest.approx(512 * full.loc["mean", "std of M"], rel=1e-6)
    assert table["std of M"].xs("standard", level="M").tolist() == pytest.approx([1, 1], abs=1e-4)
    assert full.loc["sum, behind a ReLU", "largest S"] > full.loc["sum", "largest S"], "positive terms do not cancel"
    assert full.loc["sum", "largest S"] > 0.4 and full.loc["sum", "bits"] < 3
    assert full.loc["mean", "largest S"] < 1.5 * uniform and full.loc["mean", "bits"] > np.log2(49) - 0.02
    assert 2 * uniform < full.loc["standard", "largest S"] < 0.3
    assert 0 < 10 * full.loc["mean", "gradient"] < full.loc["standard", "gradient"]
    assert 10 * full.loc["mean", "gradient"] < full.loc["sum", "gradient"]
    assert list(table.loc["C → 1"].index) == ["sum", "standard"]
    one, bits = table.loc[("C → 1", "sum")], full.loc["sum", "bits"]
    assert one["largest S"] < full.loc["sum", "largest S"] and one["bits"] > bits + 1 and one["gradient"] > 0


def test_at_a_dilation_of_four_most_taps_are_outside_seven_cells():
    def share(rate, cells):
        inside = [0 <= i + a * rate < cells and 0 <= j + b * rate < cells for i in range(cells) for j in range(cells)
                  for a in (-1, 0, 1) for b in (-1, 0, 1)]
        return sum(inside) / len(inside)
    found = findings.taps_inside()
    assert found.round(2).to_dict() == {1: 0.82, 2: 0.66, 3: 0.51, 4: 0.38, 6: 0.18}
    assert found.to_dict() == pytest.approx({rate: share(rate, 7) for rate in (1, 2, 3, 4, 6)})
    assert findings.taps_inside(4, (2,))[2] == pytest.approx(share(2, 4))


def test_the_schedule_leaves_a_ninth_of_the_learning_to_the_fusion_and_most_of_it_in_epochs_20_to_49():
    rates = [0.05 * 0.1 ** (epoch // 50) for epoch in range(200)]
    fusion = [(1 - max(0, 1 - 0.1 * (epoch // 20))) * rate for epoch, rate in enumerate(rates)]
    assert sum(fusion) / sum(rates) == pytest.approx(0.107, abs=5e-4)
    assert sum(fusion[20:50]) / sum(fusion) == pytest.approx(0.674, abs=5e-4)
    table = findings.schedule()
    np.testing.assert_allclose(table["rate"], rates)
    np.testing.assert_allclose(table["fusion"], np.array(fusion) / sum(rates), atol=1e-12)
    assert (table["global"] + table["fusion"]).sum() == pytest.approx(1)
    half = table.loc[100, ["lambda", "rate"]].tolist()
    assert half == pytest.approx([0.5, 5e-4]), "when both losses weigh alike, the rate is a hundredth"


@pytest.mark.parametrize("name, label, accuracy, low, high", [
    ("table1", "gated attention", 0.951, 0.929, 0.966), ("table1", "NTS network", 0.914, 0.887, 0.935),
    ("table3", "gated attention", 0.970, 0.915, 0.990)])
def test_the_intervals_of_tables_1_and_3(name, label, accuracy, low, high):
    """Of the printed share, whether or not it is one of whole pictures: at the ends it is 1.96 standard errors away."""
    count = published.TESTED[name]
    ends = [brentq(lambda p: abs(accuracy - p) - 1.959964 * (p * (1 - p) / count) ** 0.5, *between)
            for between in ((0.5, accuracy), (accuracy, 1))]
    assert [round(end, 3) for end in ends] == [low, high]
    table = published.beside_paper(NOTHING, name)
    assert table.loc[label].tolist() == [f"{accuracy:.3f} ({low:.3f}–{high:.3f})", "not trained"]
