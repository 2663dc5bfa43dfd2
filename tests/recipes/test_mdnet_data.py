"""The data page of chapter 5: what it shows is what is there, and what was counted is what anyone can count."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from matplotlib.figure import Figure
from tiny_mdnet import TINY

from mdlib.cli import main
from mdlib.data import bladder_reports
from mdlib.data.phantoms import histology
from mdlib.errors import DataError
from mdlib.evaluate import captions
from mdlib.recipes import mdnet
from mdlib.recipes.mdnet import bad_input, colours, exhibits_data, people, published, truth
from mdlib.study import results as keeping


@pytest.fixture(scope="module")
def bare(mdnet_phantoms, tmp_path_factory):
    """The same images and reports as anybody's collection: without a truth."""
    folder = tmp_path_factory.mktemp("bare") / "collection"
    shutil.copytree(mdnet_phantoms, folder, ignore=shutil.ignore_patterns("truth"))
    return mdnet.start(data_dir=str(folder), run_dir=str(tmp_path_factory.mktemp("run")), device="cpu", overrides=TINY)


@pytest.fixture
def without_java(monkeypatch):
    monkeypatch.setattr(captions, "java_found", lambda: False)


def test_only_settings_that_differ_from_the_papers_are_shown(tiny_mdnet):
    table = exhibits_data.settings(tiny_mdnet)
    assert "depth" in table.index and "eta" not in table.index
    assert (table["this run"] != table["paper profile"]).all()


def test_each_image_is_tested_once_and_no_patient_is_in_both_parts(tiny_mdnet):
    table = exhibits_data.collection(tiny_mdnet)
    whole, counted = table.loc[("all", "")], ["images", "patients", *tiny_mdnet.reports.classes]
    assert whole["images"] == 72 and whole["patients"] == 12
    assert table.xs("test", level="part")[counted].sum().tolist() == whole[counted].tolist()
    for _, of in table.drop(("all", "")).groupby(level="fold"):
        assert of[counted].sum().tolist() == whole[counted].tolist()


def test_the_rule_of_the_page_is_the_rule_of_the_phantoms(tiny_mdnet):
    numbers = exhibits_data.grade_numbers(tiny_mdnet)
    table = truth.grades(tiny_mdnet)
    assert [histology.conclusion(tuple(row)) for row in numbers.to_numpy()] == table["rule"].loc[numbers.index].tolist()
    assert (table["reported"] == tiny_mdnet.reports.table["conclusion"]).all()
    steps = exhibits_data.rule(tiny_mdnet)
    assert steps.to_numpy().sum() == 72
    right = sum(steps.loc[name, histology.conclusion((0,) * 5 if name == histology.UNSEEN else _grades(int(name)),
                                                     "blurred" if name == histology.UNSEEN else "")]
                for name in steps.index)
    assert right == (table["rule"] == table["reported"]).sum()
    assert f"**{right / 72:.1%}**" in exhibits_data.noise(tiny_mdnet).data


def _grades(total: int) -> tuple[int, ...]:
    return tuple(np.clip(total - 2 * np.arange(5), 0, 2).tolist())


def test_figures_show_what_is_asked(tiny_mdnet):
    examples = exhibits_data.examples(tiny_mdnet)
    titles = [axis.get_title().split("\n")[0] for axis in examples.axes]
    assert titles[::2] == [name for name in tiny_mdnet.reports.classes for _ in range(2)]
    assert set(titles[1::2]) == {"outlined"}
    conclusion = tiny_mdnet.reports.table.set_index("image")["conclusion"]
    assert all(conclusion[image] == name for name, image in
               (axis.get_title().split("\n") for axis in examples.axes[::2]))
    assert not examples.axes[0].collections and examples.axes[1].collections
    grades = truth.grades(tiny_mdnet)
    assert len(exhibits_data.graded(tiny_mdnet).axes) == 15 and grades["nucleoli"].isin(["prominent"]).any()
    assert isinstance(exhibits_data.twins(tiny_mdnet), Figure | str)


def test_without_a_truth_there_are_sentences_and_pictures_without_outlines(bare):
    assert exhibits_data.graded(bare) == exhibits_data.twins(bare) == exhibits_data.NO_TRUTH
    assert exhibits_data.rule(bare) == exhibits_data.noise(bare) == exhibits_data.NO_RULE
    assert not any(axis.collections for axis in exhibits_data.examples(bare).axes)


def test_a_mask_is_of_its_image_and_a_twin_differs_only_there(tiny_mdnet):
    row = int(truth.grades(tiny_mdnet)["mitosis"].eq("frequent").idxmax())
    mitoses, urothelium = (truth.mask(tiny_mdnet, row, kind) for kind in ("mitosis", "urothelium"))
    assert mitoses.max() >= 1 and set(np.unique(urothelium)) <= {0, 255}
    changed = (tiny_mdnet.reports.read(row) != truth.drawn_without(tiny_mdnet, row, "mitosis")).any(axis=2)
    assert changed[mitoses > 0].mean() > 0.9 and changed.mean() < 0.3


def test_the_five_reports_are_shown_in_full(tiny_mdnet):
    shown = exhibits_data.five(tiny_mdnet, row=3)
    assert shown.index.name == tiny_mdnet.reports.table["image"].iloc[3]
    assert shown.T.to_dict("list") == {part: tiny_mdnet.reports.sentences(3, part) for part in tiny_mdnet.reports.parts}
    assert all("high grade" in said for said in exhibits_data.five(tiny_mdnet).loc["conclusion"])


def test_words_that_no_training_report_has_are_counted(tiny_mdnet):
    table = exhibits_data.words(tiny_mdnet)
    known = {word for row in tiny_mdnet.part("train", 1) for text in tiny_mdnet.reports.full(row)
             for word in text.split()}
    test = [word for row in tiny_mdnet.part("test", 1) for text in tiny_mdnet.reports.full(row)
            for word in text.split()]
    assert table.loc["fold 1"].tolist() == [len(known), len(set(test) - known),
                                            sum(word not in known for word in test), 0, 0]


def test_colours_are_those_of_the_pixels_and_find_a_class_that_is_dyed(tiny_mdnet, monkeypatch):
    numbers = colours.numbers(tiny_mdnet)
    image = tiny_mdnet.pixels[5].reshape(-1, 3) / 255
    np.testing.assert_allclose(numbers[5], [*image.mean(axis=0), *image.std(axis=0)], atol=1e-5)
    targets, test = tiny_mdnet.reports.targets, tiny_mdnet.part("test", 1)
    most = pd.Series(targets[tiny_mdnet.part("train", 1)]).mode()[0]
    assert (colours.majority(tiny_mdnet, 1) == most).all() and len(colours.majority(tiny_mdnet, 1)) == len(test)
    assert (colours.colours(tiny_mdnet, 1) == targets[test]).mean() < 0.8
    monkeypatch.setattr(colours, "numbers", lambda chapter: numbers + 0.3 * np.eye(4, 6)[targets])
    assert (colours.colours(tiny_mdnet, 1) == targets[test]).mean() > 0.95


def test_the_difference_of_colours_is_that_of_both_columns(tiny_mdnet):
    of = exhibits_data.shares(tiny_mdnet)
    assert list(of) == ["fold 0", "fold 1", "all"] and of["all"]["images"].tolist() == [72] * 3
    for table in of.values():
        colour, most, difference = table["mean"]
        assert difference == pytest.approx(colour - most)
    rows = np.concatenate([tiny_mdnet.part("test", fold) for fold in range(2)])
    guess = np.concatenate([colours.colours(tiny_mdnet, fold) for fold in range(2)])
    right = 100 * (guess == tiny_mdnet.reports.targets[rows]).mean()
    assert of["all"]["mean"].iloc[0] == pytest.approx(right)
    assert exhibits_data.by_colour(tiny_mdnet).loc["all", "colours"].startswith(f"{right:.1f} (")
    assert f"right in {right:.1f} %" in exhibits_data.colours_said(tiny_mdnet).data


def test_people_are_scored_against_four_and_so_is_the_typical_report(tiny_mdnet, without_java):
    found = people.in_fold(tiny_mdnet, 0)
    test = tiny_mdnet.part("test", 0)
    texts = [tiny_mdnet.reports.full(row) for row in test]
    one_out = [captions.scores([five[i] for five in texts], [five[:i] + five[i + 1:] for five in texts], meteor=False)
               for i in range(5)]
    for name in ("BLEU-4", "CIDEr"):
        assert found[people.PEOPLE][name] == pytest.approx(np.mean([of[name] for of in one_out]))
    assert np.isnan(found[people.PEOPLE]["METEOR"])
    assert found[people.BLIND]["BLEU-4"] < found[people.PEOPLE]["BLEU-4"]
    table = people.table([found])
    assert table.loc[people.PEOPLE, "METEOR"] == "needs Java"
    assert table.iloc[2].tolist() == ["91.2", "82.9", "75.0", "67.7", "39.6", "70.1", "2.04"]
    assert table.loc[people.BLIND, "BLEU-4"] in people.said([found]).data


def test_the_typical_report_is_of_the_most_frequent_sentence_of_each_part(tiny_mdnet):
    rows, reports = tiny_mdnet.part("train", 0), tiny_mdnet.reports
    said = [pd.Series([text for row in rows for text in reports.sentences(row, part)]).value_counts()
            for part in reports.parts]
    text = people.typical(reports, rows)
    for counts in said:
        best = [sentence for sentence in counts.index[counts == counts.max()] if text.startswith(sentence)]
        assert best
        text = text[len(max(best, key=len)):].strip()
    assert text == ""


def test_several_folds_have_a_deviation():
    folds = [{who: dict.fromkeys(captions.METRICS, value) for who in (people.PEOPLE, people.BLIND)}
             for value in (10.0, 14.0)]
    assert people.table(folds).loc[people.PEOPLE, "BLEU-1"] == "12.0 ± 2.8"
    assert people.table(folds[:1]).loc[people.PEOPLE, "CIDEr"] == "10.00"


@pytest.mark.parametrize("fault", [*bad_input.FAULTS])
def test_every_fault_is_refused_and_named_without_a_path(fault):
    said = bad_input.refused()[fault]
    assert said.startswith("refused: ") and "tmp" not in said and said.count(".") >= 2


def test_what_is_not_refused_has_a_stated_consequence():
    said = list(bad_input.handled().values())
    assert said[:2] == ["read as '<unknown> pleomorphism is seen'", "read as 'polarity is'"]
    assert said[2].startswith("refused: fold 0") and "insufficient information" in said[2]
    assert exhibits_data.faults()["what happens"].str.contains("<unknown>").any()


def test_the_kept_figures_are_those_of_the_published_reports(real_data):
    reports, failed = bladder_reports.read(real_data / "bladder_reports")
    kept = published.kept()
    counts, texts = kept["counts"], [text for row in range(len(reports.texts)) for text in reports.full(row)]
    assert (counts["images"], counts["reports"], counts["fail to split"]) == (1889, 9445, 0) == (
        len(reports.texts), len(texts), len(failed))
    assert counts["of 30 to 59 words"] == sum(30 <= len(text.split()) <= 59 for text in texts)
    assert kept["classes"] == {name: int((reports.table["conclusion"] == name).sum()) for name in reports.classes}
    assert sum(fold["images"] for fold in kept["folds"]) == 1889
    _, test = published.folds(reports)[0]
    again = captions.against_others([reports.full(row) for row in test], meteor=False)
    for name in ("BLEU-4", "ROUGE-L", "CIDEr"):
        assert kept["folds"][0]["agreement"][people.PEOPLE][name] == pytest.approx(again[name])
    assert not any(text in json.dumps(kept) for text in {part for five in reports.texts[:50] for report in five
                                                         for part in report.values() if len(part.split()) > 2})


def test_the_kept_figures_are_shown_beside_section_5_2():
    counts = published.counts()
    assert counts.loc["images"].tolist() == [1000, 1889] and counts.loc["longest"].tolist() == [59, 59]
    assert published.parts().loc["mitosis", "longest"] == 15 and len(published.words()) == 5
    assert published.agreement().loc[people.PEOPLE, "BLEU-4"].startswith("68.")
    assert published.told().data.startswith("0 of the 9,445 reports fail to split.")
    assert "Only 4 of 1,889 images are normal" in published.told().data


def test_reports_are_counted_by_a_command(tmp_path, monkeypatch, without_java):
    monkeypatch.setattr(keeping, "folder", lambda chapter: tmp_path / chapter)
    with pytest.raises(DataError, match="no such result is published"):
        published.kept()
    sentence = "mild pleomorphism is seen mild crowding is seen polarity is preserved mitosis is rare " \
               "nucleoli are prominent"
    entries = [{"image_id": f"10{case}_{n}", "reports": [f"{sentence} {('low', 'high')[case % 2]} grade"] * 3}
               for case in range(10) for n in range(2)]
    (tmp_path / "bladder_reports.json").write_text(json.dumps(entries))
    result = CliRunner().invoke(main, ["mdnet", "reports", "--folder", str(tmp_path)])
    assert result.exit_code == 0, result.output
    counts = published.kept()["counts"]
    assert (counts["images"], counts["cases"], counts["with all six parts"], counts["shortest"]) == (20, 10, 60, 19)
    assert published.agreement().loc[people.PEOPLE, "BLEU-4"] == "100.0 ± 0.0"


def test_phantoms_are_drawn_by_a_command(tmp_path, monkeypatch):
    asked = {}
    monkeypatch.setattr(histology, "write", lambda folder, seed: asked.update(folder=folder, seed=seed) or folder)
    result = CliRunner().invoke(main, ["mdnet", "phantoms", "--out", str(tmp_path / "here"), "--seed", "3"])
    assert result.output == f"Phantoms: {tmp_path / 'here'}\n" and asked == {"folder": tmp_path / "here", "seed": 3}
