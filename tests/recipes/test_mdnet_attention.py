"""Attention page of chapter 5: looks kept with the weights, hits and shares that are known, what widgets are given."""

import json
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure

from mdlib.data.phantoms.histology_reports import GRADES
from mdlib.errors import DataError
from mdlib.evaluate import localisation
from mdlib.models.decoding import log_likelihood
from mdlib.models.mdnet import evidence_of
from mdlib.models.report_lstm import END, PAD
from mdlib.recipes import mdnet
from mdlib.recipes.mdnet import (
    attention,
    gathered,
    kept,
    located,
    looking,
    measured,
    moved,
    people,
    results,
    truth,
    viewing,
)
from mdlib.recipes.mdnet.plan import Training
from mdlib.study.saliency import LOCATION_PRIOR, UNIFORM
from mdlib.widgets.explorer import Case, explorer
from mdlib.widgets.search import Picture, Query, search


@pytest.fixture(scope="module")
def chapter(trained_mdnet):
    return trained_mdnet


@pytest.fixture
def elsewhere(chapter, tmp_path):
    """The same chapter with nothing remembered; what is trained is asked of `chapter`."""
    return replace(chapter, run=replace(chapter.run, folder=tmp_path))


@pytest.fixture(scope="module")
def looks(chapter):
    return looking.looks(chapter, Training("mdnet"))


def fake_looks(chapter, monkeypatch, attention, **others):
    """Every network attends like this, (N, K, T, P), and says the class "normal" is likeliest."""
    N, P = len(attention), attention.shape[3]
    side = math.isqrt(P)
    found = {"attention": attention, "hflip": attention, "typical": attention,
             "maps": np.ones((N, 4, side, side)), "hflip_maps": np.ones((N, 4, side, side)),
             "logits": np.tile([1.0, 0, 0, 0], (N, 1))} | others
    monkeypatch.setattr(looking, "looks", lambda *_: found)
    monkeypatch.setattr(gathered, "train_all", lambda *_: None)


# What a network looks at


def test_looks_are_those_of_the_network_for_its_words_for_the_flipped_image_and_for_typical_sentences(chapter, looks):
    model, rows = mdnet.trained(chapter, Training("mdnet")), chapter.part("test")
    image = looking.as_input(chapter.pixels[rows])
    with torch.no_grad():
        written = model.report(image, longest=chapter.settings.longest)
        chosen, words = written["logits"].argmax(dim=1), written["words"]
        typical = torch.from_numpy(looking.typical_words(chapter, 0)).expand(len(rows), -1, -1)
        expected = {"attention": written["attention"],
                    "hflip": model(image.flip(3), words, chosen=chosen)["attention"],
                    "typical": model(image, typical, chosen=chosen)["attention"]}
    assert (looks["words"] == words.numpy()).all() and (looks["words"] > END).any()
    for name, values in expected.items():
        there = (typical if name == "typical" else words).numpy() > END
        assert (np.isnan(looks[name][..., 0]) == ~there).all()
        np.testing.assert_allclose(looks[name][there], values.numpy()[there], atol=1e-3)
    np.testing.assert_allclose(looks["maps"].mean(axis=(2, 3)) + model.image_model.classifier.bias.detach().numpy(),
                               written["logits"].numpy(), atol=5e-3)


def test_an_image_model_has_class_attention_and_no_words(chapter):
    found = looking.looks(chapter, Training("ecnet"))
    assert set(found) == set(looking.CLASS) and found["maps"].shape == found["hflip_maps"].shape


def test_typical_sentences_are_the_most_frequent_of_the_training_reports(chapter):
    said = people.typical_sentences(chapter.reports, chapter.part("train"))
    for part, sentence in zip(chapter.reports.parts, said, strict=True):
        counts = pd.Series([report[part] for row in chapter.part("train") for report in chapter.reports.texts[row]])
        assert counts.value_counts()[sentence] == counts.value_counts().max()
    assert looking.sentences(chapter, 0, looking.typical_words(chapter, 0)[None])[0] == said


# Means over images, seeds and folds


def test_an_image_without_a_number_is_left_out_of_both_sides(chapter):
    over = results.live(chapter)
    a = np.ones((1, len(chapter.part("test"))))
    a[0, :3] = np.nan
    found = gathered.spread(chapter, over, a, 0.25 * np.ones_like(a))
    assert found.mean == 0.75 and found.low == found.high == 0.75 and found.images == a.shape[1] - 3
    assert gathered.spread(chapter, over, a, chosen=np.isnan(a[0])) is None


# Hits


def test_uniform_attention_has_all_bits_and_scores_chance(elsewhere, monkeypatch):
    maps = np.full((len(elsewhere.part("test")), 6, 3, 16), 1 / 16)
    maps[:, :, 2] = np.nan
    fake_looks(elsewhere, monkeypatch, maps)
    over = results.live(elsewhere)
    table = located.words(elsewhere, over).set_index(["network", "unit", "part", "measure"])["mean"]
    areas = [(truth.mask(elsewhere, row, "urothelium") > 0).mean() for row in elsewhere.part("test")]
    for unit in (located.WORD, located.SENTENCE):
        assert table["mdnet", unit, "polarity", located.ENTROPY] == pytest.approx(4)
        for measure in located.HITS:
            assert table["mdnet", unit, located.ALL, measure] == pytest.approx(np.mean(areas))
    assert table[UNIFORM, "", located.ALL, "pointing game"] == pytest.approx(np.mean(areas))
    assert table[LOCATION_PRIOR, "", located.ALL, "mass accuracy"] > np.mean(areas)
    apart = located.differences(elsewhere, over).set_index(["what", "second", "measure"])["mean"]
    assert all(abs(apart[located.WORD, UNIFORM, measure]) < 1e-9 for measure in located.HITS)
    assert apart["mitosis", located.OTHER, "mass accuracy"] == 0
    assert apart[located.WORD, LOCATION_PRIOR, "mass accuracy"] < 0


def test_attention_like_the_urothelium_beats_the_location_prior_and_finds_its_elements(elsewhere, monkeypatch):
    rows = elsewhere.part("test")
    maps = np.stack([localisation.coverage(truth.mask(elsewhere, row, "urothelium") > 0, (8, 8)) for row in rows])
    flat = (maps / maps.sum(axis=(1, 2), keepdims=True)).reshape(len(rows), 1, 1, 64)
    fake_looks(elsewhere, monkeypatch, np.tile(flat, (1, 6, 2, 1)), maps=np.tile(maps[:, None], (1, 4, 1, 1)))
    over = results.live(elsewhere)
    apart = located.differences(elsewhere, over).set_index(["what", "second", "measure"])["low"]
    for what in (located.WORD, located.SENTENCE, "class"):
        assert apart[what, LOCATION_PRIOR, "mass accuracy"] > 0 and apart[what, LOCATION_PRIOR, "pointing game"] > 0
    assert apart["nucleoli", UNIFORM, "mass accuracy"] > 0
    table = located.elements(elsewhere, over).set_index(["element", "network", "sentence", "measure"])["mean"]
    own, even = (table["mitosis", "mdnet", located.OWN, "mass accuracy"],
                 table["mitosis", located.UROTHELIUM, "", "mass accuracy"])
    assert own == pytest.approx(even)
    with_mitosis = sum((truth.mask(elsewhere, row, "mitosis") > 0).any() for row in rows)
    assert set(located.elements(elsewhere, over).query("element == 'mitosis'")["images"]) == {with_mitosis}


def test_groups_of_class_attention_are_the_reported_conclusions(chapter):
    table = located.classes(chapter, results.live(chapter))
    counts = chapter.reports.table["conclusion"].iloc[chapter.part("test")].value_counts()
    of = table[(table["network"] == UNIFORM) & (table["measure"] == "pointing game")].set_index("group")["images"]
    assert of[located.EVERY_IMAGE] == counts.sum()
    assert all(of[name] == count for name, count in counts.items())


# Mirrored, other images, twins


def test_attention_that_moves_with_the_image_follows_and_one_place_for_all_stays(elsewhere, monkeypatch):
    N = len(elsewhere.part("test"))
    moving = np.random.default_rng(0).random((N, 6, 2, 4, 4))
    fake_looks(elsewhere, monkeypatch, moving.reshape(N, 6, 2, 16),
               hflip=moving[..., ::-1].reshape(N, 6, 2, 16), maps=moving[:, :4, 0],
               hflip_maps=moving[:, :4, 0])
    table = moved.mirrors(elsewhere, results.live(elsewhere)).set_index(["network", "what", "measure"])["mean"]
    assert table["mdnet", moved.WORDS, moved.FOLLOWS] == pytest.approx(1)
    assert abs(table["mdnet", moved.WORDS, moved.STAYS]) < 0.2
    assert table["mdnet", moved.CLASS, moved.STAYS] == pytest.approx(1)


@pytest.mark.parametrize(("differs", "expected"), [("image", (0.9, 0.0)), ("word", (0.0, 0.9))])
def test_shares_tell_what_maps_depend_on(elsewhere, monkeypatch, differs, expected):
    N, there = len(elsewhere.part("test")), looking.typical_words(elsewhere, 0) > END
    drawn = np.random.default_rng(0).dirichlet(np.full(16, 0.1), (N,) if differs == "image" else there.shape)
    maps = np.broadcast_to(drawn[:, None, None] if differs == "image" else drawn[None], (N, *there.shape, 16))
    fake_looks(elsewhere, monkeypatch, maps)
    table = moved.shares(elsewhere, results.live(elsewhere)).set_index(["network", "measure"])
    image, word = (table["mean"]["mdnet", measure] for measure in (moved.OF_IMAGE, moved.OF_WORD))
    assert abs(image - expected[0]) < 0.1 and abs(word - expected[1]) < 0.1
    assert (table["low"] <= table["mean"] + 1e-9).all() and (table["trainings"] == 1).all()


def test_the_grade_falls_where_the_network_sees_that_mitoses_are_gone(elsewhere, monkeypatch):
    """A network that counts the pixels that mitoses change, and never looks at nucleoli."""
    rows, grades = elsewhere.part("test"), truth.grades(elsewhere)["mitosis"]
    without = {row: looking.seen(elsewhere, truth.drawn_without(elsewhere, row, "mitosis")) for row in rows}
    has = grades.iloc[rows].isin(GRADES["mitosis"][1:]).to_numpy()

    def write(chapter, model, fold, pictures):
        gone = [(picture == without[row]).all() for picture, row in zip(pictures, rows, strict=True)]
        mitosis = ["no mitotic figures are found" if each else "frequent mitotic figures are found" for each in gone]
        return [["", "", "", text, "the nucleoli are prominent", ""] for text in mitosis]
    monkeypatch.setattr(looking, "written_of", write)
    monkeypatch.setattr(moved, "trained", lambda *_: None)
    monkeypatch.setattr(gathered, "train_all", lambda *_: None)
    table = moved.twins(elsewhere, results.live(elsewhere)).set_index(["part", "change", "measure"])
    assert table["mean"]["mitosis", "without mitosis", moved.FALLS] == 1
    assert table["mean"]["mitosis", moved.MIRRORED, moved.DIFFERS] == 0
    assert table["mean"]["mitosis", "without mitosis", moved.BEYOND] == 1
    assert table["mean"]["nucleoli", "without nucleoli", moved.FALLS] == 0
    assert table["images"]["mitosis", "without mitosis", moved.FALLS] == has.sum() > 0


# What is kept, and the page


def test_figures_of_all_folds_are_json_and_come_back_as_tables(chapter, monkeypatch, tmp_path):
    chapter = replace(chapter, settings=replace(chapter.settings, rows=("mdnet",)))
    found = located.figures(chapter)
    assert set(found) == set(measured.TABLES)
    assert all(rows for name, rows in found.items() if name != "twins")     # this network may state no grade
    monkeypatch.setattr(located.keeping, "folder", lambda _: tmp_path)
    (tmp_path / "grid").mkdir()
    (tmp_path / "grid/embedded.json").write_text(json.dumps({"manifest": {}, "attention": found}))
    table = located.kept(kept.GRID, "words")
    expected = located.words(chapter, results.whole(chapter))
    pd.testing.assert_frame_equal(table, expected, check_dtype=False)
    uniform = table[table["network"] == UNIFORM]
    assert set(uniform["images"]) == {len(chapter.reports.table)} and set(uniform["patients"]) == {12}
    pd.testing.assert_frame_equal(measured.published()["words"], table)


def test_the_page_is_drawn_and_told_from_its_tables(chapter):
    for figure in (attention.sharpening, attention.by_word, attention.class_attention, attention.mirrored):
        assert isinstance(figure(chapter), Figure)
    tables = {name: of(chapter, results.live(chapter)) for name, of in measured.TABLES.items()}
    assert isinstance(attention.compared(tables["words"]), Figure)
    shown = {"words": (measured.sharp_and_right, measured.by_part), "classes": (measured.of_classes,),
             "elements": (measured.of_elements,), "mirrors": (measured.of_mirrors,), "shares": (measured.of_shares,),
             "twins": (measured.of_twins,)}
    for name, every in shown.items():
        for of in every:
            assert isinstance(of(tables[name]), pd.DataFrame) or name == "twins"     # no grade may be stated
    words = tables["words"].set_index(["network", "unit", "part", "measure"])["mean"]
    said = measured.conclusions(tables).data
    bits, hit = (words["mdnet", located.WORD, located.ALL, of] for of in (located.ENTROPY, "pointing game"))
    assert f"has {bits:.2f} bits with AAS" in said and f"urothelium in {hit:.0%} of the words" in said


def test_where_nothing_is_known_what_needs_no_truth_is_left(chapter, monkeypatch, tmp_path):
    unknown = replace(chapter, reports=replace(chapter.reports, truth=None))
    unknown = replace(unknown, run=replace(chapter.run, folder=tmp_path / "run"))
    monkeypatch.setattr(gathered, "train_all", lambda *_: None)
    monkeypatch.setattr(looking, "looks", lambda _, training, of=looking.looks: of(chapter, training))
    monkeypatch.setattr(viewing, "trained", lambda _, training: mdnet.trained(chapter, training))
    tables = {name: of(unknown, results.live(unknown)) for name, of in measured.TABLES.items()}
    assert set(tables["words"]["measure"]) == {located.ENTROPY}
    assert measured.of_elements(tables["elements"]) == measured.of_twins(tables["twins"]) == measured.UNKNOWN
    assert attention.compared(tables["words"]) == measured.UNKNOWN
    assert measured.UNKNOWN in measured.conclusions(tables).data
    assert isinstance(attention.class_attention(unknown), Figure)
    cases = viewing.cases(unknown, count=2)
    assert not any("twins" in case or "contours" in case for case in cases)
    assert all(set(case.get("correct", [])[:-1]) <= {None} for case in cases)


# The widgets


def test_the_explorer_takes_the_cases_and_they_say_what_the_network_says(chapter):
    cases = viewing.cases(chapter, count=6)
    widget = explorer([Case(**case) for case in cases])
    assert widget.mechanisms == list(viewing.MECHANISMS.values())
    assert widget.methods == list(viewing.CLASS_ATTENTION.values())
    table = mdnet.predictions(chapter, Training("mdnet")).set_index("row")
    names = chapter.reports.table["image"].tolist()
    for case in cases:
        row = names.index(case["name"])
        written = {part.replace(" ", "_"): " ".join(words) for part, words in case["report"]}
        assert written == table.loc[row, list(chapter.reports.parts)].to_dict()
        assert case["probability"].argmax() == table.loc[row, "guess"]
        assert case["correct"][-1] == written["conclusion"].endswith(chapter.reports.table["conclusion"][row])
        has = truth.grades(chapter)["mitosis"][row] in GRADES["mitosis"][1:]
        assert ("twins" in case) == has
        if has:
            twin = case["twins"][viewing.TWIN]
            changed = (twin["image"] != case["image"]).any(axis=2)
            assert changed.any() and twin["classes"] == case["classes"]
    assert any("twins" in case for case in cases)
    assert [case["truth"].argmax() for case in cases[:4]] == [2, 1, 0, 3]


def test_without_its_mitoses_an_image_has_the_conclusion_of_its_other_grades():
    grades = {"nuclear_feature": "moderate", "nuclear_crowding": "mild", "polarity": "kept", "mitosis": "frequent",
              "nucleoli": "inconspicuous", "conclusion": "low grade"}
    assert viewing.has_mitosis(grades)
    assert viewing.without_mitosis(grades) == grades | {"mitosis": "none", "conclusion": "normal"}
    assert not viewing.has_mitosis(grades | {"mitosis": "cannot be assessed"}) and not viewing.has_mitosis({})


def test_prepared_descriptions_find_what_retrieval_found_without_the_image_described(chapter):
    queries, pictures = viewing.queries(chapter, count=4), viewing.pictures(chapter)
    widget = search([Query(**query) for query in queries], [Picture(**picture) for picture in pictures])
    scores, rows = mdnet.likelihoods(chapter, Training("mdnet")), chapter.part("test")
    for query, told in zip(queries, widget.queries, strict=True):
        described = [row for row in rows if "; ".join(
            chapter.reports.texts[row][0][part] for part in chapter.reports.parts[:-1]) == query["text"]]
        place = next(i for i, row in enumerate(rows) if row in described and len(query["ranking"]) == len(rows) - 1
                     and i not in query["ranking"])
        assert query["wanted"] == chapter.reports.table["conclusion"][rows[place]]
        best = max(score for i, score in enumerate(scores[place]) if i != place)
        assert query["scores"][0] == pytest.approx(best) and told["ranking"][0] == query["ranking"][0]


def test_a_typed_description_is_scored_sentence_by_sentence_as_the_likeliest_part(chapter):
    ask, text = viewing.answer(chapter), "no mitotic figures are found. Polarity of the cells is kept"
    found = ask(text)
    model, rows = mdnet.trained(chapter, Training("mdnet")), chapter.part("test")
    with torch.no_grad():
        seen = model.image_model(looking.as_input(chapter.pixels[rows]))
        c = evidence_of(seen["features"], model.image_model.classifier, seen["logits"].argmax(dim=1))
        total = 0
        for sentence in ("no mitotic figures are found", "polarity of the cells is kept"):
            ids = chapter.vocabulary().encode([sentence], chapter.settings.longest)
            as_part = []
            for k in range(5):
                words = np.full((1, 5, ids.shape[1]), PAD)
                words[0, k] = ids
                as_part.append(log_likelihood(model.language, seen["features"], c, torch.from_numpy(words))[0].numpy())
            total = total + max(as_part, key=np.mean)
    assert [place for place, _ in found] == np.argsort(-total, kind="stable").tolist()
    np.testing.assert_allclose([score for _, score in found], np.sort(total)[::-1], rtol=1e-4)


@pytest.mark.parametrize(("text", "message"), [("the nuclei show purple elephants", "'purple', 'elephants'"),
                                               (" ; . ", "no words"), ("the " * 16, "more than 15 words")])
def test_a_description_that_cannot_be_read_is_refused(chapter, text, message):
    with pytest.raises(DataError, match=message):
        viewing.answer(chapter)(text)
