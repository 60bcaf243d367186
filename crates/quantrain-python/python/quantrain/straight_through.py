"""Functions whose derivative is taken for the identity's: the devkit's PropagateQuantTensorSTE."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .errors import InputError

__all__ = ["StraightThrough", "ste"]


class StraightThrough:
    """A function of one array, of the same shape as that, whose gradient passes through unchanged."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self.function = function

    def __call__(self, x: Any) -> Any:
        """The function's value. A PyTorch tensor is seen by autograd: its gradient is that of the value."""
        if type(x).__module__.partition(".")[0] == "torch":
            from .torch import straight_through

            return straight_through(self.function, x)
        y = self.function(x)
        if y.shape != x.shape:
            raise InputError(f"a straight-through function of shape {tuple(y.shape)} found for {tuple(x.shape)}; the shape must stay")
        return y

    def backward(self, gradient: Any) -> Any:
        """The gradient by the argument, given that by the value."""
        return gradient


def ste(function: Callable[[Any], Any]) -> StraightThrough:
    """Wraps a function such as rounding: its value counts forward, the identity backward. Also as a decorator."""
    return StraightThrough(function)
