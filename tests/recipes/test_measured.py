"""Explanations measured on tiny phantoms: what is held against what, and what must come out whatever the weights."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_chest import TINY

from mdlib.data import images
from mdlib.data.phantoms import chest as phantom_chest
from mdlib.evaluate.per_class import MEAN
from mdlib.explain import gradients
from mdlib.recipes import chest
from mdlib.recipes.chest import faithful, localised, mapped, measured, measuring, pairs


@pytest.fixture(scope="module")
def tiny(tiny):
    """The tiny chapter with two of its networks."""
    return replace(tiny, settings=replace(tiny.settings, networks=("densenet121", "att_a")))


@pytest.fixture(scope="module")
def tables(tiny):
    return measured.everything(tiny)


def test_pairs_are_test_images_with_a_finding_they_show(tiny):
    found = pairs.known(tiny, 3)
    assert set(found["row"]) <= set(tiny.rows["test"]) and found.groupby("finding").size().max() == 3
    assert (tiny.targets[found["row"], found["k"]] == 1).all() and "No Finding" not in set(found["finding"])
    assert (tiny.table["image"].iloc[found["row"]].to_numpy() == found["image"]).all()
    fewer = pairs.known(tiny, 2)
    assert fewer.groupby("k")["image"].first().equals(found.groupby("k")["image"].first())


def test_the_mask_and_the_twin_go_the_way_of_the_image(tiny):
    """What differs between image and twin lies in the mask: on phantoms of 72 pixels nothing is resized."""
    found = pairs.known(tiny, 2)
    own = chest.viewing.inputs_of(tiny, "densenet121", found["row"])["image"]
    differs = (own != pairs.twins(tiny, found)).numpy()[:, 0]
    np.testing.assert_array_equal(pairs.masks(tiny, found), differs)


def test_the_usual_place_is_the_mean_mask_of_the_training_images(tiny):
    found = pairs.known(tiny, 3)
    own = pairs.usual(tiny, found, pairs.masks(tiny, found))
    truth, table = phantom_chest.Truth(tiny.xrays.data_dir), tiny.table.iloc[tiny.rows["train"]]
    for i in (0, len(found) - 1):
        finding = found["finding"][i]
        shown = [image for image, labels in zip(table["image"], table["labels"], strict=True)
                 if finding in labels.split("|")]
        mean = np.mean([images.centre_crop(truth.mask(image, finding), 64) for image in shown], axis=0)
        np.testing.assert_allclose(own[i], mean, atol=1e-6)


def test_one_gradient_for_a_batch_of_many_classes_is_that_of_each_class(tiny):
    model = mapped.network_of(tiny, "densenet121")
    of, batch = next(mapped.batches(tiny, "densenet121", pairs.known(tiny, 1)))
    maps = mapped.own_maps(model, batch)["Grad-CAM transition2"]
    every = gradients.grad_cam_maps(model.model, {"image": batch["image"]}, "features.transition2")
    own = torch.arange(len(of)), batch["class_index"]
    expected = (every.values[own] * every.signal[own][:, None, None]).numpy()      # 0 where there is no signal
    assert every.signal[own].any()
    np.testing.assert_allclose(maps, expected, rtol=1e-4, atol=1e-6 * np.abs(expected).max())


def test_what_must_come_out_whatever_the_weights(tables):
    mean = tables["localisation"][tables["localisation"]["finding"] == MEAN].set_index(["network", "method", "measure"])
    mean = mean.sort_index()
    uniform = mean.loc[measuring.NO_IMAGE, measuring.UNIFORM]["mean"]
    assert uniform["pointing game"] == pytest.approx(uniform["mass accuracy"], rel=1e-6)
    assert mean.loc["att_a", "Grad-CAM norm5"].loc["shown", "mean"] == 0
    assert (mean.loc["att_a", "attention 1"].loc["shown", "mean"]) == 1
    assert mean.loc[measuring.NO_IMAGE, measuring.USUAL]["mean"]["mass accuracy"] > uniform["mass accuracy"]
    beyond = mean.loc["att_a", "attention 3"]["mean"]
    assert beyond["mass accuracy beyond uniform"] == pytest.approx(beyond["mass accuracy"] - uniform["mass accuracy"])
    alike = tables["randomised"].set_index(["network", "part", "method"])["mean"].sort_index()
    attention = alike["att_a", "classifier"][["attention 1", "attention 2", "attention 3"]]
    np.testing.assert_allclose(attention, 1)
    np.testing.assert_allclose(alike["att_a", "attention", "attention 1"],
                               alike["att_a", "features.denseblock4", "attention 1"])


def test_maps_without_signal_are_left_out_of_what_asks_the_network(tables):
    dead = ["Grad-CAM norm5", "Grad-CAM relu5"]
    gains, agreed = tables["faithfulness"], tables["agreement"]
    assert not gains[(gains["network"] == "att_a")]["method"].isin(dead).any()
    assert agreed[(agreed["network"] == "att_a") & agreed["method"].isin(dead)]["pairs"].eq(0).all()


def test_curves_of_deletion_end_where_those_of_insertion_begin(tables):
    points = tables["faithfulness"].query("network == 'att_a' and method == 'attention 2'")
    points = points[points["finding"] == MEAN].set_index("measure")["mean"]
    assert points[f"deletion map {faithful.STEPS}"] == pytest.approx(points["insertion map 0"])
    assert points["deletion map 0"] == pytest.approx(points["deletion random 0"])


def test_the_effect_is_the_logit_with_the_finding_less_that_without(tiny, tables):
    found = pairs.known(tiny, faithful.TWINS)
    model = chest.viewing.trained(tiny, "att_a")
    with torch.no_grad():
        own, without = (model(image)["logits"].numpy()[range(len(found)), found["k"]] for image in (
            chest.viewing.inputs_of(tiny, "att_a", found["row"])["image"], pairs.twins(tiny, found)))
    effect = tables["agreement"][tables["agreement"]["measure"] == "effect"].set_index(["network", "finding"])["mean"]
    expected = found.assign(effect=own - without).groupby("finding", sort=False)["effect"].mean()
    np.testing.assert_allclose(effect["att_a"][expected.index], expected, atol=1e-5)


def test_everything_is_measured_once_and_a_summary_shows_the_same(tiny, tables):
    again = measured.everything(tiny)
    assert all(again[name].equals(table) for name, table in tables.items())
    kept = measured.tables(json.loads(json.dumps(measured.summary(tiny))))
    joined = kept["localisation"].merge(tables["localisation"], on=["network", "method", "measure", "finding"])
    assert len(joined) == len(kept["localisation"]) > 0
    np.testing.assert_allclose(joined["mean_x"], joined["mean_y"], atol=1e-4)
    assert measured.overview(kept["localisation"]).shape == measured.overview(tables["localisation"]).shape
    assert measured.counts(kept["localisation"]).shape == measured.counts(tables["localisation"]).shape
    assert measured.conclusions(kept).data.count("\n") == 4


def test_every_figure_of_the_page_can_be_drawn(tiny, tables):
    place, gains = tables["localisation"], tables["faithfulness"]
    drawn = [measured.example(tiny), measured.localisation_figure(place), measured.finding_figure(place),
             measured.faithfulness_figure(gains), measured.curves_figure(gains),
             measured.randomised_figure(tables["randomised"]), measured.agreement_figure(tables["agreement"])]
    assert [len(figure.axes) for figure in drawn] == [8, 4, 2, 2, 2, 2, 2]
    assert measured.effects(tables["agreement"]).shape[1] == 2


def test_real_radiographs_are_measured_on_the_boxes_of_the_test_list(real_data, tmp_path):
    small = TINY | {"networks": ["densenet121"]}
    chapter = chest.start(data_dir=str(real_data / "chestxray14"), run_dir=str(tmp_path), device="cpu", overrides=small)
    tables, found = measured.everything(chapter), pairs.known(chapter, localised.BOXES)
    assert measured.focus(tables["localisation"]) == "Pneumonia" and tables["agreement"].empty
    n = found["finding"].value_counts()
    cells = measured.counts(tables["localisation"]).loc[("no image", "uniform")]
    assert cells["Pneumonia"].endswith(")") and f"of {n['Pneumonia']} (" in cells["Pneumonia"]
    assert cells["Mass"].endswith(f"of {n['Mass']}")
    # a box, drawn by hand: its corners in the network's picture
    boxes = chapter.xrays.boxes.merge(found[["image", "finding"]])
    box = boxes.drop_duplicates(["image", "finding"], keep=False).iloc[0]
    mask = pairs.masks(chapter, found[(found["image"] == box["image"]) & (found["finding"] == box["finding"])])[0]
    inside = np.zeros((72, 72), bool)
    y, x = (np.round(72 * np.array([box[a], box[a] + box[b]])).astype(int) for a, b in (("y", "h"), ("x", "w")))
    inside[slice(*y), slice(*x)] = True
    assert (images.centre_crop(inside, 64) != mask).mean() < 0.01
