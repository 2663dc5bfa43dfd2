"""The training page of chapter 5: tables and figures of a tiny run, and numbers that can be worked out by hand."""

import dataclasses
import json
import math

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure

from mdlib.errors import DataError
from mdlib.files import write_json
from mdlib.models.backbones import count
from mdlib.models.ecnet import ecnet, preact_resnet, wide_resnet
from mdlib.recipes import mdnet
from mdlib.recipes import trainings as shared
from mdlib.recipes.mdnet import learned, learned_figures, recognised, recognition, trainings
from mdlib.recipes.mdnet.networks import recognition_network
from mdlib.recipes.mdnet.plan import Recognition, Training
from mdlib.recipes.mdnet.rows import EVERY, ROWS
from mdlib.study import results as keeping


@pytest.fixture
def without_table_1(tiny_mdnet):
    """The same run, asked for CIFAR, which is not there."""
    return dataclasses.replace(tiny_mdnet, settings=dataclasses.replace(tiny_mdnet.settings,
                                                                        recognition_data=("cifar10",)))


@pytest.fixture
def two_networks():
    """Errors of two networks on 400 images: the second ends lower, and was lower still in its second epoch."""
    rows = [("ecnet_110_4", "EcNet-11-3", [0.5, 0.30, 0.25]), ("resnet_164", "ResNet⁺-11", [0.4, 0.10, 0.15])]
    return pd.DataFrame([{"data": "shapes", "network": network, "name": name, "weights": 1000, "tested": 400,
                          "epoch": epoch, "error": error} for network, name, errors in rows
                         for epoch, error in enumerate(errors, start=1)])


@pytest.fixture
def every(tiny_mdnet):
    """The same run, asked for all rows of Table 2 and another eta; nothing is trained."""
    settings = dataclasses.replace(tiny_mdnet.settings, rows=tuple(EVERY), etas=(1.0,))
    return dataclasses.replace(tiny_mdnet, settings=settings)


def test_all_that_the_pages_show_is_of_the_first_fold_and_seed(every):
    live = learned.live(every)
    assert len(live) == len(set(live))
    assert {one.seed for one in live} == {0} and {one.fold for one in learned.of_reports(every)} == {0}
    assert set(live) <= {*mdnet.planned(every), *recognition.planned(every)}
    assert {Training(row) for row in (*EVERY, "ecnet", "googlenet")} <= set(live)
    assert {Recognition("ecnet_110_4", "shapes"), Recognition("resnet_164", "shapes")} <= set(live)
    told = learned.planned(every).data
    assert f"image models that learn the conclusion alone (2), networks that write reports ({len(live) - 4})" in told
    assert "6 of the networks that write begin with" in told and "36 images of 6 patients 1 times" in told


def test_the_maps_of_the_paper_end_in_512_of_14_by_14(tiny_mdnet):
    table = learned.maps(tiny_mdnet)
    assert table["paper profile"].tolist() == ["3 × 224 × 224", "16 × 56 × 56", "256 × 56 × 56", "512 × 28 × 28",
                                               "512 × 14 × 14"]
    seen = trainings.build(tiny_mdnet, Training("ecnet")).eval()(torch.zeros(1, 3, 64, 64))["features"].shape[1:]
    assert table.loc["group3", "this run"] == " × ".join(map(str, seen))


def test_weights_are_those_of_the_networks_that_are_trained(every, trained_mdnet):
    table = learned.weights(every)
    model = mdnet.trained(trained_mdnet, Training("mdnet"))
    assert table.loc["MDNet", ("this run", "image model")] == count(model.image_model)
    assert table.loc["MDNet", ("this run", "language model")] == count(model.language)
    assert table.loc["MDNet", ("paper profile", "image model")] == 2_267_348          # Table 2: 2.3M
    assert table.loc["Baseline, GN", ("paper profile", "image model")] == 5_599_904 + 4 * 1_025


def test_the_rows_are_ticked_as_in_table_2(tiny_mdnet):
    table = learned.rows(tiny_mdnet)
    ticked = ["".join(name for name in "PFJ" if of[name]) for _, of in table.iloc[:7].iterrows()]
    assert ticked == ["P", "PF", "P", "PF", "P", "PF", "J"]
    assert table["image model"].tolist()[:3] == ["GoogLeNet", "GoogLeNet", "EcNet"] and len(table) == len(ROWS) + 2
    assert table.loc["Baseline, EN", "rate of the image model"] == "–"
    assert float(table.loc["Ours, EN, fine-tuned", "rate of the image model"]) == pytest.approx(0.0003)


def test_one_place_can_have_no_more_attention_than_a_tanh_allows():
    for weight in (1.0, 4.0):
        scores = weight * np.tanh([50.0] + [-50.0] * 195)
        assert learned.sharpest(196, weight) == pytest.approx((np.exp(scores) / np.exp(scores).sum())[0])
    assert learned.sharpest(196) < 0.04


def test_what_lies_on_the_diagonal_is_counted_in_squares():
    assert learned.diagonal(np.eye(5)) == (1, 1)
    assert learned.diagonal(np.array([[3.0, 2.0], [1.0, 1.0]])) == (2, pytest.approx(10 / 15))


def test_the_attention_that_was_learned_is_shown_and_told(trained_mdnet):
    found = learned.places(trained_mdnet)
    assert list(found) == ["MDNet", "MDNet without AAS"]
    assert all(weight.shape == (16, 16) for weight in found.values())        # 64 pixels, divided by 16
    said = learned.places_said(trained_mdnet).data
    assert "There are 16 places" in said and f"{learned.diagonal(found['MDNet'])[0]:.2f}" in said
    *panels, bar = learned_figures.places(trained_mdnet).axes
    assert len(panels) == 2 and bar.get_ylabel().startswith("weight")
    for panel, weight in zip(panels, found.values(), strict=True):
        low, high = panel.images[0].get_clim()
        assert low == -high and (panel.images[0].get_array() == weight).all()


def test_the_class_of_c_is_told_with_how_often_it_is_true(trained_mdnet):
    table = mdnet.predictions(trained_mdnet, Training("mdnet"))
    right = (table["guess"].to_numpy() == trained_mdnet.reports.targets[table["row"]]).mean()
    said = learned.class_said(trained_mdnet).data
    assert "the class that the image model predicts" in said and f"true one in {100 * right:.0f} %" in said
    assert "36 test images (6 patients)" in said


def test_both_factors_meet_where_beta_is_one_over_one_plus_eta(tiny_mdnet):
    share = 0.5 - math.log(5) / 10        # the logistic curve is 1 / 6 there
    assert f"are equal after {share:.0%} of the steps" in learned.fork_said(tiny_mdnet).data
    settings = dataclasses.replace(tiny_mdnet.settings, beta="constant")
    said = learned.fork_said(dataclasses.replace(tiny_mdnet, settings=settings)).data
    assert said == "In this run the factors are 0.5 and 2.5 throughout."
    left, right = learned_figures.fork(tiny_mdnet).axes
    assert [line.get_label() for line in left.lines] == ["logistic (this run)", "ganin", "constant"]
    assert right.lines[1].get_ydata().max() == pytest.approx(5, abs=0.1)


def test_a_training_is_shown_beside_those_of_the_same_loss(every, tmp_path):
    elsewhere = dataclasses.replace(every, run=dataclasses.replace(every.run, folder=tmp_path))
    for number, one in enumerate(learned.of_reports(every)):
        history = [{"epoch": 1, "loss": number + 0.5}, {"epoch": 2, "loss": float(number)}]
        write_json(shared.folder(elsewhere, one) / shared.HISTORY, history)
    table = learned.losses(elsewhere)
    assert table["value"].tolist() == [number + part for number in range(len(table) // 2) for part in (0.5, 0)]
    names = table.drop_duplicates("name").groupby("loss")["name"].agg(list)
    assert names["L_M"] == ["EcNet", "GoogLeNet"] and len(names["L_L"]) == 6
    assert {"MDNet", "MDNet, η = 1", "MDNet, without 1 − β", "MDNet without AAS"} <= set(names["L_M + L_L"])
    assert [axis.get_title() for axis in learned_figures.losses(table).axes] == list(learned_figures.SYMBOLS.values())


def test_the_gradients_of_both_losses_are_compared_epoch_by_epoch(trained_mdnet):
    table = learned.gradients(trained_mdnet)
    assert list(table) == ["M", "L"] and (table.to_numpy() > 0).all()
    assert learned_figures.gradients(table).axes[0].get_yscale() == "log"
    made = pd.DataFrame({"M": [8.0, 6.0, 1.0], "L": [1.0, 2.0, 2.0]}, index=[1, 2, 3])
    said = learned.gradients_said(made, 5.0).data
    assert "after 2 of 3 epochs" in said and "is 8 times" in said and "0.5 times after the last" in said
    assert "3 times in the median" in said and "setting is 5." in said


def test_an_error_has_the_interval_of_wilson_and_the_best_epoch_is_marked(two_networks):
    table = recognised.ends(two_networks).set_index("name")
    n, p, z = 400, 0.15, 1.959964
    middle, half = p + z**2 / (2 * n), z * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    found = table.loc["ResNet⁺-11"]
    assert found["low"] == pytest.approx((middle - half) / (1 + z**2 / n))
    assert found["high"] == pytest.approx((middle + half) / (1 + z**2 / n))
    shown = recognised.table_1(two_networks).loc[("drawn shapes", "ResNet⁺-11")]
    assert shown["last epoch, %"] == "15.0" and shown["best epoch, %"] == "10.0 (epoch 2)"
    assert shown["stands for"] == "ResNet⁺-164" and shown["paper, C-100"] == "24.33"
    axis = learned_figures.errors(two_networks).axes[0]
    assert [line.get_xydata()[0].tolist() for line in axis.lines[4:]] == [[3, 15], [2, 10]]


def test_the_others_are_held_against_the_best_image_by_image(two_networks, trained_mdnet):
    apart = pd.DataFrame({"data": ["shapes"], "name": ["EcNet-11-3"], "mean": [0.1], "low": [0.05], "high": [0.15]})
    said = recognised.said(two_networks, apart).data
    assert "ResNet⁺-11 errs least after the last epoch: 15.0 % of 400 images" in said
    assert "EcNet-11-3 10.0 points more (5.0–15.0)" in said and "by 2.5 points" in said
    table = recognised.differences(trained_mdnet)
    wrong = [recognition.wrong(trained_mdnet, one).mean() for one in recognition.planned(trained_mdnet)]
    assert len(table) == 1 and table["mean"].item() == pytest.approx(max(wrong) - min(wrong))
    assert table["low"].item() <= table["mean"].item() <= table["high"].item()


def test_table_1_is_of_the_networks_of_this_run(trained_mdnet):
    table = recognised.errors(trained_mdnet)
    assert len(table) == 2 * trained_mdnet.settings.recognition_epochs and set(table["tested"]) == {recognition.TESTED}
    assert isinstance(learned_figures.errors(table), Figure)
    small = {"ecnet_110_4": ecnet(11, 3, 10), "ecnet_56_12": ecnet(11, 4, 10), "wrn_40_4": wide_resnet(10, 1, 10),
             "resnet_164": preact_resnet(11, 10)}
    for name, model in small.items():
        assert count(recognition_network(trained_mdnet.settings, name, 10, (0,) * 3, (1,) * 3)) == count(model)
    assert [recognised.name_of(trained_mdnet.settings, name) for name in small] == list(recognised.SMALL.values())


def test_a_run_without_cifar_says_so(without_table_1):
    assert recognised.table_1(recognised.errors(without_table_1)) == recognised.NOTHING
    assert recognised.said(recognised.errors(without_table_1), recognised.differences(without_table_1)
                           ) == recognised.NOTHING
    assert learned_figures.errors(recognised.errors(without_table_1)) == recognised.NOTHING
    assert recognised.throughput(without_table_1) == recognised.NOTHING
    assert "Table 1" not in learned.planned(without_table_1).data


def test_speed_is_told_in_images_and_as_a_share_of_the_devices_own_rate(tiny_mdnet):
    table = recognised.throughput(tiny_mdnet)
    share = 3 * table["Mflop"] * 1e6 * table["images/s"] / (table["that rate, TFLOP/s"] * 1e12)
    np.testing.assert_allclose(table["% of the device's rate"], 100 * share)
    np.testing.assert_allclose(table["s for 50,000 images"] * table["images/s"], 50_000)
    pd.testing.assert_frame_equal(recognised.throughput(tiny_mdnet), table)


def test_results_on_cifar_are_shown_where_they_were_kept(trained_mdnet, tmp_path, monkeypatch):
    monkeypatch.setattr(keeping, "folder", lambda chapter: tmp_path / chapter)
    assert recognised.kept_table().data == recognised.NO_CIFAR
    (tmp_path / "mdnet").mkdir()
    assert recognised.keep(trained_mdnet) == tmp_path / "mdnet" / "cifar10.json"
    table = recognised.errors(trained_mdnet)
    pd.testing.assert_frame_equal(recognised.kept(), table)
    pd.testing.assert_frame_equal(recognised.kept_table(), recognised.table_1(table))
    pd.testing.assert_frame_equal(recognised.kept_speed(), recognised.throughput(trained_mdnet))
    assert recognised.kept_said().data.startswith("drawn shapes: small networks")


def test_table_1_alone_needs_no_reports(real_data, tmp_path, monkeypatch):
    """On a few real images of CIFAR-10: trained, kept, told; a second time nothing is trained."""
    for part in ("train", "test"):
        with np.load(real_data / "cifar10" / f"cifar10_jpeg_{part}.npz") as packed:
            few = {"offsets": packed["offsets"][:51], "labels": packed["labels"][:50]}
            few["jpeg"] = packed["jpeg"][:few["offsets"][-1]]
        (tmp_path / "cifar10").mkdir(exist_ok=True)
        np.savez(tmp_path / "cifar10" / f"cifar10_jpeg_{part}.npz", **few)
    monkeypatch.setattr(keeping, "folder", lambda chapter: tmp_path / chapter)
    asked = {"run_dir": str(tmp_path / "run"), "device": "cpu",
             "overrides": {"recognition_epochs": 1, "recognition": ["wrn_40_4", "resnet_164"]}}
    path = recognised.recognise("embedded", str(tmp_path), **asked)
    first = json.loads(path.read_text())
    told = recognised.kept_said().data
    assert "CIFAR-10 (cifar10_jpeg_test.npz, cifar10_jpeg_train.npz)" in told and "1 epochs" in told
    assert recognised.kept_table().index.get_level_values(0).unique().tolist() == ["CIFAR-10"]
    again = json.loads(recognised.recognise("embedded", str(tmp_path), **asked).read_text())
    assert all(again[name] == first[name] for name in ("errors", "differences", "speed"))


def test_table_1_alone_needs_cifar(tmp_path):
    with pytest.raises(DataError, match="neither cifar10 nor cifar100"):
        recognised.recognise("embedded", str(tmp_path))
