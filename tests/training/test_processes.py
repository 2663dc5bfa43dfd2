"""Two processes under torchrun on CPU: one start of both, several questions."""

import os
import re
import subprocess
import sys
from itertools import chain
from pathlib import Path

import pytest
import torch
from nets import linear, random_rows, train

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    ask = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
           str(HERE / "two_processes.py"), str(folder)]
    paths = os.pathsep.join([str(HERE.parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])])
    ended = subprocess.run(ask, capture_output=True, text=True, timeout=120,
                           env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"})
    assert ended.returncode == 0, ended.stderr[-3000:]
    return [torch.load(folder / f"found_{rank}.pt", weights_only=True) for rank in (0, 1)]


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())


def test_both_processes_hold_the_same_weights_and_batch_statistics(found):
    assert found[0]["world"] == found[1]["world"] == 2
    assert same(found[0]["linear"], found[1]["linear"]) and same(found[0]["norm"], found[1]["norm"])


def test_two_processes_share_out_the_batch_and_do_what_one_does(found, tmp_path):
    """Without batch normalisation, whose statistics are each process's own."""
    model, history = train(tmp_path, linear(), random_rows(), batch_size=8)
    for name, value in model.state_dict().items():
        torch.testing.assert_close(found[0]["linear"][name], value, atol=1e-6, rtol=0)
    assert [row["loss"] for row in found[0]["history"]] == pytest.approx([row["loss"] for row in history], abs=1e-6)


def test_validation_is_the_first_process_s_and_known_to_both(found):
    assert [row["rank"] for row in found[0]["norm_history"]] == [0, 0, 0]
    assert found[0]["norm_history"] == found[1]["norm_history"]


def test_the_processes_see_different_samples_and_draw_differently(found):
    assert not set(chain(*found[0]["rows"])) & set(chain(*found[1]["rows"]))
    assert found[0]["drawn"][0] != found[1]["drawn"][0]


def test_two_processes_resume_to_the_same_bits(found):
    assert same(found[0]["resumed"], found[0]["norm"]) and same(found[1]["resumed"], found[0]["norm"])


def test_a_loss_that_is_not_finite_in_one_process_stops_both_and_names_its_files(found):
    assert found[0]["error"] == found[1]["error"]
    assert "epoch 1, step 2" in found[0]["error"]
    named = re.findall(r"(\d+)\.png", found[0]["error"])
    assert [int(name) for name in named] == found[1]["rows"][1]
