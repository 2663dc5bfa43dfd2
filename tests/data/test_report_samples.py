"""Batches of images with words: the right words for the right image, one of its reports at a time."""

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils.data import DataLoader

from mdlib.data.report_samples import ReportSamples, words_of
from mdlib.data.reports import CLASSES, Reports
from mdlib.data.samples import collate
from mdlib.data.vocabulary import END, PAD, Vocabulary
from mdlib.errors import DataError

TEXTS = ([{"mitosis": "mitosis rare", "conclusion": "low grade"}, {"mitosis": "", "conclusion": "low grade"}],
         [{"mitosis": "few", "conclusion": "normal"}, {"mitosis": "no mitosis seen", "conclusion": "normal"}])
REPORTS = Reports(None, ("mitosis", "conclusion"), CLASSES, pd.DataFrame(
    {"image": ["a.png", "b.png"], "patient": ["1", "2"], "conclusion": ["low grade", "normal"]}), TEXTS)
VOCABULARY = Vocabulary.of(text for texts in TEXTS for report in texts for text in report.values())


def test_words_by_image_report_and_part():
    words = words_of(REPORTS, VOCABULARY, longest=2)
    assert words.shape == (2, 2, 2, 3) and words.dtype == np.int64
    assert [[[VOCABULARY.decode(ids) for ids in report] for report in image] for image in words] == [
        [["mitosis rare", "low grade"], ["", "low grade"]], [["few", "normal"], ["no mitosis", "normal"]]]
    assert words[0, 1].tolist() == [[END, PAD, PAD], [*VOCABULARY.encode(["low grade"], 2)[0]]]


def test_whole_reports_are_one_sentence():
    words = words_of(REPORTS, VOCABULARY, longest=4, whole=True)
    assert words.shape == (2, 2, 1, 5)
    assert [[VOCABULARY.decode(report[0]) for report in image] for image in words] == [
        ["mitosis rare low grade", "low grade"], ["few normal", "no mitosis seen normal"]]


@pytest.fixture
def samples(tmp_path) -> dict[str, ReportSamples]:
    random = np.random.default_rng(0)
    np.save(tmp_path / "pixels.npy", random.integers(0, 256, (6, 5, 5, 3), dtype=np.uint8))
    words, targets = random.integers(0, 99, (6, 5, 2, 4)), random.integers(0, 4, 6)
    return {name: ReportSamples(np.load(tmp_path / "pixels.npy", mmap_mode="r"), [3, 0, 5, 3], targets, words,
                                training=name == "training", pad=1) for name in ("training", "testing")}


def test_a_batch_for_testing_is_the_image_as_it_is_and_its_first_report(samples):
    testing = samples["testing"]
    batch = testing.__getitems__([2, 0, 3])
    assert {name: (value.dtype, tuple(value.shape)) for name, value in batch.items()} == {
        "image": (torch.float32, (3, 3, 5, 5)), "words": (torch.int64, (3, 2, 4)), "target": (torch.int64, (3,)),
        "index": (torch.int64, (3,))}
    rows = [5, 3, 3]
    assert batch["index"].tolist() == rows and batch["target"].tolist() == testing.targets[rows].tolist()
    np.testing.assert_array_equal(batch["image"], testing.pixels[rows].transpose(0, 3, 1, 2) / np.float32(255))
    np.testing.assert_array_equal(batch["words"], testing.words[rows, 0])
    assert all(torch.equal(value, batch[name][1]) for name, value in testing[0].items())


def test_in_training_each_report_is_drawn_equally_often_with_all_its_sentences(samples):
    torch.manual_seed(0)
    training = samples["training"]
    drawn = training.__getitems__([1] * 4000)["words"].numpy()
    which = [(drawn == report).all((1, 2)) for report in training.words[0]]
    assert (np.sum(which, axis=0) == 1).all() and np.abs(np.mean(which, axis=1) - 0.2).max() < 0.025


def test_in_training_images_are_cropped_mirrored_and_turned(samples):
    torch.manual_seed(0)
    training = samples["training"]
    images = training.__getitems__([1] * 3000)["image"]
    assert len(torch.unique(images.flatten(1), dim=0)) == 9 * 8    # windows of pad 1, times the symmetries of a square
    assert set(images.flatten().tolist()) <= set((training.pixels[0] / np.float32(255)).flatten().tolist())


def test_a_data_loader_gives_every_row_once_in_order(samples):
    batches = list(DataLoader(samples["testing"], batch_size=3, collate_fn=collate))
    assert torch.cat([batch["index"] for batch in batches]).tolist() == [3, 0, 5, 3]


def test_pickling_names_the_file_and_copies_no_pixels(samples):
    again = pickle.loads(pickle.dumps(samples["testing"]))
    assert isinstance(again.pixels, np.memmap) and again.pixels.filename == samples["testing"].pixels.filename
    assert torch.equal(again[2]["image"], samples["testing"][2]["image"])


def test_what_does_not_fit_is_refused(samples):
    pixels, words, targets = np.zeros((3, 4, 4, 3), np.uint8), np.zeros((3, 5, 2, 4), np.int64), np.zeros(3, np.int64)
    with pytest.raises(DataError, match="one length"):
        ReportSamples(pixels, [0], targets, words[:2], training=False, pad=0)
    with pytest.raises(DataError, match="parameter rows"):
        ReportSamples(pixels, [3], targets, words, training=False, pad=0)
