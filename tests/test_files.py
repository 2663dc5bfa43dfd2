"""Locks: one process at a time, whoever is killed."""

import subprocess
import sys

import pytest

from mdlib.errors import DataError
from mdlib.files import lock

COUNT = """
import sys
from pathlib import Path
from mdlib.files import lock
number = Path(sys.argv[2])
for _ in range(300):
    with lock(sys.argv[1]):
        number.write_text(str(int(number.read_text()) + 1))
"""
HOLD = """
import sys
from mdlib.files import lock
with lock(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_three_processes_lose_no_count(tmp_path):
    (tmp_path / "number").write_text("0")
    ask = [sys.executable, "-c", COUNT, tmp_path / "lock", tmp_path / "number"]
    assert [process.wait(60) for process in [subprocess.Popen(ask) for _ in range(3)]] == [0, 0, 0]
    assert (tmp_path / "number").read_text() == "900" and not (tmp_path / "lock").exists()


def test_the_lock_of_a_killed_process_is_taken_over(tmp_path):
    with subprocess.Popen([sys.executable, "-c", HOLD, tmp_path / "lock"], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"held\n"
        process.kill()
    assert (tmp_path / "lock").exists()
    with lock(tmp_path / "lock"):
        pass
    assert not (tmp_path / "lock").exists()


def test_a_lock_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"nothing can be written here.*Choose a folder"), lock(tmp_path / "file/lock"):
        pass
