"""Phantom breast histology: classes, what is known of a picture against its pixels, and what colour can tell."""

from collections import Counter

import numpy as np
import pandas as pd
import pytest
from colour_numbers import accuracy, colour_numbers
from PIL import Image
from scipy.ndimage import binary_dilation, label
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from mdlib.data import bach
from mdlib.data.phantoms import breast
from mdlib.data.phantoms.breast import CLASSES, Settings, Truth
from mdlib.data.phantoms.breast_tissue import PARTS, Section
from mdlib.errors import DataError, SettingsError

LABELS = dict(zip(("n", "b", "is", "iv"), CLASSES, strict=True))
TUMOUR = {"solid", "cribriform", "comedo"}
FILLINGS = {"Normal": {"normal"}, "Benign": {"mild", "moderate", "florid"}, "InSitu": TUMOUR, "Invasive": TUMOUR}


@pytest.fixture(scope="module")
def folder(drawn):
    return drawn("breast")


@pytest.fixture(scope="module")
def truth(folder):
    return Truth(folder)


@pytest.fixture(scope="module")
def pictures(folder, truth):
    """The pictures of each class by their name."""
    found = {name: {} for name in CLASSES}
    for case in breast.plan(truth.settings):
        path = folder / breast.HOME / "Photos" / case.label / f"{case.image}.tif"
        found[case.label][case.image] = np.asarray(Image.open(path)).astype(int)
    return found


def test_every_patient_has_five_pictures_of_one_class():
    cases = breast.plan(Settings(patients=15))
    assert Counter(case.label for case in cases) == dict.fromkeys(CLASSES, 75)
    assert set(Counter(case.patient for case in cases).values()) == {5} and len({c.patient for c in cases}) == 60
    assert len({(case.patient, case.label) for case in cases}) == 60
    assert all(case.image == f"{next(p for p, n in LABELS.items() if n == case.label)}{case.image[-3:]}"
               for case in cases)
    assert CLASSES == bach.CLASSES


def test_a_picture_shows_ducts_of_its_class_whole_and_may_show_normal_ones(truth):
    for case in breast.plan(truth.settings):
        shown = truth.boxes(case.image, shows=True)
        assert shown and {box.kind for box in shown} <= FILLINGS[case.label]
        assert {box.kind for box in truth.boxes(case.image, shows=False)} <= {"normal"}
        for box in shown:
            assert box.left >= 0 and box.top >= 0 and box.right <= 320 and box.bottom <= 256


def test_boxes_enclose_the_numbers_of_the_label_map(truth):
    for case in breast.plan(truth.settings):
        labels = truth.labels(case.image)
        boxes = {box.number: box for box in truth.boxes(case.image)}
        assert boxes.keys() == set(np.unique(labels[labels > 0]).tolist())
        for number, box in boxes.items():
            inside = labels[box.top:box.bottom, box.left:box.right] == number
            assert inside.sum() == (labels == number).sum()
            assert inside.any(axis=0)[[0, -1]].all() and inside.any(axis=1)[[0, -1]].all()


def enclosed(truth, image: str) -> dict[int, bool]:
    """For each duct that shows the class, whether the membrane keeps its middle apart from what is outside."""
    free, labels = label(~truth.mask(image, "membrane"))[0], truth.labels(image)
    outside = np.bincount(free[labels == 0])[1:].argmax() + 1
    return {box.number: outside not in free[labels == box.number]
            for box in truth.boxes(image, shows=True)}


def test_membranes_are_closed_but_in_invasive_pictures(truth, pictures):
    for name in CLASSES:
        for image in pictures[name]:
            closed = enclosed(truth, image).values()
            assert not any(closed) if name == "Invasive" else all(closed), image


def test_only_invasive_pictures_have_gaps_and_nests_and_each_of_their_ducts_has_a_gap(truth, pictures):
    for name in CLASSES:
        for image in pictures[name]:
            gap, nests, labels = truth.mask(image, "gap"), truth.mask(image, "nests"), truth.labels(image)
            assert gap.any() == nests.any() == (name == "Invasive")
            number = label(gap, np.ones((3, 3)))[1]
            assert number == (len(truth.boxes(image, shows=True)) if name == "Invasive" else 0)
            if name == "Invasive":
                assert (labels[nests] == 0).any() and not (truth.mask(image, "membrane") & (gap | nests)).any()


def test_a_gap_is_six_to_fourteen_pixels_wide(truth, pictures):
    for image in pictures["Invasive"]:
        gaps, count = label(truth.mask(image, "gap"), np.ones((3, 3)))
        for number in range(1, count + 1):
            places = np.argwhere(gaps == number)
            width = np.hypot(*(places[:, None] - places).transpose(2, 0, 1)).max()
            assert 5 <= width <= 16          # the line is two pixels thick


def test_the_masks_agree_with_the_pixels(truth, pictures):
    """Nuclei are bluer and darker than the rest of their duct; the membrane takes up more eosin than what is near."""
    for of_class in pictures.values():
        for image, pixels in of_class.items():
            red, green = pixels[..., 0], pixels[..., 1]
            nuclei, membrane = truth.mask(image, "nuclei"), truth.mask(image, "membrane")
            ducts = truth.labels(image) > 0
            assert red[nuclei].mean() < red[ducts & ~nuclei].mean() - 40, image
            near = binary_dilation(membrane, iterations=4) & ~binary_dilation(membrane, iterations=2) & ~nuclei
            assert green[membrane].mean() < green[near].mean() - 15, image


def test_tumour_nuclei_are_larger_than_regular_ones(truth):
    """The same in situ and invasive: the nuclei of the ducts do not tell these apart. Flat ones at the membrane aside.

    Nuclei touch one another, so that their pixels are counted by the nucleus that is seen, not from the mask.
    """
    area = {name: [] for name in CLASSES}
    for case in breast.plan(truth.settings):
        section = Section(case.look(truth.settings))
        nuclei, drawn = section._nuclei, section._drawn
        inside = np.any([duct.depth(*nuclei.middles.T)[0] > 7 for duct in section.layout.ducts if duct.shows], axis=0)
        pixels = np.bincount(drawn.number[drawn.cover > 0.5], minlength=len(nuclei))
        area[case.label] += pixels[inside & nuclei.epithelial & (pixels > 0)].tolist()
    middle = {name: np.median(found) for name, found in area.items()}
    assert min(map(len, area.values())) > 300
    assert 0.85 < middle["InSitu"] / middle["Invasive"] < 1.2
    assert min(middle["InSitu"], middle["Invasive"]) > 1.4 * max(middle["Normal"], middle["Benign"])


def test_the_parts_of_a_picture_are_asked_for_by_name(truth):
    assert PARTS == ("membrane", "gap", "nests", "nuclei")
    with pytest.raises(SettingsError, match="Known are membrane, gap"):
        truth.mask("n001", "lumen")
    with pytest.raises(DataError, match="n999: no such picture"):
        truth.labels("n999")
    with pytest.raises(DataError, match="n999: no such picture"):
        breast.twin(truth.folder, "n999")


@pytest.fixture(scope="module")
def colours():
    """Colour, class and patient of 80 pictures, two of each patient."""
    settings = Settings(patients=10, pictures=2, height=256, width=256)
    cases = breast.plan(settings)
    return (colour_numbers(Section(case.look(settings)).draw() for case in cases), [case.label for case in cases],
            [case.patient for case in cases])


@pytest.mark.parametrize("classifier", [LogisticRegression(max_iter=1000), KNeighborsClassifier(7)])
def test_colour_alone_does_not_tell_the_class_of_other_patients(colours, classifier):
    assert accuracy(classifier, *colours) <= 0.30                # chance is 0.25


def test_the_stain_differs_between_patients_more_than_between_pictures_of_one(colours):
    numbers, _, patients = colours
    of_patient = pd.DataFrame(numbers[:, :3]).groupby(patients)
    assert (of_patient.mean().std() > of_patient.std().mean()).all()
