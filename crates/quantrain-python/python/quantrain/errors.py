"""What quantrain raises. Every exception is a `QuantrainError` and one of Python's own kinds too."""

from __future__ import annotations

__all__ = [
    "CheckpointError",
    "CommandError",
    "FileAccessError",
    "InputError",
    "MissingFileError",
    "ModelError",
    "NumericError",
    "QuantrainError",
    "RecipeError",
    "StateError",
]


class QuantrainError(Exception):
    """Something quantrain cannot do; the message names what, and says what to do next."""


class RecipeError(QuantrainError, ValueError):
    """A setting, or a recipe file, does not hold."""


class ModelError(QuantrainError, ValueError):
    """A file is no network, or one that cannot be run or quantized so."""


class InputError(QuantrainError, ValueError):
    """An array has the wrong name, shape or type, or samples say nothing."""


class StateError(QuantrainError, RuntimeError):
    """A call at the wrong time, such as backward without a forward in training."""


class NumericError(QuantrainError, ArithmeticError):
    """A loss, a gradient or a value in the network is NaN or infinite."""


class CheckpointError(QuantrainError, ValueError):
    """A stored state is damaged, or of another network or other settings."""


class MissingFileError(QuantrainError, FileNotFoundError):
    """A file is not there."""


class FileAccessError(QuantrainError, OSError):
    """A file cannot be read or written."""


class CommandError(QuantrainError, RuntimeError):
    """The command `quantrain` refused; `code` is its exit code."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code
