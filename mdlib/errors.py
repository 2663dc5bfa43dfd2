"""Errors that say what was wrong, where, and what to do about it."""


class MdlibError(Exception):
    """One message from three parts: what was wrong, where (file, row, parameter), and the remedy."""

    def __init__(self, what: str, where: str = "", remedy: str = ""):
        message = f"{where}: {what}" if where else what
        super().__init__(f"{message.rstrip('.')}. {remedy}".rstrip() if remedy else message)


class DataError(MdlibError, ValueError):
    """A file, a row or an image that cannot be used."""


class SettingsError(MdlibError, ValueError):
    """A parameter that does not exist, or has a value that makes no sense."""


class TrainingError(MdlibError, ArithmeticError):
    """Training cannot go on: the loss is no longer a finite number."""
