"""Atomic files, locks, JSON and fingerprints. Linux and macOS (fcntl)."""

import fcntl
import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from mdlib.errors import DataError


@contextmanager
def atomic(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` when the block ends well, remove it when it fails.

    The bytes are on disk before the rename, so a killed process leaves the old file or the new one, never a part.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    os.close(handle)
    part = Path(name)
    try:
        yield part
        with part.open("rb") as written:
            os.fsync(written.fileno())
        part.chmod(0o666 & ~_umask())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def lock(path: Path | str) -> Iterator[None]:
    """Run the block while this process holds the file `path`; others wait. The file is removed afterwards.

    The system releases the lock when the process ends, however it ends: the file of a killed process is taken over.
    Raises DataError where the file cannot be written.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        held = _hold(path)
    except OSError as error:
        raise DataError(f"nothing can be written here ({error.strerror})", str(path.parent),
                        "Choose a folder that you may write to.") from None
    with held:
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def _hold(path: Path) -> IO:
    while True:
        file = path.open("w")
        fcntl.flock(file, fcntl.LOCK_EX)
        with suppress(FileNotFoundError):  # else the previous holder removed it while we waited for it
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
        file.close()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_json(path: Path | str, value: Any) -> None:
    """Write `value` as indented JSON, atomically. NaN is refused: write None."""
    with atomic(path) as part:
        part.write_text(json.dumps(value, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def read_json(path: Path | str) -> Any:
    """The value in a JSON file. Raises DataError, naming the file, when it is missing or damaged."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError("no such file", str(path)) from None
    except ValueError as error:
        raise DataError(f"this is not JSON ({error})", str(path), "Delete it; it is written again.") from None


def fingerprint(*parts: Any) -> str:
    """Sixteen hexadecimal digits that change when any part changes.

    A Path stands for the bytes of that file; anything else for its JSON (keys sorted).
    """
    digest = hashlib.sha256()
    for part in parts:
        data = part.read_bytes() if isinstance(part, Path) else json.dumps(part, sort_keys=True, default=str).encode()
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.hexdigest()[:16]


def stamp(paths: Iterable[Path]) -> list[list]:
    """Name, size and time of change of each file: a cheap fingerprint of many large files."""
    return [[str(path), (status := path.stat()).st_size, status.st_mtime_ns] for path in paths]
