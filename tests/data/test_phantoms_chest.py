"""Phantom chest X-rays: the layout, the twin, the truth, and what brightness alone can tell."""

import csv
import io
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import pairwise
from multiprocessing import get_context
from statistics import NormalDist

import numpy as np
import pandas as pd
import pytest
from phantom_writers import WRITERS
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mdlib.data.phantoms import chest
from mdlib.data.phantoms.chest import FINDINGS, Settings, Truth
from mdlib.data.phantoms.chest_film import Case, Film, draw, exposure
from mdlib.errors import DataError

SMALL = WRITERS["chest"].settings
SHIPPED = Settings()


@pytest.fixture(scope="module")
def folder(drawn):
    return drawn("chest")


@pytest.fixture(scope="module")
def shipped():
    """The cases of the shipped set, and mean and standard deviation of each film, drawn at 64 pixels."""
    cases = chest.plan(SHIPPED)
    return cases, measured(cases, 64, SHIPPED.seed)


def case_of(*findings, patient=7, view="PA"):
    return Case(patient, 0, 50, "M", view, findings, "test")


def mask_of(finding, patient, side=128):
    film = Film(case_of(finding, patient=patient), side, seed=1)
    return film.develop() != film.develop(without=finding)


def targets(cases):
    """(N, 15): No Finding, then the 14 findings."""
    found = np.array([[name in case.findings for name in FINDINGS] for case in cases])
    return np.column_stack([~found.any(axis=1), found])


def statistics(side, seed, case):
    """Mean and standard deviation of the film of a case."""
    film = draw(case, side, seed)
    return float(film.mean()), float(film.std())


def measured(cases, side, seed):
    """Mean and standard deviation of every film, (N, 2), on all cores."""
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        return np.array(list(pool.map(partial(statistics, side, seed), cases, chunksize=64)))


# -- the layout

def test_the_tables_have_the_headers_of_nih(folder):
    header = (folder / "Data_Entry_2017.csv").read_text().splitlines()[0]
    assert header == ("Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
                      "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]")
    assert (folder / "BBox_List_2017.csv").read_text().splitlines()[0] == "Image Index,Finding Label,Bbox [x,y,w,h],,,"
    table = pd.read_csv(folder / "Data_Entry_2017.csv")
    assert list(table["Image Index"]) == sorted(path.name for path in (folder / "images").iterdir())
    assert set(table["Patient Gender"]) == {"M", "F"} and set(table["View Position"]) == {"PA", "AP"}
    assert table["Patient Age"].between(0, 95).all()
    known = {name for names in table["Finding Labels"] for name in names.split("|")}
    assert known <= {"No Finding", *FINDINGS}


def test_images_are_grey_8_bit_of_the_asked_side(folder):
    for path in sorted((folder / "images").iterdir())[:5]:
        image = Image.open(path)
        assert (image.format, image.mode, image.size) == ("PNG", "L", (128, 128))


def test_the_two_lists_share_out_the_images_by_patient(folder):
    train_val, test = ((folder / f"{name}_list.txt").read_text().split() for name in ("train_val", "test"))
    table = pd.read_csv(folder / "Data_Entry_2017.csv")
    assert sorted(train_val + test) == sorted(table["Image Index"])
    assert not {name[:8] for name in train_val} & {name[:8] for name in test}


def test_patients_have_one_to_four_films_with_the_same_exposure():
    films = pd.Series([case.patient for case in chest.plan(SHIPPED)]).value_counts()
    assert set(films) == {1, 2, 3, 4} and len(films) == SHIPPED.patients
    assert exposure(0, 5) == exposure(0, 5) != exposure(0, 6)


def test_a_finding_mostly_stays_with_its_patient():
    cases = chest.plan(SHIPPED)
    follow = [(a.findings, b.findings) for a, b in pairwise(cases) if a.patient == b.patient]
    stays = np.mean([name in after for before, after in follow for name in before])
    assert 0.78 < stays < 0.92


def test_boxes_hold_the_mask_and_use_1024_pixels_a_side(folder):
    truth, boxes = Truth(folder), list(csv.reader(io.StringIO((folder / "BBox_List_2017.csv").read_text())))[1:]
    assert {row[1] for row in boxes} <= {*FINDINGS, "Infiltrate"} - {"Infiltration"}
    for name, finding, *box in boxes:
        x, y, w, h = np.array(box, float) / 1024 * SMALL.side
        assert np.allclose([x, y, w, h], np.round([x, y, w, h]), atol=0.01)
        x, y, w, h = np.round([x, y, w, h]).astype(int)
        part = truth.mask(name, finding.replace("Infiltrate", "Infiltration"))[y:y + h, x:x + w]
        assert part.shape == (h, w)
        assert part[0].any() and part[-1].any() and part[:, 0].any() and part[:, -1].any()


# -- how often

def test_prevalence_is_the_fourth_root_of_the_published_one():
    assert chest.prevalence("Hernia") == pytest.approx(0.165 * (227 / 112_120) ** 0.25)
    shares = targets(chest.plan(Settings(patients=6000))).mean(axis=0)
    for finding, share in zip(FINDINGS, shares[1:], strict=True):
        assert share / (0.85 * chest.prevalence(finding)) == pytest.approx(1, abs=0.15), finding


@pytest.mark.parametrize("seed", range(4))
def test_each_class_has_15_test_positives_and_no_finding_is_plentiful(seed):
    cases = chest.plan(Settings(seed=seed))
    there = targets(cases)[[case.split == "test" for case in cases]].sum(axis=0)
    assert there.min() >= 15
    assert 0.35 < targets(cases)[:, 0].mean() < 0.45
    assert 2200 < len(cases) < 2600
    assert sum(len(case.findings) > 1 for case in cases) > 200


def test_counts_are_those_of_the_published_table(real_data):
    table = pd.read_csv(real_data / "chestxray14_table" / "Data_Entry_2017_v2020.csv.gz")
    assert len(table) == chest.IMAGES
    counts = table["Finding Labels"].str.split("|").explode().value_counts()
    assert {name: counts[name] for name in FINDINGS} == chest.PUBLISHED


# -- the counterfactual twin

def test_every_finding_changes_some_pixels_of_some_image(folder):
    truth = Truth(folder)
    areas = [(name, truth.mask(case.image, name).sum()) for case in chest.plan(SMALL) for name in case.findings]
    assert {name for name, _ in areas} == set(FINDINGS) and min(area for _, area in areas) > 0
    first = dict(reversed(areas))
    assert min(first.values()) > 20, first


def test_a_twin_lacks_one_finding_and_keeps_the_others():
    both, one = case_of("Effusion", "Nodule"), case_of("Nodule")
    np.testing.assert_array_equal(draw(both, 128, 0, without="Effusion"), draw(one, 128, 0))


@pytest.mark.parametrize("finding", ["Effusion", "Hernia", "Infiltration", "Mass", "Nodule", "Atelectasis",
                                     "Pneumothorax", "Pleural_Thickening", "Pneumonia", "Consolidation"])
def test_a_local_finding_changes_less_than_half_of_the_film(finding):
    assert np.mean([mask_of(finding, patient).mean() for patient in range(8)]) < (0.15 if finding == "Nodule" else 0.5)


def test_masks_lie_where_the_findings_occur():
    def centre(finding):
        spots = [np.argwhere(mask_of(finding, patient)).mean(axis=0) / 128 for patient in range(12)]
        return np.array(spots)                                              # (12, 2): y, x from 0 to 1

    assert (centre("Effusion")[:, 0] > 2 / 3).all()
    assert (np.abs(centre("Cardiomegaly") - [0.62, 0.56]) < 0.12).all()          # low in the middle
    assert (np.abs(centre("Hernia") - [0.68, 0.52]) < 0.1).all()                # behind the heart
    assert (np.abs(centre("Pneumothorax")[:, 1] - 0.5) > 0.15).all()            # on one side
    assert (centre("Pneumothorax")[:, 0] < 0.55).all()                          # towards the apex
    assert (centre("Atelectasis")[:, 0] > 0.5).all()
    assert (centre("Fibrosis")[:, 0] > 0.5).all()
    assert (np.abs(centre("Edema") - 0.49) < 0.12).all()                        # about the hila


def test_a_pneumothorax_lies_at_the_rim_and_is_dark():
    for patient in range(8):
        film = Film(case_of("Pneumothorax", patient=patient), 128, seed=1)
        ill, well = film.develop().astype(int), film.develop(without="Pneumothorax").astype(int)
        x = np.abs(np.argwhere(ill < well - 3)[:, 1] / 128 - 0.5)
        assert np.median(x) > 0.2
        assert (ill - well)[ill != well].mean() < 0


def test_a_large_heart_is_wider_than_half_the_thorax():
    for patient in range(20):
        film = Film(case_of("Cardiomegaly", patient=patient, view="AP"), 64, seed=2)
        assert film.body.ctr < 0.5 < film.measures(("Cardiomegaly",)).ctr


# -- what brightness can tell

def test_exposure_does_not_look_at_the_findings():
    rng = np.random.default_rng(0)
    for patient in rng.integers(1, 1000, 10):
        with_all, without = (Film(case_of(*names, patient=int(patient)), 64, 0) for names in (FINDINGS, ()))
        assert with_all.exposure == without.exposure
        np.testing.assert_array_equal(with_all.noise, without.noise)
        np.testing.assert_array_equal(with_all.frame, without.frame)


@pytest.mark.parametrize("finding", FINDINGS)
def test_a_finding_moves_the_brightness_far_less_than_the_exposure_does(finding):
    """Exposure is independent, so twins give the AUROC: Phi(mean shift / (sqrt(2) times the spread of brightness))."""
    films = [Film(case_of(finding, patient=patient), 64, seed=5) for patient in range(40)]
    ill, well = (np.array([film.develop(without).mean() for film in films]) for without in (None, finding))
    assert 0.4 < NormalDist().cdf((ill - well).mean() / (np.sqrt(2) * well.std())) < 0.6


def test_brightness_alone_tells_nothing_on_the_shipped_set(shipped):
    """0.4 to 0.6, give or take two standard errors, the patients with the finding being the sample."""
    cases, brightness = shipped
    for k, there in enumerate(targets(cases).T):
        patients = len({case.patient for case, ill in zip(cases, there, strict=True) if ill})
        assert abs(roc_auc_score(there, brightness[:, 0]) - 0.5) < 0.1 + 2 / np.sqrt(12 * patients), k


@pytest.mark.soak
def test_over_10_000_draws_brightness_has_an_auroc_between_0_4_and_0_6_for_every_class():
    cases = [case for case in chest.plan(Settings(patients=10_000, side=64, seed=12)) if case.follow_up == 0]
    assert len(cases) == 10_000
    scores = roc_auc_score(targets(cases), np.tile(measured(cases, 64, 12)[:, :1], 15), average=None)
    assert ((scores > 0.4) & (scores < 0.6)).all(), scores


def test_five_numbers_stay_below_0_65_on_the_shipped_set(shipped):
    cases, brightness = shipped
    test, wanted = np.array([case.split == "test" for case in cases]), targets(cases)
    five = np.column_stack([[(case.view == "AP", case.sex == "M", case.age) for case in cases],
                            brightness])
    scores = []
    for column in wanted.T:
        model = make_pipeline(StandardScaler(), LogisticRegression()).fit(five[~test], column[~test])
        scores.append(roc_auc_score(column[test], model.predict_proba(five[test])[:, 1]))
    assert np.mean(scores) < 0.65


# -- errors

def test_errors_name_the_image_the_finding_and_the_remedy(folder, tmp_path):
    healthy = next(case for case in chest.plan(SMALL) if not case.findings)
    assert not Truth(folder).mask(healthy.image, "Mass").any()
    with pytest.raises(DataError, match=rf"{healthy.image}.*does not show 'Mass'"):
        chest.twin(folder, healthy.image, without="Mass")
    with pytest.raises(DataError, match=r"99999999_000.png.*no such image"):
        chest.twin(folder, "99999999_000.png")
    with pytest.raises(DataError, match="unknown finding 'Massive'"):
        Truth(folder).mask(healthy.image, "Massive")
    with pytest.raises(DataError, match="no phantom collection"):
        Truth(tmp_path)
