"""Training a chapter in several processes, one per device, under torchrun."""

import json
import subprocess
import sys

from mdlib.errors import MdlibError


def train(devices: int, chapter: str, parameters: dict) -> None:
    """`mdlib train` of a chapter in as many processes, under torchrun. Raises MdlibError when they fail."""
    options = [part for name, value in parameters.items() if name != "overrides"
               for part in (f"--{name.replace('_', '-')}", str(value))]
    options += [part for name, value in parameters.get("overrides", {}).items()
                for part in ("--set", f"{name}={json.dumps(value)}")]
    ended = subprocess.run([sys.executable, "-m", "torch.distributed.run", "--standalone",
                            f"--nproc-per-node={devices}", "-m", "mdlib", "train", chapter, *options])
    if ended.returncode:
        raise MdlibError(f"training on {devices} devices ended with the error above", "mdlib run",
                         "Correct it and run the same command again: finished epochs are kept.")
