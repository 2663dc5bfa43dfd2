"""Jobs side by side: in order, and gone when the process that started them is gone."""

import os
import signal
import subprocess
import sys
import time

import pytest

from mdlib.parallel import side_by_side


def square(x):
    return x * x


def test_results_come_in_the_order_of_the_jobs():
    assert list(side_by_side(square, [(x,) for x in (3, 1, 2)], "squares", workers=2)) == [9, 1, 4]


def test_one_worker_is_this_process():
    assert list(side_by_side(os.getpid, [(), ()], "numbers", workers=1)) == [os.getpid()] * 2


def test_a_script_without_a_main_guard_may_call_it(tmp_path):
    script = tmp_path / "script.py"
    script.write_text("from mdlib.parallel import side_by_side\nfrom math import sqrt\n"
                      "print(list(side_by_side(sqrt, [(4,), (9,)], 'roots', workers=2)))\n")
    ended = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60)
    assert ended.stdout == "[2.0, 3.0]\n", ended.stderr


def test_the_jobs_of_a_killed_process_end_too(tmp_path):
    script = tmp_path / "script.py"
    script.write_text("import os, time\nfrom pathlib import Path\nfrom mdlib.parallel import side_by_side\n"
                      "def job(i):\n    Path(str(os.getpid())).touch(); time.sleep(60)\n"
                      "list(side_by_side(job, [(0,), (1,)], 'sleeping', workers=2))\n")
    process = subprocess.Popen([sys.executable, script], stderr=subprocess.DEVNULL, cwd=tmp_path)
    pids, deadline = workers_of(process, tmp_path), time.monotonic() + 30
    process.send_signal(signal.SIGKILL)
    process.wait()
    while any(alive(pid) for pid in pids):
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.parametrize("interrupt", [os.killpg, os.kill], ids=["everything, as a terminal does", "one process"])
def test_an_interrupted_process_does_not_wait_for_its_jobs(interrupt, tmp_path):
    script = tmp_path / "script.py"
    script.write_text("import os, signal, time\nfrom pathlib import Path\nfrom mdlib.parallel import complete\n"
                      "signal.signal(signal.SIGINT, signal.default_int_handler)   # a background job ignores it\n"
                      "def job(i):\n    Path(str(os.getpid())).touch(); time.sleep(60)\n"
                      "complete(job, [(i,) for i in range(6)], 'sleeping')\n")
    process = subprocess.Popen([sys.executable, script], stderr=subprocess.PIPE, cwd=tmp_path, start_new_session=True)
    pids = workers_of(process, tmp_path)
    interrupt(process.pid, signal.SIGINT)
    assert b"KeyboardInterrupt" in process.communicate(timeout=20)[1] and process.returncode
    deadline = time.monotonic() + 10
    while any(alive(pid) for pid in pids):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def workers_of(process, folder):
    """The processes of both workers, once both have begun."""
    deadline = time.monotonic() + 30
    while len(pids := [int(path.name) for path in folder.iterdir() if path.name.isdigit()]) < 2:
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.05)
    return pids


def alive(pid: int) -> bool:
    """Running, not a zombie that nobody has collected."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True).stdout
    return state[:1] not in ("", "Z")
