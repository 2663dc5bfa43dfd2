"""Phantom Aspergillus: layout, truth, the key of each species in the masks, patients, what colour can tell."""

from collections import defaultdict
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
from colour_numbers import accuracy, colour_numbers
from PIL import Image
from scipy.ndimage import binary_dilation, binary_erosion
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from mdlib.data.phantoms.fungi import BARE, CLASSES, HEADS, Settings, Truth, plan, twin
from mdlib.data.phantoms.fungi_heads import HEAD, PARTS, SPECIES
from mdlib.data.phantoms.fungi_slide import SHAPE, Case, Slide
from mdlib.errors import DataError, SettingsError


@pytest.fixture(scope="module")
def folder(drawn):
    return drawn("fungi")


@pytest.fixture(scope="module")
def truth(folder):
    return Truth(folder)


def names(truth):
    return [case.image for case in plan(truth.settings)]


class LoneHead(NamedTuple):
    """A conidial head that no other touches: its slide, its number there, its parts bool (H, W)."""
    slide: Slide
    number: int
    parts: dict[str, np.ndarray]


@pytest.fixture(scope="module")
def heads():
    """The lone heads of each species, in eight pictures of each."""
    settings, found = Settings(patients=4, pictures=2), defaultdict(list)
    for case in plan(settings):
        slide = Slide(case, settings.seed)
        numbers, bits = slide.labels()
        reached = np.sum([slide.body(number) for number in range(1, case.heads + 1)], axis=0)
        for number in range(1, case.heads + 1):
            if reached[slide.body(number)].max() == 1:
                found[case.label].append(LoneHead(slide, number, {
                    part: (bits >> PARTS.index(part) & 1).astype(bool) & (numbers == number) for part in HEAD}))
    assert {label: len(lone) >= 5 for label, lone in found.items()} == dict.fromkeys(CLASSES, True)
    return found


def middle(mask):
    return np.argwhere(mask).mean(axis=0)


def turns(mask, centre):
    """Where the pixels of a mask lie as seen from a point: angles (N,)."""
    away = np.argwhere(mask) - centre
    return np.arctan2(away[:, 0], away[:, 1])


def test_pictures_are_small_colour_jpegs_in_a_folder_for_each_species(folder):
    paths = sorted(folder.glob("*/*.jpg"))
    assert len(paths) == 20 and {path.parent.name for path in paths} == set(CLASSES)
    for path in paths:
        image = Image.open(path)
        assert (image.format, image.mode, image.size) == ("JPEG", "RGB", SHAPE[::-1])
        assert 40_000 < path.stat().st_size < 110_000


def test_the_shipped_set_has_as_many_patients_heads_and_bare_vesicles_of_each_species():
    patients, counts = defaultdict(set), defaultdict(list)
    for case in plan(Settings()):
        patients[case.label].add(case.patient)
        counts[case.label].append((case.heads, case.bare))
    assert {label: len(found) for label, found in patients.items()} == dict.fromkeys(CLASSES, 30)
    assert len(set.union(*patients.values())) == 150
    for found in counts.values():
        each, bare = (np.bincount(column) for column in np.transpose(found))
        assert sorted(each[list(HEADS)].tolist()) == [37, 37, 38, 38] and bare[list(BARE)].tolist() == [50] * 3


def test_heads_and_bare_vesicles_are_numbered_and_boxed_as_planned(truth, folder):
    told = pd.read_csv(folder / "truth" / "boxes.csv")
    assert set(told["image"]) == set(names(truth))
    for case in plan(truth.settings):
        boxes, labels = truth.boxes(case.image), truth.labels(case.image)
        assert [(box.kind, box.number) for box in boxes] == [
            *(("head", number) for number in range(1, case.heads + 1)),
            *(("bare", number) for number in range(1, case.bare + 1))]
        assert [tuple(row)[1:] for row in told[told["image"] == case.image].itertuples(index=False)] == boxes
        for box in boxes[:case.heads]:
            inside = np.zeros(SHAPE, bool)
            inside[box.top:box.bottom, box.left:box.right] = True
            there = labels == box.number
            assert not (there & ~inside).any() and there[box.top].any() and there[:, box.right - 1].any()
            assert 40 < box.right - box.left < 170 and 40 < box.bottom - box.top < 170


def test_a_head_is_its_parts_without_its_stipe(truth):
    for name in names(truth):
        parts = {part: truth.mask(name, part) for part in PARTS}
        assert (np.any([parts[part] for part in HEAD], axis=0) == (truth.labels(name) > 0)).all()
        assert parts["stipe"].any() and parts["conidia"].sum() > parts["vesicle"].sum()


@pytest.mark.parametrize("label, least, most", [("fumigatus", 0.60, 0.75), ("flavus", 0.86, 1.0), ("niger", 0.86, 1.0),
                                                ("terreus", 0.38, 0.56), ("nidulans", 0.38, 0.56)])
def test_phialides_cover_as_much_of_the_vesicle_as_the_key_says(heads, label, least, most):
    shares = []
    for _, _, parts in heads[label]:
        round_it = turns((parts["phialides"] | parts["metulae"]) & ~parts["vesicle"], middle(parts["vesicle"]))
        shares.append((np.histogram(round_it, 36, (-np.pi, np.pi))[0] > 3).mean())
    assert least < np.mean(shares) <= most
    assert np.std(shares) < 0.05


@pytest.mark.parametrize("label", CLASSES)
def test_phialides_stand_on_metulae_where_the_key_says_two_rows(heads, label):
    for _, _, parts in heads[label]:
        assert parts["metulae"].any() == (SPECIES[label].rows == 2)
        if parts["metulae"].any():
            centre = middle(parts["vesicle"])
            away = {part: np.linalg.norm(np.argwhere(parts[part]) - centre, axis=1).mean() for part in PARTS[1:4]}
            assert 1.1 * away["metulae"] < away["phialides"] < away["conidia"] / 1.1


@pytest.mark.parametrize("label", CLASSES)
def test_chains_of_conidia_run_outwards_or_along_the_axis(heads, label):
    """How far the directions of conidia, as seen from the vesicle, agree: chains that run outwards all round cancel."""
    agree = [abs(np.exp(1j * turns(parts["conidia"], middle(parts["vesicle"]))).mean())
             for _, _, parts in heads[label]]
    assert min(agree) > 0.55 if SPECIES[label].columnar else max(agree) < 0.45


def test_below_the_heads_of_nidulans_lie_huelle_cells_and_below_others_clumps_of_conidia(heads):
    """Hülle cells are painted, conidia are stamped."""
    for label in CLASSES:
        for slide, number, parts in heads[label]:
            patch = slide._whole[number - 1]
            stamped = patch.stamped()[parts["below"][patch.place]].mean()
            assert stamped < 0.05 if label == "nidulans" else stamped > 0.3


def test_a_bare_twin_keeps_the_stipe_and_the_vesicle_and_loses_the_rest(truth):
    case = next(case for case in plan(truth.settings) if case.label == "flavus")
    slide = Slide(case, truth.settings.seed)
    whole, bare, gone = (slide.draw(**left).astype(int) for left in ({}, {"bare": (1,)}, {"without": (1,)}))
    parts = {part: slide.body(1) & truth.mask(case.image, part) for part in PARTS}
    head = truth.labels(case.image) > 0
    stipe, stalk = parts["stipe"] & ~head, parts["stipe"] | parts["vesicle"]
    conidia = binary_erosion(parts["conidia"] & ~binary_dilation(stalk, iterations=4))
    assert np.abs(whole - bare)[stipe].mean() < 2 and (np.abs(bare - gone).max(axis=2)[stipe] > 8).mean() > 0.8
    assert (bare == gone)[conidia].all() and (np.abs(whole - bare).max(axis=2)[conidia] > 8).mean() > 0.8
    assert (np.abs(bare - gone).max(axis=2)[parts["vesicle"]] > 8).mean() > 0.8


def test_an_unknown_picture_head_or_part_is_refused(folder, truth):
    with pytest.raises(DataError, match="no such picture"):
        twin(folder, "P999_01")
    name = names(truth)[0]
    with pytest.raises(DataError, match="no head \\[9\\]"):
        twin(folder, name, without=(9,))
    with pytest.raises(SettingsError, match="no 'gills'"):
        truth.mask(name, "gills")


@pytest.fixture(scope="module")
def colours():
    """Colour, species and patient of 80 pictures, each of another patient."""
    settings = Settings(patients=16, pictures=1, seed=11)
    cases = plan(settings)
    return (colour_numbers(Slide(case, settings.seed).draw() for case in cases), [case.label for case in cases],
            [case.patient for case in cases])


def test_stains_differ_between_patients_more_than_within():
    means = np.array([[Slide(Case(f"P{p}_{k}", f"P{p}", CLASSES[p % 5], 3, 1), 5).draw().mean(axis=(0, 1))
                       for k in range(3)] for p in range(8)])
    assert (means.mean(axis=1).std(axis=0) > means.std(axis=1).mean(axis=0)).all()


@pytest.mark.parametrize("classifier", [LogisticRegression(max_iter=5000), KNeighborsClassifier(7)])
def test_colour_alone_does_not_tell_the_species_of_other_patients(colours, classifier):
    assert accuracy(classifier, *colours) <= 0.30       # chance is 0.20, with a standard error of 0.045
