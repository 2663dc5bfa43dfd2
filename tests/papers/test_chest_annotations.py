"""What is known of X-rays: pairs of image and finding, their pixels, their twins; and the maps of networks for them."""

import numpy as np
import pytest
import torch
from tiny_chest import ATTENTION, TINY

from mdlib.data import images
from mdlib.data.phantoms import chest as phantom_chest
from mdlib.errors import SettingsError
from mdlib.explain import gradients
from mdlib.papers import chest
from mdlib.papers.chest import annotations, maps
from mdlib.study import saliency
from mdlib.study.saliency import MEASURES
from mdlib.widgets import standalone
from mdlib.widgets.explorer import explorer


@pytest.fixture(scope="module")
def run():
    return ATTENTION


@pytest.fixture(scope="module")
def model(trained_chest, run):
    return trained_chest.model(run)


@pytest.fixture(scope="module")
def real(real_data, tmp_path_factory):
    """A study of real radiographs; nothing is trained."""
    return chest.open(data_dir=str(real_data / "chestxray14"), run_dir=str(tmp_path_factory.mktemp("run")),
                      device="cpu", overrides=TINY)


def test_pairs_are_images_of_the_part_with_a_finding_they_show(tiny_chest):
    data, found = tiny_chest.data, annotations.pairs(tiny_chest, 3)
    assert set(found["row"]) <= set(data.rows("test")) and found.groupby("finding").size().max() == 3
    assert (data.targets[found["row"], found["k"]] == 1).all() and "No Finding" not in set(found["finding"])
    assert (data.table["image"].iloc[found["row"]].to_numpy() == found["image"]).all()
    fewer = annotations.pairs(tiny_chest, 2)
    assert fewer.groupby("k")["image"].first().equals(found.groupby("k")["image"].first())
    assert set(annotations.pairs(tiny_chest, 3, "train")["row"]) <= set(data.rows("train"))
    with pytest.raises(SettingsError, match="label, cause, twin"):
        annotations.pairs(tiny_chest, known="everything")


def test_the_mask_and_the_twin_go_through_the_geometry_of_the_image(tiny_chest):
    """What differs between image and twin lies in the mask: on phantoms of 72 pixels nothing is resized."""
    found = annotations.pairs(tiny_chest, 2, known="twin")
    differs = (maps.pair_images(tiny_chest, found) != annotations.twins(tiny_chest, found)).numpy()[:, 0]
    np.testing.assert_array_equal(annotations.masks(tiny_chest, found), differs)


def test_the_location_prior_of_phantoms_is_the_mean_mask_of_the_training_images(tiny_chest):
    found, data = annotations.pairs(tiny_chest, 3), tiny_chest.data
    own = annotations.location_prior(tiny_chest, found, annotations.masks(tiny_chest, found))
    truth, table = phantom_chest.Truth(data.folder), data.table.iloc[data.rows("train")]
    for i in (0, len(found) - 1):
        finding = found["finding"][i]
        shown = [image for image, labels in zip(table["image"], table["labels"], strict=True)
                 if finding in labels.split("|")]
        mean = np.mean([images.centre_crop(truth.mask(image, finding), 64) for image in shown], axis=0)
        np.testing.assert_allclose(own[i], mean, atol=1e-6)


def test_one_image_per_class_and_the_first_with_a_finding(tiny_chest):
    targets, rows = tiny_chest.data.targets, annotations.one_per_class(tiny_chest, 12)
    assert len(set(rows)) == 12 and targets[rows[0], 1] == 1
    for finding in ("Mass", "No Finding"):
        k = chest.CLASSES.index(finding)
        assert annotations.first_with(tiny_chest, finding) == next(
            row for row in tiny_chest.data.rows("test") if targets[row, k] == 1)
    everything = annotations.one_per_class(tiny_chest, 10_000)
    assert sorted(everything) == sorted(tiny_chest.data.rows("test"))
    assert annotations.caption(tiny_chest, rows[0]).count("\n") == 1


@pytest.mark.parametrize("part", ["val", "test"])
def test_images_of_pairs_are_those_of_their_rows_whatever_the_part_and_order(tiny_chest, part):
    found, samples = annotations.pairs(tiny_chest, 2, part, known="label"), tiny_chest.samples(part)
    assert not found["row"].is_monotonic_increasing
    expected = torch.stack([samples[samples.rows.tolist().index(row)]["image"] for row in found["row"]])
    assert torch.equal(maps.pair_images(tiny_chest, found), expected)
    assert maps.pair_images(tiny_chest, found[:0]).shape == (0, *expected.shape[1:])


def test_maps_of_pairs_are_those_of_each_finding(tiny_chest, model):
    found = annotations.pairs(tiny_chest, 1)
    own = maps.pair_maps(tiny_chest, model, "att_a", found, maps.grad_cams(["transition2", "norm5"]))
    assert list(own) == ["Grad-CAM transition2", "Grad-CAM norm5", "attention 1", "attention 2", "attention 3"]
    assert not own["Grad-CAM norm5"].any()                      # eq. 4: g cancels
    batch = {"image": maps.pair_images(tiny_chest, found)}
    every = gradients.grad_cam_maps(model, batch, "features.transition2").values[range(len(found)), found["k"]]
    np.testing.assert_allclose(own["Grad-CAM transition2"], every, rtol=1e-4, atol=1e-6 * float(every.abs().max()))
    other = maps.pair_maps(tiny_chest, model, "att_a", found, maps.hires_cams(["transition2"]), batch["image"].flip(3))
    expected = gradients.gradient_times_input_maps(model, batch["image"].flip(3), "features.transition2").values
    np.testing.assert_allclose(other["HiResCAM transition2"], expected[range(len(found)), found["k"]], rtol=1e-4,
                               atol=1e-6 * float(expected.abs().max()))
    assert not np.allclose(other["attention 1"], own["attention 1"])


def test_logits_and_probabilities_are_of_the_finding_of_each_pair(tiny_chest, model, monkeypatch):
    found = annotations.pairs(tiny_chest, 2)
    with torch.no_grad():
        expected = model(maps.pair_images(tiny_chest, found))["logits"][range(len(found)), found["k"]]
    monkeypatch.setattr(maps, "BATCH_SIZE", 5)
    np.testing.assert_allclose(maps.logits(tiny_chest, model, "att_a", found), expected, atol=1e-5)
    predict = maps.predictor(tiny_chest, model, "att_a", found)
    np.testing.assert_allclose(predict(maps.pair_images(tiny_chest, found).numpy()), expected.sigmoid(), atol=1e-5)


def test_an_untrained_network_is_the_same_each_time_and_not_the_trained_one(tiny_chest, run, model):
    first, second = (maps.untrained(tiny_chest, run).state_dict() for _ in range(2))
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    assert not torch.equal(first["classifier.linear.weight"], model.state_dict()["classifier.linear.weight"])


def test_everything_is_measured_of_a_trained_network(tiny_chest, run, model):
    """A page's cells, once: what must come out whatever the weights."""
    pairs, options = annotations.pairs(tiny_chest, 2), {"network": "att_a", "n_bootstrap": 5, "seed": 0}
    masks = annotations.masks(tiny_chest, pairs)
    own = maps.pair_maps(tiny_chest, model, run.network, pairs, maps.grad_cams())
    prior = annotations.location_prior(tiny_chest, pairs, masks)
    place = saliency.localisation(own, masks, pairs, prior, **options)
    place = place.set_index(["method", "finding", "measure"])["mean"].sort_index()
    over = place.xs("mean over findings", level="finding")
    assert over["Grad-CAM norm5", "shown"] == 0 and over["attention 1", "shown"] == 1
    np.testing.assert_allclose(over["uniform"][[*MEASURES]], over["uniform", "mass accuracy"])
    assert over["location prior", "mass accuracy"] > over["uniform", "mass accuracy"]
    gains = saliency.faithfulness(maps.predictor(tiny_chest, model, run.network, pairs),
                                  maps.pair_images(tiny_chest, pairs), own, pairs, steps=2, **options)
    assert "Grad-CAM norm5" not in set(gains["method"]) and "attention 1" in set(gains["method"])
    without = annotations.twins(tiny_chest, pairs)
    effect = maps.logits(tiny_chest, model, "att_a", pairs) - maps.logits(tiny_chest, model, "att_a", pairs, without)
    of_twins = maps.pair_maps(tiny_chest, model, "att_a", pairs, maps.grad_cams(), without)
    table = saliency.counterfactuals(effect, own, of_twins, masks, pairs, **options)
    of = table[table["measure"] == "effect"].set_index("finding")["mean"]
    expected = pairs.assign(effect=effect).groupby("finding")["effect"].mean()
    np.testing.assert_allclose(of[expected.index], expected)


@pytest.fixture(scope="module")
def cases(tiny_chest, run, model):
    return maps.cases(tiny_chest, run, model, count=12)


def test_a_film_has_a_twin_without_each_of_its_findings_and_no_other(cases):
    for case in cases:
        found = {name for name, value in zip(case.classes, case.truth, strict=True) if value == 1}
        assert set(case.twins) == found - {"No Finding"}
        for finding, twin in case.twins.items():
            left = {name for name, value in zip(twin.classes, twin.truth, strict=True) if value == 1}
            assert left == (found - {finding} or {"No Finding"})


def test_a_twin_differs_from_its_film_only_within_the_cause(tiny_chest, cases):
    truth = phantom_chest.Truth(tiny_chest.data.folder)
    for case in cases:
        for finding, twin in case.twins.items():
            inside = images.centre_crop(truth.mask(case.name, finding), 64)
            assert inside.any() and ((case.image != twin.image) == inside).all()


def test_a_twin_goes_through_the_network_as_its_film_does(tiny_chest, model, cases):
    case = next(case for case in cases if case.twins)
    finding, twin = next(iter(case.twins.items()))
    film = phantom_chest.twin(tiny_chest.data.folder, case.name, finding)
    image = images.centre_crop(images.fit_square(film, 72), 64)
    with torch.inference_mode():
        answer = model(image=torch.tensor(image)[None, None] / 255)
    np.testing.assert_allclose(twin.logits, answer["logits"][0], atol=1e-5)
    np.testing.assert_allclose(twin.maps["attention 1"], answer["attention"][0][0] * 64, atol=1e-4)
    assert (twin.logits != case.logits).any() and (twin.image != case.image).any()


def test_the_explorer_shows_the_layers_that_are_asked_for(tiny_chest, run, model, cases):
    widget = explorer(cases, title="attA")
    assert widget.methods == ["attention 1", "attention 2", "attention 3", "Grad-CAM transition3", "Grad-CAM norm5"]
    assert {case.outline for case in cases} == {"cause"}
    assert len(standalone.page(widget, "Twelve films").encode()) < 700_000
    other, = maps.cases(tiny_chest, run, model, 1, maps.hires_cams(["relu5"]))
    assert list(other.maps) == ["attention 1", "attention 2", "attention 3", "HiResCAM relu5"]


def test_boxes_are_the_known_cause_of_real_radiographs(real):
    found = annotations.pairs(real, 200)
    boxes = real.data.xrays.boxes
    assert len(found) == len(found.merge(boxes[["image", "finding"]].drop_duplicates()))
    assert set(found["row"]) <= set(real.data.rows("test")) and len(found) > 10
    assert len(annotations.pairs(real, 4, known="label")) > 0
    box = boxes.merge(found).drop_duplicates(["image", "finding"], keep=False).iloc[0]
    mask = annotations.masks(real, found[(found["image"] == box["image"]) & (found["finding"] == box["finding"])])[0]
    inside = np.zeros((72, 72), bool)
    y, x = (np.round(72 * np.array([box[a], box[a] + box[b]])).astype(int) for a, b in (("y", "h"), ("x", "w")))
    inside[slice(*y), slice(*x)] = True
    assert (images.centre_crop(inside, 64) != mask).mean() < 0.01


def test_the_location_prior_of_boxes_leaves_the_patient_out(real):
    pairs = annotations.pairs(real, 200)
    masks = annotations.masks(real, pairs)
    prior = annotations.location_prior(real, pairs, masks)
    others = (pairs["finding"] == pairs["finding"][0]) & (pairs["patient"] != pairs["patient"][0])
    np.testing.assert_allclose(prior[0], masks[others].mean(axis=0) if others.any() else 1, atol=1e-6)


def test_real_films_have_outlines_of_the_boxes_and_no_twins(real):
    run = chest.Run("densenet121", part="train_val")
    cases = maps.cases(real, run, chest.network("densenet121", real.settings).eval(), count=40)
    assert {case.outline for case in cases} == {"radiologist's box"} and not any(case.twins for case in cases)
    boxed = [case for case in cases if case.contours]
    assert boxed
    for case in boxed:
        boxes = real.data.xrays.boxes[real.data.xrays.boxes["image"] == case.name]
        for finding, lines in case.contours.items():
            whole = (np.array(lines) * 64 + 4) / 72        # from the network's picture back to the film
            for line, box in zip(whole, boxes[boxes["finding"] == finding].itertuples(), strict=True):
                expected = [box.x, box.y, box.x + box.w, box.y + box.h]
                np.testing.assert_allclose([*line.min(axis=0), *line.max(axis=0)], expected, atol=1e-6)


def test_a_collection_without_twins_gives_no_pairs_and_empty_tables(real):
    none = annotations.pairs(real, 10, known="twin")
    assert none.empty and list(none) == ["image", "finding", "k", "row", "patient"]
    model = chest.network("densenet121", real.settings).eval()
    masks, without = annotations.masks(real, none), annotations.twins(real, none)
    assert masks.shape == (0, 64, 64) and without.shape == (0, 1, 64, 64)
    effect = maps.logits(real, model, "densenet121", none) - maps.logits(real, model, "densenet121", none, without)
    own = maps.pair_maps(real, model, "densenet121", none, maps.grad_cams())
    table = saliency.counterfactuals(effect, own, own, masks, none, network="densenet121")
    assert table.empty
    prior = annotations.location_prior(real, none, masks)
    place = saliency.localisation(own, masks, none, prior, network="densenet121")
    assert place.empty
    gains = saliency.faithfulness(maps.predictor(real, model, "densenet121", none), maps.pair_images(real, none), own,
                                  none, network="densenet121")
    assert gains.empty
