"""Whoever is timed computes the same as mdlib; and the arithmetic of the ratios. How fast is nobody's test."""

import numpy as np
import pandas as pd
import pytest
import torch

from mdlib.data.images import centre_crop, fit_square, read_grey
from mdlib.errors import SettingsError
from mdlib.recipes import clock, performance
from mdlib.recipes.performance import exhibits, measurements, opponents

TINY = {"images": 6, "pixels": 200, "resize": 72, "crop": 64, "growth": 4, "blocks": [1, 1, 1, 1], "stem": 8,
        "classes": 3, "layers": ["norm5"], "explained": 2, "batch": 3, "steps": 2, "runs": 2}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return performance.start(run_dir=str(tmp_path_factory.mktemp("performance")), device="cpu", overrides=TINY)


def test_ratios_are_taken_within_a_round_and_given_as_median_and_range():
    times = {"ours": [1.0, 2.0, 4.0], "theirs": [3.0, 4.0, 20.0]}
    table = clock.summary(times, images=6)
    assert table.loc["theirs", ["times ours", "from", "to"]].tolist() == [3, 2, 5]
    assert table.loc["ours", ["seconds", "low", "high", "images/s", "times ours"]].tolist() == [2, 1, 4, 3, 1]


def test_every_job_is_done_once_a_round_in_turn_and_the_first_round_is_not_counted():
    done = []
    times, answers = clock.rounds({name: lambda name=name: done.append(name) or len(done) for name in "ab"}, 3, "cpu")
    assert done == ["a", "b"] * 4 and answers == [1, 2]
    assert {name: len(seconds) for name, seconds in times.items()} == {"a": 3, "b": 3}


def test_every_opponent_computes_what_mdlib_computes(tiny):
    assert exhibits.check_equal(tiny).startswith("Equal within rounding")
    for task, rows in exhibits.all_tables(tiny).items():
        columns = ["seconds", "low", "high", "images/s", "times ours", "from", "to", "largest difference"]
        assert [*rows.columns] == columns, task
        assert rows.index[0].startswith("mdlib") and len(rows) >= 2
        assert (rows["low"] <= rows["seconds"]).all() and (rows["seconds"] <= rows["high"]).all()


def test_maps_cost_as_many_forward_passes_as_their_times_say(tiny, monkeypatch):
    times = {"forward": [1.0, 2.0, 4.0]} | {layer: [3.0, 4.0, 20.0] for layer in measurements.MAPPED}
    ran = []

    def timed(jobs, runs, device):
        ran.extend(job() for job in jobs.values())
        return times, []
    monkeypatch.setattr(measurements, "rounds", timed)
    table = exhibits.map_costs(tiny)
    assert list(table) == ["densenet121", "att_a", "att_b"] and list(table.index) == [*measurements.MAPPED]
    assert (table == 3).all(axis=None)
    assert len(ran) == 3 * 6 and ran[1].values.shape[:2] == (2, 3), "maps of two images and all three classes"


def test_a_difference_is_found(tiny, monkeypatch):
    tables = exhibits.all_tables(tiny)
    tables["decode"].iloc[1, -1] = 1.0    # one grey level
    monkeypatch.setattr(exhibits, "all_tables", lambda chapter: tables)
    with pytest.raises(AssertionError, match="decode"):
        exhibits.check_equal(tiny)


def test_the_losses_of_the_plain_loops_are_ours_to_the_last_digits(tiny):
    losses = exhibits.losses(tiny)
    assert [*losses.columns] == [1, 2, 3, 4], "two timed steps, one before and one behind them"
    assert np.ptp(losses.drop("mdlib"), axis=0).max() < 1e-6
    assert losses.loc["mdlib", 1] != losses.loc["mdlib", 4]


def test_a_user_reads_the_pixels_that_mdlib_reads(tiny):
    kept = measurements.new_cache(tiny)
    files = measurements.image_files(tiny)
    for i, path in enumerate(tiny.files):
        assert np.array_equal(opponents.decode(path, 72), kept[i])
        assert np.array_equal(fit_square(read_grey(path), 72), kept[i])
        grey = torch.from_numpy(centre_crop(kept[i], 64).copy()) / 255
        torch.testing.assert_close(files[i]["image"][0], grey)


def test_answers_are_kept_and_not_timed_again(tiny):
    assert measurements.decoding(tiny) == measurements.decoding(tiny)
    kept = {path.stem for path in (tiny.run.folder / "answers").glob("*.json")}
    assert kept >= {"explaining_norm5", "decoding", "reading", "training", "predicting"}


def test_the_drawn_files_follow_from_the_seed_and_go_with_the_chapter(tmp_path):
    first, second = (performance.start(run_dir=str(tmp_path / name), cache_dir=str(tmp_path), device="cpu",
                                       overrides=TINY) for name in "ab")
    assert [path.read_bytes() for path in first.files] == [path.read_bytes() for path in second.files]
    assert len({path.read_bytes() for path in first.files}) == 6
    folder = first.folder
    del first
    assert not folder.exists() and second.folder.exists()


def test_files_of_a_collection_are_read_in_place_of_drawn_ones(tmp_path):
    from mdlib.data.phantoms import chest as phantom_chest

    phantom_chest.write(tmp_path / "phantoms", patients=4, side=72, workers=1)
    few = TINY | {"images": 3, "pixels": 72}
    chapter = performance.start(data_dir=str(tmp_path / "phantoms"), run_dir=str(tmp_path / "run"), device="cpu",
                                overrides=few)
    assert all(path.is_relative_to(tmp_path / "phantoms") for path in chapter.files) and len(chapter.files) == 3
    assert measurements.decoding(chapter)["differences"]["Pillow, one after the other"] == 0


def test_a_figure_has_a_line_an_opponent_and_1_on_its_axis(tiny):
    axis, = exhibits.figure(tiny).axes
    labels = [label.get_text() for label in axis.get_yticklabels()]
    assert len(labels) == 3 + 2 + 1 + 2 + 2 and not any("(" in label for label in labels)
    low, high = axis.get_xlim()
    assert low <= 1 <= high and axis.get_xscale() == "log"


def test_what_is_kept_names_the_machine_and_is_found_again(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(performance.kept.keeping, "folder", lambda chapter: tmp_path / "results")
    assert performance.kept.others().empty
    performance.kept.keep(tiny, "here")
    others = performance.kept.others()
    assert others.columns[0].startswith("here: ") and others.loc[("decode", "Pillow, one after the other")].item()
    assert exhibits.shown(pd.DataFrame({"ratio": [0.9, 310.4, 24300.0]}))["ratio"].tolist() == ["0.9", "310", "24,300"]


@pytest.mark.parametrize("profile, overrides, said", [
    ("laptop", {}, "laptop.*embedded"), ("paper", {"runs": 0}, "runs"), ("paper", {"crop": 300}, "crop"),
    ("paper", {"batch": 65}, "images"), ("paper", {"batch": 1}, "batch"), ("paper", {"epochs": 1}, "epochs")])
def test_a_setting_that_makes_no_sense_is_named(profile, overrides, said):
    with pytest.raises(SettingsError, match=said):
        performance.choose(profile, overrides)
