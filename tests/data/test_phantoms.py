"""What every writer of phantoms must do, it must do for each collection; the rest is in test_phantoms_*.py."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from phantom_writers import WRITERS

from mdlib.data.phantoms.collection import is_phantom
from mdlib.errors import DataError, SettingsError


@pytest.fixture(params=WRITERS)
def name(request):
    return request.param


@pytest.fixture
def writer(name):
    return WRITERS[name]


@pytest.fixture
def folder(name, drawn):
    return drawn(name)


def contents(folder: Path) -> dict[Path, bytes]:
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def images(folder: Path) -> set[bytes]:
    return {each for path, each in contents(folder).items()
            if path.suffix in (".png", ".jpg", ".tif") and path.parts[0] != "truth"}


def start(name: str, target: Path, stderr: int = subprocess.DEVNULL, **arguments) -> subprocess.Popen:
    """A process that draws a collection."""
    code = (f"import sys\nfrom {WRITERS[name].module.__name__} import write\n"
            f"write(sys.argv[1], **{WRITERS[name].small | WRITERS[name].many | arguments})")
    return subprocess.Popen([sys.executable, "-c", code, str(target)], stderr=stderr)


def until_something_is_drawn(process: subprocess.Popen, target: Path) -> None:
    while not list(target.parent.glob(".set.part-*/**/*.png")):
        assert process.poll() is None
        time.sleep(0.002)


def test_the_same_seed_gives_the_same_bytes_in_one_process_and_in_two(writer, folder, tmp_path):
    assert contents(writer.write(tmp_path / "again", workers=2)) == contents(folder)


def test_another_seed_gives_other_images(writer, folder, tmp_path):
    other = images(writer.write(tmp_path / "other", **writer.few, seed=writer.settings.seed + 1))
    assert other and not other & images(folder)


def test_the_published_reader_finds_what_was_planned(writer, folder):
    found = writer.read(folder)
    rows = writer.rows(found).itertuples(index=False, name=None)
    assert sorted(rows) == sorted(row for case in writer.module.plan(writer.settings) for row in writer.planned(case))
    assert found.truth == folder / "truth"


def test_a_twin_differs_where_something_was_left_out_and_nowhere_else(writer, folder):
    if writer.twins is None:
        assert not hasattr(writer.module, "twin")
        return
    twins = list(writer.twins(folder))
    for twin in twins:
        differs = twin.again != twin.original
        differs = differs.any(axis=-1) if differs.ndim > twin.may.ndim else differs
        assert twin.again.dtype == np.uint8 and not differs[~twin.may].any()
        assert not twin.should.any() or differs[twin.should].mean() >= writer.share
    assert any(twin.should.any() for twin in twins) and any(not twin.may.any() for twin in twins)


def test_a_finished_collection_is_left_alone_and_another_one_takes_its_place(writer, tmp_path):
    target = writer.write(tmp_path / "set", **writer.few)
    stamp, before = (target / "truth" / "phantoms.json").stat().st_mtime_ns, contents(target)
    assert writer.write(target, **writer.few) == target
    assert (target / "truth" / "phantoms.json").stat().st_mtime_ns == stamp
    writer.write(target, **{**writer.few, **writer.other})
    fresh = writer.write(tmp_path / "fresh", **{**writer.few, **writer.other})
    assert contents(target) == contents(fresh) != before


def test_what_is_no_phantom_is_never_overwritten(writer, tmp_path):
    (tmp_path / "mine").mkdir()
    with pytest.raises(DataError, match="something else than phantoms"):
        writer.write(tmp_path, **writer.few)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_killed_write_leaves_nothing_that_is_taken_as_finished_and_the_next_completes_it(writer, name, tmp_path):
    target = tmp_path / "set"
    process = start(name, target, workers=2)
    until_something_is_drawn(process, target)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not target.exists() and not is_phantom(target)
    time.sleep(2)                                   # its workers look for it every second, and end without it
    writer.write(target, **writer.few)
    assert is_phantom(target) and [path.name for path in tmp_path.iterdir()] == ["set"]


def test_of_two_processes_at_once_the_second_waits_and_finds_the_finished_collection(tmp_path):
    """How a folder is completed is the same for all writers: one stands for them."""
    target = tmp_path / "set"
    small = {"patients": 20, "side": 64, "workers": 1}
    first = start("chest", target, **small)
    until_something_is_drawn(first, target)
    first.send_signal(signal.SIGSTOP)               # in the middle of drawing
    second = start("chest", target, subprocess.PIPE, **small)
    with pytest.raises(subprocess.TimeoutExpired):
        second.wait(3)
    assert len(list(tmp_path.glob(".set.part-*"))) == 1
    first.send_signal(signal.SIGCONT)
    assert first.wait(60) == 0
    _, told = second.communicate(timeout=60)
    assert second.returncode == 0 and b"drawing" not in told
    assert is_phantom(target) and [path.name for path in tmp_path.iterdir()] == ["set"]


def test_a_process_that_draws_starts_fast(name, writer):
    """Histology needs pandas, for it takes the parts of a report from their reader."""
    heavy = {"torch"} if name == "histology" else {"torch", "pandas"}
    code = f"import sys, {writer.module.__name__}; sys.exit(not sys.modules.keys().isdisjoint({heavy}))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_settings_that_cannot_be_drawn_are_refused(writer, tmp_path):
    with pytest.raises(SettingsError, match=writer.why):
        writer.write(tmp_path / "none", **writer.refused)
