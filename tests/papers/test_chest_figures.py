"""The exhibits of chest that have code of their own, on a few tiny phantoms: what they show is what is known."""

import numpy as np
import pytest
import torch

from mdlib.data.phantoms import chest as phantom_chest
from mdlib.explain import gradients, overlay
from mdlib.papers import chest
from mdlib.papers.chest import annotations, causes, fig1, fig2, fig5, fig10, maps


@pytest.fixture(scope="module")
def models(tiny_chest):
    """Networks with random weights: what is tested needs no trained ones."""
    return {name: maps.untrained(tiny_chest, chest.Run(name)) for name in ("densenet121", "att_a")}


def titles(figure):
    return [axis.get_title() for axis in figure.axes if axis.images]


def test_fig_1_has_a_bar_per_class_and_part_as_high_as_it_has_images(tiny_chest):
    table = fig1.counts(tiny_chest.data)
    assert list(table) == ["train", "val", "test"]
    hernia = chest.CLASSES.index("Hernia")
    assert table.loc["Hernia", "test"] == tiny_chest.data.targets[tiny_chest.data.rows("test"), hernia].sum()
    (axis,) = fig1.figure(table).axes
    heights = [[bar.get_height() for bar in bars] for bars in axis.containers]
    assert np.array_equal(np.nan_to_num(heights), table.T.to_numpy()) and axis.get_yscale() == "log"
    assert [text.get_text() for text in axis.get_legend().get_texts()] == list(table)
    assert "Pleural Thickening" in [label.get_text() for label in axis.get_xticklabels()]


def test_fig_2_shows_the_percentage_of_each_group(tiny_chest):
    table, targets = tiny_chest.data.table, tiny_chest.data.targets
    by_sex, by_view, by_age = fig2.figure(table, targets, chest.CLASSES).axes
    for axis, column in ((by_sex, "sex"), (by_view, "view")):
        for bars, label in zip(axis.containers, axis.get_legend().get_texts(), strict=True):
            value, _, n = label.get_text().partition(" (n = ")
            own = targets[(table[column] == value).to_numpy()]
            assert n == f"{len(own)})"
            np.testing.assert_allclose([bar.get_width() for bar in bars], 100 * own.mean(axis=0), rtol=1e-5)
    sizes = [line.get_label() for line in by_age.lines]
    assert f"No Finding (n = {(table['labels'] == 'No Finding').sum()})" in sizes and "years" in by_age.get_xlabel()
    assert fig2.figure(table[:0], targets[:0], chest.CLASSES).axes[0].texts[0].get_text() == "nothing to show"


def test_fig_5_goes_from_the_raw_map_to_the_image_below_it():
    image, raw = np.full((8, 8), 50, np.uint8), np.array([[-1.0, 0.0], [1.0, 2.0]])
    found = fig5.steps(image, raw)
    assert list(found) == ["map, 2 × 2", "bilinear to 8 × 8", "coloured", "over the image"]
    scaled, large, coloured, last = found.values()
    assert scaled.tolist() == [[0, 0], [128, 255]] and large.shape == (8, 8) and large[-1, -1] == 255
    np.testing.assert_array_equal(coloured, overlay.colour(large))
    assert (last[0, 0] == 50).all() and (last[-1, -1] != 50).any()
    *_, dead = fig5.steps(image, raw, signal=False).values()
    assert (dead == 50).all()


def test_fig_10_shows_the_most_probable_classes_and_no_map_without_signal(tiny_chest, models):
    figure = fig10.figure(tiny_chest, models)
    shown = [panel for panel in fig10.PANELS if annotations.first_with(tiny_chest, panel.finding) is not None]
    assert len(titles(figure)) == 4 * len(shown) > 0
    for i, panel in enumerate(shown):
        first, *others = titles(figure)[4 * i:4 * i + 4]
        assert first == f"({panel.name}) {panel.finding}\n{panel.network}, {panel.layer}"
        row = annotations.first_with(tiny_chest, panel.finding)
        with torch.inference_mode():
            answer = models[panel.network](**maps.inputs_of_rows(tiny_chest, panel.network, [row]))
        top = answer["logits"][0].sigmoid().sort(descending=True)
        assert [text.split("\n")[0] for text in others] == [
            f"{chest.CLASSES[k].replace('_', ' ')}: {p:.2f}"
            for p, k in zip(top.values[:3], top.indices[:3], strict=True)]
        dead = panel.network == "att_a" and panel.layer == "norm5"      # eq. 4
        assert not dead or all(text.endswith("\nno signal") for text in others)


def test_fig_10_outlines_the_cause_of_a_class_that_is_present(tiny_chest, models):
    finding = annotations.pairs(tiny_chest, 1)["finding"].iloc[0]
    panel = fig10.Panel("a", "densenet121", finding, "transition3")
    figure = fig10.figure(tiny_chest, models, [panel], top=len(chest.CLASSES))
    row = annotations.first_with(tiny_chest, finding)
    known = annotations.contours(tiny_chest, row)
    for axis in figure.axes[1:]:
        name = axis.get_title().split(":")[0].replace(" ", "_")
        assert len(axis.lines) == len(known.get(name, ()))
    assert sum(len(lines) for lines in known.values()) > 0
    k, probability, raw, signal = fig10.most_probable(tiny_chest, models["densenet121"], panel, row, 1)[0]
    batch = maps.inputs_of_rows(tiny_chest, "densenet121", [row])
    expected = gradients.grad_cam_maps(models["densenet121"], batch, "features.transition3")
    np.testing.assert_array_equal(raw, expected.values[0, k].numpy())
    assert signal and probability == pytest.approx(float(expected.logits[0].sigmoid().max()))


def test_fig_10_without_its_networks_or_findings_has_nothing_to_show(tiny_chest):
    assert fig10.figure(tiny_chest, {}).axes[0].texts[0].get_text() == "nothing to show"


def test_a_phantom_stands_beside_its_twin_and_differs_from_it_within_the_outline(tiny_chest):
    examples = causes.examples(tiny_chest, 2)
    assert len({one.finding for one in examples}) == len(examples) == 2
    for one in examples:
        changed = one.image != one.twin
        assert one.finding in phantom_chest.FINDINGS and changed.any()
        ends = np.concatenate(one.outline)
        assert ends.min() >= 0 and ends.max() <= 1
    figure = causes.figure(examples)
    assert titles(figure)[1:3] == ["twin without it", "cause"] and len(titles(figure)) == 6
    np.testing.assert_array_equal(figure.axes[1].images[0].get_array(), examples[0].twin)
    assert len(figure.axes[2].lines) == len(examples[0].outline) and not figure.axes[0].lines


def test_boxes_of_real_images_are_drawn_where_they_are():
    image = np.zeros((10, 20), np.uint8)
    corners = np.array([(0.5, 0.2), (0.75, 0.2), (0.75, 0.6), (0.5, 0.6), (0.5, 0.2)])
    (axis, *_) = causes.figure([causes.Example("Mass", image, None, [corners])]).axes
    x, y = axis.lines[0].get_data()
    assert (x.min(), x.max(), y.min(), y.max()) == (9.5, 14.5, 1.5, 5.5) and axis.get_title() == "Mass"
    assert causes.figure([]).axes[0].texts[0].get_text() == "nothing to show"


def test_a_collection_with_boxes_gives_one_example_per_finding(real_data, tmp_path):
    study = chest.open(data_dir=str(real_data / "chestxray14"), run_dir=str(tmp_path), device="cpu")
    examples = causes.examples(study)
    boxes = study.data.xrays.boxes.drop_duplicates("finding")
    assert [one.finding for one in examples] == boxes["finding"].tolist()[:4]
    assert all(one.twin is None and one.outline[0].max() <= 1 for one in examples)
