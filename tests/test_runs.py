"""Run folders: the same question finds the same answer, another question is refused, nothing is half written."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass

import pytest

from mdlib.errors import DataError, SettingsError
from mdlib.files import atomic, fingerprint, read_json, write_json
from mdlib.runs import Run, check_overrides


@dataclass(frozen=True)
class Few:
    epochs: int = 8
    rate: float = 0.01
    names: tuple = ("a", "b")
    flag: bool = True


def test_a_run_folder_is_found_again_by_the_same_question_and_refused_to_another(tmp_path):
    run = Run.open(tmp_path / "run", {"seed": 0, "settings": {"names": ("a", "b")}})
    assert Run.open(tmp_path / "run", {"seed": 0, "settings": {"names": ("a", "b")}}).manifest == run.manifest
    with pytest.raises(SettingsError, match=r"another seed.*run_dir"):
        Run.open(tmp_path / "run", {"seed": 1, "settings": {"names": ("a", "b")}})
    assert {"asked", "code", "versions", "started", "steps"} <= set(run.manifest)


def test_an_answer_is_computed_once_for_each_question(tmp_path):
    run, calls = Run.open(tmp_path, {}), []
    for draws in (10, 10, 20):
        answer = run.remember("x", lambda draws=draws: calls.append(draws) or {"n": draws}, draws=draws)
        assert answer == {"n": draws}
    assert calls == [10, 20]


def test_a_run_begun_by_other_code_is_opened_with_a_warning(tmp_path):
    run = Run.open(tmp_path, {})
    write_json(run.manifest_file, run.manifest | {"training_code": "0"})
    with pytest.warns(UserWarning, match="other code"):
        Run.open(tmp_path, {})


def test_overrides_are_checked_by_name_and_kind():
    assert check_overrides(Few(), {"names": ["c"], "rate": 1}) == Few(names=("c",), rate=1.0)
    with pytest.raises(SettingsError, match=r"'epoch'.*epochs, rate"):
        check_overrides(Few(), {"epoch": 3})
    for wrong in ({"epochs": "3"}, {"epochs": 2.5}, {"flag": 1}, {"epochs": True}):
        with pytest.raises(SettingsError, match=next(iter(wrong))):
            check_overrides(Few(), wrong)


def test_a_failed_write_leaves_the_old_file_and_no_part(tmp_path):
    write_json(tmp_path / "a.json", 1)
    with pytest.raises(ValueError), atomic(tmp_path / "a.json") as part:
        part.write_text("half")
        raise ValueError
    assert read_json(tmp_path / "a.json") == 1 and len(list(tmp_path.iterdir())) == 1
    with pytest.raises(ValueError):
        write_json(tmp_path / "a.json", float("nan"))


def test_a_process_killed_while_writing_leaves_the_old_file(tmp_path):
    write_json(tmp_path / "a.json", "old")
    code = ("import sys, time; from mdlib.files import atomic\n"
            "with atomic(sys.argv[1]) as part:\n part.write_text('half'); print('now', flush=True); time.sleep(60)")
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "a.json")], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"now\n"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert read_json(tmp_path / "a.json") == "old"


def test_damaged_and_missing_json_are_named(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        read_json(tmp_path / "no.json")
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(DataError, match=r"bad\.json.*not JSON"):
        read_json(tmp_path / "bad.json")


def test_a_fingerprint_changes_with_any_part(tmp_path):
    (tmp_path / "a").write_text("x")
    prints = {fingerprint(tmp_path / "a", {"k": 1}), fingerprint(tmp_path / "a", {"k": 2}), fingerprint({"k": 1})}
    (tmp_path / "a").write_text("y")
    prints.add(fingerprint(tmp_path / "a", {"k": 1}))
    assert len(prints) == 4 and all(len(p) == 16 for p in prints)
    assert fingerprint({"a": 1, "b": 2}) == fingerprint(json.loads('{"b": 2, "a": 1}'))


def test_files_written_atomically_can_be_read_by_others(tmp_path):
    write_json(tmp_path / "a.json", 1)
    (tmp_path / "b.json").write_text("2")
    assert (tmp_path / "a.json").stat().st_mode == (tmp_path / "b.json").stat().st_mode
