"""Phantom OCT volumes: the layout, the twin, the truth, and what brightness alone can tell."""

import csv

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.ndimage import label
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mdlib.data.phantoms import oct, oct_places
from mdlib.data.phantoms.oct import Knobs, Settings, Truth
from mdlib.data.phantoms.oct_scan import DEVICES, Case, Scan
from mdlib.errors import DataError

SHIPPED = Settings()


@pytest.fixture(scope="module")
def folder(drawn):
    return drawn("oct")


@pytest.fixture(scope="module")
def table(folder):
    return pd.read_csv(folder / "labels.csv")


def read(folder, volume):
    return np.stack([np.asarray(Image.open(path)) for path in sorted((folder / volume).iterdir())])


def scan_of(label, number=0, device="cirrus", knobs=None):
    return Scan(Case(f"V{number}", f"P{number}", label, device, "OD"), knobs or Knobs(), seed=5)


# -- the layout

def test_the_folder_holds_a_table_a_folder_of_grey_slices_a_volume_and_the_truth(folder, table):
    assert list(table) == ["volume", "patient", "class", "device", "eye"]
    assert set(table["class"]) == {"normal", "DME"} and set(table["device"]) == set(DEVICES)
    assert table["volume"].is_unique and set(table["eye"]) == {"OD", "OS"}
    for row in table.itertuples():
        device, names = DEVICES[row.device], sorted(path.name for path in (folder / row.volume).iterdir())
        assert device.slices[0] <= len(names) <= device.slices[1]
        assert names == [f"{k:03d}.png" for k in range(len(names))]
        image = Image.open(folder / row.volume / "000.png")
        assert image.mode == "L" and image.size == device.shape[::-1]
    assert {path.stem for path in (folder / "truth").glob("*.png")} == set(table.volume[table["class"] == "DME"])


def test_the_shipped_set_has_the_promised_volumes_and_shares():
    cases = oct.plan(SHIPPED)
    table = pd.DataFrame([vars(case) for case in cases])
    assert table.groupby("device").size().between([285, 110], [315, 135]).all()
    assert table.assign(dme=table["label"] == "DME").groupby("device")["dme"].mean().between(0.3, 0.45).all()
    assert set(table.groupby("patient").size()) == {1, 2}
    assert (table.groupby("patient")["device"].nunique() == 1).all()


# -- the lesions

def test_lesions_are_in_the_volumes_with_dme_one_to_three_in_each_and_in_no_other(folder, table):
    truth = Truth(folder)
    for row in table.rename(columns={"class": "label"}).itertuples():
        numbers = np.unique(truth.mask(row.volume))
        assert truth.mask(row.volume).shape == read(folder, row.volume).shape
        assert list(numbers) == list(range(len(numbers)))
        assert (2 <= len(numbers) <= 4) == (row.label == "DME") and len(numbers) <= 4


def test_the_table_of_lesions_says_what_the_masks_hold(folder):
    with (folder / "truth" / "lesions.csv").open() as file:
        rows = [(row.pop("volume"), tuple(map(int, row.values()))) for row in csv.DictReader(file)]
    truth = Truth(folder)
    assert rows
    for volume, told in rows:
        number, first, last, width, height, area = told
        body = truth.mask(volume) == number
        assert told in truth.lesions(volume)
        assert list(np.flatnonzero(body.any(axis=(1, 2)))) == list(range(first, last + 1))
        largest = body[body.sum(axis=(1, 2)).argmax()]
        assert largest.sum() == area and width * height * 0.6 < area <= width * height
        assert label(largest)[1] == 1


def test_sizes_span_a_factor_of_five_between_the_first_and_the_last_tenth_in_few_slices():
    lesions = [lesion for number in range(60) for lesion in oct.measured(scan_of("DME", number).lesions())]
    width, slices = (np.array([(one.width, one.last - one.first + 1) for one in lesions]).T)
    assert np.percentile(width, 90) >= 5 * np.percentile(width, 10)
    assert width.min() <= 5 and width.max() >= 35
    assert slices.min() <= 3 and 9 <= slices.max() <= 11


def test_the_thirty_central_slices_hold_every_lesion():
    for number in range(30):
        for device in DEVICES:
            found = np.flatnonzero(scan_of("DME", number, device).lesions().any(axis=(1, 2)))
            count = scan_of("DME", number, device).shape[0]
            assert found.min() >= (count - 30) // 2 and found.max() < count - (count - 30) // 2


# -- the counterfactual twin

def test_without_one_lesion_the_others_stay(folder):
    rows = pd.read_csv(folder / "truth" / "lesions.csv")
    volume = rows.volume[rows.lesion == 2].iloc[0]
    mask, differs = Truth(folder).mask(volume), oct.twin(folder, volume, (2,)) != read(folder, volume)
    assert differs[mask == 2].mean() > 0.8 > 0.2 > differs[mask == 1].mean()


def test_a_volume_with_cysts_and_a_normal_one_have_places_of_the_same_size_in_the_same_spots():
    for number in range(20):
        ill, well = (scan_of(name, number).places for name in ("DME", "normal"))
        assert [{**vars(place), "form": "", "lesion": 0} for place in ill] == [
            {**vars(place), "form": "", "lesion": 0} for place in well]
        assert any(place.form == "cyst" for place in ill) and all(place.form in oct_places.OPEN for place in well)


def test_swelling_is_the_same_with_and_without_dme():
    for number in range(10):
        ill, well = (scan_of(name, number) for name in ("DME", "normal"))
        np.testing.assert_array_equal(ill._thickness(list(ill.places)), well._thickness(list(well.places)))


def test_a_cyst_is_dark_within_and_bright_at_its_rim():
    rim, within = [], []
    for number in range(20):
        scan = scan_of("DME", number, knobs=Knobs(speckle=0))
        there, bare = scan.draw().astype(int), scan.draw(without=(1, 2, 3)).astype(int)
        for place in scan.places:
            if place.form == "cyst" and place.width > 12 and not (scan._thickness([place]) > scan.thickness).any():
                box, (lost, ring) = scan._painted(place)
                rim.append((there - bare)[box][(ring > 0.9)].mean())
                within.append((there - bare)[box][(lost > 0.6)].mean())
    assert len(rim) > 5 and min(rim) > 0 > max(within)


# -- what brightness can tell

def test_gain_and_noise_do_not_look_at_the_label():
    """Outside the retina's light a twin with the other label is the same."""
    for device in DEVICES:
        ill, well = (scan_of(name, 4, device).draw() for name in ("DME", "normal"))
        np.testing.assert_array_equal(ill[:3], well[:3])            # where no place reaches
        assert 0 < (ill != well).mean() < 0.2


def test_brightness_alone_tells_nothing():
    """0.4 to 0.6, give or take two standard errors of an AUROC of 0.5; all volumes of one device."""
    cases = [case for case in oct.plan(SHIPPED) if case.device == "spectralis"]
    volumes = [Scan(case, SHIPPED.knobs, SHIPPED.seed).draw() for case in cases]
    moments = np.array([(volume.mean(), volume.std()) for volume in volumes])
    ill = np.array([case.label == "DME" for case in cases])
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(moments, ill)
    error = np.sqrt((len(ill) + 1) / 12 / ill.sum() / (~ill).sum())
    for score in (moments[:, 0], moments[:, 1], model.decision_function(moments)):
        assert abs(roc_auc_score(ill, score) - 0.5) < 0.1 + 2 * error


@pytest.mark.soak
def test_on_the_shipped_set_brightness_has_an_auroc_between_0_4_and_0_6():
    cases = oct.plan(SHIPPED)
    volumes = (Scan(case, SHIPPED.knobs, SHIPPED.seed).draw() for case in cases)
    moments = np.array([(volume.mean(), volume.std()) for volume in volumes])
    ill = np.array([case.label == "DME" for case in cases])
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(moments, ill)
    assert 0.4 < roc_auc_score(ill, model.decision_function(moments)) < 0.6


# -- errors

def test_errors_name_the_volume_the_lesion_and_the_remedy(folder, table, tmp_path):
    healthy = table.volume[table["class"] == "normal"].iloc[0]
    assert not Truth(folder).mask(healthy).any() and Truth(folder).lesions(healthy) == []
    with pytest.raises(DataError, match=rf"{healthy}.*no lesion \[1\]"):
        oct.twin(folder, healthy, without=(1,))
    with pytest.raises(DataError, match=r"P999_OD.*no such volume"):
        Truth(folder).mask("P999_OD")
    with pytest.raises(DataError, match="no phantom collection"):
        Truth(tmp_path)
