"""METEOR, a Java program that pycocoevalcap (of the extra `captions`) carries along, in a process that always ends."""

import subprocess
import tempfile
import threading
from contextlib import suppress
from pathlib import Path

from pycocoevalcap.meteor import meteor as published

from mdlib.errors import DataError

JAR = Path(published.__file__).with_name(published.METEOR_JAR)
LIMIT = 600.0  # seconds until METEOR counts as hung; its start takes 5, 200 images with four references each 1


class Meteor(published.Meteor):
    """The library's METEOR as a context: one process, closed in any case, and killed where it does not answer in LIMIT.

    As published it waits for ever for a jar that hangs, and after a failure for a lock that it holds itself; and where
    the language of the system writes a comma in numbers, as German does, the jar answers nothing.
    """

    def __init__(self):
        self.lock = threading.Lock()  # the library's

    def __enter__(self) -> "Meteor":
        self.complaints = tempfile.TemporaryFile()
        command = ["java", "-Duser.language=en", "-Duser.country=US", "-Xmx2G", "-jar", str(JAR),
                   "-", "-", "-stdio", "-l", "en", "-norm"]
        try:
            self.meteor_p = subprocess.Popen(command, cwd=JAR.parent, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                             stderr=self.complaints)
        except OSError as wrong:
            self.complaints.close()
            raise _no_meteor(str(wrong)) from wrong
        return self

    def compute_score(self, gts: dict, res: dict) -> tuple[float, list[float]]:
        """As the library's, over all images and for each, in [0, 1]. Raises DataError where no number comes back."""
        watch = threading.Timer(LIMIT, self.meteor_p.kill)
        watch.start()
        try:
            return super().compute_score(gts, res)
        except (ValueError, OSError) as wrong:
            self.complaints.seek(0)
            lines = self.complaints.read().decode(errors="replace").strip().splitlines()
            raise _no_meteor(lines[-1] if lines else f"no answer within {LIMIT:g} s, or killed") from wrong
        finally:
            watch.cancel()

    def __exit__(self, *_) -> None:
        self.meteor_p.kill()
        with suppress(OSError):  # what was still to be written to a process that is gone
            self.meteor_p.stdin.close()
        self.meteor_p.stdout.close()
        self.meteor_p.wait()
        self.complaints.close()

    def __del__(self) -> None:
        """Nothing: `__exit__` has closed it, and the library's waits for the lock."""


def _no_meteor(why: str) -> DataError:
    return DataError(f"METEOR gave no score ({why})", str(JAR),
                     "Look at the Java installation, or give meteor=False: then it is left out as NaN.")
