"""Page 3 of chapter 5: what the networks came to, counted another way; tables and sentences of invented numbers."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from mdlib import runs
from mdlib.data.phantoms.histology_reports import describe
from mdlib.evaluate import captions
from mdlib.recipes import mdnet
from mdlib.recipes.mdnet import fig7, graded, kept, located, people, results, searching, tables
from mdlib.recipes.mdnet.outcome import Outcome
from mdlib.recipes.mdnet.plan import Training
from mdlib.recipes.mdnet.results import DCA, IMAGE, NAMES, OWN, Over
from mdlib.recipes.mdnet.rows import EVERY
from mdlib.study import results as keeping

SOME = ("baseline_en", "split", "mdnet")


@pytest.fixture(scope="module")
def some(trained_mdnet):
    """The tiny run with three rows of Table 2, and MDNet without 1 - beta, without Java."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(captions, "java_found", lambda: False)
        yield dataclasses.replace(trained_mdnet, settings=dataclasses.replace(trained_mdnet.settings, rows=SOME))


@pytest.fixture(scope="module")
def figures(some):
    """What is kept of it."""
    return kept.figures(some, results.live(some))


@pytest.fixture
def stored(figures, some, tmp_path, monkeypatch):
    """The name under which it is kept, in a folder of this test."""
    monkeypatch.setattr(runs, "home", lambda: tmp_path)
    kept.keep(some, "tiny")
    return "runs/tiny"


def test_answers_are_what_was_written_counted_by_hand(some):
    training = Training("baseline_en")
    table, scores = mdnet.predictions(some, training), mdnet.likelihoods(some, training)
    found, classes = results.answers(some, training), some.reports.classes
    true = some.reports.table["conclusion"].iloc[table["row"]].tolist()
    assert found[IMAGE].tolist() == [classes[guess] == name for guess, name in zip(table["guess"], true, strict=True)]
    assert found[DCA].tolist() == [f" {text}".endswith(f" {name}")
                                   for text, name in zip(table["report"], true, strict=True)]
    for n in (0, 7):
        best = sorted(range(len(true)), key=lambda m: -scores[n, m])
        assert found[f"Cr@5{OWN}"][n] == np.mean([true[m] == true[n] for m in best[:5]])
        best.remove(n)
        assert found["Cr@5"][n] == np.mean([true[m] == true[n] for m in best[:5]])


def test_numbers_of_folds_stand_behind_one_another_in_the_order_of_their_patients(some):
    over = Over((0, 1), (0,))
    found, patients = results.values(some, "ecnet", IMAGE, over), results.patients(some, over)
    assert found.shape == (1, len(some.reports.table)) == (1, len(patients))
    for fold, rows in enumerate(np.split(np.arange(len(patients)), [len(some.part("test", 0))])):
        table = mdnet.predictions(some, Training("ecnet", fold=fold))
        assert table["row"].tolist() == some.part("test", fold).tolist()
        assert some.reports.table["patient"].iloc[table["row"]].tolist() == [patients[row] for row in rows]
        assert found[0, rows].tolist() == (table["guess"] == results.tested(some, fold)).tolist()


def test_chance_is_what_a_random_order_reaches(some):
    target = results.tested(some, 0)
    share = np.array([(target == of).sum() for of in target])
    assert results.baseline(some, "chance", 0, "Cr@5") == pytest.approx((share - 1) / (len(target) - 1))
    assert results.baseline(some, "chance", 0, f"Cr@5{OWN}") == pytest.approx(share / len(target))


def test_a_smaller_pool_leaves_queries_without_their_own_image():
    found = results._searched(np.array([[2.0, 1], [1, 2], [3, 0]]), np.array([0, 1, 1]))
    assert found["Cr@1" + OWN].tolist() == [1, 1, 0] and found["Cr@1"].tolist() == [0, 0, 0]
    assert found["chance"].tolist() == [0, 0, 0.5]


def test_folds_are_spread_after_the_mean_over_seeds():
    table = pd.DataFrame({"row": "mdnet", "fold": [0, 0, 1, 1], "seed": [0, 1, 0, 1], DCA: [0.2, 0.4, 0.6, 0.8]})
    row, = results.spread(table, [DCA, IMAGE]).itertuples()
    assert (row.mean, row.std, row.folds, row.seeds) == pytest.approx((0.5, 0.4 / np.sqrt(2), 2, 2))
    assert np.isnan(results.spread(table[:2], [DCA])["std"]).all()


def test_every_training_of_the_run_has_its_row_and_the_rows_of_table_2_their_captions(some, figures):
    table = pd.DataFrame(figures["trainings"])
    assert len(table) == len(results.asked(some, results.live(some))) == len(SOME) + 1 + 1
    assert table["BLEU-1"].notna().sum() == len(SOME) and table["METEOR"].isna().all()
    texts = [some.reports.full(row) for row in some.part("test")]
    wrote = captions.against_others(texts, results.reports(some, Training("split")), meteor=False)
    assert table.set_index("row").loc["split", "BLEU-1"] == pytest.approx(wrote["BLEU-1"])


def test_a_kept_result_reads_as_it_was_and_names_no_image(stored, figures, some):
    for name in ("trainings", "beside", "means", "differences", "grades"):
        assert keeping.records(getattr(kept.outcome(stored), name)) == figures[name]
    text = json.dumps(figures)
    table = some.reports.table
    assert not any(name in text for name in (*table["image"], *table["patient"]))
    assert "1 fold, 1 seed" in kept.told(stored) and "36 images of 6 patients" in kept.told(stored)


def test_the_tables_are_made_of_what_is_kept(stored):
    second, third = (of(kept.outcome(stored)) for of in (tables.table_2, tables.table_3))
    assert second.loc[("MDNet", "paper")].tolist() == ["78.4 ± 1.5", "91.2", "82.9", "75.0", "67.7", "39.6",
                                                       "70.1", "2.04"]
    assert (second.xs("ours", level=1)["METEOR"].drop(["the colours", "the most frequent class"]) == "needs Java").all()
    assert third.loc[("MDNet", "paper")].tolist() == ["78.6 ± 4.0", "79.5 ± 3.6", "79.4 ± 3.1"]
    assert third.loc["chance"].shape == (2, 3) and "±" not in third.loc[("chance", "ours"), "Cr@1 (%)"]
    assert set(second.index.get_level_values(0)) == {"Baseline, EN", "Ours, EN", "MDNet", "people",
                                                     "one report for all images", "the colours",
                                                     "the most frequent class"}


def trainings_of(**dca):
    """A table as `by_training` gives it: DCA of each row by fold."""
    return pd.DataFrame([{"row": row, "eta": 0.0, "scaled": "both", "fold": fold, "seed": 0, DCA: value, "BLEU-4": 60.0}
                         for row, values in dca.items() for fold, value in enumerate(values)])


def test_a_cell_of_many_folds_is_mean_deviation_and_interval():
    means = pd.DataFrame({"name": ["mdnet"], "measure": DCA, "low": [0.61], "high": [0.79]})
    none = trainings_of()
    table = tables.table_2(Outcome(trainings_of(mdnet=[0.6, 0.8]), none, means, none, none))
    assert table.loc[("MDNet", "ours"), "DCA (%)"] == "70.0 ± 14.1 (61–79)"
    assert table.loc[("MDNet", "ours"), "BLEU-4"] == "60.0 ± 0.0"


def test_how_far_folds_lie_apart_is_told_beside_the_paper():
    said = tables.steadiness(trainings_of(mdnet=[0.70, 0.72], split=[0.6, 0.8], baseline_en=[0.5, 0.6])).data
    assert "standard deviation of 1.4 points, the other rows of 7.1 to 14.1 (paper: 1.5 against 1.8 to 4.8)" in said
    assert "One fold" in tables.steadiness(trainings_of(mdnet=[0.7], split=[0.6])).data


def differences_of(*rows):
    """A table as `differences` gives it, from claim, second, low and high."""
    return pd.DataFrame([{"claim": claim, "measure": DCA, "first": "MDNet", "second": second, "mean": (low + high) / 2,
                          "low": low, "high": high, "seeds": 2, "images": 600, "patients": 40}
                         for claim, second, low, high in rows])


def test_what_is_better_worse_and_open_is_told_from_the_intervals():
    table = differences_of(("dca", "a", 0.1, 0.2), ("dca", "b", -0.2, -0.1), ("dca", "c", -0.1, 0.2),
                           ("colours", "the colours", 0.1, 0.2))
    said = tables.above(table).data
    assert "above “a”; below “b”; not told apart from “c”" in said and said.count("\n- ") == 4
    assert "DCA of MDNet is **15.0 points above** that of a (10.0–20.0)." in said
    assert "**5.0 points above** that of c (−10.0 to +20.0: not decided)." in said
    assert said.endswith("600 images of 40 patients and 2 seeds; not decided: the interval includes 0. Two seeds "
                         "hardly tell how much the training itself varies.*")
    verdicts = tables.verdicts(table)["verdict"].tolist()
    assert verdicts == ["as claimed", "the other way round", "not decided", "as claimed"]
    lines = tables.claims(table).data.splitlines()
    assert len(lines) == len(results.CLAIMS) and lines[1].endswith(tables.NOT_HERE)
    assert lines[0].endswith("So in 1 of 3 comparisons, the other way round in 1, not decided in 1. DCA: +1.7 points "
                             "on average, -15.0 to +15.0.")
    assert tables.in_words(table, ["scaled"]).data == tables.NOT_HERE
    assert tables.above(pd.DataFrame()).data == tables.NO_FOLDS


def test_the_papers_text_is_held_against_its_own_tables():
    said = tables.own_text().data
    assert "+1.1 and +0.2 points; but lower in 11 of 14 caption scores" in said
    assert "−1.1" in said and "highest in 5 of 7 caption scores; not in METEOR and CIDEr" in said


def test_every_name_that_a_claim_compares_is_known():
    for claim in results.CLAIMS.values():
        assert {name for pair in claim.pairs for name in pair} <= set(NAMES)


def test_differences_leave_out_what_this_run_has_not(some, figures):
    table = pd.DataFrame(figures["differences"])
    assert set(table["second"]) <= {"Baseline, EN", "Ours, EN", "the colours", "MDNet without 1 − β",
                                    "EcNet, which learned the conclusion alone", "the sentence of MDNet"}
    assert set(table["claim"]) == {"dca", "search", "split", "scaled", "regularises", "colours", "relies"}
    assert set(zip(table["images"], table["patients"], table["seeds"], strict=True)) == {(36, 6, 1)}


def test_whoever_states_all_grades_is_right_in_all_of_them_whole_or_by_part(some, monkeypatch):
    rng, rows = np.random.default_rng(0), some.part("test")
    truths = graded.true_grades(some, rows)
    written = [describe(dict(row[list(graded.GRADES)]), row["conclusion"], k % 5, rng)
               for k, (_, row) in enumerate(truths.iterrows())]
    by_part = pd.DataFrame(written).assign(row=rows)
    whole = pd.DataFrame({"row": rows, "report": [" ".join(of.values()) for of in written]})
    monkeypatch.setattr(graded, "predictions", lambda _, training: whole if "base" in training.row else by_part)
    for name in SOME:
        assert graded.right(some, name, Over((0,), (0,))).all()
    by_part["mitosis"] = "nothing"
    table = graded.agreement(some, Over((0,), (0,)), ["mdnet"]).set_index(["name", "part"])["mean"]
    assert table["mdnet", "mitosis"] == 0 and table["mdnet", "polarity"] == 1
    assert table["mdnet", "mean of parts"] == pytest.approx(0.8)
    usual = truths["mitosis"] == graded.usual(some, 0)["mitosis"]
    assert table["majority", "mitosis"] == pytest.approx(usual.mean())


def test_grades_of_other_images_are_not_known(some):
    other = dataclasses.replace(some, reports=dataclasses.replace(some.reports, truth=None))
    table = graded.agreement(other, results.live(other))
    assert table.empty and tables.grades(table) == tables.NO_GRADES


def test_scores_all_at_once_are_those_of_a_loop_over_pairs(some):
    found = searching.measured(some)
    assert found["apart"] < 1e-4 and found["pairs"] == 20 and found["images"] == 72
    assert found[f"{searching.LOOP}: times ours"] > 5
    assert "20 of its 5,184 pairs were run" in searching.in_words(found).data
    assert searching.table(found).loc[searching.OURS, "times ours"] == 1


def test_fig_7_is_drawn_and_a_run_of_one_eta_says_so(some, stored):
    table = kept.outcome(stored).trainings
    table = pd.concat([table, table[table["row"] == "mdnet"][:1].assign(eta=1.0, scaled="both")])
    by = fig7.by_eta(table, kept.eta(stored))
    assert set(zip(by["eta"], by["scaled"], strict=True)) == {(5.0, "both"), (5.0, "up"), (1.0, "both")}
    assert isinstance(fig7.eta(table, some.settings.eta), Figure)
    assert isinstance(fig7.image_models(kept.outcome(stored).means), Figure)
    one = table[(table["eta"] == 0) & (table["scaled"] == "both")]
    assert fig7.eta(one, some.settings.eta) == fig7.NO_SCALES


@pytest.fixture
def small(some):
    """The same with one row of Table 2 and one eta: what a grid adds is the second fold."""
    settings = dataclasses.replace(some.settings, rows=("mdnet",), etas=())
    return dataclasses.replace(some, settings=settings)


def test_the_grid_is_kept_with_the_folds_that_nobody_looked_at(small, tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "home", lambda: tmp_path)
    monkeypatch.setattr(kept, "LOOKED_AT", 1)
    monkeypatch.setattr(kept, "default_phantoms", lambda: small.data_dir)
    monkeypatch.setattr(located, "figures", lambda chapter: "of page 4")
    kept.keep_grid(small, "tiny")
    unseen = kept.unseen("grid/tiny")
    assert set(unseen["images"]) == {len(small.part("test", 1))}
    both = kept.outcome("grid/tiny")
    assert set(both.trainings["fold"]) == {0, 1} and set(both.differences["images"]) == {len(small.reports.table)}


def test_of_other_data_no_fold_was_looked_at(small, tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "home", lambda: tmp_path)
    monkeypatch.setattr(located, "figures", lambda chapter: "of page 4")
    kept.keep_grid(small, "tiny")
    assert tables.above(kept.unseen("grid/tiny")).data == tables.NO_FOLDS


@pytest.mark.parametrize("name, overrides", [
    (kept.GRID, mdnet.grid.GRID | {"epochs": 32, "etas": [1.0, 25.0]}),
    ("runs/first_fold", {"rows": list(EVERY), "epochs": 32, "etas": [1.0, 25.0]})])
def test_published_results_have_the_settings_of_the_command_that_the_pages_name(name, overrides):
    asked = keeping.read("mdnet", name)["manifest"]["asked"]
    settings = json.loads(json.dumps(dataclasses.asdict(mdnet.choose(asked["profile"], overrides))))
    assert asked["settings"] | {"recognition": ()} == settings | {"recognition": ()}


def test_who_agrees_is_read_fold_by_fold():
    folds = kept.agreement()
    assert len(folds) == 5 and all(set(of) == {people.PEOPLE, people.BLIND} for of in folds)
    assert people.table(folds).loc[people.PEOPLE, "BLEU-4"].count("±") == 1
