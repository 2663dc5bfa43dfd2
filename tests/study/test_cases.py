"""Cases for the explorer: of single images, of volumes and of reports."""

import numpy as np

from mdlib.study.cases import box_outlines, cases, outlines
from mdlib.widgets.explorer import explorer

CHANCE = np.random.default_rng(0)
CLASSES = ("No Finding", "Mass")


def images(*shape: int) -> np.ndarray:
    return CHANCE.integers(0, 255, shape).astype(np.uint8)


def test_images_become_one_case_each_with_their_own_twins():
    logits = CHANCE.normal(size=(2, 2))
    maps = {"Grad-CAM": CHANCE.normal(size=(2, 2, 3, 3)), "attention": CHANCE.random((2, 1, 4, 4))}
    signal = {"Grad-CAM": np.array([[True, False], [True, True]])}
    first, second = images(2, 8, 8), images(1, 8, 8)
    twins = cases(second, CLASSES, [[1, 0]], logits=logits[:1], maps={name: of[:1] for name, of in maps.items()})
    found = cases(first, CLASSES, [[0, 1], [1, 0]], logits=logits, maps=maps, signal=signal, name=["a", "b"],
                  outline="cause", twins=[{"Mass": twins[0]}, {}])
    assert [case.name for case in found] == ["a", "b"] and {case.outline for case in found} == {"cause"}
    np.testing.assert_allclose(found[1].probability, 1 / (1 + np.exp(-logits[1])))
    np.testing.assert_array_equal(found[1].maps["attention"], maps["attention"][1])
    assert found[0].signal["Grad-CAM"].tolist() == [True, False] and "attention" not in found[0].signal
    assert found[0].twins["Mass"] is twins[0] and not found[1].twins
    assert len(explorer(found).cases) == 2


def test_volumes_and_reports_fit_as_well():
    probability = np.array([[0.2, 0.8]])
    volume = cases([images(3, 8, 8)], CLASSES, [[0, 1]], logits=np.log(probability), probability=probability,
                   maps={"gradient": [CHANCE.normal(size=(3, 2, 4, 4))]}, signal={"gradient": [np.ones((3, 2), bool)]},
                   scores=[np.array([0.1, 0.9, 0.2])], marks=[[[(0.1, 0.1, 0.2, 0.2, "1", "Mass")], [], []]],
                   contours=[{"Mass": [[], outlines(np.eye(8) > 0), []]}])
    assert explorer(volume)._slice() == 1
    report = cases(images(1, 8, 8, 3), CLASSES, [[0, 1]], logits=np.log(probability), probability=probability,
                   maps={"class": CHANCE.random((1, 2, 2, 2))}, report=[[("mitosis", ["none", "seen"])]],
                   attention={"sharp": [np.full((2, 2, 2), 0.25)]}, correct=[[True]], reference=[["rare"]])
    assert explorer(report).mechanisms == ["sharp"] and report[0].attention["sharp"].shape == (2, 2, 2)


def test_no_image_gives_no_case():
    assert cases([], CLASSES, [], logits=[], maps={}) == []


def test_outlines_are_in_fractions_of_the_sides():
    mask = np.zeros((4, 8), bool)
    mask[1:3, 2:4] = True
    line, = outlines(mask)
    assert line[:, 0].min() == 0.25 and line[:, 0].max() == 0.5        # x: 2 to 4 of 8
    assert line[:, 1].min() == 0.25 and line[:, 1].max() == 0.75       # y: 1 to 3 of 4
    assert outlines(np.zeros((4, 4), bool)) == []
    line, = box_outlines([(0.1, 0.2, 0.5, 0.6)])
    assert line.tolist() == [[0.2, 0.1], [0.6, 0.1], [0.6, 0.5], [0.2, 0.5], [0.2, 0.1]] and box_outlines([]) == []
