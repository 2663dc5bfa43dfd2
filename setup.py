"""Everything is in pyproject.toml, but that the shipped networks of data/results go into the wheel as mdlib/results."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class WithNetworks(build_py):
    """The modules, and beside them data/results/<paper>/networks."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            for folder in Path("data/results").glob("*/networks"):
                target = Path(self.build_lib, "mdlib", "results", folder.parent.name, "networks")
                shutil.copytree(folder, target, dirs_exist_ok=True)


setup(cmdclass={"build_py": WithNetworks})
