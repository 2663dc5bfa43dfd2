"""Phantom mammograms: who has what, outlines, concepts against pixels, and what mean and spread alone can tell."""

from collections import Counter

import numpy as np
import pytest
from phantom_writers import WRITERS
from scipy.ndimage import binary_dilation, binary_erosion, binary_fill_holes
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold, cross_val_predict

from mdlib.data.ddsm import ddsm
from mdlib.data.ddsm_overlays import drawn as filled
from mdlib.data.film_patches import breast_mask, inside, label_rule, windows
from mdlib.data.phantoms import mammogram
from mdlib.data.phantoms.mammogram import Settings, Truth
from mdlib.data.phantoms.mammogram_ddsm import KEYWORDS, chain_code
from mdlib.data.phantoms.mammogram_film import CONCEPTS, Film
from mdlib.data.phantoms.mammogram_findings import BENIGN, KINDS, MALIGNANT
from mdlib.errors import DataError, SettingsError

SMALL, SHIPPED = WRITERS["mammogram"].settings, Settings()
SHOWS = {"spiculated mass": {"mass", "spiculation"}, "grouped calcifications": {"malignant calcification"},
         "architectural distortion": {"architectural distortion"}, "circumscribed mass": {"mass"},
         "benign calcifications": {"benign calcification"}, "calcified vessel": {"calcified vessel"}}


@pytest.fixture(scope="module")
def folder(drawn):
    return drawn("mammogram")


@pytest.fixture(scope="module")
def films(folder):
    return ddsm(folder)


@pytest.fixture(scope="module")
def truth(folder):
    return Truth(folder)


@pytest.fixture(scope="module")
def patients():
    return list({case.patient.number: case.patient for case in mammogram.plan(SHIPPED)}.values())


# -- who has what

def test_the_shipped_collection_has_240_films_of_60_patients(patients):
    cases = mammogram.plan(SHIPPED)
    assert len(cases) == len({case.film for case in cases}) == 240
    assert Counter(patient.label for patient in patients) == {"cancer": 24, "benign": 20, "normal": 16}
    assert [patient.number for patient in patients] == list(range(1, 61))
    assert cases != mammogram.plan(Settings(seed=1))


def test_density_and_exposure_are_the_same_for_every_label(patients):
    for label in mammogram.LABELS:
        of_label = [patient for patient in patients if patient.label == label]
        gains = sorted(patient.gain for patient in of_label)
        np.testing.assert_allclose(gains, (np.arange(len(gains)) + 0.5) / len(gains))
        dense = np.bincount([patient.density for patient in of_label], minlength=5)[1:] / len(of_label)
        assert np.abs(dense - mammogram.DENSITIES).max() < 1 / len(of_label)
    together = np.corrcoef([patient.gain for patient in patients], [patient.density for patient in patients])[0, 1]
    assert abs(together) < 0.3


def test_cancers_have_malignant_findings_in_one_breast_and_normal_patients_none(patients):
    for patient in patients:
        malignant = [finding.side for finding in patient.findings if finding.malignant]
        benign = [finding.kind for finding in patient.findings if not finding.malignant]
        assert len(set(malignant)) == (patient.label == "cancer")
        assert (1 <= len(malignant) <= 3) == (patient.label == "cancer")
        assert patient.label == "cancer" or bool(benign) == (patient.label == "benign")
    kinds = Counter(finding.kind for patient in patients for finding in patient.findings)
    assert set(kinds) == set(KINDS) == {*MALIGNANT, *BENIGN} and min(kinds.values()) >= 8


def test_more_patients_than_ddsm_can_number_are_refused():
    with pytest.raises(SettingsError, match="at most 9,999"):
        Settings(patients=10_000)


# -- the layout and the outlines

def test_both_views_of_a_breast_show_what_was_planned(films, truth):
    for film, table in films.table.groupby("film"):
        case, found = truth.case(film), films.findings[films.findings["film"] == film]
        assert (table["category"] == case.patient.label).all() and len(found) == len(case.findings)
        assert found["malignant"].tolist() == [finding.malignant for finding in case.findings]
        for (_, row), finding in zip(found.iterrows(), case.findings, strict=True):
            words = KEYWORDS[finding.kind][0].split()
            assert row["kind"] == words[0].lower() and row[words[1].lower()] == words[2]
            assert row[words[3].lower()] == words[4] and 1 <= row["subtlety"] <= 5
    sides = films.findings.merge(films.table, on="film").groupby(["patient", "side", "number"])
    assert (sides["view"].nunique() == 2).all() and (sides["kind"].nunique() == 1).all()


def test_an_outline_encloses_what_the_finding_changes_and_little_else(films, truth):
    for row, finding in films.findings.iterrows():
        case = truth.case(finding["film"])
        drawn_film = Film(case, truth.settings.seed)
        read, number = films.outline(films, row), finding["number"] - 1
        line = np.zeros(read.shape, bool)
        line[tuple(drawn_film.contours()[number].T[::-1])] = True
        own = binary_fill_holes(line)
        assert (own & read).sum() / (own | read).sum() > 0.99
        changed = drawn_film._turned(drawn_film.marks[number].change) != 0
        assert changed.any() and not (changed & ~read).any()
        for axis in (0, 1):                                         # it goes 1 to 3 pixels beyond
            (first, last), (start, end) = (np.flatnonzero(each.any(axis))[[0, -1]] for each in (read, changed))
            assert 1 <= start - first <= 3 and 1 <= last - end <= 3


def test_a_chain_code_is_start_column_and_row_and_clockwise_steps_from_up():
    square = np.array([(4, 7), (5, 7), (6, 7), (6, 8), (6, 9), (5, 9), (4, 9), (4, 8)])
    assert chain_code(square) == "4 7 2 2 4 4 6 6 0 0 #"
    assert chain_code(np.array([(3, 1), (4, 2), (3, 3), (2, 2)])) == "3 1 3 5 7 1 #"
    assert filled(square, (12, 9), (12, 9)).sum() == 9


# -- concepts

def test_a_film_shows_the_concepts_of_its_findings_and_no_others(films, truth):
    for film, view in zip(films.table["film"], films.table["view"], strict=True):
        shown = {concept for concept in CONCEPTS if truth.mask(film, concept).any()}
        expected = set().union(*(SHOWS[finding.kind] for finding in truth.case(film).findings))
        expected |= {"vessel", "dense tissue", "skin", "nipple"} | ({"pectoral muscle"} if view == "MLO" else set())
        assert shown | {"dense tissue"} == expected, film


def test_concepts_lie_within_the_breast_and_findings_within_their_outlines(films, truth):
    for film, side in zip(films.table["film"], films.table["side"], strict=True):
        breast, malignant, benign = truth.mask(film, "breast"), films.mask(film, True), films.mask(film, False)
        assert breast[:, 0 if side == "left" else -1].sum() > 100 and 0.3 < breast.mean() < 0.85
        for concept in CONCEPTS:
            assert not (truth.mask(film, concept) & ~breast).any(), concept
        for concept in ("spiculation", "malignant calcification", "architectural distortion"):
            assert not (truth.mask(film, concept) & ~malignant).any(), concept
        for concept in ("benign calcification", "calcified vessel"):
            assert not (truth.mask(film, concept) & ~binary_dilation(benign, iterations=2)).any(), concept
        assert not (truth.mask(film, "mass") & ~malignant & ~benign).any()
        skin = truth.mask(film, "skin") | truth.mask(film, "nipple")
        inner = binary_erosion(breast, np.ones((3, 3)), iterations=10, border_value=1)
        assert not (skin & inner & ~truth.mask(film, "nipple")).any()
        assert not (breast & ~binary_erosion(breast, iterations=2, border_value=1) & ~skin).any()
        assert not (truth.mask(film, "dense tissue") & truth.mask(film, "pectoral muscle")).any()


def test_the_breast_filter_finds_the_breast(films, truth):
    for row, film in enumerate(films.table["film"]):
        found, breast = breast_mask(films.read(row)), truth.mask(film, "breast")
        assert (found & breast).sum() / (found | breast).sum() > 0.95


def test_the_masks_agree_with_the_pixels(films, truth, folder):
    """Muscle, glands and findings are brighter than the fat beside them; around the breast it is black."""
    for row, film in enumerate(films.table["film"]):
        grey, breast = films.read(row).astype(int), truth.mask(film, "breast")
        near = binary_dilation(breast, iterations=3)
        assert np.median(grey[~near]) < 10 and grey[near & ~breast].max() < 20
        muscle, dense, skin = (truth.mask(film, name) for name in ("pectoral muscle", "dense tissue", "skin"))
        fat = binary_erosion(breast, iterations=30, border_value=1) & ~muscle & ~dense
        fat &= ~films.mask(film) & ~truth.mask(film, "vessel")
        assert 25 < grey[fat].mean() < 150 and grey[skin].mean() < grey[fat].mean()
        assert not dense.any() or grey[dense].mean() > grey[fat].mean() + 15
        assert not muscle.any() or grey[muscle].mean() > grey[fat].mean() + 25
        change = grey - mammogram.twin(folder, film)
        for concept, least in {"mass": 8, "spiculation": 4, "malignant calcification": 4, "benign calcification": 10,
                               "calcified vessel": 5}.items():
            mask = truth.mask(film, concept)
            assert not mask.any() or change[mask].mean() > least, (film, concept)


def test_denser_breasts_show_more_dense_tissue(patients):
    share = {}
    for patient in patients[:24]:
        film = Film(mammogram.Case(patient, "LEFT", "CC"), 0)
        dense = film.masks()["dense tissue"].sum() / (film.outline.depth > 0).sum()
        share.setdefault(patient.density, []).append(dense)
    means = [np.mean(share[density]) for density in (1, 2, 3, 4)]
    assert means == sorted(means) and means[0] < 0.12 and means[3] > 0.3


def test_findings_keep_clear_of_the_skin_and_of_one_another():
    for case in mammogram.plan(SHIPPED):
        if case.findings and case.view == "CC":
            film = Film(case, SHIPPED.seed)
            places = film._places()
            assert all(film.outline.depth[round(y), round(x)] > 10 for x, y in places)
            assert all(np.hypot(*np.subtract(a, b)) >= 36 for k, a in enumerate(places) for b in places[:k])


# -- what is hard

def patches_of(case, seed):
    """Mean, spread, whether positive, patient and the share of each concept, of each window that is half breast."""
    film = Film(case, seed)
    grey, masks, where = film.develop(), film.masks(), windows(320, 256)
    lesions = [filled(contour, grey.shape, grey.shape)
               for contour, finding in zip(film.contours(), case.findings, strict=True) if finding.malignant]
    cut = np.stack([grey[y:y + side, x:x + side] for y, x, side in where])
    columns = [cut.mean(axis=(1, 2)), cut.std(axis=(1, 2)), np.max(label_rule(lesions, where), axis=0) >= 0.3,
               np.full(len(where), case.patient.number), *(inside(masks[name], where) / 64**2 for name in CONCEPTS)]
    return np.stack(columns, axis=1)[inside(masks["breast"], where) >= 64**2 / 2]


@pytest.fixture(scope="module")
def patches():
    """Of the first 24 patients of the shipped collection, one row per patch."""
    return np.concatenate([patches_of(case, SHIPPED.seed) for case in mammogram.plan(SHIPPED)[:96]])


@pytest.mark.parametrize("classifier", [LogisticRegression(), HistGradientBoostingClassifier(max_leaf_nodes=6,
                                                                                             max_iter=50)])
def test_mean_and_spread_of_a_patch_do_not_tell_the_label_in_other_patients(patches, classifier):
    numbers, positive, patient = patches[:, :2], patches[:, 2] > 0, patches[:, 3]
    score = cross_val_predict(classifier, (numbers - numbers.mean(axis=0)) / numbers.std(axis=0), positive,
                              groups=patient, cv=GroupKFold(4), method="predict_proba")[:, 1]
    assert roc_auc_score(positive, score) <= 0.70


def test_patches_and_concepts_are_as_frequent_as_in_the_specification(patches):
    """9,916 patches of 240 films, 5.8 % positive; dense tissue 13.8 %, muscle 5.5 %, skin 3.4 % of their pixels."""
    assert 37 < len(patches) / 96 < 45 and 0.04 < patches[:, 2].mean() < 0.08
    share = dict(zip(CONCEPTS, patches[:, 4:].mean(axis=0), strict=True))
    assert 0.10 < share["dense tissue"] < 0.19 and 0.04 < share["pectoral muscle"] < 0.075
    assert 0.02 < share["skin"] < 0.045 and min(share.values()) > 0.0002


# -- errors

def test_errors_name_the_film_the_concept_and_the_remedy(truth, tmp_path):
    with pytest.raises(DataError, match=r"cancer_01-A_9999_1.LEFT_CC.*no such film"):
        truth.mask("cancer_01-A_9999_1.LEFT_CC", "mass")
    with pytest.raises(DataError, match="no such film"):
        mammogram.twin(truth.folder, "nobody")
    with pytest.raises(SettingsError, match=r"unknown concept 'tumour'.*Known: mass"):
        truth.mask(mammogram.plan(SMALL)[0].film, "tumour")
    with pytest.raises(DataError, match="no phantom collection"):
        Truth(tmp_path)
