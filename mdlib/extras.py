"""Packages of the extras, as in `pip install "mdlib[captions]"`: a missing one is one error that names its extra."""

import importlib
from types import ModuleType

from mdlib.errors import MdlibError


class MissingExtraError(MdlibError, ImportError):
    """A package is needed that belongs to an extra, and is not installed."""


def require(module: str, extra: str) -> ModuleType:
    """Import and return `module`, which comes with mdlib's `extra`.

    Raises MissingExtraError where it, or a package that it imports, is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        package = (error.name or module).partition(".")[0]
        raise MissingExtraError(f"the package {package} is not installed", "",
                                f'Install it by: pip install "mdlib[{extra}]"') from error
