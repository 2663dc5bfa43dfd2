"""The promise of .ci/run: where it runs, nothing is skipped, and the real data is named there alone."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("no_skips, code", [("1", 1), ("0", 0)])
def test_a_skipped_test_fails_where_nothing_may_be_skipped(no_skips, code, tmp_path):
    (tmp_path / "test_one.py").write_text("import pytest\n\ndef test_one():\n    pytest.skip('no data')\n")
    ended = subprocess.run([sys.executable, "-m", "pytest", "-p", "conftest", "--rootdir", tmp_path, tmp_path],
                           capture_output=True, text=True, timeout=100,
                           env=os.environ | {"MDLIB_NO_SKIPS": no_skips, "PYTHONPATH": str(ROOT / "tests")})
    assert ended.returncode == code, ended.stdout


def test_ci_runs_the_readmes_command_with_the_real_data_and_without_skips():
    script = (ROOT / ".ci/run").read_text()
    assert re.search(r"^make test$", script, re.M) and "MDLIB_NO_SKIPS=1" in script and "MDLIB_REAL_DATA=" in script
    assert "make test" in (ROOT / "README.md").read_text()


def test_the_real_data_is_named_in_ci_alone():
    where = re.search(r"MDLIB_REAL_DATA=(\S+)", (ROOT / ".ci/run").read_text())[1]
    tracked = subprocess.run(["git", "-C", ROOT, "ls-files"], capture_output=True, text=True, check=True).stdout.split()
    naming = [name for name in tracked if where.encode() in (ROOT / name).read_bytes()]
    assert naming == [".ci/run"]
