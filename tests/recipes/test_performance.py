"""Whoever is timed computes the same as mdlib; and the arithmetic of the ratios. How fast is nobody's test."""

import numpy as np
import pandas as pd
import pytest
import torch

from mdlib.data.images import centre_crop, fit_square, read_grey
from mdlib.errors import SettingsError
from mdlib.models import instance_fusion
from mdlib.models.crops import crops
from mdlib.recipes import clock, performance
from mdlib.recipes.performance import cutting, exhibits, measurements, opponents

TINY = {"images": 6, "pixels": 200, "resize": 72, "crop": 64, "growth": 4, "blocks": [1, 1, 1, 1], "stem": 8,
        "classes": 3, "layers": ["norm5"], "explained": 2, "batch": 3, "steps": 2, "runs": 2,
        "cut": [[2, 60, 80, 16, 2]], "cut_boxes": 3, "fused": [["embedded", 2]]}


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
        assert [*rows.columns] == columns + ["mean difference"] * task.startswith("cut"), task
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


@pytest.mark.parametrize("task, job", [("cut 60 x 80", "mdlib"), ("cut 60 x 80", "loop on a float batch"),
                                       ("local embedded", "(with the local branch)")])
def test_a_difference_of_what_is_cut_is_found_where_the_same_is_computed(tiny, monkeypatch, task, job):
    tables = exhibits.all_tables(tiny)
    tables[task].loc[job, "largest difference"] = 1.1
    monkeypatch.setattr(exhibits, "all_tables", lambda chapter: tables)
    with pytest.raises(AssertionError, match=task):
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
    assert kept >= {"explaining_norm5", "decoding", "reading", "training", "predicting", "cutting_2_60_80_16_2",
                    "local_branch_embedded_2"}


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
    assert len(labels) == 3 + 2 + 1 + 2 + 2 + 3 and not any("(" in label for label in labels)
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
    ("paper", {"batch": 65}, "images"), ("paper", {"batch": 1}, "batch"), ("paper", {"epochs": 1}, "epochs"),
    ("paper", {"cut": [[2, 80, 60, 16, 1]]}, "setting cut"), ("paper", {"cut": [[2, 60, 80, 0, 1]]}, "setting cut"),
    ("paper", {"fused": [["small", 2]]}, "setting fused")])
def test_a_setting_that_makes_no_sense_is_named(profile, overrides, said):
    with pytest.raises(SettingsError, match=said):
        performance.choose(profile, overrides)


def cut_by_all(picture, box, size):
    """The crop (C, size, size) of one box in grey levels, float64, by each way of cutting."""
    boxes, sides = torch.tensor([[box]]), torch.tensor([picture.shape[1:] * 2])
    batch = opponents.float_batch(picture[None])
    found = {"mdlib": crops(picture[None], sides[:, :2], boxes / sides, size),
             **{way: getattr(opponents, way)(batch, boxes, size) for way in ("loop", "roi_align", "grid_sample")}}
    return {way: 255 * crop[0, 0].double() for way, crop in found.items()}


def test_a_window_of_the_size_of_a_crop_is_cut_by_all_as_it_is():
    picture = torch.randint(0, 256, (3, 40, 50), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    for way, crop in cut_by_all(picture, [5, 11, 21, 27], 16).items():
        torch.testing.assert_close(crop, picture[:, 5:21, 11:27].double(), atol=1e-2, rtol=0, msg=way)


def test_of_a_fine_chequerboard_only_antialiasing_leaves_grey():
    rows, columns = torch.meshgrid(torch.arange(60), torch.arange(60), indexing="ij")
    board = ((rows + columns) % 2 * 255).byte()[None]
    far = {way: (crop - 127.5).abs()[:, 1:-1, 1:-1].max().item()
           for way, crop in cut_by_all(board, [3, 3, 51, 51], 16).items()}         # three pixels wide is one of a crop
    assert far["mdlib"] <= 3 and far["loop"] < 2, "a triangle of 5 by 5 weights: 127.5 (1 +- 1/81)"
    assert far["roi_align"] == pytest.approx(127.5 / 9, abs=0.1), "the mean of 3 by 3 pixels, 5 of one colour"
    assert far["grid_sample"] == pytest.approx(127.5, abs=0.1), "one pixel, white or black"


def test_what_is_cut_is_drawn_from_the_seed_and_lies_inside(tiny):
    drawn, again = (cutting.pictures(6, 400, 520, seed=3) for _ in range(2))
    assert drawn.shape == (6, 3, 400, 520) and drawn.dtype == torch.uint8 and torch.equal(drawn, again)
    assert drawn.is_contiguous(memory_format=torch.channels_last), "as decoders give them"
    assert torch.equal(drawn[..., 384:, 512:], drawn[..., :16, :8]), "beside itself, where it is too small"
    assert torch.equal(drawn[0], drawn[4]) and len({picture.numpy().tobytes() for picture in drawn}) == 4
    top, left, bottom, right = cutting.squares(tiny, 500, 60, 80).unbind(dim=2)
    assert top.shape == (500, 3) and torch.equal(bottom - top, right - left)
    assert ((top >= 0) & (left >= 0) & (bottom <= 60) & (right <= 80)).all()
    assert (bottom - top).min() == 12 and (bottom - top).max() == 30 and bottom.max() == 60 and right.max() == 80


def test_crops_are_timed_on_one_thread_and_compared_with_float64(tiny, monkeypatch):
    asked, before = [], torch.get_num_threads()

    def timed(jobs, runs, device):
        asked.append((runs, device, torch.get_num_threads()))
        answers = [job() for job in jobs.values()]
        answers[1][1, 2, 0, 3, 4] += 7 / 255
        return {name: [1.0] for name in jobs}, answers
    monkeypatch.setattr(cutting, "rounds", timed)
    torch.set_num_threads(2)
    try:
        found = cutting.cutting(tiny, 3, 60, 80, 20, 5)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert asked == [(10, "cpu", 1)] and found["images"] == 3
    far, mean = found["differences"], found["mean_differences"]
    assert far["loop on a float batch"] == pytest.approx(7, abs=1e-2)
    assert mean["loop on a float batch"] == pytest.approx(7 / (3 * 3 * 3 * 20 * 20), abs=1e-3)
    assert far["(the same, made before)"] < 1e-2 and 0.1 < mean["mdlib"] < far["mdlib"] <= 1.03


def test_the_local_branch_is_left_out_and_nothing_else_changes(tiny, monkeypatch):
    cut = []
    monkeypatch.setattr(instance_fusion, "crops", lambda *given: cut.append(given[2].shape) or crops(*given))

    def timed(jobs, runs, device):
        without, whole = jobs.values()
        answers = [without()]
        assert cut == []
        return {name: [1.0] for name in jobs}, [*answers, whole()]
    monkeypatch.setattr(cutting, "rounds", timed)
    found = cutting.local_branch(tiny, "embedded", 3)
    assert cut == [(3, 4, 4)] and found["differences"] == {"(with the local branch)": 0}
