"""Instances of pictures for the explorer and for Figs. 4 and 5: what is cut, what is known, twins, and parts."""

import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from PIL import Image
from tiny_gated import ANCHORS, OURS, SE, THUMBNAIL, TINY, TISSUE, write_bccd

from mdlib.data.phantoms import breast, fungi
from mdlib.models.crops import crops
from mdlib.papers import gated
from mdlib.papers.gated import fig4, instances
from mdlib.papers.gated.data import EDGES
from mdlib.study import pages
from mdlib.widgets.explorer import explorer

COLLECTIONS = pytest.mark.parametrize("run", [OURS, TISSUE], ids=lambda run: run.collection)


PLACES = ("upper left", "upper", "upper right", "left", "central", "right", "lower left", "lower", "lower right")


def bag_of(study, run, row: int) -> str:
    return study.data.of(run).table["bag"].iat[row]


@pytest.mark.parametrize("run", [OURS, SE, ANCHORS, THUMBNAIL, TISSUE], ids=lambda run: run.slug)
def test_the_explorer_takes_the_cases_and_each_phantom_that_can_have_a_twin_has_one(trained_gated, run):
    model, rows = trained_gated.model(run), trained_gated.data.rows("test", run)[:4 if run == TISSUE else 2]
    cases = instances.cases(trained_gated, run, model, range(len(rows)))
    widget = explorer(cases, title="all")
    assert len(widget.cases) == len(rows) and any(case.twins for case in cases)
    for case, row in zip(cases, rows, strict=True):
        label = trained_gated.data.of(run).table["label"].iat[row]
        (named,) = case.twins if run.collection == "fungi" or label == "Invasive" else [""]
        first = trained_gated.data.boxes(run).query("row == @row and number == 1 and decides")
        if run.collection == "fungi":
            assert named in {f"the {place} head" for place in PLACES}
            assert ("left" in named) == ((first["left"] + first["right"]).item() / 2 < 1 / 3)
            assert ("lower" in named) == ((first["top"] + first["bottom"]).item() / 2 >= 2 / 3)
        assert named in ("invasion", "") or run.collection == "fungi"
        assert case.name == bag_of(trained_gated, run, row)
        assert case.classes[int(np.argmax(case.truth))] == label and case.truth.sum() == 1
        assert list(case.contours) == [label] and ("gates" in widget.cases[0]) == (run.network in ("gated", "se"))
    sent = widget.cases[0].get("instances")
    assert (sent is None) == (run == THUMBNAIL) and (sent is None or len(sent["boxes"]) == 4)
    assert widget.methods == ["attention Ω", "semantic map S"][:1 + (run.network == "gated")]


@COLLECTIONS
def test_a_case_is_what_the_network_gives_and_its_crops_are_those_of_its_boxes(trained_gated, run):
    model, samples = trained_gated.model(run), trained_gated.samples("test", run)
    places = [2, 0]
    batch = samples.batch(places)
    with torch.inference_mode():
        out = model(**gated.inputs(batch, model))
        cut = crops(batch["picture"], batch["extent"], out["boxes"], 32)
    cases = instances.cases(trained_gated, run, model, places)
    for i, (case, row) in enumerate(zip(cases, samples.rows[places], strict=True)):
        np.testing.assert_array_equal(case.image, pages.shown(trained_gated.data.of(run).read(row)))
        np.testing.assert_allclose(case.logits, out["logits"][i], atol=1e-5)
        np.testing.assert_allclose(case.probability, out["logits"][i].softmax(dim=0), atol=1e-5)
        np.testing.assert_allclose(case.maps["attention Ω"][0], out["attention"][i], atol=1e-6)
        np.testing.assert_allclose(case.maps["semantic map S"][0], out["semantic"][i], atol=1e-6)
        np.testing.assert_allclose(case.gates, out["gates"][i], atol=1e-6)
        assert [of[2] for of in case.instances] == out["found"][i].tolist()
        for (crop, (x, y, w, h), *_), box, pixels in zip(case.instances, out["boxes"][i], cut[i], strict=True):
            np.testing.assert_allclose([y, x, y + h, x + w], box, atol=1e-6)
            expected = (pixels * 255).round().byte().permute(1, 2, 0).numpy()
            np.testing.assert_array_equal(crop, expected if expected.shape[2] == 3 else expected[..., 0])


@COLLECTIONS
def test_a_picture_that_is_in_no_file_goes_to_the_network_as_one_of_a_file_does(tiny_gated, run):
    samples = tiny_gated.samples("test", run)
    for place in (0, 3):
        row = int(samples.rows[place])
        found, expected = instances.as_batch(tiny_gated, run, tiny_gated.data.of(run).read(row)), samples.batch([place])
        for name in ("image", "picture", "extent"):
            assert torch.equal(found[name], expected[name])


@COLLECTIONS
def test_a_twin_is_the_picture_drawn_without_an_instance_and_its_output_that_of_the_network(trained_gated, run):
    bags, model = trained_gated.data.of(run), trained_gated.model(run)
    row, place = next((int(row), place) for place, row in enumerate(trained_gated.data.rows("test", run))
                      if bags.table["label"].iat[row] in ("Invasive", *fungi.CLASSES))
    (name, picture), whole = instances.twin(trained_gated, run, row), bags.read(row)
    drawn = (fungi.twin(bags.data_dir, bag_of(trained_gated, run, row), without=(1,)) if run == OURS
             else breast.twin(bags.data_dir, bag_of(trained_gated, run, row)))
    assert np.array_equal(picture, drawn) and picture.shape == whole.shape and (picture != whole).any()
    (case,) = instances.cases(trained_gated, run, model, [place])
    twin = case.twins[name]
    np.testing.assert_array_equal(twin.image, pages.shown(picture))
    with torch.inference_mode():
        out = model(**gated.inputs(instances.as_batch(trained_gated, run, picture), model))
    np.testing.assert_allclose(twin.logits, out["logits"][0], atol=1e-5)
    assert (twin.logits != case.logits).any() and name in twin.name and name in case.twins
    labels = [bags.classes[int(np.argmax(of.truth))] for of in (case, twin)]
    assert labels == ([bags.table["label"].iat[row]] * 2 if run == OURS else ["Invasive", "InSitu"])


@COLLECTIONS
def test_outlines_are_those_of_the_instances_that_decide(tiny_gated, run):
    data = tiny_gated.data
    for row in data.rows("test", run)[:4]:
        lines = instances.outlines(tiny_gated, run, int(row))
        boxes = data.boxes(run).query("row == @row and decides")[list(EDGES)].to_numpy()
        ends = np.array([[*line.min(axis=0)[::-1], *line.max(axis=0)[::-1]] for line in lines])
        for box in boxes:       # an instance may consist of several outlines
            inside = ends[(ends[:, :2] >= box[:2] - 0.01).all(axis=1) & (ends[:, 2:] <= box[2:] + 0.01).all(axis=1)]
            around = [*inside[:, :2].min(axis=0), *inside[:, 2:].max(axis=0)]
            np.testing.assert_allclose(around, box, atol=0.01)


def test_real_pictures_have_boxes_for_outlines_and_no_twins(tmp_path):
    study = gated.open(data_dir=str(write_bccd(tmp_path / "bccd")), run_dir=str(tmp_path / "run"), device="cpu",
                       overrides=TINY)
    run = gated.Run("gated", collection="bccd")
    cases = instances.cases(study, run, gated.network(run, study.settings, 4).eval(), range(4))
    assert not any(case.twins for case in cases) and len(explorer(cases).cases) == 4
    for case, row in zip(cases, study.data.rows("test", run), strict=True):
        known = study.data.boxes(run)
        box = known[(known["row"] == row) & (known["kind"] == "WBC")][list(EDGES)].to_numpy()[0]
        (line,), = case.contours.values()
        np.testing.assert_allclose([*line.min(axis=0)[::-1], *line.max(axis=0)[::-1]], box)
        assert line.shape == (5, 2) and (line[0] == line[-1]).all()


def test_grey_is_read_from_a_picture_as_from_its_file(tiny_gated):
    path = tiny_gated.data.of(OURS).paths()[0]
    with Image.open(path) as image:
        np.testing.assert_array_equal(instances.grey(np.asarray(image.convert("RGB"))), np.asarray(image.convert("L")))


@COLLECTIONS
def test_figs_4_and_5_label_every_part_of_an_instance_that_is_wholly_in_the_picture(tiny_gated, run):
    bags, module = tiny_gated.data.of(run), fungi if run == OURS else breast
    for label in bags.classes:
        row, number = fig4.first_whole(tiny_gated, run, label)
        assert bags.table["label"].iat[row] == label
        box = tiny_gated.data.boxes(run).query("row == @row and number == @number and decides")
        assert len(box) == 1 and box[list(EDGES)].to_numpy().min() > 0.02 and box[list(EDGES)].to_numpy().max() < 0.98
        picture, masks = fig4.parts_of(tiny_gated, run, row, number)
        side = 1.6 * ((box[["bottom", "right"]].to_numpy() - box[["top", "left"]].to_numpy()) * tiny_gated.data.sizes(
            run)[row]).max()
        assert max(picture.shape[:2]) <= side + 2 and set(masks) <= set(module.PARTS) and masks
        assert all(mask.shape == picture.shape[:2] and mask.any() for mask in masks.values())
        figure = fig4.labelled(picture, masks)
        texts = [text.get_text() for text in figure.axes[1].texts]
        assert len(texts) == len(masks) and all(texts) and not figure.axes[0].texts
        plt.close(figure)
    assert fig4.first_whole(tiny_gated, run, "no class") is None
    plt.close(fig4.labelled(picture, {}))
