"""The paper's subset to the image, splits that keep patients apart, and what a split leaks."""

import numpy as np
import pandas as pd
import pytest

from mdlib.data.chestxray14 import CLASSES, read_list, read_lists, read_table
from mdlib.data.splits import (
    Subset,
    bag_split,
    folds,
    leak_experiment,
    leaks,
    paper_subset,
    patient_split,
    refuse_shared_patients,
    rows,
    shared,
    tuning,
    write_lists,
)
from mdlib.errors import DataError, SettingsError


@pytest.fixture(scope="module")
def published(real_data):
    folder = real_data / "chestxray14_table"
    return read_table(folder), *read_lists(folder)


@pytest.fixture(scope="module")
def subset(published) -> Subset:
    return paper_subset(*published)


def test_table_1_of_the_paper(published, subset):
    table, train_val, test = published
    assert (len(train_val), len(test)) == (86_524, 25_596)
    assert (len(subset.train_val), len(subset.test)) == (16_944, 6_112)
    assert [(len(train), len(val)) for train, val in subset.splits] == [(15_249, 1_695)] * 3
    assert set(subset.train_val) <= set(train_val) and set(subset.test) <= set(test)
    for train, val in subset.splits:
        assert set(train) | set(val) == set(subset.train_val) and not set(train) & set(val)
    for part in (subset.train_val, subset.test):
        assert len(set(part)) == len(part) and (np.diff(rows(table, part)) > 0).all()  # the table's order


def test_the_rule_as_the_text_words_it_gives_other_numbers(published):
    """Rejecting label texts that occur once ("at least two samples", section 1.2) is not what was run."""
    literal = paper_subset(*published, rarest=2)
    assert (len(literal.train_val), len(literal.test)) == (17_504, 6_670)


def naive_selection(labels: list[str], target: int, no_finding: int) -> set[int]:
    """The rule in words, one class and one pandas sample after the other; the last step fills up "No Finding"."""
    has = {name: [i for i, text in enumerate(labels) if name in text.split("|")] for name in CLASSES}
    wanted = [(name, target) for name in sorted(CLASSES, key=lambda name: len(has[name]))]
    chosen: set[int] = set()
    for name, count in [*wanted, ("No Finding", no_finding)]:
        rest = [i for i in has[name] if i not in chosen]
        missing = count - sum(i in chosen for i in has[name])
        if len(has[name]) < count:
            chosen |= set(rest)
        elif missing > 0:
            chosen |= set(pd.Series(rest).sample(n=missing, random_state=0))
    return chosen


def test_the_selection_is_the_naive_one():
    random = np.random.default_rng(0)
    often = 1 / np.arange(1, 15)
    labels = ["|".join(random.choice(CLASSES[1:], size, replace=False, p=often / often.sum())) or "No Finding"
              for size in random.choice(4, 5000, p=[0.5, 0.3, 0.15, 0.05])]
    table = pd.DataFrame({"image": [f"{i}.png" for i in range(5000)], "labels": labels, "patient": range(5000)})
    for target, no_finding in ((200, 900), (2000, 10_000), (3000, 100)):
        subset = paper_subset(table, table["image"][:4000], table["image"][4000:], target, no_finding, rarest=1,
                              n_splits=0)
        chosen = naive_selection(labels, target, no_finding)
        assert rows(table, subset.train_val + subset.test).tolist() == sorted(chosen)
        assert subset.splits == []


def test_the_authors_validation_leaks_patients_and_test_does_not(published, subset):
    table = published[0]
    train, val = subset.splits[0]
    leak = leaks(table, train, val)
    assert (leak.patients, leak.all_patients[1], leak.images_b, leak.all_images[1]) == (850, 1_532, 995, 1_695)
    assert "850 of 1,532 patients (995 of 1,695 images) of the second" in str(leak)
    assert leak.same_images == 0
    clean = leaks(table, subset.train_val, subset.test)
    assert (clean.patients, clean.images_a, clean.images_b, clean.same_images) == (0, 0, 0, 0)
    assert str(clean) == "No patient and no image is in both sets."


def test_a_patient_split_of_the_subset_keeps_patients_and_proportions(published, subset):
    table = published[0].iloc[rows(published[0], subset.train_val)].reset_index(drop=True)
    train, val = patient_split(table, 0.1, seed=0)
    assert leaks(table, train, val).patients == 0 and len(train) + len(val) == len(table)
    assert len(val) / len(table) == pytest.approx(0.1, abs=0.01)
    texts = table["labels"][table["image"].isin(val)].str.split("|").explode().value_counts()
    share = texts / table["labels"].str.split("|").explode().value_counts()
    assert len(share) == 15 and share.between(0.07, 0.13).all()


def made_up(patients: int = 40, each: int = 3) -> pd.DataFrame:
    labels = ["No Finding", "Mass", "Effusion|Mass", "Hernia"]
    return pd.DataFrame([{"image": f"{p}_{i}.png", "labels": labels[(p // 10) % 4], "patient": p}
                         for p in range(patients) for i in range(each)])


@pytest.mark.parametrize("fraction", [0.1, 0.25, 0.3, 0.5, 0.8])
def test_a_patient_split_takes_the_fraction_of_every_finding(fraction):
    table = made_up()
    for seed in range(5):
        train, val = patient_split(table, fraction, seed)
        assert leaks(table, train, val).patients == 0 and sorted(train + val) == sorted(table["image"])
        patients = table[table["image"].isin(val)].groupby("labels")["patient"].nunique()
        assert (patients.reindex(table["labels"].unique(), fill_value=0) - 10 * fraction).abs().max() <= 1
    assert patient_split(table, fraction, 1) == patient_split(table, fraction, 1)
    assert patient_split(table, fraction, 1) != patient_split(table, fraction, 2)


def test_an_impossible_patient_split_is_refused():
    for fraction in (0, 1, -0.1, float("nan")):
        with pytest.raises(SettingsError, match=r"parameter fraction.*--set validation="):
            patient_split(made_up(), fraction)
    with pytest.raises(DataError, match=r"1 patients are too few.*--set validation="):
        patient_split(made_up(patients=1))


def test_leaks_counted_by_hand():
    table = pd.DataFrame({"image": list("abcdefg"), "patient": [1, 1, 1, 2, 2, 3, 4]})
    leak = leaks(table, ["a", "b", "d", "f"], ["c", "d", "e", "g"])
    assert (leak.patients, leak.images_a, leak.images_b, leak.same_images) == (2, 3, 3, 1)
    assert str(leak) == ("2 patients are in both sets: 2 of 3 patients (3 of 4 images) of the first, 2 of 3 patients "
                         "(3 of 4 images) of the second; 1 images are in both.")
    with pytest.raises(DataError, match="1 images are not in the table, the first is 'z'"):
        leaks(table, ["a"], ["b", "z"])


def test_an_empty_subset_says_what_to_change():
    table = made_up(patients=4, each=1)
    with pytest.raises(DataError, match=r"parameter rarest = 6: .*train_val.*smaller rarest.*--set subset=false"):
        paper_subset(table, table["image"], table["image"])
    table = made_up()
    with pytest.raises(DataError, match="none of 120 images in test"):
        paper_subset(table, table["image"], [])
    with pytest.raises(DataError, match=r"parameter val_fraction = 0\.01.*--set validation=.*--set subset=false"):
        paper_subset(table, table["image"][:60], table["image"][60:], val_fraction=0.01)


def test_lists_are_written_one_name_a_line_and_read_back(tmp_path):
    table = made_up()
    subset = paper_subset(table, table["image"][:60], table["image"][60:])
    files = write_lists(tmp_path / "out", subset)
    assert [file.name for file in files] == ["train_val.txt", "test.txt", "train_0.txt", "val_0.txt", "train_1.txt",
                                             "val_1.txt", "train_2.txt", "val_2.txt"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(file.name for file in files)
    assert read_list(tmp_path / "out/val_1.txt") == subset.splits[1][1]
    assert (tmp_path / "out/train_val.txt").read_bytes() == "".join(f"{x}\n" for x in subset.train_val).encode()


def films(count: int = 300) -> pd.DataFrame:
    """Patients with one to four images each, in the order of a collection."""
    patient = np.repeat(np.arange(count), np.random.default_rng(0).integers(1, 5, count))
    return pd.DataFrame({"image": [f"{i}.png" for i in range(len(patient))], "patient": patient})


def test_the_leak_experiment_tests_on_images_whose_patients_one_set_knows_and_the_other_does_not():
    table = films()
    rows = np.arange(5, len(table))
    parts = leak_experiment(table, rows, 0.2, seed=1)
    patients = {name: table["patient"].iloc[part] for name, part in parts.items()}
    assert set(patients["held_out"]) <= set(patients["leaky"]) and patients["held_out"].is_unique
    assert not set(patients["held_out"]) & set(patients["grouped"])
    assert len(parts["leaky"]) == len(parts["grouped"]) and len(parts["held_out"]) == min(
        round(0.2 * len(rows)), (table["patient"].iloc[rows].value_counts() > 1).sum() // 2)
    for name in ("leaky", "grouped"):
        assert not set(parts[name]) & set(parts["held_out"]) and set(parts[name]) <= set(rows)
        assert len(set(parts[name])) == len(parts[name])


def test_the_two_sets_of_the_leak_experiment_are_alike_but_for_whom_they_have_seen():
    """Over many draws: as many images a patient, and as many patients."""
    table = films()
    size = table.groupby("patient")["image"].transform("size").to_numpy()
    found = {"leaky": [], "grouped": []}
    for seed in range(200):
        parts = leak_experiment(table, np.arange(len(table)), 0.2, seed)
        for name, values in found.items():
            values.append((size[parts[name]].mean(), table["patient"].iloc[parts[name]].nunique()))
    leaky, grouped = (np.mean(values, axis=0) for values in found.values())
    np.testing.assert_allclose(leaky, grouped, rtol=0.005)


def test_without_patients_of_several_images_there_is_no_leak_to_measure():
    table = pd.DataFrame({"image": list("abcdef"), "patient": range(6)})
    with pytest.raises(DataError, match="several images"):
        leak_experiment(table, np.arange(4), 0.2)


def eyes(patients: int, dme: float) -> pd.DataFrame:
    """A bag an eye, two a patient; of a patient with DME every second one in both eyes."""
    random = np.random.default_rng(0)
    ill = random.random(patients) < dme
    both = random.random(patients) < 0.5
    label = np.stack([ill, ill & both], axis=1).ravel()
    return pd.DataFrame({"patient": np.repeat(np.arange(patients), 2), "label": np.where(label, "DME", "normal")})


@pytest.mark.parametrize("patients, dme, test", [(170, 0.3, 0.33), (98, 0.7, 0.5), (6000, 0.05, 0.3)])
def test_bags_are_split_by_patient_in_the_papers_fractions_and_with_their_classes_alike(patients, dme, test):
    table = eyes(patients, dme)
    for seed in range(5):
        train, tested = bag_split(table, test, seed)
        assert sorted([*train, *tested]) == list(range(len(table))) and (np.diff(tested) > 0).all()
        refuse_shared_patients(table, {"train": train, "test": tested}, "here")
        assert len(tested) / len(table) == pytest.approx(test, abs=1 / patients)
        share = table["label"].iloc[tested].value_counts() / table["label"].value_counts()
        assert share.to_dict() == pytest.approx({"DME": test, "normal": test}, abs=0.04)
    again = bag_split(table, test, 4)
    assert np.array_equal(again[1], tested) and not np.array_equal(bag_split(table, test, 5)[1], tested)


def test_each_bag_is_tested_in_one_fold_without_its_patient_in_training():
    table = eyes(90, 0.3)
    parts = folds(table, 3, seed=1)
    assert sorted(np.concatenate([test for _, test in parts])) == list(range(len(table)))
    for train, test in parts:
        assert shared(table["patient"], train, test).patients == 0 and len(train) + len(test) == len(table)
        assert (table["label"].iloc[test] == "DME").mean() == pytest.approx((table["label"] == "DME").mean(), abs=0.05)
    assert all(np.array_equal(a[1], b[1]) for a, b in zip(parts, folds(table, 3, seed=1), strict=True))
    with pytest.raises(DataError, match="7 folds"):
        folds(table.iloc[:4], 7)


def test_the_real_eyes_split_by_patient(real_data):
    from mdlib.data.volumes import oct_eyes

    table = oct_eyes(real_data / "oct_dme").table
    train, test = bag_split(table, 0.33, seed=0)
    assert shared(table["patient"], train, test).patients == 0
    share = table["label"].iloc[test].value_counts() / table["label"].value_counts()
    assert share.between(0.30, 0.36).all()


def test_an_impossible_split_of_bags_is_refused():
    with pytest.raises(SettingsError, match="parameter fraction"):
        bag_split(eyes(10, 0.5), 1.5)
    with pytest.raises(DataError, match="1 patients are too few"):
        bag_split(eyes(1, 0.5), 0.3)


def test_two_percent_of_the_test_tiles_of_each_class_tune_and_their_patients_leak():
    patient = np.repeat(np.arange(50), 100)
    table = pd.DataFrame({"patient": patient, "label": np.where(patient % 5, "MSS", "MSIMUT")})
    rows = np.arange(1000, 5000)
    moved, rest, leak = tuning(table, rows, 0.02, seed=3)
    assert np.array_equal(np.sort(np.concatenate([moved, rest])), rows)
    assert table["label"].iloc[moved].value_counts().to_dict() == {"MSS": 64, "MSIMUT": 16}
    theirs = set(patient[moved])
    assert leak.patients == leak.all_patients[0] == len(theirs) > 30 and leak.same_images == 0
    assert leak.images_a == 80 and leak.images_b == np.isin(patient[rest], list(theirs)).sum()
    assert np.array_equal(tuning(table, rows, 0.02, seed=3)[0], moved)
    assert not np.array_equal(tuning(table, rows, 0.02, seed=4)[0], moved)


def test_an_impossible_tuning_set_is_refused():
    table = pd.DataFrame({"patient": range(20), "label": ["MSS"] * 15 + ["MSIMUT"] * 5})
    with pytest.raises(SettingsError, match="parameter share"):
        tuning(table, np.arange(20), 1.0)
    with pytest.raises(DataError, match=r"0 of 5 images of class MSIMUT would be moved"):
        tuning(table, np.arange(20), 0.05)


def test_a_patient_on_both_sides_of_a_split_is_named():
    table = pd.DataFrame({"patient": [7, 7, 8, 9, 9]})
    refuse_shared_patients(table, {"train": [0, 1], "val": [2], "test": [3, 4]}, "labels.csv")
    with pytest.raises(DataError, match=r"^labels\.csv: patient 9 is in train and in test; 1 patients are in both"):
        refuse_shared_patients(table, {"train": [0, 1, 3], "val": [2], "test": [4]}, "labels.csv")
